//! Answers, counted once. A session that was forked or resumed repeats the answers of another one: the table
//! `answer_copies` has one row for each answer and session. One of the copies of an answer is its *owner*: the one with the
//! least (time, fork depth, creation time of the file, session id). Totals and rollups count owners only. So the order in
//! which sessions arrive changes no total.
//!
//! A transaction that meets an answer of another session needs that session's lock: then the copies of the answer do not
//! change until it ends. All transactions lock sessions in the order of their ids, and before they touch an answer. One that
//! finds out late that it needs another session's lock ends with [`DbError::LocksNeeded`], and [`with_locks`] runs it again
//! with that lock. Copies themselves are never locked, so transactions do not wait for each other in a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use han_transcript::quarters::QUARTER_MS;
use han_transcript::rates::Charge;
use han_transcript::record::Terms;
use han_types::Scope;
use sea_orm::{FromQueryResult, Value};

use crate::bulk_insert::{BulkInsert, Column, Update, Writes};
use crate::entities::Origin;
use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::grain::quarter_of;
use crate::queries::ingest::rollup_delta::{self, RollupDelta, RollupPart, SessionDelta};
use crate::queries::ingest::usage::{SEARCHES, Tally, Tokens};
use crate::tx::Tx;
use crate::{Db, DbError, ScopedTx};

/// How often a transaction is run again because it needs more locks. Each time it has more of them, so it ends as soon as
/// no new session repeats its answers.
const ATTEMPTS: u32 = 20;

/// An answer within its session: 16 bytes.
pub(crate) type CopyKey = [u8; 16];

/// An answer within its team: 16 bytes.
pub(crate) type AnswerKey = [u8; 16];

/// What a session knows of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnswerCopy {
    pub answer: AnswerKey,
    /// The time of its earliest line, in milliseconds since the epoch.
    pub at: i64,
    /// The number of that line in its file.
    pub line: i64,
    /// 0 for the answer itself, more for what another model used inside it, and [`SEARCHES`] for the searches of a tool.
    pub part: i64,
    pub model: String,
    pub tokens: Tokens,
    pub terms: Terms,
    /// The tokens of the prompt of its largest request.
    pub prompt: i64,
    pub web_searches: i64,
    /// What it costs; `None` if it has no price, or until it is priced.
    pub charge: Option<Charge>,
    /// Whether lines of it were purged: it cannot be derived again.
    pub purged: bool,
}

impl AnswerCopy {
    /// Merges two lines, or sets of lines, of the same answer. The first line determines the key: by time, by number in its
    /// file, and by its own key, so that the order of arrival does not matter.
    pub(crate) fn merge(self, other: Self) -> Self {
        let (at, line, answer) = (self.at, self.line, self.answer).min((other.at, other.line, other.answer));
        Self {
            answer,
            at,
            line,
            part: self.part.max(other.part),
            model: self.model.max(other.model),
            tokens: self.tokens.max(other.tokens),
            terms: self.terms.max(other.terms),
            prompt: self.prompt.max(other.prompt),
            web_searches: self.web_searches.max(other.web_searches),
            charge: None,
            purged: self.purged || other.purged,
        }
    }

    /// Whether both are the same, apart from the price.
    fn is_same(&self, other: &Self) -> bool {
        Self { charge: other.charge, ..self.clone() } == *other
    }

    /// What it adds to totals.
    pub(crate) fn tally(&self) -> Tally {
        let charge = self.charge.unwrap_or_default();
        let is_unpriced = self.charge.is_none();
        Tally {
            answers: i64::from(self.part != SEARCHES),
            tokens: self.tokens,
            cost: charge.cost,
            saved: charge.saved,
            unpriced_tokens: if is_unpriced { self.tokens.total() } else { 0 },
            unpriced_answers: i64::from(is_unpriced),
        }
    }

    /// Adds it to the rollups (sign 1) or subtracts it (sign -1).
    pub(crate) fn count(&self, sign: i64, delta: &mut RollupDelta) {
        let row = delta.rollup(quarter_of(self.at), &self.model);
        row.usage = row.usage.plus(sign, &self.tally());
    }
}

