//! Changes: what subscribers receive, and loading the rows that a change speaks of, once for all who ask.
//!
//! `feed` reads the outbox and delivers; `replicas` wakes the feeds of other replicas.

mod feed;
#[cfg(feature = "postgres")]
mod replicas;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use han_types::{Scope, SessionId, TeamId, UserId};
use tokio::sync::OnceCell;

pub use feed::Changes;

use crate::entities::Session;
use crate::outbox::ChangeRow;
use crate::queries::calls;
use crate::queries::derived_events::{self, DerivedEvents};
use crate::queries::messages::{self, IndexedMessage};
use crate::queries::sessions;
use crate::stored::stored;
use crate::{Db, DbError};

/// The most messages of one change that are sent one by one; for more, subscribers are asked to fetch.
const MAX_SENT_ONE_BY_ONE: i64 = 10_000;
/// How many loaded batches, and how many bytes of them, are kept for subscribers that ask a moment later.
const RECENT_BATCHES: usize = 256;
const RECENT_BYTES: usize = 32 << 20;

/// What a subscriber receives.
#[derive(Clone, Debug)]
pub enum DbChangeEvent {
    /// Something changed.
    Change(Arc<Change>),
    /// A right of this person's may have ended or changed: a membership, a key, a browser's session. An open
    /// connection that serves them reads it again.
    Access(Arc<UserId>),
    /// Something of a team besides its sessions changed.
    Team(Arc<TeamChange>),
    /// Changes may have been missed: fetch again.
    Resync,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Insert,
    /// It changed.
    Update,
    /// It is gone.
    Delete,
}

impl Action {
    fn of_row(row: &ChangeRow) -> Result<Self, DbError> {
        Ok(match row.action.as_str() {
            "insert" => Self::Insert,
            "update" => Self::Update,
            "delete" => Self::Delete,
            _ => return Err(DbError::malformed("changes", "action", row.seq)),
        })
    }
}

/// A part of a team that `teamUpdated` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TeamPart {
    /// Its name, plan, payments, settings or service accounts.
    Team,
    /// Its members and their roles.
    Members,
    /// Its invites.
    Invites,
    /// Its API keys.
    Keys,
    /// Work on all its rows: a rotation of keys, a conversion, its deletion.
    Work,
}

impl TeamPart {
    /// The part whose rows are in `table`.
    fn of_table(table: &str) -> Option<Self> {
        Some(match table {
            "teams" => Self::Team,
            "team_members" => Self::Members,
            "team_invites" => Self::Invites,
            "api_keys" => Self::Keys,
            "team_work" => Self::Work,
            _ => return None,
        })
    }

    /// Whether a change of its rows can end a right.
    fn has_rights(self) -> bool {
        match self {
            Self::Team | Self::Members | Self::Keys => true,
            Self::Invites | Self::Work => false,
        }
    }
}

/// A change of a part of a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamChange {
    /// The team.
    pub team_id: TeamId,
    /// What changed.
    pub part: TeamPart,
    /// What happened to its row.
    pub action: Action,
}

/// A change. It carries ids only; its rows are loaded once, for the first subscriber that asks.
#[derive(Debug)]
pub struct Change {
    /// Its number in the outbox.
    pub seq: i64,
    /// Whose data changed.
    pub team_id: TeamId,
    /// The table whose row changed: `sessions`.
    pub table: String,
    /// What happened to it.
    pub action: Action,
    /// The session it belongs to.
    pub session_id: Option<SessionId>,
    /// The first ordinal of the lines that came with it.
    pub ordinal_from: i64,
    /// The ordinal after the last of them; the same as `ordinal_from` where none came.
    pub ordinal_to: i64,
    session: OnceCell<Option<Arc<Session>>>,
    /// Locked while they are loaded, so that one who asks loads them for all.
    messages: tokio::sync::Mutex<Loaded>,
    late_calls: tokio::sync::Mutex<Loaded>,
    derived_events: OnceCell<Option<Arc<DerivedEvents>>>,
    recent: Arc<Recent>,
}

/// The messages that came with a change. They live as long as a subscriber uses them or [`Recent`] keeps them;
/// a later subscriber reads them again.
#[derive(Debug, Default)]
enum Loaded {
    #[default]
    NotYet,
    Here(Weak<Vec<IndexedMessage>>),
    TooMuch,
}

/// The batches of messages that were loaded last, so that all subscribers of a change find them loaded. The feed
/// itself holds thousands of changes, and must not hold what they speak of.
#[derive(Debug, Default)]
struct Recent(Mutex<(VecDeque<(usize, Batch)>, usize)>);

type Batch = Arc<Vec<IndexedMessage>>;

impl Recent {
    fn keep(&self, batch: &Batch) {
        let size: usize = batch.iter().map(|new| new.message.body.as_ref().map_or(0, String::len)).sum();
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (batches, bytes) = &mut *recent;
        batches.push_back((size, Arc::clone(batch)));
        *bytes += size;
        while batches.len() > RECENT_BATCHES || (*bytes > RECENT_BYTES && batches.len() > 1) {
            *bytes -= batches.pop_front().map_or(0, |(size, _)| size);
        }
    }
}

/// The lines that a change brought, for the scope that asks.
enum LinesOfChange<'a> {
    /// None, or none for this scope.
    None,
    /// More than are sent one by one.
    TooMany,
    /// Those of this session from the first ordinal to the second (exclusive).
    Between(&'a SessionId, i64, i64),
}

