//! Who is let in when there is more to do than means to do it: a counted resource, given out in order, higher plans
//! first. Whoever cannot have any soon is told to come back later; nobody waits without end, and only so many wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use han_types::PlanTier;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Who goes first. Within a class it is who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Pro and Enterprise.
    First,
    /// Everybody else.
    Normal,
}

impl Priority {
    /// What a plan has.
    pub(crate) fn of(plan: PlanTier) -> Self {
        match plan {
            PlanTier::Pro | PlanTier::Enterprise => Self::First,
            PlanTier::Free => Self::Normal,
        }
    }

    fn class(self) -> usize {
        match self {
            Self::First => 0,
            Self::Normal => 1,
        }
    }
}

/// There is none to be had at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saturated;

/// A counted resource.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    patience: Duration,
    /// The most that may wait.
    queue: usize,
    /// All units there are.
    units: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// When units were last given back.
    last_use: Option<Instant>,
    waiting: [VecDeque<Waiting>; 2],
}

#[derive(Debug)]
struct Waiting {
    units: usize,
    admit: oneshot::Sender<Permit>,
}

/// Units of a gate, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Gate,
    units: usize,
}

impl Gate {
    /// A gate with `units` to give, before which at most `queue` wait, each for at most `patience`.
    pub(crate) fn new(units: usize, queue: usize, patience: Duration) -> Self {
        let units = units.max(1);
        let state = State { free: units, last_use: None, waiting: [VecDeque::new(), VecDeque::new()] };
        Self(Arc::new(Shared { patience, queue, units, state: Mutex::new(state) }))
    }

    /// Whether nobody has had or wanted any of it for so long.
    pub(crate) fn is_quiet_for(&self, time: Duration) -> bool {
        let state = self.state();
        state.free == self.0.units && state.last_use.is_none_or(|last| last.elapsed() >= time)
    }

    /// Takes `units`, waiting for them if it must.
    ///
    /// # Errors
    /// Where too many wait already and none of them of a lower class, where a higher class took the place, or where the
    /// wait was too long.
    pub(crate) async fn admit(&self, units: usize, priority: Priority) -> Result<Permit, Saturated> {
        let turn = match self.ask(units, priority)? {
            Ok(permit) => return Ok(permit),
            Err(turn) => turn,
        };
        // Dropped after the place in the queue, also where the request is.
        let _leaving = Leaving(self);
        match tokio::time::timeout(self.0.patience, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Saturated),
        }
    }

    /// Units at once, or a place in the queue.
    fn ask(
        &self,
        units: usize,
        priority: Priority,
    ) -> Result<Result<Permit, oneshot::Receiver<Permit>>, Saturated> {
        let mut state = self.state();
        // Nobody overtakes: not their own class, and not a higher one.
        let ahead = state.waiting.iter_mut().take(priority.class() + 1).any(|queue| {
            queue.retain(|waiting| !waiting.admit.is_closed());
            !queue.is_empty()
        });
        if !ahead && state.free >= units {
            state.free -= units;
            return Ok(Ok(Permit { gate: self.clone(), units }));
        }
        if state.waiting.iter().map(VecDeque::len).sum::<usize>() >= self.0.queue {
            // Whoever came last of a lower class makes room, and is told to come again.
            let lower = state.waiting.iter_mut().skip(priority.class() + 1).rev();
            lower.filter_map(VecDeque::pop_back).next().ok_or(Saturated)?;
        }
        let (admit, turn) = oneshot::channel();
        state.waiting[priority.class()].push_back(Waiting { units, admit });
        Ok(Err(turn))
    }

    fn give_back(&self, units: usize) {
        let mut admitted = Vec::new();
        let mut state = self.state();
        state.free += units;
        state.last_use = Some(Instant::now());
        // The first of the highest class: whoever needs much is not passed over for whoever needs little.
        while let Some(class) = state.waiting.iter().position(|queue| !queue.is_empty()) {
            let free = state.free;
            let ready = |next: &mut Waiting| next.admit.is_closed() || next.units <= free;
            let Some(next) = state.waiting[class].pop_front_if(ready) else { break };
            if !next.admit.is_closed() {
                state.free -= next.units;
                admitted.push(next);
            }
        }
        drop(state);
        for Waiting { units, admit } in admitted {
            // Whoever gave up at this very moment drops it, which gives it to the next.
            let _ = admit.send(Permit { gate: self.clone(), units });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is counted is consistent after every statement, also where a holder has panicked.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever stood behind one that gives up may fit where that one did not.
struct Leaving<'a>(&'a Gate);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.give_back(0);
    }
}

