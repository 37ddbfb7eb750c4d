//! How long a person might have taken for what tools did. A rough guess by nature: its assumptions stand here and in
//! docs/METRICS.md, and nowhere is it mixed with anything that was measured.

use std::collections::BTreeMap;

use han_transcript::ToolCategory;

/// Seconds that a person is assumed to take for what one use of a tool does.
const SECONDS: &[(&str, i64)] = &[
    ("Write", 300),
    ("Edit", 120),
    ("MultiEdit", 240),
    ("NotebookEdit", 180),
    ("Read", 30),
    ("NotebookRead", 30),
    ("Task", 600),
    ("Agent", 600),
];

/// The same for tools that are not listed, by category.
fn of_category(category: ToolCategory) -> i64 {
    match category {
        ToolCategory::File | ToolCategory::Mcp => 60,
        ToolCategory::Search => 45,
        ToolCategory::Shell => 30,
        ToolCategory::Web => 120,
        // Keeping lists and asking are the agent's own affair.
        ToolCategory::Task | ToolCategory::Other => 0,
    }
}

/// The longest that one turn is taken to last: a session that lies open over night did not work.
pub(super) const LONGEST_TURN_SECONDS: i64 = 600;

/// A guess at what a person would have taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HumanTime {
    /// What a person would have taken.
    pub human_seconds: f64,
    /// What the sessions took.
    pub ai_seconds: f64,
    /// The difference where it is positive, in hours.
    pub hours_saved: f64,
    /// How many times faster; none where the sessions took no time.
    pub speedup: Option<f64>,
    /// By tool category, the longest first.
    pub categories: Vec<CategoryTime>,
    /// By tool, the longest first.
    pub tools: Vec<ToolTime>,
}

/// One category's part.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryTime {
    /// The category.
    pub category: ToolCategory,
    /// What a person would have taken.
    pub human_seconds: f64,
    /// Its part of the whole, from 0 to 100.
    pub percent: f64,
}

/// One tool's part.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolTime {
    /// The tool.
    pub tool: String,
    /// How often it was used.
    pub uses: i64,
    /// What a person would have taken.
    pub human_seconds: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not real ones")]
pub(super) fn estimate<'t>(tools: impl Iterator<Item = (&'t str, i64)>, ai_seconds: i64) -> HumanTime {
    let mut time = HumanTime { ai_seconds: ai_seconds as f64, ..HumanTime::default() };
    let mut categories: BTreeMap<ToolCategory, f64> = BTreeMap::new();
    for (tool, uses) in tools {
        let category = ToolCategory::of(tool);
        let listed = SECONDS.iter().find(|(name, _)| *name == tool).map(|(_, seconds)| *seconds);
        let seconds = (listed.unwrap_or_else(|| of_category(category)) * uses) as f64;
        if seconds > 0.0 {
            *categories.entry(category).or_default() += seconds;
            time.tools.push(ToolTime { tool: tool.to_owned(), uses, human_seconds: seconds });
            time.human_seconds += seconds;
        }
    }
    let percent = |seconds: f64| 100.0 * seconds / time.human_seconds;
    time.categories = categories
        .into_iter()
        .map(|(category, seconds)| CategoryTime {
            category,
            human_seconds: seconds,
            percent: percent(seconds),
        })
        .collect();
    time.categories.sort_by(|a, b| b.human_seconds.total_cmp(&a.human_seconds));
    time.tools.sort_by(|a, b| b.human_seconds.total_cmp(&a.human_seconds).then_with(|| a.tool.cmp(&b.tool)));
    time.hours_saved = (time.human_seconds - time.ai_seconds).max(0.0) / 3600.0;
    time.speedup = (time.ai_seconds > 0.0).then(|| time.human_seconds / time.ai_seconds);
    time
}
