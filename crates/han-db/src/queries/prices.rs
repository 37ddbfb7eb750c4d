//! Prices as rows: those built into the program, and those of the operator, which override them. They belong to no team.
//!
//! Every change of a price increases the *revision*. A session's row says by which revision its answers are priced, so
//! the job `prices` finds those that a change concerns (docs/adr/0029).

use std::collections::BTreeSet;
use std::sync::Arc;

use han_transcript::pricing::Price;
use han_transcript::rates::{Rate, Rates, SearchRate};
use han_types::Timestamp;
use sea_orm::{FromQueryResult, Value};

use crate::bulk_insert::{BulkInsert, Column};
use crate::prices::{Held, Prices};
use crate::queries::ingest::answers::{self, AnswerCopy, Usage};
use crate::queries::ingest::rollup_delta::{RollupDelta, RollupPart, add_rollups};
use crate::tx::{SystemTx, Tx};
use crate::{Db, DbError};

/// Where a price comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The list that is built into the program.
    BuiltIn,
    /// The operator.
    Operator,
}

impl Origin {
    /// The name of the origin.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Operator => "operator",
        }
    }

    fn code(self) -> i64 {
        match self {
            Self::BuiltIn => 0,
            Self::Operator => 1,
        }
    }

    fn of_code(code: i16) -> Self {
        if code == 0 { Self::BuiltIn } else { Self::Operator }
    }
}

/// A row of the prices of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceRow {
    /// The row. If it has no price, `price` is 0.
    pub rate: Rate,
    /// Whether it has a price: an operator may say that there is none.
    pub is_priced: bool,
    /// Where it comes from.
    pub origin: Origin,
}

/// A row of the prices of searches on the web.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchPriceRow {
    /// The row. If it has no price, `per_thousand` is 0.
    pub rate: SearchRate,
    /// Whether it has a price.
    pub is_priced: bool,
    /// Where it comes from.
    pub origin: Origin,
}

/// All rows, of both origins, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceList {
    /// Grows with every change.
    pub revision: i64,
    /// Prices of tokens.
    pub tokens: Vec<PriceRow>,
    /// Prices of searches on the web.
    pub searches: Vec<SearchPriceRow>,
}

/// Rows that the operator sets or removes.
#[derive(Clone, Debug, Default)]
pub struct PriceChange {
    /// Prices of tokens to set; `None` says that there is no price.
    pub set: Vec<(Rate, Option<Price>)>,
    /// Prices of searches to set.
    pub set_searches: Vec<SearchRate>,
    /// Rows of the operator to remove, so that the built-in ones apply again. Their prices are ignored.
    pub remove: Vec<Rate>,
    /// Prices of searches to remove, by their first day.
    pub remove_searches: Vec<Timestamp>,
}

#[derive(FromQueryResult)]
struct StateRow {
    revision: i64,
    as_of: String,
}

#[derive(FromQueryResult)]
struct TokenRow {
    model: String,
    speed: String,
    tier: String,
    geography: String,
    valid_from: i64,
    prompt_over: i64,
    origin: i16,
    input: Option<i64>,
    output: Option<i64>,
    cache_read: Option<i64>,
    cache_write_5m: Option<i64>,
    cache_write_1h: Option<i64>,
    source: Option<String>,
}

#[derive(FromQueryResult)]
struct SearchRow {
    valid_from: i64,
    origin: i16,
    per_thousand: Option<i64>,
    source: Option<String>,
}

/// A stored price in US dollars.
#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^53")]
fn dollars(stored: i64) -> f64 {
    stored as f64 / 1e6
}

/// The stored form of a price: millionths of a US dollar.
///
/// # Errors
/// [`DbError::Price`] if it is not a price, or has more decimals.
fn stored(dollars: f64) -> Result<i64, DbError> {
    let millionths = (dollars * 1e6).round();
    if !(0.0..=1e12).contains(&millionths) || (millionths / 1e6 - dollars).abs() > 1e-9 {
        return Err(DbError::Price(dollars));
    }
    #[expect(clippy::cast_possible_truncation, reason = "it was checked above")]
    Ok(millionths as i64)
}

