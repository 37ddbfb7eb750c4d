//! Display names of models and weeks.

use han_types::Timestamp;

/// A model's display name: `Opus 4.6` for `claude-opus-4-6-20260205`. Its first word is the family, which clients show
/// and sort by. An id of another form is its own display name.
pub(super) fn model(id: &str) -> String {
    let short = id.rfind("anthropic").and_then(|at| id.get(at + "anthropic".len() + 1..)).unwrap_or(id);
    let (short, window) = match short.strip_suffix("[1m]") {
        Some(short) => (short, " (1M)"),
        None => (short, ""),
    };
    let Some(rest) = short.strip_prefix("claude-") else { return id.to_owned() };
    let (mut words, mut version): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
    for part in rest.split(['-', '@']) {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        // The date of a release, or its revision on another vendor's platform.
        if (digits && part.len() == 8) || part == "latest" || is_revision(part) {
            break;
        }
        if digits {
            version.push(part);
        } else {
            let mut letters = part.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            words.push(first.into_iter().chain(letters).collect());
        }
    }
    if words.is_empty() {
        words.push("Claude".to_owned());
    }
    // Older ids have the version before the family.
    if !version.is_empty() {
        words.insert(1, version.join("."));
    }
    words.join(" ") + window
}

/// Whether a part is a revision such as `v1:0`.
fn is_revision(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
    })
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The display name of a week, from the ISO 8601 date of its Monday: `Nov 23 – 29`, `Nov 30 – Dec 6`. A text that is
/// not a date is its own display name.
pub(super) fn week(monday: &str) -> String {
    let six_days = 6 * 86_400_000;
    let sunday = Timestamp::parse_rfc3339(&format!("{monday}T00:00:00Z"))
        .map(|begin| Timestamp(begin.0 + six_days).to_rfc3339());
    let ends = sunday.and_then(|sunday| Some((day(monday)?, day(&sunday)?)));
    match ends {
        Some(((from, first), (to, last))) if from == to => format!("{from} {first} – {last}"),
        Some(((from, first), (to, last))) => format!("{from} {first} – {to} {last}"),
        None => monday.to_owned(),
    }
}

/// The month and the day of an ISO 8601 date.
fn day(date: &str) -> Option<(&'static str, u32)> {
    let month: usize = date.get(5..7)?.parse().ok()?;
    Some((MONTHS.get(month.checked_sub(1)?)?, date.get(8..10)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{model, week};

    #[test]
    fn display_names_of_models() {
        for (id, name) in [
            ("claude-opus-4-6", "Opus 4.6"),
            ("claude-opus-4-6-20260205", "Opus 4.6"),
            ("claude-opus-4@20250514", "Opus 4"),
            ("claude-3-5-sonnet-latest", "Sonnet 3.5"),
            ("claude-sonnet-4-5[1m]", "Sonnet 4.5 (1M)"),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "Haiku 4.5"),
            ("claude-2", "Claude 2"),
            ("<synthetic>", "<synthetic>"),
            ("gpt-5", "gpt-5"),
            ("anthropic", "anthropic"),
            ("", ""),
        ] {
            assert_eq!(model(id), name, "{id}");
        }
    }

    #[test]
    fn display_names_of_weeks() {
        assert_eq!(week("2026-11-23"), "Nov 23 – 29");
        assert_eq!(week("2026-11-30"), "Nov 30 – Dec 6");
        assert_eq!(week("2026-12-28"), "Dec 28 – Jan 3");
        assert_eq!(week("soon"), "soon");
    }
}
