//! The sign-in page: where a browser without a session is sent from the dashboard's pages, and how it can sign in.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use reqwest::Url;
use serde::Deserialize;

use super::middleware::Presented;
use super::{oauth, return_to};
use crate::page::html;
use crate::state::AppState;

/// The path of the page.
pub(crate) const PATH: &str = "/auth/sign-in";

const SIGN_IN: &str = "Sign in";
const SIGNED_OUT: &str = "You are signed out";

#[derive(Deserialize)]
pub(crate) struct PageQuery {
    return_to: Option<String>,
    /// Where a browser arrives that has signed out.
    signed_out: Option<String>,
}

/// `GET /auth/sign-in?return_to=…`: says how to sign in. The browser keeps where it was going, for a sign-in link that is
/// opened later. A browser that is signed in, perhaps in another tab by now, goes there at once.
pub(crate) async fn page(
    State(state): State<AppState>,
    query: Result<Query<PageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = query.ok().map(|Query(query)| query);
    let signed_out = query.as_ref().is_some_and(|query| query.signed_out.is_some());
    let wanted = query.and_then(|query| query.return_to);
    let target = return_to::within(&state.public_url, wanted.as_deref());
    if let Ok(Some(presented)) = Presented::read(&state, &headers)
        && presented.verify(&state, &state.request_ids.of(&headers)).await.is_ok()
    {
        let headers = [(LOCATION, target), (CACHE_CONTROL, "no-store".to_owned())];
        return (StatusCode::SEE_OTHER, headers).into_response();
    }
    let how = oauth::how_to_sign_in(&state, &target);
    let mut response = html(StatusCode::OK, if signed_out { SIGNED_OUT } else { SIGN_IN }, &how);
    if let Ok(cookie) = HeaderValue::try_from(return_to::keep(&state.public_url, &target)) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// A browser's request to show a page.
pub(crate) struct Navigation {
    /// The path with its query.
    wanted: String,
    headers: HeaderMap,
}

impl Navigation {
    /// `None` for other requests: those of scripts and programs.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let headers = request.headers();
        let accepts_html = headers.get_all(ACCEPT).iter().any(|accept| {
            accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
        });
        let wanted = request.uri().path_and_query().map_or("/", |path| path.as_str());
        (*request.method() == Method::GET && accepts_html)
            .then(|| Self { wanted: wanted.to_owned(), headers: headers.clone() })
    }

    /// The redirect to the sign-in page; `None` for a browser with a session.
    pub(crate) async fn to_sign_in(&self, state: &AppState) -> Option<Response> {
        if self.is_signed_in(state).await {
            return None;
        }
        let target = return_to::within(&state.public_url, Some(&self.wanted));
        // `Url` encodes the value; only the query is used.
        let url = Url::parse_with_params(state.public_url.origin(), [("return_to", target)]).ok();
        let query = url.as_ref().and_then(Url::query).unwrap_or_default();
        let headers = [(LOCATION, format!("{PATH}?{query}")), (CACHE_CONTROL, "no-store".to_owned())];
        Some((StatusCode::SEE_OTHER, headers).into_response())
    }

    /// Whether the request's credential is valid. Nothing is read or changed with it, so the request need not prove which
    /// site it comes from. If the credential is malformed or cannot be verified now, the page itself shows the error.
    async fn is_signed_in(&self, state: &AppState) -> bool {
        match Presented::read(state, &self.headers) {
            Ok(None) => false,
            Err(_) => true,
            Ok(Some(presented)) => {
                match presented.verify(state, &state.request_ids.of(&self.headers)).await {
                    Ok(_) => true,
                    Err(problem) => problem.status() != StatusCode::UNAUTHORIZED,
                }
            }
        }
    }
}
