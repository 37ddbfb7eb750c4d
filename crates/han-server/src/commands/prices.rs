//! The commands that list and change prices. How they are stored, and what a change does, is in han-db.

use std::path::Path;

use han_db::Db;
use han_db::queries::prices::{self, Origin, PriceChange, PriceList, PriceRow, SearchPriceRow};
use han_transcript::pricing::Price;
use han_transcript::rates::{Rate, Rates, SearchRate};
use han_types::Timestamp;
use serde_json::{Value, json};

use super::table::text_table;
use super::{CommandError, Listing, PriceKey, Prices, SetPrice, World};

pub(super) async fn run(asked: &Prices, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let change = match asked {
        Prices::List(listing) => return list(listing, db, world).await,
        Prices::Set(asked) => set(asked)?,
        Prices::Remove(key) => PriceChange { remove: vec![rate(key)?], ..PriceChange::default() },
        Prices::SetSearches(asked) => {
            let valid_from = first_day(&asked.from)?;
            let rate = SearchRate { valid_from, per_thousand: asked.per_thousand, source: None };
            PriceChange { set_searches: vec![rate], ..PriceChange::default() }
        }
        Prices::RemoveSearches(asked) => {
            PriceChange { remove_searches: vec![first_day(&asked.from)?], ..PriceChange::default() }
        }
        Prices::Import(asked) => import(&asked.file)?,
    };
    let changed = prices::change(db, &change).await?;
    let what = match changed {
        0 => "nothing was changed".to_owned(),
        n => format!("{n} price(s) changed; a running server prices the answers again that they concern"),
    };
    writeln!(world.err, "han-server: {what}")?;
    Ok(())
}

async fn list(asked: &Listing, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let list = prices::list(db).await?;
    if asked.json {
        writeln!(world.out, "{}", as_json(&list))?;
    } else {
        write!(world.out, "{}", as_table(&list))?;
    }
    Ok(())
}

fn set(asked: &SetPrice) -> Result<PriceChange, CommandError> {
    let price = [
        ("--input", asked.input),
        ("--output", asked.output),
        ("--cache-read", asked.cache_read),
        ("--cache-write-5m", asked.cache_write_5m),
        ("--cache-write-1h", asked.cache_write_1h),
    ];
    let missing: Vec<&str> =
        price.iter().filter(|(_, given)| given.is_none()).map(|(name, _)| *name).collect();
    let price = match (asked.unpriced, price.map(|(_, given)| given)) {
        (
            false,
            [Some(input), Some(output), Some(cache_read), Some(cache_write_5m), Some(cache_write_1h)],
        ) => Some(Price { input, output, cache_read, cache_write_5m, cache_write_1h }),
        (true, [None, None, None, None, None]) => None,
        (true, _) => return Err(refused("--unpriced: leave out the prices, or leave out --unpriced")),
        (false, _) => {
            return Err(refused(&format!(
                "{} missing: give all five prices, or --unpriced",
                missing.join(", ")
            )));
        }
    };
    Ok(PriceChange { set: vec![(rate(&asked.key)?, price)], ..PriceChange::default() })
}

/// The row with this key, without a price.
fn rate(key: &PriceKey) -> Result<Rate, CommandError> {
    Ok(Rate {
        model: key.model.clone(),
        speed: key.speed.clone(),
        tier: key.tier.clone(),
        geography: key.geography.clone(),
        valid_from: first_day(&key.from)?,
        prompt_over: key.prompt_over,
        price: Price::default(),
        source: None,
    })
}

fn import(file: &Path) -> Result<PriceChange, CommandError> {
    let unreadable = |error: &dyn std::fmt::Display| refused(&format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(&error))?;
    let rates: Rates = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    Ok(PriceChange {
        set: rates.rows.into_iter().map(|rate| (rate.clone(), Some(rate.price))).collect(),
        set_searches: rates.web_searches,
        ..PriceChange::default()
    })
}

fn first_day(text: &str) -> Result<Timestamp, CommandError> {
    let day = (text.len() == 10).then(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))).flatten();
    day.ok_or_else(|| refused(&format!("--from: {text:?} is not a day: write it as 2026-10-24")))
}

fn refused(text: &str) -> CommandError {
    CommandError::Refused(text.to_owned())
}

fn day(at: Timestamp) -> String {
    let mut text = at.to_rfc3339();
    text.truncate(10);
    text
}

fn as_json(list: &PriceList) -> Value {
    let rates = list.applies();
    let tokens = |row: &PriceRow| {
        let rate = &row.rate;
        json!({
            "model": rate.model,
            "speed": rate.speed,
            "tier": rate.tier,
            "geography": rate.geography,
            "validFrom": day(rate.valid_from),
            "promptOver": rate.prompt_over,
            "price": row.is_priced.then_some(rate.price),
            "origin": row.origin.as_str(),
            "applies": applies(&rates, row),
            "source": rate.source,
        })
    };
    let searches = |row: &SearchPriceRow| {
        json!({
            "validFrom": day(row.rate.valid_from),
            "perThousand": row.is_priced.then_some(row.rate.per_thousand),
            "origin": row.origin.as_str(),
            "source": row.rate.source,
        })
    };
    json!({
        "revision": list.revision,
        "tokens": list.tokens.iter().map(tokens).collect::<Vec<_>>(),
        "webSearches": list.searches.iter().map(searches).collect::<Vec<_>>(),
    })
}

/// Whether no row of the operator overrides it.
fn applies(rates: &Rates, row: &PriceRow) -> bool {
    row.origin == Origin::Operator || rates.rows.contains(&row.rate)
}

const HEAD: [&str; 12] = [
    "MODEL",
    "SPEED",
    "TIER",
    "GEOGRAPHY",
    "FROM",
    "PROMPT OVER",
    "INPUT",
    "OUTPUT",
    "CACHE READ",
    "WRITE 5M",
    "WRITE 1H",
    "ORIGIN",
];

fn as_table(list: &PriceList) -> String {
    let rates = list.applies();
    let origin = |row: &PriceRow| match applies(&rates, row) {
        true => row.origin.as_str().to_owned(),
        false => format!("{}, overridden", row.origin.as_str()),
    };
    let tokens = list.tokens.iter().map(|row| {
        let (rate, price) = (&row.rate, &row.rate.price);
        let amount = |amount: f64| if row.is_priced { amount.to_string() } else { "unpriced".to_owned() };
        [
            rate.model.clone(),
            rate.speed.clone(),
            rate.tier.clone(),
            rate.geography.clone(),
            day(rate.valid_from),
            rate.prompt_over.to_string(),
            amount(price.input),
            amount(price.output),
            amount(price.cache_read),
            amount(price.cache_write_5m),
            amount(price.cache_write_1h),
            origin(row),
        ]
    });
    let searches = list.searches.iter().map(|row| {
        let price = if row.is_priced { row.rate.per_thousand.to_string() } else { "unpriced".to_owned() };
        [day(row.rate.valid_from), price, row.origin.as_str().to_owned()]
    });
    format!(
        "US dollars per million tokens\n{}\nUS dollars per thousand searches on the web\n{}",
        text_table(HEAD, tokens),
        text_table(["FROM", "PRICE", "ORIGIN"], searches)
    )
}
