//! What a push did: numbers, and every line and transcript that something was wrong with, by name. For people
//! ([`PushReport::write`]) and, as JSON, for programs.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use han_types::sync::LineErrorCode;
use serde::{Serialize, Serializer};

use crate::error::Error;

/// What a push did.
#[derive(Debug, Default, Serialize)]
pub struct PushReport {
    /// Sessions found.
    pub sessions: u64,
    /// Transcripts found.
    pub transcripts: u64,
    /// Transcripts of which the server had everything already.
    pub up_to_date: u64,
    /// Lines that the server answered for. A line that had to be sent again counts again.
    pub lines_sent: u64,
    /// Lines that are stored now and were not before.
    pub stored: u64,
    /// Lines that had been stored already.
    pub duplicates: u64,
    /// Lines that the server would not store.
    pub rejected: Vec<RejectedLineReport>,
    /// Lines too large to send, of which only length and hash were stored.
    pub omitted: Vec<OmittedLine>,
    /// Transcripts that could not be pushed to their end.
    pub failed: Vec<FailedTranscript>,
    /// Lines that were not UTF-8 and were sent with U+FFFD for what could not be read.
    pub not_utf8: u64,
    /// Last lines still being written, left for the next push.
    pub half_written: u64,
    /// Transcripts sent from their beginning again, because the server's last line was not the file's.
    pub restarted: u64,
    /// Files that are no transcripts.
    pub ignored_files: u64,
    /// Requests that carried lines and were answered.
    pub requests: u64,
    /// What else should be known.
    pub warnings: Vec<String>,
    /// Why the push ended before its end.
    #[serde(serialize_with = "as_text")]
    pub stopped: Option<Error>,
}

/// A line that the server would not store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedLineReport {
    /// Its file.
    pub path: PathBuf,
    /// Its 0-based number, as the protocol counts.
    pub line: u64,
    /// Why, for programs.
    pub code: LineErrorCode,
    /// Why, for people.
    pub message: String,
}

/// A line that was too large to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OmittedLine {
    /// Its file.
    pub path: PathBuf,
    /// Its 0-based number, as the protocol counts.
    pub line: u64,
    /// Its length.
    pub bytes: u64,
}

/// A transcript that could not be pushed to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedTranscript {
    /// The session.
    pub session_id: String,
    /// The transcript, or `None` where the whole session is refused.
    pub transcript: Option<String>,
    /// The file.
    pub path: PathBuf,
    /// Why, for programs: the protocol's code, or `io` or `protocol`.
    pub code: String,
    /// Why, for people.
    pub message: String,
}

fn as_text<S: Serializer>(stopped: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    stopped.as_ref().map(ToString::to_string).serialize(serializer)
}

impl PushReport {
    /// Whether everything that was found is at the server, or named as rejected or omitted.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.failed.is_empty() && self.stopped.is_none()
    }

    /// The sessions of which something failed.
    #[must_use]
    pub fn failed_sessions(&self) -> usize {
        self.failed.iter().map(|failed| &failed.session_id).collect::<BTreeSet<_>>().len()
    }

    /// Writes the report for people. Lines are counted from 1 here, as editors count them.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        for line in &self.rejected {
            writeln!(out, "rejected: {}:{}: {}", line.path.display(), line.line + 1, line.message)?;
        }
        for line in &self.omitted {
            writeln!(
                out,
                "omitted: {}:{}: {} bytes are more than the limit for a line; its length and hash were stored in its \
                 place",
                line.path.display(),
                line.line + 1,
                line.bytes
            )?;
        }
        for failed in &self.failed {
            let what = failed.transcript.as_deref().unwrap_or("all transcripts");
            let path = failed.path.display();
            writeln!(out, "failed: {} ({what}): {path}: {}", failed.session_id, failed.message)?;
        }
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
            (self.not_utf8, "lines were not UTF-8; what could not be read was replaced by U+FFFD"),
            (self.half_written, "last lines are still being written; the next push takes them"),
            (self.restarted, "transcripts are not what the server had; they were sent from their beginning"),
            (self.ignored_files, "other files ignored"),
        ] {
            if count > 0 {
                writeln!(out, "{count} {what}")?;
            }
        }
        if !self.failed.is_empty() {
            writeln!(out, "not complete: {} sessions failed", self.failed_sessions())?;
        }
        if let Some(error) = &self.stopped {
            writeln!(out, "stopped: {error}")?;
        }
        Ok(())
    }
}
