//! The operations that run on a socket, and where their responses come from. A socket's task is never delayed by one of
//! them: responses that many subscribers share are made elsewhere, and everything else that loads something has a task
//! of its own, which does not wait for the client while it holds what others need.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_graphql::{Request, Response as GraphQlResponse};
use futures_util::stream::{BoxStream, StreamExt as _};
use han_api::{HanSchema, RequestContext, SharedAnswer, StartedOperation};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::budget::{Account, Answer, Hold, Refusal, Resource};
use crate::layers::REQUEST_DEADLINE;

/// An operation, which ends when this is dropped.
pub(super) struct Running {
    pub(super) id: String,
    source: ResponseSource,
    /// A query's is held by its task.
    _hold: Option<Hold>,
}

/// Where an operation's responses come from.
enum ResponseSource {
    /// Made once for many subscribers; polling it loads nothing.
    Shared(BoxStream<'static, SharedAnswer>),
    /// Made for this subscription only, one at a time.
    Own { responses: mpsc::Receiver<Box<RawValue>>, _task: AbortOnDropHandle<()> },
    /// A query or a mutation, which has one response.
    Query(AbortOnDropHandle<Option<QueryResponse>>),
    /// There are no more.
    Done,
}

/// The response of a query or a mutation. It keeps its permit until the client has taken it, so that a client that does
/// not read has few of them waiting.
pub(super) struct QueryResponse {
    pub(super) response: Box<RawValue>,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) held: (Hold, Arc<Answer>),
}

/// Why an operation was not started.
pub(super) enum NotStarted {
    /// A limit does not allow it now.
    Busy(Refusal),
    /// The schema does not run it.
    Refused(Box<GraphQlResponse>),
}

impl From<Refusal> for NotStarted {
    fn from(refusal: Refusal) -> Self {
        Self::Busy(refusal)
    }
}

/// A response on its way to the client.
pub(super) enum Outgoing {
    Shared(SharedAnswer),
    Own(Box<RawValue>),
    Query(QueryResponse),
}

impl Running {
    /// Starts an operation, which is charged to `account`. `queries` bounds how many queries of the socket run at once.
    ///
    /// # Errors
    /// If a limit does not allow it, or the schema refuses it.
    pub(super) fn start(
        id: String,
        request: Request,
        schema: &HanSchema,
        context: &Arc<RequestContext>,
        queries: &Arc<Semaphore>,
        account: &Account,
    ) -> Result<Self, NotStarted> {
        let mut hold = None;
        let source = match schema.begin(request, context) {
            StartedOperation::Refused(response) => return Err(NotStarted::Refused(response)),
            StartedOperation::Shared(responses) => {
                hold = Some(account.take(Resource::Subscriptions, 1)?);
                ResponseSource::Shared(responses)
            }
            StartedOperation::Own(responses) => {
                hold = Some(account.take(Resource::Subscriptions, 1)?);
                let (sender, receiver) = mpsc::channel(1);
                let task = tokio::spawn(forward(schema.clone(), responses, sender).in_current_span());
                ResponseSource::Own { responses: receiver, _task: AbortOnDropHandle::new(task) }
            }
            StartedOperation::Query(request) => {
                let answer = Answer::of(account);
                let held = (account.take(Resource::Operations, 1)?, Arc::clone(&answer));
                let context = RequestContext::clone(context).with_answers(answer);
                let request = request.data(context);
                let run = run_query(schema.clone(), request, Arc::clone(queries), account.clone(), held);
                ResponseSource::Query(AbortOnDropHandle::new(tokio::spawn(run.in_current_span())))
            }
        };
        Ok(Self { id, source, _hold: hold })
    }
}

impl ResponseSource {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        match self {
            Self::Shared(responses) => responses.poll_next_unpin(cx).map(|next| next.map(Outgoing::Shared)),
            Self::Own { responses, .. } => responses.poll_recv(cx).map(|next| next.map(Outgoing::Own)),
            Self::Query(task) => {
                let done = ready!(Pin::new(task).poll(cx));
                *self = Self::Done;
                // A task that panicked has no response; the log has its panic.
                Poll::Ready(done.ok().flatten().map(Outgoing::Query))
            }
            Self::Done => Poll::Ready(None),
        }
    }
}

/// The next response of any operation, or `None` for the end of one, with its place in the list. The operation at
/// `first` is polled first; shared subscriptions only if `shared` is set.
pub(super) async fn next_response(
    running: &mut [Running],
    first: usize,
    shared: bool,
) -> (usize, Option<Outgoing>) {
    poll_fn(|cx| {
        for offset in 0..running.len() {
            let at = (first + offset) % running.len();
            let source = &mut running[at].source;
            if !shared && matches!(source, ResponseSource::Shared(_)) {
                continue;
            }
            if let Poll::Ready(outgoing) = source.poll_next(cx) {
                return Poll::Ready((at, outgoing));
            }
        }
        Poll::Pending
    })
    .await
}

/// Forwards a subscription's responses, until it ends or the task is aborted.
async fn forward(
    schema: HanSchema,
    mut responses: BoxStream<'static, GraphQlResponse>,
    to: mpsc::Sender<Box<RawValue>>,
) {
    while let Some(response) = responses.next().await {
        if to.send(schema.to_json(response).await).await.is_err() {
            return;
        }
    }
}

/// Runs a query or a mutation.
async fn run_query(
    schema: HanSchema,
    request: Request,
    queries: Arc<Semaphore>,
    account: Account,
    held: (Hold, Arc<Answer>),
) -> Option<QueryResponse> {
    let permit = queries.acquire_owned().await.ok()?;
    let response = match account.turn().await {
        Ok(_turn) => match timeout(REQUEST_DEADLINE, schema.execute(request)).await {
            Ok(response) => response,
            Err(_) => han_api::too_slow(),
        },
        Err(refusal) => han_api::busy(refusal.to_string()),
    };
    Some(QueryResponse { response: schema.to_json(response).await, permit, held })
}