/// A stored copy.
#[derive(Clone, Debug)]
struct Stored {
    key: CopyKey,
    copy: AnswerCopy,
    owner: bool,
    origin: Origin,
    session: i32,
    session_id: String,
}

impl Stored {
    /// The least is the owner.
    fn rank(&self) -> (i64, u16, i64, &str) {
        (
            self.copy.at,
            self.origin.fork_depth,
            self.origin.file_created_at.unwrap_or(i64::MAX),
            &self.session_id,
        )
    }
}

#[derive(FromQueryResult)]
struct CopyRow {
    session: i32,
    session_id: String,
    copy: Vec<u8>,
    answer: Vec<u8>,
    owner: bool,
    at: i64,
    line: i32,
    fork_depth: i32,
    file_created_at: Option<i64>,
    part: i16,
    model: String,
    speed: Option<String>,
    tier: Option<String>,
    geography: Option<String>,
    prompt_tokens: Option<i64>,
    web_searches: Option<i64>,
    purged: bool,
    cost: Option<i64>,
    saved: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
}

impl CopyRow {
    fn stored(self) -> Result<Stored, DbError> {
        let malformed = |column| DbError::malformed("answer_copies", column, &self.session_id);
        let tokens = Tokens {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_tokens,
            cache_creation_5m: self.cache_creation_5m_tokens,
            cache_creation_1h: self.cache_creation_1h_tokens,
        };
        Ok(Stored {
            key: self.copy.as_slice().try_into().map_err(|_| malformed("copy"))?,
            copy: AnswerCopy {
                answer: self.answer.as_slice().try_into().map_err(|_| malformed("answer"))?,
                at: self.at,
                line: self.line.into(),
                part: self.part.into(),
                model: self.model,
                terms: Terms { speed: self.speed, tier: self.tier, geography: self.geography },
                prompt: self.prompt_tokens.unwrap_or_else(|| tokens.prompt()),
                web_searches: self.web_searches.unwrap_or_default(),
                charge: self.cost.map(|cost| Charge { cost, saved: self.saved }),
                purged: self.purged,
                tokens,
            },
            owner: self.owner,
            origin: Origin {
                fork_depth: u16::try_from(self.fork_depth).unwrap_or_default(),
                file_created_at: self.file_created_at,
            },
            session: self.session,
            session_id: self.session_id,
        })
    }
}

const COLUMNS: &str = "c.session, s.session_id, c.copy, c.answer, c.owner, c.at, c.line, c.fork_depth, c.file_created_at, \
     c.part, c.model, c.speed, c.tier, c.geography, c.prompt_tokens, c.web_searches, c.purged, c.cost, c.saved, c.input_tokens, \
     c.output_tokens, c.cache_read_tokens, c.cache_creation_5m_tokens, \
     c.cache_creation_1h_tokens";

/// What a transaction does to the answers of other sessions. They are written at its end, because what it takes from a
/// session it may give back.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The sessions that the transaction has locked, besides its own; `None` if it needs no locks.
    locked: Option<BTreeSet<i32>>,
    others: Mutex<BTreeMap<i32, Other>>,
}

/// The change of another session.
#[derive(Clone, Debug, Default)]
struct Other {
    delta: RollupDelta,
    usage: Usage,
}

/// What answers add up to, by model.
pub(crate) type Usage = BTreeMap<String, Tally>;

pub(crate) fn count_usage(usage: &mut Usage, sign: i64, copy: &AnswerCopy) {
    let row = usage.entry(copy.model.clone()).or_default();
    *row = row.plus(sign, &copy.tally());
}

