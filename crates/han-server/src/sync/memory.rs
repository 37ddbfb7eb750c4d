//! How much memory all pushes in flight may take together. Who cannot have any soon is told to come back later,
//! before the server grows beyond its means.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// One permit stands for this many bytes.
const UNIT: usize = 64 << 10;

/// How long a push waits for memory before it is sent away.
const PATIENCE: Duration = Duration::from_secs(2);

/// The memory that pushes share.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    patience: Duration,
}

/// A push's part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(crate) fn of(bytes: usize) -> Self {
        let units = Semaphore::new((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS));
        Self { units: Arc::new(units), patience: PATIENCE }
    }

    /// A part for a push that needs nothing yet.
    pub(crate) fn reservation(&self) -> Reservation {
        Reservation { memory: self.clone(), held: None }
    }
}

impl Reservation {
    /// Makes room for `bytes` in all. What is held stays held; a part never shrinks.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| saturated())?;
        let wait = Arc::clone(&self.memory.units).acquire_many_owned(more);
        match tokio::time::timeout(self.memory.patience, wait).await {
            Ok(Ok(permit)) => {
                match &mut self.held {
                    Some(held) => held.merge(permit),
                    None => self.held = Some(permit),
                }
                Ok(())
            }
            _ => Err(saturated()),
        }
    }

    /// As [`Reservation::grow_to`], on a thread that may block.
    pub(crate) fn grow_to_blocking(&mut self, bytes: usize) -> Result<(), Problem> {
        Handle::current().block_on(self.grow_to(bytes))
    }
}

fn saturated() -> Problem {
    Problem::unavailable("the server is taking as many pushes as it can (HAN_INGEST_MEMORY_BYTES): try again")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Memory, UNIT};

    #[tokio::test]
    async fn what_one_push_holds_another_cannot_have_until_it_is_given_back() {
        let memory = Memory { patience: Duration::ZERO, ..Memory::of(4 * UNIT) };
        let mut first = memory.reservation();
        first.grow_to(UNIT).await.unwrap();
        first.grow_to(3 * UNIT).await.unwrap();
        first.grow_to(2 * UNIT).await.unwrap();
        let mut second = memory.reservation();
        second.grow_to(1).await.unwrap();
        assert!(second.grow_to(UNIT + 1).await.is_err());
        drop(first);
        second.grow_to(4 * UNIT).await.unwrap();
    }
}
