//! Who a caller is, as far as the transports need to know: the trait that a program implements, and how a request is
//! authenticated with it. What a credential looks like and how it is verified is the program's business.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use han_api::RequestContext;
use han_types::{Actor, RequestId, UserId};
use serde_json::{Map, Value};

use crate::listener::Connection;
use crate::problem::Problem;

/// Authentication of HTTP requests and WebSockets.
///
/// A request is served in this order: the credential is read ([`presented`](Self::presented)), another site's influence
/// is ruled out ([`approve_request`](Self::approve_request)), the credential is verified ([`verify`](Self::verify)), and
/// the actor gets the scope of one team ([`context`](Self::context)). A WebSocket does the same with its handshake and
/// its `connection_init` message, and reads the caller's rights again ([`still_holds`](Self::still_holds)) from time to
/// time and whenever [`access_changes`](Self::access_changes) reports that they may have changed.
pub trait Authenticate: Clone + Send + Sync + 'static {
    /// A credential as it was sent, not yet verified.
    type Presented: Send + Sync + 'static;

    /// Reports whose rights have changed; one for each socket.
    type AccessChanges: AccessChanges;

    /// The credential in the headers of a request or of a WebSocket handshake, if there is one.
    ///
    /// # Errors
    /// If there are several, or one that is malformed.
    fn presented(&self, headers: &HeaderMap) -> Result<Option<Self::Presented>, Problem>;

    /// The credential in the payload of a WebSocket's `connection_init` message, if there is one.
    ///
    /// # Errors
    /// If it is malformed.
    fn presented_in_init(&self, payload: &Map<String, Value>) -> Result<Option<Self::Presented>, Problem>;

    /// Refuses a request that another site may have caused. Matters for a credential that the browser adds by itself.
    ///
    /// # Errors
    /// If the request does not prove where it comes from.
    fn approve_request(
        &self,
        presented: &Self::Presented,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), Problem>;

    /// The same for the handshake of a WebSocket whose headers carry `presented`.
    ///
    /// # Errors
    /// If the handshake does not prove where it comes from.
    fn approve_socket(&self, presented: &Self::Presented, headers: &HeaderMap) -> Result<(), Problem>;

    /// The id of the request or of the handshake. [`observe`](crate::observe::observe) has put it into the headers.
    fn request_id(&self, headers: &HeaderMap) -> RequestId;

    /// The address of the client behind a request or a handshake. Behind a proxy, that is not the connection's peer.
    fn client(&self, headers: &HeaderMap, connection: Option<&Connection>) -> IpAddr {
        let _ = headers;
        connection.map_or(IpAddr::from([0, 0, 0, 0]), |connection| connection.peer().ip())
    }

    /// The actor behind a credential. The request or the handshake has been approved; `request_id` is its id, which the
    /// actor carries.
    ///
    /// # Errors
    /// If the credential is not valid, or cannot be verified now.
    fn verify(
        &self,
        presented: &Self::Presented,
        request_id: &RequestId,
    ) -> impl Future<Output = Result<Actor, Problem>> + Send;

    /// As [`verify`](Self::verify), for a credential in a message of a socket, whose client has this address.
    ///
    /// # Errors
    /// As there, and if the client makes too many attempts.
    fn verify_on_socket(
        &self,
        presented: &Self::Presented,
        request_id: &RequestId,
        client: IpAddr,
    ) -> impl Future<Output = Result<Actor, Problem>> + Send {
        let _ = client;
        self.verify(presented, request_id)
    }

    /// Counts an operation of a socket like a request.
    ///
    /// # Errors
    /// If the client or the actor has made too many.
    fn count_operation(&self, client: IpAddr, actor: &Actor) -> Result<(), Problem> {
        let _ = (client, actor);
        Ok(())
    }

    /// What the actor's operations run with: the scope of the one team that the credential leads to, if any.
    ///
    /// # Errors
    /// If the membership cannot be read now.
    fn context(&self, actor: Actor) -> impl Future<Output = Result<RequestContext, Problem>> + Send;

    /// Whether the credential is still valid and still leads to the same team in the same role. An implementation that
    /// cannot find out now logs the reason and returns `true`: it is asked again later.
    fn still_holds(&self, context: &RequestContext) -> impl Future<Output = bool> + Send;

    /// Reports of changed rights from this call on.
    fn access_changes(&self) -> Self::AccessChanges;
}

/// A source of reports that rights have changed.
pub trait AccessChanges: Send + 'static {
    /// Waits for the next report; forever if none ever comes. Dropping the future loses no report.
    fn next(&mut self) -> impl Future<Output = Affected> + Send;
}

/// Whose rights may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// This user's.
    User(Arc<UserId>),
    /// Any user's: reports may have been missed.
    Anyone,
}

/// For programs whose callers' rights never change.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAccessChanges;

impl AccessChanges for NoAccessChanges {
    async fn next(&mut self) -> Affected {
        std::future::pending().await
    }
}

/// Authenticates an HTTP request.
///
/// # Errors
/// If no credential was sent, the request may come from another site, or the credential is not valid.
pub async fn authenticate<S: Authenticate>(
    state: &S,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Actor, Problem> {
    let presented = presented(state, method, headers)?;
    state.verify(&presented, &state.request_id(headers)).await
}

/// The credential of an HTTP request that no other site has caused, not yet verified.
///
/// # Errors
/// If no credential was sent, or the request may come from another site.
pub fn presented<S: Authenticate>(
    state: &S,
    method: &Method,
    headers: &HeaderMap,
) -> Result<S::Presented, Problem> {
    let presented = state.presented(headers)?.ok_or_else(Problem::no_credential)?;
    state.approve_request(&presented, method, headers)?;
    Ok(presented)
}

/// The answer to a request that carries more than one credential.
#[must_use]
pub fn two_credentials() -> Problem {
    Problem::bad_request(
        "two credentials came with the request: send one, an Authorization header or the cookie",
    )
}

/// The verified actor behind a request. As an extractor it runs before the body is read.
pub(crate) struct Verified(pub(crate) Actor);

impl<S: Authenticate> FromRequestParts<S> for Verified {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        authenticate(state, &parts.method, &parts.headers).await.map(Self)
    }
}
