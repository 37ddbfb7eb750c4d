//! `faults`: random faults under load, on its own PostgreSQL. `han_testkit::faults` injects and counts; the test suite
//! uses it with a few faults at a time.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use clap::Args;
use han_testkit::SeededEntropy;
use han_testkit::faults::{Deployment, Fault, FaultReport};

use crate::figure::{Figure, median, percentile};
use crate::target::server_path;

/// The number of faults per round. Each round has new sessions and reads everything back at its end.
const FAULTS_PER_ROUND: usize = 10;

/// Options of `faults`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of faults.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// The number of writers, each with its own session.
    #[arg(long, default_value_t = 4)]
    writers: usize,
    /// The number of dashboards, each subscribed to every session.
    #[arg(long, default_value_t = 3)]
    dashboards: usize,
    /// The seed of an earlier run, to repeat its faults.
    #[arg(long)]
    seed: Option<u64>,
}

/// Injects the faults and counts losses and duplicates.
pub(crate) async fn run(options: Options) -> Figure {
    // The standard library seeds each of its hashers from the operating system.
    let seed = options.seed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    println!("seed {seed} (--seed {seed} repeats the faults)");
    let mut deployment = Deployment::postgres(server_path(), seed).await;
    let entropy = SeededEntropy::new(seed);
    let faults: Vec<Fault> = (0..options.kills)
        .map(|_| Fault::ALL[usize::try_from(entropy.below(Fault::ALL.len() as u64)).expect("few")])
        .collect();
    let mut all = FaultReport::default();
    for (round, faults) in faults.chunks(FAULTS_PER_ROUND).enumerate() {
        let name = format!("round-{round}");
        all.add(deployment.run_with_faults(&name, options.writers, options.dashboards, faults).await);
    }
    let (totals, rebuilt) = deployment.totals_and_rebuilt().await;
    print_table(&all);
    for (what, list) in [
        ("lost", &all.lost),
        ("duplicated", &all.duplicated),
        ("stored but never sent", &all.unexpected),
        ("undelivered", &all.undelivered),
        ("delivered twice", &all.delivered_twice),
        ("unexpected response", &all.unexpected_responses),
    ] {
        for one in list.iter().take(10) {
            println!("{what}: {one}");
        }
    }
    let lost = all.lost.len() + all.unexpected.len() + all.undelivered.len();
    let duplicated = all.duplicated.len() + all.delivered_twice.len();
    let same = totals == rebuilt;
    if !same {
        println!("totals: {totals}\nrebuilt: {rebuilt}");
    }
    let rebuild = if same { "equal to a rebuild's" } else { "DIFFERENT from a rebuild's" };
    let figure =
        format!("{lost} lost, {duplicated} duplicated in {} kills, totals {rebuild}", all.recovered.len());
    Figure::new("faults", figure, "0 lost, 0 duplicated", all.is_consistent() && same)
}

fn print_table(all: &FaultReport) {
    let mut times: BTreeMap<Fault, Vec<f64>> = BTreeMap::new();
    for (fault, took) in &all.recovered {
        times.entry(*fault).or_default().push(Duration::as_secs_f64(took));
    }
    println!("\n{:<34} {:>5} {:>26} {:>10}", "fault", "count", "recovery of pushes, p50 s", "longest s");
    for (fault, times) in &times {
        println!("{fault:<34} {:>5} {:>26.2} {:>10.2}", times.len(), median(times), percentile(times, 100.0));
    }
    println!(
        "{} lines acknowledged, {} pushes retried, {} messages delivered to dashboards, which fetched again {} times",
        all.acknowledged, all.retried, all.delivered, all.resyncs
    );
}
