//! The address of this server as browsers spell it.

use std::net::SocketAddr;

use axum::http::Uri;

/// Scheme, host and port, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Parses an address such as `https://han.example.com`; drops a trailing slash. `None` unless it is an http or https
    /// address without a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.trim().parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let is_plain =
            matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
        if !matches!(scheme, "http" | "https") || !is_plain {
            return None;
        }
        // An Origin header omits the default port of the scheme (RFC 6454, section 6.2).
        let default_port = if scheme == "https" { 443 } else { 80 };
        let port = uri.port_u16().filter(|port| *port != default_port);
        let host = authority.host().to_ascii_lowercase();
        Some(Self(match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }

    /// The address of a listener, for a server without `PUBLIC_URL`.
    #[must_use]
    pub fn of_listener(address: SocketAddr) -> Self {
        let host = match address {
            // A browser cannot open a wildcard address.
            _ if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self(format!("http://{host}:{}", address.port()))
    }

    /// As an `Origin` header spells it: no trailing slash, no default port.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0
    }

    /// Whether browsers reach it over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}
