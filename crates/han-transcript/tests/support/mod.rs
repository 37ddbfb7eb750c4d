//! Shared by this crate's tests: real transcripts, and seeded random numbers.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "each test binary uses its part; a helper fails its test by panicking and says what it skips"
)]

use std::fs;
use std::path::{Path, PathBuf};

use han_transcript::fold::LinePosition;
use han_transcript::record::{LineContext, LineRecord, TimeSource, project};
use han_types::Timestamp;

/// One real line and its location.
pub(crate) struct RealLine {
    pub(crate) session: String,
    pub(crate) transcript: String,
    pub(crate) line: u64,
    pub(crate) text: String,
}

/// The directory of real transcripts: `HAN_TEST_TRANSCRIPTS`, or a directory beside the repository. If there is none,
/// prints so and returns `None`.
fn real_transcripts() -> Option<PathBuf> {
    let beside =
        || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/transcripts")).to_owned();
    let directory = std::env::var_os("HAN_TEST_TRANSCRIPTS").map_or_else(beside, PathBuf::from);
    if directory.join("projects").is_dir() {
        return Some(directory);
    }
    eprintln!("SKIPPED: real transcripts not found at {} (set HAN_TEST_TRANSCRIPTS)", directory.display());
    None
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
}

/// Every line under `part` (`projects`, or the empty string for all), or `None` without transcripts.
pub(crate) fn real_lines(part: &str) -> Option<Vec<RealLine>> {
    let mut found = Vec::new();
    files(&real_transcripts()?.join(part), &mut found);
    let mut lines = Vec::new();
    for path in found {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let parent = path.parent().unwrap();
        // <session>/subagents/<agent>.jsonl, else <session>.jsonl
        let is_subagent = parent.ends_with("subagents");
        let (session, transcript) = if is_subagent {
            (parent.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned(), stem)
        } else {
            (stem, "main".to_owned())
        };
        for (line, text) in (0..).zip(fs::read_to_string(&path).unwrap().lines()) {
            let (session, transcript) = (session.clone(), transcript.clone());
            lines.push(RealLine { session, transcript, line, text: text.to_owned() });
        }
    }
    Some(lines)
}

/// Projects lines of one session in file order. A line without a time takes that of the preceding line.
pub(crate) fn records<'a>(lines: impl IntoIterator<Item = &'a RealLine>) -> Vec<(LinePosition, LineRecord)> {
    let mut before = (String::new(), Timestamp::default());
    let read = |line: &RealLine| {
        let at = LineContext { session_id: &line.session, transcript: &line.transcript };
        let record = project(&line.text, &at);
        if before.0 != line.transcript {
            before = (line.transcript.clone(), Timestamp::default());
        }
        if let TimeSource::Own(time) = record.time {
            before.1 = time;
        }
        (LinePosition { time: before.1, transcript: line.transcript.clone(), line: line.line }, record)
    };
    lines.into_iter().map(read).collect()
}

/// SplitMix64: small, seeded, the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
