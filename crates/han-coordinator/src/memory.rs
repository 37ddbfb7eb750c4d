//! Remembers what was pushed, in two files of the configuration directory. Without this memory, or if it is lost, only
//! more is read and sent than necessary, and a changed line may be missed. Not here: what a push does with it.
//!
//! * Files: the server's status has the hash of the last line only. An agent also changes earlier lines in place, which
//!   the hash of all lines that were pushed shows.
//! * Copies: a session that was resumed in another folder may have two files with lines of their own, which have the
//!   same line numbers. The server knows the lines of both, but only the end of one; so a copy that has not changed must
//!   not be sent by every push.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::private;

const COPIES: &str = "copies.json";
const FILES: &str = "files.json";

/// The maximum number of files that are remembered, about 6 MB. Those that changed last are kept.
const MAX_FILES: usize = 20_000;

/// A file system may record times in steps of this many nanoseconds (FAT). A file that was changed less than a step ago
/// may change again without a new time.
const STEP_OF_TIMES: u64 = 2_000_000_000;

/// What was pushed.
#[derive(Debug, Default)]
pub struct PushMemory {
    directory: Option<PathBuf>,
    /// The time of the file system at the beginning, in nanoseconds since 1970. `None` if it is not known.
    began: Option<u64>,
    /// The hash of each copy's content.
    copies: Table<String>,
    files: Table<PushedFile>,
}

/// What was pushed of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PushedFile {
    /// The number of lines.
    pub(crate) lines: u64,
    /// SHA-256 of the file up to the end of the last of these lines, without its line feed.
    pub(crate) sha256: String,
    /// The protocol's hash of that line.
    pub(crate) last_line: String,
    /// The server's offset before the file was sent from the beginning, if it was greater than `lines`; else 0. As long as
    /// the server has this offset, the lines before it are of the longer file.
    pub(crate) older_end: u64,
    /// When the file was changed, in nanoseconds since 1970.
    pub(crate) modified: u64,
    /// The file as a whole, if all of it was pushed and its time shows whether it changed since.
    pub(crate) whole: Option<WholeFile>,
}

/// A file that was pushed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WholeFile {
    /// Its size.
    pub(crate) bytes: u64,
    /// Whether an incomplete line follows those that were pushed.
    pub(crate) half_written: bool,
}

/// A copy that may have been pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    key: String,
    content: String,
}

impl PushMemory {
    /// What is remembered in `directory`, which need not exist. A file that cannot be read remembers nothing.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self {
            directory: Some(directory.to_owned()),
            began: time_of_file_system(directory).ok(),
            copies: Table::of(directory, COPIES),
            files: Table::of(directory, FILES),
        }
    }

    /// The key of a file. `names` are those of its server, team, session and transcript.
    pub(crate) fn key(names: [&str; 4], path: &Path) -> String {
        let mut all = names.map(|name| name.as_bytes().to_vec()).to_vec();
        all.push(path.as_os_str().as_encoded_bytes().to_vec());
        format!("{:x}", Sha256::digest(all.join(&0)))
    }

    /// The copy at `path` as it is now, with the key of its file.
    pub(crate) fn copy(key: String, path: &Path) -> io::Result<Copy> {
        let mut content = Sha256::new();
        io::copy(&mut fs::File::open(path)?, &mut content)?;
        Ok(Copy { key, content: format!("{:x}", content.finalize()) })
    }

    /// Whether this content was pushed.
    pub(crate) fn knows(&self, copy: &Copy) -> bool {
        self.copies.get(&copy.key) == Some(&copy.content)
    }

    /// Remembers that this content was pushed.
    pub(crate) fn remember_copy(&mut self, copy: Copy) {
        self.copies.insert(copy.key, copy.content);
    }

    /// What was pushed of a file.
    pub(crate) fn file(&self, key: &str) -> Option<&PushedFile> {
        self.files.get(key)
    }

    /// Remembers what was pushed of a file, which was read after this memory was.
    pub(crate) fn remember_file(&mut self, key: String, mut file: PushedFile) {
        let is_old = |began| file.modified > 0 && file.modified.saturating_add(STEP_OF_TIMES) <= began;
        if !self.began.is_some_and(is_old) {
            file.whole = None;
        }
        self.files.insert(key, file);
    }

    /// Writes what changed. Each file is replaced as a whole, and keeps what another push wrote meanwhile.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        self.copies.save(directory, |_| {})?;
        self.files.save(directory, keep_newest)
    }
}

fn keep_newest(files: &mut BTreeMap<String, PushedFile>) {
    let Some(surplus) = files.len().checked_sub(MAX_FILES).filter(|surplus| *surplus > 0) else { return };
    let mut oldest: Vec<_> = files.iter().map(|(key, file)| (file.modified, key.clone())).collect();
    oldest.sort_unstable();
    for (_, key) in oldest.into_iter().take(surplus) {
        files.remove(&key);
    }
}

/// Values by key, in one file.
#[derive(Debug)]
struct Table<V> {
    file: &'static str,
    loaded: BTreeMap<String, V>,
    changed: BTreeMap<String, V>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { file: "", loaded: BTreeMap::new(), changed: BTreeMap::new() }
    }
}

impl<V: Clone + PartialEq + Serialize + DeserializeOwned> Table<V> {
    fn of(directory: &Path, file: &'static str) -> Self {
        Self { file, loaded: read(directory, file), changed: BTreeMap::new() }
    }

    fn get(&self, key: &str) -> Option<&V> {
        self.changed.get(key).or_else(|| self.loaded.get(key))
    }

    fn insert(&mut self, key: String, value: V) {
        if self.get(&key) != Some(&value) {
            self.changed.insert(key, value);
        }
    }

    /// Writes the changes to the file, and then limits what is in it. Of a value that another push wrote meanwhile, that
    /// is kept: this push may have read its file later, after a change that was not sent.
    fn save(&mut self, directory: &Path, limit: impl FnOnce(&mut BTreeMap<String, V>)) -> io::Result<()> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let mut values = read(directory, self.file);
        for (key, value) in &self.changed {
            if values.get(key).is_none_or(|other| self.loaded.get(key) == Some(other)) {
                values.insert(key.clone(), value.clone());
            }
        }
        limit(&mut values);
        fs::create_dir_all(directory)?;
        let new = new_path(directory, self.file);
        // A guess of a short line could be tested against its hash.
        private(&new)?.write_all(serde_json::to_string(&values)?.as_bytes())?;
        fs::rename(&new, directory.join(self.file))?;
        self.loaded = values;
        self.changed.clear();
        Ok(())
    }
}

fn read<V: DeserializeOwned>(directory: &Path, file: &str) -> BTreeMap<String, V> {
    let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// A path that no other push uses, also none of this process.
fn new_path(directory: &Path, file: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    directory.join(format!("{file}.{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// When a file was changed, in nanoseconds since 1970; 0 if the file system does not know it.
pub(crate) fn modified(file: &fs::Metadata) -> u64 {
    let since = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

/// The time that a new file gets: that of the clock that sets the times of other files.
fn time_of_file_system(directory: &Path) -> io::Result<u64> {
    fs::create_dir_all(directory)?;
    let path = new_path(directory, FILES);
    let time = fs::File::create(&path).and_then(|file| file.metadata()).map(|file| modified(&file));
    fs::remove_file(&path)?;
    time
}
