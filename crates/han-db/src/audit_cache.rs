//! What a process remembers of audit logs, so that most reads of sessions and uses of ended keys write nothing to them. The
//! logs are in `queries::audit`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use han_types::{TeamId, Timestamp};

/// After so many seconds it is recorded again that the same member opens the same session, or that the same ended key is
/// used: an hour.
pub const RECORDED_EVERY_SECONDS: i64 = 3600;

/// For how long a process uses what it has read of a team's setting: another replica may have changed it.
const SETTING_SECONDS: i64 = 5;

/// How many teams and openings a process remembers at most. Past it, all are forgotten.
const REMEMBERED: usize = 10_000;

/// Who opens what: the kind of the event, the user, and the session or the key.
pub(crate) type Opening = (String, String, String);

/// What a process remembers about openings of sessions and uses of ended keys, so that most of them cost no statement.
#[derive(Debug, Default)]
pub(crate) struct AuditCache {
    settings: Mutex<HashMap<TeamId, (bool, Timestamp)>>,
    recorded: Mutex<HashMap<Opening, Timestamp>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether less than `seconds` have passed. A clock that was set back makes it false.
fn is_recent(then: Timestamp, now: Timestamp, seconds: i64) -> bool {
    then <= now && now < then.plus_seconds(seconds)
}

impl AuditCache {
    /// Whether the team records openings, if that was read within the last few seconds.
    pub(crate) fn setting(&self, team_id: &TeamId, now: Timestamp) -> Option<bool> {
        let found = lock(&self.settings).get(team_id).copied();
        found.filter(|(_, read_at)| is_recent(*read_at, now, SETTING_SECONDS)).map(|(audits, _)| audits)
    }

    /// Keeps what was read.
    pub(crate) fn keep_setting(&self, team_id: &TeamId, audits: bool, now: Timestamp) {
        let mut settings = lock(&self.settings);
        if settings.len() >= REMEMBERED {
            settings.clear();
        }
        settings.insert(team_id.clone(), (audits, now));
    }

    /// The setting was changed.
    pub(crate) fn forget_setting(&self, team_id: &TeamId) {
        lock(&self.settings).remove(team_id);
    }

    /// Whether the opening was not recorded within the last hour.
    pub(crate) fn is_new(&self, opening: &Opening, now: Timestamp) -> bool {
        let found = lock(&self.recorded).get(opening).copied();
        !found.is_some_and(|then| is_recent(then, now, RECORDED_EVERY_SECONDS))
    }

    /// The opening was recorded.
    pub(crate) fn remember(&self, opening: Opening, now: Timestamp) {
        let mut recorded = lock(&self.recorded);
        if recorded.len() >= REMEMBERED {
            recorded.clear();
        }
        recorded.insert(opening, now);
    }
}
