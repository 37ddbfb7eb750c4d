//! Form bodies (`application/x-www-form-urlencoded`) of the sign-in routes: axum's `Form` with a size limit.

use std::convert::Infallible;

use axum::Form;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::state::AppState;

/// A form of at most `MAX` bytes. `None` if the body is larger, is not a form or does not have the fields of `T`: each
/// route answers that in its own format (a page, problem+json, or an error of RFC 6749).
pub(crate) struct SmallForm<T, const MAX: usize>(pub(crate) Option<T>);

impl<T: DeserializeOwned, const MAX: usize> FromRequest<AppState> for SmallForm<T, MAX> {
    type Rejection = Infallible;

    async fn from_request(mut request: Request, state: &AppState) -> Result<Self, Infallible> {
        DefaultBodyLimit::max(MAX).apply(&mut request);
        Ok(Self(Form::from_request(request, state).await.ok().map(|Form(fields)| fields)))
    }
}
