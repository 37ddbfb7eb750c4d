//! `han-server backup` and `han-server restore`. A backup is a directory with the database, and a file with the team keys,
//! which is kept apart. SQLite is copied by the server's own connection, PostgreSQL by `pg_dump` and `psql`, at one moment.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use han_db::backup::{self, StoredKey};
use han_db::queries::audit::{self, Entry, Event, LogOf};
use han_db::{Db, Dialect};
use han_http::secrets_file::{make_dir, new_private_file};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;

use super::{BackUp, CommandError, Restore, World};
use crate::app;
use crate::config::Config;

/// The database in the directory of a backup.
const SQLITE: &str = "han.db";
const POSTGRES: &str = "han.sql";

/// Where Debian and Ubuntu have the programs of PostgreSQL that are not on the path.
const DEBIAN: &str = "/usr/lib/postgresql";

pub(super) async fn back_up(
    asked: &BackUp,
    config: &Config,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let BackUp { to, keys } = asked;
    if keys.starts_with(to) {
        return Err(CommandError::Refused(
            "--keys is in the directory of the backup: keep the keys apart, so that who has the backup cannot open it"
                .to_owned(),
        ));
    }
    if to.exists() {
        return Err(CommandError::Refused(format!(
            "{} exists: name a new directory with --to",
            to.display()
        )));
    }
    make_dir(to).map_err(|error| failed("cannot make", to, &error))?;
    let mut key_file = new_file(keys)?;
    let stored = match db.dialect() {
        Dialect::Sqlite => {
            let file = to.join(SQLITE);
            backup::copy_to(db, &file).await?;
            let copy =
                app::connect(&with_url(config, &file), Arc::clone(&world.clock), Arc::clone(&world.entropy))
                    .await?;
            let keys = backup::take_keys(&copy).await;
            copy.close().await;
            keys?
        }
        Dialect::Postgres => {
            let snapshot = backup::snapshot(db).await?;
            let mut dump = program("pg_dump", &config.database.url)?;
            dump.args(["--no-owner", "--exclude-table-data=team_keys"])
                .arg(format!("--snapshot={}", snapshot.name));
            dump.stdout(Stdio::from(new_file(&to.join(POSTGRES))?));
            run("pg_dump", dump).await?;
            snapshot.keys
        }
    };
    for key in &stored {
        let line = serde_json::to_string(key).map_err(io::Error::from)?;
        writeln!(key_file, "{line}").map_err(|error| failed("cannot write", keys, &error))?;
    }
    key_file.sync_all().map_err(|error| failed("cannot write", keys, &error))?;
    audit::record_in(db, LogOf::Server, Entry::new(Event::BackedUp)).await?;
    writeln!(
        world.err,
        "han-server: backed up the database to {}, and {} team key(s) to {}: keep the two, and the KEK, apart",
        to.display(),
        stored.len(),
        keys.display()
    )?;
    Ok(())
}

/// Restores a backup into the database of the configuration, which must be empty.
pub(super) async fn restore(
    asked: &Restore,
    config: &Config,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let Restore { from, keys } = asked;
    let keys = read_keys(keys)?;
    let is_sqlite = from.join(SQLITE).is_file();
    let file = from.join(if is_sqlite { SQLITE } else { POSTGRES });
    if let Err(error) = fs::metadata(&file) {
        return Err(failed("this is no backup: cannot read", &file, &error));
    }
    match (&config.database.sqlite_file, is_sqlite) {
        (Some(target), true) => {
            if target.exists() {
                return Err(CommandError::Refused(format!(
                    "{} exists, and a backup is restored into a new database only: name another place in HAN_DATA_DIR or \
                     DATABASE_URL, or move that file and its -wal file away",
                    target.display()
                )));
            }
            let mut copy = new_file(target)?;
            let mut source = fs::File::open(&file).map_err(|error| failed("cannot read", &file, &error))?;
            io::copy(&mut source, &mut copy).map_err(|error| failed("cannot write", target, &error))?;
            copy.sync_all().map_err(|error| failed("cannot write", target, &error))?;
        }
        (None, false) => {}
        (found, _) => {
            let (of, to) = match found {
                Some(_) => ("PostgreSQL", "SQLite"),
                None => ("SQLite", "PostgreSQL"),
            };
            return Err(CommandError::Refused(format!(
                "the backup is of {of}, and DATABASE_URL names {to}: to move a team between them, export and import it"
            )));
        }
    }
    let db = app::connect(config, Arc::clone(&world.clock), Arc::clone(&world.entropy)).await?;
    let restored = fill(config, &db, (!is_sqlite).then_some(&*file), &keys).await;
    db.close().await;
    writeln!(world.err, "han-server: restored the database, and {} team key(s)", restored?)?;
    Ok(())
}

/// Loads the dump of PostgreSQL, if there is one, then the keys; and checks what came of it.
async fn fill(
    config: &Config,
    db: &Db,
    dump: Option<&Path>,
    keys: &[StoredKey],
) -> Result<u64, CommandError> {
    if let Some(file) = dump {
        db.prepare_restore().await?;
        let mut load = program("psql", &config.database.url)?;
        load.args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--single-transaction", "--file"])
            .arg(file);
        load.stdout(Stdio::null());
        run("psql", load).await?;
        db.repair_access().await?;
    }
    let stored = backup::put_keys(db, keys).await?;
    db.check_keks().await?;
    Ok(stored)
}

fn with_url(config: &Config, file: &Path) -> Config {
    let mut config = config.clone();
    config.database.url = SecretString::from(format!("sqlite:{}", file.display()));
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
    let ended = command.spawn()?.wait_with_output().await?;
    if ended.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&ended.stderr);
    Err(CommandError::Refused(format!("{name} failed: {}", message.trim())))
}