impl Permit {
    /// How much it holds.
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// Makes one of two of the same gate.
    pub(crate) fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.gate.0, &other.gate.0), "permits of different gates");
        self.units += std::mem::take(&mut other.units);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.units > 0 {
            self.gate.give_back(self.units);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::{Gate, Priority, Saturated};

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn higher_plans_go_first_and_within_a_plan_who_came_first() {
        let gate = Gate::new(1, 10, LONG);
        let held = gate.admit(1, Priority::Normal).await.unwrap();
        let mut normal = std::pin::pin!(gate.admit(1, Priority::Normal));
        let mut first = std::pin::pin!(gate.admit(1, Priority::First));
        let mut second = std::pin::pin!(gate.admit(1, Priority::First));
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
    async fn nobody_waits_without_end_and_only_so_many_wait() {
        let gate = Gate::new(2, 1, Duration::ZERO);
        let held = gate.admit(2, Priority::First).await.unwrap();
        assert_eq!(gate.admit(1, Priority::First).await.unwrap_err(), Saturated);
        let patient = Gate::new(1, 1, LONG);
        let one = patient.admit(1, Priority::First).await.unwrap();
        let mut waiting = std::pin::pin!(patient.admit(1, Priority::Normal));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(patient.admit(1, Priority::Normal).await.unwrap_err(), Saturated);
        let mut higher = std::pin::pin!(patient.admit(1, Priority::First));
        assert!((&mut higher).now_or_never().is_none());
        assert_eq!((&mut waiting).now_or_never().unwrap().unwrap_err(), Saturated);
        assert_eq!(patient.admit(1, Priority::First).await.unwrap_err(), Saturated);
        drop(one);
        assert!((&mut higher).now_or_never().unwrap().is_ok());
        drop(held);
        assert_eq!(gate.admit(2, Priority::Normal).await.unwrap().units(), 2);
    }

    #[tokio::test]
    async fn who_gives_up_lets_those_behind_through() {
        let gate = Gate::new(3, 10, LONG);
        let _held = gate.admit(1, Priority::Normal).await.unwrap();
        let mut much = Box::pin(gate.admit(3, Priority::Normal));
        let mut little = std::pin::pin!(gate.admit(1, Priority::Normal));
        assert!((&mut much).now_or_never().is_none());
        assert!((&mut little).now_or_never().is_none());
        drop(much);
        assert!((&mut little).now_or_never().unwrap().is_ok());
    }

    proptest! {
        /// Whatever is asked for, given back and given up, all of it is there again at the end.
        #[test]
        fn nothing_is_lost_and_never_too_much_given(steps in prop::collection::vec((0u8..4, 1usize..4), 1..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let gate = Gate::new(4, 8, LONG);
            let (mut held, mut waiting) = (Vec::new(), Vec::new());
            for (step, n) in steps {
                match step {
                    0 | 1 => {
                        let gate = gate.clone();
                        let class = if step == 0 { Priority::First } else { Priority::Normal };
                        waiting.push(Box::pin(async move { gate.admit(n, class).await }));
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
            prop_assert!(gate.admit(4, Priority::Normal).now_or_never().is_some_and(|all| all.is_ok()));
        }
    }
}
