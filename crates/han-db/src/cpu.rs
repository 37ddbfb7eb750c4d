//! CPU-bound work off the async threads.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::DbError;

/// How much of the work of [`run_queued`] runs at once: one core is left to the async threads, if there are several.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    Semaphore::new(cores.saturating_sub(1).max(1))
});

/// Runs CPU-bound `work` off the async threads. `what` names it in the error.
///
/// # Errors
/// [`DbError::TaskLost`] if it panics, or the runtime shuts down first.
pub(crate) async fn run<T, F>(what: &'static str, work: F) -> Result<T, DbError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|error| DbError::TaskLost {
        what,
        cause: if error.is_panic() { "it panicked" } else { "the runtime stopped" },
    })
}

/// Runs CPU-bound `work` of a request off the async threads. It waits until a core is free, so that a request with much
/// of it does not take the cores from the small requests of others. `work` must not wait for anything.
///
/// # Errors
/// [`DbError::TaskLost`] if it panics, or the runtime shuts down first.
pub async fn run_queued<T, F>(what: &'static str, work: F) -> Result<T, DbError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let lost = |_| DbError::TaskLost { what, cause: "the runtime stopped" };
    let slot = SLOTS.acquire().await.map_err(lost)?;
    run(what, move || {
        // Held by the work itself: it goes on if nothing waits for it any more.
        let _slot = slot;
        work()
    })
    .await
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
    async fn a_panic_gives_its_slot_back() {
        for _ in 0..64 {
            run_queued::<(), _>("opening segments", || panic!("a bug")).await.unwrap_err();
        }
        assert_eq!(run_queued("opening segments", || 1).await.unwrap(), 1);
    }
}
