//! The report of a push: counts, and every line and transcript with a problem. As text for people
//! ([`PushReport::write`]) and as JSON for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use han_types::sync::{LineErrorCode, SyncTeam};
use serde::{Serialize, Serializer};

use crate::discover::SkippedFile;
use crate::error::Error;

/// How many files of one reason the report for people names.
const NAMED_FILES: usize = 3;

/// The code of sessions that the team's plan does not allow.
const OVER_PLAN: &str = "plan_limit";

/// The report of a push.
#[derive(Debug, Default, Serialize)]
pub struct PushReport {
    /// The team that was pushed to; `None` if the push ended before it was known.
    pub team: Option<SyncTeam>,
    /// Sessions found.
    pub sessions: u64,
    /// Transcripts found.
    pub transcripts: u64,
    /// Transcripts that the server already had completely.
    pub up_to_date: u64,
    /// Lines in batches that the server accepted. A line that is sent again counts again.
    pub lines_sent: u64,
    /// Lines that the push added.
    pub stored: u64,
    /// Lines that had been stored before.
    pub duplicates: u64,
    /// Lines that the server rejected.
    pub rejected: Vec<RejectedLineReport>,
    /// Lines that are too large to send; only their length and hash were stored.
    pub omitted: Vec<OmittedLine>,
    /// Transcripts that could not be pushed completely.
    pub failed: Vec<FailedTranscript>,
    /// Lines that are not UTF-8; invalid bytes were replaced by U+FFFD.
    pub not_utf8: u64,
    /// Incomplete last lines, left for the next push.
    pub half_written: u64,
    /// Transcripts that were sent again from the beginning, because the server's last line differs from the file's, or a
    /// line before it from what was pushed.
    pub restarted: u64,
    /// The number of `skipped`.
    pub ignored_files: u64,
    /// Files that are not pushed, with the reason.
    pub skipped: Vec<SkippedFile>,
    /// Successful requests with lines.
    pub requests: u64,
    /// Warnings.
    pub warnings: Vec<String>,
    /// The error that ended the push early.
    #[serde(serialize_with = "as_text")]
    pub stopped: Option<Error>,
}

/// A line that the server rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedLineReport {
    /// Its file.
    pub path: PathBuf,
    /// Its 0-based line number, as in the protocol.
    pub line: u64,
    /// The machine-readable reason.
    pub code: LineErrorCode,
    /// The reason, for people.
    pub message: String,
}

/// A line that is too large to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OmittedLine {
    /// Its file.
    pub path: PathBuf,
    /// Its 0-based line number, as in the protocol.
    pub line: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it exceeds a limit of the server; else, `--max-line-bytes`.
    pub by_server: bool,
}

/// A transcript that could not be pushed completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedTranscript {
    /// The session.
    pub session_id: String,
    /// The transcript, or `None` if the server refused the whole session.
    pub transcript: Option<String>,
    /// The file.
    pub path: PathBuf,
    /// The machine-readable reason: a code of the protocol, or `io` or `protocol`.
    pub code: String,
    /// The reason, for people.
    pub message: String,
}

fn as_text<S: Serializer>(stopped: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    stopped.as_ref().map(ToString::to_string).serialize(serializer)
}

impl PushReport {
    /// Whether the server has every line, except for those that it rejected and those over the client's own limit.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.failed.is_empty() && self.stopped.is_none() && !self.omitted.iter().any(|line| line.by_server)
    }

    /// The number of sessions with failed transcripts.
    #[must_use]
    pub fn failed_sessions(&self) -> usize {
        self.failed.iter().map(|failed| &failed.session_id).collect::<BTreeSet<_>>().len()
    }

    /// Writes the report for people. Line numbers start at 1, as in editors.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(SyncTeam { slug, name, .. }) = &self.team {
            let name = if name == slug { String::new() } else { format!(" ({name})") };
            writeln!(out, "team: {slug}{name}")?;
        }
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        for line in &self.rejected {
            writeln!(out, "rejected: {}:{}: {}", line.path.display(), line.line + 1, line.message)?;
        }
        for line in &self.omitted {
            writeln!(
                out,
                "omitted: {}:{}: {} bytes exceed {}; its length and hash were stored instead, and a push sends it once it \
                 fits",
                line.path.display(),
                line.line + 1,
                line.bytes,
                if line.by_server { "a limit of the server" } else { "--max-line-bytes" },
            )?;
        }
        let (over_plan, failed): (Vec<_>, Vec<_>) =
            self.failed.iter().partition(|failed| failed.code == OVER_PLAN);
        for failed in failed {
            let what = failed.transcript.as_deref().unwrap_or("all transcripts");
            let path = failed.path.display();
            writeln!(out, "failed: {} ({what}): {path}: {}", failed.session_id, failed.message)?;
        }
        write_over_plan(&over_plan, out)?;
        writeln!(
            out,
            "{} sessions, {} transcripts ({} up to date): {} lines sent, {} stored, {} duplicates, {} rejected, {} \
             omitted",
            self.sessions,
            self.transcripts,
            self.up_to_date,
            self.lines_sent,
            self.stored,
            self.duplicates,
            self.rejected.len(),
            self.omitted.len(),
        )?;
        for (count, what) in [
            (self.not_utf8, "lines are not UTF-8; invalid bytes were replaced by U+FFFD"),
            (self.half_written, "last lines are incomplete; the next push sends them"),
            (
                self.restarted,
                "transcripts differ from what the server had; they were sent from the beginning",
            ),
        ] {
            if count > 0 {
                writeln!(out, "{count} {what}")?;
            }
        }
        self.write_skipped(out)?;
        if !self.failed.is_empty() {
            writeln!(out, "incomplete: {} sessions failed", self.failed_sessions())?;
        }
        if let Some(error) = &self.stopped {
            writeln!(out, "stopped: {error}")?;
        }
        Ok(())
    }

    /// The skipped files, by reason. Tools write thousands of some kinds, so only the first of each reason are named; the
    /// JSON report names all.
    fn write_skipped(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut by_reason = BTreeMap::<&str, Vec<&SkippedFile>>::new();
        for file in &self.skipped {
            by_reason.entry(&file.reason).or_default().push(file);
        }
        for (reason, files) in by_reason {
            writeln!(out, "skipped {}: {reason}", plural(files.len()))?;
            for file in files.iter().take(NAMED_FILES) {
                writeln!(out, "  {}", file.path.display())?;
            }
            if files.len() > NAMED_FILES {
                writeln!(out, "  and {} more (--json names them)", files.len() - NAMED_FILES)?;
            }
        }
        Ok(())
    }
}

/// The sessions that the team's plan does not allow: the reason is the same for all of them.
fn write_over_plan(sessions: &[&FailedTranscript], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = sessions.first() else { return Ok(()) };
    let n = sessions.len();
    let plural = if n == 1 { "" } else { "s" };
    writeln!(
        out,
        "over the plan: {n} session{plural} not pushed, and left for a later push: {}",
        first.message
    )?;
    for session in sessions.iter().take(NAMED_FILES) {
        writeln!(out, "  {}: {}", session.session_id, session.path.display())?;
    }
    if n > NAMED_FILES {
        writeln!(out, "  and {} more (--json names them)", n - NAMED_FILES)?;
    }
    Ok(())
}

fn plural(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}
