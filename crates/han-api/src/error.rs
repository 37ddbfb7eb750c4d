//! The errors that clients receive. Every error of a response carries one [`Code`] in `extensions.code`; errors of the
//! database and other internal detail go to the log only.

use std::sync::LazyLock;

use async_graphql::{Context, Response, ServerError, Value};
use han_db::DbError;
use han_db::page::PageError;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::limits::LimitError;

/// All values of `extensions.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `UNAUTHENTICATED`: the request has no valid credential, or the credential has expired. Sign in again.
    Unauthenticated,
    /// `FORBIDDEN`: the credential is valid, but does not allow this.
    Forbidden,
    /// `NOT_FOUND`: an object that the operation needs does not exist, or belongs to another team.
    NotFound,
    /// `BAD_USER_INPUT`: the document or an argument is malformed; the message names it and says how to fix it.
    BadUserInput,
    /// `LIMIT_EXCEEDED`: the document or its response is larger, deeper or more expensive than the server allows.
    LimitExceeded,
    /// `CONFLICT`: the current state does not allow the change, as when the last admin leaves; the message says what to
    /// change first.
    Conflict,
    /// `PLAN_LIMIT`: the team's plan does not allow it.
    PlanLimit,
    /// `RATE_LIMITED`: too many attempts; `extensions.retryAfter` says after how many seconds another one is accepted.
    RateLimited,
    /// `UNSUPPORTED`: this server cannot do that; another kind of server (the local coordinator) can.
    Unsupported,
    /// `CONTENT_UNREADABLE`: the stored content cannot be decrypted: its key is missing, or it is damaged. The rest of
    /// the response is complete; the server's log names the row.
    ContentUnreadable,
    /// `RESYNC`: this subscription may have missed events and has ended. Fetch the data again, then subscribe again.
    Resync,
    /// `UNAVAILABLE`: the database, or a service that the server needs, could not be reached. The same request may succeed
    /// later.
    Unavailable,
    /// `INTERNAL_SERVER_ERROR`: a fault of the server, which its log describes.
    Internal,
}

impl Code {
    /// The code as clients receive it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::Conflict => "CONFLICT",
            Self::PlanLimit => "PLAN_LIMIT",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unsupported => "UNSUPPORTED",
            Self::ContentUnreadable => "CONTENT_UNREADABLE",
            Self::Resync => "RESYNC",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL_SERVER_ERROR",
        }
    }
}

/// An error as clients see it: its text is public.
#[derive(Clone, Debug, Error)]
pub enum ApiError {
    /// The caller is not signed in, or no longer.
    #[error("sign in: this needs a valid credential")]
    Unauthenticated,
    /// The credential may not do this.
    #[error("this credential may not {0}")]
    Forbidden(&'static str),
    /// An object does not exist for this caller.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// An argument is malformed.
    #[error("{argument}: {problem}")]
    BadInput {
        /// The argument.
        argument: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The document goes beyond a limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The current state does not allow the change.
    #[error("{0}")]
    Conflict(String),
    /// The team's plan does not allow it.
    #[error("{0}")]
    PlanLimit(String),
    /// Too many attempts.
    #[error("too many attempts: try again in {retry_after} seconds")]
    RateLimited {
        /// After how many seconds another attempt is accepted.
        retry_after: i64,
    },
    /// This server cannot do it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Stored content cannot be decrypted.
    #[error(
        "the stored content cannot be decrypted: its key is missing, or it is damaged. Ask the server's operator; the \
         server's log names the row"
    )]
    ContentUnreadable,
    /// The subscription has missed events.
    #[error("events may have been missed: fetch the data again, then subscribe again")]
    Resync,
    /// The database cannot be reached.
    #[error("the database cannot be reached at the moment: try again later")]
    Unavailable,
    /// A service that the server needs failed.
    #[error("{0}")]
    Elsewhere(String),
    /// The transcript lines of a response exceed the limit of its size.
    #[error(
        "the response would hold more than {0} bytes of transcript lines: ask for fewer messages at once (`first`), or \
         for fewer results"
    )]
    TooMuch(usize),
    /// A response is too large.
    #[error(
        "the response would have more than {0} bytes (HAN_MAX_RESPONSE_BYTES): ask for fewer objects at once (`first`, \
         then `after`), select each large field once, or ask in several requests"
    )]
    ResponseTooLarge(usize),
    /// The caller, or everyone, has too much in progress.
    #[error("{0}")]
    Busy(String),
    /// The operation took too long.
    #[error("the operation took too long: ask for less, or try again")]
    TooSlow,
    /// An internal error.
    #[error("the server failed to complete the operation; its log has the cause")]
    Internal,
}

