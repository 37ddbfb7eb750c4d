//! Authentication: API keys, access tokens and browser sessions, and the routes that issue them. What an actor may
//! access is decided in `han_db::queries::memberships`.

pub(crate) mod api_key;
pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod device;
mod form;
pub mod github;
pub(crate) mod invite;
pub mod jwt;
pub(crate) mod login_link;
pub(crate) mod middleware;
pub(crate) mod oauth;
pub(crate) mod return_to;
pub(crate) mod sign_in;
pub(crate) mod tokens;
