//! `search`: the time for a page of fifty hits over HTTP (found by blind terms, decrypted and checked), compared with
//! `ILIKE` on the plaintext of the same lines in a PostgreSQL table with an index on the list's order. There are
//! several kinds of query; both sides alternate and use different words in each round.

use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::figure::{Figure, median};
use crate::target::Target;

/// Options of `search`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of lines.
    #[arg(long, default_value_t = 100_000)]
    lines: usize,
    /// The number of lines per session, which is one push.
    #[arg(long, default_value_t = 500)]
    session: usize,
    /// The number of rounds per kind of query, after one warm-up.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
}

/// The number of words per line.
const WORDS: usize = 80;
/// The number of different words. The frequency of the nth is proportional to 1/n, as in natural language.
const VOCABULARY: usize = 20_000;

/// A kind of query: its name, and the frequency ranks of its words by round.
struct Kind {
    name: &'static str,
    /// `None` is a word that no line contains.
    ranks: fn(usize) -> Vec<Option<usize>>,
    phrase: bool,
}

const KINDS: [Kind; 6] = [
    Kind { name: "common word", ranks: |n| vec![Some(5 + n)], phrase: false },
    Kind { name: "word of 1 line in 50", ranks: |n| vec![Some(380 + n)], phrase: false },
    Kind { name: "rare word", ranks: |n| vec![Some(19_000 + n)], phrase: false },
    Kind { name: "no such word", ranks: |_| vec![None], phrase: false },
    Kind { name: "two words", ranks: |n| vec![Some(100 + n), Some(300 + n)], phrase: false },
    Kind { name: "phrase", ranks: |n| vec![Some(20 + n), Some(40 + n)], phrase: true },
];

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
    println!(
        "{} lines pushed in {:.1} s, indexed {:.1} s later ({:.1} CPU s of the server in all)",
        options.lines,
        pushed.as_secs_f64(),
        (start.elapsed() - pushed).as_secs_f64(),
        target.cpu()
    );
    plain.execute("VACUUM (ANALYZE)").await.expect("statistics");

    println!("{:<22} {:>6} {:>12} {:>12} {:>9}", "query", "hits", "search ms", "ILIKE ms", "ratio");
    let (mut ours_in_all, mut theirs_in_all, mut worst) = (0.0, 0.0, 0.0f64);
    for kind in KINDS {
        let (mut ours, mut theirs, mut hits) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=options.rounds {
            let words: Vec<String> =
                (kind.ranks)(round).into_iter().map(|rank| rank.map_or("nowhere".to_owned(), word)).collect();
            let (ms, found) = search(&target, &client, &words, kind.phrase).await;
            let (plain_ms, plain_found) = ilike(&mut plain, &words, kind.phrase).await;
            assert_eq!(found, plain_found, "{}: both sides have the same hits: {words:?}", kind.name);
            if round > 0 {
                ours.push(ms);
                theirs.push(plain_ms);
                hits.push(found as f64);
            }
        }
        let (ms, plain_ms) = (median(&ours), median(&theirs));
        println!(
            "{:<22} {:>6} {ms:>12.2} {plain_ms:>12.2} {:>8.2}x",
            kind.name,
            median(&hits),
            ms / plain_ms
        );
        ours_in_all += ms;
        theirs_in_all += plain_ms;
        worst = worst.max(ms / plain_ms);
    }
    let ratio = ours_in_all / theirs_in_all;
    let figure = format!("{ratio:.2}x over one query of each kind, {worst:.2}x for the worst kind");
    Figure::new("search", figure, "at most 3.00x over one query of each kind", ratio <= 3.0)
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
    // Inverse transform sampling of the frequency distribution.
    let words: Vec<String> = (0..WORDS).map(|_| word((VOCABULARY as f64).powf(random()) as usize)).collect();
    let time = format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        1 + n / 86_400 % 12,
        1 + n / 100_000 % 28,
        n / 3_600 % 24,
        n / 60 % 60,
        n % 60
    );
    json!({"type": "user", "uuid": format!("00000000-0000-4000-8000-{n:012}"), "timestamp": time,
           "message": {"role": "user", "content": words.join(" ")}})
    .to_string()
}

async fn push(target: &Target, client: &reqwest::Client, first: usize, lines: &[String]) {
    let body = format!(
        r#"{{"sessions":[{{"session_id":"s{first}","metadata":{{"agent":"claude-code","project_path":"/bench"}},"offset":0,"messages":[{}]}}]}}"#,
        lines.join(",")
    );
    target.push(client, None, body.into_bytes()).await;
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
async fn search(target: &Target, client: &reqwest::Client, words: &[String], phrase: bool) -> (f64, usize) {
    let query = "query($query: String!, $after: String) { searchMessages(query: $query, first: 50, after: $after) { \
                 pageInfo { hasNextPage endCursor } edges { node { messageId matchContext } } } }";
    let text = if phrase { format!("\"{}\"", words.join(" ")) } else { words.join(" ") };
    let start = Instant::now();
    let (mut found, mut after) = (0, Value::Null);
    // The server limits its work per request, so a page may need several requests.
    loop {
        let data = graphql(target, client, query, json!({ "query": text, "after": after })).await;
        let page = &data["searchMessages"];
        found += page["edges"].as_array().expect("edges").len();
        if found >= 50 || page["pageInfo"]["hasNextPage"] == false {
            return (start.elapsed().as_secs_f64() * 1000.0, found.min(50));
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

async fn ilike(plain: &mut PgConnection, words: &[String], phrase: bool) -> (f64, usize) {
    let patterns = if phrase { vec![words.join(" ")] } else { words.to_vec() };
    let conditions: Vec<String> = patterns.iter().map(|text| format!("body ILIKE '%{text}%'")).collect();
    let sql = format!(
        "SELECT body FROM plain WHERE team = 'bench' AND {} ORDER BY at DESC, session_id DESC, line DESC LIMIT 50",
        conditions.join(" AND ")
    );
    let start = Instant::now();
    let rows = plain.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("rows");
    (start.elapsed().as_secs_f64() * 1000.0, rows.len())
}
