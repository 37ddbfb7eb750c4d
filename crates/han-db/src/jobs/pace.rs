//! How the jobs that work through rows give way to clients that push.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long no client may have pushed for a job to work without a rest.
const QUIET: Duration = Duration::from_millis(200);

/// How long a job rests after each batch while clients push: this many times as long as the batch took, and at most
/// [`LONGEST_REST`].
const REST: u32 = 5;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Says whether clients push.
pub(super) struct Pace(Box<dyn Fn(Duration) -> bool + Send + Sync>);

impl Pace {
    /// `is_quiet_for` says whether no client has pushed for so long.
    pub(super) fn new(is_quiet_for: impl Fn(Duration) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(is_quiet_for))
    }

    fn is_quiet(&self) -> bool {
        (self.0)(QUIET)
    }

    /// Rests after a batch that began at `began`, while clients push.
    pub(super) async fn rest(&self, began: Instant) {
        if !self.is_quiet() {
            sleep((began.elapsed() * REST).min(LONGEST_REST)).await;
        }
    }

    /// Waits until no client pushes, but not longer than `patience`.
    pub(super) async fn wait_for_quiet(&self, patience: Duration) {
        let quiet = async {
            while !self.is_quiet() {
                sleep(QUIET / 4).await;
            }
        };
        // Where it does not become quiet, it is the job's turn all the same.
        let _ = timeout(patience, quiet).await;
    }
}
