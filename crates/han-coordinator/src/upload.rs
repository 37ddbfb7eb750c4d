//! The upload of one transcript: finds the line to resume from, reads lines into requests, and records problems. Not
//! here: HTTP; the server's status is a parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::mem;
use std::path::PathBuf;

use han_types::sync::{RejectedLine, SessionMetadata, SyncLimits, TranscriptStatus};

use crate::batch::{RequestBuilder, Source};
use crate::client::fits;
use crate::lines::{Content, FileLine, LineReader};
use crate::metadata;

/// The number of lines at the start of a file that are searched for the working directory.
const FIRST_LINES: u64 = 100;
/// Longer lines are skipped in that search.
const FIRST_LINES_MAX_BYTES: u64 = 1 << 20;
/// A length limit that turns every line into a placeholder, so that skipping lines takes no memory.
const PLACEHOLDER_ONLY: u64 = 0;

type TranscriptReader = LineReader<BufReader<File>>;

/// Data that a session's transcripts share.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) metadata: SessionMetadata,
}

/// A line that was not sent because it is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Omission {
    /// Its length in bytes.
    pub(crate) bytes: u64,
    /// Whether it exceeds a limit of the server; else, the client's own limit.
    pub(crate) by_server: bool,
}

/// The upload of one transcript.
pub(crate) struct Upload {
    pub(crate) path: PathBuf,
    pub(crate) transcript: String,
    /// The session's index in the push's list.
    pub(crate) session: usize,
    /// Whether this file determines the session's metadata. Subagents work in other directories and on other branches,
    /// so the main file is used if there is one.
    pub(crate) describes_session: bool,
    state: State,
    /// Lines that the server refused in a request of their own.
    too_large: BTreeSet<u64>,
    /// Lines that were omitted by an earlier push and are tried again after the end of the file.
    refills: Vec<u64>,
    /// Whether the lines that are sent now are such lines.
    refilling: bool,
    /// Lines with problems, by number, so that a line that is sent twice is reported once.
    pub(crate) rejected: BTreeMap<u64, RejectedLine>,
    pub(crate) omitted: BTreeMap<u64, Omission>,
    pub(crate) not_utf8: BTreeSet<u64>,
    /// The last line is incomplete.
    pub(crate) half_written: bool,
    /// The server's content differs from the file, so the upload started again from the beginning.
    pub(crate) restarted: bool,
    /// The server has accepted at least one batch.
    pub(crate) sent: bool,
    /// The upload has failed.
    pub(crate) failed: bool,
    /// How often the server reported a gap.
    pub(crate) gaps: u32,
    /// The number of consecutive responses in which the server could not store a batch.
    pub(crate) unavailable: u32,
}

enum State {
    /// Not opened. Resumes after the server's last line if that line is in the file.
    Unopened(Option<TranscriptStatus>),
    /// Must be reopened at this line.
    Reopen(u64),
    /// Open. The line is one that did not fit into the previous request.
    Reading(TranscriptReader, Option<FileLine>),
    /// Read to its end, or failed.
    Done,
}

/// Whether a request has room for more lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FillState {
    /// The transcript is at its end; there is room for another.
    HasRoom,
    /// There is no room left.
    Full,
}

impl Upload {
    pub(crate) fn new(path: PathBuf, transcript: String, session: usize, describes_session: bool) -> Self {
        Self {
            path,
            transcript,
            session,
            describes_session,
            state: State::Unopened(None),
            too_large: BTreeSet::new(),
            refills: Vec::new(),
            refilling: false,
            rejected: BTreeMap::new(),
            omitted: BTreeMap::new(),
            not_utf8: BTreeSet::new(),
            half_written: false,
            restarted: false,
            sent: false,
            failed: false,
            gaps: 0,
            unavailable: 0,
        }
    }

    /// Sets the server's status, from which the upload resumes. Must be called before the first read.
    pub(crate) fn resume_from(&mut self, mut status: TranscriptStatus) {
        self.refills = mem::take(&mut status.omitted);
        self.refills.reverse();
        self.state = State::Unopened(Some(status));
    }

    /// Continues from this line.
    pub(crate) fn rewind_to(&mut self, number: u64) {
        if !self.failed {
            self.refilling = false;
            self.state = State::Reopen(number);
        }
    }

    /// Sends a placeholder for this line, which the server refuses even in a request of its own. Returns false if that
    /// was the placeholder.
    pub(crate) fn omit(&mut self, number: u64, bytes: u64) -> bool {
        if self.refilling {
            // The server has its placeholder.
            self.omitted.insert(number, Omission { bytes, by_server: true });
            return true;
        }
        self.rewind_to(number);
        !self.omitted.contains_key(&number) && self.too_large.insert(number)
    }

    /// Sends no line: the server has them all.
    pub(crate) fn skip(&mut self) {
        self.state = State::Done;
    }

    /// Marks the upload as failed; no more lines are sent.
    pub(crate) fn abandon(&mut self) {
        self.failed = true;
        self.state = State::Done;
    }

