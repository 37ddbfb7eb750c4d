//! What a benchmark comes to: a ratio, its goal, and the line that says both.

use std::process::ExitCode;

/// A figure and its goal.
pub(crate) struct Figure {
    /// The benchmark.
    pub name: &'static str,
    /// What was measured: a ratio to the baseline.
    pub ratio: f64,
    /// What it must reach at least.
    pub at_least: f64,
}

impl Figure {
    /// Prints the last line and says whether the goal holds.
    pub(crate) fn report(&self) -> ExitCode {
        println!("{}: {:.2}x (goal at least {:.2}x)", self.name, self.ratio, self.at_least);
        if self.ratio >= self.at_least { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The middle value; of an even number, the lower of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len().max(1) - 1) / 2).copied().unwrap_or(f64::NAN)
}
