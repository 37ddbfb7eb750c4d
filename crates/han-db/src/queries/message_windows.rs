//! The messages around one of a session's list. `messages` reads the pages that this is made of.

use han_types::{MessageKey, SessionId};

use crate::entities::Message;
use crate::page::{Page, PageRequest};
use crate::queries::calls;
use crate::queries::messages::{MessageList, by_keys, newer, page};
use crate::{DbError, ScopedTx};

/// Messages around one of a list, newest first.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The messages.
    pub rows: Vec<Message>,
    /// Whether the list has older ones.
    pub has_older: bool,
    /// Whether the list has newer ones.
    pub has_newer: bool,
}

/// The messages around one of a session's list, half of them older; around a message that is not in the list, those
/// around the listed one that shows it. Empty if there is none.
///
/// # Errors
/// As [`page`].
pub async fn around(
    tx: &ScopedTx,
    session_id: &SessionId,
    list: &MessageList,
    key: &MessageKey,
    size: usize,
) -> Result<Window, DbError> {
    if key.session_id != *session_id {
        return Ok(Window::default());
    }
    let own = std::slice::from_ref(key);
    let shown = match &list.agent_id {
        None => calls::shown_by(tx, session_id, own).await?.remove(key),
        Some(_) => None,
    };
    let found = by_keys(tx, &[shown.unwrap_or_else(|| key.clone())]).await?.pop();
    let Some(found) = found.filter(|found| found.agent_id == list.agent_id || found.listed) else {
        return Ok(Window::default());
    };
    let cursor = found.cursor();
    // What the budget does not cover remains for the next page.
    let or_remaining = |page| match page {
        Err(DbError::TooMuch { .. }) => Ok(Page { rows: Vec::new(), has_next: true }),
        page => page,
    };
    let newer = or_remaining(newer(tx, session_id, list, Some(&cursor), (size / 2).max(1)).await)?;
    let rest = size.saturating_sub(newer.rows.len() + 1).max(1);
    let request = PageRequest { after: Some(cursor), first: rest };
    let older = or_remaining(page(tx, session_id, list, &request).await)?;
    let rows = newer.rows.into_iter().chain([found]).chain(older.rows).collect();
    Ok(Window { rows, has_older: older.has_next, has_newer: newer.has_next })
}
