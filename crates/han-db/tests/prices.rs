//! What answers cost: as billed, by the prices of their day, however their lines arrive; and what a change of a price does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use han_db::DbError;
use han_db::jobs::{Prices, Registry};
use han_db::queries::metrics::{self, Cost, Dimension, Period, Range, UsageGroup, Within, Zone};
use han_db::queries::prices::{self, Origin, PriceChange};
use han_db::queries::{deletion, rebuild, usage};
use han_testkit::{TestDatabase, both_databases};
use han_transcript::pricing::Price;
use han_transcript::rates::{Rate, Rates};
use han_types::{SessionId, Timestamp};
use serde_json::{Value, json};
use support::corpus::{assert_same, contents, number};
use support::{Killed, World, push};
use tokio_util::sync::CancellationToken;

/// A team whose server's clock is after the times of all lines.
async fn world(database: &TestDatabase) -> World {
    let world = support::world(database).await;
    world.clock.set(Timestamp(1_798_761_600_000));
    world
}

/// A line of an answer.
fn answer(n: usize, at: &str, model: &str, usage: &Value) -> Value {
    json!({"type": "assistant", "uuid": format!("00000000-0000-4000-8000-{n:012}"), "timestamp": at,
        "requestId": format!("req-{n}"), "message": {"id": format!("msg-{n}"), "role": "assistant", "model": model,
        "content": [{"type": "text", "text": format!("answer {n}")}], "usage": usage}})
}

/// The same answer on a line of its own.
fn repeated(answer: &Value, line: usize, usage: &Value) -> Value {
    let mut repeated = answer.clone();
    repeated["uuid"] = json!(format!("00000000-0000-4000-9000-{line:012}"));
    repeated["message"]["usage"] = usage.clone();
    repeated
}

fn texts(lines: &[Value]) -> Vec<String> {
    lines.iter().map(Value::to_string).collect()
}

const AT: &str = "2026-11-20T10:00:00.000Z";

/// Cost, tokens without a price and answers without a price of a session.
async fn cost_of(world: &World, session: &str) -> Cost {
    let tx = world.db.read(&world.scope, "test.cost").await.unwrap();
    let ids: [SessionId; 1] = [session.parse().unwrap()];
    usage::by_sessions(&tx, &ids).await.unwrap().iter().map(|row| row.cost).sum()
}

async fn report(world: &World, by: &[Dimension]) -> (UsageGroup, Vec<UsageGroup>) {
    let tx = world.db.read(&world.scope, "test.report").await.unwrap();
    let range = Range::between(20_000, 21_000, Zone::named("Asia/Kathmandu").unwrap());
    let report = metrics::usage(&tx, &range, &Within::Team, by).await.unwrap().unwrap();
    (report.total, report.groups)
}

/// The sums of answers that count, of the session's rows, and of the rollups of each length agree.
async fn assert_consistent(database: &TestDatabase, world: &World) {
    let total = "input_tokens + output_tokens + cache_read_tokens + cache_creation_5m_tokens + cache_creation_1h_tokens";
    let owners = "answer_copies WHERE owner";
    let sums = [
        ("cost", "COALESCE(cost, 0)".to_owned()),
        ("saved", "saved".to_owned()),
        ("unpriced_tokens", format!("CASE WHEN cost IS NULL THEN {total} ELSE 0 END")),
        ("unpriced_answers", "CASE WHEN cost IS NULL THEN 1 ELSE 0 END".to_owned()),
        ("responses", "CASE WHEN part >= 0 THEN 1 ELSE 0 END".to_owned()),
        ("output_tokens", "output_tokens".to_owned()),
    ];
    for (column, of_answers) in sums {
        let wanted = number(database, &format!("SELECT sum({of_answers}) FROM {owners}")).await;
        let mut found = vec![("session_usage", format!("SELECT sum({column}) FROM session_usage"))];
        for (length, grains) in [("day", "grain < 2"), ("hour", "grain IN (2, 3)"), ("quarter", "grain > 3")]
        {
            found.push((length, format!("SELECT sum({column}) FROM rollups WHERE {grains}")));
        }
        for (name, sql) in found {
            assert_eq!(number(database, &sql).await, wanted, "{column} of {name}");
        }
    }
    let before = contents(database, world).await;
    rebuild::rebuild(&world.scope, &world.db).await.unwrap();
    assert_same(&contents(database, world).await, &before);
}

