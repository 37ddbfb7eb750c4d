//! Plans and how they are enforced: `plans` has what the server says about them, `middleware` the points at which requests
//! pass them. What each plan allows is `han_types::Policy`; the limits on members and sessions are checked in the
//! transactions of han-db that add them.

pub(crate) mod middleware;
pub(crate) mod plans;
