//! The keys of teams as operators see them: versions, how often each was used, and the rotation of content keys. How
//! keys are opened is in `crate::keys`; what a rotation changes in the background is in `team_work`.

use std::collections::BTreeMap;

use han_types::TeamId;
use sea_orm::FromQueryResult;

use crate::queries::audit::{Entry, Event};
use crate::queries::replicas;
use crate::queries::reseal;
use crate::queries::team_work::{self, WorkKind};
use crate::{Db, DbError};

/// With one key, at most 2³² values may be sealed under random nonces (SP 800-38D, section 8.3).
pub const MAX_USES: u64 = 1 << 32;

/// From this many uses on, operators are warned: half of [`MAX_USES`].
pub const WARN_USES: u64 = 1 << 31;

/// The log is warned when a key comes to [`WARN_USES`], and again each time after so many uses.
const WARN_AGAIN: i64 = 1 << 26;

/// A version of a team's content key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentKey {
    /// The team.
    pub team_id: TeamId,
    /// The team's name in addresses.
    pub slug: String,
    /// The version, which is the key id in sealed fields.
    pub version: u32,
    /// Whether it seals new fields.
    pub active: bool,
    /// How many values were sealed with it, as far as servers have stored it.
    pub uses: u64,
}

impl ContentKey {
    /// Whether the key should be replaced because of its uses.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.active && self.uses >= WARN_USES
    }
}

#[derive(FromQueryResult)]
struct KeyRow {
    team_id: String,
    slug: String,
    version: i64,
    active: bool,
    uses: i64,
}

/// The content keys of all teams, or of one, by team and version.
pub async fn content_keys(db: &Db, team_id: Option<&TeamId>) -> Result<Vec<ContentKey>, DbError> {
    let tx = db.read_system("team_keys.list").await?;
    let sql = "SELECT k.team_id, t.slug, k.version, k.active, k.uses FROM team_keys k JOIN teams t ON t.id = k.team_id \
               WHERE k.purpose = 'content' AND $1 IN ('', k.team_id) ORDER BY t.slug, k.version";
    let rows: Vec<KeyRow> = tx.all(sql, [team_id.map_or("", TeamId::as_str).into()]).await?;
    rows.into_iter()
        .map(|row| {
            let malformed = |column| DbError::malformed("team_keys", column, &row.team_id);
            Ok(ContentKey {
                team_id: row.team_id.parse().map_err(|_| malformed("team_id"))?,
                version: u32::try_from(row.version).map_err(|_| malformed("version"))?,
                uses: u64::try_from(row.uses).unwrap_or_default(),
                slug: row.slug,
                active: row.active,
            })
        })
        .collect()
}

/// Gives a team a new content key, and returns its version. New fields are sealed with it: of this process at once, of
/// others within a second. A background job re-wraps the DEKs of older fields.
///
/// # Errors
/// [`DbError::KeyMissing`] if the team has no keys: it was deleted.
pub async fn rotate_team(db: &Db, team_id: &TeamId) -> Result<u32, DbError> {
    let missing = || DbError::KeyMissing { team: team_id.clone(), purpose: "content" };
    let team = db.find_team_number(team_id).await?.ok_or_else(missing)?;
    let (version, epoch) = db
        .write_system("team_keys.rotate", |tx| async move {
            let epoch = replicas::next_epoch(&tx).await?;
            let version = db.keys().replace_content_key(&tx, team_id).await?;
            team_work::request(&tx, team_id, WorkKind::Rotate, &version.to_string(), epoch).await?;
            let entry = Entry::new(Event::TeamKeyRotated).about("content_key", version.to_string());
            tx.log_of(team_id, team).write(entry).await?;
            Ok((version, epoch))
        })
        .await?;
    tracing::info!(team = %team_id, version, "a team has a new content key");
    db.keys_were_replaced(epoch);
    Ok(version)
}

/// The values of a team, and what they need to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamValues {
    /// The version of the content key that seals.
    pub active: u32,
    /// How many values each version wraps the DEK of; 0 for values in plaintext.
    pub versions: BTreeMap<u32, u64>,
    /// How many values were opened.
    pub opened: u64,
    /// The others: the row, and the reason.
    pub failures: Vec<(String, String)>,
}

impl TeamValues {
    /// How many values need a content key that was replaced.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let old = |(version, n): (&u32, &u64)| if *version == 0 || *version == self.active { 0 } else { *n };
        self.versions.iter().map(old).sum()
    }
}

/// Opens every value of a team, and counts by which key its DEK is wrapped. Reads everything that the team has stored.
///
/// # Errors
/// [`DbError::KeyMissing`] if the team has no keys.
pub async fn verify_team(db: &Db, team_id: &TeamId) -> Result<TeamValues, DbError> {
    let active = db.keys().load(db, team_id).await?.active_version();
    let (opened, failures) = reseal::open_all(db, team_id).await?;
    let team = db.team_number(team_id).await?;
    let tx = db.read_system("team_keys.versions").await?;
    Ok(TeamValues { active, versions: reseal::versions(&tx, team).await?, opened, failures })
}

#[derive(FromQueryResult)]
struct UsesRow {
    uses: i64,
}

/// Adds the uses of content keys by this process to those that are stored, and warns about keys that were used often.
pub(crate) async fn store_uses(db: &Db) -> Result<(), DbError> {
    let taken = db.keys().take_uses();
    if taken.is_empty() {
        return Ok(());
    }
    let used = &taken;
    let stored = db.write_system("team_keys.uses", |tx| async move {
        let mut worn = Vec::new();
        for (team, version, n) in used {
            let sql = "UPDATE team_keys SET uses = uses + $3 \
                       WHERE team_id = $1 AND purpose = 'content' AND version = $2 RETURNING uses";
            let n = i64::try_from(*n).unwrap_or(i64::MAX);
            let values = [team.as_str().into(), i64::from(*version).into(), n.into()];
            let uses = tx.one::<UsesRow, _>(sql, values).await?.map_or(0, |row| row.uses);
            if uses >= WARN_USES as i64 && (uses - n) / WARN_AGAIN != uses / WARN_AGAIN {
                worn.push((team, version, uses));
            }
        }
        Ok(worn)
    });
    match stored.await {
        Ok(worn) => {
            for (team, version, uses) in worn {
                tracing::warn!(%team, version, uses, most = MAX_USES,
                    "a content key was used often: replace it with `han-server keys rotate-team`");
            }
            Ok(())
        }
        Err(error) => {
            db.keys().put_uses_back(&taken);
            Err(error)
        }
    }
}