impl From<TokenRow> for PriceRow {
    fn from(row: TokenRow) -> Self {
        let columns = [row.input, row.output, row.cache_read, row.cache_write_5m, row.cache_write_1h];
        let is_priced = columns.iter().all(Option::is_some);
        let [input, output, cache_read, cache_write_5m, cache_write_1h] =
            columns.map(|column| dollars(column.unwrap_or_default()));
        Self {
            rate: Rate {
                model: row.model,
                speed: row.speed,
                tier: row.tier,
                geography: row.geography,
                valid_from: Timestamp(row.valid_from),
                prompt_over: row.prompt_over,
                price: Price { input, output, cache_read, cache_write_5m, cache_write_1h },
                source: row.source,
            },
            is_priced,
            origin: Origin::of_code(row.origin),
        }
    }
}

impl From<SearchRow> for SearchPriceRow {
    fn from(row: SearchRow) -> Self {
        Self {
            rate: SearchRate {
                valid_from: Timestamp(row.valid_from),
                per_thousand: dollars(row.per_thousand.unwrap_or_default()),
                source: row.source,
            },
            is_priced: row.per_thousand.is_some(),
            origin: Origin::of_code(row.origin),
        }
    }
}

impl PriceList {
    /// The rows that apply: of two that differ only in their origin, the operator's.
    #[must_use]
    pub fn applies(&self) -> Rates {
        let own = |row: &&PriceRow| row.origin == Origin::Operator;
        let overridden: BTreeSet<_> = self.tokens.iter().filter(own).map(|row| row.rate.key()).collect();
        let kept = |row: &&PriceRow| row.origin == Origin::Operator || !overridden.contains(&row.rate.key());
        let rows = self.tokens.iter().filter(kept).filter(|row| row.is_priced).map(|row| row.rate.clone());
        let own = |row: &&SearchPriceRow| row.origin == Origin::Operator;
        let days: BTreeSet<_> = self.searches.iter().filter(own).map(|row| row.rate.valid_from).collect();
        let kept =
            |row: &&SearchPriceRow| row.origin == Origin::Operator || !days.contains(&row.rate.valid_from);
        let searches = self.searches.iter().filter(kept).filter(|row| row.is_priced);
        Rates {
            web_searches: searches.map(|row| row.rate.clone()).collect(),
            rows: rows.collect(),
            ..Rates::empty()
        }
    }
}

/// All rows.
pub async fn list(db: &Db) -> Result<PriceList, DbError> {
    let tx = db.read_system("prices.list").await?;
    read(&tx).await
}

async fn read(tx: &Tx) -> Result<PriceList, DbError> {
    let tokens: Vec<TokenRow> = tx
        .all(
            "SELECT model, speed, tier, geography, valid_from, prompt_over, origin, input, output, cache_read, \
             cache_write_5m, cache_write_1h, source FROM prices \
             ORDER BY model, speed, tier, geography, valid_from, prompt_over, origin",
            [],
        )
        .await?;
    let searches: Vec<SearchRow> = tx
        .all(
            "SELECT valid_from, origin, per_thousand, source FROM search_prices ORDER BY valid_from, origin",
            [],
        )
        .await?;
    Ok(PriceList {
        revision: state(tx).await?.map_or(0, |state| state.revision),
        tokens: tokens.into_iter().map(PriceRow::from).collect(),
        searches: searches.into_iter().map(SearchPriceRow::from).collect(),
    })
}

async fn state(tx: &Tx) -> Result<Option<StateRow>, DbError> {
    tx.one("SELECT revision, as_of FROM price_state WHERE id = 1", []).await
}

