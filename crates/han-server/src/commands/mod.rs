//! The command line. Each command gets the environment, a clock and output streams. Output for programs goes to standard
//! output, one line; messages for people go to standard error or the log.

mod access;
mod audit;
mod backup;
mod billing;
mod deletions;
mod health;
mod import;
mod jobs;
mod kek;
mod people;
mod plans;
mod prices;
mod rebuild;
mod reindex;
mod retention;
mod service_accounts;
mod table;
mod team;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use han_db::{Db, DbError, HeartbeatTimes};
use han_types::{Clock, Entropy, Origin, PlanTier, RequestId};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{self, App, AppError};
use crate::billing::plans::undecided;
use crate::config::{self, Config, ConfigError, PublicUrl};
use crate::{migrations, preflight};

/// The Han Teams server. Without a command, it serves.
#[derive(Debug, Parser)]
#[command(name = "han-server", version, after_help = config::help())]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Migrate the schema, then serve requests until stopped (the default).
    Serve,
    /// Migrate the database schema and exit.
    Migrate,
    /// Print the GraphQL schema. Needs neither a database nor configuration.
    Schema,
    /// Ask the server of this environment, on this machine, whether it is alive. Exits with status 1 if it is not. For
    /// containers: needs no database, no secret and no other program.
    Health(Health),
    /// Print a link that signs a browser in once, within 15 minutes. On an empty database, creates the first user and
    /// their team.
    LoginLink(LoginLink),
    /// Rebuild all derived data (totals, tasks, hooks, file changes) from the stored lines. Sessions may be pushed
    /// meanwhile.
    Rebuild(Rebuild),
    /// Rebuild the search index, under a new search key. Until it is complete, searches find only what is indexed. If it
    /// is interrupted, a running server continues.
    Reindex(Reindex),
    /// Load an export into an empty team: the body of `GET /api/sync/teams/{team_id}/export`. Servers may run meanwhile. If
    /// it is interrupted, run it again.
    Import(ImportSessions),
    /// List the background jobs: the replica that runs each, its progress, and its last error. Servers may run meanwhile.
    Jobs(Jobs),
    /// List or change the prices of tokens and searches. A change applies to all replicas, and to stored answers.
    #[command(subcommand)]
    Prices(Prices),
    /// List users, or end all access of one.
    #[command(subcommand)]
    User(User),
    /// List the members of a team, end a membership, or make a member an admin.
    #[command(subcommand)]
    Member(Member),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Key(Key),
    /// Create, list, rename and remove the service accounts of a team, and create their API keys.
    #[command(subcommand)]
    ServiceAccount(ServiceAccount),
    /// List or change for how long teams keep the content of their sessions.
    #[command(subcommand)]
    Retention(Retention),
    /// Rotate the KEK: the key in KEK_SECRET that wraps the keys of teams. Servers may run meanwhile.
    #[command(subcommand)]
    Kek(Kek),
    /// Rotate the content keys of teams, which wrap the keys of all sealed values. Servers may run meanwhile.
    #[command(subcommand)]
    Keys(Keys),
    /// Convert the stored content of a team. A running server does it in the background.
    #[command(subcommand)]
    Content(Content),
    /// Show or set the plan of a team, or delete a team.
    #[command(subcommand)]
    Team(Team),
    /// Verify or export the audit logs of teams. Servers may run meanwhile.
    #[command(subcommand)]
    Audit(Audit),
    /// Keep teams as Stripe says that they are, and decide on the plans of teams from before billing was configured.
    #[command(subcommand)]
    Billing(Billing),
    /// Back up the database, consistently, beside running servers. PostgreSQL needs its program `pg_dump`.
    Backup(BackUp),
    /// Restore a backup into an empty database. PostgreSQL needs its program `psql`.
    Restore(Restore),
    /// List what users have requested to delete, in all teams, and what was deleted: the latest 1000 requests.
    Deletions(Listing),
}

impl Command {
    /// Whether the command may be the first one on a new database. Any other one must leave no secrets and no file where
    /// there is none.
    fn makes_a_database(&self) -> bool {
        matches!(
            self,
            Self::Serve | Self::Migrate | Self::LoginLink(_) | Self::Key(Key::Create(_)) | Self::Restore(_)
        )
    }
}

