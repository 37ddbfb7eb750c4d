//! The secrets of a program that was started without any: made once, kept in a file beside its SQLite database that only
//! its owner may read, and never overwritten.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use han_types::Entropy;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The file's name, in the database's directory.
const NAME: &str = "secrets.env";

/// The secrets of a program, by the names of their environment variables.
#[derive(Clone, Copy, Debug)]
pub struct SecretsFile {
    /// The program's name, for the file's first line.
    pub program: &'static str,
    /// Each secret that the file holds.
    pub names: &'static [&'static str],
    /// The one of them that encrypts the database: a new one could never decrypt an existing database.
    pub kek: &'static str,
}

/// What was found, or made.
#[derive(Debug)]
pub struct Found {
    /// The secrets of the file, by name.
    pub secrets: BTreeMap<String, SecretString>,
    /// What the operator must know: present if the file was made just now.
    pub notice: Option<String>,
}

impl SecretsFile {
    /// Reads the secrets of the database at `database`, and makes them if there are none yet. `missing` names those that
    /// the environment does not set.
    ///
    /// # Errors
    /// What is wrong with the file and what to do: it cannot be read or made, others may read it, one of `missing` is
    /// not in it, or it is gone while the database exists.
    pub fn read_or_make(
        &self,
        database: &Path,
        missing: &[&str],
        entropy: &dyn Entropy,
    ) -> Result<Found, String> {
        let dir = match database.parent() {
            Some(dir) if dir != Path::new("") => dir.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let file = dir.join(NAME);
        let at = |err: io::Error| format!("{} cannot be used: {err}", file.display());
        if file.try_exists().map_err(at)? {
            return Ok(Found { secrets: read(&file, missing)?, notice: None });
        }
        if missing.contains(&self.kek) && fs::metadata(database).is_ok_and(|found| found.len() > 0) {
            return Err(format!(
                "{} exists, but the secrets it was made with do not: put {} back, or set {}",
                database.display(),
                file.display(),
                self.kek
            ));
        }
        make_dir(&dir).map_err(|err| format!("{} cannot be made: {err}", dir.display()))?;
        self.make(&dir, &file, entropy).map_err(at)?;
        let notice = format!(
            "made new secrets in {}: keep a copy of this file, without it the stored sessions cannot be read",
            file.display()
        );
        Ok(Found { secrets: read(&file, missing)?, notice: Some(notice) })
    }

    /// Writes the file under another name and links it into place, so that it is complete or absent. If two processes
    /// start at once, one makes it and the other reads it.
    fn make(&self, dir: &Path, file: &Path, entropy: &dyn Entropy) -> io::Result<()> {
        let draft = dir.join(format!("{NAME}.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        let mut out = new_private_file(&draft)?;
        let mut text = Zeroizing::new(format!(
            "# The secrets of the {} whose database lies beside this file. Keep a copy and do not share it.\n",
            self.program
        ));
        for name in self.names {
            let mut bytes = Zeroizing::new([0u8; 32]);
            entropy.fill(bytes.as_mut_slice());
            let secret = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
            text.push_str(name);
            text.push('=');
            text.push_str(&secret);
            text.push('\n');
        }
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        let linked = fs::hard_link(&draft, file);
        fs::remove_file(&draft)?;
        match linked {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
            _ => File::open(dir)?.sync_all(),
        }
    }
}

/// Makes a directory, and those above it, that only this user may open. Does nothing if there is one.
#[cfg(unix)]
pub fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes a directory, and those above it. Does nothing if there is one.
#[cfg(not(unix))]
pub fn make_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

/// Makes a file that only this user may read and write.
///
/// # Errors
/// If there is one, or it cannot be made.
pub fn new_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn read(file: &Path, missing: &[&str]) -> Result<BTreeMap<String, SecretString>, String> {
    refuse_if_others_may_read(file)?;
    let text = fs::read_to_string(file).map_err(|err| format!("{} cannot be read: {err}", file.display()))?;
    let text = Zeroizing::new(text);
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("{} has a line that is not NAME=value", file.display()));
        };
        found.insert(name.trim().to_owned(), SecretString::from(value.trim().to_owned()));
    }
    for name in missing {
        if !found.contains_key(*name) {
            return Err(format!(
                "{} has no {name}, and it is never overwritten: put the line back, or set {name}",
                file.display()
            ));
        }
    }
    Ok(found)
}

/// The directory of a file, if every account of the machine may replace the files in it: all may write into it, and it is
/// not sticky, as `/tmp` is.
#[cfg(unix)]
#[must_use]
pub fn open_directory(file: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = file.canonicalize().ok()?.parent()?.to_path_buf();
    let mode = fs::metadata(&dir).ok()?.permissions().mode();
    (mode & 0o002 != 0 && mode & 0o1000 == 0).then_some(dir)
}

#[cfg(unix)]
fn refuse_if_others_may_read(file: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(file).map_err(|err| format!("{} cannot be read: {err}", file.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if let Some(dir) = open_directory(file) {
        return Err(format!(
            "others may replace {}: run `chmod o-w {}`, and make new secrets if others have",
            file.display(),
            dir.display()
        ));
    }
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "{} may be read by others (mode {mode:04o}): run `chmod 600 {}`, and make new secrets if others have",
        file.display(),
        file.display()
    ))
}

#[cfg(not(unix))]
fn refuse_if_others_may_read(_file: &Path) -> Result<(), String> {
    Ok(())
}
