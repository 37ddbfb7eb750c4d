//! The rotation of the KEK: which KEK writes, what is still wrapped by others, and wrapping it again.
//!
//! A rotation has two phases. Every replica is restarted with both KEKs, and reports them with its heartbeats. Then
//! [`rotate`] makes the new one write, in a transaction that has read what the live replicas hold, and wraps everything
//! again, in small transactions that compare before they write. It can be interrupted anywhere and run again; the job
//! `team-work` continues it, too. Content is not touched: `team_keys` has a few rows for each team.

use std::collections::BTreeMap;

use han_crypto::{KekId, KekRing, KeyPurpose, TeamKeyName, sealed_key_id, wrapped_kek_id};
use han_types::TeamId;
use sea_orm::FromQueryResult;

#[cfg(feature = "postgres")]
use crate::bulk_insert::Column;
use crate::dialect::Dialect;
use crate::queries::audit::{Entry, Event};
use crate::queries::github_accounts;
use crate::queries::replicas::{self, Replica};
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// How many rows one statement of a verification reads.
const PAGE: usize = 2_000;

/// What is wrapped by which KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekStatus {
    /// The id of the KEK that wraps new keys; `None` before any key was made.
    pub active: Option<String>,
    /// The id of this process's `KEK_SECRET`.
    pub current: String,
    /// The ids of all KEKs of this process.
    pub held: Vec<String>,
    /// How many team keys each KEK wraps.
    pub team_keys: BTreeMap<String, u64>,
    /// How many secrets of no team are sealed under each KEK.
    pub secrets: BTreeMap<String, u64>,
    /// The replicas that reported within the last hour.
    pub replicas: Vec<Replica>,
}

impl KekStatus {
    /// How many rows another KEK than the active one wraps.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let other = |(id, n): (&String, &u64)| if Some(id) == self.active.as_ref() { 0 } else { *n };
        self.team_keys.iter().chain(&self.secrets).map(other).sum()
    }
}

#[derive(FromQueryResult)]
struct ActiveRow {
    active_id: String,
}

#[derive(FromQueryResult)]
struct CountsRow {
    kek_id: String,
    n: i64,
}

/// The KEK that writes, what each KEK wraps, and what the replicas hold.
///
/// # Errors
/// [`DbError::Crypto`] if a stored secret is malformed.
pub async fn status(db: &Db) -> Result<KekStatus, DbError> {
    let tx = db.read_system("keks.status").await?;
    let rows: Vec<CountsRow> =
        tx.all("SELECT kek_id, COUNT(*) AS n FROM team_keys GROUP BY kek_id", []).await?;
    let team_keys = rows.into_iter().map(|row| (row.kek_id, u64::try_from(row.n).unwrap_or_default()));
    let mut secrets = BTreeMap::new();
    let mut after = None;
    while let Some(page) = secrets_page(&tx, after.as_deref()).await? {
        for secret in &page {
            *secrets.entry(secret_kek_id(&secret.token)?).or_default() += 1;
        }
        after = page.last().map(|row| row.user_id.clone());
    }
    let keks = db.keys().keks();
    Ok(KekStatus {
        active: active_id(&tx).await?,
        current: keks.active_id().to_string(),
        held: keks.ids().map(|id| id.to_string()).collect(),
        team_keys: team_keys.collect(),
        secrets,
        replicas: replicas::all(&tx).await?,
    })
}

async fn active_id(tx: &SystemTx) -> Result<Option<String>, DbError> {
    let row = tx.one::<ActiveRow, _>("SELECT active_id FROM kek_state WHERE id = 1", []).await?;
    Ok(row.map(|row| row.active_id))
}

/// What came of making this process's `KEK_SECRET` the KEK that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It writes from now on.
    Activated {
        /// The id of the KEK that wrote before.
        before: String,
    },
    /// It writes already.
    AlreadyActive,
    /// Live replicas do not hold it. Nothing was changed.
    Lacking(Vec<Replica>),
}

