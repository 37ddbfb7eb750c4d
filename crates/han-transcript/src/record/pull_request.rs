//! The pull request that a session opened.

use crate::json::{self, Object};
use crate::line::ParsedLine;
use crate::text::{MAX_PATH, label};

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: i64,
    /// Its URL.
    pub url: String,
}

impl PullRequest {
    /// From a `pr-link` line (`prNumber`, `prUrl`), or from a command whose last line of output is the URL of a pull
    /// request, as `gh pr create` prints it. URLs within other text are ignored, because the session may only have
    /// read about that pull request.
    pub(super) fn read(line: &ParsedLine<'_>, tool_result: Option<&Object<'_>>) -> Option<Self> {
        match &*line.line_type {
            "pr-link" => {
                let url = line.fields.text("prUrl").and_then(|url| label(&url, MAX_PATH))?;
                let number =
                    line.fields.raw("prNumber").and_then(|raw| json::whole(raw, 1, i64::from(i32::MAX)));
                Some(Self { number: number.or_else(|| Self::parse(&url).map(|pr| pr.number))?, url })
            }
            "user" => {
                let output = tool_result?.raw("stdout").filter(|raw| raw.get().contains("/pull/"))?;
                Self::parse(json::text(output)?.trim_end().lines().next_back()?.trim())
            }
            _ => None,
        }
    }

    /// Parses exactly `https://host/owner/repository/pull/number`.
    fn parse(url: &str) -> Option<Self> {
        let mut parts = url.strip_prefix("https://")?.split('/');
        let names = [parts.next()?, parts.next()?, parts.next()?];
        let plain = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))
        };
        if url.len() > MAX_PATH || !names.into_iter().all(plain) || parts.next()? != "pull" {
            return None;
        }
        let digits = parts.next().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        let number = digits.parse::<i32>().ok().filter(|number| *number > 0)?;
        parts.next().is_none().then(|| Self { number: i64::from(number), url: url.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::PullRequest;

    #[test]
    fn parse_accepts_only_pull_request_urls() {
        let number = |url| PullRequest::parse(url).map(|pr| pr.number);
        assert_eq!(number("https://github.com/owner/repo.rs/pull/17"), Some(17));
        assert_eq!(number("https://git.example.org:8443/o/r/pull/1"), Some(1));
        for other in [
            "https://github.com/owner/repo/issues/17",
            "https://github.com/owner/repo/pull/17/files",
            "https://github.com/owner/pull/17",
            "https://github.com/o/r/pull/-1",
            "https://github.com/o/r/pull/99999999999",
            "https://github.com/o/r/pull/",
            "see https://github.com/o/r/pull/1",
            "http://github.com/o/r/pull/1",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
