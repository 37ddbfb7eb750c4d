//! Activity by day, by hour of the day, by model.

use std::collections::BTreeMap;

use han_transcript::fold::TokenTotals;
use sea_orm::{FromQueryResult, Value};

use super::{By, Cost, Range, RollupRow, Within, counts, date, hours_of_day, plus, rollups, total};
use crate::queries::ingest::grain::{Grain, HOUR_MS};
use crate::{DbError, ScopedTx};

/// The activity in a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActivityData {
    /// Every day of the range, in order.
    pub days: Vec<Day>,
    /// The 24 hours of the day, in local time.
    pub hours: Vec<Hour>,
    /// Days on which tokens were used, in order.
    pub day_models: Vec<DayModels>,
    /// By model, most tokens first.
    pub models: Vec<ModelUsage>,
    /// The number of consecutive days with activity, up to the last day of the range or the day before it.
    pub streak_days: i64,
    /// The number of days with activity.
    pub active_days: i64,
    /// Sessions started.
    pub sessions: i64,
    /// Messages.
    pub messages: i64,
    /// Tokens.
    pub tokens: TokenTotals,
    /// Their cost.
    pub cost: Cost,
    /// The date of the first session ever, regardless of the range.
    pub first_session_date: Option<String>,
}

/// One day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// ISO 8601.
    pub date: String,
    /// Sessions started.
    pub sessions: i64,
    /// Messages.
    pub messages: i64,
    /// Prompts that people typed.
    pub turns: i64,
    /// Tokens.
    pub tokens: TokenTotals,
    /// File changes.
    pub files_changed: i64,
    /// Lines that they added.
    pub lines_added: i64,
    /// Lines that they removed.
    pub lines_removed: i64,
}

/// One hour of the day, over all days of the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// 0 to 23, local time.
    pub hour: i64,
    /// Sessions started.
    pub sessions: i64,
    /// Messages.
    pub messages: i64,
}

/// The tokens of one day by model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayModels {
    /// ISO 8601.
    pub date: String,
    /// Pairs of model and total tokens, by model.
    pub models: Vec<(String, i64)>,
}

/// One model's tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelUsage {
    /// The model; empty if answers name none.
    pub model: String,
    /// Answers.
    pub responses: i64,
    /// Tokens.
    pub tokens: TokenTotals,
    /// Their cost.
    pub cost: Cost,
}

/// The activity in a range. Runs at most five statements.
pub async fn activity(tx: &ScopedTx, range: &Range, within: &Within) -> Result<ActivityData, DbError> {
    let rows = rollups(tx, range, within, By::Day, true).await?;
    let files = counts(tx, range, within, By::Day, &["file"]).await?;
    let mut data = ActivityData { models: by_model(&rows), ..ActivityData::default() };
    let mut days: BTreeMap<i64, Day> = (range.first_day()..=range.last_day())
        .map(|day| (day, Day { date: date(day), ..Day::default() }))
        .collect();
    for row in &rows {
        let Some(day) = days.get_mut(&row.bucket) else { continue };
        day.sessions += row.sessions;
        day.messages += row.messages;
        day.turns += row.turns;
        day.tokens = plus(&day.tokens, &row.usage.tokens());
        data.cost.add(&row.usage.cost());
    }
    for row in files {
        let Some(day) = days.get_mut(&row.bucket) else { continue };
        day.files_changed += row.count;
        day.lines_added += row.lines_added;
        day.lines_removed += row.lines_removed;
    }
    data.day_models = day_models(&rows);
    data.days = days.into_values().collect();
    for day in &data.days {
        data.sessions += day.sessions;
        data.messages += day.messages;
        data.tokens = plus(&data.tokens, &day.tokens);
    }
    let active = |day: &Day| day.messages > 0 || total(&day.tokens) > 0;
    data.active_days = data.days.iter().filter(|day| active(day)).count() as i64;
    // The last day may still get activity.
    let skip = usize::from(!data.days.last().is_some_and(active));
    data.streak_days = data.days.iter().rev().skip(skip).take_while(|day| active(day)).count() as i64;
    data.hours = hours(tx, range, within).await?;
    data.first_session_date = first_session(tx, within).await?.map(|at| date(range.day_of(at)));
    Ok(data)
}

/// Tokens by model, most first.
pub(super) fn by_model(rows: &[RollupRow]) -> Vec<ModelUsage> {
    let mut models: BTreeMap<&str, ModelUsage> = BTreeMap::new();
    let is_used =
        |row: &&RollupRow| row.usage.responses != 0 || row.usage.cost != 0 || row.usage.unpriced_answers != 0;
    for row in rows.iter().filter(is_used) {
        let model = models.entry(&row.model).or_default();
        model.model.clone_from(&row.model);
        model.responses += row.usage.responses;
        model.tokens = plus(&model.tokens, &row.usage.tokens());
        model.cost.add(&row.usage.cost());
    }
    let mut models: Vec<ModelUsage> = models.into_values().collect();
    models.sort_by_key(|model| std::cmp::Reverse(total(&model.tokens)));
    models
}

fn day_models(rows: &[RollupRow]) -> Vec<DayModels> {
    let mut days: BTreeMap<i64, DayModels> = BTreeMap::new();
    for row in rows.iter().filter(|row| total(&row.usage.tokens()) > 0) {
        let day = days
            .entry(row.bucket)
            .or_insert_with(|| DayModels { date: date(row.bucket), models: Vec::new() });
        day.models.push((row.model.clone(), total(&row.usage.tokens())));
    }
    days.into_values().collect()
}

async fn hours(tx: &ScopedTx, range: &Range, within: &Within) -> Result<Vec<Hour>, DbError> {
    let mut hours: Vec<Hour> = (0..24).map(|hour| Hour { hour, ..Hour::default() }).collect();
    for row in hours_of_day(tx, range, within).await? {
        if let Some(hour) = usize::try_from(row.bucket).ok().and_then(|hour| hours.get_mut(hour)) {
            hour.sessions += row.sessions;
            hour.messages += row.messages;
        }
    }
    Ok(hours)
}

/// The quarter-hour in which the first session started.
async fn first_session(tx: &ScopedTx, within: &Within) -> Result<Option<i64>, DbError> {
    let hour = earliest(tx, within, Grain::Hour, (0, i64::MAX)).await?;
    let Some(hour) = hour else { return Ok(None) };
    earliest(tx, within, Grain::quarters_of(hour), (hour, hour + HOUR_MS)).await
}

/// The start of the earliest row of a grain, in a range of starts, in which a session started.
async fn earliest(
    tx: &ScopedTx,
    within: &Within,
    grain: Grain,
    (from, to): (i64, i64),
) -> Result<Option<i64>, DbError> {
    #[derive(FromQueryResult)]
    struct First {
        start: i64,
    }
    let mut values: Vec<Value> = vec![tx.team(), grain.code(false).into(), from.into(), to.into()];
    let within = within.condition("project_id", &mut values);
    let sql = format!(
        "SELECT start FROM rollups WHERE team = $1 AND grain = $2 AND start >= $3 AND start < $4 AND sessions > 0{within} \
         ORDER BY start LIMIT 1"
    );
    Ok(tx.one::<First, _>(&sql, values).await?.map(|first| first.start))
}
