//! Who asks: API keys, access tokens, browser sessions, and how a browser gets one. What an actor may touch is
//! decided in `han_db::queries::identity`.

pub(crate) mod api_key;
pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod device;
pub mod github;
pub(crate) mod invite;
pub mod jwt;
pub(crate) mod login_link;
pub(crate) mod middleware;
pub(crate) mod oauth;
pub(crate) mod page;
pub(crate) mod return_to;
pub(crate) mod tokens;
