//! How much memory all pushes in flight may take together, and one team of it. Who cannot have any soon is told to
//! come back later, before the server grows beyond its means.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use han_http::Problem;
use han_types::TeamId;
use tokio::runtime::Handle;

use crate::admission::{Gate, Permit, Priority};

/// What is given out at once.
const UNIT: usize = 64 << 10;

/// How long a push waits for memory before it is sent away, and how many wait.
const PATIENCE: Duration = Duration::from_secs(2);
const QUEUE: usize = 1024;

/// What one statement carries at least, as han-db cuts them.
const STATEMENT: usize = 1 << 20;

/// What a line takes beside its text: its ids, what it means, and the rows that are derived from it.
const PER_LINE: usize = 2 << 10;

/// The bytes that a push takes beside its body while it is stored: its lines sealed (four thirds of it where they do
/// not shrink), what each of `lines` means, and what one statement's lines are copied to on their way to the database.
/// Held against what a server takes by the test `a_push_takes_no_more_than_is_reserved_for_it`.
pub(crate) const fn taken_to_store(body: usize, longest_line: usize, lines: usize) -> usize {
    let statement = if longest_line > STATEMENT { longest_line } else { STATEMENT };
    let statement = if statement < body { statement } else { body };
    body / 2 * 3 + statement * 6 + lines * PER_LINE
}

/// The memory that pushes share: what their bodies take, and, apart from it, what storing them takes. Were it one,
/// pushes that hold their bodies could wait for each other.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    bodies: Pool,
    stores: Pool,
}

#[derive(Clone, Debug)]
struct Pool {
    units: Gate,
    teams: Arc<Teams>,
}

/// Who holds how much, so that one team's slow uploads leave room for the others.
#[derive(Debug)]
struct Teams {
    /// The most units of one team.
    share: usize,
    held: Mutex<HashMap<TeamId, usize>>,
}

/// A push's part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    body: Part,
    store: Part,
}

/// A push's part of one pool.
#[derive(Debug)]
struct Part {
    pool: Pool,
    team_id: TeamId,
    priority: Priority,
    held: Option<Permit>,
}

impl Memory {
    /// `bytes` for all pushes together, of which the largest takes `body` to be read and `store` more to be stored.
    /// One team has half of either, or what its largest push takes.
    pub(crate) fn of(bytes: usize, body: usize, store: usize) -> Self {
        let stores = (bytes / 5 * 3).min(bytes.saturating_sub(body)).max(store);
        let bodies = bytes.saturating_sub(stores).max(body);
        Self { bodies: Pool::of(bodies, body, PATIENCE), stores: Pool::of(stores, store, PATIENCE) }
    }

    /// A part for a push that needs nothing yet.
    pub(crate) fn reservation(&self, team_id: TeamId, priority: Priority) -> Reservation {
        Reservation {
            body: self.bodies.part(team_id.clone(), priority),
            store: self.stores.part(team_id, priority),
        }
    }
}

impl Reservation {
    /// Makes room for a body of `bytes` in all. What is held stays held; a part never shrinks.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        self.body.grow_to(bytes).await
    }

    /// Makes room for what storing takes beside the body ([`taken_to_store`]).
    pub(crate) async fn grow_to_store(&mut self, bytes: usize) -> Result<(), Problem> {
        self.store.grow_to(bytes).await
    }

    /// As [`Reservation::grow_to`], on a thread that may block.
    pub(crate) fn grow_to_blocking(&mut self, bytes: usize) -> Result<(), Problem> {
        Handle::current().block_on(self.grow_to(bytes))
    }
}

impl Pool {
    fn of(bytes: usize, largest: usize, patience: Duration) -> Self {
        let share = (bytes / 2).max(largest).div_ceil(UNIT);
        Self {
            units: Gate::new(bytes.div_ceil(UNIT), QUEUE, patience),
            teams: Arc::new(Teams { share: share.max(1), held: Mutex::default() }),
        }
    }

    fn part(&self, team_id: TeamId, priority: Priority) -> Part {
        Part { pool: self.clone(), team_id, priority, held: None }
    }
}

impl Part {
    async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, Permit::units);
        let more = bytes.div_ceil(UNIT).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let share = Share::take(&self.pool.teams, &self.team_id, more)?;
        let permit = self.pool.units.admit(more, self.priority).await.map_err(|_| saturated())?;
        share.keep();
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            self.pool.teams.give_back(&self.team_id, held.units());
        }
    }
}

/// Units counted as a team's while it waits for them; given back unless kept.
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
                "your team's pushes take as much of the server as one team may have (half of \
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
        self.teams.give_back(self.team_id, self.units);
    }
}

impl Teams {
    fn give_back(&self, team_id: &TeamId, units: usize) {
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
    Problem::unavailable("the server is taking as many pushes as it can (HAN_INGEST_MEMORY_BYTES): try again")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Memory, Pool, UNIT};
    use crate::admission::Priority::First;

    fn pool(units: usize, largest: usize) -> Pool {
        Pool::of(units * UNIT, largest * UNIT, Duration::ZERO)
    }

    #[tokio::test]
    async fn what_one_push_holds_another_cannot_have_until_it_is_given_back() {
        let pool = pool(4, 4);
        let mut first = pool.part("one".parse().unwrap(), First);
        first.grow_to(UNIT).await.unwrap();
        first.grow_to(3 * UNIT).await.unwrap();
        first.grow_to(2 * UNIT).await.unwrap();
        let mut second = pool.part("two".parse().unwrap(), First);
        second.grow_to(1).await.unwrap();
        assert!(second.grow_to(UNIT + 1).await.is_err());
        drop(first);
        second.grow_to(4 * UNIT).await.unwrap();
    }

    #[tokio::test]
    async fn one_team_leaves_room_for_others() {
        let pool = pool(8, 2);
        let one = || pool.part("one".parse().unwrap(), First);
        let (mut first, mut second) = (one(), one());
        first.grow_to(3 * UNIT).await.unwrap();
        assert!(second.grow_to(2 * UNIT).await.is_err());
        second.grow_to(UNIT).await.unwrap();
        pool.part("two".parse().unwrap(), First).grow_to(4 * UNIT).await.unwrap();
        drop(first);
        second.grow_to(4 * UNIT).await.unwrap();
        drop(second);
        assert!(pool.teams.held().is_empty());
    }

    /// Else bodies that fill the memory would wait for each other, and none be stored.
    #[tokio::test]
    async fn bodies_leave_the_room_that_storing_takes() {
        let memory = Memory::of(10 * UNIT, 2 * UNIT, 4 * UNIT);
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
