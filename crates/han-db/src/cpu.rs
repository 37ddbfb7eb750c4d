//! CPU-bound work off the async threads.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::DbError;

/// How much the threads of [`run_queued`] yield to others (nice(2)): the small requests of others are answered first.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The threads of [`run_queued`]: one core is left to the async threads, if there are several. `None` if the system
/// refuses them.
static QUEUE: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    let threads = cores.saturating_sub(1).max(1);
    let built = Builder::new_current_thread()
        .thread_name("han-cpu")
        .max_blocking_threads(threads)
        .on_thread_start(yield_to_others)
        .build();
    built.inspect_err(|error| tracing::warn!(%error, "large requests share their threads with others")).ok()
});

/// Lowers the priority of this thread. Only Linux has a priority for each thread.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// Runs CPU-bound `work` off the async threads. `what` names it in the error.
///
/// # Errors
/// [`DbError::TaskLost`] if it panics, or the runtime shuts down first.
pub(crate) async fn run<T, F>(what: &'static str, work: F) -> Result<T, DbError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|error| lost(what, &error))
}

fn lost(what: &'static str, error: &JoinError) -> DbError {
    let cause = if error.is_panic() { "it panicked" } else { "the runtime stopped" };
    DbError::TaskLost { what, cause }
}

/// Runs CPU-bound `work` of a request off the async threads. It waits until a core is free, so that a request with much
/// of it does not take the cores from the small requests of others, and runs with a lower priority. `work` must not wait
/// for anything. It does not begin if nothing waits for it any more.
///
/// # Errors
/// [`DbError::TaskLost`] if it panics, or the runtime shuts down first.
pub async fn run_queued<T, F>(what: &'static str, work: F) -> Result<T, DbError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let Some(queue) = &*QUEUE else { return run(what, work).await };
    AbortOnDropHandle::new(queue.spawn_blocking(work)).await.map_err(|error| lost(what, &error))
}

#[cfg(test)]
mod tests {
    use super::{run, run_queued};
    use crate::DbError;

    #[tokio::test]
    async fn the_text_of_a_panic_is_not_part_of_the_error() {
        let lost: DbError = run("indexing lines", || panic!("what a line said")).await.unwrap_err();
        let texts = format!("{lost} {lost:?} {}", lost.summary());
        assert!(!texts.contains("what a line said"), "{texts}");
        assert_eq!(lost.summary(), "indexing lines did not end: it panicked");
    }

    #[tokio::test]
    async fn a_panic_leaves_the_queue_as_it_was() {
        for _ in 0..64 {
            run_queued::<(), _>("opening segments", || panic!("a bug")).await.unwrap_err();
        }
        assert_eq!(run_queued("opening segments", || 1).await.unwrap(), 1);
    }
}