impl Db {
    /// The prices that apply. A process reads them again only if they have changed, which it notices after at most ten
    /// seconds.
    pub async fn prices(&self) -> Result<Arc<Prices>, DbError> {
        let known = match self.price_cache().held() {
            Held::Fresh(prices) => return Ok(prices),
            Held::Old(prices) => Some(prices),
            Held::Nothing => None,
        };
        let tx = self.read_system("prices.read").await?;
        let revision = state(&tx).await?.map_or(0, |state| state.revision);
        let prices = match known {
            Some(prices) if prices.revision == revision => prices,
            _ => Arc::new(current(&tx).await?),
        };
        self.price_cache().hold(Some(Arc::clone(&prices)));
        Ok(prices)
    }
}

/// The prices that apply, as the transaction sees them.
async fn current(tx: &Tx) -> Result<Prices, DbError> {
    let list = read(tx).await?;
    Ok(Prices { revision: list.revision, rates: list.applies() })
}

/// The prices that apply, as they are stored now.
pub async fn latest(db: &Db) -> Result<Prices, DbError> {
    let tx = db.read_system("prices.latest").await?;
    current(&tx).await
}

/// Stores the built-in prices, unless newer ones are stored: another version of the program may have stored them. The
/// operator's rows stay as they are.
pub(crate) async fn seed(db: &Db) -> Result<(), DbError> {
    let built_in = &Rates::default();
    let tx = db.read_system("prices.seeded").await?;
    let is_stored = is_seeded(&tx, built_in).await?;
    drop(tx);
    if is_stored {
        return Ok(());
    }
    db.write_system("prices.seed", |tx| async move {
        lock(&tx).await?;
        if is_seeded(&tx, built_in).await? {
            return Ok(());
        }
        let origin = Origin::BuiltIn.code();
        for table in ["prices", "search_prices"] {
            tx.execute(&format!("DELETE FROM {table} WHERE origin = $1"), [origin.into()]).await?;
        }
        let rows: Vec<_> = built_in.rows.iter().map(|rate| (rate, Some(rate.price))).collect();
        put(&tx, Origin::BuiltIn, &rows).await?;
        put_searches(&tx, Origin::BuiltIn, &built_in.web_searches).await?;
        let sql = "UPDATE price_state SET as_of = $1, revision = revision + 1 WHERE id = 1";
        tx.execute(sql, [built_in.as_of.as_str().into()]).await?;
        Ok(())
    })
    .await?;
    db.price_cache().hold(None);
    Ok(())
}

/// Whether the stored built-in prices are these, or later ones. ISO dates sort as texts.
async fn is_seeded(tx: &Tx, built_in: &Rates) -> Result<bool, DbError> {
    Ok(state(tx).await?.is_some_and(|state| state.as_of >= built_in.as_of))
}

/// Lets one transaction at a time change prices.
async fn lock(tx: &SystemTx) -> Result<(), DbError> {
    let sql = "INSERT INTO price_state (id, revision, as_of) VALUES (1, 0, '') ON CONFLICT (id) DO NOTHING";
    tx.execute(sql, []).await?;
    let lock = tx.dialect().for_update();
    tx.rows(&format!("SELECT revision FROM price_state WHERE id = 1{lock}"), []).await?;
    Ok(())
}

/// Changes the operator's rows; returns how many rows are other than before. The job `prices` prices the answers again
/// that they concern.
///
/// # Errors
/// [`DbError::Price`] if a price is none.
pub async fn change(db: &Db, change: &PriceChange) -> Result<usize, DbError> {
    let changed = db
        .write_system("prices.change", |tx| async move {
            lock(&tx).await?;
            let before = read(&tx).await?;
            let origin = Origin::Operator;
            for rate in change.set.iter().map(|(rate, _)| rate).chain(&change.remove) {
                let sql = "DELETE FROM prices WHERE model = $1 AND speed = $2 AND tier = $3 AND geography = $4 \
                           AND valid_from = $5 AND prompt_over = $6 AND origin = $7";
                let values: [Value; 7] = [
                    rate.model.as_str().into(),
                    rate.speed.as_str().into(),
                    rate.tier.as_str().into(),
                    rate.geography.as_str().into(),
                    rate.valid_from.0.into(),
                    rate.prompt_over.into(),
                    origin.code().into(),
                ];
                tx.execute(sql, values).await?;
            }
            let days = change.set_searches.iter().map(|rate| rate.valid_from);
            for day in days.chain(change.remove_searches.iter().copied()) {
                let sql = "DELETE FROM search_prices WHERE valid_from = $1 AND origin = $2";
                tx.execute(sql, [day.0.into(), origin.code().into()]).await?;
            }
            let rows: Vec<_> = change.set.iter().map(|(rate, price)| (rate, *price)).collect();
            put(&tx, origin, &rows).await?;
            put_searches(&tx, origin, &change.set_searches).await?;
            let changed = differences(&before, &read(&tx).await?);
            if changed > 0 {
                tx.execute("UPDATE price_state SET revision = revision + 1 WHERE id = 1", []).await?;
            }
            Ok(changed)
        })
        .await?;
    db.price_cache().hold(None);
    Ok(changed)
}

