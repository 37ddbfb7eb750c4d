//! `embedded`: real transcripts, repeated under other ids, pushed by han-coordinator to han-server on SQLite, sealed,
//! compared with agentsview's sync of the same files into its own SQLite database. Both alternate. A plain copy of the
//! files, each forced to the disk, shows what the disk allows.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use clap::Args;
use sqlx::{Connection as _, SqliteConnection};

use crate::figure::{Figure, median};
use crate::jobs::{until_sqlite_consolidated, until_sqlite_indexed};
use crate::real::RealOptions;
use crate::sizes::Sizes;
use crate::target::{Embedded, coordinate};

/// Options of `embedded`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    real: RealOptions,
    /// The number of pairs of runs, after one warm-up.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// The program agentsview, which script/bench installs.
    #[arg(long, default_value = "agentsview")]
    agentsview: String,
}

pub(crate) async fn run(options: Options) -> Figure {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let projects = directory.path().join("projects");
    let written = options.real.write(&projects);
    let megabytes = written.bytes / 1e6;
    println!("{} lines in {} transcripts, {megabytes:.1} MB", written.lines, written.files);
    println!(
        "{:>5} {:>10} {:>10} {:>13} {:>15} {:>7} {:>10}",
        "pair", "push MB/s", "server s", "indexed in s", "agentsview MB/s", "ratio", "copy MB/s"
    );
    let (mut ratios, mut speeds, mut shares, mut last) = (Vec::new(), Vec::new(), Vec::new(), None);
    for pair in 0..=options.pairs {
        let data = directory.path().join(format!("data-{pair}"));
        let server = Embedded::start(&data).await;
        let start = Instant::now();
        let report = coordinate(&server.url, &server.key, &projects).await;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = server.cpu();
        assert_eq!(report.stored, written.lines, "every line is stored");
        let mut connection = open(&server.file).await;
        until_sqlite_indexed(&mut connection).await;
        let indexed = start.elapsed().as_secs_f64() - seconds;

        let theirs = sync(&options.agentsview, &projects, &directory.path().join("agentsview")).await;
        let copied = copy(&projects, &directory.path().join("copy"));
        let (speed, copy_speed) = (megabytes / seconds, megabytes / copied);
        let (their_speed, ratio) = match theirs {
            Some(theirs) => (format!("{:.1}", megabytes / theirs), format!("{:.2}x", theirs / seconds)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let counted = if pair == 0 { " (warm-up)" } else { "" };
        println!(
            "{pair:>5} {speed:>10.1} {cpu:>10.2} {indexed:>13.1} {their_speed:>15} {ratio:>7} \
             {copy_speed:>10.1}{counted}"
        );
        if pair > 0 {
            ratios.extend(theirs.map(|theirs| theirs / seconds));
            speeds.push(speed);
            shares.push(speed / copy_speed);
        }
        if pair == options.pairs {
            last = Some((server, connection));
        }
    }
    if let Some((server, connection)) = last {
        print_sizes(server, connection, written.bytes).await;
    }
    let (speed, share) = (median(&speeds), median(&shares));
    let speed = format!("{speed:.1} MB/s, {share:.2}x of a plain copy with fsync");
    if ratios.is_empty() {
        println!("agentsview is not installed, so there is nothing to compare with: the goal is not decided");
        let figure = format!("{speed}, agentsview not measured");
        return Figure::new("embedded", figure, "at least 0.60x of agentsview", false);
    }
    let ratio = median(&ratios);
    Figure::new(
        "embedded",
        format!("{ratio:.2}x of agentsview, {speed}"),
        "at least 0.60x of agentsview",
        ratio >= 0.6,
    )
}

async fn open(file: &Path) -> SqliteConnection {
    let url = format!("sqlite:{}", file.display());
    SqliteConnection::connect(&url).await.expect("the server's database")
}

/// Prints the size of the database on SQLite.
async fn print_sizes(server: Embedded, mut connection: SqliteConnection, bytes: f64) {
    let plaintext = "SELECT count(*) FROM segments WHERE NOT sealed";
    let plaintext: i64 = sqlx::query_scalar(plaintext).fetch_one(&mut connection).await.expect("a count");
    assert_eq!(plaintext, 0, "every segment is sealed");
    if !until_sqlite_consolidated(&mut connection).await {
        println!("no consolidation");
    }
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.expect("a checkpoint");
    let sizes = Sizes::of_sqlite(&mut connection).await;
    sizes.print(bytes);
    let file = fs::metadata(&server.file).expect("the server's database").len() as f64;
    println!(
        "database on SQLite: {:.1} MB, {:.3}x, of which search {:.3}x; the file: {:.3}x",
        sizes.total() / 1e6,
        sizes.total() / bytes,
        sizes.search() / bytes,
        file / bytes
    );
}

/// Lets agentsview read the transcripts into a new database; returns the seconds that it took, or `None` if it is not
/// installed.
async fn sync(program: &str, projects: &Path, data: &Path) -> Option<f64> {
    let _ = fs::remove_dir_all(data);
    fs::create_dir_all(data).expect("a folder");
    let start = Instant::now();
    let output = tokio::process::Command::new(program)
        .arg("sync")
        .env_clear()
        .envs(["PATH"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        // A home of its own, so that it finds no other agent's files.
        .env("HOME", data)
        .env("AGENTSVIEW_DATA_DIR", data)
        .env("CLAUDE_PROJECTS_DIR", projects)
        .env("AGENTSVIEW_NO_DAEMON", "1")
        .env("AGENTSVIEW_TELEMETRY_ENABLED", "0")
        .env("DO_NOT_TRACK", "1")
        .kill_on_drop(true)
        .output()
        .await;
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        other => other.expect("agentsview starts"),
    };
    let seconds = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("Sync complete"), "agentsview: {text}{errors}");
    let summary =
        text.lines().filter(|line| line.starts_with("Sync complete") || line.starts_with("Database"));
    println!("      agentsview: {}", summary.collect::<Vec<_>>().join("; "));
    Some(seconds)
}

/// Copies all files and forces each to the disk; returns the seconds.
fn copy(from: &Path, to: &Path) -> f64 {
    let _ = fs::remove_dir_all(to);
    let start = Instant::now();
    copy_folder(from, to);
    start.elapsed().as_secs_f64()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
            File::open(&target).and_then(|file| file.sync_all()).expect("a copy on the disk");
        }
    }
}
