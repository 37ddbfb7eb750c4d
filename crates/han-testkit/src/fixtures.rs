//! Where transcripts to test with lie. Synthetic ones are made by [`crate::SyntheticSession`].

use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directory of real transcripts (`projects/`, `single/`), which lies beside the repository and not in it
/// (or where `HAN_TEST_TRANSCRIPTS` says). Where it is missing, says `SKIPPED:` on standard error and is `None`.
#[must_use]
pub fn real_transcripts() -> Option<PathBuf> {
    let directory = match std::env::var_os("HAN_TEST_TRANSCRIPTS") {
        Some(given) => PathBuf::from(given),
        None => repository().join("../shared/data/transcripts"),
    };
    if directory.join("projects").is_dir() {
        return Some(directory);
    }
    eprintln!("SKIPPED: no real transcripts under {} (set HAN_TEST_TRANSCRIPTS)", directory.display());
    None
}

/// The synthetic sessions that the project ships, laid out as `~/.claude/projects` is.
#[must_use]
pub fn sample_sessions() -> PathBuf {
    repository().join("examples/sample-sessions/projects")
}