both_databases!(
    async fn another_model_inside_an_answer_is_billed_at_its_own_price(database: TestDatabase) {
        let world = world(&database).await;
        let advisor = |output: i64| {
            json!({"type": "advisor_message", "model": "claude-opus-4-7", "input_tokens": 30_000,
                "output_tokens": output, "cache_read_input_tokens": 1_000})
        };
        let usage = |output: i64, advice: i64| {
            let own = json!({"type": "message", "input_tokens": 7, "output_tokens": output});
            json!({"input_tokens": 7, "output_tokens": output, "cache_read_input_tokens": 500_000,
                "cache_creation_input_tokens": 2_000, "iterations": [own, advisor(advice), advisor(10)]})
        };
        // The first line has partial counters.
        let first = answer(1, AT, "claude-sonnet-4-6", &usage(1, 4));
        let last = repeated(&first, 2, &usage(400, 900));
        push(&world, "s", "main", Some(0), &texts(&[first])).await;
        push(&world, "s", "main", Some(1), &texts(&[last])).await;
        // Sonnet 4.6: 3, 15, 0.3 and 3.75 dollars per million; Opus 4.7: 5, 25 and 0.5.
        let own = 7 * 3_000 + 400 * 15_000 + 500_000 * 300 + 2_000 * 3_750;
        let parts = [900, 10].map(|output| 30_000 * 5_000 + output * 25_000 + 1_000 * 500);
        let cost = cost_of(&world, "s").await;
        assert_eq!((cost.billionths, cost.unpriced_answers), (own + parts[0] + parts[1], 0));
        assert_eq!(number(&database, "SELECT input_tokens FROM sessions").await, 7 + 60_000);
        assert_eq!(number(&database, "SELECT output_tokens FROM sessions").await, 400 + 910);
        let (_, models) = report(&world, &[Dimension::Model]).await;
        let of = |name: &str| models.iter().find(|group| group.model.as_deref() == Some(name)).unwrap();
        assert_eq!(of("claude-opus-4-7").cost.billionths, parts[0] + parts[1]);
        assert_eq!(of("claude-sonnet-4-6").cost.billionths, own);
        assert_eq!(of("claude-sonnet-4-6").tokens.output, 400);
        assert_consistent(&database, &world).await;
    }
);

both_databases!(
    async fn what_cannot_be_priced_is_counted_and_costs_nothing(database: TestDatabase) {
        let world = world(&database).await;
        let tokens = |terms: &Value| {
            let mut usage = json!({"input_tokens": 1_000, "output_tokens": 20_000});
            usage.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
            usage
        };
        let standard = 1_000 * 5_000 + 20_000 * 25_000;
        let opus = "claude-opus-4-6";
        let cases: Vec<(&str, Value, Option<i64>)> = vec![
            (opus, json!({}), Some(standard)),
            (
                opus,
                json!({"speed": "standard", "service_tier": "standard", "inference_geo": "global"}),
                Some(standard),
            ),
            (opus, json!({"speed": "fast"}), Some(6 * standard)),
            ("claude-opus-4-8", json!({"speed": "fast"}), Some(2 * standard)),
            (opus, json!({"service_tier": "batch"}), Some(standard / 2)),
            (opus, json!({"inference_geo": "us"}), Some(standard * 11 / 10)),
            (opus, json!({"server_tool_use": {"web_search_requests": 3}}), Some(standard + 30_000_000)),
            (opus, json!({"speed": "warp"}), None),
            (opus, json!({"service_tier": "priority"}), None),
            (opus, json!({"inference_geo": "mars"}), None),
            ("claude-haiku-4-5", json!({"speed": "fast"}), None),
            ("claude-opus-9", json!({}), None),
            ("kimi-k2", json!({"server_tool_use": {"web_search_requests": 3}}), None),
            (opus, json!({"output_tokens": 1_000_000_000}), None),
        ];
        let mut priced = 0;
        for (n, (model, terms, cost)) in cases.iter().enumerate() {
            let session = format!("s{n}");
            push(&world, &session, "main", Some(0), &texts(&[answer(n, AT, model, &tokens(terms))])).await;
            let found = cost_of(&world, &session).await;
            let output = terms["output_tokens"].as_i64().unwrap_or(20_000);
            let unpriced = if cost.is_none() { (1_000 + output, 1) } else { (0, 0) };
            assert_eq!((found.unpriced_tokens, found.unpriced_answers), unpriced, "{model} {terms}");
            assert_eq!(found.billionths, cost.unwrap_or(0), "{model} {terms}");
            assert_eq!(found.known_usd().is_some(), cost.is_some());
            priced += cost.unwrap_or(0);
        }
        let (total, _) = report(&world, &[]).await;
        let unpriced = cases.iter().filter(|(.., cost)| cost.is_none()).count() as i64;
        assert_eq!((total.cost.billionths, total.cost.unpriced_answers), (priced, unpriced));
        assert_eq!(total.cost.answers, cases.len() as i64);
        assert_consistent(&database, &world).await;
    }
);

