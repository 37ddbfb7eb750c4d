//! Where the server listens, how clients reach it, and what they may do before they sign in.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use super::public_url::PublicUrl;
use super::variable::{Choice, Describe, Number, Optional, Required, Secret, Variable, VariableReader};

const PUBLIC_URL: Variable<Optional<PublicUrl>> = Variable {
    name: "PUBLIC_URL",
    about: "the address that browsers reach this server at, without a path",
    kind: Optional {
        unset: "the listener's address, on SQLite",
        accepted: "an origin such as https://han.example.com: scheme, host and, if it is not the default one, port",
        parse: PublicUrl::parse,
    },
};

const RAILWAY_DOMAIN: Variable<Optional<PublicUrl>> = Variable {
    name: "RAILWAY_PUBLIC_DOMAIN",
    about: "the domain that Railway sets; PUBLIC_URL takes precedence",
    kind: Optional {
        unset: "",
        accepted: "a domain such as han.up.railway.app",
        parse: |text| PublicUrl::parse(&format!("https://{}", text.trim())),
    },
};

const LISTEN: Variable<Required<SocketAddr>> = Variable {
    name: "HAN_LISTEN",
    about: "the address and port to listen on; port 0 selects a free one",
    kind: Required {
        default: || SocketAddr::from(([127, 0, 0, 1], 8787)),
        accepted: "an address and port, such as 0.0.0.0:8787",
        parse: |text| text.trim().parse().ok(),
    },
};

const PORT: Variable<Optional<u16>> = Variable {
    name: "PORT",
    about: "a port to listen on at every address, for platforms that set it; HAN_LISTEN takes precedence",
    kind: Optional {
        unset: "",
        accepted: "a whole number from 0 to 65535",
        parse: |text| text.trim().parse().ok(),
    },
};

const TRUSTED_PROXIES: Variable<Number<usize>> = Variable {
    name: "HAN_TRUSTED_PROXIES",
    about: "the number of proxies in front of the server that add to X-Forwarded-For",
    kind: Number { default: 0, min: 0, max: 10 },
};

const RATE_LIMITS: Variable<Choice<bool>> =
    Variable { name: "HAN_RATE_LIMITS", about: "whether the rate of requests is limited", kind: Choice::ON };

const METRICS_TOKEN: Variable<Secret> = Variable {
    name: "HAN_METRICS_TOKEN",
    about: "the bearer token that GET /metrics asks for",
    kind: Secret { unset: "metrics are not served" },
};

const RATE_FACTOR: Variable<Number<u32>> = Variable {
    name: "HAN_RATE_FACTOR",
    about: "the factor that all rate limits, and the limits of one address, are multiplied by",
    kind: Number { default: 1, min: 1, max: 1000 },
};

/// What a list of origins consists of.
const ORIGINS: &str = "origins such as https://han.example.com:8443, separated by commas: scheme, host and, if it is not the default \
     one, port; no path, user name or wildcard";

const CORS_ORIGINS: Variable<Optional<Vec<String>>> = Variable {
    name: "HAN_CORS_ORIGINS",
    about: "other origins whose pages may call this server, separated by commas",
    kind: Optional { unset: "", accepted: ORIGINS, parse: origins },
};

const CLIENT_CONNECT_ORIGINS: Variable<Optional<Vec<String>>> = Variable {
    name: "HAN_CLIENT_CONNECT_ORIGINS",
    about: "other origins that the dashboard's pages may connect to (CSP connect-src), separated by commas",
    kind: Optional { unset: "", accepted: ORIGINS, parse: origins },
};

const ENVIRONMENT: Variable<Choice<Environment>> = Variable {
    name: "HAN_ENV",
    about: "development serves GraphiQL at /graphiql",
    kind: Choice {
        default: ("production", Environment::Production),
        others: &[("development", Environment::Development)],
    },
};

const CLIENT_DIR: Variable<Optional<PathBuf>> = Variable {
    name: "HAN_CLIENT_DIR",
    about: "the directory of another built dashboard, to serve from this server's own origin",
    kind: Optional {
        unset: "the dashboard that the program contains",
        accepted: "the directory of a built dashboard, which contains index.html",
        parse: |text| Some(PathBuf::from(text)).filter(|dir| dir.join("index.html").is_file()),
    },
};

