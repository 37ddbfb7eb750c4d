//! API keys that were verified a moment ago, with the memberships of their owners, so that a client that pushes often
//! does not cost a look-up with each push. Bounded in size and in time; has hashes of keys only.
//!
//! A key is taken from here only while all of these hold (docs/SECURITY.md has the consequences):
//!
//! * it was read from the database less than [`REMEMBERED_FOR`] ago;
//! * other processes can wake this one: on PostgreSQL, the LISTEN connection is up;
//! * a complete read of the outbox began after that connection was made, and less than [`REMEMBERED_FOR`] ago;
//! * no change of rights was read from the outbox, or made by this process, since the look-up of the key began.
//!
//! What is too old is asked of the database again. All times are of the monotonic clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use han_crypto::TokenHash;

use crate::entities::MemberKey;

/// How old an answer about a key may be, and how old the last complete read of the outbox.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(5);

/// How many keys are remembered at most. When there are more, all are forgotten.
const MAX_KEYS: usize = 10_000;

/// The keys that were verified, and what decides whether they may be used.
#[derive(Debug, Default)]
pub(crate) struct VerifiedKeys(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Counts the changes of rights.
    changes: u64,
    /// Since when other processes can wake this one; `None` while they cannot.
    connected: Option<Instant>,
    /// When the last complete read of the outbox began.
    outbox_read: Option<Instant>,
    keys: HashMap<TokenHash, Verified>,
}

#[derive(Debug)]
struct Verified {
    key: Arc<MemberKey>,
    looked_up: Instant,
}

/// The beginning of a look-up in the database: its result may be remembered only if no right has changed since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookUp {
    began: Instant,
    changes: u64,
}

/// The time during which other processes can wake this one; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Connected<'a>(&'a VerifiedKeys);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.state().connected = None;
    }
}

impl State {
    fn is_current(&self, now: Instant) -> bool {
        let (Some(connected), Some(read)) = (self.connected, self.outbox_read) else { return false };
        read >= connected && is_recent(read, now)
    }
}

fn is_recent(then: Instant, now: Instant) -> bool {
    now.saturating_duration_since(then) < REMEMBERED_FOR
}

impl VerifiedKeys {
    /// The key of that hash, if it may be used without asking the database. Whether it has expired is the caller's to
    /// check.
    pub(crate) fn get(&self, hash: &TokenHash, now: Instant) -> Option<Arc<MemberKey>> {
        let state = self.state();
        let verified = state.keys.get(hash).filter(|verified| is_recent(verified.looked_up, now))?;
        state.is_current(now).then(|| Arc::clone(&verified.key))
    }

    /// Begins a look-up, before the database is asked.
    pub(crate) fn begin(&self, now: Instant) -> LookUp {
        LookUp { began: now, changes: self.state().changes }
    }

    /// Remembers what a look-up has found.
    pub(crate) fn put(&self, look_up: LookUp, key: Arc<MemberKey>) {
        let mut state = self.state();
        if look_up.changes != state.changes {
            return;
        }
        if state.keys.len() >= MAX_KEYS && !state.keys.contains_key(&key.key.hash) {
            state.keys.clear();
        }
        state.keys.insert(key.key.hash, Verified { key, looked_up: look_up.began });
    }

    /// Forgets every key: a right has changed, or such a change may have been missed.
    pub(crate) fn rights_changed(&self) {
        let mut state = self.state();
        state.changes += 1;
        state.keys.clear();
    }

