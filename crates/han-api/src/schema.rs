//! The entry points: [`local`] and [`team`] make a schema over a database; [`local_sdl`] and [`team_sdl`] print them.
//!
//! Which fields a schema has depends on the function that makes it, never on a cargo feature alone: cargo unifies
//! features within one build, so a workspace build compiles the team's types for the coordinator, too.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{
    BatchRequest, BatchResponse, Data, ObjectType, Request, Response, Schema, SchemaBuilder, SubscriptionType,
};
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use han_db::Db;
use han_db::changes::DbChangeEvent;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use crate::context::RequestContext;
use crate::error::{self, ApiError};
use crate::executor::Executor;
use crate::limits::{LimitError, QueryLimits};
use crate::machine::Machine;
#[cfg(feature = "team")]
use crate::machine::NoMachine;
use crate::meter::{self, Metering};
use crate::mutation::LocalMutation;
#[cfg(feature = "team")]
use crate::mutation::TeamMutation;
use crate::query::LocalQuery;
#[cfg(feature = "team")]
use crate::query::TeamQuery;
use crate::shared::{Shared, StartedOperation, SubscriptionKey};
#[cfg(feature = "team")]
use crate::site::Site;
use crate::subscription::LocalSubscription;
#[cfg(feature = "team")]
use crate::subscription::TeamSubscription;
use crate::types::message::UserMessage;

/// A schema over a database: a coordinator's or a team server's, for any transport. Every way into it counts a document
/// against the limits before it is parsed, and gives each error a code.
#[derive(Clone)]
pub struct HanSchema {
    executor: Executor,
    shared: Shared,
}

impl std::fmt::Debug for HanSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HanSchema").field("limits", self.limits()).finish_non_exhaustive()
    }
}

/// The schema of a local coordinator, which knows its machine and has no teams.
///
/// Subscriptions receive what is sent to `changes`, which `Db::start_changes` feeds for `db`.
#[must_use]
pub fn local(
    machine: Arc<dyn Machine>,
    db: Db,
    changes: broadcast::Sender<DbChangeEvent>,
    limits: QueryLimits,
) -> HanSchema {
    let builder = build::<LocalQuery, LocalMutation, _>(LocalSubscription::new(changes)).data(machine);
    HanSchema::new(builder, db, limits)
}

/// The schema of a team server: people, teams, invites and keys, and no machine. Links lead to `site`.
///
/// Subscriptions receive what is sent to `changes`, which `Db::start_changes` feeds for `db`.
#[cfg(feature = "team")]
#[must_use]
pub fn team(site: Site, db: Db, changes: broadcast::Sender<DbChangeEvent>, limits: QueryLimits) -> HanSchema {
    let machine: Arc<dyn Machine> = Arc::new(NoMachine);
    let subscription = TeamSubscription::new(changes);
    let builder = build::<TeamQuery, TeamMutation, _>(subscription).data(machine).data(site);
    HanSchema::new(builder, db, limits)
}

/// The text of the [`local`] schema.
#[must_use]
pub fn local_sdl() -> String {
    // Printing needs neither a database nor a change feed.
    build::<LocalQuery, LocalMutation, _>(LocalSubscription::new(broadcast::channel(1).0)).finish().sdl()
}

/// The text of the [`team`] schema.
#[cfg(feature = "team")]
#[must_use]
pub fn team_sdl() -> String {
    build::<TeamQuery, TeamMutation, _>(TeamSubscription::new(broadcast::channel(1).0)).finish().sdl()
}

fn build<Q, M, S>(subscription: S) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + Default + 'static,
    M: ObjectType + Default + 'static,
    S: SubscriptionType + 'static,
{
    Schema::build(Q::default(), M::default(), subscription)
        // No field returns this interface; only fragments name it.
        .register_output_type::<UserMessage>()
}

/// The response to an operation that took longer than the transport allows.
#[must_use]
pub fn too_slow() -> Response {
    error::response(&ApiError::TooSlow)
}

/// The response to an operation that a limit of the transport refuses; `refusal` names it.
#[must_use]
pub fn busy(refusal: String) -> Response {
    error::response(&ApiError::Busy(refusal))
}

