//! The routes page: every route with its methods, its rate class and its handler, and the layers that all share.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
};
use axum::http::{HeaderValue, Method};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, post};
use han_http::graphql;
use han_http::layers::{catch_panic, method_not_allowed, within_deadline};
use han_http::observe::{REQUEST_ID, observe};
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::auth::{device, invite, login_link, oauth, sign_in, tokens};
use crate::billing::stripe;
use crate::config::Environment;
use crate::rates::{RateClass, RouteLimit};
use crate::state::AppState;
use crate::sync::{audit, deletion, export, receiver};
use crate::{client, health, metrics, rates, security_txt};

/// How long a browser may cache the answer to a CORS preflight request.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);

/// The most bytes of a form or of another small body. GraphQL reads its bodies itself, once the caller is known.
const SMALL_BODY_BYTES: usize = 4 << 10;

/// A path with its methods, its rate class and its handler. The authorization matrix in the tests has a row for each.
struct Route {
    path: &'static str,
    methods: &'static [Method],
    class: RateClass,
    handler: MethodRouter<AppState>,
}

fn route(
    path: &'static str,
    methods: &'static [Method],
    class: RateClass,
    handler: MethodRouter<AppState>,
) -> Route {
    Route { path, methods, class, handler }
}

/// Routes with small request bodies and a deadline.
#[rustfmt::skip]
fn routes(environment: Environment) -> Vec<Route> {
    const GET: &[Method] = &[Method::GET];
    const POST: &[Method] = &[Method::POST];
    const GET_POST: &[Method] = &[Method::GET, Method::POST];
    const DELETE: &[Method] = &[Method::DELETE];
    const GET_DELETE: &[Method] = &[Method::GET, Method::DELETE];
    use RateClass::{Api, Codes, Page, Probe, SignIn, Sync, Tokens};
    let mut routes = vec![
        // Health checks of platforms, without a credential.
        route("/health",            GET,      Probe,  get(health::health)),
        route("/ready",             GET,      Probe,  get(health::ready)),
        route(security_txt::PATH,   GET,      Page,   get(security_txt::show)),
        route(metrics::PATH,        GET,      Probe,  get(metrics::show)),
        // Signing in and out.
        route(sign_in::PATH,        GET,      Page,   get(sign_in::page)),
        route(login_link::PATH,     GET_POST, SignIn, get(login_link::page).post(login_link::redeem)),
        route(oauth::PATH,          GET,      SignIn, get(oauth::begin)),
        route(oauth::CALLBACK,      GET,      SignIn, get(oauth::callback)),
        route("/auth/refresh",      POST,     Tokens, post(tokens::refresh)),
        route("/auth/logout",       POST,     Tokens, post(tokens::logout)),
        route("/auth/device/code",  POST,     Tokens, post(device::code)),
        route("/auth/device/token", POST,     Tokens, post(device::token)),
        route(device::PATH,         GET_POST, Codes,  get(device::show).post(device::decide)),
        // Joining a team: a page that accepts an invite for the user who is signed in.
        route(invite::PATH,         GET_POST, Codes,  get(invite::show).post(invite::accept)),
        // Data: every handler takes a `Caller`.
        route(graphql::PATH,        GET_POST, Api,    graphql::methods()),
        route("/api/sync/status",   GET,      Sync,   get(receiver::status)),
        // Deleting, the requests for it, and their cancellation.
        route("/api/sync/teams/{team_id}", DELETE, Api, delete(deletion::team)),
        route("/api/sync/teams/{team_id}/data", DELETE, Api, delete(deletion::data)),
        route("/api/sync/teams/{team_id}/sessions/{session_id}", DELETE, Api, delete(deletion::session)),
        route("/api/sync/teams/{team_id}/members/{user_id}/sessions", DELETE, Api, delete(deletion::member)),
        route("/api/sync/teams/{team_id}/deletions", GET, Api, get(deletion::list)),
        route(
            "/api/sync/teams/{team_id}/deletions/{deletion_id}",
            GET_DELETE, Api, get(deletion::show).delete(deletion::cancel),
        ),
        route("/api/account",          DELETE,     Api, delete(deletion::account)),
        route("/api/account/deletion", GET_DELETE, Api, get(deletion::of_account).delete(deletion::cancel_account)),
    ];
    if environment == Environment::Development {
        routes.push(route("/graphiql", GET, Api, get(graphql::graphiql)));
    }
    routes
}