/// What is asked of the server.
#[derive(Debug, Args)]
struct Health {
    /// Ask whether it is ready: whether its database responds, too.
    #[arg(long)]
    ready: bool,
}

/// A user, and the team to act in.
#[derive(Debug, Args)]
struct Person {
    /// The user's name or id. May be left out where there is only one.
    #[arg(long)]
    user: Option<String>,
    /// The team's slug. May be left out where the user has only one.
    #[arg(long)]
    team: Option<String>,
    /// Create the user, the team and the membership if they are missing.
    #[arg(long)]
    create: bool,
}

/// The user of a login link.
#[derive(Debug, Args)]
struct LoginLink {
    #[command(flatten)]
    person: Person,
}

/// The teams to rebuild.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Rebuild {
    /// One team, by its id or slug.
    #[arg(long)]
    team: Option<String>,
    /// All teams, one after another.
    #[arg(long)]
    all: bool,
}

/// The teams to reindex.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Reindex {
    /// One team, by its id or slug.
    #[arg(long)]
    team: Option<String>,
    /// All teams, one after another.
    #[arg(long)]
    all: bool,
}

/// Where a backup is written.
#[derive(Debug, Args)]
struct BackUp {
    /// The directory to make, for everything but the team keys.
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
    /// The file to make for the team keys, outside that directory.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

/// What is restored.
#[derive(Debug, Args)]
struct Restore {
    /// The directory of the backup.
    #[arg(long, value_name = "DIRECTORY")]
    from: PathBuf,
    /// The file with its team keys.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// Accept that the file has other keys than the backup was made with, for example after those of a deleted team were
    /// removed from it. What the missing keys have sealed stays unreadable.
    #[arg(long)]
    partial_keys: bool,
}

/// What is imported.
#[derive(Debug, Args)]
struct ImportSessions {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// Make a member for each owner of sessions who is no member of the team. Without this, each owner must be a member
    /// with the same id or name.
    #[arg(long)]
    create_members: bool,
    /// The export.
    file: PathBuf,
}

/// How the jobs are listed.
#[derive(Debug, Args)]
struct Jobs {
    /// As one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Prices {
    /// List all prices. The operator's override the built-in ones with the same model, speed, tier, geography, first day
    /// and length of prompt.
    List(Listing),
    /// Set a price of tokens, or say that there is none.
    Set(SetPrice),
    /// Remove a price that was set, so that the built-in one applies again.
    Remove(PriceKey),
    /// Set the price of searches on the web.
    SetSearches(SetSearches),
    /// Remove a price of searches that was set.
    RemoveSearches(RemoveSearches),
    /// Set all prices of a file of the form of crates/han-transcript/src/prices.json.
    Import(Import),
}

/// Which answers a price is for.
#[derive(Debug, Args)]
struct PriceKey {
    /// The model's id, without its date.
    model: String,
    /// The speed: standard or fast.
    #[arg(long, default_value = "standard")]
    speed: String,
    /// The service tier: standard, batch or another one.
    #[arg(long, default_value = "standard")]
    tier: String,
    /// Where the model ran: global, us or another region.
    #[arg(long, default_value = "global")]
    geography: String,
    /// The first day (UTC) on which the price applies, such as 2026-10-24.
    #[arg(long, default_value = "1970-01-01")]
    from: String,
    /// The price is for prompts of more tokens than this.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    prompt_over: i64,
}

/// A price, in US dollars per million tokens.
#[derive(Debug, Args)]
struct SetPrice {
    #[command(flatten)]
    key: PriceKey,
    /// Input tokens outside the cache.
    #[arg(long)]
    input: Option<f64>,
    /// Output tokens.
    #[arg(long)]
    output: Option<f64>,
    /// Input tokens read from the cache.
    #[arg(long)]
    cache_read: Option<f64>,
    /// Input tokens written to the cache for five minutes.
    #[arg(long)]
    cache_write_5m: Option<f64>,
    /// Input tokens written to the cache for an hour.
    #[arg(long)]
    cache_write_1h: Option<f64>,
    /// There is no price: such answers are counted as unpriced.
    #[arg(long)]
    unpriced: bool,
}

/// A price of searches on the web.
#[derive(Debug, Args)]
struct SetSearches {
    /// US dollars per thousand searches.
    #[arg(long)]
    per_thousand: f64,
    /// The first day (UTC) on which the price applies, such as 2026-10-24.
    #[arg(long, default_value = "1970-01-01")]
    from: String,
}

/// Which price of searches is removed.
#[derive(Debug, Args)]
struct RemoveSearches {
    /// The first day (UTC) on which the price applies, such as 2026-10-24.
    #[arg(long, default_value = "1970-01-01")]
    from: String,
}

/// Which prices are set.
#[derive(Debug, Args)]
struct Import {
    /// The file.
    file: PathBuf,
}

#[derive(Debug, Subcommand)]
enum User {
    /// List all users with the number of their teams, sign-ins and API keys.
    List(Listing),
    /// Sign a user out of every browser and program, revoke all API keys of the user, and close the open sockets. The
    /// user stays a member of teams, and can sign in again if GitHub or a sign-in link admits them.
    Revoke(OneUser),
}

#[derive(Debug, Subcommand)]
enum Member {
    /// List the members of a team.
    List(ListMembers),
    /// End a membership. The user's API keys for the team end with it.
    Revoke(OneMember),
    /// Make a member an admin.
    Promote(OneMember),
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Create an API key and print it, once. On an empty database, creates the first user and their team.
    Create(CreateKey),
    /// List live API keys. The keys themselves are not stored.
    List(ListKeys),
    /// Revoke an API key.
    Revoke(OneKey),
}

#[derive(Debug, Subcommand)]
enum ServiceAccount {
    /// Create a service account: a user that is a program. It takes no seat and cannot sign in.
    Create(CreateAccount),
    /// List the service accounts of a team.
    List(ListMembers),
    /// Rename a service account. Its sessions show the new name.
    Rename(RenameAccount),
    /// Remove a service account: its keys end at once; the sessions that it pushed remain, with its name.
    Remove(OneAccount),
    /// Create an API key of a service account, which allows `sync:write` only, and print it, once.
    CreateKey(CreateAccountKey),
}

#[derive(Debug, Subcommand)]
enum Retention {
    /// List the teams that limit how long their content is kept.
    List(Listing),
    /// Set for how many days a team keeps the content of a session after its last line has arrived. A running server then
    /// purges it, and nothing restores it. Totals and metrics stay.
    Set(SetRetention),
}

#[derive(Debug, Subcommand)]
enum Kek {
    /// Show which KEK wraps new keys, how many keys each KEK wraps, which KEKs each replica holds, and what to do next.
    Status(Listing),
    /// Make KEK_SECRET the KEK that wraps new keys, and wrap all keys again that another KEK wraps. Refused while a
    /// live replica does not hold it. If it is interrupted, run it again.
    Rotate,
    /// Open every key with KEK_SECRET, and no other KEK. Exits with status 1 if one needs another KEK, or if another KEK
    /// wraps new keys.
    Verify,
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// List the content keys of teams: their versions, how many values each has sealed, and how far rotations are.
    Status(ListTeamKeys),
    /// Give a team a new content key. It seals new values at once; a running server re-wraps the keys of older values.
    RotateTeam(RotateTeam),
    /// Open every stored value of a team, and count the content keys that they need. Exits with status 1 if a value
    /// cannot be opened, or needs a key that was replaced. Reads everything that the team has stored.
    Verify(OneTeam),
}

#[derive(Debug, Subcommand)]
enum Content {
    /// Seal what is stored as plaintext.
    Seal(OneTeam),
    /// Store as plaintext what is sealed. Refused where the plan of the team seals content.
    Unseal(OneTeam),
}

#[derive(Debug, Subcommand)]
enum Team {
    /// Show the plan of a team and what the team has used of it, or set it. A subscription that billing knows of replaces it
    /// with its next change.
    Plan(TeamPlan),
    /// Destroy the keys of a team, so that its sealed content cannot be opened any more, and end all access to it. A
    /// running server then deletes its rows. Nothing restores them.
    Delete(DeleteTeam),
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Check that no entry was altered, removed, added or moved; names the first one that was. Exits with status 1 if there
    /// is one. Prints the number and the hash of the last entry: note them where no one can change them.
    Verify(VerifyAudit),
    /// Print the audit log of a team as NDJSON. The log records that.
    Export(ExportAudit),
}

/// Which audit logs are verified.
#[derive(Debug, Args)]
struct VerifyAudit {
    /// Only that of the team with this slug. Without this and --server, those of all teams, and that of the server.
    #[arg(long, group = "log")]
    team: Option<String>,
    /// Only the server's own.
    #[arg(long, group = "log")]
    server: bool,
    /// What an earlier verification has printed for that log: the entry with that number must have that hash.
    #[arg(long, value_name = "NUMBER:HASH", requires = "log")]
    noted: Option<String>,
}

/// Which entries are exported.
#[derive(Debug, Args)]
struct ExportAudit {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// Only the entries after the one with this number.
    #[arg(long, default_value_t = 0)]
    after: u32,
}

#[derive(Debug, Subcommand)]
enum Billing {
    /// Give teams from before billing was configured their plan. Until then they have the Enterprise plan.
    Adopt(Adopt),
    /// Compare all teams with the subscriptions at Stripe, repair what differs, and print it: one line for each team. A
    /// server does the same every six hours.
    Reconcile(ReconcileBilling),
}

/// The teams whose plan is decided.
#[derive(Debug, Args)]
struct Adopt {
    /// Their plan: free, pro or enterprise.
    #[arg(long)]
    plan: PlanTier,
    #[command(flatten)]
    teams: AdoptTeams,
}

/// One team from before billing was configured, or all of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct AdoptTeams {
    /// One team, by its slug.
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
    /// All teams from before billing was configured.
    #[arg(long)]
    all: bool,
}