/// Makes this process's `KEK_SECRET` the KEK that writes, if every live replica holds it.
///
/// # Errors
/// [`DbError::KekMissing`] if this process does not hold the KEK that writes at present.
pub async fn activate(db: &Db) -> Result<Activation, DbError> {
    let new = db.keys().keks().active_id().to_string();
    let id = new.as_str();
    let done = db
        .write_system("keks.activate", |tx| async move {
            let lock = tx.dialect().for_update();
            // Transactions that wrap keys, and replicas that join, hold this row.
            tx.rows(&format!("SELECT active_id FROM kek_state WHERE id = 1{lock}"), []).await?;
            let ring = db.keys().ring(&tx).await?;
            let before = ring.active_id().to_string();
            if before == id {
                return Ok(Activation::AlreadyActive);
            }
            let replicas = replicas::all(&tx).await?;
            let lacks = |replica: &Replica| replica.live && !replica.kek_ids.iter().any(|held| held == id);
            let lacking: Vec<Replica> = replicas.into_iter().filter(lacks).collect();
            if !lacking.is_empty() {
                return Ok(Activation::Lacking(lacking));
            }
            let sql = "UPDATE kek_state SET active_id = $1, changed_at = $2 WHERE id = 1";
            tx.execute(sql, [id.into(), tx.clock().now().0.into()]).await?;
            let entry = Entry::new(Event::KekRotated).about("kek", id).with("before", before.as_str());
            tx.log_of_server().write(entry).await?;
            Ok(Activation::Activated { before })
        })
        .await?;
    if let Activation::Activated { before } = &done {
        tracing::info!(kek = new, before, "another KEK wraps new keys");
        db.commits().wake_jobs();
    }
    Ok(done)
}

#[derive(FromQueryResult)]
struct KeyRow {
    team_id: String,
    purpose: String,
    version: i64,
    wrapped: String,
    kek_id: String,
}

impl KeyRow {
    fn name(&self) -> Result<(TeamId, u32, KeyPurpose), DbError> {
        let malformed = |column| {
            let row = format_args!("{}/{}/{}", self.team_id, self.purpose, self.version);
            DbError::malformed("team_keys", column, row)
        };
        Ok((
            self.team_id.parse().map_err(|_| malformed("team_id"))?,
            u32::try_from(self.version).map_err(|_| malformed("version"))?,
            self.purpose.parse().map_err(|_| malformed("purpose"))?,
        ))
    }
}

#[derive(FromQueryResult)]
struct SecretRow {
    user_id: String,
    token: String,
}

/// The id of the KEK that a secret of no team is sealed under.
fn secret_kek_id(sealed: &str) -> Result<String, DbError> {
    Ok(KekId::from(sealed_key_id(sealed)?).to_string())
}

/// The next secrets that belong to no team, by user; `None` at the end.
async fn secrets_page(tx: &SystemTx, after: Option<&str>) -> Result<Option<Vec<SecretRow>>, DbError> {
    let sql = format!(
        "SELECT user_id, token FROM github_accounts WHERE token IS NOT NULL AND user_id > $1 \
         ORDER BY user_id LIMIT {PAGE}"
    );
    let page: Vec<SecretRow> = tx.all(&sql, [after.unwrap_or_default().into()]).await?;
    Ok(if page.is_empty() { None } else { Some(page) })
}

/// Wraps the next rows again that another KEK than the active one wraps; returns their number, 0 at the end. Two
/// processes may do so at the same time.
///
/// # Errors
/// [`DbError::KekMissing`] if this process does not hold the active KEK, [`DbError::Crypto`] if it does not hold the
/// one that wraps a row.
pub async fn rewrap_batch(db: &Db) -> Result<u64, DbError> {
    let rows = db.work_rows();
    let keys = db.write_system("keks.rewrap", |tx| async move { rewrap_keys(&tx, rows).await }).await?;
    if keys > 0 {
        return Ok(keys);
    }
    rewrap_secrets(db).await
}

