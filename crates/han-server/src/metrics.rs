//! `GET /metrics`: what clients hold and what they were refused, in the text format of Prometheus. Each replica reports
//! its own.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use han_http::Problem;
use han_http::budget::{Budget, Holders, Level, Resource};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::auth::middleware::bearer_token;
use crate::rates::Rates;
use crate::state::AppState;

/// The path. Without a configured token, it refuses everyone.
pub(crate) const PATH: &str = "/metrics";

/// For callers with the configured token.
pub(crate) async fn show(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, Problem> {
    let given = han_http::headers::single(&headers, AUTHORIZATION.as_str()).and_then(bearer_token);
    let given = given.ok_or_else(Problem::no_credential)?;
    let Some(token) = &state.config.http.metrics_token else {
        return Err(Problem::bad_credential("metrics are served once HAN_METRICS_TOKEN is set"));
    };
    // Hashes have one length, so that the comparison takes one time.
    let hash = |text: &str| Sha256::digest(text);
    if !bool::from(hash(given).ct_eq(&hash(token.expose_secret()))) {
        return Err(Problem::bad_credential("the token is not the one in HAN_METRICS_TOKEN"));
    }
    let text = text(state.graphql.budget(), state.rates.as_ref());
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")], text).into_response())
}

fn text(budget: &Budget, rates: Option<&Rates>) -> String {
    let mut text = String::new();
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{arguments}");
    };
    line(format_args!("# HELP han_held What clients hold now.\n# TYPE han_held gauge"));
    for resource in Resource::ALL {
        let name = resource.name();
        let [all, strangers] = [Holders::All, Holders::Unauthenticated].map(|by| budget.held(resource, by));
        line(format_args!("han_held{{resource=\"{name}\",by=\"all\"}} {all}"));
        line(format_args!("han_held{{resource=\"{name}\",by=\"unauthenticated\"}} {strangers}"));
    }
    line(format_args!("# HELP han_limit What all clients together may hold.\n# TYPE han_limit gauge"));
    for resource in Resource::ALL {
        line(format_args!("han_limit{{resource=\"{}\"}} {}", resource.name(), budget.most(resource)));
    }
    line(format_args!(
        "# HELP han_refused_total What clients were refused, by whose limit.\n# TYPE han_refused_total counter"
    ));
    for resource in Resource::ALL {
        for level in Level::ALL {
            let (resource_name, level_name) = (resource.name(), level.name());
            let refused = budget.refused(resource, level);
            line(format_args!(
                "han_refused_total{{resource=\"{resource_name}\",level=\"{level_name}\"}} {refused}"
            ));
        }
    }
    for (level, refused) in rates.map(Rates::refused).into_iter().flatten() {
        line(format_args!(
            "han_refused_total{{resource=\"operations_per_minute\",level=\"{level}\"}} {refused}"
        ));
    }
    text
}
