//! The commands that work on everything a team has stored: `keys`, `content` and `team`. The work is done in han-db,
//! and by the job `team-work` of a running server.

use han_db::Db;
use han_db::entities::Team;
use han_db::queries::conversion::{self, Form};
use han_db::queries::keys::{self, ContentKey, MAX_USES};
use han_db::queries::team_work::{self, Work};
use han_db::queries::{memberships, team_deletion, teams};
use han_types::{RequestId, Scope};
use serde_json::{Value, json};

use super::table::text_table;
use super::{CommandError, Content, DeleteTeam, Keys, ListTeamKeys, OneTeam, RotateTeam, World};

pub(super) async fn keys(asked: &Keys, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    match asked {
        Keys::Status(listing) => status(listing, db, world).await,
        Keys::RotateTeam(asked) => rotate(asked, db, world).await,
        Keys::Verify(asked) => verify(asked, db, world).await,
    }
}

pub(super) async fn find(slug: &str, db: &Db) -> Result<Team, CommandError> {
    let found = teams::by_slug(db, slug).await?;
    found.ok_or_else(|| CommandError::Refused(format!("the team {slug:?} does not exist: check its slug")))
}

/// The right of an operator to a team, given by its slug: that of its longest-standing admin.
pub(super) async fn scope(slug: &str, db: &Db, world: &World<'_>) -> Result<Scope, CommandError> {
    let request_id = RequestId::generate(&*world.clock, &*world.entropy);
    let mut found = memberships::teams_for_operator(db, &request_id, Some(slug)).await?;
    let missing = || CommandError::Refused(format!("no team {slug:?} with an admin exists: check --team"));
    Ok(found.pop().ok_or_else(missing)?.scope)
}

async fn status(asked: &ListTeamKeys, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let team = match &asked.team {
        Some(slug) => Some(find(slug, db).await?.id),
        None => None,
    };
    let keys = keys::content_keys(db, team.as_ref()).await?;
    let work = team_work::list(db).await?;
    if asked.json {
        let list: Vec<Value> = keys.iter().map(|key| key_json(key, &work)).collect();
        writeln!(world.out, "{}", Value::Array(list))?;
        return Ok(());
    }
    let rows = keys.iter().map(|key| {
        [
            key.slug.clone(),
            key.version.to_string(),
            if key.active { "seals" } else { "opens" }.to_owned(),
            key.uses.to_string(),
            rotation(key, &work).map_or_else(|| "-".to_owned(), rotation_text),
        ]
    });
    write!(world.out, "{}", text_table(["TEAM", "VERSION", "USE", "SEALED", "ROTATION"], rows))?;
    for key in keys.iter().filter(|key| key.is_worn()) {
        writeln!(
            world.err,
            "han-server: the content key of {} has sealed {} of at most {MAX_USES} values: replace it with \
             `han-server keys rotate-team --team {}`",
            key.slug, key.uses, key.slug
        )?;
    }
    Ok(())
}

/// The rotation that brought a key about.
fn rotation<'w>(key: &ContentKey, work: &'w [Work]) -> Option<&'w Work> {
    work.iter().find(|work| {
        work.kind == team_work::WorkKind::Rotate
            && work.team_id == key.team_id
            && work.target == key.version.to_string()
    })
}

fn rotation_text(work: &Work) -> String {
    match work.finished_at {
        Some(at) => format!("complete since {}, {} rows", at.to_rfc3339(), work.done),
        None => format!("{} rows so far", work.done),
    }
}

fn key_json(key: &ContentKey, work: &[Work]) -> Value {
    let rotation = rotation(key, work).map(|work| {
        json!({
            "rows": work.done,
            "requestedAt": work.requested_at.to_rfc3339(),
            "finishedAt": work.finished_at.map(han_types::Timestamp::to_rfc3339),
        })
    });
    json!({
        "team": key.slug,
        "teamId": key.team_id.as_str(),
        "version": key.version,
        "active": key.active,
        "uses": key.uses,
        "maxUses": MAX_USES,
        "rotation": rotation,
    })
}

async fn rotate(asked: &RotateTeam, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let team = match &asked.team {
        Some(slug) => Some(find(slug, db).await?.id),
        None => None,
    };
    // A team without members has content, too.
    let active = keys::content_keys(db, team.as_ref()).await?.into_iter().filter(|key| key.active);
    for key in active {
        let version = keys::rotate_team(db, &key.team_id).await?;
        writeln!(world.err, "han-server: team {}: content key {version} seals from now on", key.slug)?;
    }
    writeln!(
        world.err,
        "han-server: a running server re-wraps what earlier keys have sealed: see `han-server keys status`"
    )?;
    Ok(())
}

async fn verify(asked: &OneTeam, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    /// The most rows that are named.
    const NAMED: usize = 20;
    let Team { id: team_id, slug, .. } = find(&asked.team, db).await?;
    let found = keys::verify_team(db, &team_id).await?;
    for (row, why) in found.failures.iter().take(NAMED) {
        writeln!(world.err, "han-server: {row}: {why}")?;
    }
    for (version, n) in &found.versions {
        match version {
            0 => writeln!(world.err, "han-server: team {slug}: {n} value(s) in plaintext")?,
            _ => writeln!(world.err, "han-server: team {slug}: {n} value(s) need content key {version}")?,
        }
    }
    if !found.failures.is_empty() {
        return Err(CommandError::Refused(format!("{} value(s) cannot be opened", found.failures.len())));
    }
    if found.behind() > 0 {
        return Err(CommandError::Refused(format!(
            "{} value(s) need a key that was replaced: a running server re-wraps them, see `han-server keys status`",
            found.behind()
        )));
    }
    writeln!(
        world.err,
        "han-server: team {slug}: opened all {} values; content key {} wraps all that are sealed",
        found.opened, found.active
    )?;
    Ok(())
}

pub(super) async fn content(asked: &Content, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let (form, asked) = match asked {
        Content::Seal(asked) => (Form::Sealed, asked),
        Content::Unseal(asked) => (Form::Plaintext, asked),
    };
    let team = find(&asked.team, db).await?;
    let seals = team.policy(db.plans()).seals_content();
    let Team { id: team_id, slug, .. } = team;
    if form == Form::Plaintext && seals {
        return Err(CommandError::Refused(format!(
            "the plan of {slug} seals content: what is unsealed would be sealed again"
        )));
    }
    conversion::request(db, &team_id, form).await?;
    writeln!(
        world.err,
        "han-server: team {slug}: a running server converts the content to {}",
        form.as_str()
    )?;
    Ok(())
}

pub(super) async fn delete(asked: &DeleteTeam, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let Team { id: team_id, slug, .. } = find(&asked.team, db).await?;
    if asked.confirm != slug {
        return Err(CommandError::Refused(format!(
            "this destroys the keys of the team {slug}, which nothing restores: repeat its slug with --confirm {slug}"
        )));
    }
    team_deletion::begin(db, &team_id).await?;
    writeln!(
        world.err,
        "han-server: team {slug}: its keys are destroyed; a running server deletes its rows"
    )?;
    Ok(())
}
