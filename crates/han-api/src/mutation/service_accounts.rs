//! Service accounts of a team, and their keys. Only admins; han-db checks that in the transaction that makes the change.

use async_graphql::{Context, ID, Object};
use han_db::queries::api_keys::MAX_KEYS;
use han_db::queries::service_accounts::{self, AccountChange, AccountKey, MAX_ACCOUNTS, MAX_KEY_DAYS};
use han_db::queries::teams::TeamChange;
use han_types::{GlobalId, UserId};

use crate::error::{ApiError, Result};
use crate::team::{self, ONLY_ADMINS};
use crate::types::team::{ApiKey, NewApiKey, ServiceAccount};

const ACCOUNT: &str = "service account";

#[derive(Debug, Default)]
pub(crate) struct ServiceAccountsMutation;

/// Service accounts, which are programs that push sessions.
#[Object]
impl ServiceAccountsMutation {
    /// Creates a service account: a user that is a program, such as a CI job. It belongs to this team, takes no seat, cannot
    /// sign in, and pushes sessions with its own API keys. Its name is shown as the author of its sessions. Only for admins.
    async fn create_service_account(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        name: String,
    ) -> Result<Option<ServiceAccount>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        changed(service_accounts::create(&scope, db, team::name("name", &name)?).await?).map(Some)
    }

    /// Renames a service account. Its sessions show the new name. Only for admins.
    async fn rename_service_account(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "The account's id, global or raw.")] service_account_id: ID,
        name: String,
    ) -> Result<Option<ServiceAccount>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let id = account_id(&service_account_id)?;
        changed(service_accounts::rename(&scope, db, &id, team::name("name", &name)?).await?).map(Some)
    }

    /// Removes a service account: its keys end at once; the sessions that it pushed remain, with its name. Only for admins.
    async fn remove_service_account(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "The account's id, global or raw.")] service_account_id: ID,
    ) -> Result<Option<bool>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let change = match account_id(&service_account_id) {
            Ok(id) => service_accounts::remove(&scope, db, &id).await?,
            Err(_) => TeamChange::NotFound,
        };
        team::changed(change, ACCOUNT)?;
        Ok(Some(true))
    }

    /// Creates an API key of a service account. It allows `sync:write` only. The response is the only time that the key is
    /// shown. Only for admins.
    async fn create_service_account_key(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "The account's id, global or raw.")] service_account_id: ID,
        name: String,
        #[graphql(desc = "The number of days until it expires, 1 to 366.")] expires_in_days: i32,
    ) -> Result<Option<NewApiKey>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let (id, name) = (account_id(&service_account_id)?, team::name("name", &name)?);
        let now = db.clock().now();
        let days = i64::from(expires_in_days);
        if !(1..=MAX_KEY_DAYS).contains(&days) {
            return Err(ApiError::bad("expiresInDays", format!("it must be 1 to {MAX_KEY_DAYS}")));
        }
        match service_accounts::create_key(&scope, db, &id, name, now.plus_seconds(days * 86_400)).await? {
            AccountKey::Done(row, token) => {
                Ok(Some(NewApiKey { api_key: ApiKey::new(*row, now), secret: token.expose().to_owned() }))
            }
            AccountKey::NotAllowed => Err(ONLY_ADMINS),
            AccountKey::NotFound => Err(ApiError::NotFound(ACCOUNT)),
            AccountKey::TooMany => {
                Err(team::conflict(format!("the service account has {MAX_KEYS} keys: revoke one first")))
            }
        }
    }
}

fn account_id(text: &str) -> Result<UserId> {
    GlobalId::raw("User", text).parse().map_err(|_| ApiError::NotFound(ACCOUNT))
}

fn changed(change: AccountChange) -> Result<ServiceAccount> {
    match change {
        AccountChange::Done(account) => Ok(account.into()),
        AccountChange::NotAllowed => Err(ONLY_ADMINS),
        AccountChange::NotFound => Err(ApiError::NotFound(ACCOUNT)),
        AccountChange::NameTaken => {
            Err(team::conflict("another service account of the team has this name: choose another one"))
        }
        AccountChange::TooMany => Err(team::conflict(format!(
            "the team has {MAX_ACCOUNTS} service accounts: remove one first, or use one for several programs"
        ))),
    }
}
