//! The estimated time that a person would have needed for the work of tools. It is a rough estimate: its assumptions
//! are listed here and in docs/METRICS.md, and it is never combined with measured values.

use std::collections::BTreeMap;

use han_transcript::ToolCategory;

/// The assumed seconds of a person for the work of one tool use.
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
        // To-do lists and questions have no counterpart in the work of a person.
        ToolCategory::Task | ToolCategory::Other => 0,
    }
}

/// The assumed maximum duration of a turn: a session that is open over night did not work all that time.
pub(super) const LONGEST_TURN_SECONDS: i64 = 600;

/// The estimated time of a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HumanTime {
    /// The estimated time of a person.
    pub human_seconds: f64,
    /// The time of the sessions.
    pub ai_seconds: f64,
    /// The difference in hours, if it is positive.
    pub hours_saved: f64,
    /// The speed-up factor; `None` if the sessions took no time.
    pub speedup: Option<f64>,
    /// By tool category, longest first.
    pub categories: Vec<CategoryTime>,
    /// By tool, longest first.
    pub tools: Vec<ToolTime>,
}

/// The part of one category.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryTime {
    /// The category.
    pub category: ToolCategory,
    /// The estimated time of a person.
    pub human_seconds: f64,
    /// Its share of the total, from 0 to 100.
    pub percent: f64,
}

/// The part of one tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolTime {
    /// The tool.
    pub tool: String,
    /// The number of uses.
    pub uses: i64,
    /// The estimated time of a person.
    pub human_seconds: f64,
}

#[expect(clippy::cast_precision_loss, reason = "real counts are below 2^53")]
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
