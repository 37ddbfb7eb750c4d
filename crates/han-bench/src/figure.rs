//! What a benchmark comes to: a figure, its goal, and the line that says both.

use std::process::ExitCode;

/// A figure and its goal.
pub(crate) struct Figure {
    name: &'static str,
    figure: String,
    goal: String,
    holds: bool,
}

impl Figure {
    /// A ratio to the baseline that must not be lower.
    pub(crate) fn at_least(name: &'static str, ratio: f64, goal: f64) -> Self {
        Self {
            name,
            figure: format!("{ratio:.2}x"),
            goal: format!("at least {goal:.2}x"),
            holds: ratio >= goal,
        }
    }

    /// A ratio to the baseline that must not be higher.
    pub(crate) fn at_most(name: &'static str, ratio: f64, goal: f64) -> Self {
        Self {
            name,
            figure: format!("{ratio:.2}x"),
            goal: format!("at most {goal:.2}x"),
            holds: ratio <= goal,
        }
    }

    /// Several figures at once, in words.
    pub(crate) fn of(name: &'static str, figure: String, goal: &str, holds: bool) -> Self {
        Self { name, figure, goal: goal.to_owned(), holds }
    }

    /// Prints the last line and says whether the goal holds.
    pub(crate) fn report(&self) -> ExitCode {
        println!("{}: {} (goal {})", self.name, self.figure, self.goal);
        if self.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The middle value; of an even number, the lower of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value that `percent` of them do not exceed (the nearest rank).
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}
