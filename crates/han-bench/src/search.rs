//! `search`: the time for a page of fifty hits over HTTP (found by blind terms, decrypted and checked), compared with
//! `ILIKE` on the plaintext of the same lines in a PostgreSQL table with an index on the list's order. There are
//! several kinds of query; both sides alternate and use different words in each round. And the time from the last push
//! until all lines can be found.

use std::time::Instant;

use clap::Args;
use han_types::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::figure::{Figure, median};
use crate::target::{Target, push_body};

/// Options of `search`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of lines.
    #[arg(long, default_value_t = 100_000)]
    lines: usize,
    /// The number of lines per session, which is one push.
    #[arg(long, default_value_t = 500)]
    session: usize,
    /// The number of rounds per kind of query, after one warm-up; at most 15.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
}

/// The number of words per line.
const WORDS: usize = 80;
/// The number of different words. The frequency of the nth is proportional to 1/n, as in natural language.
const VOCABULARY: usize = 20_000;

/// The number of pairs of common words that never meet: the words of a pair are in one line of eight each, and never in
/// the same line.
const PAIRS: usize = 16;
/// The maximum number of rounds: each has a pair of its own.
const ROUNDS: usize = PAIRS - 1;
/// The goal for the index, in seconds after the last push.
const INDEXED: f64 = 5.0;

/// A kind of query.
struct Kind {
    name: &'static str,
    /// Its words by round.
    words: fn(usize) -> Vec<String>,
    phrase: bool,
    within: Within,
    /// The goal: at most this many times as long as `ILIKE`.
    goal: f64,
}

/// Where a query searches.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    All,
    /// In the lines of one quarter of the time, of one user.
    Time,
    Session,
}

fn ranked(ranks: &[usize]) -> Vec<String> {
    ranks.iter().map(|rank| word(*rank)).collect()
}

const KINDS: [Kind; 9] = [
    Kind {
        name: "rare word",
        words: |n| ranked(&[19_000 + n]),
        phrase: false,
        within: Within::All,
        goal: 1.0,
    },
    Kind {
        name: "no such word",
        words: |_| vec!["nowhere".to_owned()],
        phrase: false,
        within: Within::All,
        goal: 1.0,
    },
    Kind {
        name: "two words",
        words: |n| ranked(&[100 + n, 300 + n]),
        phrase: false,
        within: Within::All,
        goal: 1.0,
    },
    Kind {
        name: "phrase of common words",
        words: |n| ranked(&[20 + n, 40 + n]),
        phrase: true,
        within: Within::All,
        goal: 1.0,
    },
    Kind {
        name: "by time and user",
        words: |n| ranked(&[380 + n]),
        phrase: false,
        within: Within::Time,
        goal: 1.0,
    },
    Kind {
        name: "in a session",
        words: |n| ranked(&[100 + n]),
        phrase: false,
        within: Within::Session,
        goal: 1.0,
    },
    Kind {
        name: "word of 1 line in 50",
        words: |n| ranked(&[380 + n]),
        phrase: false,
        within: Within::All,
        goal: 3.0,
    },
    Kind { name: "common word", words: |n| ranked(&[5 + n]), phrase: false, within: Within::All, goal: 3.0 },
    Kind {
        name: "common words, apart",
        words: |n| apart(n).to_vec(),
        phrase: false,
        within: Within::All,
        goal: 3.0,
    },
];

/// A pair of common words that never meet.
fn apart(n: usize) -> [String; 2] {
    let first = VOCABULARY + 10 + 2 * (n % PAIRS);
    [word(first), word(first + 1)]
}

