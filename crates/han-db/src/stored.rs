//! Reading stored values: a column's text as what it means, or an error that names table, column and row.

use std::fmt::Display;
use std::str::FromStr;

use han_types::MessageKey;

use crate::DbError;

/// The value of a text column that this program wrote.
///
/// # Errors
/// [`DbError::Malformed`] where it is no such value.
pub(crate) fn stored<T: FromStr>(
    text: &str,
    table: &'static str,
    column: &'static str,
    row: impl Display,
) -> Result<T, DbError> {
    text.parse().map_err(|_| DbError::malformed(table, column, row))
}

/// The id in a text column of the row that it names.
///
/// # Errors
/// [`DbError::Malformed`] where it is no id.
pub(crate) fn stored_id<T: FromStr>(
    text: &str,
    table: &'static str,
    column: &'static str,
) -> Result<T, DbError> {
    stored(text, table, column, text)
}

/// The key of a message, as a row of `table` has it.
///
/// # Errors
/// [`DbError::Malformed`] where it is no key.
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