    /// Adds lines to the request until it is full or the file is at its end; then the lines that an earlier push omitted
    /// and that fit now.
    pub(crate) fn fill(
        &mut self,
        owner: usize,
        session: &mut Session,
        max_line_bytes: u64,
        limits: Option<&SyncLimits>,
        request: &mut RequestBuilder<usize>,
    ) -> io::Result<FillState> {
        let (mut reader, mut waiting) = match mem::replace(&mut self.state, State::Done) {
            State::Done => return self.refill(owner, session, max_line_bytes, limits, request),
            State::Reading(reader, waiting) => (reader, waiting),
            State::Reopen(number) => (self.reopen(number)?, None),
            State::Unopened(status) => (self.open(status, session, max_line_bytes)?, None),
        };
        loop {
            let line = match waiting.take() {
                Some(line) => line,
                None => match self.read(&mut reader, session, max_line_bytes)? {
                    Some(line) => line,
                    None => return self.refill(owner, session, max_line_bytes, limits, request),
                },
            };
            let source = Source { owner, session_id: &session.id, transcript: &self.transcript };
            if !request.add(source, &session.metadata, line.number, &line.content.wire()) {
                self.state = State::Reading(reader, Some(line));
                return Ok(FillState::Full);
            }
            match line.content {
                Content::TooLong { bytes, .. } => {
                    let by_server = self.too_large.contains(&line.number);
                    self.omitted.insert(line.number, Omission { bytes, by_server });
                }
                Content::Lossy(_) => drop(self.not_utf8.insert(line.number)),
                Content::Object(_) | Content::Text(_) => {}
            }
        }
    }

    /// Adds the lines that an earlier push omitted, if they fit now. Lines of a file that was sent from the beginning are
    /// among those that were sent.
    fn refill(
        &mut self,
        owner: usize,
        session: &Session,
        max_line_bytes: u64,
        limits: Option<&SyncLimits>,
        request: &mut RequestBuilder<usize>,
    ) -> io::Result<FillState> {
        if self.failed || self.restarted {
            self.refills.clear();
        }
        while let Some(&number) = self.refills.last() {
            let Some(line) = self.reopen(number)?.next_line(max_line_bytes)? else {
                self.refills.pop();
                continue;
            };
            let wire = line.content.wire();
            let omission = match &line.content {
                Content::TooLong { bytes, .. } => Some(Omission { bytes: *bytes, by_server: false }),
                _ if limits.is_some_and(|limits| !fits(limits, &wire)) => {
                    Some(Omission { bytes: wire.len() as u64, by_server: true })
                }
                _ => None,
            };
            if let Some(omission) = omission {
                self.omitted.insert(number, omission);
                self.refills.pop();
                continue;
            }
            // In a request of its own: if that is refused, no other line must be sent again.
            if !request.is_empty() {
                return Ok(FillState::Full);
            }
            let source = Source { owner, session_id: &session.id, transcript: &self.transcript };
            request.add(source, &session.metadata, number, &wire);
            self.refilling = true;
            self.refills.pop();
            return Ok(FillState::Full);
        }
        Ok(FillState::HasRoom)
    }

    fn read(
        &mut self,
        reader: &mut TranscriptReader,
        session: &mut Session,
        max_line_bytes: u64,
    ) -> io::Result<Option<FileLine>> {
        let omit = self.too_large.contains(&reader.number());
        let line = reader.next_line(if omit { PLACEHOLDER_ONLY } else { max_line_bytes })?;
        match &line {
            Some(line) if self.describes_session => metadata::update_from(&mut session.metadata, line),
            Some(_) => {}
            None => self.half_written = reader.has_partial_line()?,
        }
        Ok(line)
    }

    fn reopen(&self, number: u64) -> io::Result<TranscriptReader> {
        let mut reader = LineReader::new(BufReader::new(File::open(&self.path)?));
        while reader.number() < number && reader.next_line(PLACEHOLDER_ONLY)?.is_some() {}
        Ok(reader)
    }

    /// Opens the file after the server's last line, if the file has that line at that number; otherwise (a new,
    /// rewritten or truncated file) at the beginning.
    fn open(
        &mut self,
        status: Option<TranscriptStatus>,
        session: &mut Session,
        max_line_bytes: u64,
    ) -> io::Result<TranscriptReader> {
        let mut reader = self.reopen(0)?;
        if self.describes_session {
            while reader.number() < FIRST_LINES
                && session.metadata.project_path.is_none()
                && let Some(line) = reader.next_line(FIRST_LINES_MAX_BYTES)?
            {
                metadata::update_from(&mut session.metadata, &line);
            }
            reader.seek(0, 0)?;
        }
        let Some(status) = status.filter(|status| status.offset > 0) else { return Ok(reader) };
        if let Some(hash) = &status.last_line_hash {
            while reader.number() + 1 < status.offset
                && self.read(&mut reader, session, max_line_bytes)?.is_some()
            {}
            if reader.number() + 1 == status.offset
                && self.reads_line_with_hash(hash, &mut reader, session, max_line_bytes)?
            {
                return Ok(reader);
            }
        }
        tracing::info!(
            "{} differs from what the server has; sending it from the beginning",
            self.path.display()
        );
        self.restarted = true;
        reader.seek(0, 0)?;
        Ok(reader)
    }

    /// Reads a line and returns whether it has this hash, either unchanged or as a placeholder. The limit that decided
    /// between the two may have changed since the line was sent.
    fn reads_line_with_hash(
        &mut self,
        hash: &str,
        reader: &mut TranscriptReader,
        session: &mut Session,
        max_line_bytes: u64,
    ) -> io::Result<bool> {
        let (number, position) = (reader.number(), reader.position());
        match self.read(reader, session, max_line_bytes)? {
            None => return Ok(false),
            Some(line) if line.content.hash() == hash => return Ok(true),
            Some(_) => reader.seek(number, position)?,
        }
        let Some(line) = reader.next_line(PLACEHOLDER_ONLY)? else { return Ok(false) };
        let is_unchanged = matches!(&line.content, Content::TooLong { sha256, .. } if sha256 == hash);
        Ok(is_unchanged || line.content.hash() == hash)
    }
}
