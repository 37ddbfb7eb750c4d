//! How much memory all pushes in flight may take together, and one team of it. Who cannot have any soon is told to
//! come back later, before the server grows beyond its means.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use han_types::TeamId;
use tokio::runtime::Handle;

use crate::admission::{Gate, Permit, Priority};
use crate::problem::Problem;

/// What is given out at once.
const UNIT: usize = 64 << 10;

/// How long a push waits for memory before it is sent away, and how many wait.
const PATIENCE: Duration = Duration::from_secs(2);
const QUEUE: usize = 1024;

/// The memory that pushes share.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
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
    memory: Memory,
    team_id: TeamId,
    priority: Priority,
    held: Option<Permit>,
}

impl Memory {
    /// `bytes` for all pushes together; one team has half of it, or what its `largest` push takes.
    pub(crate) fn of(bytes: usize, largest: usize) -> Self {
        Self::with_patience(bytes, largest, PATIENCE)
    }

    fn with_patience(bytes: usize, largest: usize, patience: Duration) -> Self {
        let share = (bytes / 2).max(largest) / UNIT;
        Self {
            units: Gate::new(bytes / UNIT, QUEUE, patience),
            teams: Arc::new(Teams { share: share.max(1), held: Mutex::default() }),
        }
    }

    /// A part for a push that needs nothing yet.
    pub(crate) fn reservation(&self, team_id: TeamId, priority: Priority) -> Reservation {
        Reservation { memory: self.clone(), team_id, priority, held: None }
    }
}

impl Reservation {
    /// Makes room for `bytes` in all. What is held stays held; a part never shrinks.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, Permit::units);
        let more = bytes.div_ceil(UNIT).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let share = Share::take(&self.memory.teams, &self.team_id, more)?;
        let permit = self.memory.units.admit(more, self.priority).await.map_err(|_| saturated())?;
        share.keep();
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }

    /// As [`Reservation::grow_to`], on a thread that may block.
    pub(crate) fn grow_to_blocking(&mut self, bytes: usize) -> Result<(), Problem> {
        Handle::current().block_on(self.grow_to(bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            self.memory.teams.give_back(&self.team_id, held.units());
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

    use super::{Memory, UNIT};
    use crate::admission::Priority;

    fn memory(units: usize, largest: usize) -> Memory {
        Memory::with_patience(units * UNIT, largest * UNIT, Duration::ZERO)
    }

    #[tokio::test]
    async fn what_one_push_holds_another_cannot_have_until_it_is_given_back() {
        let memory = memory(4, 4);
        let mut first = memory.reservation("one".parse().unwrap(), Priority::First);
        first.grow_to(UNIT).await.unwrap();
        first.grow_to(3 * UNIT).await.unwrap();
        first.grow_to(2 * UNIT).await.unwrap();
        let mut second = memory.reservation("two".parse().unwrap(), Priority::First);
        second.grow_to(1).await.unwrap();
        assert!(second.grow_to(UNIT + 1).await.is_err());
        drop(first);
        second.grow_to(4 * UNIT).await.unwrap();
    }

    #[tokio::test]
    async fn one_team_leaves_room_for_others() {
        let memory = memory(8, 2);
        let one = || memory.reservation("one".parse().unwrap(), Priority::First);
        let (mut first, mut second) = (one(), one());
        first.grow_to(3 * UNIT).await.unwrap();
        assert!(second.grow_to(2 * UNIT).await.is_err());
        second.grow_to(UNIT).await.unwrap();
        memory.reservation("two".parse().unwrap(), Priority::First).grow_to(4 * UNIT).await.unwrap();
        drop(first);
        second.grow_to(4 * UNIT).await.unwrap();
        drop(second);
        assert!(memory.teams.held().is_empty());
    }
}
