//! The commands that create users, teams and credentials: how the first user of a new server signs in.

use han_db::Db;
use han_db::entities::{Team, TeamMembership, User};
use han_db::queries::api_keys::NewApiKey;
use han_db::queries::{api_keys, login_links, memberships, teams, users};
use han_types::{Role, is_visible};

use super::{CommandError, CreateKey, LoginLink, Person, World};
use crate::auth::login_link;
use crate::config::Config;

/// The default names of the first user and team.
const FIRST_USER: &str = "admin";
const FIRST_TEAM: &str = "team";

/// The scopes an API key can have.
const SCOPES: [&str; 2] = ["read", "sync:write"];

/// The longest name, in bytes.
const MAX_NAME: usize = 100;

/// The most users that a message names.
const NAMED_USERS: u32 = 5;

pub(super) async fn login_link(
    asked: &LoginLink,
    config: &Config,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let user = match begin_if_empty(&asked.person, db, world).await? {
        Some((user, _)) => user,
        None => {
            let user = user_for(&asked.person, db, world).await?;
            if asked.person.team.is_some() {
                team_for(&asked.person, &user, db, world).await?;
            }
            user
        }
    };
    let token = login_links::create(db, &user.id).await?;
    writeln!(world.out, "{}", login_link::url(&config.link_base(), &token))?;
    Ok(())
}

pub(super) async fn create_key(
    asked: &CreateKey,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let scopes = check_scopes(&asked.scopes)?;
    let name = check_name("--name", &asked.name)?;
    let (user, team) = match begin_if_empty(&asked.person, db, world).await? {
        Some(made) => made,
        None => {
            let user = user_for(&asked.person, db, world).await?;
            let team = team_for(&asked.person, &user, db, world).await?;
            (user, team)
        }
    };
    let end = world.clock.now().plus_seconds(asked.expires_days * 86_400);
    let new =
        NewApiKey { team_id: &team.id, user_id: &user.id, name, scopes: &scopes, expires_at: Some(end) };
    let (_, key) = api_keys::create_for(db, &new).await?;
    writeln!(
        world.err,
        "han-server: the API key of {} for the team {} ({scopes}, until {end}), shown only once:",
        user.username, team.slug
    )?;
    writeln!(world.out, "{}", key.expose())?;
    Ok(())
}

/// On an empty database, creates the first user and team.
async fn begin_if_empty(
    asked: &Person,
    db: &Db,
    world: &mut World<'_>,
) -> Result<Option<(User, Team)>, CommandError> {
    if !users::oldest(db, 1).await?.is_empty() {
        return Ok(None);
    }
    let user = check_name("--user", asked.user.as_deref().unwrap_or(FIRST_USER))?;
    let team = check_name("--team", asked.team.as_deref().unwrap_or(FIRST_TEAM))?;
    let (user, team) = teams::create_with_user(db, user, team).await?;
    writeln!(
        world.err,
        "han-server: the database was empty: created the user {} and the team {}",
        user.username, team.slug
    )?;
    Ok(Some((user, team)))
}

/// The user of that name or id, or the only user.
pub(super) async fn existing_user(asked: Option<&str>, db: &Db) -> Result<User, CommandError> {
    let Some(name) = asked else {
        let mut users = users::oldest(db, 2).await?;
        return match (users.pop(), users.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => {
                Err(CommandError::Refused("there are several users: select one with --user NAME".to_owned()))
            }
        };
    };
    if let Some(user) = find_user(name, db).await? {
        return Ok(user);
    }
    let oldest = users::oldest(db, NAMED_USERS).await?;
    let names: Vec<&str> = oldest.iter().map(|user| user.username.as_str()).collect();
    Err(CommandError::Refused(format!(
        "the user {name:?} does not exist: check --user (the oldest users: {}); `login-link` and `key create` make \
         a user with --create",
        names.join(", ")
    )))
}

