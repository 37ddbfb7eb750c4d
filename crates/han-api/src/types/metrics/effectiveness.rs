//! The effectiveness of sessions. docs/METRICS.md, "Sessions".

use std::sync::Arc;

use async_graphql::{ComplexObject, SimpleObject};
use han_db::entities::Session;
use han_db::queries::metrics::{self, SentimentTrend};
use han_types::{SessionId, Timestamp};

use super::names;
use crate::context::Op;
use crate::error::{ApiError, Result};

/// The effectiveness of one session: a figure to sort sessions by, not to judge people by. docs/METRICS.md, Sessions.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct SessionEffectiveness {
    /// The session's raw id, as in `Session.sessionId`.
    session_id: String,
    /// The time of its earliest line, RFC 3339 in UTC.
    started_at: Option<String>,
    /// The score from 0 to 100, from the parts that are known (docs/METRICS.md, Sessions).
    score: Option<f64>,
    /// The share of its tasks and to-dos that were completed, from 0 to 1 (docs/METRICS.md, Sessions).
    task_completion_rate: Option<f64>,
    /// The ratio of turns to compactions, from 0 to 1 (docs/METRICS.md, Sessions).
    focus_score: Option<f64>,
    /// The mean score of the sentiments in its prompts, from about -5 to +5 (docs/METRICS.md, Sentiments).
    avg_sentiment_score: Option<f64>,
    /// `improving`, `stable` or `declining`; null for fewer than two sentiments (docs/METRICS.md, Sessions).
    sentiment_trend: Option<&'static str>,
    /// The number of prompts and commands that a person typed.
    turn_count: i64,
    /// The number of times its context was compacted.
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

/// One session of a list; an operation loads the sessions of all its lists together.
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
    /// Its display name, such as `Nov 23 – 29`.
    week_label: String,
    /// The number of sessions that began in it and have activity in the range.
    session_count: i64,
    /// Their mean number of turns.
    avg_turns: f64,
    /// Their mean number of compactions.
    avg_compactions: f64,
    /// The mean score of the sessions that have one (docs/METRICS.md, Sessions).
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