/// The plan of a team.
#[derive(Debug, Args)]
struct TeamPlan {
    /// The team's slug.
    slug: String,
    /// The plan to set: free, pro or enterprise. Without it, the plan is shown.
    plan: Option<PlanTier>,
    /// Show it as one line of JSON.
    #[arg(long, conflicts_with = "plan")]
    json: bool,
}

/// How teams are compared with Stripe.
#[derive(Debug, Args)]
struct ReconcileBilling {
    /// Print what differs, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Which content keys are listed.
#[derive(Debug, Args)]
struct ListTeamKeys {
    /// Only those of the team with this slug.
    #[arg(long)]
    team: Option<String>,
    /// As one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// The teams that get new content keys.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RotateTeam {
    /// One team, by its slug.
    #[arg(long)]
    team: Option<String>,
    /// All teams, one after another.
    #[arg(long)]
    all: bool,
}

/// A team.
#[derive(Debug, Args)]
struct OneTeam {
    /// The team's slug.
    #[arg(long)]
    team: String,
}

/// The team that is deleted.
#[derive(Debug, Args)]
struct DeleteTeam {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// The slug again.
    #[arg(long, value_name = "SLUG")]
    confirm: String,
}

/// A new service account.
#[derive(Debug, Args)]
struct CreateAccount {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// The name of the account, unique in its team: the author of its sessions.
    #[arg(long)]
    name: String,
}

/// A service account.
#[derive(Debug, Args)]
struct OneAccount {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// The account's name or id.
    #[arg(long)]
    account: String,
}

/// The new name of a service account.
#[derive(Debug, Args)]
struct RenameAccount {
    #[command(flatten)]
    account: OneAccount,
    /// The new name.
    #[arg(long)]
    name: String,
}

/// What a new key of a service account is for.
#[derive(Debug, Args)]
struct CreateAccountKey {
    #[command(flatten)]
    account: OneAccount,
    /// The name of the key.
    #[arg(long, default_value = "created on the command line")]
    name: String,
    /// After how many days the key expires.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=366))]
    expires_days: i64,
}

/// For how long a team keeps content.
#[derive(Debug, Args)]
struct SetRetention {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// For this many days.
    #[arg(long, required_unless_present = "keep", conflicts_with = "keep",
        value_parser = clap::value_parser!(i64).range(1..=3650))]
    days: Option<i64>,
    /// Without end.
    #[arg(long)]
    keep: bool,
}