/// Runs `work` in a transaction that holds the locks of the sessions it needs: of `session_id`, and of others as it finds
/// that it needs them. `work` receives all ids and locks the sessions in their order, with [`Answers::lock`].
///
/// # Errors
/// Those of `work`.
pub(crate) async fn with_locks<T, R, F, Fut>(
    scope: &Scope,
    db: &Db,
    name: &'static str,
    session_id: &str,
    work: F,
) -> Result<Result<T, R>, DbError>
where
    F: Fn(Arc<ScopedTx>, Arc<BTreeSet<String>>) -> Fut,
    Fut: Future<Output = Result<Result<T, R>, DbError>>,
{
    let mut sessions = BTreeSet::from([session_id.to_owned()]);
    let mut attempt = 1;
    loop {
        let locks = Arc::new(sessions.clone());
        let run = db.write_or_refuse(scope, name, |tx| work(tx, Arc::clone(&locks))).await;
        match run {
            Err(DbError::LocksNeeded { sessions: needed }) if attempt < ATTEMPTS => {
                sessions.extend(needed);
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

#[derive(FromQueryResult)]
struct NumberRow {
    number: i32,
}

/// Copies of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// All of them.
    All,
    /// Those that the log can give again.
    Derivable,
}

impl Copies {
    /// Restricts a condition on `answer_copies`.
    fn condition(self, alias: &str) -> String {
        match self {
            Self::All => String::new(),
            Self::Derivable => format!(" AND NOT {alias}purged"),
        }
    }
}

impl Answers {
    /// Locks those of `sessions` that come before `own`, which the caller locks next. Then [`Answers::lock_rest`].
    pub(crate) async fn lock(tx: &ScopedTx, sessions: &BTreeSet<String>, own: &str) -> Result<Self, DbError> {
        let mut answers = Self { locked: Some(BTreeSet::new()), ..Self::default() };
        for id in sessions.iter().take_while(|id| id.as_str() < own) {
            answers.lock_one(tx, id).await?;
        }
        Ok(answers)
    }

    /// Locks those of `sessions` that come after `own`.
    pub(crate) async fn lock_rest(
        &mut self,
        tx: &ScopedTx,
        sessions: &BTreeSet<String>,
        own: &str,
    ) -> Result<(), DbError> {
        for id in sessions.iter().filter(|id| id.as_str() > own) {
            self.lock_one(tx, id).await?;
        }
        Ok(())
    }

    /// For a transaction that has locked all sessions.
    pub(crate) fn with_all_locked() -> Self {
        Self::default()
    }

    async fn lock_one(&mut self, tx: &ScopedTx, session_id: &str) -> Result<(), DbError> {
        let lock = tx.dialect().for_update();
        let sql = format!("SELECT number FROM sessions WHERE team = $1 AND session_id = $2{lock}");
        // A session that was deleted in the meantime has no copies.
        let row = tx.one::<NumberRow, _>(&sql, [tx.team(), session_id.into()]).await?;
        if let (Some(locked), Some(row)) = (&mut self.locked, row) {
            locked.insert(row.number);
        }
        Ok(())
    }

    /// Stores a session's copies of answers, merged with those that it has, and adds to `delta` what changes for the
    /// session.
    ///
    /// # Errors
    /// [`DbError::LocksNeeded`] if another session's totals change, and it is not locked.
    pub(crate) async fn add(
        &self,
        derive: &Derive<'_>,
        copies: BTreeMap<CopyKey, AnswerCopy>,
        delta: &mut RollupDelta,
    ) -> Result<(), DbError> {
        if copies.is_empty() {
            return Ok(());
        }
        // Nearly all are new, and no other session has them: they are inserted without a read, as owners. Only those that
        // conflict are read. The index on owners lets one of two transactions wait that insert the same answer.
        let mut usage = Usage::new();
        let inserted = insert(derive, copies.iter().map(|(key, copy)| (*key, copy, true))).await?;
        let mut known = BTreeMap::new();
        for (key, copy) in copies {
            if inserted.contains(&key) {
                copy.count(1, delta);
                count_usage(&mut usage, 1, &copy);
            } else {
                known.insert(key, copy);
            }
        }
        if !known.is_empty() {
            self.merge(derive, known, delta, &mut usage).await?;
        }
        add_usage(derive.tx, derive.tx.team(), derive.number, &usage).await
    }

    async fn merge(
        &self,
        derive: &Derive<'_>,
        new: BTreeMap<CopyKey, AnswerCopy>,
        delta: &mut RollupDelta,
        usage: &mut Usage,
    ) -> Result<(), DbError> {
        let own = own_copies(derive, new.keys()).await?;
        let mut changes = Vec::new();
        let mut answers = BTreeSet::new();
        for (key, copy) in new {
            let before = own.get(&key).cloned();
            let mut after = match &before {
                Some(before) => before.copy.clone().merge(copy),
                None => copy,
            };
            if before.as_ref().is_some_and(|before| before.copy.is_same(&after)) {
                continue;
            }
            after.charge = derive.prices.charge(&after);
            answers.extend(before.iter().map(|before| before.copy.answer));
            answers.insert(after.answer);
            changes.push((key, before, after));
        }
        let others = other_copies(derive, &answers).await?;
        self.check_locks(&others)?;
        let mut groups: BTreeMap<AnswerKey, Vec<Stored>> = BTreeMap::new();
        for copy in others {
            groups.entry(copy.copy.answer).or_default().push(copy);
        }
        let mut owners = OwnerChanges::default();
        let mut rows: Vec<(CopyKey, AnswerCopy, bool)> = Vec::new();
        for (key, before, after) in changes {
            if let Some(before) = &before {
                if before.owner {
                    before.copy.count(-1, delta);
                    count_usage(usage, -1, &before.copy);
                }
                if before.owner && before.copy.answer != after.answer {
                    // The earliest line is another one now, so the answer has another key.
                    let heir = groups
                        .get(&before.copy.answer)
                        .and_then(|group| group.iter().min_by_key(|c| c.rank()));
                    owners.promote.extend(heir.cloned());
                }
            }
            let stored = Stored {
                key,
                copy: after.clone(),
                owner: true,
                origin: derive.origin,
                session: i32::try_from(derive.number).unwrap_or_default(),
                session_id: derive.session.to_owned(),
            };
            let rival =
                groups.get(&after.answer).and_then(|group| group.iter().min_by_key(|copy| copy.rank()));
            let owner = rival.is_none_or(|rival| stored.rank() < rival.rank());
            if owner {
                after.count(1, delta);
                count_usage(usage, 1, &after);
                let group = groups.get(&after.answer).into_iter().flatten();
                owners.demote.extend(group.filter(|copy| copy.owner).cloned());
            } else if let Some(rival) = rival.filter(|rival| !rival.owner) {
                // It is the owner only because this session's copy has been until now.
                owners.promote.push(rival.clone());
            }
            rows.push((key, after, owner));
        }
        self.demote(derive.tx, &owners.demote).await?;
        let replaced = rows.iter().map(|(key, ..)| key).filter(|key| own.contains_key(*key));
        delete_copies(derive, replaced).await?;
        let written = insert(derive, rows.iter().map(|(key, copy, owner)| (*key, copy, *owner))).await?;
        if written.len() != rows.len() {
            // Another transaction inserted a copy after this one looked: run again, and see it.
            return Err(DbError::LocksNeeded { sessions: BTreeSet::new() });
        }
        self.promote(derive.tx, &owners.promote).await
    }

    /// Deletes copies of a session; returns what all of its copies had added to the rollups. Answers that the deleted ones
    /// owned pass to their next copies.
    ///
    /// # Errors
    /// As [`Answers::add`].
    pub(crate) async fn forget(&self, derive: &Derive<'_>, which: Copies) -> Result<RollupDelta, DbError> {
        let values: [Value; 2] = [derive.tx.team(), derive.number.into()];
        self.check_sharing(derive).await?;
        let counted = counted(derive.tx, derive.tx.team(), derive.number).await?;
        // A copy of an answer that this session owns is no owner.
        let sql = format!(
            "SELECT {COLUMNS} FROM answer_copies own JOIN answer_copies c ON c.team = $1 AND c.answer = own.answer \
             AND NOT c.owner AND c.session <> $2 JOIN sessions s ON s.team = $1 AND s.number = c.session \
             WHERE own.team = $1 AND own.session = $2 AND own.owner{}",
            which.condition("own.")
        );
        let rows: Vec<CopyRow> = derive.tx.all(&sql, values.clone()).await?;
        let mut heirs: BTreeMap<AnswerKey, Stored> = BTreeMap::new();
        for row in rows {
            let copy = row.stored()?;
            let heir = heirs.entry(copy.copy.answer).or_insert_with(|| copy.clone());
            if copy.rank() < heir.rank() {
                *heir = copy;
            }
        }
        let deleted = which.condition("");
        let sql = format!("DELETE FROM answer_copies WHERE team = $1 AND session = $2{deleted}");
        derive.tx.execute(&sql, values).await?;
        self.promote(derive.tx, &heirs.into_values().collect::<Vec<_>>()).await?;
        Ok(counted)
    }

    /// Checks that all sessions that have an answer of this one are locked.
    async fn check_sharing(&self, derive: &Derive<'_>) -> Result<(), DbError> {
        let Some(locked) = &self.locked else { return Ok(()) };
        // Each of the two indexes holds a part of the rows.
        let sharing = |part: &str| {
            format!(
                "SELECT s.number, s.session_id FROM answer_copies own JOIN answer_copies c ON c.team = $1 \
                 AND c.answer = own.answer AND {part} AND c.session <> $2 \
                 JOIN sessions s ON s.team = $1 AND s.number = c.session WHERE own.team = $1 AND own.session = $2"
            )
        };
        let sql = format!("{} UNION {}", sharing("c.owner"), sharing("NOT c.owner"));
        let rows: Vec<SharingRow> = derive.tx.all(&sql, [derive.tx.team(), derive.number.into()]).await?;
        needed(rows.into_iter().filter(|row| !locked.contains(&row.number)).map(|row| row.session_id))
    }

    /// Checks that the sessions of these copies are locked. Then the copies do not change until the transaction ends.
    fn check_locks(&self, copies: &[Stored]) -> Result<(), DbError> {
        let Some(locked) = &self.locked else { return Ok(()) };
        let missing = copies.iter().filter(|copy| !locked.contains(&copy.session));
        needed(missing.map(|copy| copy.session_id.clone()))
    }

    async fn demote(&self, tx: &ScopedTx, copies: &[Stored]) -> Result<(), DbError> {
        self.set_owners(tx, copies, false, -1).await
    }

    async fn promote(&self, tx: &ScopedTx, copies: &[Stored]) -> Result<(), DbError> {
        self.set_owners(tx, copies, true, 1).await
    }

    async fn set_owners(
        &self,
        tx: &ScopedTx,
        copies: &[Stored],
        owner: bool,
        sign: i64,
    ) -> Result<(), DbError> {
        for copy in copies {
            let sql = "UPDATE answer_copies SET owner = $4 WHERE team = $1 AND session = $2 AND copy = $3";
            let values = [tx.team(), i64::from(copy.session).into(), copy.key.to_vec().into(), owner.into()];
            tx.execute(sql, values).await?;
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            let other = others.entry(copy.session).or_default();
            copy.copy.count(sign, &mut other.delta);
            count_usage(&mut other.usage, sign, &copy.copy);
        }
        Ok(())
    }

    /// Writes what changed for other sessions, and adds it to the rollups, together with what the transaction changes for its
    /// own session. Runs the statement `with` along with it.
    pub(crate) async fn write_rollups(
        &self,
        tx: &ScopedTx,
        mut parts: Vec<RollupPart>,
        with: Option<Update>,
    ) -> Result<(), DbError> {
        parts.extend(self.write_others(tx).await?);
        let writes = Writes { update: with, ..rollup_delta::rollup_writes(tx.team(), &parts) };
        writes.run(tx).await
    }

    /// Writes what changed for other sessions: their totals, which notifies their subscribers. Returns what it adds to the
    /// rollups, for `add_rollups`, which locks the rows of all sessions in one order.
    pub(crate) async fn write_others(&self, tx: &ScopedTx) -> Result<Vec<RollupPart>, DbError> {
        let others = std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner));
        let mut parts = Vec::new();
        for (session, other) in others {
            if other.delta.is_zero() {
                continue;
            }
            let sql = format!(
                "UPDATE sessions SET revision = revision + 1, {} WHERE team = $1 AND number = $2 \
                 RETURNING session_id, user_id, project_id",
                SessionDelta::add_sql(3)
            );
            let values: [Value; 2] = [tx.team(), i64::from(session).into()];
            let row: Option<OtherRow> =
                tx.one(&sql, values.into_iter().chain(other.delta.session_delta().values())).await?;
            let missing = || DbError::RowMissing { table: "sessions", row: session.to_string() };
            let row = row.ok_or_else(missing)?;
            add_usage(tx, tx.team(), session.into(), &other.usage).await?;
            parts.push(RollupPart {
                user_id: row.user_id,
                session_id: row.session_id,
                project_id: row.project_id.unwrap_or_default(),
                delta: other.delta,
            });
        }
        Ok(parts)
    }
}

/// An error if there are sessions to lock.
fn needed(sessions: impl Iterator<Item = String>) -> Result<(), DbError> {
    let sessions: BTreeSet<String> = sessions.collect();
    if sessions.is_empty() { Ok(()) } else { Err(DbError::LocksNeeded { sessions }) }
}

#[derive(FromQueryResult)]
struct SharingRow {
    number: i32,
    session_id: String,
}

#[derive(FromQueryResult)]
struct OtherRow {
    session_id: String,
    user_id: String,
    project_id: Option<String>,
}

/// Copies of other sessions that cease to be owners, or become owners.
#[derive(Default)]
struct OwnerChanges {
    demote: Vec<Stored>,
    promote: Vec<Stored>,
}

/// Inserts copies of the session; returns the keys of those that were inserted: the others exist, or another session has
/// the owner. By answer, so that all transactions meet answers in one order.
async fn insert<'a>(
    derive: &Derive<'_>,
    copies: impl Iterator<Item = (CopyKey, &'a AnswerCopy, bool)>,
) -> Result<BTreeSet<CopyKey>, DbError> {
    let mut rows: Vec<(CopyKey, &AnswerCopy, bool)> = copies.collect();
    rows.sort_by_key(|(key, copy, _)| (copy.answer, *key));
    let ints =
        |value: &dyn Fn(&AnswerCopy) -> i64| -> Vec<i64> { rows.iter().map(|row| value(row.1)).collect() };
    let texts = |term: fn(&Terms) -> &Option<String>| -> Vec<Option<&str>> {
        rows.iter().map(|row| term(&row.1.terms).as_deref()).collect()
    };
    let Origin { fork_depth, file_created_at } = derive.origin;
    let mut constants = derive.constants();
    constants.push(("fork_depth", i64::from(fork_depth).into()));
    constants.push(("file_created_at", file_created_at.into()));
    let insert = BulkInsert {
        table: "answer_copies",
        constants,
        columns: vec![
            Column::Key("copy", rows.iter().map(|row| row.0).collect()),
            Column::Key("answer", rows.iter().map(|row| row.1.answer).collect()),
            Column::Bool("owner", rows.iter().map(|row| row.2).collect()),
            Column::Bool("purged", rows.iter().map(|row| row.1.purged).collect()),
            Column::Int("at", ints(&|copy| copy.at)),
            Column::Int("line", ints(&|copy| copy.line)),
            Column::Int("part", ints(&|copy| copy.part)),
            Column::Str("model", rows.iter().map(|row| row.1.model.as_str()).collect()),
            Column::NullableStr("speed", texts(|terms| &terms.speed)),
            Column::NullableStr("tier", texts(|terms| &terms.tier)),
            Column::NullableStr("geography", texts(|terms| &terms.geography)),
            Column::NullableInt(
                "prompt_tokens",
                rows.iter()
                    .map(|row| Some(row.1.prompt).filter(|prompt| *prompt != row.1.tokens.prompt()))
                    .collect(),
            ),
            Column::NullableInt(
                "web_searches",
                rows.iter().map(|row| Some(row.1.web_searches).filter(|searches| *searches != 0)).collect(),
            ),
            Column::NullableInt("cost", rows.iter().map(|row| Some(row.1.charge?.cost)).collect()),
            Column::Int("saved", ints(&|copy| copy.charge.unwrap_or_default().saved)),
            Column::Int("input_tokens", ints(&|copy| copy.tokens.input)),
            Column::Int("output_tokens", ints(&|copy| copy.tokens.output)),
            Column::Int("cache_read_tokens", ints(&|copy| copy.tokens.cache_read)),
            Column::Int("cache_creation_5m_tokens", ints(&|copy| copy.tokens.cache_creation_5m)),
            Column::Int("cache_creation_1h_tokens", ints(&|copy| copy.tokens.cache_creation_1h)),
        ],
        on_conflict: "DO NOTHING",
        returning: "copy",
    };
    let rows = insert.run(derive.tx).await?;
    rows.iter()
        .map(|row| {
            let key: Vec<u8> = row.try_get("", "copy")?;
            key.as_slice().try_into().map_err(|_| DbError::malformed("answer_copies", "copy", derive.session))
        })
        .collect()
}

/// The session's own copies.
async fn own_copies<'k>(
    derive: &Derive<'_>,
    keys: impl Iterator<Item = &'k CopyKey>,
) -> Result<HashMap<CopyKey, Stored>, DbError> {
    let dialect = derive.tx.dialect();
    let sql = format!(
        "SELECT {COLUMNS} FROM answer_copies c JOIN sessions s ON s.team = $1 AND s.number = c.session \
         WHERE c.team = $1 AND c.session = $2 AND {}",
        dialect.is_any_bytes("c.copy", 3)
    );
    let values = [derive.tx.team(), derive.number.into(), dialect.byte_list(keys)];
    let rows: Vec<CopyRow> = derive.tx.all(&sql, values).await?;
    rows.into_iter()
        .map(|row| {
            let copy = row.stored()?;
            Ok((copy.key, copy))
        })
        .collect()
}