async fn rewrap_keys(tx: &SystemTx, at_most: usize) -> Result<u64, DbError> {
    let ring = tx.key_store().ring(tx).await?;
    let active = ring.active_id().to_string();
    let lock = tx.dialect().for_update();
    let sql = format!(
        "SELECT team_id, purpose, version, wrapped, kek_id FROM team_keys WHERE kek_id <> $1 \
         ORDER BY team_id, purpose, version LIMIT {at_most}{lock}"
    );
    let rows: Vec<KeyRow> = tx.all(&sql, [active.as_str().into()]).await?;
    let mut wrapped = Vec::with_capacity(rows.len());
    for row in &rows {
        let (team_id, version, purpose) = row.name()?;
        let name = TeamKeyName { team_id: &team_id, version, purpose };
        // A row whose column disagrees with its key gets the right one.
        let rewrapped = ring.rewrap_team_key(&name, &row.wrapped, tx.entropy())?;
        wrapped.push(rewrapped.unwrap_or_else(|| row.wrapped.clone()));
    }
    let n = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    match tx.dialect() {
        #[cfg(not(feature = "postgres"))]
        Dialect::Postgres => return Err(DbError::WithoutPostgres),
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            let sql = "UPDATE team_keys AS k SET wrapped = n.wrapped, kek_id = $1 \
                       FROM UNNEST($2::text[], $3::text[], $4::bigint[], $5::text[]) \
                       AS n(team_id, purpose, version, wrapped) \
                       WHERE k.team_id = n.team_id AND k.purpose = n.purpose AND k.version = n.version";
            let columns = [
                Column::Str("team_id", rows.iter().map(|row| row.team_id.as_str()).collect()),
                Column::Str("purpose", rows.iter().map(|row| row.purpose.as_str()).collect()),
                Column::Int("version", rows.iter().map(|row| row.version).collect()),
                Column::Text("wrapped", wrapped),
            ];
            tx.rows_of_columns(sql, vec![active.into()], &columns).await?;
        }
        Dialect::Sqlite => {
            let sql = "UPDATE team_keys SET wrapped = $5, kek_id = $1 \
                       WHERE team_id = $2 AND purpose = $3 AND version = $4";
            for (row, wrapped) in rows.iter().zip(wrapped) {
                let values = [
                    active.as_str().into(),
                    row.team_id.as_str().into(),
                    row.purpose.as_str().into(),
                    row.version.into(),
                    wrapped.into(),
                ];
                tx.execute(sql, values).await?;
            }
        }
    }
    Ok(n)
}

/// Seals the next secrets of no team that are under another KEK again.
async fn rewrap_secrets(db: &Db) -> Result<u64, DbError> {
    let tx = db.read_system("keks.secrets").await?;
    let Some(active) = active_id(&tx).await? else { return Ok(0) };
    let (mut after, mut due) = (None, Vec::new());
    while let Some(page) = secrets_page(&tx, after.as_deref()).await? {
        after = page.last().map(|row| row.user_id.clone());
        for row in page {
            if secret_kek_id(&row.token)? != active {
                due.push(row);
            }
        }
        if due.len() >= db.work_rows() {
            break;
        }
    }
    drop(tx);
    if due.is_empty() {
        return Ok(0);
    }
    let rows = &due;
    db.write_system("keks.rewrap_secrets", |tx| async move {
        let ring = db.keys().ring(&tx).await?;
        let mut n = 0;
        for row in rows {
            let field = ring.field(github_accounts::context(&row.user_id));
            let Some(sealed) = field.rewrap(&row.token, tx.entropy())? else { continue };
            // A sign-in may have replaced it meanwhile, under the active KEK.
            let sql = "UPDATE github_accounts SET token = $2 WHERE user_id = $1 AND token = $3";
            let values = [row.user_id.as_str().into(), sealed.into(), row.token.as_str().into()];
            n += tx.execute(sql, values).await?;
        }
        Ok(n)
    })
    .await
}

/// What came of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Whether another KEK wrote before.
    pub activation: Activation,
    /// How many rows were wrapped again.
    pub rewrapped: u64,
}

