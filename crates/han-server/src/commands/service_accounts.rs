//! `han-server service-account`: the accounts of programs. They are made, renamed and removed as an admin of the team would.

use han_db::Db;
use han_db::queries::api_keys::MAX_KEYS;
use han_db::queries::service_accounts::{
    self, AccountChange, AccountKey, MAX_ACCOUNTS, ServiceAccount as Account,
};
use han_db::queries::teams::TeamChange;
use han_types::Scope;
use serde_json::json;

use super::people::check_name;
use super::table::text_table;
use super::{CommandError, ServiceAccount, World, team};

pub(super) async fn run(asked: &ServiceAccount, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    match asked {
        ServiceAccount::Create(asked) => {
            let scope = team::scope(&asked.team, db, world).await?;
            let name = check_name("--name", &asked.name)?;
            let change = service_accounts::create(&scope, db, name).await?;
            let account = changed(change, &asked.team, name)?;
            writeln!(
                world.err,
                "han-server: team {}: created the service account {} ({}); create a key with \
                 `han-server service-account create-key`",
                asked.team, account.name, account.id
            )?;
            Ok(())
        }
        ServiceAccount::List(asked) => {
            let scope = team::scope(&asked.team, db, world).await?;
            let accounts = service_accounts::list(db, scope.team_id()).await?;
            if asked.json {
                let list = accounts.iter().map(|account| {
                    json!({
                        "id": account.id.as_str(),
                        "name": account.name,
                        "createdAt": account.created_at.to_rfc3339(),
                    })
                });
                writeln!(world.out, "{}", serde_json::Value::Array(list.collect()))?;
                return Ok(());
            }
            let rows = accounts
                .into_iter()
                .map(|account| [account.id.to_string(), account.name, account.created_at.to_rfc3339()]);
            write!(world.out, "{}", text_table(["ID", "NAME", "CREATED"], rows))?;
            Ok(())
        }
        ServiceAccount::Rename(asked) => {
            let scope = team::scope(&asked.account.team, db, world).await?;
            let account = find(&asked.account.account, &scope, db).await?;
            let name = check_name("--name", &asked.name)?;
            let change = service_accounts::rename(&scope, db, &account.id, name).await?;
            changed(change, &asked.account.team, name)?;
            writeln!(world.err, "han-server: the service account {} is {name} now", account.name)?;
            Ok(())
        }
        ServiceAccount::Remove(asked) => {
            let scope = team::scope(&asked.team, db, world).await?;
            let account = find(&asked.account, &scope, db).await?;
            match service_accounts::remove(&scope, db, &account.id).await? {
                TeamChange::Done => {}
                _ => return Err(missing(&asked.account, &asked.team)),
            }
            writeln!(
                world.err,
                "han-server: the service account {} is removed, and its keys are revoked; its sessions stay",
                account.name
            )?;
            Ok(())
        }
        ServiceAccount::CreateKey(asked) => {
            let scope = team::scope(&asked.account.team, db, world).await?;
            let account = find(&asked.account.account, &scope, db).await?;
            let name = check_name("--name", &asked.name)?;
            let end = world.clock.now().plus_seconds(asked.expires_days * 86_400);
            match service_accounts::create_key(&scope, db, &account.id, name, end).await? {
                AccountKey::Done(_, key) => {
                    writeln!(
                        world.err,
                        "han-server: the API key of the service account {} (sync:write, until {end}), shown only once:",
                        account.name
                    )?;
                    writeln!(world.out, "{}", key.expose())?;
                    Ok(())
                }
                AccountKey::TooMany => Err(CommandError::Refused(format!(
                    "the service account {} has {MAX_KEYS} keys: revoke one first, with `han-server key revoke`",
                    account.name
                ))),
                AccountKey::NotFound | AccountKey::NotAllowed => {
                    Err(missing(&asked.account.account, &asked.account.team))
                }
            }
        }
    }
}

/// The service account with this name or id.
async fn find(name: &str, scope: &Scope, db: &Db) -> Result<Account, CommandError> {
    let accounts = service_accounts::list(db, scope.team_id()).await?;
    let found = accounts.into_iter().find(|account| account.name == name || account.id.as_str() == name);
    found.ok_or_else(|| missing(name, scope.team_id().as_str()))
}

fn missing(account: &str, team: &str) -> CommandError {
    CommandError::Refused(format!(
        "the team {team} has no service account {account:?}: see `han-server service-account list`"
    ))
}

fn changed(change: AccountChange, team: &str, name: &str) -> Result<Account, CommandError> {
    match change {
        AccountChange::Done(account) => Ok(account),
        AccountChange::NameTaken => Err(CommandError::Refused(format!(
            "the team {team} has a service account {name:?}: choose another --name"
        ))),
        AccountChange::TooMany => Err(CommandError::Refused(format!(
            "the team {team} has {MAX_ACCOUNTS} service accounts: remove one first"
        ))),
        AccountChange::NotFound | AccountChange::NotAllowed => Err(missing(name, team)),
    }
}
