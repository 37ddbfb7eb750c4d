//! The commands with which an operator sees who has access, and ends it.

use han_db::Db;
use han_db::entities::Team;
use han_db::queries::operators::{self, KeyRow, UserRow};
use han_db::queries::teams::TeamChange;
use han_db::queries::{credentials, teams};
use han_types::{Role, Timestamp};
use serde_json::{Value, json};

use super::people::existing_user;
use super::table::text_table;
use super::{CommandError, ListKeys, Member, OneKey, OneMember, User, World};

/// How many users one statement reads.
const PAGE: u32 = 500;

pub(super) async fn user(asked: &User, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    match asked {
        User::List(listing) => {
            let mut users: Vec<UserRow> = Vec::new();
            loop {
                let page = operators::users(db, users.last().map(|row| &row.user), PAGE).await?;
                if page.is_empty() {
                    break;
                }
                users.extend(page);
            }
            let rows = users.iter().map(|row| {
                [
                    row.user.id.to_string(),
                    row.user.username.clone(),
                    row.github_id.map_or_else(none, |id| id.to_string()),
                    row.user.created_at.to_rfc3339(),
                    row.teams.to_string(),
                    row.sign_ins.to_string(),
                    row.keys.to_string(),
                ]
            });
            let head = ["ID", "NAME", "GITHUB", "CREATED", "TEAMS", "SIGN-INS", "KEYS"];
            print(listing.json, head, rows, users.iter().map(user_json), world)
        }
        User::Revoke(one) => {
            let user = existing_user(Some(&one.user), db).await?;
            let ended = credentials::end_all(db, &user.id).await?;
            writeln!(
                world.err,
                "han-server: signed {} out of {} browser(s) and {} program(s), and revoked {} API key(s); memberships stay",
                user.username, ended.browsers, ended.programs, ended.keys
            )?;
            Ok(())
        }
    }
}

pub(super) async fn member(asked: &Member, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    match asked {
        Member::List(listing) => {
            let team = team(&listing.team, db).await?;
            let members = operators::members(db, &team.id).await?;
            let rows = members.iter().map(|member| {
                [
                    member.user.id.to_string(),
                    member.user.username.clone(),
                    member.role.as_str().to_owned(),
                    member.joined_at.to_rfc3339(),
                ]
            });
            let as_json = members.iter().map(|member| {
                json!({
                    "userId": member.user.id.as_str(),
                    "name": member.user.username,
                    "role": member.role.as_str(),
                    "joinedAt": member.joined_at.to_rfc3339(),
                })
            });
            print(listing.json, ["USER ID", "NAME", "ROLE", "JOINED"], rows, as_json, world)
        }
        Member::Revoke(OneMember { team: slug, user }) => {
            let (team, user) = (team(slug, db).await?, existing_user(Some(user), db).await?);
            let change = operators::remove_member(db, &team.id, &user.id).await?;
            changed(change, &user.username, &team)?;
            writeln!(
                world.err,
                "han-server: {} is no longer a member of {}, and has no API key for it",
                user.username, team.slug
            )?;
            Ok(())
        }
        Member::Promote(OneMember { team: slug, user }) => {
            let (team, user) = (team(slug, db).await?, existing_user(Some(user), db).await?);
            let change = operators::set_role(db, &team.id, &user.id, Role::Admin).await?;
            changed(change, &user.username, &team)?;
            writeln!(world.err, "han-server: {} is an admin of {}", user.username, team.slug)?;
            Ok(())
        }
    }
}

pub(super) async fn revoke_key(one: &OneKey, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let unknown = || {
        let id = &one.key;
        CommandError::Refused(format!("no live API key has the id {id:?}: see `han-server key list`"))
    };
    let id = one.key.parse().map_err(|_| unknown())?;
    if !operators::revoke_key(db, &id).await? {
        return Err(unknown());
    }
    writeln!(world.err, "han-server: the API key {id} is revoked")?;
    Ok(())
}

pub(super) async fn list_keys(
    listing: &ListKeys,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let team = match &listing.team {
        Some(slug) => Some(team(slug, db).await?),
        None => None,
    };
    let user = match &listing.user {
        Some(name) => Some(existing_user(Some(name), db).await?),
        None => None,
    };
    let (team_id, user_id) = (team.as_ref().map(|team| &team.id), user.as_ref().map(|user| &user.id));
    let keys = operators::keys(db, team_id, user_id).await?;
    let time = |time: Option<Timestamp>| time.map_or_else(none, Timestamp::to_rfc3339);
    let rows = keys.iter().map(|key| {
        [
            key.id.to_string(),
            key.name.clone(),
            key.team.clone(),
            key.user.clone(),
            key.scopes.clone(),
            key.created_at.to_rfc3339(),
            time(key.last_used_at),
            time(key.expires_at),
        ]
    });
    let head = ["ID", "NAME", "TEAM", "USER", "SCOPES", "CREATED", "LAST USED", "EXPIRES"];
    print(listing.json, head, rows, keys.iter().map(key_json), world)
}

/// The team with this slug.
async fn team(slug: &str, db: &Db) -> Result<Team, CommandError> {
    let found = teams::by_slug(db, slug).await?;
    found.ok_or_else(|| CommandError::Refused(format!("the team {slug:?} does not exist: check --team")))
}

fn changed(change: TeamChange, user: &str, team: &Team) -> Result<(), CommandError> {
    let slug = &team.slug;
    match change {
        TeamChange::Done => Ok(()),
        TeamChange::LastAdmin => Err(CommandError::Refused(format!(
            "{user} is the only admin of {slug}: make another member an admin first, with `han-server member promote`"
        ))),
        TeamChange::NotFound | TeamChange::NotAllowed => {
            Err(CommandError::Refused(format!("{user} is no member of {slug}: see `han-server member list`")))
        }
    }
}

fn none() -> String {
    "-".to_owned()
}

/// A table, or one line of JSON.
fn print<const N: usize>(
    as_json: bool,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    values: impl Iterator<Item = Value>,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    if as_json {
        writeln!(world.out, "{}", Value::Array(values.collect()))?;
    } else {
        write!(world.out, "{}", text_table(head, rows))?;
    }
    Ok(())
}

fn user_json(row: &UserRow) -> Value {
    json!({
        "id": row.user.id.as_str(),
        "name": row.user.username,
        "githubId": row.github_id,
        "createdAt": row.user.created_at.to_rfc3339(),
        "teams": row.teams,
        "signIns": row.sign_ins,
        "keys": row.keys,
    })
}

fn key_json(key: &KeyRow) -> Value {
    json!({
        "id": key.id.as_str(),
        "name": key.name,
        "team": key.team,
        "user": key.user,
        "scopes": key.scopes,
        "createdAt": key.created_at.to_rfc3339(),
        "lastUsedAt": key.last_used_at.map(Timestamp::to_rfc3339),
        "expiresAt": key.expires_at.map(Timestamp::to_rfc3339),
    })
}