/// The number of rows that one list has and the other has not, or not with this price.
fn differences(before: &PriceList, after: &PriceList) -> usize {
    let mut keys = BTreeSet::new();
    let lists = [(before, after), (after, before)];
    for (one, other) in lists {
        let changed = one.tokens.iter().filter(|row| !other.tokens.contains(row));
        keys.extend(changed.map(|row| format!("{:?}", row.rate.key())));
        let changed = one.searches.iter().filter(|row| !other.searches.contains(row));
        keys.extend(changed.map(|row| format!("search {:?}", row.rate.valid_from)));
    }
    keys.len()
}

async fn put(tx: &Tx, origin: Origin, rows: &[(&Rate, Option<Price>)]) -> Result<(), DbError> {
    let texts = |value: for<'r> fn(&'r Rate) -> &'r str| rows.iter().map(|row| value(row.0)).collect();
    let prices = |value: fn(&Price) -> f64| -> Result<Vec<Option<i64>>, DbError> {
        rows.iter().map(|(_, price)| price.as_ref().map(|price| stored(value(price))).transpose()).collect()
    };
    let insert = BulkInsert {
        table: "prices",
        constants: vec![("origin", origin.code().into())],
        columns: vec![
            Column::Str("model", texts(|rate| &rate.model)),
            Column::Str("speed", texts(|rate| &rate.speed)),
            Column::Str("tier", texts(|rate| &rate.tier)),
            Column::Str("geography", texts(|rate| &rate.geography)),
            Column::Int("valid_from", rows.iter().map(|row| row.0.valid_from.0).collect()),
            Column::Int("prompt_over", rows.iter().map(|row| row.0.prompt_over).collect()),
            Column::NullableInt("input", prices(|price| price.input)?),
            Column::NullableInt("output", prices(|price| price.output)?),
            Column::NullableInt("cache_read", prices(|price| price.cache_read)?),
            Column::NullableInt("cache_write_5m", prices(|price| price.cache_write_5m)?),
            Column::NullableInt("cache_write_1h", prices(|price| price.cache_write_1h)?),
            Column::NullableStr("source", rows.iter().map(|row| row.0.source.as_deref()).collect()),
        ],
        on_conflict: "",
        returning: "",
    };
    insert.run(tx).await?;
    Ok(())
}

async fn put_searches(tx: &Tx, origin: Origin, rows: &[SearchRate]) -> Result<(), DbError> {
    let prices: Result<Vec<i64>, DbError> = rows.iter().map(|row| stored(row.per_thousand)).collect();
    let insert = BulkInsert {
        table: "search_prices",
        constants: vec![("origin", origin.code().into())],
        columns: vec![
            Column::Int("valid_from", rows.iter().map(|row| row.valid_from.0).collect()),
            Column::Int("per_thousand", prices?),
            Column::NullableStr("source", rows.iter().map(|row| row.source.as_deref()).collect()),
        ],
        on_conflict: "",
        returning: "",
    };
    insert.run(tx).await?;
    Ok(())
}