/// How something is listed.
#[derive(Debug, Args)]
struct Listing {
    /// As one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A user.
#[derive(Debug, Args)]
struct OneUser {
    /// The user's name or id.
    #[arg(long)]
    user: String,
}

/// Whose members are listed.
#[derive(Debug, Args)]
struct ListMembers {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// As one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A member of a team.
#[derive(Debug, Args)]
struct OneMember {
    /// The team's slug.
    #[arg(long)]
    team: String,
    /// The user's name or id.
    #[arg(long)]
    user: String,
}

/// Which keys are listed.
#[derive(Debug, Args)]
struct ListKeys {
    /// Only keys for the team with this slug.
    #[arg(long)]
    team: Option<String>,
    /// Only keys of the user with this name or id.
    #[arg(long)]
    user: Option<String>,
    /// As one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A key.
#[derive(Debug, Args)]
struct OneKey {
    /// The key's id, as `han-server key list` shows it.
    #[arg(long)]
    key: String,
}

/// What a new key is for.
#[derive(Debug, Args)]
struct CreateKey {
    #[command(flatten)]
    person: Person,
    /// The scopes of the key: read, sync:write.
    #[arg(long, default_value = "read sync:write")]
    scopes: String,
    /// The name of the key.
    #[arg(long, default_value = "created on the command line")]
    name: String,
    /// After how many days the key expires.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(i64).range(1..=3650))]
    expires_days: i64,
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server could not start.
    #[error(transparent)]
    App(#[from] AppError),
    /// The arguments cannot be used; the text names the remedy.
    #[error("{0}")]
    Refused(String),
    /// Standard output or standard error cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl From<DbError> for CommandError {
    fn from(error: DbError) -> Self {
        Self::App(error.into())
    }
}

/// The outside world of a command; only `main` has the real one.
pub struct World<'a> {
    /// The environment.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The names of all variables of the environment.
    pub names: Vec<String>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of secrets and ids.
    pub entropy: Arc<dyn Entropy>,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Cancelled when the process is asked to stop.
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
/// Why the command failed, with the remedy.
pub async fn run(cli: Cli, mut world: World<'_>) -> Result<(), CommandError> {
    if let Some(Command::Schema) = cli.command {
        // `writeln!` adds the line feed that the schema ends with already.
        writeln!(world.out, "{}", han_api::schema::team_sdl().trim_end())?;
        return Ok(());
    }
    if let Some(Command::Health(asked)) = cli.command {
        return health::run(&asked, &mut world).await;
    }
    if !cli.command.as_ref().is_none_or(Command::makes_a_database)
        && let Some(file) = Config::sqlite_file(world.lookup)
        && !file.exists()
    {
        return Err(CommandError::Refused(format!(
            "there is no database at {}: run this command in the directory and with the environment of the server \
             (HAN_DATA_DIR or DATABASE_URL), or start the server once",
            file.display()
        )));
    }
    let (config, unusual) = preflight::load(world.lookup, &world.names, &*world.entropy)?;
    for notice in &config.notices {
        writeln!(world.err, "han-server: {notice}")?;
    }
    if let Some(Command::Restore(asked)) = cli.command {
        return backup::restore(&asked, &config, &mut world).await;
    }
    let db = app::connect(&config, Arc::clone(&world.clock), Arc::clone(&world.entropy)).await?;
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Serve = command {
        for notice in unusual.into_iter().chain(db.account_notice().await?) {
            writeln!(world.err, "han-server: notice: {notice}")?;
        }
        return serve(config, db, world).await;
    }
    let request_id = RequestId::generate(&*world.clock, &*world.entropy);
    let acting = db.on_behalf_of(Origin::of_operator(request_id));
    let done = on_database(command, &config, &acting, &mut world).await;
    db.close().await;
    done
}

async fn on_database(
    command: Command,
    config: &Config,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    match &command {
        Command::Migrate => {}
        Command::LoginLink(_) | Command::Rebuild(_) | Command::Reindex(_) | Command::Key(Key::Create(_)) => {
            migrations::prepare(db, config.database.migrate).await?;
        }
        // The others must not change the schema under servers of an older version.
        _ => db.check_ready().await?,
    }
    match command {
        Command::Migrate => {
            let applied = migrations::apply(db).await?;
            match db.check_ready().await {
                Err(DbError::Unprotected { .. } | DbError::Privileges { .. }) => {
                    db.repair_access().await?;
                    db.check_ready().await?;
                }
                checked => checked?,
            }
            writeln!(world.err, "han-server: {applied} migration(s) applied, the schema is up to date")?;
        }
        Command::LoginLink(asked) => people::login_link(&asked, config, db, world).await?,
        Command::Rebuild(asked) => {
            let heartbeat = db.start_heartbeat("rebuild", HeartbeatTimes::default()).await?;
            let done = rebuild::run(&asked, db, world).await;
            heartbeat.stop().await?;
            done?;
        }
        Command::Import(asked) => {
            let heartbeat = db.start_heartbeat("import", HeartbeatTimes::default()).await?;
            let done = import::run(&asked, config, db, world).await;
            heartbeat.stop().await?;
            done?;
        }
        Command::Reindex(asked) => reindex::run(&asked, db, world).await?,
        Command::Jobs(asked) => jobs::run(&asked, db, world).await?,
        Command::Key(Key::Create(asked)) => people::create_key(&asked, db, world).await?,
        Command::Prices(asked) => prices::run(&asked, db, world).await?,
        Command::User(asked) => access::user(&asked, db, world).await?,
        Command::Member(asked) => access::member(&asked, db, world).await?,
        Command::Key(Key::List(asked)) => access::list_keys(&asked, db, world).await?,
        Command::Key(Key::Revoke(asked)) => access::revoke_key(&asked, db, world).await?,
        Command::ServiceAccount(asked) => service_accounts::run(&asked, db, world).await?,
        Command::Retention(asked) => retention::run(&asked, db, world).await?,
        Command::Kek(asked) => kek::run(&asked, db, world).await?,
        Command::Keys(asked) => team::keys(&asked, db, world).await?,
        Command::Content(asked) => team::content(&asked, db, world).await?,
        Command::Backup(asked) => backup::back_up(&asked, config, db, world).await?,
        Command::Audit(asked) => audit::run(&asked, db, world).await?,
        Command::Deletions(asked) => deletions::run(&asked, db, world).await?,
        Command::Team(Team::Delete(asked)) => team::delete(&asked, db, world).await?,
        Command::Team(Team::Plan(asked)) => plans::show_or_set(&asked, db, world).await?,
        Command::Billing(Billing::Adopt(asked)) => plans::adopt(&asked, db, world).await?,
        Command::Billing(Billing::Reconcile(asked)) => {
            billing::reconcile(&asked, config, db, world).await?;
        }
        // They were run before.
        Command::Serve | Command::Schema | Command::Health(_) | Command::Restore(_) => {}
    }
    Ok(())
}

async fn serve(config: Config, db: Db, world: World<'_>) -> Result<(), CommandError> {
    let failed = |error| AppError::Io {
        what: format!("cannot listen on {} (HAN_LISTEN or PORT)", config.http.listen),
        error,
    };
    let listener = TcpListener::bind(config.http.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let public_url = config.http.public_url.clone().unwrap_or_else(|| PublicUrl::of_listener(address));
    let app = App::build(config, public_url.clone(), db.clone(), world.clock, world.entropy).await?;
    if let Some(notice) = undecided(&db).await? {
        writeln!(world.err, "han-server: notice: {notice}")?;
    }
    writeln!(world.out, "listening on http://{address}")?;
    world.out.flush()?;
    tracing::info!(%address, public_url = public_url.origin(), "serving");
    let stopped = app::serve(listener, app, world.shutdown).await;
    tracing::info!("stopped");
    Ok(stopped.map_err(|error| AppError::Io { what: "the listener failed".to_owned(), error })?)
}