/// The result of a resolver.
pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Forbidden(_) => Code::Forbidden,
            Self::NotFound(_) => Code::NotFound,
            Self::BadInput { .. } => Code::BadUserInput,
            Self::Limit(_) | Self::TooMuch(_) | Self::ResponseTooLarge(_) => Code::LimitExceeded,
            Self::Conflict(_) => Code::Conflict,
            Self::PlanLimit(_) => Code::PlanLimit,
            Self::RateLimited { .. } | Self::Busy(_) => Code::RateLimited,
            Self::Unsupported(_) => Code::Unsupported,
            Self::ContentUnreadable => Code::ContentUnreadable,
            Self::Resync => Code::Resync,
            Self::Unavailable | Self::TooSlow | Self::Elsewhere(_) => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    pub(crate) fn bad(argument: &'static str, problem: impl ToString) -> Self {
        Self::BadInput { argument, problem: problem.to_string() }
    }
}

impl From<DbError> for ApiError {
    /// The one place where a database error is logged: a load that many fields wait for fails once. The span of the log
    /// line names the operation and the caller.
    fn from(error: DbError) -> Self {
        let error = match error {
            DbError::TooMuch { limit } => return Self::TooMuch(limit),
            DbError::NoRoom(refusal) => return Self::Busy(refusal),
            error => error,
        };
        if error.is_unreadable() {
            tracing::error!(%error, "stored content cannot be decrypted");
            return Self::ContentUnreadable;
        }
        if error.is_unavailable() {
            tracing::warn!(%error, "a GraphQL operation could not reach the database");
            Self::Unavailable
        } else {
            tracing::error!(%error, "a GraphQL operation failed");
            Self::Internal
        }
    }
}

impl From<PageError> for ApiError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::First(_) => Self::bad("first", error),
            PageError::Cursor => Self::bad("after", error),
        }
    }
}

/// A response that consists of one error.
pub(crate) fn response(error: &ApiError) -> Response {
    Response::from_errors(vec![with_code(ServerError::new(error.to_string(), None), error.code())])
}

/// Whether a response of a subscription is the last one because the database could not be reached. Clients do not expect
/// that: a transport closes the connection instead, so that the client comes back, subscribes and fetches again.
#[must_use]
pub fn is_unavailable(response: &RawValue) -> bool {
    static UNAVAILABLE: LazyLock<Option<String>> =
        LazyLock::new(|| serde_json::to_string(&self::response(&ApiError::Unavailable)).ok());
    UNAVAILABLE.as_deref() == Some(response.get())
}

/// Whether a finished response has an error with this code.
#[must_use]
pub fn has_code(response: &Response, code: Code) -> bool {
    response.errors.iter().any(|error| {
        let value = error.extensions.as_ref().and_then(|values| values.get("code"));
        matches!(value, Some(Value::String(found)) if found == code.as_str())
    })
}

/// Adds an error to the response at the field that is being resolved, which returns a value all the same.
pub(crate) fn report(ctx: &Context<'_>, error: &ApiError) {
    let text = ServerError::new(error.to_string(), Some(ctx.item.pos));
    ctx.add_error(ctx.set_error_path(with_code(text, error.code())));
}

/// Makes a field null, with an error, if its content cannot be decrypted. If the resolver returned the error,
/// async-graphql would make the nearest nullable *parent* null.
pub(crate) fn or_null<T>(ctx: &Context<'_>, found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error @ ApiError::ContentUnreadable) => {
            report(ctx, &error);
            Ok(None)
        }
        other => other,
    }
}

/// Gives each error of a response its code, and removes every message that was not written for clients. Keeps at most
/// `most` errors.
pub(crate) fn finish(mut response: Response, most: usize) -> Response {
    let left_out = (response.errors.len() + 1).saturating_sub(most);
    if response.errors.len() > most {
        response.errors.truncate(most - 1);
        let text = format!("{left_out} more errors were left out: a response has at most {most}");
        response.errors.push(with_code(ServerError::new(text, None), Code::LimitExceeded));
    }
    response.errors = response.errors.into_iter().map(finish_error).collect();
    response
}

fn finish_error(mut error: ServerError) -> ServerError {
    if error.extensions.as_ref().is_some_and(|values| values.get("code").is_some()) {
        return error;
    }
    let known = error.source.as_ref().map(|source| source.downcast_ref::<ApiError>().cloned());
    let code = match known {
        Some(Some(known)) => {
            if let ApiError::RateLimited { retry_after } = known {
                let mut values = error.extensions.take().unwrap_or_default();
                values.set("retryAfter", retry_after);
                error.extensions = Some(values);
            }
            known.code()
        }
        // An error of another type: its message was not written for clients.
        Some(None) => {
            tracing::error!(error = %error.message, path = ?error.path, "a GraphQL field failed");
            error.message = ApiError::Internal.to_string();
            Code::Internal
        }
        None => library_code(&error.message),
    };
    with_code(error, code)
}

/// Errors without a source are async-graphql's own, about the document and its variables.
fn library_code(message: &str) -> Code {
    let limits = ["too complex", "nested too deep", "recursion depth", "number of directives"];
    if limits.iter().any(|limit| message.contains(limit)) { Code::LimitExceeded } else { Code::BadUserInput }
}

fn with_code(mut error: ServerError, code: Code) -> ServerError {
    let mut values = error.extensions.take().unwrap_or_default();
    values.set("code", code.as_str());
    error.extensions = Some(values);
    error
}