pub(crate) async fn run(options: Options) -> Figure {
    let target = Target::start("han_bench_search").await;
    let client = reqwest::Client::new();
    let mut plain = target.connect().await;
    let sql = "CREATE TABLE plain (team text, session_id text, line bigint, at bigint, body text); \
               CREATE INDEX plain_order ON plain (team, at, session_id, line)";
    plain.execute(sql).await.expect("a table of plaintext");
    let start = Instant::now();
    for first in (0..options.lines).step_by(options.session) {
        let lines: Vec<String> = (first..options.lines.min(first + options.session)).map(line).collect();
        push(&target, &client, first, &lines).await;
        copy(&mut plain, first, &lines).await;
    }
    let pushed = start.elapsed();
    target.until_indexed().await;
    let indexed = (start.elapsed() - pushed).as_secs_f64();
    println!(
        "{} lines pushed in {:.1} s, indexed {indexed:.1} s later ({:.1} CPU s of the server in all)",
        options.lines,
        pushed.as_secs_f64(),
        target.cpu()
    );
    plain.execute("VACUUM (ANALYZE)").await.expect("statistics");
    let user: String = sqlx::query_scalar("SELECT user_id FROM sessions LIMIT 1")
        .fetch_one(&mut plain)
        .await
        .expect("the user");

    println!(
        "{:<22} {:>6} {:>12} {:>12} {:>9} {:>7}",
        "query", "hits", "search ms", "ILIKE ms", "ratio", "goal"
    );
    // The worst of the kinds with each goal.
    let (mut worst_rare, mut worst_common) = (0.0f64, 0.0f64);
    for kind in KINDS {
        let (mut ours, mut theirs, mut hits) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=options.rounds.min(ROUNDS) {
            let words = (kind.words)(round);
            let filter = Filter::new(kind.within, &options, round, &user);
            let (ms, found) = search(&target, &client, &words, kind.phrase, &filter).await;
            let (plain_ms, plain_found) = ilike(&mut plain, &words, kind.phrase, &filter).await;
            assert_eq!(found, plain_found, "{}: both sides have the same hits: {words:?}", kind.name);
            if round > 0 {
                ours.push(ms);
                theirs.push(plain_ms);
                hits.push(found as f64);
            }
        }
        let (ms, plain_ms) = (median(&ours), median(&theirs));
        let ratio = ms / plain_ms;
        println!(
            "{:<22} {:>6} {ms:>12.2} {plain_ms:>12.2} {ratio:>8.2}x {:>6.2}x",
            kind.name,
            median(&hits),
            kind.goal
        );
        let worst = if kind.goal > 1.0 { &mut worst_common } else { &mut worst_rare };
        *worst = worst.max(ratio);
    }
    let figure = format!(
        "{worst_rare:.2}x for the worst kind, {worst_common:.2}x with common words, indexed after {indexed:.1} s"
    );
    let met = worst_rare <= 1.0 && worst_common <= 3.0 && indexed <= INDEXED;
    Figure::new("search", figure, "at most 1.00x, 3.00x, 5 s", met)
}

/// The filter of a query, on both sides.
struct Filter {
    graphql: Value,
    sql: String,
}

impl Filter {
    fn new(within: Within, options: &Options, round: usize, user: &str) -> Self {
        match within {
            Within::All => Self { graphql: Value::Null, sql: "true".to_owned() },
            Within::Time => {
                let (since, until) = (time(options.lines / 4), time(options.lines / 2));
                let at = |time: &str| Timestamp::parse_rfc3339(time).expect("a time").0;
                let sql = format!("at >= {} AND at < {}", at(&since), at(&until));
                Self { graphql: json!({ "since": since, "until": until, "userId": user }), sql }
            }
            Within::Session => {
                let session = format!("s{}", round * options.session % options.lines);
                let sql = format!("session_id = '{session}'");
                Self { graphql: json!({ "sessionId": session }), sql }
            }
        }
    }
}

/// The word of a rank. It consists of letters, and no word contains another one.
fn word(rank: usize) -> String {
    let mut text = String::from("w");
    let mut rest = rank;
    for _ in 0..4 {
        text.push(char::from(b'a' + (rest % 20) as u8));
        rest /= 20;
    }
    text.push('z');
    text
}

