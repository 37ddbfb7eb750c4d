//! The HTTP client for calls to other services (GitHub, Stripe).

use std::time::Duration;

use reqwest::redirect;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client whose calls end after `timeout`, and that follows no redirect. `is_plain` says that it only calls addresses of
/// plain http, which need no CA certificates.
///
/// # Errors
/// If TLS cannot be set up, usually because the machine has no CA certificates.
pub(crate) fn client(timeout: Duration, is_plain: bool) -> reqwest::Result<reqwest::Client> {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("han-server/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
    };
    match builder().build() {
        Err(_) if is_plain => builder().tls_certs_only([]).build(),
        built => built,
    }
}
