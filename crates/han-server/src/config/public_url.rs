//! The address of this server as browsers spell it.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

/// Scheme, host and port, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Parses an address such as `https://han.example.com`; drops a trailing slash and the scheme's own port. `None` unless
    /// the text is an http or https origin as browsers spell it (RFC 6454, section 6.2), apart from these and from capital
    /// letters: host names outside ASCII and IP addresses in other notations have to be written as browsers send them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        // `Url` accepts characters in hosts that mean something else in lists of origins and in policies.
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
        let own_port = if url.scheme() == "https" { ":443" } else { ":80" };
        let origin = url.origin().ascii_serialization();
        let is_exact = text == origin || text.strip_suffix(own_port) == Some(&origin);
        let is_plain = url.host_str()?.chars().all(is_host) && url.port() != Some(0);
        (is_exact && is_plain).then_some(Self(origin))
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

    /// Whether only this machine reaches it: `localhost`, or a loopback address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let url = Url::parse(&self.0).ok();
        let Some(host) = url.as_ref().and_then(Url::host_str) else { return false };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }

    /// Whether browsers reach it over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}
