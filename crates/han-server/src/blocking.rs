//! CPU-bound work off the async threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::task::JoinError;

use han_http::Problem;

/// Work on at most so many bytes is done where it is: it takes about as long as to wake another thread, which a busy machine
/// makes wait.
pub(crate) const FEW_BYTES: usize = 32 << 10;

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

/// As [`run`], for work that takes time in proportion to `bytes`.
pub(crate) async fn run_sized<T: Send + 'static>(
    what: &'static str,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Lost> {
    if bytes > FEW_BYTES {
        return run(what, work).await;
    }
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| log_lost(what, true))
}

/// Logs that a task was lost. The text of a panic may quote content, so it is not logged: it is on standard error.
pub(crate) fn lost(what: &'static str, error: &JoinError) -> Lost {
    log_lost(what, error.is_panic())
}

fn log_lost(what: &'static str, panicked: bool) -> Lost {
    tracing::error!(panicked, "{what} was lost");
    Lost
}

impl From<Lost> for Problem {
    fn from(_: Lost) -> Self {
        Self::internal()
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW_BYTES, run_sized};

    #[tokio::test]
    async fn work_that_panics_is_lost_whatever_its_size() {
        for bytes in [1, FEW_BYTES + 1] {
            assert!(run_sized::<()>("a test", bytes, || panic!("a bug")).await.is_err());
            assert_eq!(run_sized("a test", bytes, || 1).await.ok(), Some(1));
        }
    }
}
