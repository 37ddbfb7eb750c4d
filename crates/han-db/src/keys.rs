//! Teams' keys: made with the team, wrapped by the KEK in `team_keys`, opened once and kept in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::{Duration, Instant};

use han_crypto::{
    BinaryField, BlindKey, CryptoError, FieldContext, KekRing, KeyPurpose, Packed, TeamKey, TeamKeyName,
    TeamKeyRing, wrapped_kek_id,
};
use han_types::{Entropy, ProjectId, RepoId, TeamId};
use sea_orm::FromQueryResult;

use crate::dialect::Dialect;
use crate::tx::{ScopedTx, SystemTx};
use crate::{Db, DbError};

/// How many teams' keys are held open at most; past it all are read again.
const MAX_TEAMS: usize = 10_000;

/// How long a team's keys are used after they were read, or after the last heartbeat of this process. Other replicas
/// consider it dead much later (`heartbeat`), so it then uses no key that they do not know of.
const USED_FOR: Duration = Duration::from_secs(20);

/// The version of a team's first keys.
const FIRST_VERSION: u32 = 1;

/// The row of a team's search key.
const SEARCH_KEY: &str = "SELECT purpose, version, wrapped, active FROM team_keys WHERE team_id = $1 \
     AND purpose = 'search' AND active";

/// A key that search terms are made with.
pub(crate) struct SearchKey {
    pub version: u32,
    pub key: BlindKey,
}

/// The three columns of a segment that hold its content. `nonce` and `wrapped_dek` are null if it is not sealed.
#[derive(Clone)]
pub(crate) struct SegmentColumns {
    pub nonce: Option<Vec<u8>>,
    pub wrapped_dek: Option<Vec<u8>>,
    pub body: Vec<u8>,
}

/// The keys of one team, opened.
pub struct TeamKeys {
    content: TeamKeyRing,
    versions: Vec<u32>,
    blind: BlindKey,
    /// Whether a row that is marked as not sealed is refused.
    refuses_unsealed: bool,
    /// How many values the active key has sealed.
    uses: Arc<AtomicU64>,
}

/// A row is marked as not sealed, on a server that seals everything: somebody else has written it.
const UNSEALED: CryptoError = CryptoError::Malformed {
    what: "row",
    reason: "it is marked as not sealed, and this server seals all content (see HAN_UNSEALED_CONTENT)",
};

impl fmt::Debug for TeamKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TeamKeys").field("team_id", self.content.team_id()).finish_non_exhaustive()
    }
}

impl TeamKeys {
    /// What a column stores for `text` and whether that is sealed: sealed where `seals` says so, else as it is.
    ///
    /// # Errors
    /// Only what the cryptographic library may run into.
    pub(crate) fn seal(
        &self,
        seals: bool,
        context: FieldContext<'_>,
        text: &str,
        entropy: &dyn Entropy,
    ) -> Result<(String, bool), CryptoError> {
        if seals {
            self.count_use();
            Ok((self.content.field(context).encrypt(text.as_bytes(), entropy)?, true))
        } else {
            Ok((text.to_owned(), false))
        }
    }

    /// The text behind a stored column.
    ///
    /// # Errors
    /// Where it was sealed for another place, with a key that is not held, or changed since; where it is not sealed, if
    /// such rows are refused.
    pub fn open(
        &self,
        sealed: bool,
        context: FieldContext<'_>,
        stored: String,
    ) -> Result<String, CryptoError> {
        if !sealed {
            return if self.refuses_unsealed { Err(UNSEALED) } else { Ok(stored) };
        }
        let bytes = self.content.field(context).decrypt(&stored)?;
        String::from_utf8(bytes)
            .map_err(|_| CryptoError::Malformed { what: "sealed text", reason: "it is not UTF-8" })
    }

    /// Seals the content of a segment if `seals` says so.
    ///
    /// # Errors
    /// Only those of the cryptographic library.
    pub(crate) fn seal_segment(
        &self,
        seals: bool,
        context: FieldContext<'_>,
        content: Packed,
        entropy: &dyn Entropy,
    ) -> Result<SegmentColumns, CryptoError> {
        if !seals {
            return Ok(SegmentColumns { nonce: None, wrapped_dek: None, body: content.into_bytes() });
        }
        self.count_use();
        let sealed = self.content.field(context).encrypt_binary(content, entropy)?;
        let (nonce, wrapped_dek, body) = sealed.into_columns();
        Ok(SegmentColumns { nonce: Some(nonce.to_vec()), wrapped_dek: Some(wrapped_dek.to_vec()), body })
    }