both_databases!(
    async fn a_split_without_a_total_a_long_prompt_and_the_day_determine_the_price(database: TestDatabase) {
        let world = world(&database).await;
        let split = json!({"cache_creation_input_tokens": 0, "input_tokens": 0, "output_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 3_000}});
        let prompt = |input: i64| json!({"input_tokens": input, "cache_read_input_tokens": 60_000});
        let read = json!({"cache_read_input_tokens": 1_000});
        for (n, (at, model, usage, cost)) in [
            (AT, "claude-opus-4-6", &split, 1_000 * 6_250 + 3_000 * 10_000),
            // Haiku 5.5: 0.1 and 0.01 dollars up to 100,000 tokens, five times as much above.
            (AT, "claude-haiku-5-5", &prompt(40_000), 40_000 * 100 + 60_000 * 10),
            (AT, "claude-haiku-5-5", &prompt(40_001), 40_001 * 500 + 60_000 * 50),
            // Sonnet 5.5: cache reads became cheaper.
            ("2026-10-06T23:59:59.999Z", "claude-sonnet-5-5", &read, 1_000 * 200),
            ("2026-10-07T00:00:00.000Z", "claude-sonnet-5-5-20260928", &read, 1_000 * 100),
        ]
        .into_iter()
        .enumerate()
        {
            let session = format!("s{n}");
            push(&world, &session, "main", Some(0), &texts(&[answer(n, at, model, usage)])).await;
            let found = cost_of(&world, &session).await;
            assert_eq!((found.billionths, found.unpriced_answers), (cost, 0), "{model} {at}");
        }
        assert_consistent(&database, &world).await;
    }
);

/// A result of the tool that searches the web.
fn searched(n: usize, call: &str, searches: i64) -> Value {
    json!({"type": "user", "uuid": format!("00000000-0000-4000-a000-{n:012}"), "timestamp": AT,
        "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "found"}]},
        "toolUseResult": {"query": "pears", "searchCount": searches}})
}

both_databases!(
    async fn searches_of_a_tool_are_billed_once_and_are_no_answers(database: TestDatabase) {
        let world = world(&database).await;
        // A provider gives two calls one id. A compaction repeats a line, and so does a fork.
        let lines =
            [searched(1, "WebSearch_0", 2), searched(2, "WebSearch_0", 3), searched(1, "WebSearch_0", 2)];
        push(&world, "s", "main", Some(0), &texts(&lines)).await;
        push(&world, "fork", "main", Some(0), &texts(&lines[..1])).await;
        push(&world, "s", "main", None, &texts(&[searched(3, "other", 0)])).await;
        let (total, _) = report(&world, &[]).await;
        assert_eq!((total.cost.billionths, total.cost.answers), (5 * 10_000_000, 0));
        assert_eq!(
            cost_of(&world, "s").await.billionths + cost_of(&world, "fork").await.billionths,
            50_000_000
        );
        assert_consistent(&database, &world).await;
        deletion::session(&world.scope, &world.db, &"s".parse().unwrap()).await.unwrap();
        assert_eq!(cost_of(&world, "fork").await.billionths, 20_000_000);
        assert_consistent(&database, &world).await;
    }
);

/// A generator of numbers, the same for one seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Answers of several lines whose counters grow, at random times, with random terms; some with other models inside.
fn random_answers(dice: &mut Dice, answers: usize) -> Vec<Vec<Value>> {
    let models = ["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-5-5", "kimi-k2"];
    let mut made = Vec::new();
    for n in 0..answers {
        let minute = dice.below(3 * 24 * 60);
        let start = Timestamp::parse_rfc3339("2026-11-18T00:00:00Z").unwrap();
        let at = Timestamp(start.0 + minute as i64 * 60_000).to_rfc3339();
        let model = models[dice.below(models.len())];
        let speed = ["standard", "standard", "fast"][dice.below(3)];
        let advice = dice.below(3) == 0;
        let (input, output) = (dice.below(200_000), 10 + dice.below(9_000));
        let usage = |part: usize| {
            let mut usage =
                json!({"input_tokens": input, "output_tokens": output * part / 3, "speed": speed});
            if advice {
                let advisor = json!({"type": "advisor_message", "model": "claude-opus-4-7",
                    "input_tokens": 1_000 * part, "output_tokens": 100 * part});
                usage["iterations"] = json!([{"type": "message", "input_tokens": input}, advisor]);
            }
            usage
        };
        let first = answer(n, &at, model, &usage(1));
        let lines = (2..=3).map(|part| repeated(&first, 10 * n + part, &usage(part)));
        made.push(std::iter::once(first.clone()).chain(lines).collect());
    }
    made
}

both_databases!(
    async fn totals_do_not_depend_on_batches_or_on_the_order_of_lines(database: TestDatabase) {
        let mut expected: Option<Vec<String>> = None;
        for seed in 1..5 {
            let database = if database.is_postgres() {
                TestDatabase::postgres().await
            } else {
                TestDatabase::sqlite().await
            };
            let world = world(&database).await;
            let mut lines: Vec<Value> = random_answers(&mut Dice(7), 24).into_iter().flatten().collect();
            let mut dice = Dice(seed);
            // The first seed keeps the order of the file.
            if seed > 1 {
                dice.shuffle(&mut lines);
            }
            let lines = texts(&lines);
            let mut from = 0;
            while from < lines.len() {
                let to = (from + 1 + dice.below(if seed == 1 { lines.len() } else { 9 })).min(lines.len());
                let file = ["main", "agent-a1"][dice.below(2)];
                push(&world, "s", file, None, &lines[from..to]).await;
                from = to;
            }
            assert_consistent(&database, &world).await;
            let sums = support::dump(
                &database,
                "SELECT start, grain, model, CAST(sum(responses) AS bigint) AS r, CAST(sum(output_tokens) AS bigint) AS o, \
                 CAST(sum(cost) AS bigint) AS c, CAST(sum(unpriced_tokens) AS bigint) AS u FROM rollups \
                 GROUP BY 1, 2, 3 HAVING sum(responses) <> 0 ORDER BY 1, 2, 3",
            )
            .await;
            match &expected {
                None => expected = Some(sums),
                Some(expected) => assert_same(&sums, expected),
            }
        }
    }
);

fn rate(model: &str, from: &str, input: f64) -> Rate {
    let text = json!({"model": model, "valid_from": from, "price": {"input": input, "output": 5.0 * input,
        "cache_read": 0.1 * input, "cache_write_5m": 1.25 * input, "cache_write_1h": 2.0 * input}});
    serde_json::from_value(text).unwrap()
}

/// Sets a price of the operator.
fn set(rate: Rate) -> PriceChange {
    let price = rate.price;
    PriceChange { set: vec![(rate, Some(price))], ..PriceChange::default() }
}

/// Prices all sessions by the prices that apply, as the job does.
async fn reprice_all(world: &World) {
    let current = prices::latest(&world.db).await.unwrap();
    loop {
        let sessions = prices::outdated(&world.db, current.revision, None, 3).await.unwrap();
        if sessions.is_empty() {
            return;
        }
        for session in &sessions {
            prices::reprice(&world.db, session, &current).await.unwrap();
        }
    }
}

both_databases!(
    async fn the_job_prices_the_sessions_of_all_teams_again(database: TestDatabase) {
        let world = world(&database).await;
        let other = World {
            scope: support::team(&world.db, "bob").await,
            db: world.db.clone(),
            clock: world.clock.clone(),
        };
        let line = answer(1, AT, "house-model", &json!({"input_tokens": 1_000}));
        for (world, session) in [(&world, "a"), (&world, "b"), (&other, "c")] {
            let line = answer(session.len(), AT, "house-model", &line["message"]["usage"]);
            push(world, session, "main", Some(0), &texts(&[line])).await;
        }
        prices::change(&world.db, &set(rate("house-model", "1970-01-01", 2.0))).await.unwrap();
        let stopping = CancellationToken::new();
        let jobs = tokio::spawn(Registry::new(world.db.clone()).with(Prices).run(stopping.clone()));
        let left = "SELECT count(*) FROM sessions, price_state WHERE price_revision < price_state.revision";
        let done = async { while number(&database, left).await > 0 {} };
        tokio::time::timeout(Duration::from_secs(60), done).await.expect("the job prices all sessions");
        stopping.cancel();
        jobs.await.unwrap();
        // The second session of the first team repeats the answer of the first one.
        let (a, b) = (cost_of(&world, "a").await.billionths, cost_of(&world, "b").await.billionths);
        assert_eq!((a + b, cost_of(&other, "c").await.billionths), (2_000_000, 2_000_000));
        assert_consistent(&database, &world).await;
    }
);

both_databases!(
    async fn a_change_of_a_price_corrects_the_answers_that_it_covers(database: TestDatabase) {
        let world = world(&database).await;
        let usage = json!({"input_tokens": 1_000});
        let lines = [
            answer(1, "2026-11-10T23:59:59.999Z", "house-model", &usage),
            answer(2, "2026-11-11T00:00:00.000Z", "house-model", &usage),
            answer(3, "2026-11-12T00:00:00.000Z", "claude-opus-4-6", &usage),
        ];
        push(&world, "s", "main", Some(0), &texts(&lines)).await;
        let opus = 1_000 * 5_000;
        let is = |cost: Cost, billionths, unpriced| {
            assert_eq!((cost.billionths, cost.unpriced_answers), (billionths, unpriced));
        };
        is(cost_of(&world, "s").await, opus, 2);

        assert_eq!(prices::change(&world.db, &set(rate("house-model", "2026-11-11", 2.0))).await.unwrap(), 1);
        reprice_all(&world).await;
        is(cost_of(&world, "s").await, opus + 2_000_000, 1);
        assert_consistent(&database, &world).await;
        // The operator's row overrides the built-in one.
        prices::change(&world.db, &set(rate("claude-opus-4-6", "1970-01-01", 7.0))).await.unwrap();
        prices::change(&world.db, &set(rate("house-model", "1970-01-01", 1.0))).await.unwrap();
        reprice_all(&world).await;
        is(cost_of(&world, "s").await, 7_000_000 + 2_000_000 + 1_000_000, 0);
        let revision = number(&database, "SELECT revision FROM sessions").await;
        // Nothing else is changed by it, so no client is notified.
        prices::change(&world.db, &set(rate("other", "1970-01-01", 1.0))).await.unwrap();
        reprice_all(&world).await;
        assert_eq!(number(&database, "SELECT revision FROM sessions").await, revision);
        // No price at all, and the built-in one again.
        let row = rate("claude-opus-4-6", "1970-01-01", 0.0);
        let none = PriceChange { set: vec![(row.clone(), None)], ..PriceChange::default() };
        prices::change(&world.db, &none).await.unwrap();
        reprice_all(&world).await;
        is(cost_of(&world, "s").await, 3_000_000, 1);
        assert_eq!(
            number(&database, "SELECT sum(unpriced_tokens) FROM rollups WHERE grain < 2").await,
            1_000
        );
        let remove = PriceChange { remove: vec![row], ..PriceChange::default() };
        assert_eq!(prices::change(&world.db, &remove).await.unwrap(), 1);
        assert_eq!(prices::change(&world.db, &remove).await.unwrap(), 0);
        reprice_all(&world).await;
        is(cost_of(&world, "s").await, opus + 3_000_000, 0);
        assert_consistent(&database, &world).await;
    }
);

both_databases!(
    async fn prices_are_seeded_once_and_a_wrong_one_is_refused(database: TestDatabase) {
        let world = world(&database).await;
        let list = prices::list(&world.db).await.unwrap();
        let built_in = Rates::default();
        assert_eq!((list.tokens.len(), list.revision), (built_in.rows.len(), 1));
        for row in &list.tokens {
            assert_eq!((row.origin, row.is_priced), (Origin::BuiltIn, true));
            assert!(built_in.rows.contains(&row.rate), "{row:?}");
        }
        assert_eq!(world.db.migrate().await.unwrap(), 0);
        assert_eq!(prices::list(&world.db).await.unwrap(), list);
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 0.000_000_1, 2e6] {
            let mut row = rate("house-model", "1970-01-01", 1.0);
            row.price = Price { input: wrong, ..row.price };
            let error = prices::change(&world.db, &set(row)).await.unwrap_err();
            assert!(matches!(error, DbError::Price(_)), "{wrong}: {error}");
        }
        assert_eq!(prices::list(&world.db).await.unwrap(), list);
    }
);

both_databases!(
    async fn rollups_are_right_after_random_pushes_changes_of_prices_and_kills(database: TestDatabase) {
        let world = world(&database).await;
        let mut dice = Dice(3);
        let answers = random_answers(&mut dice, 30);
        let mut files: Vec<(String, Vec<String>)> = Vec::new();
        for n in 0..5 {
            // Neighbours share answers, as forks do.
            let of_file = answers[n * 5..(n * 5 + 8).min(answers.len())].iter().flatten().cloned();
            files.push((format!("s{n}"), texts(&of_file.collect::<Vec<_>>())));
        }
        let mut sent = vec![0; files.len()];
        let mut kills = 0;
        for step in 0..60 {
            let n = dice.below(files.len());
            match dice.below(4) {
                0 => {
                    let models = ["claude-opus-4-6", "kimi-k2", "claude-haiku-5-5", "claude-opus-4-7"];
                    let day = format!("2026-11-{}", 17 + dice.below(4));
                    let price = 1.0 + dice.below(20) as f64;
                    let rate = rate(models[dice.below(models.len())], &day, price);
                    prices::change(&world.db, &set(rate)).await.unwrap();
                }
                1 => {
                    let current = prices::latest(&world.db).await.unwrap();
                    for session in prices::outdated(&world.db, current.revision, None, 100).await.unwrap() {
                        let future = Box::pin(prices::reprice(&world.db, &session, &current));
                        let done = Killed { future, polls: 1 + dice.below(40) }.await;
                        kills += usize::from(done.is_none());
                    }
                }
                2 if step % 7 == 0 => {
                    // It is derived again while its answers have prices of different revisions.
                    let (session, lines) = &files[n];
                    push(&world, session, "main", Some(0), &lines[..sent[n]]).await;
                    rebuild::rebuild(&world.scope, &world.db).await.unwrap();
                }
                _ => {
                    let (session, lines) = &files[n];
                    let to = (sent[n] + 1 + dice.below(6)).min(lines.len());
                    push(&world, session, "main", Some(sent[n] as u64), &lines[sent[n]..to]).await;
                    sent[n] = to;
                }
            }
        }
        assert!(kills > 0);
        for (n, (session, lines)) in files.iter().enumerate() {
            push(&world, session, "main", Some(sent[n] as u64), &lines[sent[n]..]).await;
        }
        deletion::session(&world.scope, &world.db, &"s2".parse().unwrap()).await.unwrap();
        reprice_all(&world).await;
        assert_consistent(&database, &world).await;
        // A report of each kind has the same sum.
        let (total, _) = report(&world, &[]).await;
        let owners = "SELECT sum(COALESCE(cost, 0)) FROM answer_copies WHERE owner";
        assert_eq!(total.cost.billionths, number(&database, owners).await);
        for by in [
            &[Dimension::Period(Period::Day)][..],
            &[Dimension::Period(Period::Month), Dimension::Person],
            &[Dimension::Model, Dimension::Period(Period::Week)],
            &[Dimension::Project],
        ] {
            let (whole, groups) = report(&world, by).await;
            assert_eq!(whole, total);
            assert_eq!(groups.iter().map(|group| group.cost).sum::<Cost>(), total.cost, "{by:?}");
        }
    }
);

both_databases!(
    async fn days_follow_the_time_zone_of_the_viewer(database: TestDatabase) {
        let world = world(&database).await;
        // One answer in each of these quarter-hours; the number of tokens says which one it was.
        let times = [
            "2026-11-19T18:14:59.999Z",
            "2026-11-19T18:15:00.000Z",
            "2026-11-19T18:29:59.999Z",
            "2026-11-19T18:30:00.000Z",
            "2026-11-20T00:00:00.000Z",
            "2026-11-20T10:14:59.999Z",
            "2026-11-20T10:15:00.000Z",
        ];
        let line =
            |(n, at): (usize, &&str)| answer(n, at, "claude-opus-4-6", &json!({"input_tokens": 1 << n}));
        let lines: Vec<Value> = times.iter().enumerate().map(line).collect();
        push(&world, "s", "main", Some(0), &texts(&lines)).await;
        let tx = world.db.read(&world.scope, "test.days").await.unwrap();
        let on_the_20th = |zone: Zone| {
            let day = Timestamp::parse_rfc3339("2026-11-20T00:00:00Z").unwrap().0 / 86_400_000;
            let (tx, range) = (&tx, Range::between(day, day, zone));
            async move {
                let activity = metrics::activity(tx, &range, &Within::Team).await.unwrap();
                let by_day = metrics::usage(tx, &range, &Within::Team, &[Dimension::Period(Period::Day)]);
                let groups = by_day.await.unwrap().unwrap().groups;
                assert_eq!(groups.len(), 1);
                assert_eq!(
                    (groups[0].period.as_deref(), groups[0].tokens),
                    (Some("2026-11-20"), activity.tokens)
                );
                assert_eq!(activity.days.len(), 1);
                assert_eq!(activity.hours.iter().map(|hour| hour.messages).sum::<i64>(), activity.messages);
                (activity.tokens.input, activity.hours[0].messages)
            }
        };
        for (zone, tokens, in_first_hour) in [
            ("UTC", 0b111_0000, 1),
            ("Asia/Kathmandu", 0b111_1110, 3),
            ("Asia/Kolkata", 0b111_1000, 1),
            ("Pacific/Chatham", 0b011_1111, 0),
            ("America/St_Johns", 0b110_0000, 0),
        ] {
            let found = on_the_20th(Zone::named(zone).unwrap()).await;
            assert_eq!(found, (tokens, in_first_hour), "{zone}");
        }
        assert_eq!(
            on_the_20th(Zone::fixed(345)).await,
            on_the_20th(Zone::named("Asia/Kathmandu").unwrap()).await
        );
    }
);

both_databases!(
    async fn clocks_that_change_make_days_of_23_and_25_hours(database: TestDatabase) {
        let world = world(&database).await;
        let zone = Zone::named("Europe/Berlin").unwrap();
        // One answer in each hour of the days around both changes.
        let mut lines = Vec::new();
        for day in ["2026-03-28", "2026-03-29", "2026-03-30", "2026-10-24", "2026-10-25", "2026-10-26"] {
            for hour in 0..24 {
                let at = format!("{day}T{hour:02}:30:00.000Z");
                lines.push(answer(lines.len(), &at, "claude-opus-4-6", &json!({"output_tokens": 1})));
            }
        }
        push(&world, "s", "main", Some(0), &texts(&lines)).await;
        let tx = world.db.read(&world.scope, "test.days").await.unwrap();
        let day = |text: &str| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).unwrap().0 / 86_400_000;
        let range = Range::between(day("2026-03-01"), day("2026-11-30"), zone);
        let by = [Dimension::Period(Period::Day)];
        let report = metrics::usage(&tx, &range, &Within::Team, &by).await.unwrap().unwrap();
        let days: Vec<_> = report
            .groups
            .iter()
            .map(|group| (group.period.as_deref().unwrap(), group.tokens.output))
            .collect();
        // In winter, Berlin is an hour ahead of UTC, so that 23 hours of the first UTC day are of the same local day.
        let spring = [("2026-03-28", 23), ("2026-03-29", 23), ("2026-03-30", 24), ("2026-03-31", 2)];
        let autumn = [("2026-10-24", 22), ("2026-10-25", 25), ("2026-10-26", 24), ("2026-10-27", 1)];
        assert_eq!(days, [spring, autumn].concat());
    }
);

