//! Wake-ups: after a commit of this process, and the channels on which replicas wake each other.

use tokio::sync::{Notify, watch};

/// The channel on which triggers and the notifier say that the outbox has new rows.
#[cfg(feature = "postgres")]
pub(crate) const CHANGES_CHANNEL: &str = "db_changes";
/// The channel on which a replica says that it has ended a job's lease.
pub(crate) const JOBS_CHANNEL: &str = "db_jobs";

/// Wakes the reader of the outbox, the notifier of other replicas, and waiting jobs.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    reader: Notify,
    #[cfg(feature = "postgres")]
    notifier: Notify,
    jobs: watch::Sender<()>,
}

impl Commits {
    /// Says that this process has committed something.
    pub(crate) fn notify(&self) {
        self.wake_reader();
        #[cfg(feature = "postgres")]
        self.notifier.notify_one();
    }

    /// Wakes the reader of the outbox alone: other replicas know already.
    pub(crate) fn wake_reader(&self) {
        self.reader.notify_one();
    }

    /// Waits until there may be something to read.
    pub(crate) async fn reader_woken(&self) {
        self.reader.notified().await;
    }

    /// Waits until this process has committed something.
    #[cfg(feature = "postgres")]
    pub(crate) async fn committed(&self) {
        self.notifier.notified().await;
    }

    /// Wakes the jobs of this process that wait for a lease.
    pub(crate) fn wake_jobs(&self) {
        self.jobs.send_replace(());
    }

    /// Changes when a lease may have ended.
    pub(crate) fn lease_ends(&self) -> watch::Receiver<()> {
        self.jobs.subscribe()
    }
}
