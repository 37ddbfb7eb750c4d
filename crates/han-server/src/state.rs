//! What every request can reach: the database, the keys of tokens, the schema, the clock.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use han_api::HanSchema;
use han_db::Db;
use han_db::changes::DbChangeEvent;
use han_types::{Clock, Entropy};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Gate;
use crate::auth::github::Github;
use crate::auth::jwt::JwtKeys;
use crate::config::{Config, PublicUrl};
use crate::health::Readiness;
use crate::rates::Rates;
use crate::sync::memory::Memory;

/// Cheap to clone; one for a server.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) public_url: PublicUrl,
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) jwt: JwtKeys,
    /// How often somebody may ask; `None` where that is not limited.
    pub(crate) rates: Option<Rates>,
    /// The app that people sign in through, if there is one.
    pub(crate) github: Option<Github>,
    pub(crate) schema: HanSchema,
    /// Tells whose rights have changed.
    pub(crate) access: broadcast::Sender<DbChangeEvent>,
    /// What pushes may take together.
    pub(crate) memory: Memory,
    /// The batches that are stored at once.
    pub(crate) stores: Gate,
    /// What is known of being ready.
    pub(crate) readiness: Readiness,
    /// The sockets whose clients have not yet said who they are.
    pub(crate) unknown_sockets: Arc<Semaphore>,
    /// Work that a shutdown waits for.
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the server begins to stop.
    pub(crate) stopping: CancellationToken,
    pub(crate) client: Option<Client>,
}

/// The dashboard to serve.
pub(crate) struct Client {
    pub(crate) dir: PathBuf,
    pub(crate) index: String,
    /// The Content-Security-Policy of its pages.
    pub(crate) policy: String,
}

impl AppState {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
