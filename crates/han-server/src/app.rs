//! A server as a value: built from its configuration and a database that is ready, then served on a listener until
//! it is stopped. The command line and the tests start it the same way.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use han_db::changes::Changes;
use han_db::jobs::{
    Billing as BillingJob, Consolidation, GithubAccess, Prices, Registry, Retention, SearchIndex, Standing,
    Statistics, TeamWork, Vacuum,
};
use han_db::{Db, DbConfig, DbError, Dialect, Heartbeat, HeartbeatTimes};
use han_http::client::Client;
use han_http::graphql::{Endpoint, TransportLimits};
use han_http::observe::RequestIds;
use han_http::serve::Timeouts;
use han_http::{Budget, Lifecycle, descriptors};
use han_types::{Clock, Entropy};
use secrecy::ExposeSecret as _;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admission::PrioritySemaphore;
use crate::auth::device;
use crate::auth::github::{Github, GithubError};
use crate::auth::invite;
use crate::auth::jwt::JwtKeys;
use crate::auth::oauth;
use crate::billing::{self, Billing, StripeError};
use crate::client;
use crate::config::{Config, PublicUrl};
use crate::health::Readiness;
use crate::rates::Rates;
use crate::state::{AppState, Inner};
use crate::sync::memory_budget::MemoryBudget;
use crate::{migrations, server};

/// Why a server could not start or had to stop.
#[derive(Debug, Error)]
pub enum AppError {
    /// The database is not to be reached or not as it must be. The text says what to do.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A secret is not what it must be.
    #[error(transparent)]
    Secret(#[from] han_crypto::CryptoError),
    /// GitHub cannot be set up. The text says what to do.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// Stripe cannot be set up. The text says what to do.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// A restore of the SQLite database is running, or was interrupted.
    #[error(
        "{} exists: a restore of the database runs, or was interrupted. Repeat it; or delete that file and those whose names \
         begin like it, which may contain team keys",
        .0.display()
    )]
    Restoring(PathBuf),
    /// The listener or a file failed.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        error: io::Error,
    },
}

/// How long a shutdown waits for the database's connections to end.
const CLOSING: Duration = Duration::from_secs(5);

/// The file descriptors that are kept for files, the log, the runtime and requests to GitHub.
const OTHER_DESCRIPTORS: usize = 64;

/// What a SQLite database is called while it is restored.
pub(crate) fn restoring(file: &Path) -> PathBuf {
    with_suffix(file, ".restoring")
}

/// The path of a file whose name goes on with `suffix`.
pub(crate) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Connects to the configured database; neither migrates nor checks it.
///
/// # Errors
/// Where it cannot be reached.
pub async fn connect(
    config: &Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Db, AppError> {
    if let Some(draft) = config.database.sqlite_file.as_deref().map(restoring).filter(|draft| draft.exists())
    {
        return Err(AppError::Restoring(draft));
    }
    let mut database = DbConfig::new(config.database.url.expose_secret());
    database.max_connections = config.database.max_connections;
    // Without billing, every team has a plan that seals.
    let accepts_unsealed = config.database.accepts_unsealed.unwrap_or(config.plans.billing_configured);
    database.refuses_unsealed = !accepts_unsealed;
    database.plans = config.plans;
    // Any line that was taken can be shown.
    database.read_bytes = database.read_bytes.max(config.limits.line_bytes);
    Ok(Db::connect(&database, config.secrets.kek_ring()?, clock, entropy).await?)
}

/// A server that is ready to serve.
pub struct App {
    state: AppState,
    changes: Changes,
    heartbeat: Heartbeat,
    /// Ends the feed of changes.
    feed: CancellationToken,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("public_url", &self.state.public_url).finish_non_exhaustive()
    }
}