const SECURITY_CONTACT: Variable<Optional<String>> = Variable {
    name: "HAN_SECURITY_CONTACT",
    about: "whom to tell about vulnerabilities, for /.well-known/security.txt",
    kind: Optional {
        unset: "",
        accepted: "an address such as mailto:security@example.com or https://example.com/security",
        parse: contact,
    },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[
    &PUBLIC_URL,
    &RAILWAY_DOMAIN,
    &LISTEN,
    &PORT,
    &TRUSTED_PROXIES,
    &RATE_LIMITS,
    &RATE_FACTOR,
    &METRICS_TOKEN,
    &CORS_ORIGINS,
    &ENVIRONMENT,
    &CLIENT_DIR,
    &CLIENT_CONNECT_ORIGINS,
    &SECURITY_CONTACT,
];

/// What the server is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Development: GraphiQL is served.
    Development,
    /// Production: nothing is served that only developers need.
    Production,
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address that browsers use; `None` for that of the listener.
    pub public_url: Option<PublicUrl>,
    /// What the server is used for.
    pub environment: Environment,
    /// A built dashboard to serve.
    pub client_dir: Option<PathBuf>,
    /// Other origins that the dashboard's pages may connect to.
    pub client_connect_origins: Vec<String>,
    /// The factor of all rate limits; `None` if rates are not limited.
    pub rate_factor: Option<u32>,
    /// The token of `GET /metrics`; `None` if it is not served.
    pub metrics_token: Option<SecretString>,
    /// Origins whose pages may read responses.
    pub cors_origins: Vec<String>,
    /// Whom to tell about vulnerabilities.
    pub security_contact: Option<String>,
    /// How many proxies in front of the server add to `X-Forwarded-For`.
    pub trusted_proxies: usize,
}

impl HttpConfig {
    /// `on_sqlite`: a server on SQLite may run without a `PUBLIC_URL`, as may a development server.
    pub(super) fn read(reader: &mut VariableReader<'_>, on_sqlite: bool) -> Self {
        let environment = reader.value(&ENVIRONMENT);
        let is_set = reader.text(PUBLIC_URL.name).is_some() || reader.text(RAILWAY_DOMAIN.name).is_some();
        if !is_set && !on_sqlite && environment == Environment::Production {
            reader.problem(
                "PUBLIC_URL is missing: set it to the address that browsers reach this server at, such as \
                 https://han.example.com"
                    .to_owned(),
            );
        }
        let limited = reader.value(&RATE_LIMITS);
        let factor = reader.value(&RATE_FACTOR);
        Self {
            listen: read_listen(reader),
            public_url: read_public_url(reader),
            environment,
            client_dir: reader.value(&CLIENT_DIR),
            client_connect_origins: reader.value(&CLIENT_CONNECT_ORIGINS).unwrap_or_default(),
            rate_factor: limited.then_some(factor),
            metrics_token: reader.secret(&METRICS_TOKEN),
            cors_origins: reader.value(&CORS_ORIGINS).unwrap_or_default(),
            security_contact: reader.value(&SECURITY_CONTACT),
            trusted_proxies: reader.value(&TRUSTED_PROXIES),
        }
    }
}

fn read_public_url(reader: &mut VariableReader<'_>) -> Option<PublicUrl> {
    if reader.text(PUBLIC_URL.name).is_some() {
        return reader.value(&PUBLIC_URL);
    }
    reader.value(&RAILWAY_DOMAIN)
}

/// Where to listen.
pub(super) fn read_listen(reader: &mut VariableReader<'_>) -> SocketAddr {
    if reader.text(LISTEN.name).is_some() {
        return reader.value(&LISTEN);
    }
    match reader.value(&PORT) {
        // Platforms that set only a port route to it from outside.
        Some(port) => SocketAddr::from(([0, 0, 0, 0], port)),
        None => reader.value(&LISTEN),
    }
}

/// A URI (RFC 9116, section 2.5.3), on one line.
fn contact(text: &str) -> Option<String> {
    let text = text.trim();
    let known = ["mailto:", "https://", "tel:"].iter().any(|scheme| text.starts_with(scheme));
    (known && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

fn origins(text: &str) -> Option<Vec<String>> {
    text.split(',').map(|origin| Some(PublicUrl::parse(origin)?.origin().to_owned())).collect()
}
