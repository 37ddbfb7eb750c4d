//! What clients are told when something goes wrong. Every error of a response carries one [`Code`] in
//! `extensions.code`; what the database or the program itself says stands in the log alone.

use async_graphql::{Context, Response, ServerError};
use han_db::DbError;
use han_db::page::PageError;
use thiserror::Error;

use crate::limits::LimitError;

/// The whole list of what `extensions.code` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `UNAUTHENTICATED`: no valid credential came with the request, or it has ended since. Sign in again.
    Unauthenticated,
    /// `FORBIDDEN`: the credential is valid, but may not be used for this.
    Forbidden,
    /// `NOT_FOUND`: a thing that the operation cannot do without does not exist, or is another team's.
    NotFound,
    /// `BAD_USER_INPUT`: the document or an argument is malformed; the message names it and the remedy.
    BadUserInput,
    /// `LIMIT_EXCEEDED`: the document or its answer is larger, deeper or costlier than the server allows.
    LimitExceeded,
    /// `CONFLICT`: what is asked for does not go together with how things stand, such as the last admin leaving;
    /// the message says what to change first.
    Conflict,
    /// `PLAN_LIMIT`: the team's plan does not allow it.
    PlanLimit,
    /// `RATE_LIMITED`: too many attempts; `extensions.retryAfter` says after how many seconds another is heard.
    RateLimited,
    /// `UNSUPPORTED`: this server cannot do that; another kind of server (the local coordinator) can.
    Unsupported,
    /// `CONTENT_UNREADABLE`: what is stored of this cannot be opened: its key is missing, or it was damaged. The rest of
    /// the answer is whole; the server's log names the row.
    ContentUnreadable,
    /// `RESYNC`: this subscription may have missed events and has ended. Fetch anew, then subscribe again.
    Resync,
    /// `UNAVAILABLE`: the database could not be reached. The same request may succeed later.
    Unavailable,
    /// `INTERNAL_SERVER_ERROR`: a fault of the server's, which its log tells about.
    Internal,
}

impl Code {
    /// Its name on the wire.
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
    /// Nobody has signed in, or no longer.
    #[error("sign in: this needs a valid credential")]
    Unauthenticated,
    /// The credential may not do this.
    #[error("this credential may not {0}")]
    Forbidden(&'static str),
    /// A thing that must exist does not, for this caller.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// An argument is malformed.
    #[error("{argument}: {problem}")]
    BadInput {
        /// The argument.
        argument: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The document goes beyond a limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Things stand in the way.
    #[error("{0}")]
    Conflict(String),
    /// The team's plan does not allow it.
    #[error("{0}")]
    PlanLimit(String),
    /// Too many attempts.
    #[error("too many attempts: try again in {retry_after} seconds")]
    RateLimited {
        /// After how many seconds another attempt is heard.
        retry_after: i64,
    },
    /// This server cannot do it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// What is stored cannot be opened.
    #[error(
        "the stored content of this cannot be opened: a key is missing or it was damaged. Ask whoever runs the server; \
         its log names the row"
    )]
    ContentUnreadable,
    /// The subscription has missed events.
    #[error("events may have been missed: fetch anew and subscribe again")]
    Resync,
    /// The database cannot be reached.
    #[error("the database is not to be reached at the moment: try again later")]
    Unavailable,
    /// The lines that an answer shows are too large together.
    #[error(
        "the answer would hold more than {0} bytes of transcript lines: ask for fewer messages at once (`first`), or for \
         fewer results"
    )]
    TooMuch(usize),
    /// The operation took too long.
    #[error("the answer took too long: ask for less, or try again")]
    TooSlow,
    /// Something failed inside.
    #[error("something went wrong on the server; its log says what")]
    Internal,
}

/// What resolvers return.
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
            Self::Limit(_) | Self::TooMuch(_) => Code::LimitExceeded,
            Self::Conflict(_) => Code::Conflict,
            Self::PlanLimit(_) => Code::PlanLimit,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Unsupported(_) => Code::Unsupported,
            Self::ContentUnreadable => Code::ContentUnreadable,
            Self::Resync => Code::Resync,
            Self::Unavailable | Self::TooSlow => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    pub(crate) fn bad(argument: &'static str, problem: impl ToString) -> Self {
        Self::BadInput { argument, problem: problem.to_string() }
    }
}

impl From<DbError> for ApiError {
    /// The one place where a database error is logged: what many fields wait for fails once. The operation and
    /// the caller are named by the span that the log line stands in.
    fn from(error: DbError) -> Self {
        if let DbError::TooMuch { limit } = error {
            return Self::TooMuch(limit);
        }
        if error.is_unreadable() {
            tracing::error!(%error, "stored content cannot be opened");
            return Self::ContentUnreadable;
        }
        if error.is_unavailable() {
            tracing::warn!(%error, "the database was not to be had for a GraphQL operation");
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

/// A response that says only that `error`.
pub(crate) fn response(error: &ApiError) -> Response {
    Response::from_errors(vec![with_code(ServerError::new(error.to_string(), None), error.code())])
}

/// Adds an error to the answer at the field that is being resolved, which still has a value to show.
pub(crate) fn report(ctx: &Context<'_>, error: &ApiError) {
    let text = ServerError::new(error.to_string(), Some(ctx.item.pos));
    ctx.add_error(ctx.set_error_path(with_code(text, error.code())));
}

/// Null and an error beside it where the content cannot be opened. The library would make the nearest nullable
/// *parent* null instead of the field.
pub(crate) fn or_null<T>(ctx: &Context<'_>, found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error @ ApiError::ContentUnreadable) => {
            report(ctx, &error);
            Ok(None)
        }
        other => other,
    }
}

/// Gives each error of a response its code, and takes away every text that was not written for clients.
pub(crate) fn finish(mut response: Response) -> Response {
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
        // An error of another type reached a resolver's result: its text was never meant for clients.
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
