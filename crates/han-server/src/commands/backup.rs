//! `han-server backup` and `han-server restore`. A backup is a directory with the database, and a file with the team keys,
//! which is kept apart. SQLite is copied by the server's own connection, PostgreSQL by `pg_dump` and `psql`, at one moment.
//! The last file of the directory has the sizes and hashes of both: what was interrupted, or cut, is not restored.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use han_crypto::to_hex;
use han_db::backup::{self, StoredKey};
use han_db::queries::audit::{self, Entry, Event, LogOf};
use han_db::{Db, Dialect};
use han_http::secrets_file::{make_dir, new_private_file};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{BackUp, CommandError, Restore, World};
use crate::app;
use crate::config::{Config, sqlite_url};

/// The database in the directory of a backup.
const SQLITE: &str = "han.db";
const POSTGRES: &str = "han.sql";

/// A copy of SQLite that still has the team keys.
const DRAFT: &str = "han.db.incomplete";

/// What shows that the backup is complete, and the version of its format.
const MANIFEST: &str = "backup.json";
const VERSION: u32 = 1;

/// Where Debian and Ubuntu have the programs of PostgreSQL that are not on the path.
const DEBIAN: &str = "/usr/lib/postgresql";

pub(super) async fn back_up(
    asked: &BackUp,
    config: &Config,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let BackUp { to, keys } = asked;
    make_new_dir(to)?;
    let stored = match key_file(to, keys) {
        Ok(mut file) => {
            let stored = write(asked, &mut file, config, db, world).await;
            if stored.is_err() {
                let _ = fs::remove_file(keys);
            }
            stored
        }
        Err(error) => Err(error),
    };
    if stored.is_err() {
        remove_backup(to);
    }
    let stored = stored?;
    audit::record_in(db, LogOf::Server, Entry::new(Event::BackedUp)).await?;
    writeln!(
        world.err,
        "han-server: backed up the database to {}, and {stored} team key(s) to {}: keep the two, and the KEK, apart",
        to.display(),
        keys.display()
    )?;
    Ok(())
}

/// Makes a directory that only this user may open, and that was not there before.
fn make_new_dir(dir: &Path) -> Result<(), CommandError> {
    let refused =
        || CommandError::Refused(format!("{} exists: name a new directory with --to", dir.display()));
    // A path that ends with `..` is that of another directory.
    if dir.file_name().is_none() {
        return Err(refused());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => refused(),
        _ => failed("cannot make", dir, &error),
    })
}

/// Removes what an incomplete backup may consist of, and nothing else. It may contain keys.
fn remove_backup(dir: &Path) {
    for name in
        [SQLITE, POSTGRES, MANIFEST].map(|name| dir.join(name)).into_iter().chain(files_of(&dir.join(DRAFT)))
    {
        let _ = fs::remove_file(name);
    }
    let _ = fs::remove_dir(dir);
}

/// The files that SQLite has for a database.
fn files_of(database: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|suffix| app::with_suffix(database, suffix))
}

/// The new file for the keys, which is not in the directory of the backup, whatever the paths look like.
fn key_file(to: &Path, keys: &Path) -> Result<fs::File, CommandError> {
    let parent = match keys.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let place = parent.canonicalize().map_err(|error| failed("cannot make the new file", keys, &error))?;
    let backup = to.canonicalize().map_err(|error| failed("cannot make", to, &error))?;
    if place.starts_with(backup) {
        return Err(CommandError::Refused(
            "--keys is in the directory of the backup: keep the keys apart, so that who has the backup cannot open it"
                .to_owned(),
        ));
    }
    new_file(keys)
}

/// Writes the database, the keys and, last, what shows that all of it is there. Returns the number of keys.
async fn write(
    asked: &BackUp,
    key_file: &mut fs::File,
    config: &Config,
    db: &Db,
    world: &World<'_>,
) -> Result<usize, CommandError> {
    let BackUp { to, keys } = asked;
    let (name, stored) = match db.dialect() {
        Dialect::Sqlite => {
            let draft = to.join(DRAFT);
            // So that no other user of the machine may read it from the beginning.
            drop(new_file(&draft)?);
            backup::copy_to(db, &draft).await?;
            let copy =
                app::connect(&with_url(config, &draft), Arc::clone(&world.clock), Arc::clone(&world.entropy))
                    .await?;
            let stored = backup::take_keys(&copy).await;
            copy.close().await;
            let stored = stored?;
            let file = to.join(SQLITE);
            fs::rename(&draft, &file).map_err(|error| failed("cannot make", &file, &error))?;
            (SQLITE, stored)
        }
        Dialect::Postgres => {
            let snapshot = backup::snapshot(db).await?;
            let mut dump = program("pg_dump", &config.database.url)?;
            dump.args(["--no-owner", "--exclude-table-data=team_keys"])
                .arg(format!("--snapshot={}", snapshot.name));
            dump.stdout(Stdio::from(new_file(&to.join(POSTGRES))?));
            run("pg_dump", dump).await?;
            (POSTGRES, snapshot.keys)
        }
    };
    for key in &stored {
        let line = serde_json::to_string(key).map_err(io::Error::from)?;
        writeln!(key_file, "{line}").map_err(|error| failed("cannot write", keys, &error))?;
    }
    key_file.sync_all().map_err(|error| failed("cannot write", keys, &error))?;
    let manifest = Manifest {
        version: VERSION,
        made_at: world.clock.now().to_rfc3339(),
        database: FileOf::read(&to.join(name))?,
        keys: FileOf::read(keys)?,
    };
    manifest.write(to)?;
    Ok(stored.len())
}

