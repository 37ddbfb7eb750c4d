//! Remembers which copies of transcripts were pushed. A session that was resumed in another folder may have two files with
//! lines of their own, which have the same line numbers. The server knows the lines of both, but only the end of one; so a
//! copy that has not changed must not be sent by every push. Without this memory, or if it is lost, a copy is sent again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

const FILE: &str = "copies.json";

/// The copies that were pushed.
#[derive(Debug, Default)]
pub struct PushedCopies {
    directory: Option<PathBuf>,
    /// The hash of each copy's content, by the hash of its names.
    pushed: BTreeMap<String, String>,
    is_changed: bool,
}

/// A copy that may have been pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    names: String,
    content: String,
}

impl PushedCopies {
    /// Those that are remembered in `directory`, which need not exist. A file that cannot be read remembers none.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        let text = fs::read_to_string(directory.join(FILE)).unwrap_or_default();
        let pushed = serde_json::from_str(&text).unwrap_or_default();
        Self { directory: Some(directory.to_owned()), pushed, is_changed: false }
    }

    /// The copy at `path` as it is now. `names` are those of its server, team, session and transcript.
    pub(crate) fn copy(names: [&str; 4], path: &Path) -> io::Result<Copy> {
        let mut all = names.map(|name| name.as_bytes().to_vec()).to_vec();
        all.push(path.as_os_str().as_encoded_bytes().to_vec());
        let mut content = Sha256::new();
        io::copy(&mut fs::File::open(path)?, &mut content)?;
        Ok(Copy {
            names: format!("{:x}", Sha256::digest(all.join(&0))),
            content: format!("{:x}", content.finalize()),
        })
    }

    /// Whether this content was pushed.
    pub(crate) fn knows(&self, copy: &Copy) -> bool {
        self.pushed.get(&copy.names) == Some(&copy.content)
    }

    /// Remembers that this content was pushed.
    pub(crate) fn remember(&mut self, copy: Copy) {
        self.pushed.insert(copy.names, copy.content);
        self.is_changed = true;
    }

    /// Writes what changed. The file is replaced as a whole.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let Some(directory) = self.directory.as_ref().filter(|_| self.is_changed) else { return Ok(()) };
        fs::create_dir_all(directory)?;
        let new = directory.join(format!("{FILE}.{}", std::process::id()));
        fs::write(&new, serde_json::json!(self.pushed).to_string())?;
        fs::rename(&new, directory.join(FILE))?;
        self.is_changed = false;
        Ok(())
    }
}