/// A session whose answers are priced by an earlier revision of the prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    team: i32,
    session: i32,
}

#[derive(FromQueryResult)]
struct OutdatedRow {
    team: i32,
    number: i32,
}

/// Sessions of all teams whose answers are priced by an earlier revision than this: in order, after `after`, at most
/// `limit`.
pub async fn outdated(
    db: &Db,
    revision: i64,
    after: Option<&Outdated>,
    limit: usize,
) -> Result<Vec<Outdated>, DbError> {
    let tx = db.read_system("prices.outdated").await?;
    let sql = format!(
        "SELECT team, number FROM sessions WHERE price_revision > 0 AND price_revision < $1 \
         AND (team, number) > ($2, $3) ORDER BY team, number LIMIT {limit}"
    );
    let from = after.map_or((0, 0), |after| (after.team, after.session));
    let values: [Value; 3] = [revision.into(), from.0.into(), from.1.into()];
    let rows: Vec<OutdatedRow> = tx.all(&sql, values).await?;
    Ok(rows.into_iter().map(|row| Outdated { team: row.team, session: row.number }).collect())
}

#[derive(FromQueryResult)]
struct SessionRow {
    session_id: String,
    user_id: String,
    project_id: Option<String>,
    price_revision: i64,
}

/// The number of answers that are read at a time.
const PAGE: usize = 1_000;

/// Prices the answers of a session by the prices that apply now, and corrects its totals and the rollups; returns how many
/// answers cost something else than before. One transaction: if it is interrupted, nothing is changed.
pub async fn reprice(db: &Db, session: &Outdated, prices: &Prices) -> Result<usize, DbError> {
    let changed =
        db.write_system("prices.reprice", |tx| async move { reprice_in(&tx, session, prices).await }).await?;
    if changed > 0 {
        db.commits().notify();
    }
    Ok(changed)
}

async fn reprice_in(tx: &Tx, session: &Outdated, prices: &Prices) -> Result<usize, DbError> {
    let (team, number) = (|| Value::from(session.team), i64::from(session.session));
    let lock = tx.dialect().for_update();
    let sql = format!(
        "SELECT session_id, user_id, project_id, price_revision FROM sessions WHERE team = $1 AND number = $2{lock}"
    );
    // It may have been deleted, or priced by another process, since it was listed.
    let Some(row) = tx.one::<SessionRow, _>(&sql, [team(), number.into()]).await? else { return Ok(0) };
    if row.price_revision >= prices.revision {
        return Ok(0);
    }
    let (mut delta, mut usage) = (RollupDelta::default(), Usage::new());
    let (mut changed, mut after) = (0, None);
    loop {
        let page = answers::page(tx, team(), number, after, PAGE).await?;
        let Some((last, ..)) = page.last() else { break };
        after = Some(*last);
        let mut charges = Vec::new();
        for (key, copy, is_owner) in page {
            let charge = prices.charge(&copy);
            if charge == copy.charge {
                continue;
            }
            charges.push((key, charge));
            let priced = AnswerCopy { charge, ..copy.clone() };
            if is_owner {
                for (sign, copy) in [(-1, &copy), (1, &priced)] {
                    copy.count(sign, &mut delta);
                    answers::count_usage(&mut usage, sign, copy);
                }
            }
        }
        changed += charges.len();
        answers::put_charges(tx, team(), number, &charges).await?;
    }
    answers::add_usage(tx, team(), number, &usage).await?;
    // Clients that show the session are notified if there is something else to show.
    let sql =
        "UPDATE sessions SET price_revision = $3, revision = revision + $4 WHERE team = $1 AND number = $2";
    let notifies = i64::from(!delta.is_zero());
    tx.execute(sql, [team(), number.into(), prices.revision.into(), notifies.into()]).await?;
    let part = RollupPart {
        user_id: row.user_id,
        session_id: row.session_id,
        project_id: row.project_id.unwrap_or_default(),
        delta,
    };
    add_rollups(tx, team(), &[part]).await?;
    Ok(changed)
}
