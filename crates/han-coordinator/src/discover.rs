//! Finds transcript files and determines the session and transcript name of each. Reads the first lines of a file only
//! if its path does not contain the session.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use han_types::{SessionId, TranscriptName};
use serde::Serialize;

use crate::error::Error;
use crate::lines::LineReader;
use crate::metadata;

/// The maximum length of a line that is read: of the first lines of an older subagent file, which name its session, and
/// of the lines of two copies of a transcript, which are compared.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// The number of lines of an older subagent file among which one must name its session.
const NAMING_LINES: u64 = 64;
/// That line begins within this many bytes.
const NAMING_BYTES: u64 = 1 << 20;

/// The transcripts under a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The sessions, ordered by id.
    pub sessions: Vec<DiscoveredSession>,
    /// The other files, in the order found.
    pub skipped: Vec<SkippedFile>,
    /// Files that look like transcripts but cannot be pushed, and folders that cannot be read, with the reason.
    pub warnings: Vec<String>,
}

/// A file that is not pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedFile {
    /// Its path.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// A session with at least one file.
#[derive(Debug, PartialEq, Eq)]
pub struct DiscoveredSession {
    /// Its id.
    pub id: SessionId,
    /// `main`, then `han`, then its subagents by name.
    pub files: Vec<TranscriptFile>,
}

/// One transcript.
#[derive(Debug, PartialEq, Eq)]
pub struct TranscriptFile {
    /// Its file; of several, the largest.
    pub path: PathBuf,
    /// Its name in the protocol.
    pub transcript: TranscriptName,
    /// Other files of the same transcript with lines that are not in `path`, the smallest first.
    pub copies: Vec<PathBuf>,
}

/// Finds every transcript under `path`: the folder of all projects (`~/.claude/projects`), one project's folder, one
/// session's folder, or one file. The main file of a session includes its subagents and Han's events.
///
/// # Errors
/// [`Error::Path`] if `path` cannot be read. Unreadable files and folders below it become warnings.
pub fn discover(path: &Path) -> Result<Discovery, Error> {
    let failed = |source| Error::Path { path: path.to_owned(), source };
    // A folder's name may be a session's id, and a relative path (`.`) does not contain it.
    let absolute = std::path::absolute(path).map_err(failed)?;
    let kind = fs::metadata(&absolute).map_err(failed)?;
    let mut walk = DirectoryWalk::default();
    let place = Place::of(&absolute);
    if kind.is_dir() {
        fs::read_dir(&absolute).map_err(failed)?;
        match place {
            Place::Projects if is_session(&absolute) => walk.session(&absolute),
            place => walk.folder(&absolute, &place),
        }
    } else {
        match stem_of(&absolute) {
            Some(stem) if is_main(stem) && matches!(place, Place::Projects) => {
                walk.session(&absolute.with_file_name(stem));
            }
            _ => walk.file(&absolute, &place),
        }
    }
    Ok(walk.finish())
}

/// Where a file or folder is, which decides what it is.
#[derive(Clone)]
enum Place {
    /// In the folder of all projects or below, but not in a session's folder.
    Projects,
    /// In the folder of the session with this id.
    Session(String),
    /// In `subagents` of the session with this id, or below, such as in `subagents/workflows/<run>`.
    Subagents(String),
    /// Where files are no transcripts, for this reason.
    Other(&'static str),
}

const TOOL_RESULT: &str = "it is an output of a tool, to which a line refers";
const IN_SESSION: &str = "it is in a session's folder, but not among its subagents";
const NO_TRANSCRIPT: &str = "it is no transcript: its name does not end in .jsonl";
const SUBAGENT_METADATA: &str = "it describes a subagent";
const JOURNAL: &str = "it is the bookkeeping of a workflow";
const SPECIAL: &str = "it is neither a file nor a folder";
const KNOWN_FOLDER: &str = "it is another link to a folder that was searched";

impl Place {
    /// The place that a path determines: it, or a folder that contains it, is `subagents` or `tool-results`.
    fn of(path: &Path) -> Self {
        for folder in path.ancestors() {
            let session = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            match (folder.file_name().and_then(|name| name.to_str()), session) {
                (Some("subagents"), Some(session)) => return Self::Subagents(session.to_owned()),
                (Some("tool-results"), Some(_)) => return Self::Other(TOOL_RESULT),
                _ => {}
            }
        }
        Self::Projects
    }

