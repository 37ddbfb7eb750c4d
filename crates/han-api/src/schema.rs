//! The entry points: the schema over a database, and its text.

use std::sync::Arc;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection};
use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, Positioned, Request, Response, Schema, SchemaBuilder, Value,
};
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use han_db::Db;
use han_db::changes::DbChangeEvent;
use tokio::sync::broadcast;

use crate::context::{OperationCell, RequestContext};
use crate::drive;
use crate::error::{self, ApiError};
use crate::limits::{self, LimitError, Limits};
use crate::mutation::MutationRoot;
use crate::query::Query;
use crate::shared::{Begun, Question, Shared};
use crate::subscription::SubscriptionRoot;
#[cfg(feature = "team")]
use crate::team::Site;
use crate::types::message::UserMessage;

type Inner = Schema<Query, MutationRoot, SubscriptionRoot>;

/// The schema over a database. Every way into it counts a document against the limits before it is parsed, and
/// gives every error a code on the way out.
#[derive(Clone)]
pub struct HanSchema {
    inner: Inner,
    limits: Limits,
    shared: Shared,
    #[cfg(feature = "team")]
    site: Arc<Site>,
}

impl std::fmt::Debug for HanSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HanSchema").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The schema over `db`. Subscriptions hear what `changes` tells, which is what `db` itself feeds
/// (`Db::start_changes`).
#[must_use]
pub fn schema(db: Db, changes: broadcast::Sender<DbChangeEvent>, limits: Limits) -> HanSchema {
    let inner = build(SubscriptionRoot::new(changes))
        // The spec's introspection query nests 13 fields deep, clients' own fragments less.
        .limit_depth(limits.nesting)
        .limit_recursive_depth(limits.nesting)
        .limit_complexity(limits.complexity)
        .limit_directives(limits.directives)
        .data(db.clone())
        .finish();
    HanSchema {
        inner,
        limits,
        shared: Shared::new(db),
        #[cfg(feature = "team")]
        site: Arc::default(),
    }
}

/// The schema's text, for which no database is needed.
#[must_use]
pub fn sdl() -> String {
    let (nobody, _) = broadcast::channel(1);
    build(SubscriptionRoot::new(nobody)).finish().sdl()
}

fn build(subscriptions: SubscriptionRoot) -> SchemaBuilder<Query, MutationRoot, SubscriptionRoot> {
    // An interface that no field returns, only fragments name.
    Schema::build(Query::default(), MutationRoot::default(), subscriptions)
        .register_output_type::<UserMessage>()
}

/// The answer to an operation that took longer than the transport gives it.
#[must_use]
pub fn too_slow() -> Response {
    error::response(&ApiError::TooSlow)
}

impl HanSchema {
    /// The same schema on that server: links lead there, and its plans bind.
    #[cfg(feature = "team")]
    #[must_use]
    pub fn at(mut self, site: Site) -> Self {
        self.site = Arc::new(site);
        // What is open leads to the site that was.
        self.shared = self.shared.anew();
        self
    }

    /// The limits it was made with: the transport reads bodies and batches by them.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Runs a query or a mutation. Who asks is in the request's data: see [`crate::request`].
    pub async fn execute(&self, request: Request) -> Response {
        match self.admit(request) {
            Ok(request) => error::finish(drive::run(self.inner.execute(request)).await),
            Err(refused) => error::response(&refused),
        }
    }

