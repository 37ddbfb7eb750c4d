//! One transcript on its way: where to begin reading, what was read, what was odd about it. Knows the server only by
//! the status it gave.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::mem;
use std::path::PathBuf;

use han_types::sync::{RejectedLine, SessionMetadata, TranscriptStatus};

use crate::batch::{RequestBuilder, Source};
use crate::lines::{Content, Line, LineReader};
use crate::metadata;

/// The working directory is looked for in this many of a file's first lines.
const FIRST_LINES: u64 = 100;
/// While looking there, longer lines are passed over.
const FIRST_LINES_MAX_BYTES: u64 = 1 << 20;
/// The length limit that turns every line into its placeholder, so that passing over it takes no memory.
const KEEP_NOTHING: u64 = 0;

type Reader = LineReader<BufReader<File>>;

/// What the transcripts of one session have in common.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) metadata: SessionMetadata,
}

/// One transcript on its way.
pub(crate) struct Upload {
    pub(crate) path: PathBuf,
    pub(crate) transcript: String,
    /// The session's place in the push's list.
    pub(crate) session: usize,
    /// Whether this file speaks for its session. Subagents work in other directories and on other branches; where
    /// there is a main file, that one counts.
    pub(crate) describes_session: bool,
    state: State,
    /// Lines the server refused to take even alone.
    too_large: BTreeSet<u64>,
    /// What became of odd lines, by number, so that a line sent twice is reported once.
    pub(crate) rejected: BTreeMap<u64, RejectedLine>,
    pub(crate) omitted: BTreeMap<u64, u64>,
    pub(crate) not_utf8: BTreeSet<u64>,
    /// The last line was still being written.
    pub(crate) half_written: bool,
    /// The server had something else than the file, so it was begun anew.
    pub(crate) restarted: bool,
    /// The server has answered for at least one batch.
    pub(crate) sent: bool,
    /// Given up.
    pub(crate) failed: bool,
    /// How often the server has sent us back.
    pub(crate) gaps: u32,
    /// How often in a row the server was not able to store a batch.
    pub(crate) unavailable: u32,
}

enum State {
    /// Not opened yet: begins where the server is, if that can be recognised.
    Fresh(Option<TranscriptStatus>),
    /// To be opened again at this line.
    Again(u64),
    /// Open. The line is one that did not fit into the request before.
    Reading(Reader, Option<Line>),
    /// Read to its end, or given up.
    Done,
}

/// How far a request has been filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There is room for another transcript.
    Partly,
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
            state: State::Fresh(None),
            too_large: BTreeSet::new(),
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

    /// Begin where the server is, which is told before anything is read.
    pub(crate) fn resume_from(&mut self, status: TranscriptStatus) {
        self.state = State::Fresh(Some(status));
    }

    /// Read on from this line, whatever was read already.
    pub(crate) fn go_back_to(&mut self, number: u64) {
        if !self.failed {
            self.state = State::Again(number);
        }
    }

    /// The server does not take this line even alone: send its placeholder. False if it was that already.
    pub(crate) fn omit(&mut self, number: u64) -> bool {
        self.go_back_to(number);
        !self.omitted.contains_key(&number) && self.too_large.insert(number)
    }

    /// Nothing more of this transcript is sent.
    pub(crate) fn give_up(&mut self) {
        self.failed = true;
        self.state = State::Done;
    }

    /// Adds lines to the request until it is full or the file is at its end.
    pub(crate) fn fill(
        &mut self,
        owner: usize,
        session: &mut Session,
        max_line_bytes: u64,
        request: &mut RequestBuilder<usize>,
    ) -> io::Result<Filled> {
        let (mut reader, mut waiting) = match mem::replace(&mut self.state, State::Done) {
            State::Done => return Ok(Filled::Partly),
            State::Reading(reader, waiting) => (reader, waiting),
            State::Again(number) => (self.reopen(number)?, None),
            State::Fresh(status) => (self.open(status, session, max_line_bytes)?, None),
        };
        loop {
            let line = match waiting.take() {
                Some(line) => line,
                None => match self.read(&mut reader, session, max_line_bytes)? {
                    Some(line) => line,
                    None => return Ok(Filled::Partly),
                },
            };
            let source = Source { owner, session_id: &session.id, transcript: &self.transcript };
            if !request.add(source, &session.metadata, line.number, &line.content.wire()) {
                self.state = State::Reading(reader, Some(line));
                return Ok(Filled::Full);
            }
            match line.content {
                Content::TooLong { bytes, .. } => drop(self.omitted.insert(line.number, bytes)),
                Content::Lossy(_) => drop(self.not_utf8.insert(line.number)),
                Content::Object(_) | Content::Text(_) => {}
            }
        }
    }

    fn read(
        &mut self,
        reader: &mut Reader,
        session: &mut Session,
        max_line_bytes: u64,
    ) -> io::Result<Option<Line>> {
        let omit = self.too_large.contains(&reader.number());
        let line = reader.next_line(if omit { KEEP_NOTHING } else { max_line_bytes })?;
        match &line {
            Some(line) if self.describes_session => metadata::learn(&mut session.metadata, line),
            Some(_) => {}
            None => self.half_written = reader.stands_before_half_a_line()?,
        }
        Ok(line)
    }

    fn reopen(&self, number: u64) -> io::Result<Reader> {
        let mut reader = LineReader::new(BufReader::new(File::open(&self.path)?));
        while reader.number() < number && reader.next_line(KEEP_NOTHING)?.is_some() {}
        Ok(reader)
    }

    /// Opens the file at the line after the last that the server has, if the server's last line is the file's;
    /// otherwise (nothing there yet, a rewritten or truncated file) at its beginning.
    fn open(
        &mut self,
        status: Option<TranscriptStatus>,
        session: &mut Session,
        max_line_bytes: u64,
    ) -> io::Result<Reader> {
        let mut reader = self.reopen(0)?;
        if self.describes_session {
            while reader.number() < FIRST_LINES
                && session.metadata.project_path.is_none()
                && let Some(line) = reader.next_line(FIRST_LINES_MAX_BYTES)?
            {
                metadata::learn(&mut session.metadata, &line);
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
        tracing::info!("{} is not what the server has; sending it from its beginning", self.path.display());
        self.restarted = true;
        reader.seek(0, 0)?;
        Ok(reader)
    }

    /// Reads a line and tells whether it is the one with this hash: sent as it stands, or as its placeholder, under
    /// whichever limit was in force then.
    fn reads_line_with_hash(
        &mut self,
        hash: &str,
        reader: &mut Reader,
        session: &mut Session,
        max_line_bytes: u64,
    ) -> io::Result<bool> {
        let (number, position) = (reader.number(), reader.position());
        match self.read(reader, session, max_line_bytes)? {
            None => return Ok(false),
            Some(line) if line.content.hash() == hash => return Ok(true),
            Some(_) => reader.seek(number, position)?,
        }
        let Some(line) = reader.next_line(KEEP_NOTHING)? else { return Ok(false) };
        let as_it_stands = matches!(&line.content, Content::TooLong { sha256, .. } if sha256 == hash);
        Ok(as_it_stands || line.content.hash() == hash)
    }
}