/// The copies that other sessions have of these answers.
async fn other_copies(derive: &Derive<'_>, answers: &BTreeSet<AnswerKey>) -> Result<Vec<Stored>, DbError> {
    let dialect = derive.tx.dialect();
    // Each of the two indexes holds a part of the rows.
    let [owners, others] = ["c.owner", "NOT c.owner"].map(|part| {
        let copies = dialect.joined_each(
            &dialect.bytes_from("wanted", 3),
            "answer_copies",
            "c",
            &format!("c.team = $1 AND c.answer = wanted.key AND {part} AND c.session <> $2"),
        );
        format!("SELECT {COLUMNS} FROM {copies} JOIN sessions s ON s.team = $1 AND s.number = c.session")
    });
    let values = [derive.tx.team(), derive.number.into(), dialect.byte_list(answers)];
    let rows: Vec<CopyRow> = derive.tx.all(&format!("{owners} UNION ALL {others}"), values).await?;
    rows.into_iter().map(CopyRow::stored).collect()
}

async fn delete_copies<'k>(
    derive: &Derive<'_>,
    keys: impl Iterator<Item = &'k CopyKey>,
) -> Result<(), DbError> {
    let dialect = derive.tx.dialect();
    let sql = format!(
        "DELETE FROM answer_copies WHERE team = $1 AND session = $2 AND {}",
        dialect.is_any_bytes("copy", 3)
    );
    derive.tx.execute(&sql, [derive.tx.team(), derive.number.into(), dialect.byte_list(keys)]).await?;
    Ok(())
}