    /// Runs any operation as a stream of responses. Who asks is in the request's data or in `session_data`.
    #[must_use]
    pub fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        match self.admit(request) {
            Ok(request) => {
                let session_data = session_data.unwrap_or_default();
                let responses = self.inner.execute_stream_with_session_data(request, session_data);
                drive::stream(responses).map(error::finish).boxed()
            }
            Err(refused) => stream::iter([error::response(&refused)]).boxed(),
        }
    }

    /// Begins an operation of a connection that lives on: what it asks for is heard from this call on. Subscriptions to
    /// the same, by callers who may see the same, are answered once for all of them.
    #[must_use]
    pub fn begin(&self, mut request: Request, caller: &Arc<RequestContext>) -> Begun {
        let question = Question::of(&request, caller);
        let open = question.as_ref().and_then(|question| self.shared.listen(question, caller));
        if let Some(answers) = open {
            return Begun::Shared(answers);
        }
        let Some(fields) = self.subscribes_to(&mut request) else {
            return Begun::Query(Box::new(request.data(RequestContext::clone(caller))));
        };
        match question {
            Some(question) if fields == 1 => Begun::Shared(self.shared.open(self, question, request, caller)),
            // Whoever falls behind on several fields is told so by each of them.
            _ => {
                let mut answers = self.execute_stream(request.data(RequestContext::clone(caller)), None);
                match answers.next().now_or_never() {
                    None => Begun::Own(answers),
                    Some(first) => Begun::Own(stream::iter(first).chain(answers).boxed()),
                }
            }
        }
    }

    /// Whether the operation that a request would run is a query, as HTTP GET demands.
    ///
    /// # Errors
    /// The response to a document that is over a limit, malformed, or has no operation of that name.
    #[expect(clippy::result_large_err, reason = "a response is what every caller makes of the error")]
    pub fn is_query(&self, request: &mut Request) -> Result<bool, Response> {
        self.operation(request).map(|operation| operation.ty == OperationType::Query)
    }

    #[expect(clippy::result_large_err, reason = "a response is what every caller makes of the error")]
    fn operation<'r>(&self, request: &'r mut Request) -> Result<&'r OperationDefinition, Response> {
        limits::check(&request.query, &self.limits).map_err(|error| error::response(&error.into()))?;
        let name = request.operation_name.clone();
        let document =
            request.parsed_query().map_err(|error| error::finish(Response::from_errors(vec![error])))?;
        named(document, name.as_deref()).ok_or_else(|| {
            error::response(&ApiError::bad("operationName", "name one of the document's operations"))
        })
    }

    /// How many fields a subscription asks for; a fragment may be several. `None` for whatever is none: what is
    /// malformed says when it is run what is wrong.
    fn subscribes_to(&self, request: &mut Request) -> Option<usize> {
        let operation = self.operation(request).ok()?;
        let fields = |selection: &Positioned<Selection>| match selection.node {
            Selection::Field(_) => 1,
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => 2,
        };
        let selected = &operation.selection_set.node.items;
        (operation.ty == OperationType::Subscription).then(|| selected.iter().map(fields).sum())
    }

    /// Counts a request before it is parsed, and gives it an operation of its own.
    fn admit(&self, mut request: Request) -> Result<Request, ApiError> {
        limits::check(&request.query, &self.limits)?;
        check_variables(&mut request)?;
        #[cfg(feature = "team")]
        let request = request.data(Arc::clone(&self.site));
        Ok(request.data(OperationCell::default()))
    }
}

/// The operation of that name, or the only one.
fn named<'d>(document: &'d ExecutableDocument, name: Option<&str>) -> Option<&'d OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(found, _)| found.is_some_and(|found| *found == name)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    found.map(|(_, operation)| &operation.node)
}

/// Whether every variable that must have a value has one: that is an error of the request, not of the fields that use
/// it (https://spec.graphql.org/October2021/#CoerceVariableValues()), which the library leaves to the latter.
fn check_variables(request: &mut Request) -> Result<(), ApiError> {
    let name = request.operation_name.clone();
    let given = std::mem::take(&mut request.variables);
    // What is malformed or ambiguous is told by who runs it.
    let missing = request.parsed_query().ok().and_then(|document| {
        let mut defined =
            named(document, name.as_deref())?.variable_definitions.iter().map(|defined| &defined.node);
        let missing = defined.find(|defined| {
            let must = !defined.var_type.node.nullable && defined.default_value.is_none();
            must && given.get(&defined.name.node).is_none_or(|value| *value == Value::Null)
        })?;
        Some(format!("${} of type {} has no value: send one", missing.name.node, missing.var_type.node))
    });
    request.variables = given;
    missing.map_or(Ok(()), |problem| Err(ApiError::bad("variables", problem)))
}

impl Executor for HanSchema {
    async fn execute(&self, request: Request) -> Response {
        Self::execute(self, request).await
    }

    async fn execute_batch(&self, batch: BatchRequest) -> BatchResponse {
        match batch {
            BatchRequest::Single(request) => BatchResponse::Single(Self::execute(self, request).await),
            BatchRequest::Batch(requests) if requests.len() > self.limits.batch => {
                let error = LimitError::TooMany { what: "operations in one batch", limit: self.limits.batch };
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