    /// Other processes can wake this one from now on, until the result is dropped.
    pub(crate) fn connected(&self, now: Instant) -> Connected<'_> {
        self.state().connected = Some(now);
        Connected(self)
    }

    /// All of the outbox that was visible at `began` was read, and [`VerifiedKeys::rights_changed`] was called for each
    /// change of rights in it.
    pub(crate) fn outbox_read(&self, began: Instant) {
        self.state().outbox_read = Some(began);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one statement, or only forgets more than it must.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use han_crypto::{ApiKeyToken, OsEntropy, TokenHash};
    use han_types::{Capabilities, Membership, PlanTier, Policy, Role, Timestamp};

    use super::{MAX_KEYS, REMEMBERED_FOR, VerifiedKeys};
    use crate::entities::{ApiKey, MemberKey, Team, TeamMembership, TeamPayment};

    fn key() -> Arc<MemberKey> {
        let (team_id, user_id) = ("team".parse().unwrap(), "user".parse().unwrap());
        let key = ApiKey {
            id: "key".parse().unwrap(),
            hash: ApiKeyToken::mint(&OsEntropy::new()).hash(),
            team_id: "team".parse().unwrap(),
            user_id: "user".parse().unwrap(),
            capabilities: Capabilities::from_key_scopes("sync:write"),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        let team = Team {
            id: "team".parse().unwrap(),
            slug: "team".to_owned(),
            name: "team".to_owned(),
            plan_tier: PlanTier::Free,
            before_billing: false,
            created_at: Timestamp(0),
            payment: TeamPayment::default(),
        };
        let membership = TeamMembership {
            membership: Membership { team_id, user_id, role: Role::Member },
            policy: Policy::of(PlanTier::Free),
            team,
        };
        Arc::new(MemberKey { key, membership: Some(membership) })
    }

    /// Keys, one of which was looked up at `now` with a current feed.
    fn remembered(now: Instant) -> (VerifiedKeys, TokenHash) {
        let (keys, key) = (VerifiedKeys::default(), key());
        let hash = key.key.hash;
        std::mem::forget(keys.connected(now));
        keys.outbox_read(now);
        keys.put(keys.begin(now), key);
        (keys, hash)
    }

    #[test]
    fn a_key_is_remembered_for_a_limited_time() {
        let now = Instant::now();
        let (keys, hash) = remembered(now);
        let almost = now + REMEMBERED_FOR - Duration::from_nanos(1);
        assert!(keys.get(&hash, almost).is_some());
        keys.outbox_read(now + REMEMBERED_FOR);
        assert!(keys.get(&hash, now + REMEMBERED_FOR).is_none());
    }

    #[test]
    fn a_key_is_used_only_while_the_outbox_was_read_a_moment_ago() {
        let now = Instant::now();
        let (keys, hash) = remembered(now);
        let later = now + REMEMBERED_FOR;
        let other = key();
        keys.put(keys.begin(later), Arc::clone(&other));
        assert!(keys.get(&other.key.hash, later).is_none(), "the last read is too old");
        assert!(keys.get(&hash, later).is_none());
        keys.outbox_read(later);
        assert!(keys.get(&other.key.hash, later).is_some());
    }

    #[test]
    fn a_key_is_used_only_while_connected_and_caught_up_since() {
        let now = Instant::now();
        let (keys, hash) = remembered(now);
        let (lost, regained) = (now + Duration::from_millis(1), now + Duration::from_millis(2));
        drop(keys.connected(lost));
        assert!(keys.get(&hash, lost).is_none(), "not connected");
        let _connected = keys.connected(regained);
        assert!(keys.get(&hash, regained).is_none(), "no read since the connection");
        // A read that began before the connection may have missed what was committed before it.
        keys.outbox_read(lost);
        assert!(keys.get(&hash, regained).is_none());
        keys.outbox_read(regained);
        assert!(keys.get(&hash, regained).is_some());
    }

    #[test]
    fn a_change_of_rights_forgets_keys_and_the_look_ups_in_progress() {
        let now = Instant::now();
        let (keys, hash) = remembered(now);
        let (look_up, other) = (keys.begin(now), key());
        keys.rights_changed();
        assert!(keys.get(&hash, now).is_none());
        keys.put(look_up, Arc::clone(&other));
        assert!(
            keys.get(&other.key.hash, now).is_none(),
            "the database was asked before the change was known"
        );
        keys.put(keys.begin(now), Arc::clone(&other));
        assert!(keys.get(&other.key.hash, now).is_some());
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let now = Instant::now();
        let (keys, _) = remembered(now);
        for _ in 0..MAX_KEYS + 10 {
            keys.put(keys.begin(now), key());
            assert!(keys.state().keys.len() <= MAX_KEYS);
        }
    }
}