    /// The content of a segment, at most `bytes` long.
    ///
    /// # Errors
    /// If it was sealed for another place or with a key that is not held, was changed, or is longer.
    pub(crate) fn open_segment(
        &self,
        sealed: bool,
        context: FieldContext<'_>,
        columns: SegmentColumns,
        bytes: usize,
    ) -> Result<Vec<u8>, CryptoError> {
        let SegmentColumns { nonce, wrapped_dek, body } = columns;
        if !sealed {
            return if self.refuses_unsealed { Err(UNSEALED) } else { Packed::open(body, bytes) };
        }
        let field = BinaryField::from_columns(
            nonce.as_deref().unwrap_or_default(),
            wrapped_dek.as_deref().unwrap_or_default(),
            body,
        )?;
        self.content.field(context).decrypt_binary(field, bytes)
    }

    /// A sealed text with its DEK wrapped by the active key; `None` if that key wraps it already.
    ///
    /// # Errors
    /// If the DEK was wrapped for another place or with a key that is not held, or was changed.
    pub(crate) fn rewrap(
        &self,
        context: FieldContext<'_>,
        sealed: &str,
        entropy: &dyn Entropy,
    ) -> Result<Option<String>, CryptoError> {
        let rewrapped = self.content.field(context).rewrap(sealed, entropy)?;
        Ok(rewrapped.inspect(|_| self.count_use()))
    }

