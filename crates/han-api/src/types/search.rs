//! Hits of a search, with excerpts of their text.

use std::collections::HashMap;
use std::ops::Range;

use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use han_db::page::Cursor as _;
use han_db::queries::search::{self, Hit, HitCursor};
use han_db::queries::{calls, messages};
use han_types::{GlobalId, MessageKey};

use crate::context::Op;
use crate::error::{ApiError, Result, report};
use crate::types::message::Message;
use crate::types::session::Session;

/// The length of a preview, and of the context on each side of a match, in characters.
const PREVIEW_CHARS: usize = 200;
const CONTEXT_CHARS: usize = 80;

/// A message of a session that matches a query. docs/SEARCH.md defines what a word is.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct MessageSearchResult {
    /// The message's global id.
    message_id: Option<String>,
    /// The number of older messages in the session's list. For a result or a subagent's line, that of the message whose
    /// call shows it; null if there is none.
    message_index: Option<i64>,
    /// The beginning of the message's text.
    preview: Option<String>,
    /// The text around the first match.
    match_context: Option<String>,
}

/// Adds an error to the response if messages contain the query's words but cannot be decrypted.
pub(crate) fn report_unreadable(ctx: &Context<'_>, count: usize) {
    if count > 0 {
        report(ctx, &ApiError::ContentUnreadable);
    }
}

/// The results of a search in one session, in the order of the hits.
pub(crate) async fn results(op: &Op, hits: Vec<Hit>) -> Result<Vec<MessageSearchResult>> {
    let keys: Vec<MessageKey> = hits.iter().map(|hit| hit.message.key.clone()).collect();
    let mut shown = HashMap::new();
    if let Some(first) = keys.first() {
        shown = calls::shown_by(op.tx().await?, &first.session_id, &keys).await?;
    }
    let listed: Vec<MessageKey> = shown.values().cloned().collect();
    let indexes = messages::list_indexes(op.tx().await?, &listed).await?;
    let results = hits.into_iter().map(|hit| MessageSearchResult {
        message_id: Some(GlobalId::Message(hit.message.key.clone()).to_string()),
        message_index: shown.get(&hit.message.key).and_then(|listed| indexes.get(listed)).copied(),
        preview: Some(preview(&hit.text)),
        match_context: Some(around(&hit.text, &hit.at)),
    });
    Ok(results.collect())
}

/// A hit of a search across sessions.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct MessageHit {
    /// The message's global id.
    message_id: ID,
    /// The beginning of the message's text.
    preview: String,
    /// The text around the first match.
    match_context: String,
    #[graphql(skip)]
    hit: Hit,
    #[graphql(skip)]
    op: Op,
}

impl MessageHit {
    fn new(op: &Op, hit: Hit) -> Self {
        Self {
            message_id: ID(GlobalId::Message(hit.message.key.clone()).to_string()),
            preview: preview(&hit.text),
            match_context: around(&hit.text, &hit.at),
            hit,
            op: Op::clone(op),
        }
    }
}

#[ComplexObject]
impl MessageHit {
    /// The message.
    async fn message(&self) -> Result<Message> {
        self.op.opens(&self.hit.message.key.session_id, None).await?;
        Message::read(&self.op, &self.hit.message).await
    }

    /// Its session.
    async fn session(&self, _ctx: &Context<'_>) -> Result<Option<Session>> {
        Session::load(&self.op, self.hit.message.key.session_id.clone()).await
    }
}

/// A hit in its list.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct MessageHitEdge {
    /// Its cursor.
    cursor: String,
    /// The hit.
    node: MessageHit,
}

/// The end of a page of hits.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct HitPageInfo {
    /// Whether the search continues after this page.
    has_next_page: bool,
    /// Where it continues: `after` for the next page, even if this page has no hit.
    end_cursor: Option<String>,
}

/// Hits, newest first. A page may hold fewer hits than requested, even none, and still have a next page: when a phrase
/// is rare but its words are common.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct MessageHitConnection {
    /// The page's hits.
    edges: Vec<MessageHitEdge>,
    /// The end of the page.
    page_info: HitPageInfo,
    #[graphql(skip)]
    op: Option<Op>,
}

impl MessageHitConnection {
    pub(crate) fn new(op: Option<Op>, hits: Vec<Hit>, next: Option<HitCursor>) -> Self {
        let edges: Vec<MessageHitEdge> = hits
            .into_iter()
            .filter_map(|hit| {
                let cursor = hit.cursor.encode();
                Some(MessageHitEdge { cursor, node: MessageHit::new(op.as_ref()?, hit) })
            })
            .collect();
        let end =
            next.as_ref().map(HitCursor::encode).or_else(|| edges.last().map(|edge| edge.cursor.clone()));
        Self { edges, page_info: HitPageInfo { has_next_page: next.is_some(), end_cursor: end }, op }
    }
}

#[ComplexObject]
impl MessageHitConnection {
    /// The number of stored lines of the team that are not indexed yet and cannot be found.
    async fn lines_to_index(&self) -> Result<i64> {
        let Some(op) = &self.op else { return Ok(0) };
        Ok(search::lag(op.tx().await?).await?)
    }
}

fn preview(text: &str) -> String {
    let mut shown = one_line(text.chars().take(PREVIEW_CHARS));
    if text.chars().nth(PREVIEW_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// The text around a match, cut at character boundaries, with `…` for omitted text.
fn around(text: &str, at: &Range<usize>) -> String {
    let before = text.get(..at.start).unwrap_or_default();
    let rest = text.get(at.start..).unwrap_or_default();
    let from = before.char_indices().rev().nth(CONTEXT_CHARS - 1).map_or(0, |(from, _)| from);
    let matched = text.get(at.clone()).map_or(0, |matched| matched.chars().count());
    let to = rest.char_indices().nth(matched + CONTEXT_CHARS).map_or(rest.len(), |(to, _)| to);
    let shown =
        before.get(from..).unwrap_or_default().chars().chain(rest.get(..to).unwrap_or_default().chars());
    let (start, end) = (if from > 0 { "…" } else { "" }, if to < rest.len() { "…" } else { "" });
    format!("{start}{}{end}", one_line(shown))
}

fn one_line(chars: impl Iterator<Item = char>) -> String {
    chars.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{around, preview};

    #[test]
    fn a_match_is_shown_with_its_context() {
        assert_eq!(around("the red\nbuild", &(4..7)), "the red build");
        let long = format!("{}needle{}", "é".repeat(100), "検".repeat(100));
        let at = long.find("needle").unwrap();
        let shown = around(&long, &(at..at + 6));
        assert_eq!(shown, format!("…{}needle{}…", "é".repeat(80), "検".repeat(80)));
    }

    proptest! {
        #[test]
        fn excerpts_of_any_text_are_bounded(text in "\\PC{0,300}", at in 0usize..400) {
            let start = text.char_indices().map(|(at, _)| at).nth(at % 301).unwrap_or(0);
            let _ = around(&text, &(start..text.len()));
            prop_assert!(preview(&text).chars().count() <= 201);
        }
    }
}