impl Change {
    /// The change that a row of the outbox describes.
    fn of_row(row: ChangeRow, recent: &Arc<Recent>) -> Result<Self, DbError> {
        let action = Action::of_row(&row)?;
        Ok(Self {
            seq: row.seq,
            team_id: stored(&row.team_id, "changes", "team_id", row.seq)?,
            table: row.table_name,
            action,
            session_id: row.session_id.map(|id| stored(&id, "changes", "session_id", row.seq)).transpose()?,
            ordinal_from: row.ordinal_from.unwrap_or_default(),
            ordinal_to: row.ordinal_to.unwrap_or_default(),
            session: OnceCell::new(),
            messages: tokio::sync::Mutex::default(),
            recent: Arc::clone(recent),
            late_calls: tokio::sync::Mutex::default(),
            derived_events: OnceCell::new(),
        })
    }

    /// The id of the session, for a scope of its team.
    fn session_for(&self, scope: &Scope) -> Option<&SessionId> {
        self.session_id.as_ref().filter(|_| *scope.team_id() == self.team_id)
    }

    fn lines_for(&self, scope: &Scope) -> LinesOfChange<'_> {
        let (from, to) = (self.ordinal_from, self.ordinal_to);
        match self.session_for(scope) {
            Some(id) if to > from && to - from <= MAX_SENT_ONE_BY_ONE => LinesOfChange::Between(id, from, to),
            Some(_) if to > from => LinesOfChange::TooMany,
            _ => LinesOfChange::None,
        }
    }

    /// The session that changed, as it is now; `None` for a scope of another team, or where it is gone.
    ///
    /// Where the load fails, the next caller tries again.
    pub async fn session(&self, scope: &Scope, db: &Db) -> Result<Option<Arc<Session>>, DbError> {
        let Some(id) = self.session_for(scope) else {
            return Ok(None);
        };
        let load = || async {
            let tx = db.read(scope, "changes.session").await?;
            let found = sessions::by_ids(&tx, std::slice::from_ref(id)).await?;
            Ok::<_, DbError>(found.into_iter().next().map(Arc::new))
        };
        self.session.get_or_try_init(load).await.cloned()
    }

    /// The listed messages that came with it, oldest first; none for a scope of another team. `None` where they are
    /// too much to be held at once: fetch them by pages.
    ///
    /// Where the load fails, the next caller tries again.
    pub async fn messages(&self, scope: &Scope, db: &Db) -> Result<Option<Batch>, DbError> {
        let (id, from, to) = match self.lines_for(scope) {
            LinesOfChange::None => return Ok(Some(Arc::default())),
            LinesOfChange::TooMany => return Ok(None),
            LinesOfChange::Between(id, from, to) => (id, from, to),
        };
        let load = async {
            let tx = db.read(scope, "changes.messages").await?;
            messages::taken_in(&tx, id, from, to).await
        };
        self.load_once(&self.messages, load).await
    }

    /// The listed messages of earlier changes whose calls or hook runs this change answers, in the order of the results;
    /// none for a scope of another team. `None` if they are too many to hold at once.
    ///
    /// If the load fails, the next caller tries again.
    pub async fn late_calls(&self, scope: &Scope, db: &Db) -> Result<Option<Batch>, DbError> {
        let Some(id) = self.session_for(scope) else {
            return Ok(Some(Arc::default()));
        };
        let Some(events) = self.derived_events(scope, db).await? else { return Ok(None) };
        if events.answered.is_empty() {
            return Ok(Some(Arc::default()));
        }
        let load = async {
            let tx = db.read(scope, "changes.late_calls").await?;
            calls::late(&tx, id, self.ordinal_from, &events.answered).await
        };
        self.load_once(&self.late_calls, load).await
    }

    /// The messages of `loaded`, which `load` reads if no earlier caller's are held. `None` if they are too many to hold.
    async fn load_once(
        &self,
        loaded: &tokio::sync::Mutex<Loaded>,
        load: impl Future<Output = Result<Vec<IndexedMessage>, DbError>>,
    ) -> Result<Option<Batch>, DbError> {
        let mut loaded = loaded.lock().await;
        match &*loaded {
            Loaded::TooMuch => return Ok(None),
            Loaded::Here(batch) => {
                if let Some(batch) = batch.upgrade() {
                    return Ok(Some(batch));
                }
            }
            Loaded::NotYet => {}
        }
        let batch = match load.await {
            Ok(messages) => Arc::new(messages),
            Err(DbError::TooMuch { .. }) => {
                *loaded = Loaded::TooMuch;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        *loaded = Loaded::Here(Arc::downgrade(&batch));
        self.recent.keep(&batch);
        Ok(Some(batch))
    }

    /// Results, hooks, file changes and to-dos that came with it; nothing for a scope of another team, and `None`
    /// where too much came at once to be sent.
    ///
    /// Where the load fails, the next caller tries again.
    pub async fn derived_events(
        &self,
        scope: &Scope,
        db: &Db,
    ) -> Result<Option<Arc<DerivedEvents>>, DbError> {
        let (id, from, to) = match self.lines_for(scope) {
            LinesOfChange::None => return Ok(Some(Arc::default())),
            LinesOfChange::TooMany => return Ok(None),
            LinesOfChange::Between(id, from, to) => (id, from, to),
        };
        let load = || async {
            let tx = db.read(scope, "changes.derived").await?;
            match derived_events::between(&tx, id, from, to).await {
                Ok(events) => Ok(Some(Arc::new(events))),
                Err(DbError::TooMuch { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.derived_events.get_or_try_init(load).await.cloned()
    }
}
