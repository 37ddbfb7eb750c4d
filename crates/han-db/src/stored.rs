//! Reading stored values: parses a column's text, with errors that name table, column and row; rows that many queries
//! share.

use std::fmt::Display;
use std::str::FromStr;

use han_types::MessageKey;
use sea_orm::FromQueryResult;

use crate::DbError;

/// The result of a query that counts: `SELECT count(*) AS n`.
#[derive(FromQueryResult)]
pub(crate) struct CountRow {
    pub(crate) n: i64,
}

/// Parses the value of a text column that this program wrote.
///
/// # Errors
/// [`DbError::Malformed`] if it is not valid.
pub(crate) fn stored<T: FromStr>(
    text: &str,
    table: &'static str,
    column: &'static str,
    row: impl Display,
) -> Result<T, DbError> {
    text.parse().map_err(|_| DbError::malformed(table, column, row))
}

/// Parses the id in a text column; the id also names the row in the error.
///
/// # Errors
/// [`DbError::Malformed`] if it is not an id.
pub(crate) fn stored_id<T: FromStr>(
    text: &str,
    table: &'static str,
    column: &'static str,
) -> Result<T, DbError> {
    stored(text, table, column, text)
}

/// The key of a message, from the columns of a row of `table`.
///
/// # Errors
/// [`DbError::Malformed`] if it is not a key.
pub(crate) fn message_key(
    table: &'static str,
    session: &str,
    transcript: &str,
    uuid: &str,
) -> Result<MessageKey, DbError> {
    let malformed = |column| DbError::malformed(table, column, format_args!("{session}/{transcript}/{uuid}"));
    Ok(MessageKey {
        session_id: session.parse().map_err(|_| malformed("session_id"))?,
        transcript: transcript.parse().map_err(|_| malformed("transcript"))?,
        uuid: uuid.to_owned(),
    })
}