/// Makes the schema what it was before prices were rows.
async fn undo_migration(database: &TestDatabase) {
    let counters = "sessions, messages, turns, responses, input_tokens, output_tokens, cache_read_tokens, \
                    cache_creation_5m_tokens, cache_creation_1h_tokens";
    let counts =
        "count, passed, failed, timed, duration_ms, lines_added, lines_removed, scored, score, error";
    let mut statements = vec![
        format!(
            "CREATE TABLE by_hour AS SELECT team, start AS hour, user_id, project_id, model, shard, {counters} \
             FROM rollups WHERE grain IN (2, 3)"
        ),
        format!(
            "CREATE TABLE counts_by_hour AS SELECT team, start AS hour, user_id, project_id, kind, key, shard, {counts} \
             FROM rollup_counts WHERE grain = 2"
        ),
    ];
    for table in ["rollups", "rollup_counts", "prices", "search_prices", "price_state"] {
        statements.push(format!("DROP TABLE {table}"));
    }
    statements.push("ALTER TABLE by_hour RENAME TO rollups".to_owned());
    statements.push("ALTER TABLE counts_by_hour RENAME TO rollup_counts".to_owned());
    statements.push("DROP INDEX sessions_priced".to_owned());
    let answers = ["cost", "saved", "part", "speed", "tier", "geography", "prompt_tokens", "web_searches"];
    let usage = ["cost", "saved", "unpriced_tokens", "unpriced_answers"];
    let columns = answers.map(|column| ("answer_copies", column));
    let columns = columns.into_iter().chain(usage.map(|column| ("session_usage", column)));
    for (table, column) in columns.chain([("sessions", "price_revision")]) {
        statements.push(format!("ALTER TABLE {table} DROP COLUMN {column}"));
    }
    statements.push("DELETE FROM seaql_migrations WHERE version = 'm0007_prices'".to_owned());
    for statement in statements {
        database.execute(&statement).await;
    }
}