/// Restores a backup into the database of the configuration, which must be empty.
pub(super) async fn restore(
    asked: &Restore,
    config: &Config,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let Restore { from, keys, partial_keys } = asked;
    let manifest = Manifest::read(from)?;
    let is_sqlite = from.join(SQLITE).is_file();
    let file = from.join(if is_sqlite { SQLITE } else { POSTGRES });
    let changed = |file: &Path, remedy: &str| {
        CommandError::Refused(format!("{} is not what was backed up{remedy}", file.display()))
    };
    if FileOf::read(&file)? != manifest.database {
        return Err(changed(&file, ": it is incomplete, or was changed"));
    }
    let stored = read_keys(keys)?;
    if !partial_keys && FileOf::read(keys)? != manifest.keys {
        return Err(changed(
            keys,
            " with this backup: give the file of the same time, whole; or, if some keys were destroyed on purpose, add \
             --partial-keys",
        ));
    }
    let restored = match (&config.database.sqlite_file, is_sqlite) {
        (Some(target), true) => restore_sqlite(target, &file, &stored, config, world).await?,
        (None, false) => {
            let db = app::connect(config, Arc::clone(&world.clock), Arc::clone(&world.entropy)).await?;
            let restored = fill(config, &db, &file, &stored).await;
            db.close().await;
            restored?
        }
        (found, _) => {
            let (of, to) = match found {
                Some(_) => ("PostgreSQL", "SQLite"),
                None => ("SQLite", "PostgreSQL"),
            };
            return Err(CommandError::Refused(format!(
                "the backup is of {of}, and DATABASE_URL names {to}: to move a team between them, export and import it"
            )));
        }
    };
    writeln!(world.err, "han-server: restored the database, and {restored} team key(s)")?;
    Ok(())
}

/// Fills a file under another name, which gets its name when it is whole.
async fn restore_sqlite(
    target: &Path,
    backup: &Path,
    keys: &[StoredKey],
    config: &Config,
    world: &World<'_>,
) -> Result<u64, CommandError> {
    refuse_existing(target)?;
    let draft = app::restoring(target);
    for leftover in files_of(&draft) {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(
                    "cannot remove what is left of an interrupted restore,",
                    &leftover,
                    &error,
                ));
            }
            _ => {}
        }
    }
    if let Some(dir) = draft.parent().filter(|dir| *dir != Path::new("")) {
        make_dir(dir).map_err(|error| failed("cannot make", dir, &error))?;
    }
    let mut copy = new_file(&draft)?;
    let mut source = fs::File::open(backup).map_err(|error| failed("cannot read", backup, &error))?;
    io::copy(&mut source, &mut copy).map_err(|error| failed("cannot write", &draft, &error))?;
    copy.sync_all().map_err(|error| failed("cannot write", &draft, &error))?;
    let db =
        app::connect(&with_url(config, &draft), Arc::clone(&world.clock), Arc::clone(&world.entropy)).await?;
    let restored = backup::put_keys(&db, keys).await;
    let checked = db.check_keks().await;
    db.close().await;
    let restored = restored?;
    // While the draft exists, no server starts here; one that was about to may have made a database.
    refuse_existing(target)?;
    fs::hard_link(&draft, target).map_err(|error| failed("cannot make", target, &error))?;
    fs::remove_file(&draft).map_err(|error| failed("cannot remove", &draft, &error))?;
    checked?;
    Ok(restored)
}

/// Refuses to restore where there is a database, or what SQLite would take for the end of one.
fn refuse_existing(target: &Path) -> Result<(), CommandError> {
    match files_of(target).into_iter().find(|file| file.exists()) {
        Some(file) => Err(CommandError::Refused(format!(
            "{} exists, and a backup is restored into a new database only: name another place in HAN_DATA_DIR or \
             DATABASE_URL, or move the files {}* away",
            file.display(),
            target.display()
        ))),
        None => Ok(()),
    }
}

/// What shows that a backup is complete: written last.
#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u32,
    /// RFC 3339.
    made_at: String,
    database: FileOf,
    keys: FileOf,
}