/// Stores what copies of a session cost.
pub(crate) async fn put_charges(
    tx: &Tx,
    team: Value,
    session: i64,
    charges: &[(CopyKey, Option<Charge>)],
) -> Result<(), DbError> {
    if charges.is_empty() {
        return Ok(());
    }
    // Numbers of rows cannot be null.
    let numbers = charges.iter().map(|(_, charge)| {
        let known = charge.unwrap_or_default();
        [charge.map_or(-1, |charge| charge.cost), known.saved]
    });
    let keys = charges.iter().map(|(key, _)| *key);
    let (wanted, rows) = tx.dialect().keyed_rows(3, ["new_cost", "new_saved"], keys.zip(numbers));
    let sql = format!(
        "UPDATE answer_copies SET cost = NULLIF(wanted.new_cost, -1), saved = wanted.new_saved FROM {wanted} \
         WHERE team = $1 AND session = $2 AND copy = wanted.key"
    );
    let session = [team, session.into()];
    tx.execute(&sql, session.into_iter().chain(rows)).await?;
    Ok(())
}

/// The session's copies, after `after` in the order of their keys: at most `limit`.
pub(crate) async fn page(
    tx: &Tx,
    team: Value,
    session: i64,
    after: Option<CopyKey>,
    limit: usize,
) -> Result<Vec<(CopyKey, AnswerCopy, bool)>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM answer_copies c JOIN sessions s ON s.team = $1 AND s.number = c.session \
         WHERE c.team = $1 AND c.session = $2 AND c.copy > $3 ORDER BY c.copy LIMIT {limit}"
    );
    let after = after.map_or_else(Vec::new, |key| key.to_vec());
    let rows: Vec<CopyRow> = tx.all(&sql, [team, session.into(), after.into()]).await?;
    rows.into_iter()
        .map(|row| {
            let stored = row.stored()?;
            Ok((stored.key, stored.copy, stored.owner))
        })
        .collect()
}