both_databases!(
    async fn what_was_stored_before_prices_were_rows_is_unpriced_until_a_rebuild(database: TestDatabase) {
        let world = world(&database).await;
        let answers = random_answers(&mut Dice(5), 12);
        let lines: Vec<Value> = answers.into_iter().flatten().collect();
        push(&world, "s", "main", Some(0), &texts(&lines)).await;
        let right = contents(&database, &world).await;
        let before = cost_of(&world, "s").await;
        assert!(before.billionths > 0);
        world.db.close().await;

        undo_migration(&database).await;
        let db = support::connect(database.url(), &world.clock).await;
        assert_eq!(db.migrate().await.unwrap(), 1);
        db.check_ready().await.unwrap();
        let world = World { db, ..world };
        let cost = cost_of(&world, "s").await;
        assert_eq!((cost.billionths, cost.known_usd(), cost.answers), (0, None, before.answers));
        let tokens = "input_tokens + output_tokens + cache_read_tokens + cache_creation_5m_tokens \
                      + cache_creation_1h_tokens";
        let all = number(&database, &format!("SELECT sum({tokens}) FROM answer_copies WHERE owner")).await;
        assert_eq!(cost.unpriced_tokens, all);
        for grains in ["grain < 2", "grain IN (2, 3)", "grain > 3"] {
            let sum = format!("SELECT sum(unpriced_tokens) FROM rollups WHERE {grains}");
            assert_eq!(number(&database, &sum).await, all, "{grains}");
        }
        // The job leaves such sessions alone: it does not know what their prices depend on.
        prices::change(&world.db, &set(rate("kimi-k2", "1970-01-01", 1.0))).await.unwrap();
        let latest = prices::latest(&world.db).await.unwrap();
        assert_eq!(prices::outdated(&world.db, latest.revision, None, 10).await.unwrap(), []);
        let remove =
            PriceChange { remove: vec![rate("kimi-k2", "1970-01-01", 1.0)], ..PriceChange::default() };
        prices::change(&world.db, &remove).await.unwrap();

        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &right);
    }
);
