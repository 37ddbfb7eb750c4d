//! The result of a benchmark: its figure, its goal, and its last output line.

use std::process::ExitCode;

/// A figure and its goal.
pub(crate) struct Figure {
    name: &'static str,
    figure: String,
    goal: String,
    met: bool,
}

impl Figure {
    /// A ratio to the baseline, with a lower limit.
    pub(crate) fn at_least(name: &'static str, ratio: f64, goal: f64) -> Self {
        Self {
            name,
            figure: format!("{ratio:.2}x"),
            goal: format!("at least {goal:.2}x"),
            met: ratio >= goal,
        }
    }

    /// A ratio to the baseline, with an upper limit.
    pub(crate) fn at_most(name: &'static str, ratio: f64, goal: f64) -> Self {
        Self { name, figure: format!("{ratio:.2}x"), goal: format!("at most {goal:.2}x"), met: ratio <= goal }
    }

    /// Any figure as text, such as several values.
    pub(crate) fn new(name: &'static str, figure: String, goal: &str, met: bool) -> Self {
        Self { name, figure, goal: goal.to_owned(), met }
    }

    /// Prints the last line; the exit code is a failure if the goal is missed.
    pub(crate) fn report(&self) -> ExitCode {
        println!("{}: {} (goal {})", self.name, self.figure, self.goal);
        if self.met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The median; of an even number of values, the lower of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The percentile, by nearest rank.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}
