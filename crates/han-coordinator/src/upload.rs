//! The upload of one transcript: finds the line to resume from, reads lines into requests, and records problems. Not
//! here: HTTP; the server's status is a parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::mem;
use std::path::PathBuf;

use han_types::sync::{RejectedLine, SessionMetadata, SyncLimits, TranscriptStatus};

use crate::batch::{RequestBuilder, Source};
use crate::client::fits;
use crate::lines::{Content, FileLine, LineReader, Mark};
use crate::memory::{self, PushedFile, WholeFile};
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
    /// What an earlier push has remembered of the file.
    remembered: Option<PushedFile>,
    /// What the server has of the file: of an earlier push, and then of this one.
    known: Option<Prefix>,
    /// What the server has when it accepts the request that was filled last.
    filled: Option<Prefix>,
    /// Whether `known` is of this push.
    is_new: bool,
    /// Whether the lines of `known` are not those of the file any more.
    differs: bool,
    /// The protocol's hash of the last line that was sent or that the server had.
    last_line: Option<String>,
    /// The server's offset before this push.
    offset: u64,
    /// The file's size, and when it was changed, before it was read.
    opened: Option<(u64, u64)>,
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

/// The first lines of a file.
struct Prefix {
    lines: u64,
    sha256: String,
    last_line: String,
    /// Whether they are all complete lines of the file.
    is_whole: bool,
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
            remembered: None,
            known: None,
            filled: None,
            is_new: false,
            differs: false,
            last_line: None,
            offset: 0,
            opened: None,
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

    /// Sets what an earlier push has remembered of the file. Must be called before the first read.
    pub(crate) fn recall(&mut self, remembered: Option<PushedFile>) {
        self.known = remembered.as_ref().map(|file| Prefix {
            lines: file.lines,
            sha256: file.sha256.clone(),
            last_line: file.last_line.clone(),
            is_whole: false,
        });
        self.remembered = remembered;
    }

    /// What this push has to remember of the file, if it is not the same as before.
    pub(crate) fn pushed(&self) -> Option<PushedFile> {
        let (bytes, modified) = self.opened?;
        let known = self.known.as_ref().filter(|_| self.is_new)?;
        let pushed = PushedFile {
            lines: known.lines,
            sha256: known.sha256.clone(),
            last_line: known.last_line.clone(),
            older_end: if self.offset > known.lines { self.offset } else { 0 },
            modified,
            whole: None,
        };
        let whole = Some(WholeFile { bytes, half_written: self.half_written });
        Some(match (known.is_whole, self.restarted) {
            (true, _) => PushedFile { whole, ..pushed },
            (false, false) => pushed,
            // The server has lines of two states of the file, so the next push must start again: no file has this hash.
            (false, true) => PushedFile { lines: 1, sha256: String::new(), ..pushed },
        })
    }

    /// The server has accepted all lines of the request that was filled last, unless the upload was rewound.
    pub(crate) fn confirm(&mut self) {
        if let Some(filled) = self.filled.take() {
            self.known = Some(filled);
            self.is_new = true;
        }
    }

