//! The outline of a session: what a person asked, where the context was compacted, and what each part cost.

use async_graphql::{ComplexObject, Context, Enum, ID, SimpleObject};
use han_db::page::{Cursor as _, Page};
use han_db::queries::{metrics, outline};
use han_types::{GlobalId, Timestamp};

use crate::context::{Op, prices};
use crate::error::Result;
use crate::loaders::IndexOf;
use crate::types::message::Message;

/// The kind of an entry of the outline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum OutlineKind {
    /// A prompt that a person typed.
    Prompt,
    /// A command that a person typed.
    Command,
    /// A compaction of the context.
    Compaction,
}

/// A part of a session: a prompt, a command or a compaction, with the tokens of the answers up to the next entry.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct OutlineEntry {
    /// What it is.
    kind: OutlineKind,
    /// The global id of its message.
    message_id: ID,
    /// When its message was written, RFC 3339 in UTC.
    timestamp: String,
    /// Input tokens outside the cache, including subagents.
    input_tokens: i64,
    /// Output tokens, including subagents.
    output_tokens: i64,
    /// Input tokens read from the cache, including subagents.
    cache_read_tokens: i64,
    /// Input tokens written to the cache, including subagents.
    cache_creation_tokens: i64,
    #[graphql(skip)]
    entry: outline::OutlineEntry,
    #[graphql(skip)]
    op: Op,
}

#[ComplexObject]
impl OutlineEntry {
    /// The message.
    async fn message(&self) -> Result<Message> {
        Message::read(&self.op, &self.entry.message).await
    }

    /// The number of older messages in the session's list.
    async fn message_index(&self) -> Result<Option<i64>> {
        self.op.loader().load_one(IndexOf(self.entry.message.key.clone())).await
    }

    /// The cost of these tokens at list prices, in US dollars; null if models were used and none of them has a price.
    async fn cost_usd(&self, ctx: &Context<'_>) -> Option<f64> {
        let tokens = &self.entry.tokens;
        let costs: Vec<f64> =
            tokens.iter().filter_map(|(model, tokens)| prices(ctx).cost(model, tokens)).collect();
        (tokens.is_empty() || !costs.is_empty()).then(|| costs.iter().fold(0.0, |sum, cost| sum + cost))
    }

    /// The number of tokens of models without a price, which the cost does not include.
    async fn unpriced_tokens(&self, ctx: &Context<'_>) -> i64 {
        let unpriced = self.entry.tokens.iter().filter(|(model, _)| prices(ctx).price(model).is_none());
        unpriced.map(|(_, tokens)| metrics::total(tokens)).sum()
    }
}

/// A page of a session's outline, oldest first.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct OutlinePage {
    /// The page's entries.
    entries: Vec<OutlineEntry>,
    /// Whether more entries follow.
    has_next_page: bool,
    /// Where the page ends: `after` for the next page.
    end_cursor: Option<String>,
}

impl OutlinePage {
    pub(crate) fn new(op: &Op, page: Page<outline::OutlineEntry>) -> Self {
        let end_cursor = page.rows.last().map(|entry| entry.message.cursor().encode());
        let entries = page.rows.into_iter().map(|entry| {
            let sum = |counter: fn(&han_transcript::fold::TokenTotals) -> i64| -> i64 {
                entry.tokens.values().map(counter).sum()
            };
            OutlineEntry {
                kind: match entry.kind {
                    outline::OutlineKind::Prompt => OutlineKind::Prompt,
                    outline::OutlineKind::Command => OutlineKind::Command,
                    outline::OutlineKind::Compaction => OutlineKind::Compaction,
                },
                message_id: ID(GlobalId::Message(entry.message.key.clone()).to_string()),
                timestamp: Timestamp(entry.message.at).to_rfc3339(),
                input_tokens: sum(|tokens| tokens.input),
                output_tokens: sum(|tokens| tokens.output),
                cache_read_tokens: sum(|tokens| tokens.cache_read),
                cache_creation_tokens: sum(|tokens| tokens.cache_creation()),
                op: Op::clone(op),
                entry,
            }
        });
        Self { entries: entries.collect(), has_next_page: page.has_next, end_cursor }
    }
}

/// The size of a session's context when an answer began.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ContextSize {
    /// The time of the answer, RFC 3339 in UTC.
    at: String,
    /// The input tokens that the model read, cached or not.
    tokens: i64,
}

impl From<outline::ContextSize> for ContextSize {
    fn from(size: outline::ContextSize) -> Self {
        Self { at: Timestamp(size.at).to_rfc3339(), tokens: size.tokens }
    }
}
