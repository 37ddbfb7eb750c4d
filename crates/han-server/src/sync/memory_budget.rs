//! The memory that all pushes in progress share, and the share of one team. A push that gets no memory in time is refused
//! with 503, before the server uses more than `HAN_INGEST_MEMORY_BYTES`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use han_types::TeamId;
use tokio::runtime::Handle;

use crate::admission::{Permit, Priority, PrioritySemaphore};
use han_http::Problem;

/// Memory is reserved in units of this size.
const UNIT: usize = 64 << 10;

/// How long a push waits for memory before it is refused, and how many pushes may wait.
const PATIENCE: Duration = Duration::from_secs(2);
const QUEUE: usize = 1024;

/// The memory that pushes share: one pool for bodies, another for storing. With a single pool, pushes that hold their
/// bodies could wait for each other (a deadlock).
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget {
    bodies: Pool,
    stores: Pool,
}

#[derive(Clone, Debug)]
struct Pool {
    units: PrioritySemaphore,
    teams: Arc<Teams>,
}

/// The units of each team, so that slow uploads of one team leave memory for the others.
#[derive(Debug)]
struct Teams {
    /// The most units of one team.
    share: usize,
    held: Mutex<HashMap<TeamId, usize>>,
}

/// The memory of one push, released when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    body: PoolReservation,
    store: PoolReservation,
}

/// The memory of one push in one pool.
#[derive(Debug)]
struct PoolReservation {
    pool: Pool,
    team_id: TeamId,
    priority: Priority,
    held: Option<Permit>,
}

impl MemoryBudget {
    /// `bytes` for all pushes together. The largest push needs `body` bytes to be read and `store` more to be stored. One
    /// team may have half of each pool, or what its largest push needs.
    pub(crate) fn new(bytes: usize, body: usize, store: usize) -> Self {
        let stores = (bytes / 5 * 3).min(bytes.saturating_sub(body)).max(store);
        let bodies = bytes.saturating_sub(stores).max(body);
        Self { bodies: Pool::new(bodies, body, PATIENCE), stores: Pool::new(stores, store, PATIENCE) }
    }

    /// An empty reservation for a new push.
    pub(crate) fn reservation(&self, team_id: TeamId, priority: Priority) -> Reservation {
        Reservation {
            body: self.bodies.reservation(team_id.clone(), priority),
            store: self.stores.reservation(team_id, priority),
        }
    }
}

impl Reservation {
    /// Reserves memory for a body of `bytes` in total. A reservation never shrinks.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        self.body.grow_to(bytes).await
    }

    /// Reserves the memory that storing needs beside the body ([`crate::config::push_memory::bytes_to_store`]).
    pub(crate) async fn grow_to_store(&mut self, bytes: usize) -> Result<(), Problem> {
        self.store.grow_to(bytes).await
    }

    /// Like [`Reservation::grow_to`], on a thread that may block.
    pub(crate) fn grow_to_blocking(&mut self, bytes: usize) -> Result<(), Problem> {
        Handle::current().block_on(self.grow_to(bytes))
    }
}

impl Pool {
    fn new(bytes: usize, largest: usize, patience: Duration) -> Self {
        let share = (bytes / 2).max(largest).div_ceil(UNIT);
        Self {
            units: PrioritySemaphore::new(bytes.div_ceil(UNIT), QUEUE, patience),
            teams: Arc::new(Teams { share: share.max(1), held: Mutex::default() }),
        }
    }

    fn reservation(&self, team_id: TeamId, priority: Priority) -> PoolReservation {
        PoolReservation { pool: self.clone(), team_id, priority, held: None }
    }
}

impl PoolReservation {
    async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, Permit::units);
        let more = bytes.div_ceil(UNIT).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let share = Share::take(&self.pool.teams, &self.team_id, more)?;
        let permit = self.pool.units.acquire(more, self.priority).await.map_err(|_| saturated())?;
        share.keep();
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }
}

impl Drop for PoolReservation {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            self.pool.teams.release(&self.team_id, held.units());
        }
    }
}

/// Units counted for a team while it waits for them; released unless kept.
struct Share<'a> {
    teams: &'a Teams,
    team_id: &'a TeamId,
    units: usize,
}

impl<'a> Share<'a> {
    fn take(teams: &'a Teams, team_id: &'a TeamId, units: usize) -> Result<Self, Problem> {
        let mut held = teams.held();
        let team = held.entry(team_id.clone()).or_default();
        if *team + units > teams.share {
            return Err(Problem::unavailable(
                "the pushes of your team use all the memory that one team may use (half of \
                 HAN_INGEST_MEMORY_BYTES): try again",
            ));
        }
        *team += units;
        Ok(Self { teams, team_id, units })
    }

    fn keep(mut self) {
        self.units = 0;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.teams.release(self.team_id, self.units);
    }
}

impl Teams {
    fn release(&self, team_id: &TeamId, units: usize) {
        if let Entry::Occupied(mut team) = self.held().entry(team_id.clone()) {
            *team.get_mut() = team.get().saturating_sub(units);
            if *team.get() == 0 {
                team.remove();
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TeamId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn saturated() -> Problem {
    Problem::unavailable("the pushes in progress use all the memory of HAN_INGEST_MEMORY_BYTES: try again")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MemoryBudget, Pool, UNIT};
    use crate::admission::Priority::First;

    fn pool(units: usize, largest: usize) -> Pool {
        Pool::new(units * UNIT, largest * UNIT, Duration::ZERO)
    }

    #[tokio::test]
    async fn reserved_memory_is_not_available_to_others_until_released() {
        let pool = pool(4, 4);
        let mut first = pool.reservation("one".parse().unwrap(), First);
        first.grow_to(UNIT).await.unwrap();
        first.grow_to(3 * UNIT).await.unwrap();
        first.grow_to(2 * UNIT).await.unwrap();
        let mut second = pool.reservation("two".parse().unwrap(), First);
        second.grow_to(1).await.unwrap();
        assert!(second.grow_to(UNIT + 1).await.is_err());
        drop(first);
        second.grow_to(4 * UNIT).await.unwrap();
    }

    #[tokio::test]
    async fn one_team_cannot_reserve_all_memory() {
        let pool = pool(8, 2);
        let one = || pool.reservation("one".parse().unwrap(), First);
        let (mut first, mut second) = (one(), one());
        first.grow_to(3 * UNIT).await.unwrap();
        assert!(second.grow_to(2 * UNIT).await.is_err());
        second.grow_to(UNIT).await.unwrap();
        pool.reservation("two".parse().unwrap(), First).grow_to(4 * UNIT).await.unwrap();
        drop(first);
        second.grow_to(4 * UNIT).await.unwrap();
        drop(second);
        assert!(pool.teams.held().is_empty());
    }

    /// Otherwise bodies that fill the memory would wait for each other, and none would be stored.
    #[tokio::test]
    async fn bodies_leave_the_memory_that_storing_needs() {
        let memory = MemoryBudget::new(10 * UNIT, 2 * UNIT, 4 * UNIT);
        let mut bodies = Vec::new();
        for team in ["one", "two"] {
            let mut push = memory.reservation(team.parse().unwrap(), First);
            push.grow_to(2 * UNIT).await.unwrap();
            bodies.push(push);
        }
        for mut push in bodies {
            push.grow_to_store(4 * UNIT).await.unwrap();
        }
    }
}