    /// The place of a folder in this one.
    fn below(&self, folder: &Path) -> Self {
        let name = folder.file_name().and_then(|name| name.to_str());
        match (self, name) {
            (Self::Projects, Some(name)) if is_session(folder) || with_jsonl(folder).is_file() => {
                Self::Session(name.to_owned())
            }
            (Self::Session(session), Some("subagents")) => Self::Subagents(session.clone()),
            (Self::Session(_), Some("tool-results")) => Self::Other(TOOL_RESULT),
            (Self::Session(_), _) => Self::Other(IN_SESSION),
            _ => self.clone(),
        }
    }
}

/// Whether a folder is a session's, by what it contains.
fn is_session(folder: &Path) -> bool {
    ["subagents", "tool-results"].iter().any(|name| folder.join(name).is_dir())
}

/// The name without `.jsonl`; `None` for any other file.
fn stem_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_suffix(".jsonl")
}

fn is_main(stem: &str) -> bool {
    !stem.starts_with("agent-") && !stem.ends_with("-han")
}

#[derive(Default)]
struct DirectoryWalk {
    found: BTreeMap<SessionId, BTreeMap<(u8, TranscriptName), BTreeSet<PathBuf>>>,
    /// The folders that were searched, without symbolic links.
    searched: HashSet<PathBuf>,
    skipped: Vec<SkippedFile>,
    warnings: Vec<String>,
}

impl DirectoryWalk {
    fn warn(&mut self, path: &Path, why: impl std::fmt::Display) {
        self.warnings.push(format!("{}: {why}", path.display()));
    }

    fn skip(&mut self, path: &Path, reason: impl Into<String>) {
        self.skipped.push(SkippedFile { path: path.to_owned(), reason: reason.into() });
    }

    /// A folder's files and folders, each sorted by name. Follows symbolic links, because people link these folders.
    fn entries(&mut self, folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let listed: io::Result<Vec<_>> = fs::read_dir(folder).and_then(Iterator::collect);
        match listed {
            Ok(entries) => {
                for path in entries.into_iter().map(|entry| entry.path()) {
                    match fs::metadata(&path) {
                        Ok(kind) if kind.is_dir() => folders.push(path),
                        Ok(kind) if kind.is_file() => files.push(path),
                        Ok(_) => self.skip(&path, SPECIAL),
                        Err(error) => self.skip(&path, format!("it cannot be read: {error}")),
                    }
                }
            }
            Err(error) => self.warn(folder, error),
        }
        files.sort();
        folders.sort();
        (files, folders)
    }

