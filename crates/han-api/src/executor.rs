//! Runs operations: counts a document against the limits before it is parsed, drives the loads that its fields ask for,
//! gives each error of the response a code, makes failed fields null, and puts fields into the order of the query.

use std::sync::{Arc, OnceLock};
use std::task::Poll;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType};
use async_graphql::{Data, ObjectType, Request, Response, Schema, ServerError, SubscriptionType, Value};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};

use crate::context::{OperationCell, RequestContext};
use crate::drive;
use crate::error::{self, ApiError, Code};
use crate::field_types::FieldTypes;
use crate::limits::{self, QueryLimits};
use crate::meter::{self, Meter};
use crate::{nulls, one_field, shape};

/// A schema of any roots, with its limits.
#[derive(Clone)]
pub(crate) struct Executor {
    schema: Arc<dyn AnySchema>,
    limits: QueryLimits,
    /// The types of the schema's fields, once an operation has run.
    types: Arc<OnceLock<FieldTypes>>,
}

/// The part of `async_graphql::Schema` that does not depend on the types of its roots.
trait AnySchema: Send + Sync {
    fn execute(&self, request: Request) -> BoxFuture<'_, Response>;

    fn execute_stream(&self, request: Request, session_data: Arc<Data>) -> BoxStream<'static, Response>;

    fn sdl(&self) -> String;
}

impl<Q, M, S> AnySchema for Schema<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    fn execute(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(Self::execute(self, request))
    }

    fn execute_stream(&self, request: Request, session_data: Arc<Data>) -> BoxStream<'static, Response> {
        self.execute_stream_with_session_data(request, session_data).boxed()
    }

    fn sdl(&self) -> String {
        Self::sdl(self)
    }
}

impl Executor {
    pub(crate) fn new<Q, M, S>(schema: Schema<Q, M, S>, limits: QueryLimits) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        Self { schema: Arc::new(schema), limits, types: Arc::default() }
    }

    pub(crate) fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// Runs a query or a mutation.
    pub(crate) async fn execute(&self, request: Request) -> Response {
        match self.admit(request) {
            Ok((request, document, meter)) => {
                match meter.limit(drive::run(self.schema.execute(request))).await {
                    Ok(response) => self.finish(response, &document),
                    Err(stopped) => error::response(&stopped),
                }
            }
            Err(refused) => error::response(&refused),
        }
    }

    /// Runs any operation as a stream of responses.
    pub(crate) fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        match self.admit(request) {
            Ok((request, document, meter)) => {
                let responses = self.schema.execute_stream(request, session_data.unwrap_or_default());
                let is_subscription = document.ty() == Some(OperationType::Subscription);
                let mut responses = drive::stream(responses);
                let (executor, mut has_stopped) = (self.clone(), false);
                let responses = stream::poll_fn(move |cx| {
                    if has_stopped {
                        return Poll::Ready(None);
                    }
                    let polled = responses.poll_next_unpin(cx);
                    if let Some(stopped) = meter.stopped() {
                        has_stopped = true;
                        return Poll::Ready(Some(error::response(stopped)));
                    }
                    polled.map(|response| {
                        meter.restart();
                        Some(executor.finish(response?, &document))
                    })
                });
                if is_subscription { until_unavailable(responses).boxed() } else { responses.boxed() }
            }
            Err(refused) => stream::iter([error::response(&refused)]).boxed(),
        }
    }

    /// The operation that a request would run.
    ///
    /// # Errors
    /// The response to a document that is over a limit, malformed, or has no operation of that name.
    #[expect(clippy::result_large_err, reason = "a response is what every caller makes of the error")]
    pub(crate) fn operation<'r>(
        &self,
        request: &'r mut Request,
    ) -> Result<&'r OperationDefinition, Response> {
        limits::check(&request.query, &self.limits).map_err(|error| error::response(&error.into()))?;
        let name = request.operation_name.clone();
        let document = request.parsed_query().map_err(|error| self.refused(error))?;
        named(document, name.as_deref()).ok_or_else(|| {
            error::response(&ApiError::bad("operationName", "name one of the document's operations"))
        })
    }

    fn refused(&self, error: ServerError) -> Response {
        error::finish(Response::from_errors(vec![error]), self.limits.errors)
    }

    /// Checks the selection of a subscription. Returns whether the operation is one.
    ///
    /// # Errors
    /// If it does not select exactly one field.
    pub(crate) fn is_subscription(&self, request: &mut Request) -> Result<bool, ApiError> {
        let name = request.operation_name.clone();
        // Running a malformed document reports the error.
        if limits::check(&request.query, &self.limits).is_err() {
            return Ok(false);
        }
        let Ok(document) = request.parsed_query() else { return Ok(false) };
        let is_one =
            named(document, name.as_deref()).is_some_and(|found| found.ty == OperationType::Subscription);
        if is_one {
            one_field::check(&mut document.clone(), name.as_deref())?;
        }
        Ok(is_one)
    }

    fn finish(&self, mut response: Response, document: &Document) -> Response {
        if let Some(parsed) = &document.parsed
            && let Some(operation) = named(parsed, document.operation.as_deref())
        {
            let types = self.types();
            nulls::fill(&mut response, types, parsed, operation);
            shape::arrange(&mut response, types, parsed, operation, document.is_marked);
        }
        error::finish(response, self.limits.errors)
    }

    fn types(&self) -> &FieldTypes {
        self.types.get_or_init(|| FieldTypes::read(&self.schema.sdl()))
    }

    /// Counts a request before it is parsed, gives it its own operation, and marks its document.
    fn admit(&self, mut request: Request) -> Result<(Request, Document, Arc<Meter>), ApiError> {
        limits::check(&request.query, &self.limits)?;
        check_variables(&mut request)?;
        let operation = request.operation_name.clone();
        // Running a malformed document reports the error.
        let mut parsed = request.parsed_query().ok().cloned();
        let mut is_marked = false;
        if let Some(parsed) = &mut parsed {
            let is_merged = one_field::check(parsed, operation.as_deref())?;
            is_marked = shape::mark(parsed, &request.query, self.types(), operation.as_deref());
            if is_marked || is_merged {
                request.set_parsed_query(parsed.clone());
            }
        }
        let payer =
            meter::of_request::<RequestContext>(&request).and_then(|context| context.answers().cloned());
        let meter = Meter::new(self.limits.response_bytes, payer);
        let request = request.data(OperationCell::default()).data(Arc::clone(&meter));
        Ok((request, Document { parsed, is_marked, operation }, meter))
    }
}

