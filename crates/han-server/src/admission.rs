//! Admission control under load: a semaphore with priorities, a bounded queue and a bounded wait. Higher plans go first,
//! and within a priority the order of arrival holds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// The priority of a waiter. Waiters of the same priority go in the order of their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Pro and Enterprise.
    First,
    /// Free.
    Normal,
}

impl Priority {
    /// The index of its queue: the lower, the earlier.
    fn queue(self) -> usize {
        match self {
            Self::First => 0,
            Self::Normal => 1,
        }
    }
}

/// The semaphore is exhausted: the queue is full, or the wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saturated;

/// A semaphore with priorities. Clones share its units.
#[derive(Clone, Debug)]
pub(crate) struct PrioritySemaphore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The longest wait.
    patience: Duration,
    /// The most waiters.
    max_waiting: usize,
    /// All units, free or not.
    units: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// When units were last released.
    last_release: Option<Instant>,
    waiting: [VecDeque<Waiting>; 2],
}

#[derive(Debug)]
struct Waiting {
    units: usize,
    grant: oneshot::Sender<Permit>,
}

/// Units of a semaphore, released when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    semaphore: PrioritySemaphore,
    units: usize,
}

impl PrioritySemaphore {
    /// A semaphore with `units`, for which at most `max_waiting` wait, each for at most `patience`.
    pub(crate) fn new(units: usize, max_waiting: usize, patience: Duration) -> Self {
        let units = units.max(1);
        let state = State { free: units, last_release: None, waiting: [VecDeque::new(), VecDeque::new()] };
        Self(Arc::new(Shared { patience, max_waiting, units, state: Mutex::new(state) }))
    }

    /// Whether all units have been free for at least `time`.
    pub(crate) fn is_quiet_for(&self, time: Duration) -> bool {
        let state = self.state();
        state.free == self.0.units && state.last_release.is_none_or(|last| last.elapsed() >= time)
    }

    /// Acquires `units`, waiting for them if necessary.
    ///
    /// # Errors
    /// If the queue is full of waiters of this or a higher priority, if a waiter of a higher priority took the place in
    /// the queue, or if the wait was too long.
    pub(crate) async fn acquire(&self, units: usize, priority: Priority) -> Result<Permit, Saturated> {
        let granted = match self.try_acquire_or_queue(units, priority)? {
            Ok(permit) => return Ok(permit),
            Err(granted) => granted,
        };
        // Dropped after the place in the queue, also if the request is dropped.
        let _wake_others = WakeOthers(self);
        match tokio::time::timeout(self.0.patience, granted).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Saturated),
        }
    }

    /// A permit at once, or a place in the queue.
    fn try_acquire_or_queue(
        &self,
        units: usize,
        priority: Priority,
    ) -> Result<Result<Permit, oneshot::Receiver<Permit>>, Saturated> {
        let mut state = self.state();
        // No request overtakes waiters of its own or a higher priority.
        let ahead = state.waiting.iter_mut().take(priority.queue() + 1).any(|queue| {
            queue.retain(|waiting| !waiting.grant.is_closed());
            !queue.is_empty()
        });
        if !ahead && state.free >= units {
            state.free -= units;
            return Ok(Ok(Permit { semaphore: self.clone(), units }));
        }
        if state.waiting.iter().map(VecDeque::len).sum::<usize>() >= self.0.max_waiting {
            // The latest waiter of a lower priority is refused to make room.
            let lower = state.waiting.iter_mut().skip(priority.queue() + 1).rev();
            lower.filter_map(VecDeque::pop_back).next().ok_or(Saturated)?;
        }
        let (grant, granted) = oneshot::channel();
        state.waiting[priority.queue()].push_back(Waiting { units, grant });
        Ok(Err(granted))
    }

    fn release(&self, units: usize) {
        let mut ready = Vec::new();
        let mut state = self.state();
        state.free += units;
        state.last_release = Some(Instant::now());
        // Only the first waiter of the highest priority may go next: small requests do not pass large ones.
        while let Some(first) = state.waiting.iter().position(|queue| !queue.is_empty()) {
            let free = state.free;
            let fits = |next: &mut Waiting| next.grant.is_closed() || next.units <= free;
            let Some(next) = state.waiting[first].pop_front_if(fits) else { break };
            if !next.grant.is_closed() {
                state.free -= next.units;
                ready.push(next);
            }
        }
        drop(state);
        for Waiting { units, grant } in ready {
            // If the waiter has just given up, the permit is dropped, which releases it for the next one.
            let _ = grant.send(Permit { semaphore: self.clone(), units });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The counts are consistent after every statement, also if a holder has panicked.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Re-examines the queue when a waiter leaves it: those behind may need fewer units.
struct WakeOthers<'a>(&'a PrioritySemaphore);

impl Drop for WakeOthers<'_> {
    fn drop(&mut self) {
        self.0.release(0);
    }
}

