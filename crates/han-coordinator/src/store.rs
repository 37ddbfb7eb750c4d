//! What a signed-in command line keeps: one refresh token for each server, in a file that only its owner may read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::error::Error;

const FILE: &str = "logins.json";

/// A directory of the user's own, and in it the file of logins.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The logins kept in `directory`, which need not exist yet.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where they lie.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The refresh token for a server.
    ///
    /// # Errors
    /// [`Error::Store`] where the file is there and cannot be read.
    pub fn get(&self, server: &str) -> Result<Option<SecretString>, Error> {
        Ok(self.read()?.remove(server))
    }

    /// The servers that somebody is signed in to.
    ///
    /// # Errors
    /// [`Error::Store`] where the file is there and cannot be read.
    pub fn servers(&self) -> Result<Vec<String>, Error> {
        Ok(self.read()?.into_keys().collect())
    }

    /// Keeps the refresh token for a server; `None` forgets it. The file is replaced as a whole, so that a crash
    /// leaves the old one or the new one.
    ///
    /// # Errors
    /// [`Error::Store`] where it cannot be written.
    pub fn put(&self, server: &str, token: Option<&SecretString>) -> Result<(), Error> {
        let mut logins = self.read()?;
        match token {
            Some(token) => logins.insert(server.to_owned(), token.clone()),
            None => logins.remove(server),
        };
        let entries = logins
            .into_iter()
            .map(|(server, token)| (server, serde_json::json!({ "refresh_token": token.expose_secret() })));
        let text = Value::Object(entries.collect::<Map<_, _>>()).to_string();
        self.write(&text).map_err(|source| Error::Store { path: self.path(), source })
    }

    fn read(&self) -> Result<BTreeMap<String, SecretString>, Error> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => SecretString::from(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(Error::Store { path, source }),
        };
        // What the parser says is left out: it may quote a token.
        let bad = || Error::Store { path: path.clone(), source: io::ErrorKind::InvalidData.into() };
        let Ok(Value::Object(logins)) = serde_json::from_str(text.expose_secret()) else { return Err(bad()) };
        logins
            .into_iter()
            .map(|(server, login)| {
                let token = login.get("refresh_token").and_then(Value::as_str).ok_or_else(bad)?;
                Ok((server, SecretString::from(token)))
            })
            .collect()
    }

    fn write(&self, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let new = self.directory.join(format!("{FILE}.{}", std::process::id()));
        let mut file = private(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.path())
    }
}

/// A new file that nobody else may read, from the moment it exists.
fn private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
