//! Stores logins: one refresh token per server, in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::error::Error;

const FILE: &str = "logins.json";

/// The file of logins in a directory of the user.
#[derive(Clone, Debug)]
pub struct LoginStore {
    directory: PathBuf,
}

impl LoginStore {
    /// The logins in `directory`, which need not exist.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The refresh token for a server.
    ///
    /// # Errors
    /// [`Error::LoginFile`] if the file exists and cannot be read.
    pub fn get(&self, server: &str) -> Result<Option<SecretString>, Error> {
        Ok(self.read()?.remove(server))
    }

    /// The servers with a login.
    ///
    /// # Errors
    /// [`Error::LoginFile`] if the file exists and cannot be read.
    pub fn servers(&self) -> Result<Vec<String>, Error> {
        Ok(self.read()?.into_keys().collect())
    }

    /// Stores the refresh token for a server; `None` removes it. The file is replaced atomically, so that a crash
    /// leaves the old file or the new one.
    ///
    /// # Errors
    /// [`Error::LoginFile`] if it cannot be read or written.
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
        self.write(&text).map_err(|source| Error::LoginFile { path: self.path(), source })
    }

    fn read(&self) -> Result<BTreeMap<String, SecretString>, Error> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => SecretString::from(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(Error::LoginFile { path, source }),
        };
        // Drops the parser's message, which may contain a token.
        let bad = || Error::LoginFile { path: path.clone(), source: io::ErrorKind::InvalidData.into() };
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

/// A new file that only its owner can read, from its creation.
pub(crate) fn private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
