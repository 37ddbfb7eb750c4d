//! The command line: what each command does, given the environment, a clock and somewhere to write. What is meant
//! for programs goes to standard output, one line; what is meant for people goes to standard error or the log.

mod people;
mod rebuild;
mod reindex;

use std::io::{self, Write};
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use han_db::Db;
use han_types::{Clock, Entropy};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{self, App, AppError};
use crate::config::{self, Config, ConfigError, PublicUrl};
use crate::migrations;

/// The Han Teams server. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "han-server", version, after_help = config::help())]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default): bring the schema up to date, then answer requests until told to stop.
    Serve,
    /// Bring the database's schema up to date and stop.
    Migrate,
    /// Print the GraphQL schema. Needs no database and no configuration.
    Schema,
    /// Print a link that signs a browser in once, within 15 minutes. On an empty database, makes the first user
    /// and their team.
    LoginLink(LoginLink),
    /// Derive everything anew from the stored lines: sums, tasks, hooks, file changes. Lines may come in meanwhile.
    Rebuild(Rebuild),
    /// Make the search index anew, under a new search key. Until it is done, searches find only what is indexed; where it
    /// is broken off, a running server goes on with it.
    Reindex(Reindex),
    /// Look after API keys.
    #[command(subcommand)]
    Key(Key),
}

/// Whom a login link is for.
#[derive(Debug, Args)]
struct LoginLink {
    /// The user's name or id. May be left out where there is only one.
    #[arg(long)]
    user: Option<String>,
    /// On an empty database: what the first team is called.
    #[arg(long)]
    team: Option<String>,
}

/// Whose lines are derived anew.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Rebuild {
    /// One team's, by its id or its slug.
    #[arg(long)]
    team: Option<String>,
    /// Every team's, one after the other.
    #[arg(long)]
    all: bool,
}

/// Whose lines are indexed anew.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Reindex {
    /// One team's, by its id or its slug.
    #[arg(long)]
    team: Option<String>,
    /// Every team's, one after the other.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Make an API key and print it, once. On an empty database, makes the first user and their team.
    Create(CreateKey),
}

/// What a new key is for.
#[derive(Debug, Args)]
struct CreateKey {
    /// The team's slug. May be left out where the user has only one.
    #[arg(long)]
    team: Option<String>,
    /// The user's name or id. May be left out where there is only one.
    #[arg(long)]
    user: Option<String>,
    /// What it may be used for: read, sync:write.
    #[arg(long, default_value = "read sync:write")]
    scopes: String,
    /// What its owner calls it.
    #[arg(long, default_value = "made on the command line")]
    name: String,
    /// After how many days it ends; without it, never.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=3650))]
    expires_days: Option<i64>,
    /// Make the user, the team and the membership where they are missing.
    #[arg(long)]
    create: bool,
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The environment is not complete.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server could not start.
    #[error(transparent)]
    App(#[from] AppError),
    /// What was asked for cannot be done; the text says what can.
    #[error("{0}")]
    Refused(String),
    /// Standard output is gone.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl From<han_db::DbError> for CommandError {
    fn from(error: han_db::DbError) -> Self {
        Self::App(error.into())
    }
}

/// What a command works with; only `main` has the real ones.
pub struct World<'a> {
    /// The environment.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// The source of secrets and ids.
    pub entropy: Arc<dyn Entropy>,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Cancelled when the process is told to stop.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// Runs a command to its end.
///
/// # Errors
/// Why it failed, with what to do about it.
pub async fn run(cli: Cli, mut world: World<'_>) -> Result<(), CommandError> {
    if let Some(Command::Schema) = cli.command {
        // Schemas end with a line feed; so do files.
        writeln!(world.out, "{}", han_api::schema::team_sdl().trim_end())?;
        return Ok(());
    }
    let config = Config::load(world.lookup, &*world.entropy)?;
    for notice in &config.notices {
        writeln!(world.err, "han-server: {notice}")?;
    }
    let db = app::connect(&config, Arc::clone(&world.clock), Arc::clone(&world.entropy)).await?;
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Serve = command {
        return serve(config, db, world).await;
    }
    let done = on_database(command, &config, &db, &mut world).await;
    db.close().await;
    done
}

async fn on_database(
    command: Command,
    config: &Config,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    match command {
        Command::Migrate => {
            let applied = migrations::apply(db).await?;
            db.check_ready().await?;
            writeln!(world.err, "han-server: {applied} migration(s) applied; the schema is up to date")?;
        }
        Command::LoginLink(asked) => {
            migrations::prepare(db, config.database.migrate).await?;
            people::login_link(&asked, config, db, world).await?;
        }
        Command::Rebuild(asked) => {
            migrations::prepare(db, config.database.migrate).await?;
            rebuild::run(&asked, db, world).await?;
        }
        Command::Reindex(asked) => {
            migrations::prepare(db, config.database.migrate).await?;
            reindex::run(&asked, db, world).await?;
        }
        Command::Key(Key::Create(asked)) => {
            migrations::prepare(db, config.database.migrate).await?;
            people::create_key(&asked, db, world).await?;
        }
        Command::Serve | Command::Schema => {}
    }
    Ok(())
}

async fn serve(config: Config, db: Db, world: World<'_>) -> Result<(), CommandError> {
    let failed = |error| AppError::Io { what: format!("cannot listen on {}", config.listen), error };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let public_url = config.public_url.clone().unwrap_or_else(|| PublicUrl::of_listener(address));
    let app = App::build(config, public_url.clone(), db, world.clock, world.entropy).await?;
    writeln!(world.out, "listening on http://{address}")?;
    world.out.flush()?;
    tracing::info!(%address, public_url = public_url.origin(), "serving");
    let stopped = app::serve(listener, app, world.shutdown).await;
    tracing::info!("stopped");
    Ok(stopped.map_err(|error| AppError::Io { what: "the listener failed".to_owned(), error })?)
}
