//! Asks the server of the same environment for its health, so that a container needs no other program for that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{CommandError, Health, World};
use crate::config::Config;

/// The longest time of the request.
const TIMEOUT: Duration = Duration::from_secs(4);

pub(super) async fn run(asked: &Health, world: &mut World<'_>) -> Result<(), CommandError> {
    let mut address = Config::listen_address(world.lookup)?;
    if address.port() == 0 {
        return Err(CommandError::Refused(
            "the port is 0, so the server has selected one: set HAN_LISTEN or PORT to its port".to_owned(),
        ));
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let url = format!("http://{address}/{}", if asked.ready { "ready" } else { "health" });
    // A proxy of the environment is for other hosts.
    let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
    let found = match http {
        Ok(http) => http.get(&url).send().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(response) if response.status().is_success() => {
            writeln!(world.out, "{url} responds {}", response.status())?;
            Ok(())
        }
        Ok(response) => Err(CommandError::Refused(format!(
            "{url} responds {}: the server's log says why",
            response.status()
        ))),
        Err(error) => Err(CommandError::Refused(format!(
            "{url} does not respond ({}): check that the server runs, and that HAN_LISTEN and PORT are the server's",
            cause(&error)
        ))),
    }
}

/// The innermost cause: the outer ones only repeat the address.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