    /// Visits a folder and the folders in it.
    fn folder(&mut self, folder: &Path, place: &Place) {
        // Links may lead back to a folder that contains them.
        if !self.searched.insert(fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())) {
            self.skip(folder, KNOWN_FOLDER);
            return;
        }
        let (files, folders) = self.entries(folder);
        for file in files {
            self.file(&file, place);
        }
        for below in folders {
            let place = place.below(&below);
            self.folder(&below, &place);
        }
    }

    /// Visits one session, given the path of its folder (which need not exist): its files beside and in that folder.
    fn session(&mut self, folder: &Path) {
        let Some(id) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            self.warn(folder, "not pushed: its name is not UTF-8, so it cannot be a session's id");
            return;
        };
        let beside = folder.parent().map(Path::to_owned).unwrap_or_default();
        for file in [beside.join(format!("{id}.jsonl")), beside.join(format!("{id}-han.jsonl"))] {
            if file.is_file() {
                self.file(&file, &Place::Projects);
            }
        }
        if folder.is_dir() {
            self.folder(folder, &Place::Session(id.clone()));
        }
        let beside: Vec<_> =
            fs::read_dir(&beside).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        for file in beside {
            if stem_of(&file).is_some_and(|stem| stem.starts_with("agent-"))
                && session_in(&file).is_ok_and(|session| session == id)
            {
                self.file(&file, &Place::Projects);
            }
        }
    }

    /// Visits one file.
    fn file(&mut self, path: &Path, place: &Place) {
        let Some(stem) = stem_of(path) else {
            let is_metadata = path.to_str().is_some_and(|path| path.ends_with(".meta.json"));
            let reason = match place {
                Place::Other(reason) => *reason,
                Place::Subagents(_) if is_metadata => SUBAGENT_METADATA,
                _ => NO_TRANSCRIPT,
            };
            self.skip(path, reason);
            return;
        };
        let named = match place {
            Place::Other(reason) => return self.skip(path, *reason),
            Place::Session(_) => return self.skip(path, IN_SESSION),
            Place::Subagents(_) if stem == "journal" => return self.skip(path, JOURNAL),
            Place::Subagents(session) if stem.starts_with("agent-") => Ok((session.clone(), stem)),
            Place::Subagents(_) => Err("it is among subagents but is not named agent-<id>.jsonl".to_owned()),
            Place::Projects if stem.starts_with("agent-") => session_in(path).map(|session| (session, stem)),
            Place::Projects => match stem.strip_suffix("-han") {
                Some(session) => Ok((session.to_owned(), TranscriptName::HAN)),
                None => Ok((stem.to_owned(), TranscriptName::MAIN)),
            },
        };
        let checked = named.and_then(|(session, transcript)| {
            let session = session.parse::<SessionId>().map_err(|error| error.to_string())?;
            let transcript = transcript.parse::<TranscriptName>().map_err(|error| error.to_string())?;
            Ok((session, transcript))
        });
        match checked {
            Ok((session, transcript)) => self.add(path, session, transcript),
            Err(why) => {
                self.warn(path, format!("not pushed: {why}"));
                self.skip(path, why);
            }
        }
    }

    fn add(&mut self, path: &Path, session: SessionId, transcript: TranscriptName) {
        let rank = match transcript.as_str() {
            TranscriptName::MAIN => 0,
            TranscriptName::HAN => 1,
            _ => 2,
        };
        let files = self.found.entry(session).or_default();
        files.entry((rank, transcript)).or_default().insert(path.to_owned());
    }

    fn finish(mut self) -> Discovery {
        let mut sessions = Vec::new();
        for (id, found) in std::mem::take(&mut self.found) {
            let files =
                found.into_iter().filter_map(|((_, transcript), paths)| self.transcript(transcript, paths));
            sessions.push(DiscoveredSession { id, files: files.collect() });
        }
        Discovery { sessions, skipped: self.skipped, warnings: self.warnings }
    }

    /// A transcript from its files. A session that was resumed in another folder has several: a stub, an older copy, or
    /// copies of which each has lines of its own. Only the last are pushed beside the largest.
    fn transcript(&mut self, transcript: TranscriptName, paths: BTreeSet<PathBuf>) -> Option<TranscriptFile> {
        let mut paths: Vec<_> = paths.into_iter().collect();
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |kind| kind.len());
        paths.sort_by_cached_key(|path| size(path));
        // Of files of the same size, the first by name.
        let largest = paths.last().map(size)?;
        let at = paths.iter().position(|path| size(path) >= largest)?;
        let path = paths.remove(at);
        let mut copies = Vec::new();
        let lines = if paths.is_empty() { Ok(HashSet::new()) } else { line_hashes(&path) };
        for copy in paths {
            // If one of them cannot be read, the push reports it.
            let is_contained = match (&lines, line_hashes(&copy)) {
                (Ok(lines), Ok(of_copy)) => of_copy.is_subset(lines),
                _ => false,
            };
            if is_contained {
                self.skip(&copy, format!("it has no line that is not in {}", path.display()));
            } else {
                copies.push(copy);
            }
        }
        Some(TranscriptFile { path, transcript, copies })
    }
}

/// The hashes of a file's lines.
fn line_hashes(path: &Path) -> io::Result<HashSet<String>> {
    let mut reader = LineReader::new(BufReader::new(File::open(path)?));
    let mut hashes = HashSet::new();
    while let Some(line) = reader.next_line(MAX_LINE_BYTES)? {
        hashes.insert(line.content.hash());
    }
    Ok(hashes)
}

/// `<session>.jsonl` beside the folder `<session>`. (Not `Path::with_extension`, because a session's id may contain a
/// dot.)
fn with_jsonl(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".jsonl");
    PathBuf::from(name)
}

/// The session that the first lines of an older subagent file name. Its first line may be damaged, or of a kind that
/// names no session.
fn session_in(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut reader = LineReader::new(BufReader::new(file));
    while reader.number() < NAMING_LINES
        && reader.position() < NAMING_BYTES
        && let Some(line) = reader.next_line(MAX_LINE_BYTES).map_err(|error| error.to_string())?
    {
        if let Some(session) = metadata::session_of(&line) {
            return Ok(session);
        }
    }
    Err(format!(
        "none of its first lines (up to {NAMING_LINES}) names the session of this subagent (sessionId)"
    ))
}