/// A file of a backup, as it was written.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct FileOf {
    bytes: u64,
    /// In hexadecimal.
    sha256: String,
}

impl FileOf {
    fn read(path: &Path) -> Result<Self, CommandError> {
        let unreadable = |error| failed("cannot read", path, &error);
        let mut file = fs::File::open(path).map_err(unreadable)?;
        let mut hash = Sha256::new();
        let bytes = io::copy(&mut file, &mut hash).map_err(unreadable)?;
        Ok(Self { bytes, sha256: to_hex(&hash.finalize()) })
    }
}

impl Manifest {
    fn write(&self, dir: &Path) -> Result<(), CommandError> {
        let path = dir.join(MANIFEST);
        let wrong = |error| failed("cannot write", &path, &error);
        let mut file = new_file(&path)?;
        serde_json::to_writer_pretty(&mut file, self).map_err(|error| wrong(error.into()))?;
        file.write_all(b"\n").and_then(|()| file.sync_all()).map_err(wrong)?;
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(wrong)
    }

    fn read(dir: &Path) -> Result<Self, CommandError> {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|error| {
            failed("this is no complete backup, because its last file cannot be read:", &path, &error)
        })?;
        let wrong = |why: String| CommandError::Refused(format!("{}: {why}", path.display()));
        let manifest: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(wrong(format!("the version of the format is {}, not {VERSION}", manifest.version)));
        }
        Ok(manifest)
    }
}

/// Loads the dump of PostgreSQL and the keys in one transaction, and checks what came of it.
async fn fill(config: &Config, db: &Db, dump: &Path, keys: &[StoredKey]) -> Result<u64, CommandError> {
    db.prepare_restore().await?;
    let mut load = program("psql", &config.database.url)?;
    load.args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file=-"]);
    load.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut psql = load.spawn()?;
    let input = psql.stdin.take();
    let feed = async {
        let Some(mut input) = input else { return Ok(()) };
        let mut dump = tokio::fs::File::open(dump).await?;
        // Where this process is killed, psql finds no COMMIT.
        input.write_all(b"BEGIN;\n").await?;
        tokio::io::copy(&mut dump, &mut input).await?;
        input.write_all(backup::keys_as_sql(keys).as_bytes()).await?;
        input.write_all(b"COMMIT;\n").await?;
        input.shutdown().await
    };
    let (fed, ended) = tokio::join!(feed, psql.wait_with_output());
    // What it says is the cause, if it has ended before it has read everything.
    check("psql", &ended?)?;
    fed?;
    db.repair_access().await?;
    db.check_keks().await?;
    Ok(keys.len() as u64)
}

fn with_url(config: &Config, file: &Path) -> Config {
    let mut config = config.clone();
    config.database.url = sqlite_url(file);
    config.database.sqlite_file = Some(file.to_owned());
    config
}

fn read_keys(file: &Path) -> Result<Vec<StoredKey>, CommandError> {
    let text = fs::read_to_string(file).map_err(|error| failed("cannot read", file, &error))?;
    let key = |(n, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            CommandError::Refused(format!("line {} of {} is no team key: {error}", n + 1, file.display()))
        })
    };
    text.lines().enumerate().map(key).collect()
}

fn new_file(path: &Path) -> Result<fs::File, CommandError> {
    new_private_file(path).map_err(|error| failed("cannot make the new file", path, &error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::Refused(format!("{what} {}: {error}", path.display()))
}

/// A program of PostgreSQL that connects to `url`. The password is in its environment: everybody on the machine sees its
/// arguments.
fn program(name: &str, url: &SecretString) -> Result<Command, CommandError> {
    let mut command = Command::new(find(name).ok_or_else(|| {
        CommandError::Refused(format!(
            "{name} was not found: install the client programs of PostgreSQL, of the version of the server or newer"
        ))
    })?);
    let mut url = reqwest::Url::parse(url.expose_secret())
        .map_err(|_| CommandError::Refused("DATABASE_URL is no URL".to_owned()))?;
    if let Some(password) = url.password() {
        let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned();
        command.env("PGPASSWORD", decoded);
    }
    let _ = url.set_password(None);
    command.arg("--dbname").arg(url.as_str()).stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// On the path; else where Debian has it, in the newest version.
fn find(name: &str) -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().filter_map(Result::ok);
    let mut debian: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort_unstable();
    let mut places = std::env::split_paths(&on_path).chain(debian.into_iter().rev());
    places.find_map(|place| Some(place.join(name)).filter(|file| file.is_file()))
}

async fn run(name: &str, mut command: Command) -> Result<(), CommandError> {
    check(name, &command.spawn()?.wait_with_output().await?)
}

fn check(name: &str, ended: &Output) -> Result<(), CommandError> {
    if ended.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&ended.stderr);
    Err(CommandError::Refused(format!("{name} failed: {}", message.trim())))
}
