//! A clock that changes only when its test sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use han_types::{Clock, Timestamp};

/// A clock that a test controls. Clones share the time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Starts at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.0)))
    }

    /// Sets the time, which may go backwards.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.0, Ordering::SeqCst);
    }

    /// Moves by `seconds`; a negative number moves back.
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Default for TestClock {
    /// 2026-11-02T09:00:00Z, a Monday.
    fn default() -> Self {
        Self::at(Timestamp(1_793_610_000_000))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use han_types::{Clock, Timestamp};

    use super::TestClock;

    #[test]
    fn clones_share_the_time() {
        let clock = TestClock::default();
        let held: Box<dyn Clock> = Box::new(clock.clone());
        assert_eq!(held.now().to_rfc3339(), "2026-11-02T09:00:00.000Z");
        clock.advance_seconds(3600);
        assert_eq!(held.now().to_rfc3339(), "2026-11-02T10:00:00.000Z");
        clock.set(Timestamp(0));
        assert_eq!(held.now(), Timestamp(0));
    }
}