impl App {
    /// Builds a server on `db`, which it brings up to date first (unless the configuration forbids that) and then
    /// checks. `public_url` is what browsers call it.
    ///
    /// # Errors
    /// Where the schema is not this program's, row-level security does not bind, or the dashboard cannot be read.
    pub async fn build(
        config: Config,
        public_url: PublicUrl,
        db: Db,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, AppError> {
        migrations::prepare(&db, config.database.migrate).await?;
        let heartbeat = db.start_heartbeat("serve", HeartbeatTimes::default()).await?;
        let lifecycle = Lifecycle::default();
        // It outlives the listener: what is still being answered may still change something.
        let feed = CancellationToken::new();
        let changes = db.start_changes(feed.clone()).await?;
        let origins = std::iter::once(public_url.origin())
            .chain(config.http.client_connect_origins.iter().map(String::as_str));
        let (found, what) = match &config.http.client_dir {
            Some(dir) => {
                (Client::load(dir, origins, client::API), format!("the dashboard in {}", dir.display()))
            }
            None => (Client::embedded(origins, client::API), "the embedded dashboard".to_owned()),
        };
        let client = found.map_err(|error| AppError::Io { what: format!("{what} cannot be read"), error })?;
        let github = match &config.github {
            Some(app) => Some(Github::new(app.clone(), oauth::redirect_uri(&public_url))?),
            None => None,
        };
        let billing = match &config.stripe {
            Some(account) => {
                let account = account.clone();
                Some(Billing::new(account, public_url.origin(), db.clone(), Arc::clone(&entropy))?)
            }
            None => None,
        };
        let schema = han_api::schema::team(
            han_api::Site {
                origin: public_url.origin().to_owned(),
                invite_path: invite::PATH,
                billing: billing.clone().map(|billing| Arc::new(billing) as _),
            },
            db.clone(),
            changes.sender.clone(),
            han_api::QueryLimits {
                response_bytes: config.holdings.response_bytes,
                ..han_api::QueryLimits::default()
            },
        );
        let limits = TransportLimits {
            request_bytes: config.limits.graphql_bytes,
            socket_init: config.limits.socket_init,
            socket_recheck: config.limits.socket_recheck,
        };
        // Each database connection is one descriptor on PostgreSQL and three files on SQLite.
        let reserved = config.database.max_connections as usize * 3 + OTHER_DESCRIPTORS;
        let budget = Budget::new(config.holdings.quotas(
            descriptors::for_connections(reserved),
            config.http.rate_factor.unwrap_or(1) as usize,
            config.http.trusted_proxies > 0,
        ));
        let secrets = &config.secrets;
        let state = AppState::new(Inner {
            jwt: JwtKeys::new(
                &secrets.jwt,
                secrets.jwt_previous.as_ref(),
                public_url.origin(),
                Arc::clone(&clock),
            ),
            github,
            billing,
            rates: config.http.rate_factor.map(Rates::new),
            graphql: Endpoint::new(schema, limits, Arc::clone(&clock), lifecycle.clone(), budget),
            access: changes.access.clone(),
            memory: {
                let limits = &config.limits;
                MemoryBudget::new(limits.ingest_memory_bytes, limits.largest_body(), limits.largest_store())
            },
            stores: stores(&config, db.dialect()),
            device_codes: device::turns(),
            readiness: Readiness::default(),
            started: tokio::time::Instant::now(),
            request_ids: RequestIds::new(Arc::clone(&clock), Arc::clone(&entropy)),
            lifecycle,
            config,
            public_url,
            db,
            clock,
            entropy,
            client,
        });
        Ok(Self { state, changes, heartbeat, feed })
    }

    /// The keys that access tokens are signed with.
    #[must_use]
    pub fn jwt(&self) -> &JwtKeys {
        &self.state.jwt
    }
}

/// Serves on `listener` until `shutdown` is cancelled; then finishes what was accepted, for at most the configured grace
/// period, and closes the database.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, app: App, shutdown: CancellationToken) -> io::Result<()> {
    let App { state, changes, heartbeat, feed } = app;
    let lifecycle = state.lifecycle.clone();
    lifecycle.tasks.spawn(jobs(&state, &changes, &heartbeat).run(lifecycle.stopping.clone()));
    let limits = &state.config.limits;
    let timeouts = Timeouts { idle: limits.read_timeout, grace: limits.shutdown_grace };
    let budget = state.graphql.budget().clone();
    let result =
        han_http::serve(listener, server::router(&state), budget, timeouts, lifecycle, shutdown).await;
    feed.cancel();
    let close = async {
        changes.stopped().await;
        if let Err(error) = heartbeat.stop().await {
            tracing::warn!(%error, "other replicas consider this one alive for a while");
        }
        state.db.close().await;
    };
    if tokio::time::timeout(CLOSING, close).await.is_err() {
        tracing::warn!("stopped while the database still worked on something: it rolls that back");
    }
    result
}

/// Every background job of the server.
fn jobs(state: &AppState, changes: &Changes, heartbeat: &Heartbeat) -> Registry {
    let stores = state.stores.clone();
    let search_index = SearchIndex::new(changes.sender.clone(), move |time| stores.is_quiet_for(time));
    let stores = state.stores.clone();
    let team_work = TeamWork::new(move |time| stores.is_quiet_for(time));
    let stores = state.stores.clone();
    let retention = Retention::new(move |time| stores.is_quiet_for(time));
    let jobs = Registry::new(state.db.clone())
        .named(heartbeat.id().to_owned())
        .with(search_index)
        .with(Consolidation::default())
        .with(Prices)
        .with(team_work)
        .with(retention);
    let jobs = match state.db.dialect() {
        Dialect::Postgres => jobs.with(Statistics).with(Vacuum::default()),
        Dialect::Sqlite => jobs,
    };
    let jobs = match &state.billing {
        Some(billing) => {
            let (due, all) = (billing.clone(), billing.clone());
            let due = move || {
                let billing = due.clone();
                async move { Ok(billing.run_due().await?) }
            };
            let all = move || {
                let billing = all.clone();
                async move { Ok(billing.reconcile_scheduled().await?) }
            };
            jobs.with(BillingJob::due(billing::DUE_EVERY, due))
                .with(BillingJob::reconcile(billing::RECONCILE_EVERY, all))
        }
        None => jobs,
    };
    // If every account may sign in, there is nothing to ask.
    match &state.config.github {
        Some(app) if !app.is_open() => jobs.with(github_access(state, app.check_every)),
        _ => jobs,
    }
}

/// Asks GitHub again whether users may sign in.
fn github_access(state: &AppState, every: Duration) -> GithubAccess {
    let state = state.clone();
    GithubAccess::new(every, move |user| {
        let state = state.clone();
        async move {
            match &state.github {
                Some(github) => github.standing(user, state.clock.now()).await,
                None => Standing::Unknown,
            }
        }
    })
}

/// What batches are stored through. On PostgreSQL some of the connections, so that reads and authentication keep
/// theirs; on SQLite, which has one writer, the one that writes and the one that is next.
fn stores(config: &Config, dialect: Dialect) -> PrioritySemaphore {
    let connections = config.database.max_connections as usize;
    let at_once = match dialect {
        Dialect::Postgres => connections * 3 / 10,
        Dialect::Sqlite => 2,
    };
    PrioritySemaphore::new(at_once.max(1), config.limits.stores_waiting, config.limits.store_patience)
}
