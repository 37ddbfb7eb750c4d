//! The owners of imported sessions: who they are in the team, and making those who are missing.

use std::collections::{BTreeMap, BTreeSet};

use han_types::export::{ExportUser, OwnerKind};
use han_types::{Role, TeamId, UserId, new_row_id};

use crate::entities::User;
use crate::queries::audit::{Entry, Event};
use crate::queries::memberships::insert_member;
use crate::queries::service_accounts::{self, MAX_ACCOUNTS, ServiceAccount};
use crate::queries::{teams, users};
use crate::team_numbers::TeamNumber;
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// What becomes of the owners of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Who they are in the team, in the order of the export; and who of them were made, or added to the team.
    Found {
        /// The users.
        users: Vec<UserId>,
        /// The names of those who were added.
        added: Vec<String>,
    },
    /// The team lacks these, and nothing was changed.
    Missing(Vec<String>),
    /// Several members have this name, or a member has it and several users of the export.
    Ambiguous(String),
    /// The team would have more than [`MAX_ACCOUNTS`] service accounts.
    TooManyAccounts,
}

/// The user who owns the sessions of an exported one.
enum Owner {
    Found(UserId),
    /// It is to be made, or added to the team, under this id.
    New(UserId),
    Ambiguous,
}

/// Finds the owners of an export in a team: a member with the same id, else one with the same name; for a service account,
/// one of the team. With `create`, those who are missing are made, all or none. The caller is the operator.
///
/// # Errors
/// [`DbError::RowMissing`] where there is no such team.
pub async fn owners(
    db: &Db,
    team_id: &TeamId,
    exported: &[(UserId, &ExportUser)],
    create: bool,
) -> Result<Owners, DbError> {
    let number = db.team_number(team_id).await?;
    let owners = db
        .write_system("imports.owners", |tx| async move {
            teams::lock(&tx, team_id).await?;
            // Whom a user of the export is by id, no other one is by name.
            let ids: BTreeSet<&UserId> = exported.iter().map(|(id, _)| id).collect();
            let mut found = Vec::new();
            for (id, user) in exported {
                // Service accounts of one name are one that was removed and made again.
                let same =
                    |(_, other): &&(UserId, &ExportUser)| other.name == user.name && other.kind == user.kind;
                let named_alone =
                    user.kind == OwnerKind::Service || exported.iter().filter(same).count() == 1;
                found.push(match find(&tx, number, id, user, &ids, named_alone).await? {
                    Owner::Ambiguous => return Ok(Owners::Ambiguous(user.name.clone())),
                    owner => owner,
                });
            }
            let is_new = |owner: &Owner| matches!(owner, Owner::New(_));
            let new =
                || found.iter().zip(exported).filter(|(owner, _)| is_new(owner)).map(|(_, (_, user))| user);
            if !create && found.iter().any(is_new) {
                return Ok(Owners::Missing(new().map(|user| user.name.clone()).collect()));
            }
            let programs = new().filter(|user| user.kind == OwnerKind::Service);
            let programs = programs.map(|user| &user.name).collect::<BTreeSet<_>>().len();
            if programs > 0 {
                let sql = "SELECT id FROM users WHERE service_team = $1 AND removed_at IS NULL";
                if tx.rows(sql, [number.into()]).await?.len() + programs > MAX_ACCOUNTS {
                    return Ok(Owners::TooManyAccounts);
                }
            }
            let (mut users, mut added) = (Vec::new(), Vec::new());
            let mut accounts: BTreeMap<&str, UserId> = BTreeMap::new();
            for (owner, (_, user)) in found.into_iter().zip(exported) {
                users.push(match owner {
                    Owner::New(id) => {
                        if user.kind == OwnerKind::Service {
                            if let Some(made) = accounts.get(user.name.as_str()) {
                                users.push(made.clone());
                                continue;
                            }
                            accounts.insert(&user.name, id.clone());
                        }
                        add(&tx, team_id, number, &id, user).await?;
                        added.push(user.name.clone());
                        id
                    }
                    Owner::Found(id) => id,
                    Owner::Ambiguous => return Ok(Owners::Ambiguous(user.name.clone())),
                });
            }
            Ok(Owners::Found { users, added })
        })
        .await?;
    db.rights_changed();
    Ok(owners)
}

/// `ids` are those of all users of the export; `named_alone`: no other one of them has the name.
async fn find(
    tx: &SystemTx,
    team: TeamNumber,
    id: &UserId,
    user: &ExportUser,
    ids: &BTreeSet<&UserId>,
    named_alone: bool,
) -> Result<Owner, DbError> {
    // Those of the team who may own sessions: its members, and its service accounts.
    let of_team = "SELECT u.id FROM users u WHERE (EXISTS (SELECT 1 FROM team_members m WHERE m.team = $1 \
                     AND m.user_id = u.id) OR (u.service_team = $1 AND u.removed_at IS NULL))";
    let kind = match user.kind {
        OwnerKind::Person => "person",
        OwnerKind::Service => "service",
    };
    let of_kind = async |condition: &str, value: &str| -> Result<Vec<UserId>, DbError> {
        let sql = format!("{of_team} AND {condition} AND u.kind = '{kind}'");
        users::ids(tx, &sql, [team.into(), value.into()]).await
    };
    if let Some(found) = of_kind("u.id = $2", id.as_str()).await?.pop() {
        return Ok(Owner::Found(found));
    }
    let mut named = of_kind("u.username = $2", &user.name).await?;
    // A service account may be there again under another id.
    named.retain(|found| user.kind == OwnerKind::Service || !ids.contains(found));
    match (named.pop(), named.pop()) {
        (Some(found), None) if named_alone => return Ok(Owner::Found(found)),
        (Some(_), _) => return Ok(Owner::Ambiguous),
        _ => {}
    }
    // A person of this server can be in several teams. A service account belongs to one: it gets another id here, as does
    // a person whose id a service account has.
    let known = "SELECT id, kind FROM users WHERE id = $1";
    let taken = match (user.kind, tx.rows(known, [id.as_str().into()]).await?.pop()) {
        (_, None) => false,
        (OwnerKind::Service, Some(_)) => true,
        (OwnerKind::Person, Some(row)) => row.try_get::<String>("", "kind")? == "service",
    };
    Ok(Owner::New(if taken { new_row_id(tx.clock(), tx.entropy()).try_into()? } else { id.clone() }))
}

/// Adds an owner to the team; makes the user if there is none with the id.
async fn add(
    tx: &SystemTx,
    team_id: &TeamId,
    team: TeamNumber,
    id: &UserId,
    user: &ExportUser,
) -> Result<(), DbError> {
    let log = tx.log_of(team_id, team);
    let created_at = tx.clock().now();
    if user.kind == OwnerKind::Service {
        let account = ServiceAccount { id: id.clone(), name: user.name.clone(), created_at };
        service_accounts::insert(tx, team, &account).await?;
        return log.write(Entry::new(Event::ServiceAccountCreated).about_user(id)).await;
    }
    let known = "SELECT id FROM users WHERE id = $1";
    if tx.rows(known, [id.as_str().into()]).await?.is_empty() {
        let username = user.name.clone();
        let person = User { id: id.clone(), username, avatar_url: None, email: None, created_at };
        users::insert_user(tx, &person).await?;
    }
    insert_member(tx, team, id, Role::Member).await?;
    let entry = Entry::new(Event::MemberJoined).about_user(id).with("role", Role::Member.as_str());
    log.write(entry).await
}
