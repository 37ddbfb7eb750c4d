//! The reads of clients that may run at once, and each person's share of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use han_types::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of the connections, those that clients' reads may hold at once: the others are left to pushes, to the look-ups that
/// authenticate, and to the change feed. One person's reads hold at most half of them, so that however many reads of one
/// person wait, those of others do not wait behind them.
pub(crate) struct ReadSlots {
    all: Arc<Semaphore>,
    share: usize,
    people: Arc<People>,
}

type People = Mutex<HashMap<UserId, Person>>;

struct Person {
    share: Arc<Semaphore>,
    /// The slots that it holds or waits for.
    requests: usize,
}

/// A read's place. Dropped, it is free again.
pub(crate) struct ReadSlot {
    _all: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
    _request: Request,
}

impl ReadSlots {
    pub(crate) fn new(slots: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(slots)), share: slots.div_ceil(2), people: Arc::default() }
    }

    /// Waits for a place. `None` never happens: the semaphores are not closed.
    pub(crate) async fn acquire(&self, user: &UserId) -> Option<ReadSlot> {
        let (share, request) = self.request(user);
        // First the share: who waits for it must not hold a place.
        let share = share.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(ReadSlot { _all: all, _share: share, _request: request })
    }

    fn request(&self, user: &UserId) -> (Arc<Semaphore>, Request) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let person = people
            .entry(user.clone())
            .or_insert_with(|| Person { share: Arc::new(Semaphore::new(self.share)), requests: 0 });
        person.requests += 1;
        (Arc::clone(&person.share), Request { people: Arc::clone(&self.people), user: user.clone() })
    }
}

/// Keeps a person's share known while one of their reads runs or waits.
struct Request {
    people: Arc<People>,
    user: UserId,
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(person) = people.get_mut(&self.user) else { return };
        person.requests -= 1;
        if person.requests == 0 {
            people.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use han_types::UserId;

    use super::ReadSlots;

    fn user(name: &str) -> UserId {
        name.to_owned().try_into().unwrap()
    }

    #[test]
    fn reads_of_one_person_leave_slots_to_others() {
        let (slots, one, other) = (ReadSlots::new(4), user("one"), user("other"));
        let now = |user: &UserId| slots.acquire(user).now_or_never().flatten();
        let held: Vec<_> = [now(&one), now(&one)].into();
        assert!(held.iter().all(Option::is_some));
        // Many of theirs wait.
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(slots.acquire(&one))).collect();
        assert!(waiting.iter_mut().all(|slot| slot.now_or_never().is_none()));
        let of_other = [now(&other), now(&other)];
        assert!(of_other.iter().all(Option::is_some));
        assert!(now(&other).is_none(), "their share, too, is half");
        assert!(now(&user("third")).is_none(), "all slots are taken");
        drop(of_other);
        assert!(now(&user("third")).is_some());
        drop((held, waiting));
        assert!(slots.people.lock().unwrap().is_empty(), "no one is kept who does not read");
    }

    #[test]
    fn one_slot_is_enough() {
        let slots = ReadSlots::new(1);
        let held = slots.acquire(&user("one")).now_or_never().flatten();
        assert!(held.is_some());
        assert!(slots.acquire(&user("other")).now_or_never().is_none());
        drop(held);
        assert!(slots.acquire(&user("other")).now_or_never().flatten().is_some());
    }
}
