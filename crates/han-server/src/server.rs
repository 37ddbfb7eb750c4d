//! Every route, on one page, with the limits and layers that all of them share.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use han_http::graphql;
use han_http::layers::{catch_panic, method_not_allowed, within_deadline};
use han_http::observe::{REQUEST_ID, observe};
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::auth::{device, invite, login_link, oauth, tokens};
use crate::config::Environment;
use crate::state::AppState;
use crate::sync::receiver;
use crate::{client, health, rates};

/// How long a browser may remember what another origin may do.
const CORS_HOLDS: Duration = Duration::from_secs(600);

/// A path, the methods it answers, and how. Every one of them has a row in the table of authorization.
struct Route {
    path: &'static str,
    methods: &'static [Method],
    handler: MethodRouter<AppState>,
}

fn route(path: &'static str, methods: &'static [Method], handler: MethodRouter<AppState>) -> Route {
    Route { path, methods, handler }
}

/// Routes whose answers are made at once.
#[rustfmt::skip]
fn routes(environment: Environment) -> Vec<Route> {
    let mut routes = vec![
        // For platforms: anybody may ask.
        route("/health",           &[Method::GET],               get(health::health)),
        route("/ready",            &[Method::GET],               get(health::ready)),
        // Signing in and out.
        route(login_link::PATH,    &[Method::GET, Method::POST], get(login_link::page).post(login_link::redeem)),
        route(oauth::PATH,         &[Method::GET],               get(oauth::begin)),
        route(oauth::CALLBACK,     &[Method::GET],               get(oauth::callback)),
        route("/auth/refresh",     &[Method::POST],              post(tokens::refresh)),
        route("/auth/logout",      &[Method::POST],              post(tokens::logout)),
        route("/auth/device/code", &[Method::POST],              post(device::code)),
        route("/auth/device/token", &[Method::POST],             post(device::token)),
        route(device::PATH,        &[Method::GET, Method::POST], get(device::show).post(device::decide)),
        // Joining a team: a page that accepts an invite for who is signed in.
        route(invite::PATH,        &[Method::GET, Method::POST], get(invite::show).post(invite::accept)),
        // Data: every handler asks for a Caller.
        route(graphql::PATH,       &[Method::GET, Method::POST], graphql::methods()),
        route("/api/sync/status",  &[Method::GET],               get(receiver::status)),
    ];
    if environment == Environment::Development {
        routes.push(route("/graphiql", &[Method::GET], get(graphql::graphiql)));
    }
    routes
}

/// Routes that read large bodies: they keep time and count bytes themselves.
#[rustfmt::skip]
fn streaming_routes() -> Vec<Route> {
    vec![
        route("/api/sync/sessions", &[Method::POST], post(receiver::push)),
    ]
}

/// Each method and path that a server answers, for the test that walks them all.
#[must_use]
pub fn all_routes(environment: Environment) -> Vec<(Method, &'static str)> {
    let routes = routes(environment).into_iter().chain(streaming_routes());
    routes.flat_map(|route| route.methods.iter().map(move |method| (method.clone(), route.path))).collect()
}

pub(crate) fn router(state: &AppState) -> Router {
    let add = |router: Router<AppState>, route: Route| {
        router.route(route.path, route.handler.fallback(method_not_allowed))
    };
    let quick = routes(state.config.environment)
        .into_iter()
        .fold(Router::new(), add)
        .layer((DefaultBodyLimit::max(state.config.limits.graphql_bytes), from_fn(within_deadline)));
    let streaming =
        streaming_routes().into_iter().fold(Router::new(), add).layer(DefaultBodyLimit::disable());
    quick
        .merge(streaming)
        .fallback(client::fallback)
        .layer(
            // The first sees a request first.
            ServiceBuilder::new()
                .layer(from_fn_with_state(state.request_ids.clone(), observe))
                .layer(option_layer(cors(&state.config.cors_origins)))
                .layer(from_fn_with_state(state.clone(), rates::limit))
                .layer(CompressionLayer::new())
                .layer(catch_panic()),
        )
        .with_state(state.clone())
}

/// Pages of these origins may read answers, with a credential in `Authorization`. Cookies are for this origin alone:
/// they are not allowed along, and `csrf` would refuse them.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING])
            .expose_headers(rates::HEADERS.into_iter().chain([RETRY_AFTER, REQUEST_ID]).collect::<Vec<_>>())
            .max_age(CORS_HOLDS)
    })
}
