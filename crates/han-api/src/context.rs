//! The context of one operation: its caller, one read-only transaction, one set of loaders.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_graphql::Context;
use futures_util::future::BoxFuture;
use han_db::queries::audit;
use han_db::{Db, ScopedTx};
use han_types::{Actor, Capability, Credential, Scope, SessionId, Timestamp};
use tokio::sync::watch;

use crate::error::{ApiError, Result};
use crate::loaders::Loaders;
use crate::memo::Memo;
use crate::meter::{AnswerBytes, Meter};
use crate::reads::Reads;
use crate::shared::queue::Publisher;

/// Reads an actor's membership again: `true` if its scope is still valid.
pub type Recheck = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// How the transport ends subscriptions, which outlive their request.
#[derive(Clone)]
pub struct Live {
    ended: watch::Receiver<bool>,
    recheck: Recheck,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

impl Live {
    /// Subscriptions end with `UNAUTHENTICATED` as soon as `ended` turns `true` or its sender is gone, and whenever
    /// `recheck` returns `false`. It is called when members or keys of the team have changed.
    #[must_use]
    pub fn new(ended: watch::Receiver<bool>, recheck: Recheck) -> Self {
        Self { ended, recheck }
    }

    pub(crate) async fn ended(&mut self) {
        // An error means that the transport is gone.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    pub(crate) async fn still_holds(&self) -> bool {
        (self.recheck)().await
    }
}

/// The caller. The transport makes one per request, or per socket, from a verified credential.
#[derive(Clone, Debug)]
pub struct RequestContext {
    actor: Actor,
    scope: Option<Scope>,
    live: Option<Live>,
    auth_mode: AuthMode,
    answers: Option<Arc<dyn AnswerBytes>>,
}

/// Who checks the rights to a subscription.
#[derive(Clone, Debug, Default)]
pub(crate) enum AuthMode {
    /// The subscription itself, for its one caller.
    #[default]
    Own,
    /// The same, for a caller who has just missed events.
    AfterMiss,
    /// Each of many callers: the subscription publishes what may have changed their rights.
    Shared(Publisher),
}

impl RequestContext {
    /// An actor without a team: lists are empty.
    #[must_use]
    pub fn new(actor: Actor) -> Self {
        Self { actor, scope: None, live: None, auth_mode: AuthMode::Own, answers: None }
    }

    /// With access to a team's data.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// With a way to end subscriptions. Without one, they end when the credential expires.
    #[must_use]
    pub fn with_live(mut self, live: Live) -> Self {
        self.live = Some(live);
        self
    }

    /// With what the bytes of the operation's response are charged to. Without it, they are limited, but not charged.
    #[must_use]
    pub fn with_answers(mut self, answers: Arc<dyn AnswerBytes>) -> Self {
        self.answers = Some(answers);
        self
    }

    pub(crate) fn answers(&self) -> Option<&Arc<dyn AnswerBytes>> {
        self.answers.as_ref()
    }

    /// The verified credential.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The scope of a team, if the actor has one.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    pub(crate) fn live(&self) -> Option<&Live> {
        self.live.as_ref()
    }

    pub(crate) fn auth_mode(&self) -> &AuthMode {
        &self.auth_mode
    }

    /// For a subscription that many callers share. It outlives this caller, so this caller's transport does not end it.
    pub(crate) fn shared(&self, publisher: Publisher) -> Self {
        Self { auth_mode: AuthMode::Shared(publisher), live: None, answers: None, ..self.clone() }
    }

    /// For a subscription of this caller, who has just missed events.
    pub(crate) fn after_miss(&self) -> Self {
        Self { auth_mode: AuthMode::AfterMiss, ..self.clone() }
    }