/// The nth line, which is deterministic.
fn line(n: usize) -> String {
    let mut state = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let pairs = (0..PAIRS).filter(|pair| (n / 2 + pair).is_multiple_of(4));
    // Inverse transform sampling of the frequency distribution.
    let words = (0..WORDS).map(|_| word((VOCABULARY as f64).powf(random()) as usize));
    let words: Vec<String> = words.chain(pairs.map(|pair| apart(pair)[n % 2].clone())).collect();
    json!({"type": "user", "uuid": format!("00000000-0000-4000-8000-{n:012}"), "timestamp": time(n),
           "message": {"role": "user", "content": words.join(" ")}})
    .to_string()
}

/// The time of the nth line, a second after that of the line before.
fn time(n: usize) -> String {
    let start = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
    Timestamp(start.0 + n as i64 * 1000).to_rfc3339()
}

async fn push(target: &Target, client: &reqwest::Client, first: usize, lines: &[String]) {
    let body = push_body(&format!("s{first}"), "main", "/bench", Some(0), lines);
    target.push(client, None, body).await;
}

async fn copy(plain: &mut PgConnection, first: usize, lines: &[String]) {
    sqlx::query(
        "INSERT INTO plain SELECT 'bench', 's' || $1, n, \
           (extract(epoch FROM (body::json->>'timestamp')::timestamptz) * 1000)::bigint, body \
         FROM unnest($2::text[]) WITH ORDINALITY AS u(body, n)",
    )
    .bind(first as i64)
    .bind(lines)
    .execute(plain)
    .await
    .expect("plaintext is stored");
}

async fn graphql(target: &Target, client: &reqwest::Client, query: &str, variables: Value) -> Value {
    let response = client
        .post(format!("{}/graphql", target.url))
        .bearer_auth(&target.key)
        .json(&json!({ "query": query, "variables": variables }))
        .send()
        .await
        .expect("the server answers");
    let body: Value = response.json().await.expect("JSON");
    assert!(body.get("errors").is_none(), "{body}");
    body["data"].clone()
}

/// Searches for a page of fifty; returns the time in milliseconds and the number of hits.
async fn search(
    target: &Target,
    client: &reqwest::Client,
    words: &[String],
    phrase: bool,
    filter: &Filter,
) -> (f64, usize) {
    let query = "query($query: String!, $after: String, $filter: SearchFilter) { \
                 searchMessages(query: $query, first: 50, after: $after, filter: $filter) { \
                 pageInfo { hasNextPage endCursor } edges { node { messageId matchContext } } } }";
    let text = if phrase { format!("\"{}\"", words.join(" ")) } else { words.join(" ") };
    let start = Instant::now();
    let (mut found, mut after) = (0, Value::Null);
    // The server limits its work per request, so a page may need several requests.
    loop {
        let variables = json!({ "query": text, "after": after, "filter": filter.graphql });
        let data = graphql(target, client, query, variables).await;
        let page = &data["searchMessages"];
        found += page["edges"].as_array().expect("edges").len();
        if found >= 50 || page["pageInfo"]["hasNextPage"] == false {
            return (start.elapsed().as_secs_f64() * 1000.0, found.min(50));
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

async fn ilike(plain: &mut PgConnection, words: &[String], phrase: bool, filter: &Filter) -> (f64, usize) {
    let patterns = if phrase { vec![words.join(" ")] } else { words.to_vec() };
    let conditions: Vec<String> = patterns.iter().map(|text| format!("body ILIKE '%{text}%'")).collect();
    let sql = format!(
        "SELECT body FROM plain WHERE team = 'bench' AND {} AND {} \
         ORDER BY at DESC, session_id DESC, line DESC LIMIT 50",
        filter.sql,
        conditions.join(" AND ")
    );
    let start = Instant::now();
    let rows = plain.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("rows");
    (start.elapsed().as_secs_f64() * 1000.0, rows.len())
}