    /// Continues from this line.
    pub(crate) fn rewind_to(&mut self, number: u64) {
        self.filled = None;
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
        self.filled = None;
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
            State::Unopened(Some(status)) if self.is_unchanged(&status)? => {
                return self.refill(owner, session, max_line_bytes, limits, request);
            }
            State::Unopened(status) => (self.open(status, session, max_line_bytes)?, None),
        };
        let mut last = None;
        loop {
            let (line, before) = match waiting.take() {
                Some(line) => (line, None),
                None => {
                    let before = reader.mark();
                    match self.read(&mut reader, session, max_line_bytes)? {
                        Some(line) => (line, Some(before)),
                        None => {
                            self.set_filled(&before, last.as_ref(), true);
                            return self.refill(owner, session, max_line_bytes, limits, request);
                        }
                    }
                }
            };
            let source = Source { owner, session_id: &session.id, transcript: &self.transcript };
            if !request.add(source, &session.metadata, line.number, &line.content.wire()) {
                if let Some(before) = before {
                    self.set_filled(&before, last.as_ref(), false);
                }
                self.state = State::Reading(reader, Some(line));
                return Ok(FillState::Full);
            }
            match &line.content {
                Content::TooLong { bytes, .. } => {
                    let by_server = self.too_large.contains(&line.number);
                    self.omitted.insert(line.number, Omission { bytes: *bytes, by_server });
                }
                Content::Lossy(_) => drop(self.not_utf8.insert(line.number)),
                Content::Object(_) | Content::Text(_) => {}
            }
            last = Some(line.content);
        }
    }

    /// Whether the file is as an earlier push left it, and the server, too. It is then not read.
    fn is_unchanged(&mut self, status: &TranscriptStatus) -> io::Result<bool> {
        let Some((file, whole)) = self.remembered.as_ref().and_then(|file| Some((file, file.whole?))) else {
            return Ok(false);
        };
        let is_of_server =
            status.offset == file.lines && status.last_line_hash.as_ref() == Some(&file.last_line);
        if !is_of_server {
            return Ok(false);
        }
        let now = fs::metadata(&self.path)?;
        let is_unchanged = (now.len(), memory::modified(&now)) == (whole.bytes, file.modified);
        self.half_written = is_unchanged && whole.half_written;
        Ok(is_unchanged)
    }

    /// Sets what the server has when it accepts the request. `end` is the end of its lines, and `last` the last of them, if
    /// there is one.
    fn set_filled(&mut self, end: &Mark, last: Option<&Content>, is_whole: bool) {
        if let Some(last) = last {
            self.last_line = Some(last.hash());
        }
        // A file that was changed while it was sent is compared with the lines before the change by the next push.
        if self.differs || end.lines() == 0 {
            return;
        }
        if let (Some(sha256), Some(last_line)) = (end.sha256(), self.last_line.clone()) {
            self.filled = Some(Prefix { lines: end.lines(), sha256, last_line, is_whole });
        }
        if last.is_none() {
            self.confirm();
        }
    }

    /// Compares the lines that were read with those that the server has.
    fn compare(&mut self, reader: &TranscriptReader) {
        if let Some(known) = self.known.as_ref().filter(|known| known.lines == reader.number()) {
            self.differs |= reader.mark().sha256().is_some_and(|sha256| sha256 != known.sha256);
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
        self.compare(reader);
        Ok(line)
    }

    fn reopen(&mut self, number: u64) -> io::Result<TranscriptReader> {
        let mut reader = LineReader::new(BufReader::new(File::open(&self.path)?));
        while reader.number() < number && reader.next_line(PLACEHOLDER_ONLY)?.is_some() {
            self.compare(&reader);
        }
        Ok(reader)
    }

    /// Opens the file after the server's last line, if the file has that line at that number, and the lines that an
    /// earlier push remembers; otherwise (a new, changed or truncated file) at the beginning.
    fn open(
        &mut self,
        status: Option<TranscriptStatus>,
        session: &mut Session,
        max_line_bytes: u64,
    ) -> io::Result<TranscriptReader> {
        let file = fs::metadata(&self.path)?;
        self.opened = Some((file.len(), memory::modified(&file)));
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
        let Some(status) = status.filter(|status| status.offset > 0) else {
            self.known = None;
            return Ok(reader);
        };
        self.offset = status.offset;
        if let Some(hash) = &status.last_line_hash {
            while reader.number() + 1 < status.offset
                && self.read(&mut reader, session, max_line_bytes)?.is_some()
            {}
            if reader.number() + 1 == status.offset
                && self.reads_line_with_hash(hash, &mut reader, session, max_line_bytes)?
                && self.has_known_lines(&mut reader)?
            {
                self.last_line = Some(hash.clone());
                return Ok(reader);
            }
        }
        tracing::info!(
            "{} differs from what the server has; sending it from the beginning",
            self.path.display()
        );
        self.restarted = true;
        self.known = None;
        self.differs = false;
        reader.seek(0, 0)?;
        Ok(reader)
    }

    /// Whether the file has the known lines. Those after the reader's place are read, too: the server may have lost them,
    /// or have stored only a part of a changed file.
    fn has_known_lines(&mut self, reader: &mut TranscriptReader) -> io::Result<bool> {
        let Some(known) = self.known.as_ref().map(|known| known.lines) else { return Ok(true) };
        if known < self.offset && self.remembered.as_ref().is_some_and(|file| file.older_end == self.offset) {
            return Ok(false);
        }
        let place = reader.mark();
        while reader.number() < known && reader.next_line(PLACEHOLDER_ONLY)?.is_some() {
            self.compare(reader);
        }
        let has_all = reader.number() >= known;
        reader.return_to(place)?;
        Ok(has_all && !self.differs)
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
        let place = reader.mark();
        match self.read(reader, session, max_line_bytes)? {
            None => return Ok(false),
            Some(line) if line.content.hash() == hash => return Ok(true),
            Some(_) => reader.return_to(place)?,
        }
        let Some(line) = reader.next_line(PLACEHOLDER_ONLY)? else { return Ok(false) };
        let is_unchanged = matches!(&line.content, Content::TooLong { sha256, .. } if sha256 == hash);
        Ok(is_unchanged || line.content.hash() == hash)
    }
}
