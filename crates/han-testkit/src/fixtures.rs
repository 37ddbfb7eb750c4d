//! Directories of transcripts for tests. [`crate::SyntheticSession`] generates synthetic ones.

use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directory of real transcripts (`projects/`, `single/`): `HAN_TEST_TRANSCRIPTS`, or a directory beside the
/// repository. If it is missing, prints `SKIPPED:` to standard error and returns `None`.
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

/// The sample sessions of the repository, with the layout of `~/.claude/projects`.
#[must_use]
pub fn sample_sessions() -> PathBuf {
    repository().join("examples/sample-sessions/projects")
}