/// The document of a request.
struct Document {
    /// As it runs; `None` if it is malformed.
    parsed: Option<ExecutableDocument>,
    /// Whether it has fields that the client did not select.
    is_marked: bool,
    /// The name of the operation.
    operation: Option<String>,
}

impl Document {
    /// The kind of the operation; `None` if the document is malformed.
    fn ty(&self) -> Option<OperationType> {
        named(self.parsed.as_ref()?, self.operation.as_deref()).map(|operation| operation.ty)
    }
}

/// The responses of a subscription, up to the first one with a field that could not be loaded because the database could
/// not be reached. In its place comes the response that [`error::is_unavailable`] recognizes, and the subscription ends.
fn until_unavailable(
    responses: impl Stream<Item = Response> + Send + Unpin + 'static,
) -> impl Stream<Item = Response> + Send {
    stream::unfold(Some(responses), |responses| async move {
        let mut responses = responses?;
        let response = responses.next().await?;
        if error::has_code(&response, Code::Unavailable) {
            return Some((error::response(&ApiError::Unavailable), None));
        }
        Some((response, Some(responses)))
    })
}

/// The operation with this name, or the only one.
pub(crate) fn named<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Option<&'d OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(found, _)| found.is_some_and(|found| *found == name)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    found.map(|(_, operation)| &operation.node)
}

/// Checks that every required variable has a value. A missing one is an error of the request, not of the fields that use
/// it (https://spec.graphql.org/October2021/#CoerceVariableValues()); the library reports it at the fields.
fn check_variables(request: &mut Request) -> Result<(), ApiError> {
    let name = request.operation_name.clone();
    let given = std::mem::take(&mut request.variables);
    // Running a malformed or ambiguous document reports the error.
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