/// The user of that name or id, also one as GraphQL shows it; names are not unique.
async fn find_user(name: &str, db: &Db) -> Result<Option<User>, CommandError> {
    let mut named = users::by_name(db, name).await?;
    if named.len() > 1 {
        let ids: Vec<String> = named.iter().map(|user| user.id.to_string()).collect();
        return Err(CommandError::Refused(format!(
            "several users have the name {name:?}: select one by its id, {}",
            ids.join(" or ")
        )));
    }
    match (named.pop(), name.strip_prefix("User:").unwrap_or(name).parse()) {
        (Some(user), _) => Ok(Some(user)),
        (None, Ok(id)) => {
            let found = users::person_by_id(db, &id).await?;
            if found.is_none() && users::by_id(db, &id).await?.is_some() {
                return Err(CommandError::Refused(format!(
                    "{name} is a service account, which has neither a sign-in nor keys of a person: admins make its \
                     keys in the dashboard's API (docs/TEAMS.md)"
                )));
            }
            Ok(found)
        }
        (None, Err(_)) => Ok(None),
    }
}

async fn user_for(asked: &Person, db: &Db, world: &mut World<'_>) -> Result<User, CommandError> {
    let new = match asked.user.as_deref().filter(|_| asked.create) {
        Some(name) if find_user(name, db).await?.is_none() => name,
        _ => return existing_user(asked.user.as_deref(), db).await,
    };
    if asked.team.is_none() {
        return Err(CommandError::Refused(format!(
            "the user {new:?} does not exist: name a team for the new user with --team"
        )));
    }
    let user = users::create(db, check_name("--user", new)?).await?;
    writeln!(world.err, "han-server: created the user {}", user.username)?;
    Ok(user)
}

async fn team_for(asked: &Person, user: &User, db: &Db, world: &mut World<'_>) -> Result<Team, CommandError> {
    let memberships = memberships::list(db, &user.id).await?;
    let Some(name) = asked.team.as_deref() else { return only_team(memberships, user) };
    // A name finds the team that was created with it, so that a repeated `--create` creates nothing.
    let slug = teams::slug_of(name);
    if let Some(found) = memberships.into_iter().find(|found| found.team.slug == slug) {
        return Ok(found.team);
    }
    let refused = |why: &str| CommandError::Refused(format!("{why}: add --create to create it"));
    match teams::by_slug(db, &slug).await? {
        Some(team) if asked.create => {
            memberships::put(db, &team.id, &user.id, Role::Member).await?;
            writeln!(world.err, "han-server: added {} to the team {}", user.username, team.slug)?;
            Ok(team)
        }
        Some(_) => {
            Err(refused(&format!("the membership of {} in the team {slug} does not exist", user.username)))
        }
        None if asked.create => {
            let team = teams::create(db, check_name("--team", name)?, &user.id).await?;
            writeln!(world.err, "han-server: created the team {}", team.slug)?;
            Ok(team)
        }
        None => Err(refused(&format!("the team {name:?} does not exist"))),
    }
}

fn only_team(memberships: Vec<TeamMembership>, user: &User) -> Result<Team, CommandError> {
    let slugs: Vec<String> = memberships.iter().map(|found| found.team.slug.clone()).collect();
    let mut memberships = memberships;
    match (memberships.pop(), memberships.is_empty()) {
        (Some(only), true) => Ok(only.team),
        (None, _) => {
            Err(CommandError::Refused(format!("{} is in no team: name one with --team", user.username)))
        }
        _ => Err(CommandError::Refused(format!(
            "{} is in several teams: select one with --team, {}",
            user.username,
            slugs.join(" or ")
        ))),
    }
}

pub(super) fn check_name<'a>(flag: &str, name: &'a str) -> Result<&'a str, CommandError> {
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.len() > MAX_NAME || !trimmed.chars().all(is_visible) {
        return Err(CommandError::Refused(format!(
            "{flag} must have 1 to {MAX_NAME} bytes and no control or direction characters"
        )));
    }
    Ok(trimmed)
}

/// The scopes in their canonical form: each once, separated by a space.
fn check_scopes(text: &str) -> Result<String, CommandError> {
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    if words.is_empty() || words.iter().any(|word| !SCOPES.contains(word)) {
        return Err(CommandError::Refused(format!("--scopes must be one or more of {}", SCOPES.join(", "))));
    }
    Ok(SCOPES.into_iter().filter(|scope| words.contains(scope)).collect::<Vec<_>>().join(" "))
}