    /// Whether the credential has expired. The expiry of a browser's session slides, so only the transport knows it;
    /// every other credential carries its own.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        let slides = matches!(self.actor.credential, Credential::WebSession { .. });
        !slides && self.actor.expires_at.is_some_and(|end| now >= end)
    }

    /// Whether the scope is still valid, read again from the database.
    pub(crate) async fn still_holds(&self) -> bool {
        match &self.live {
            Some(live) => live.still_holds().await,
            None => true,
        }
    }

    /// The scope to read data with: `None` for a caller without a team.
    pub(crate) fn readable(&self) -> Result<Option<&Scope>> {
        if !self.actor.capabilities.allow(Capability::Read) {
            return Err(ApiError::Forbidden("read: use one with the scope \"read\""));
        }
        Ok(self.scope.as_ref())
    }

    /// A new operation on behalf of this caller. `meter` counts the lines that it reads.
    pub(crate) fn operation(&self, db: &Db, scope: &Scope, meter: Option<Arc<Meter>>) -> Op {
        Operation::start(db.clone(), scope.clone(), meter)
    }
}

/// A request on behalf of `context`.
#[must_use]
pub fn request(request: async_graphql::Request, context: RequestContext) -> async_graphql::Request {
    request.data(context)
}

/// The caller, or `UNAUTHENTICATED`.
pub(crate) fn caller<'a>(ctx: &Context<'a>) -> Result<&'a RequestContext> {
    ctx.data_opt::<RequestContext>().ok_or(ApiError::Unauthenticated)
}

/// The actor, if the credential may make changes on its owner's behalf: a signed-in person's may, an API key may not.
pub(crate) fn manager<'a>(actor: &'a Actor, what: &'static str) -> Result<&'a Actor> {
    if actor.capabilities.allow(Capability::Manage) { Ok(actor) } else { Err(ApiError::Forbidden(what)) }
}

/// The database of the schema; a schema that exists only to be printed has none.
pub(crate) fn database<'a>(ctx: &Context<'a>) -> Result<&'a Db> {
    ctx.data_opt::<Db>().ok_or(ApiError::Unavailable)
}

/// Holds the operation of one request, from the first field that needs it.
#[derive(Default)]
pub(crate) struct OperationCell(OnceLock<Op>);

/// The request's operation: `None` for a caller without a team, whose lists are empty.
pub(crate) fn operation(ctx: &Context<'_>) -> Result<Option<Op>> {
    let caller = caller(ctx)?;
    let Some(scope) = caller.readable()? else { return Ok(None) };
    let db = database(ctx)?;
    let start = || caller.operation(db, scope, ctx.data_opt::<Arc<Meter>>().cloned());
    Ok(Some(match ctx.data_opt::<OperationCell>() {
        Some(cell) => Arc::clone(cell.0.get_or_init(start)),
        None => start(),
    }))
}

/// Shared by all objects that one operation resolves; the transaction ends when the last of them is dropped.
pub(crate) type Op = Arc<Operation>;

/// The reads of one operation: of a whole query, or of one event of a subscription.
pub(crate) struct Operation {
    reads: Arc<Reads>,
    loader: Memo,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("team_id", self.scope().team_id()).finish_non_exhaustive()
    }
}

impl Operation {
    fn start(db: Db, scope: Scope, meter: Option<Arc<Meter>>) -> Op {
        let reads = Arc::new(Reads::new(db, scope, meter));
        let loader = Memo::new(Loaders::new(Arc::clone(&reads)));
        Arc::new(Self { reads, loader })
    }

    /// The reads that its fields and loaders share.
    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    pub(crate) fn db(&self) -> &Db {
        self.reads.db()
    }

    pub(crate) fn scope(&self) -> &Scope {
        self.reads.scope()
    }

    pub(crate) async fn tx(&self) -> Result<&ScopedTx> {
        self.reads.tx().await
    }

    /// Records that the caller opens a session, if their team wants that. To be called before its content is shown.
    pub(crate) async fn opens(&self, id: &SessionId, owner: Option<&str>) -> Result<()> {
        Ok(audit::session_opened(self.scope(), self.db(), id, owner).await?)
    }

    pub(crate) fn loader(&self) -> &Memo {
        &self.loader
    }
}
