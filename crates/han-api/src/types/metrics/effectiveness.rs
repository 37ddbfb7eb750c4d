//! How well sessions went. docs/METRICS.md, "Sessions".

use std::sync::Arc;

use async_graphql::{ComplexObject, SimpleObject};
use han_db::entities::Session;
use han_db::queries::metrics::{self, SentimentTrend};
use han_types::{SessionId, Timestamp};

use super::names;
use crate::context::Op;
use crate::error::{ApiError, Result};

/// How well one session went: a figure to sort sessions by, and not to judge people with. docs/METRICS.md, Sessions.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct SessionEffectiveness {
    /// The session's raw id, as `Session.sessionId` has it.
    session_id: String,
    /// When its earliest line was written, RFC 3339 in UTC.
    started_at: Option<String>,
    /// From 0 to 100, from what is known of its parts (docs/METRICS.md, Sessions).
    score: Option<f64>,
    /// The share of its tasks and to-dos that were completed, from 0 to 1 (docs/METRICS.md, Sessions).
    task_completion_rate: Option<f64>,
    /// Turns beside compactions, from 0 to 1 (docs/METRICS.md, Sessions).
    focus_score: Option<f64>,
    /// The mean of the sentiments that Han read from its prompts, from about -5 to +5 (docs/METRICS.md, Moods).
    avg_sentiment_score: Option<f64>,
    /// `improving`, `stable` or `declining`; null of fewer than two moods (docs/METRICS.md, Sessions).
    sentiment_trend: Option<&'static str>,
    /// Prompts and commands that a person typed.
    turn_count: i64,
    /// How often its context was compacted.
    compaction_count: i64,
    #[graphql(skip)]
    op: Op,
}

#[ComplexObject]
impl SessionEffectiveness {
    /// The session's short name.
    async fn slug(&self) -> Result<Option<String>> {
        let session = session(&self.op, &self.session_id).await?;
        Ok(session.and_then(|session| session.details.slug.as_ref().map(|slug| slug.value.clone())))
    }

    /// The session's summary: its last summary line, else its first prompt.
    async fn summary(&self) -> Result<Option<String>> {
        let session = session(&self.op, &self.session_id).await?;
        Ok(session.and_then(|session| session.details.summary().map(str::to_owned)))
    }
}

/// One session of a list; all of an operation's lists are loaded at once.
pub(super) async fn session(op: &Op, id: &str) -> Result<Option<Arc<Session>>> {
    let id: SessionId = id.parse().map_err(|_| {
        tracing::error!("a stored session id is malformed");
        ApiError::Internal
    })?;
    op.loader().load_one(id).await
}

/// The sessions that began in one week. docs/METRICS.md, Sessions.
#[derive(Clone, Debug, SimpleObject)]
pub struct SessionPerformancePoint {
    /// The date of its Monday, ISO 8601.
    week_start: String,
    /// Its days for people: `Nov 23 – 29`.
    week_label: String,
    /// Sessions that began in it and have activity in the range.
    session_count: i64,
    /// Their mean turns.
    avg_turns: f64,
    /// Their mean compactions.
    avg_compactions: f64,
    /// The mean score of those that have one (docs/METRICS.md, Sessions).
    avg_effectiveness: Option<f64>,
}

impl SessionEffectiveness {
    pub(super) fn new(op: &Op, measured: metrics::SessionEffectiveness) -> Self {
        Self {
            started_at: measured.started_at.map(|at| Timestamp(at).to_rfc3339()),
            score: measured.score,
            task_completion_rate: measured.completion,
            focus_score: measured.focus,
            avg_sentiment_score: measured.sentiment,
            sentiment_trend: measured.trend.map(SentimentTrend::as_str),
            turn_count: measured.turns,
            compaction_count: measured.compactions,
            session_id: measured.session_id,
            op: Op::clone(op),
        }
    }
}

impl From<metrics::WeekPerformance> for SessionPerformancePoint {
    fn from(week: metrics::WeekPerformance) -> Self {
        Self {
            week_label: names::week(&week.week_start),
            session_count: week.sessions,
            avg_turns: week.turns,
            avg_compactions: week.compactions,
            avg_effectiveness: week.effectiveness,
            week_start: week.week_start,
        }
    }
}
