//! `faults`: random kills under load, on a PostgreSQL of its own. What is done, and what is counted afterwards, is
//! `han_testkit::faults`, which the test suite runs with a few faults at a time.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use clap::Args;
use han_testkit::SeededEntropy;
use han_testkit::faults::{Fault, Reckoning, World};

use crate::figure::{Figure, median, percentile};
use crate::target::server_path;

/// How many faults writers and dashboards go through with the same sessions before all is read back.
const FAULTS_A_ROUND: usize = 10;

/// How `faults` measures.
#[derive(Args)]
pub(crate) struct Options {
    /// Faults in all.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Writers, each with a session of its own.
    #[arg(long, default_value_t = 4)]
    writers: usize,
    /// Dashboards that listen to all of them.
    #[arg(long, default_value_t = 3)]
    dashboards: usize,
    /// Repeats the faults of another run, which printed it.
    #[arg(long)]
    seed: Option<u64>,
}

/// Goes from fault to fault and counts what was lost.
pub(crate) async fn run(options: Options) -> Figure {
    // The standard library seeds each of its hashers from the operating system.
    let seed = options.seed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    println!("seed {seed} (--seed {seed} repeats the faults)");
    let mut world = World::postgres(server_path(), seed).await;
    let entropy = SeededEntropy::new(seed);
    let faults: Vec<Fault> = (0..options.kills)
        .map(|_| Fault::ALL[usize::try_from(entropy.below(Fault::ALL.len() as u64)).expect("few")])
        .collect();
    let mut all = Reckoning::default();
    for (round, faults) in faults.chunks(FAULTS_A_ROUND).enumerate() {
        let name = format!("round-{round}");
        all.add(world.endure(&name, options.writers, options.dashboards, faults).await);
    }
    let (sums, rebuilt) = world.sums_and_rebuilt().await;
    print_table(&all);
    for (what, list) in [
        ("lost", &all.lost),
        ("doubled", &all.doubled),
        ("stored and never sent", &all.foreign),
        ("untold", &all.untold),
        ("told twice", &all.told_twice),
        ("odd answer", &all.odd_answers),
    ] {
        for one in list.iter().take(10) {
            println!("{what}: {one}");
        }
    }
    let lost = all.lost.len() + all.foreign.len() + all.untold.len();
    let doubled = all.doubled.len() + all.told_twice.len();
    let same = sums == rebuilt;
    if !same {
        println!("sums: {sums}\nrebuilt: {rebuilt}");
    }
    let sums = if same { "as a rebuild makes them" } else { "NOT as a rebuild makes them" };
    let figure = format!("{lost} lost, {doubled} doubled in {} kills, sums {sums}", all.recovered.len());
    Figure::of("faults", figure, "0 lost, 0 doubled", all.is_whole() && same)
}

fn print_table(all: &Reckoning) {
    let mut times: BTreeMap<Fault, Vec<f64>> = BTreeMap::new();
    for (fault, took) in &all.recovered {
        times.entry(*fault).or_default().push(Duration::as_secs_f64(took));
    }
    println!("\n{:<34} {:>5} {:>26} {:>10}", "fault", "times", "pushes again after, p50 s", "longest s");
    for (fault, times) in &times {
        println!("{fault:<34} {:>5} {:>26.2} {:>10.2}", times.len(), median(times), percentile(times, 100.0));
    }
    println!(
        "{} lines acknowledged, {} pushes sent again, {} messages told to dashboards, which fetched anew {} times",
        all.acknowledged, all.retried, all.delivered, all.resyncs
    );
}