#[derive(FromQueryResult)]
struct CountedRow {
    quarter: i64,
    model: String,
    answers: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
    cost: i64,
    saved: i64,
    unpriced_tokens: i64,
    unpriced_answers: i64,
}

/// What the session's answers have added to the rollups. The price of an answer may have changed since, so this cannot be
/// computed from the lines.
pub(crate) async fn counted(tx: &Tx, team: Value, session: i64) -> Result<RollupDelta, DbError> {
    let sums = [
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_creation_5m_tokens",
        "cache_creation_1h_tokens",
    ];
    let total = sums.join(" + ");
    let sums = sums.map(|column| format!("CAST(sum({column}) AS bigint) AS {column}")).join(", ");
    let sql = format!(
        "SELECT at / {QUARTER_MS} * {QUARTER_MS} AS quarter, model, \
           count(CASE WHEN part <> {SEARCHES} THEN 1 END) AS answers, {sums}, \
           CAST(COALESCE(sum(cost), 0) AS bigint) AS cost, CAST(sum(saved) AS bigint) AS saved, \
           CAST(sum(CASE WHEN cost IS NULL THEN {total} ELSE 0 END) AS bigint) AS unpriced_tokens, \
           count(CASE WHEN cost IS NULL THEN 1 END) AS unpriced_answers \
         FROM answer_copies WHERE team = $1 AND session = $2 AND owner GROUP BY 1, 2"
    );
    let mut counted = RollupDelta::default();
    for row in tx.all::<CountedRow, _>(&sql, [team, session.into()]).await? {
        counted.rollup(row.quarter, &row.model).usage = Tally {
            answers: row.answers,
            tokens: Tokens {
                input: row.input_tokens,
                output: row.output_tokens,
                cache_read: row.cache_read_tokens,
                cache_creation_5m: row.cache_creation_5m_tokens,
                cache_creation_1h: row.cache_creation_1h_tokens,
            },
            cost: row.cost,
            saved: row.saved,
            unpriced_tokens: row.unpriced_tokens,
            unpriced_answers: row.unpriced_answers,
        };
    }
    Ok(counted)
}

/// Adds to a session's usage by model.
pub(crate) async fn add_usage(tx: &Tx, team: Value, session: i64, usage: &Usage) -> Result<(), DbError> {
    let rows: Vec<(&String, &Tally)> = usage.iter().filter(|(_, row)| **row != Tally::default()).collect();
    let keys = vec![Column::Str("model", rows.iter().map(|row| row.0.as_str()).collect())];
    let constants = vec![("team", team), ("session", session.into())];
    let rows: Vec<&Tally> = rows.into_iter().map(|row| row.1).collect();
    rollup_delta::rows_insert(&rollup_delta::SESSION_USAGE, constants, keys, &rows).run(tx).await?;
    Ok(())
}
