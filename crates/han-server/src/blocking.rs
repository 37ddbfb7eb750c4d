//! CPU-bound work off the async threads.

use tokio::task::JoinError;

use han_http::Problem;

/// Work that was lost: it panicked, or the runtime shut down.
#[derive(Debug)]
pub(crate) struct Lost;

/// Runs `work` on a thread for blocking work, with its log lines in the span of the caller. `what` names the work in the
/// log if it is lost.
pub(crate) async fn run<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Lost> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await.map_err(|error| lost(what, &error))
}

/// Logs that a task was lost. The text of a panic may quote content, so it is not logged: it is on standard error.
pub(crate) fn lost(what: &'static str, error: &JoinError) -> Lost {
    tracing::error!(panicked = error.is_panic(), "{what} was lost");
    Lost
}

impl From<Lost> for Problem {
    fn from(_: Lost) -> Self {
        Self::internal()
    }
}