    /// As [`TeamKeys::rewrap`], for the wrapped DEK of a segment.
    ///
    /// # Errors
    /// As [`TeamKeys::rewrap`].
    pub(crate) fn rewrap_segment(
        &self,
        context: FieldContext<'_>,
        wrapped_dek: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Option<Vec<u8>>, CryptoError> {
        let rewrapped = self.content.field(context).rewrap_binary(wrapped_dek, entropy)?;
        Ok(rewrapped.inspect(|_| self.count_use()).map(|wrapped| wrapped.to_vec()))
    }

    fn count_use(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    /// The version of the content key that seals.
    pub(crate) fn active_version(&self) -> u32 {
        self.content.active_version()
    }

    /// Whether the content key `version` is among these.
    pub(crate) fn holds(&self, version: u32) -> bool {
        self.versions.contains(&version)
    }

    /// The id of the project at `path`: a keyed hash, so that the path can be sealed and guesses cannot be tried.
    ///
    /// # Errors
    /// [`DbError::Id`], never in practice: a keyed hash is always an id.
    pub fn project_id(&self, path: &str) -> Result<ProjectId, DbError> {
        Ok(self.blind.blind_id("prj_", "project", path.as_bytes()).try_into()?)
    }

    /// The id of the repository with `remote`.
    ///
    /// # Errors
    /// [`DbError::Id`], never in practice: a keyed hash is always an id.
    pub fn repo_id(&self, remote: &str) -> Result<RepoId, DbError> {
        Ok(self.blind.blind_id("rep_", "repo", remote.as_bytes()).try_into()?)
    }

    /// The id of a name that lists and sums are kept by, but that is somebody's own words: a hook's, a plugin's, a
    /// directory's.
    #[must_use]
    pub fn label_id(&self, label: &str) -> String {
        self.blind.blind_id("lbl_", "label", label.as_bytes())
    }
}

/// Every team's keys, opened on first use.
pub struct KeyStore {
    keks: KekRing,
    refuses_unsealed: bool,
    open: RwLock<OpenKeys>,
    /// How often each content key was used by this process since this was last stored.
    uses: Mutex<HashMap<(TeamId, u32), Arc<AtomicU64>>>,
}

/// The keys that are held open.
#[derive(Default)]
struct OpenKeys {
    teams: HashMap<TeamId, Opened>,
    /// Grows when keys are forgotten: keys that were being read meanwhile are read again.
    generation: u64,
    /// The epoch of the database when it was last looked at.
    epoch: i64,
    /// Nothing uses keys of before this epoch.
    settled_epoch: i64,
    /// When the last heartbeat that succeeded was sent.
    confirmed_at: Option<Instant>,
    /// Keys that were forgotten, and that something may still use.
    forgotten: Vec<Weak<TeamKeys>>,
}

struct Opened {
    keys: Arc<TeamKeys>,
    read_at: Instant,
}

impl OpenKeys {
    fn get(&self, team_id: &TeamId) -> Option<&Arc<TeamKeys>> {
        let opened = self.teams.get(team_id)?;
        let since = self.confirmed_at.map_or(opened.read_at, |at| at.max(opened.read_at));
        (since.elapsed() < USED_FOR).then_some(&opened.keys)
    }

    fn put(&mut self, team_id: &TeamId, keys: &Arc<TeamKeys>, read_at: Instant) {
        if self.teams.len() >= MAX_TEAMS {
            self.forget_all();
        }
        let opened = Opened { keys: Arc::clone(keys), read_at };
        if let Some(old) = self.teams.insert(team_id.clone(), opened) {
            self.forgotten.retain(|keys| keys.strong_count() > 0);
            self.forgotten.push(Arc::downgrade(&old.keys));
        }
    }

    fn forget_all(&mut self) {
        self.generation += 1;
        self.forgotten.retain(|keys| keys.strong_count() > 0);
        self.forgotten.extend(self.teams.drain().map(|(_, opened)| Arc::downgrade(&opened.keys)));
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").finish_non_exhaustive()
    }
}

#[derive(FromQueryResult)]
struct KeyRow {
    purpose: String,
    version: i64,
    wrapped: String,
    active: bool,
}

impl KeyRow {
    fn version(&self, team_id: &TeamId) -> Result<u32, DbError> {
        let row = format_args!("{team_id}/{}/{}", self.purpose, self.version);
        u32::try_from(self.version).map_err(|_| DbError::malformed("team_keys", "version", row))
    }
}

#[derive(FromQueryResult)]
struct KekRow {
    kek_id: String,
}

impl Db {
    /// The id of this process's `KEK_SECRET`.
    #[must_use]
    pub fn current_kek_id(&self) -> String {
        self.keys().keks.active_id().to_string()
    }

    /// Whether this process holds every KEK that team keys are wrapped with. A server that does not could show some
    /// teams nothing, so it refuses to serve.
    ///
    /// # Errors
    /// [`DbError::KekMissing`] where it does not.
    pub async fn check_keks(&self) -> Result<(), DbError> {
        let keys = self.keys();
        self.write_system("keks.check", |tx| async move {
            keys.ring(&tx).await?;
            let used: Vec<KekRow> =
                tx.all("SELECT DISTINCT kek_id FROM team_keys ORDER BY kek_id", []).await?;
            let held: Vec<String> = keys.keks.ids().map(|id| id.to_string()).collect();
            match used.into_iter().find(|row| !held.contains(&row.kek_id)) {
                Some(row) => Err(keys.missing(row.kek_id, "team keys are wrapped with it")),
                None => Ok(()),
            }
        })
        .await
    }
}

impl KeyStore {
    pub(crate) fn new(keks: KekRing, refuses_unsealed: bool) -> Self {
        Self { keks, refuses_unsealed, open: RwLock::default(), uses: Mutex::default() }
    }

    fn opened(&self) -> RwLockReadGuard<'_, OpenKeys> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened_mut(&self) -> RwLockWriteGuard<'_, OpenKeys> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether rows that are marked as not sealed are refused.
    pub(crate) fn refuses_unsealed(&self) -> bool {
        self.refuses_unsealed
    }

    /// The KEKs of this process.
    pub(crate) fn keks(&self) -> &KekRing {
        &self.keks
    }

    /// Takes in the epoch of the database: if it is another one, team keys were replaced or destroyed, and all are read
    /// again. Returns the epoch of which nothing in this process uses an older key any more.
    pub(crate) fn observe(&self, epoch: i64) -> i64 {
        let mut open = self.opened_mut();
        if open.epoch != epoch {
            open.epoch = epoch;
            open.forget_all();
        }
        open.forgotten.retain(|keys| keys.strong_count() > 0);
        if open.forgotten.is_empty() {
            open.settled_epoch = epoch;
        }
        open.settled_epoch
    }

    /// Says that a heartbeat that was sent at `sent` has succeeded.
    pub(crate) fn confirm(&self, sent: Instant) {
        self.opened_mut().confirmed_at = Some(sent);
    }

    /// How often each content key was used since this was last asked.
    pub(crate) fn take_uses(&self) -> Vec<(TeamId, u32, u64)> {
        let mut counters = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counters
            .iter()
            .map(|((team, version), n)| (team.clone(), *version, n.swap(0, Ordering::Relaxed)));
        let mut taken: Vec<_> = taken.filter(|(_, _, n)| *n > 0).collect();
        counters.retain(|_, n| Arc::strong_count(n) > 1 || n.load(Ordering::Relaxed) > 0);
        // All processes write them in the same order.
        taken.sort();
        taken
    }

    /// Counts uses again that could not be stored.
    pub(crate) fn put_uses_back(&self, uses: &[(TeamId, u32, u64)]) {
        for (team, version, n) in uses {
            self.uses_of(team, *version).fetch_add(*n, Ordering::Relaxed);
        }
    }

    fn uses_of(&self, team_id: &TeamId, version: u32) -> Arc<AtomicU64> {
        let mut counters = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counters.entry((team_id.clone(), version)).or_default())
    }

    /// The keys of a team.
    ///
    /// # Errors
    /// Where the team has none (it was deleted, which shreds its content), or none of the KEKs at hand opens them.
    pub async fn team(&self, db: &Db, team_id: &TeamId) -> Result<Arc<TeamKeys>, DbError> {
        if let Some(keys) = self.opened().get(team_id) {
            return Ok(Arc::clone(keys));
        }
        self.load(db, team_id).await
    }

    /// The keys of a team, read again if one of the content keys `versions` is not among them.
    pub(crate) async fn team_with(
        &self,
        db: &Db,
        team_id: &TeamId,
        versions: &[u32],
    ) -> Result<Arc<TeamKeys>, DbError> {
        let keys = self.team(db, team_id).await?;
        let holds = |version| keys.holds(version);
        if versions.iter().copied().all(holds) { Ok(keys) } else { self.load(db, team_id).await }
    }

    pub(crate) async fn load(&self, db: &Db, team_id: &TeamId) -> Result<Arc<TeamKeys>, DbError> {
        loop {
            let (generation, read_at) = (self.opened().generation, Instant::now());
            let tx = db.read_system("team_keys.load").await?;
            let rows: Vec<KeyRow> = tx
                .all(
                    "SELECT purpose, version, wrapped, active FROM team_keys WHERE team_id = $1",
                    [team_id.as_str().into()],
                )
                .await?;
            let keys = Arc::new(self.unwrap(team_id, &rows)?);
            let mut open = self.opened_mut();
            // Otherwise keys were replaced since these were read.
            if open.generation == generation {
                open.put(team_id, &keys, read_at);
                return Ok(keys);
            }
        }
    }

    fn unwrap(&self, team_id: &TeamId, rows: &[KeyRow]) -> Result<TeamKeys, DbError> {
        let missing = |purpose| DbError::KeyMissing { team: team_id.clone(), purpose };
        let (mut content, mut active, mut blind) = (Vec::new(), None, None);
        for row in rows {
            let version = row.version(team_id)?;
            let purpose = match row.purpose.as_str() {
                "content" => KeyPurpose::Content,
                "blind" => KeyPurpose::Blind,
                _ => continue,
            };
            let key = self.keks.unwrap_team_key(&TeamKeyName { team_id, version, purpose }, &row.wrapped)?;
            match purpose {
                KeyPurpose::Blind => blind = Some(BlindKey::new(&key)),
                _ => {
                    if row.active {
                        active = Some(version);
                    }
                    content.push((version, key));
                }
            }
        }
        let active = active.ok_or_else(|| missing("active content"))?;
        Ok(TeamKeys {
            versions: content.iter().map(|(version, _)| *version).collect(),
            uses: self.uses_of(team_id, active),
            content: TeamKeyRing::new(team_id.clone(), active, content)?,
            blind: blind.ok_or_else(|| missing("blind"))?,
            refuses_unsealed: self.refuses_unsealed,
        })
    }

    /// The key that the team's search terms are made with; `None` where nothing was indexed yet. On PostgreSQL the app
    /// role reads it through a function that gives it the key of its own team.
    pub(crate) async fn search_key(&self, tx: &ScopedTx) -> Result<Option<BlindKey>, DbError> {
        let (sql, values) = match tx.dialect() {
            Dialect::Postgres => ("SELECT purpose, version, wrapped, active FROM han_search_key()", vec![]),
            Dialect::Sqlite => (SEARCH_KEY, vec![tx.team_id().as_str().into()]),
        };
        let row = tx.one::<KeyRow, _>(sql, values).await?;
        Ok(row.map(|row| self.open_search_key(tx.team_id(), &row)).transpose()?.map(|key| key.key))
    }

    fn open_search_key(&self, team_id: &TeamId, row: &KeyRow) -> Result<SearchKey, DbError> {
        let version = row.version(team_id)?;
        let name = TeamKeyName { team_id, version, purpose: KeyPurpose::Search };
        Ok(SearchKey { version, key: BlindKey::new(&self.keks.unwrap_team_key(&name, &row.wrapped)?) })
    }

    /// The team's search key, if it has one.
    pub(crate) async fn find_search_key(
        &self,
        db: &Db,
        team_id: &TeamId,
    ) -> Result<Option<SearchKey>, DbError> {
        let tx = db.read_system("search_keys.find").await?;
        let row = tx.one::<KeyRow, _>(SEARCH_KEY, [team_id.as_str().into()]).await?;
        row.map(|row| self.open_search_key(team_id, &row)).transpose()
    }

    /// The team's search key, made where it has none.
    pub(crate) async fn make_search_key(&self, db: &Db, team_id: &TeamId) -> Result<SearchKey, DbError> {
        if let Some(key) = self.find_search_key(db, team_id).await? {
            return Ok(key);
        }
        db.write_system("search_keys.make", |tx| async move {
            self.insert_search_key(&tx, team_id, FIRST_VERSION).await?;
            let row = tx.one::<KeyRow, _>(SEARCH_KEY, [team_id.as_str().into()]).await?;
            let missing = || DbError::KeyMissing { team: team_id.clone(), purpose: "search" };
            let row = row.ok_or_else(missing)?;
            self.open_search_key(team_id, &row)
        })
        .await
    }

    /// The version of the team's search key. It is not replaced before the transaction
    /// ends.
    pub(crate) async fn hold_search_key(
        &self,
        tx: &SystemTx,
        team_id: &TeamId,
    ) -> Result<Option<u32>, DbError> {
        let lock = tx.dialect().for_share();
        let row = tx.one::<KeyRow, _>(&format!("{SEARCH_KEY}{lock}"), [team_id.as_str().into()]).await?;
        Ok(row.and_then(|row| u32::try_from(row.version).ok()))
    }

    /// Replaces the team's search key. Waits for the transactions that use it.
    pub(crate) async fn replace_search_key(&self, tx: &SystemTx, team_id: &TeamId) -> Result<(), DbError> {
        let lock = tx.dialect().for_update();
        let sql = format!(
            "SELECT purpose, version, wrapped, active FROM team_keys WHERE team_id = $1 AND purpose = 'search'{lock}"
        );
        let rows: Vec<KeyRow> = tx.all(&sql, [team_id.as_str().into()]).await?;
        let last = rows.iter().filter_map(|row| u32::try_from(row.version).ok()).max();
        let delete = "DELETE FROM team_keys WHERE team_id = $1 AND purpose = 'search'";
        tx.execute(delete, [team_id.as_str().into()]).await?;
        self.insert_search_key(tx, team_id, last.map_or(FIRST_VERSION, |last| last + 1)).await
    }

    async fn insert_search_key(&self, tx: &SystemTx, team_id: &TeamId, version: u32) -> Result<(), DbError> {
        let ring = self.ring(tx).await?;
        let name = TeamKeyName { team_id, version, purpose: KeyPurpose::Search };
        insert_key(&ring, tx, &name, " ON CONFLICT DO NOTHING").await
    }

    /// The KEK ring, writing with the KEK that `kek_state` names: the first process that ever needs one says which,
    /// afterwards it changes by rotation only, whatever the environment of a replica lists first.
    ///
    /// A rotation waits for the transaction to end, so what it wraps is wrapped again by the rotation.
    pub(crate) async fn ring(&self, tx: &SystemTx) -> Result<KekRing, DbError> {
        tx.execute(
            "INSERT INTO kek_state (id, active_id, changed_at) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING",
            [self.keks.active_id().to_string().into(), tx.clock().now().0.into()],
        )
        .await?;
        let lock = tx.dialect().for_share();
        let sql = format!("SELECT active_id AS kek_id FROM kek_state WHERE id = 1{lock}");
        let active = tx.one::<KekRow, _>(&sql, []).await?;
        let missing = || DbError::RowMissing { table: "kek_state", row: "1".to_owned() };
        let active = active.ok_or_else(missing)?.kek_id;
        match self.keks.ids().find(|id| id.to_string() == active) {
            Some(id) => Ok(self.keks.with_active(id)?),
            None => Err(self.missing(active, "new team keys are wrapped with it")),
        }
    }

    /// A secret of the server that belongs to no team, sealed under the KEK that writes.
    pub(crate) async fn seal_system(
        &self,
        tx: &SystemTx,
        context: FieldContext<'_>,
        secret: &str,
    ) -> Result<String, DbError> {
        let ring = self.ring(tx).await?;
        Ok(ring.field(context).encrypt(secret.as_bytes(), tx.entropy())?)
    }

    /// The secret behind a column that [`KeyStore::seal_system`] sealed.
    ///
    /// # Errors
    /// If it was sealed for another place or under a KEK that is not held, or was changed.
    pub(crate) fn open_system(&self, context: FieldContext<'_>, stored: &str) -> Result<String, CryptoError> {
        let bytes = self.keks.field(context).decrypt(stored)?;
        String::from_utf8(bytes)
            .map_err(|_| CryptoError::Malformed { what: "sealed text", reason: "it is not UTF-8" })
    }

    pub(crate) fn missing(&self, missing: String, what: &'static str) -> DbError {
        let held: Vec<String> = self.keks.ids().map(|id| id.to_string()).collect();
        DbError::KekMissing { missing, what, held: held.join(", ") }
    }

    /// Makes the keys of a new team, in the transaction that makes the team.
    ///
    /// # Errors
    /// Where the team has keys already.
    pub(crate) async fn insert_team_keys(&self, tx: &SystemTx, team_id: &TeamId) -> Result<(), DbError> {
        let ring = self.ring(tx).await?;
        for purpose in [KeyPurpose::Content, KeyPurpose::Blind] {
            let name = TeamKeyName { team_id, version: FIRST_VERSION, purpose };
            insert_key(&ring, tx, &name, "").await?;
        }
        Ok(())
    }
}

impl KeyStore {
    /// Replaces the active content key of a team; returns the version of the new one. The old versions stay: they open
    /// what they sealed.
    ///
    /// # Errors
    /// [`DbError::KeyMissing`] if the team has no content key: it was deleted.
    pub(crate) async fn replace_content_key(&self, tx: &SystemTx, team_id: &TeamId) -> Result<u32, DbError> {
        let ring = self.ring(tx).await?;
        let lock = tx.dialect().for_update();
        let sql = format!(
            "SELECT purpose, version, wrapped, active FROM team_keys WHERE team_id = $1 AND purpose = 'content' \
             ORDER BY version{lock}"
        );
        let rows: Vec<KeyRow> = tx.all(&sql, [team_id.as_str().into()]).await?;
        let missing = || DbError::KeyMissing { team: team_id.clone(), purpose: "content" };
        let version = rows.last().ok_or_else(missing)?.version(team_id)? + 1;
        let sql = "UPDATE team_keys SET active = $2 WHERE team_id = $1 AND purpose = 'content'";
        tx.execute(sql, [team_id.as_str().into(), false.into()]).await?;
        let name = TeamKeyName { team_id, version, purpose: KeyPurpose::Content };
        insert_key(&ring, tx, &name, "").await?;
        Ok(version)
    }
}

/// Makes a key and stores it, wrapped.
async fn insert_key(
    ring: &KekRing,
    tx: &SystemTx,
    name: &TeamKeyName<'_>,
    on_conflict: &str,
) -> Result<(), DbError> {
    let wrapped = ring.wrap_team_key(name, &TeamKey::generate(tx.entropy()), tx.entropy())?;
    let kek_id = wrapped_kek_id(&wrapped)?.to_string();
    let sql = format!(
        "INSERT INTO team_keys (team_id, purpose, version, wrapped, kek_id, active, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7){on_conflict}"
    );
    let values = [
        name.team_id.as_str().into(),
        name.purpose.as_str().into(),
        i64::from(name.version).into(),
        wrapped.into(),
        kek_id.into(),
        true.into(),
        tx.clock().now().0.into(),
    ];
    tx.execute(&sql, values).await?;
    Ok(())
}