/// Makes this process's `KEK_SECRET` the KEK that writes, and wraps everything again that another one wraps. If it is
/// interrupted, run it again. `progress` is called after each batch with the rows so far.
///
/// # Errors
/// As [`activate`] and [`rewrap_batch`].
pub async fn rotate(db: &Db, mut progress: impl FnMut(u64)) -> Result<Rotated, DbError> {
    let activation = activate(db).await?;
    let mut rewrapped = 0;
    if !matches!(activation, Activation::Lacking(_)) {
        loop {
            let batch = rewrap_batch(db).await?;
            if batch == 0 {
                break;
            }
            rewrapped += batch;
            progress(rewrapped);
        }
        tracing::info!(rewrapped, "everything is wrapped by the KEK that writes");
    }
    Ok(Rotated { activation, rewrapped })
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The id of the KEK that everything was opened with.
    pub active: String,
    /// Team keys that it opened.
    pub team_keys: u64,
    /// Secrets of no team that it opened.
    pub secrets: u64,
    /// What it did not open: the row, and why.
    pub failures: Vec<(String, String)>,
}

/// Opens every stored key and secret with the active KEK and no other. If nothing fails, no row needs another KEK.
///
/// # Errors
/// [`DbError::KekMissing`] if this process does not hold the active KEK, [`DbError::RowMissing`] if no key was made
/// yet.
pub async fn verify(db: &Db) -> Result<Verified, DbError> {
    let tx = db.read_system("keks.verify").await?;
    let missing = || DbError::RowMissing { table: "kek_state", row: "1".to_owned() };
    let active = active_id(&tx).await?.ok_or_else(missing)?;
    let held = db.keys().keks().ids().find(|id| id.to_string() == active);
    let id = held.ok_or_else(|| db.keys().missing(active.clone(), "new team keys are wrapped with it"))?;
    let ring = db.keys().keks().with_active(id)?;
    let mut found = Verified { active: active.clone(), ..Verified::default() };
    let mut after = (String::new(), String::new(), 0);
    loop {
        let sql = format!(
            "SELECT team_id, purpose, version, wrapped, kek_id FROM team_keys \
             WHERE (team_id, purpose, version) > ($1, $2, $3) ORDER BY team_id, purpose, version LIMIT {PAGE}"
        );
        let (team_id, purpose, version) = &after;
        let values = [team_id.as_str().into(), purpose.as_str().into(), (*version).into()];
        let page: Vec<KeyRow> = tx.all(&sql, values).await?;
        let Some(last) = page.last() else { break };
        after = (last.team_id.clone(), last.purpose.clone(), last.version);
        for row in &page {
            match verify_key(&ring, &active, row) {
                Ok(()) => found.team_keys += 1,
                Err(why) => {
                    let row = format!("team_keys {}/{}/{}", row.team_id, row.purpose, row.version);
                    found.failures.push((row, why));
                }
            }
        }
    }
    let mut after = None;
    while let Some(page) = secrets_page(&tx, after.as_deref()).await? {
        after = page.last().map(|row| row.user_id.clone());
        for row in &page {
            match verify_secret(&ring, &active, row) {
                Ok(()) => found.secrets += 1,
                Err(why) => found.failures.push((format!("github_accounts {}", row.user_id), why)),
            }
        }
    }
    tracing::info!(
        kek = active,
        team_keys = found.team_keys,
        secrets = found.secrets,
        failures = found.failures.len(),
        "the keys were verified"
    );
    Ok(found)
}

fn other(id: &str) -> String {
    format!("it is wrapped by the KEK {id}: run `han-server kek rotate`")
}

fn verify_key(ring: &KekRing, active: &str, row: &KeyRow) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let id = wrapped_kek_id(&row.wrapped).map_err(|error| said(&error))?.to_string();
    if id != active {
        return Err(other(&id));
    }
    if row.kek_id != id {
        return Err(format!("its column kek_id names the KEK {}", row.kek_id));
    }
    let (team_id, version, purpose) = row.name().map_err(|error| said(&error))?;
    let name = TeamKeyName { team_id: &team_id, version, purpose };
    ring.unwrap_team_key(&name, &row.wrapped).map(|_| ()).map_err(|error| said(&error))
}

fn verify_secret(ring: &KekRing, active: &str, row: &SecretRow) -> Result<(), String> {
    let id = secret_kek_id(&row.token).map_err(|error| error.to_string())?;
    if id != active {
        return Err(other(&id));
    }
    let field = ring.field(github_accounts::context(&row.user_id));
    field.decrypt(&row.token).map(|_| ()).map_err(|error| error.to_string())
}
