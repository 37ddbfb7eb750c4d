//! Finds transcript files and determines the session and transcript name of each. Reads the first line of a file only
//! if its path does not contain the session.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use han_types::{SessionId, TranscriptName};

use crate::error::Error;
use crate::lines::LineReader;
use crate::metadata;

/// The maximum length of the first line of an older subagent file, which names its session.
const MAX_FIRST_LINE_BYTES: u64 = 16 << 20;

/// The transcripts under a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The sessions, ordered by id.
    pub sessions: Vec<DiscoveredSession>,
    /// The number of other files, including those in `warnings`.
    pub ignored: u64,
    /// Files that look like transcripts but cannot be pushed, with the reason.
    pub warnings: Vec<String>,
}

/// A session with at least one file.
#[derive(Debug, PartialEq, Eq)]
pub struct DiscoveredSession {
    /// Its id.
    pub id: SessionId,
    /// `main`, then `han`, then its subagents by name.
    pub files: Vec<TranscriptFile>,
}

/// One transcript file.
#[derive(Debug, PartialEq, Eq)]
pub struct TranscriptFile {
    /// Its path.
    pub path: PathBuf,
    /// Its name in the protocol.
    pub transcript: TranscriptName,
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
    if kind.is_dir() {
        fs::read_dir(&absolute).map_err(failed)?;
        if absolute.join("subagents").is_dir() {
            walk.session(&absolute);
        } else {
            walk.folder(&absolute, true);
        }
    } else {
        match stem_of(&absolute) {
            Some(stem) if is_main(&absolute, stem) => walk.session(&absolute.with_file_name(stem)),
            _ => walk.file(&absolute),
        }
    }
    Ok(walk.finish())
}

/// The name without `.jsonl`; `None` for any other file.
fn stem_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_suffix(".jsonl")
}

fn lies_in_subagents(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|name| name == "subagents")
}

fn is_main(path: &Path, stem: &str) -> bool {
    !stem.starts_with("agent-") && !stem.ends_with("-han") && !lies_in_subagents(path)
}

#[derive(Default)]
struct DirectoryWalk {
    found: BTreeMap<SessionId, BTreeMap<(u8, TranscriptName), PathBuf>>,
    ignored: u64,
    warnings: Vec<String>,
}

impl DirectoryWalk {
    fn warn(&mut self, path: &Path, why: impl std::fmt::Display) {
        self.warnings.push(format!("{}: {why}", path.display()));
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
                        _ => self.ignored += 1,
                    }
                }
            }
            Err(error) => self.warn(folder, error),
        }
        files.sort();
        folders.sort();
        (files, folders)
    }

    /// Visits a project's folder, or the folder of all projects (`projects_below`).
    fn folder(&mut self, folder: &Path, projects_below: bool) {
        let (files, folders) = self.entries(folder);
        for file in files {
            self.file(&file);
        }
        for below in folders {
            if below.join("subagents").is_dir() {
                self.subagents(&below);
            } else if projects_below && !with_jsonl(&below).is_file() {
                self.folder(&below, false);
            }
        }
    }

    /// Visits one session, given the path of its folder (which need not exist): its files beside and in that folder.
    fn session(&mut self, folder: &Path) {
        let Some(id) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            self.ignored += 1;
            return;
        };
        let beside = folder.parent().map(Path::to_owned).unwrap_or_default();
        for file in [beside.join(format!("{id}.jsonl")), beside.join(format!("{id}-han.jsonl"))] {
            if file.is_file() {
                self.file(&file);
            }
        }
        if folder.join("subagents").is_dir() {
            self.subagents(folder);
        }
        let (files, _) = self.entries(&beside);
        for file in files {
            if stem_of(&file).is_some_and(|stem| stem.starts_with("agent-"))
                && first_line_session(&file).is_ok_and(|session| session == id)
            {
                self.file(&file);
            }
        }
    }

    /// Visits the files of `<session>/subagents`. A session's folder has no other transcripts.
    fn subagents(&mut self, session: &Path) {
        let (files, _) = self.entries(&session.join("subagents"));
        for file in files {
            self.file(&file);
        }
    }

    /// Visits one file.
    fn file(&mut self, path: &Path) {
        let Some(stem) = stem_of(path) else {
            self.ignored += 1;
            return;
        };
        let named = if lies_in_subagents(path) {
            match path
                .parent()
                .and_then(Path::parent)
                .and_then(Path::file_name)
                .and_then(|name| name.to_str())
            {
                Some(session) if stem.starts_with("agent-") => Ok((session.to_owned(), stem)),
                _ => Err("it is among subagents but is not named agent-<id>.jsonl".to_owned()),
            }
        } else if stem.starts_with("agent-") {
            first_line_session(path).map(|session| (session, stem))
        } else if let Some(session) = stem.strip_suffix("-han") {
            Ok((session.to_owned(), TranscriptName::HAN))
        } else {
            Ok((stem.to_owned(), TranscriptName::MAIN))
        };
        let checked = named.and_then(|(session, transcript)| {
            let session = session.parse::<SessionId>().map_err(|error| error.to_string())?;
            let transcript = transcript.parse::<TranscriptName>().map_err(|error| error.to_string())?;
            Ok((session, transcript))
        });
        match checked {
            Ok((session, transcript)) => self.add(path, session, transcript),
            Err(why) => {
                self.ignored += 1;
                self.warn(path, format!("not pushed: {why}"));
            }
        }
    }

    /// Adds a transcript. A session that was resumed in another folder has two files of one transcript; files only
    /// grow, so the larger file contains the other.
    fn add(&mut self, path: &Path, session: SessionId, transcript: TranscriptName) {
        let rank = match transcript.as_str() {
            TranscriptName::MAIN => 0,
            TranscriptName::HAN => 1,
            _ => 2,
        };
        let files = self.found.entry(session).or_default();
        let key = (rank, transcript);
        let Some(other) = files.get(&key).filter(|other| other.as_path() != path).cloned() else {
            files.insert(key, path.to_owned());
            return;
        };
        let size = |path: &Path| fs::metadata(path).map_or(0, |kind| kind.len());
        let (kept, left) =
            if size(path) > size(&other) { (path.to_owned(), other) } else { (other, path.to_owned()) };
        let why = format!("not pushed: the same transcript as {}, which is not smaller", kept.display());
        files.insert(key, kept);
        self.ignored += 1;
        self.warn(&left, why);
    }

    fn finish(self) -> Discovery {
        let sessions = self
            .found
            .into_iter()
            .map(|(id, files)| DiscoveredSession {
                id,
                files: files
                    .into_iter()
                    .map(|((_, transcript), path)| TranscriptFile { path, transcript })
                    .collect(),
            })
            .collect();
        Discovery { sessions, ignored: self.ignored, warnings: self.warnings }
    }
}

/// `<session>.jsonl` beside the folder `<session>`. (Not `Path::with_extension`, because a session's id may contain a
/// dot.)
fn with_jsonl(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".jsonl");
    PathBuf::from(name)
}

fn first_line_session(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let line = LineReader::new(BufReader::new(file))
        .next_line(MAX_FIRST_LINE_BYTES)
        .map_err(|error| error.to_string())?;
    line.as_ref()
        .and_then(metadata::session_of)
        .ok_or_else(|| "its first line does not name the session of this subagent (sessionId)".to_owned())
}