/// The response to an operation whose response has more than so many bytes.
#[must_use]
pub fn too_large(bytes: usize) -> Response {
    error::response(&ApiError::ResponseTooLarge(bytes))
}

impl HanSchema {
    fn new<Q, M, S>(builder: SchemaBuilder<Q, M, S>, db: Db, limits: QueryLimits) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let schema = builder
            // The introspection query of the specification nests 13 fields deep, the fragments of clients less.
            .limit_depth(limits.nesting)
            .limit_recursive_depth(limits.nesting)
            .limit_complexity(limits.complexity)
            .limit_directives(limits.directives)
            .extension(Metering)
            .data(db.clone())
            .finish();
        let executor = Executor::new(schema, limits);
        Self { shared: Shared::new(db, executor.clone()), executor }
    }

    /// The limits that the schema was made with. The transport also limits bodies and batches by them.
    #[must_use]
    pub fn limits(&self) -> &QueryLimits {
        self.executor.limits()
    }

    /// Runs a query or a mutation. The request's data holds the caller's context: see [`crate::request`].
    pub async fn execute(&self, request: Request) -> Response {
        self.executor.execute(request).await
    }

    /// Runs any operation as a stream of responses. The caller's context is in the request's data or in
    /// `session_data`.
    #[must_use]
    pub fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        self.executor.execute_stream(request, session_data)
    }

    /// Starts an operation of a long-lived connection. A subscription receives every change from this call on. Equal
    /// subscriptions, by callers who may see the same data, share their responses.
    #[must_use]
    pub fn begin(&self, mut request: Request, caller: &Arc<RequestContext>) -> StartedOperation {
        let key = SubscriptionKey::of(&request, caller);
        let open = key.as_ref().and_then(|key| self.shared.join(key, caller));
        if let Some(answers) = open {
            return StartedOperation::Shared(answers);
        }
        match self.executor.is_subscription(&mut request) {
            Ok(true) => {}
            Ok(false) => {
                return StartedOperation::Query(Box::new(request.data(RequestContext::clone(caller))));
            }
            Err(refused) => return StartedOperation::Refused(Box::new(error::response(&refused))),
        }
        match key {
            Some(key) => StartedOperation::Shared(self.shared.open(key, request, caller)),
            None => {
                let mut answers = self.execute_stream(request.data(RequestContext::clone(caller)), None);
                match answers.next().now_or_never() {
                    None => StartedOperation::Own(answers),
                    Some(first) => StartedOperation::Own(stream::iter(first).chain(answers).boxed()),
                }
            }
        }
    }

    /// A response as JSON. One that is larger than the limit becomes an error. A long one is written off the async
    /// threads.
    pub async fn to_json(&self, response: Response) -> Box<RawValue> {
        meter::write_json(response, self.limits().response_bytes).await
    }

    /// Whether the operation that a request would run is a query, as HTTP GET demands.
    ///
    /// # Errors
    /// The response to a document that is over a limit, malformed, or has no operation of that name.
    #[expect(clippy::result_large_err, reason = "a response is what every caller makes of the error")]
    pub fn is_query(&self, request: &mut Request) -> Result<bool, Response> {
        self.executor.operation(request).map(|operation| operation.ty == OperationType::Query)
    }
}

impl async_graphql::Executor for HanSchema {
    async fn execute(&self, request: Request) -> Response {
        Self::execute(self, request).await
    }

    async fn execute_batch(&self, batch: BatchRequest) -> BatchResponse {
        let limit = self.limits().batch;
        match batch {
            BatchRequest::Single(request) => BatchResponse::Single(Self::execute(self, request).await),
            BatchRequest::Batch(requests) if requests.len() > limit => {
                let error = LimitError::TooMany { what: "operations in one batch", limit };
                BatchResponse::Single(error::response(&error.into()))
            }
            // One after another: a batch must not take several of the database's connections at once.
            BatchRequest::Batch(requests) => {
                let mut responses = Vec::with_capacity(requests.len());
                for request in requests {
                    responses.push(Self::execute(self, request).await);
                }
                BatchResponse::Batch(responses)
            }
        }
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        Self::execute_stream(self, request, session_data)
    }
}