/// Routes with large bodies: their handlers apply their own limits and deadlines.
#[rustfmt::skip]
fn streaming_routes() -> Vec<Route> {
    vec![
        route("/api/sync/sessions", &[Method::POST], RateClass::Sync, post(receiver::push)),
        route("/api/sync/teams/{team_id}/export", &[Method::GET], RateClass::Sync, get(export::team)),
        route(
            "/api/sync/teams/{team_id}/sessions/{session_id}/export",
            &[Method::GET], RateClass::Sync, get(export::session),
        ),
        route("/api/sync/teams/{team_id}/audit", &[Method::GET], RateClass::Sync, get(audit::export)),
        // Stripe's events. Its handler checks their signature before it does anything.
        route(
            stripe::PATH,
            &[Method::POST], RateClass::Api, post(stripe::receive).layer(from_fn(within_deadline)),
        ),
    ]
}

/// Each method and path that a server answers, for the test that calls them all.
#[must_use]
pub fn all_routes(environment: Environment) -> Vec<(Method, &'static str)> {
    let routes = routes(environment).into_iter().chain(streaming_routes());
    routes.flat_map(|route| route.methods.iter().map(move |method| (method.clone(), route.path))).collect()
}

pub(crate) fn router(state: &AppState) -> Router {
    let add = |router: Router<AppState>, Route { path, class, handler, .. }: Route| {
        let no_store = HeaderValue::from_static("no-store");
        let route = Router::new()
            .route(path, handler.fallback(method_not_allowed))
            .layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, no_store));
        router.merge(shared_layers(route, state, class))
    };
    let quick = routes(state.config.http.environment).into_iter().map(|route| Route {
        handler: route.handler.layer((DefaultBodyLimit::max(SMALL_BODY_BYTES), from_fn(within_deadline))),
        ..route
    });
    let streaming = streaming_routes()
        .into_iter()
        .map(|route| Route { handler: route.handler.layer(DefaultBodyLimit::disable()), ..route });
    let other = shared_layers(Router::new().fallback(client::fallback), state, RateClass::Page);
    quick.chain(streaming).fold(other, add).with_state(state.clone())
}

/// The layers of every route; a request passes the first one first.
fn shared_layers(router: Router<AppState>, state: &AppState, class: RateClass) -> Router<AppState> {
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(state.request_ids.clone(), observe))
            .layer(option_layer(strict_transport(state)))
            .layer(option_layer(cors(&state.config.http.cors_origins)))
            .layer(from_fn_with_state(RouteLimit { state: state.clone(), class }, rates::limit))
            .layer(CompressionLayer::new())
            .layer(catch_panic()),
    )
}

/// How long browsers use https only, once they have reached the server by https: a year.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Where browsers reach the server by https, they use nothing else from then on (RFC 6797).
fn strict_transport(state: &AppState) -> Option<SetResponseHeaderLayer<HeaderValue>> {
    state
        .public_url
        .is_https()
        .then(|| SetResponseHeaderLayer::overriding(STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT))
}

/// Pages of these origins may read responses, with a credential in `Authorization`. Cookies are for the server's own
/// origin: CORS does not allow them here, and `csrf` refuses them.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING])
            .expose_headers(rates::HEADERS.into_iter().chain([RETRY_AFTER, REQUEST_ID]).collect::<Vec<_>>())
            .max_age(CORS_MAX_AGE)
    })
}