impl Permit {
    /// How many units it holds.
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// Merges two permits of the same semaphore.
    pub(crate) fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.semaphore.0, &other.semaphore.0), "permits of different semaphores");
        self.units += std::mem::take(&mut other.units);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.units > 0 {
            self.semaphore.release(self.units);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::{Priority, PrioritySemaphore, Saturated};

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn permits_go_by_priority_and_then_by_arrival() {
        let semaphore = PrioritySemaphore::new(1, 10, LONG);
        let held = semaphore.acquire(1, Priority::Normal).await.unwrap();
        let mut normal = std::pin::pin!(semaphore.acquire(1, Priority::Normal));
        let mut first = std::pin::pin!(semaphore.acquire(1, Priority::First));
        let mut second = std::pin::pin!(semaphore.acquire(1, Priority::First));
        assert!((&mut normal).now_or_never().is_none());
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(held);
        let held = (&mut first).now_or_never().unwrap().unwrap();
        assert!((&mut normal).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        drop(held);
        let held = (&mut second).now_or_never().unwrap().unwrap();
        drop(held);
        assert!((&mut normal).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn the_queue_and_the_wait_are_bounded() {
        let semaphore = PrioritySemaphore::new(2, 1, Duration::ZERO);
        let held = semaphore.acquire(2, Priority::First).await.unwrap();
        assert_eq!(semaphore.acquire(1, Priority::First).await.unwrap_err(), Saturated);
        let patient = PrioritySemaphore::new(1, 1, LONG);
        let one = patient.acquire(1, Priority::First).await.unwrap();
        let mut waiting = std::pin::pin!(patient.acquire(1, Priority::Normal));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(patient.acquire(1, Priority::Normal).await.unwrap_err(), Saturated);
        let mut higher = std::pin::pin!(patient.acquire(1, Priority::First));
        assert!((&mut higher).now_or_never().is_none());
        assert_eq!((&mut waiting).now_or_never().unwrap().unwrap_err(), Saturated);
        assert_eq!(patient.acquire(1, Priority::First).await.unwrap_err(), Saturated);
        drop(one);
        assert!((&mut higher).now_or_never().unwrap().is_ok());
        drop(held);
        assert_eq!(semaphore.acquire(2, Priority::Normal).await.unwrap().units(), 2);
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_unblocks_those_behind_it() {
        let semaphore = PrioritySemaphore::new(3, 10, LONG);
        let _held = semaphore.acquire(1, Priority::Normal).await.unwrap();
        let mut large = Box::pin(semaphore.acquire(3, Priority::Normal));
        let mut small = std::pin::pin!(semaphore.acquire(1, Priority::Normal));
        assert!((&mut large).now_or_never().is_none());
        assert!((&mut small).now_or_never().is_none());
        drop(large);
        assert!((&mut small).now_or_never().unwrap().is_ok());
    }

    proptest! {
        /// After any sequence of acquisitions, releases and cancelled waits, all units are free again.
        #[test]
        fn units_are_neither_lost_nor_granted_twice(steps in prop::collection::vec((0u8..4, 1usize..4), 1..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let semaphore = PrioritySemaphore::new(4, 8, LONG);
            let (mut held, mut waiting) = (Vec::new(), Vec::new());
            for (step, n) in steps {
                match step {
                    0 | 1 => {
                        let semaphore = semaphore.clone();
                        let priority = if step == 0 { Priority::First } else { Priority::Normal };
                        waiting.push(Box::pin(async move { semaphore.acquire(n, priority).await }));
                    }
                    2 if !held.is_empty() => drop(held.swap_remove(n % held.len())),
                    3 if !waiting.is_empty() => drop(waiting.swap_remove(n % waiting.len())),
                    _ => {}
                }
                let mut still = Vec::new();
                for mut turn in waiting {
                    match turn.as_mut().now_or_never() {
                        Some(Ok(permit)) => held.push(permit),
                        Some(Err(Saturated)) => {}
                        None => still.push(turn),
                    }
                }
                waiting = still;
                prop_assert!(held.iter().map(super::Permit::units).sum::<usize>() <= 4);
            }
            drop((held, waiting));
            prop_assert!(semaphore.acquire(4, Priority::Normal).now_or_never().is_some_and(|all| all.is_ok()));
        }
    }
}
