//! The address of the client. Behind proxies it is in `X-Forwarded-For`, which any client can forge: only the entries that
//! the configured number of proxies added are trusted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use han_http::Connection;

use crate::state::AppState;

const FORWARDED: &str = "x-forwarded-for";

/// The address behind `hops` proxies. Each proxy appends the address of its peer, so the entry of the outermost trusted
/// proxy is the `hops`-th from the end. If there are fewer entries, or it is not an address, the peer's address counts.
pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, hops: usize) -> IpAddr {
    let Some(skip) = hops.checked_sub(1) else { return peer.to_canonical() };
    let values = headers.get_all(FORWARDED).iter().rev();
    let mut entries = values.flat_map(|value| value.to_str().unwrap_or("").rsplit(','));
    entries.nth(skip).and_then(read).unwrap_or(peer).to_canonical()
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1` or `[2001:db8::1]:443`.
fn read(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The client's address of a request.
pub(crate) fn of_request(state: &AppState, headers: &HeaderMap, connection: Option<&Connection>) -> IpAddr {
    static WARNED: Once = Once::new();
    if state.config.http.trusted_proxies == 0 && headers.contains_key(FORWARDED) {
        WARNED.call_once(|| {
            tracing::warn!(
                "a request has X-Forwarded-For, which is ignored: behind a proxy, set HAN_TRUSTED_PROXIES, or all its \
                 clients share one rate limit"
            );
        });
    }
    let peer = connection.map_or(IpAddr::from([0, 0, 0, 0]), |connection| connection.peer().ip());
    of(peer, headers, state.config.http.trusted_proxies)
}

/// Extracts the client's address of a request.
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl FromRequestParts<AppState> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Self::Rejection> {
        Ok(Self(of_request(state, &parts.headers, parts.extensions.get())))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::of;

    #[test]
    fn only_entries_of_trusted_proxies_are_used() {
        let peer = "10.0.0.1".parse().unwrap();
        for (hops, lines, expected) in [
            (0, &["6.6.6.6"][..], "10.0.0.1"),
            (1, &[], "10.0.0.1"),
            (1, &["192.0.2.1"], "192.0.2.1"),
            (1, &["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (1, &["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
            (2, &["6.6.6.6, 192.0.2.1, 10.0.0.9"], "192.0.2.1"),
            (2, &["6.6.6.6, 192.0.2.1", "10.0.0.9"], "192.0.2.1"),
            (2, &["192.0.2.1"], "10.0.0.1"),
            (1, &["unknown"], "10.0.0.1"),
            (1, &["192.0.2.1:4711"], "192.0.2.1"),
            (1, &["[2001:db8::1]:443"], "2001:db8::1"),
            (1, &["2001:db8::1"], "2001:db8::1"),
            (1, &["::ffff:192.0.2.1"], "192.0.2.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(of(peer, &headers, hops).to_string(), expected, "{hops} {lines:?}");
        }
    }
}
