//! Keyset pagination: a page is requested by the key of the row before it, so every page costs the same. Cursors are
//! opaque to clients and valid only for the list that they came from.

use std::collections::HashMap;

use thiserror::Error;

use crate::queries::call_pairs::Place;

/// The largest page that a client may request.
pub const MAX_PAGE: usize = 500;

/// An invalid page request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    /// `first` is negative, or more than a page may hold.
    #[error("first is {0}; ask for 1 to {MAX_PAGE}")]
    First(i64),
    /// The cursor is not from a page of this list.
    #[error("the cursor is malformed: use the endCursor of an earlier page of the same list")]
    Cursor,
}

/// A requested page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageRequest<C> {
    /// The key of the last row of the previous page.
    pub after: Option<C>,
    /// The number of rows.
    pub first: usize,
}

impl<C: Cursor> PageRequest<C> {
    /// From a connection's arguments. `default` is the number of rows if `first` is absent.
    ///
    /// # Errors
    /// If `first` is out of range, or `after` is not a cursor of this list.
    pub fn parse(after: Option<&str>, first: Option<i32>, default: usize) -> Result<Self, PageError> {
        let first = match first {
            None => default,
            Some(n) => usize::try_from(n)
                .ok()
                .filter(|n| (1..=MAX_PAGE).contains(n))
                .ok_or(PageError::First(n.into()))?,
        };
        let after = after.filter(|text| !text.is_empty());
        let after = after.map(|text| C::decode(text).ok_or(PageError::Cursor)).transpose()?;
        Ok(Self { after, first })
    }
}

/// The key of a row in a list's order, as clients store it.
pub trait Cursor: Sized {
    /// Its text.
    fn encode(&self) -> String;
    /// Parses it; `None` if it is malformed.
    fn decode(text: &str) -> Option<Self>;
}

/// A page, and whether another one follows.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether more rows follow.
    pub has_next: bool,
}

impl<T> Page<T> {
    /// A page of `first` rows, from a query that requested one more.
    pub(crate) fn cut(mut rows: Vec<T>, first: usize) -> Self {
        let has_next = rows.len() > first;
        rows.truncate(first);
        Self { rows, has_next }
    }

    /// Pages of several lists. `rows` are in the order of each list; `list` returns the list of a row.
    pub(crate) fn cut_each(
        rows: Vec<T>,
        list: impl Fn(&T) -> &String,
        first: usize,
    ) -> HashMap<String, Self> {
        let mut lists: HashMap<String, Vec<T>> = HashMap::new();
        for row in rows {
            lists.entry(list(&row).clone()).or_default().push(row);
        }
        lists.into_iter().map(|(list, rows)| (list, Self::cut(rows, first))).collect()
    }
}

/// A position in a list of messages: (time, transcript, line, record of the line, uuid). A damaged line has several
/// records, and a rewritten file may have two messages on one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageCursor {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// The file.
    pub transcript: String,
    /// The physical line.
    pub line: i64,
    /// The position among the records of the line; 0 unless the line is damaged.
    pub part: i64,
    /// The message's uuid.
    pub uuid: String,
}

impl MessageCursor {
    /// The place of the message's line.
    pub(crate) fn place(&self) -> Place<&str> {
        Place { at: self.at, file: self.transcript.as_str(), line: (self.line, self.part) }
    }
}

impl Cursor for MessageCursor {
    fn encode(&self) -> String {
        let Self { at, transcript, line, part, uuid } = self;
        let part = if *part == 0 { String::new() } else { format!(".{part}") };
        format!("{at}_{line}{part}_{}_{transcript}{uuid}", transcript.len())
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '_');
        let (at, line, length, names) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if names.contains('\0') {
            return None;
        }
        let (transcript, uuid) = names.split_at_checked(length.parse().ok()?)?;
        let (line, part) = line.split_once('.').unwrap_or((line, "0"));
        Some(Self {
            at: at.parse().ok()?,
            line: line.parse().ok()?,
            part: part.parse().ok()?,
            transcript: transcript.to_owned(),
            uuid: uuid.to_owned(),
        })
    }
}

/// A position in a list of sessions: (last activity, session).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionCursor {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// The session.
    pub session_id: String,
}

impl Cursor for SessionCursor {
    fn encode(&self) -> String {
        format!("{}_{}", self.at, self.session_id)
    }

    fn decode(text: &str) -> Option<Self> {
        let (at, session_id) = text.split_once('_')?;
        if session_id.contains('\0') {
            return None;
        }
        Some(Self { at: at.parse().ok()?, session_id: session_id.to_owned() })
    }
}
