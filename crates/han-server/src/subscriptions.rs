//! How this server authenticates requests and sockets for han-http's transports, and how a socket learns that its
//! caller's rights have changed: from the broadcast channel that LISTEN/NOTIFY feeds.

use std::net::IpAddr;

use axum::extract::FromRef;
use axum::http::{HeaderMap, Method};
use han_api::RequestContext;
use han_db::DbError;
use han_db::changes::DbChangeEvent;
use han_db::queries::{credentials, memberships};
use han_http::authenticate::{AccessChanges, Affected, Authenticate};
use han_http::graphql::Endpoint;
use han_http::{Connection, Problem};
use han_types::{Actor, RequestId};
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::address;
use crate::auth::csrf;
use crate::auth::middleware::{Presented, bearer_token};
use crate::billing::middleware::enter;
use crate::rates;
use crate::state::AppState;

/// A socket's receiver of the changes that `han_db::changes` reports about rights.
pub(crate) struct AccessEvents(broadcast::Receiver<DbChangeEvent>);

impl AccessChanges for AccessEvents {
    async fn next(&mut self) -> Affected {
        match self.0.recv().await {
            Ok(DbChangeEvent::Access(user_id)) => Affected::User(user_id),
            // Reports may have been missed.
            _ => Affected::Anyone,
        }
    }
}

impl FromRef<AppState> for Endpoint {
    fn from_ref(state: &AppState) -> Self {
        state.graphql.clone()
    }
}

impl Authenticate for AppState {
    type Presented = Presented;
    type AccessChanges = AccessEvents;

    fn presented(&self, headers: &HeaderMap) -> Result<Option<Presented>, Problem> {
        Presented::read(self, headers)
    }

    fn presented_in_init(&self, payload: &Map<String, Value>) -> Result<Option<Presented>, Problem> {
        match payload.get("Authorization").or_else(|| payload.get("authorization")) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_str().and_then(bearer_token) {
                Some(token) => Ok(Some(Presented::bearer(token))),
                None => Err(Problem::bad_credential("Authorization must be Bearer")),
            },
        }
    }

    fn approve_request(
        &self,
        presented: &Presented,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        match presented {
            Presented::Bearer(_) => Ok(()),
            Presented::Cookie(_) => csrf::check(method, headers, self.public_url.origin()),
        }
    }

    fn approve_socket(&self, presented: &Presented, headers: &HeaderMap) -> Result<(), Problem> {
        match presented {
            Presented::Bearer(_) => Ok(()),
            Presented::Cookie(_) => csrf::check_socket(headers, self.public_url.origin()),
        }
    }

    fn request_id(&self, headers: &HeaderMap) -> RequestId {
        self.request_ids.of(headers)
    }

    async fn verify(&self, presented: &Presented, request_id: &RequestId) -> Result<Actor, Problem> {
        presented.verify(self, request_id).await
    }

    async fn verify_on_socket(
        &self,
        presented: &Presented,
        request_id: &RequestId,
        client: IpAddr,
    ) -> Result<Actor, Problem> {
        rates::on_socket(client, presented.verify(self, request_id)).await
    }

    fn client(&self, headers: &HeaderMap, connection: Option<&Connection>) -> IpAddr {
        address::of_request(self, headers, connection)
    }

    fn count_operation(&self, client: IpAddr, actor: &Actor) -> Result<(), Problem> {
        match &self.rates {
            Some(rates) => rates.count_operation(client, &actor.user_id, self.clock.now()),
            None => Ok(()),
        }
    }

    async fn context(&self, actor: Actor) -> Result<RequestContext, Problem> {
        let resolved = memberships::scope_for(&self.db, &actor).await?;
        let context = RequestContext::new(actor);
        Ok(match resolved {
            Some(resolved) => context.with_scope(enter(self, resolved)?.scope),
            None => context,
        })
    }

    async fn still_holds(&self, context: &RequestContext) -> bool {
        read_again(self, context).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a socket's credential could not be read again");
            true
        })
    }

    fn access_changes(&self) -> AccessEvents {
        AccessEvents(self.access.subscribe())
    }
}

/// Whether the credential is still valid and still leads to the same team, in the same role.
async fn read_again(state: &AppState, context: &RequestContext) -> Result<bool, DbError> {
    let actor = context.actor();
    if !credentials::is_live(&state.db, actor).await? {
        return Ok(false);
    }
    let Some(scope) = context.scope() else { return Ok(true) };
    let now = memberships::scope_in(&state.db, actor, scope.team_id()).await?;
    Ok(now.is_some_and(|now| now.scope.role() == scope.role()))
}
