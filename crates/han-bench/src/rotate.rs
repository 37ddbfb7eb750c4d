//! `rotate`: the rotation of keys. Re-wrapping the DEKs of many segments, compared with an UPDATE of as many rows in
//! batches of the same size that stores the bytes that are there; ingest during a rotation, compared with ingest alone;
//! reads that failed meanwhile; bytes of content that changed; and the rotation of the KEK of many teams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use clap::Args;
use futures_util::future::join_all;
use han_crypto::{KekRing, OsEntropy, Packed};
use han_db::queries::team_work::{self, Advance, WorkKind};
use han_db::queries::{keks, keys, teams};
use han_db::{Db, DbConfig};
use han_testkit::TestClock;
use han_types::{Entropy as _, TeamId};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, PgConnection};

use crate::figure::{Figure, median};
use crate::ingest::{self, Session};
use crate::jobs::{CONSOLIDATION, SEARCH_INDEX};
use crate::stored::{SegmentKeys, StoredSegment};
use crate::target::{Target, kek_secret, push_body};

/// The goals.
const REWRAP: f64 = 0.5;
const INGEST: f64 = 0.8;
const KEK_SECONDS: f64 = 10.0;

/// The job that re-wraps.
const TEAM_WORK: &str = "team-work";

/// The segments of one session.
const PER_SESSION: i32 = 1_000;

/// Options of `rotate`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of segments.
    #[arg(long, default_value_t = 1_000_000)]
    segments: i32,
    /// The bytes of a segment.
    #[arg(long, default_value_t = 2_048)]
    bytes: usize,
    /// The number of pairs of re-wrapping and UPDATE.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// The number of teams whose keys the rotation of the KEK wraps again.
    #[arg(long, default_value_t = 10_000)]
    teams: usize,
    #[command(flatten)]
    ingest: IngestOptions,
}

/// The pushes.
#[derive(Args)]
struct IngestOptions {
    /// The number of pairs of ingest alone and during a rotation.
    #[arg(long, default_value_t = 3)]
    ingest_pairs: usize,
    /// The number of concurrent writers, each with its own session.
    #[arg(long, default_value_t = 16)]
    writers: usize,
    /// Lines per commit.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Commits per writer and run.
    #[arg(long, default_value_t = 40)]
    batches: usize,
}

pub(crate) async fn run(options: Options) -> Figure {
    let target = Target::start("han_bench_rotate").await;
    target.hold(&[SEARCH_INDEX, CONSOLIDATION, TEAM_WORK]).await;
    let client = reqwest::Client::new();
    println!("{} segments of {} bytes are stored", options.segments, options.bytes);
    let team = fill(&target, &client, &options).await;
    let db = connect(target.database.to_url_lossy().as_str(), ring(KEK, None)).await;
    let before = digest(&target).await;

    println!("{:>6} {:>12} {:>14} {:>7}", "pair", "UPDATE, s", "re-wrapping, s", "ratio");
    let mut ratios = Vec::new();
    for pair in 1..=options.pairs {
        target.keep_holding(&[SEARCH_INDEX, CONSOLIDATION, TEAM_WORK]).await;
        target.execute("VACUUM ANALYZE segments").await;
        let raw = update(&target).await;
        target.execute("VACUUM ANALYZE segments").await;
        let rewrapped = rewrap(&db, &team).await;
        let ratio = raw / rewrapped;
        println!("{pair:>6} {raw:>12.1} {rewrapped:>14.1} {ratio:>6.2}x");
        ratios.push(ratio);
    }

    let (ingest, failed, reads) = ingest_during(&target, &client, &db, &team, &options.ingest).await;
    let changed = u64::from(digest(&target).await != before);
    let verified = keys::verify_team(&db, &team).await.expect("a team");
    assert_eq!((verified.failures.len(), verified.behind()), (0, 0), "every value opens with the new key");
    db.close().await;
    drop(target);
    let kek = rotate_kek(options.teams).await;

    let rewrap = median(&ratios);
    let figure = format!(
        "re-wrapping {rewrap:.2}x of UPDATE; ingest during a rotation {ingest:.2}x; {failed} of {reads} reads failed; \
         content {}; KEK of {} teams in {kek:.1} s",
        if changed == 0 { "unchanged" } else { "CHANGED" },
        options.teams
    );
    let met = rewrap >= REWRAP && ingest >= INGEST && failed == 0 && changed == 0 && kek <= KEK_SECONDS;
    Figure::new("rotate", figure, "at least 0.5x, at least 0.8x, 0 reads, unchanged, 10 s", met)
}

const KEK: [u8; 32] = [1; 32];

fn ring(current: [u8; 32], previous: Option<[u8; 32]>) -> KekRing {
    let secret =
        |bytes: [u8; 32]| SecretString::from(base64::engine::general_purpose::STANDARD.encode(bytes));
    KekRing::from_secrets(&secret(current), previous.map(secret).as_ref()).expect("a KEK")
}

async fn connect(url: &str, keks: KekRing) -> Db {
    let clock = Arc::new(TestClock::default());
    Db::connect(&DbConfig::new(url), keks, clock, Arc::new(OsEntropy::new()))
        .await
        .expect("the database answers")
}

/// Stores the segments: copies of a session that was pushed, with other content. Returns the team.
async fn fill(target: &Target, client: &reqwest::Client, options: &Options) -> TeamId {
    assert_eq!(
        kek_secret(),
        base64::engine::general_purpose::STANDARD.encode(KEK),
        "the server has this KEK"
    );
    let line =
        r#"{"type":"user","uuid":"1","timestamp":"2026-11-20T10:00:00.000Z","message":{"content":"x"}}"#;
    target.push(client, None, push_body("model", "main", "/bench", Some(0), &[line.to_owned()])).await;
    let keys = SegmentKeys::of(target).await;
    let model = keys.read(target, "s.session_id = 'model'").await.pop().expect("the segment of the push");
    let sessions = (options.segments + PER_SESSION - 1) / PER_SESSION;
    target
        .execute(&format!(
            "INSERT INTO sessions (team, session_id, id, user_id, metadata, sealed, created_at, synced_at) \
             SELECT s.team, 'rotate-' || n, 'rotate-' || n, s.user_id, s.metadata, false, s.created_at, s.synced_at \
             FROM sessions s, generate_series(1, {sessions}) AS n WHERE s.session_id = 'model'; \
             UPDATE sessions SET metadata = '{{}}' WHERE session_id LIKE 'rotate-%'; \
             INSERT INTO transcripts (team, session, number, name, sealed) \
             SELECT team, number, 1, 'main', true FROM sessions WHERE session_id LIKE 'rotate-%'"
        ))
        .await;
    let mut connection = target.connect().await;
    let numbers: Vec<(i32, String)> = sqlx::query_as(
        "SELECT number, session_id FROM sessions WHERE session_id LIKE 'rotate-%' ORDER BY number",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the sessions");
    let mut left = options.segments;
    let entropy = OsEntropy::new();
    for (session, session_id) in numbers {
        let segments: Vec<StoredSegment> = (0..left.min(PER_SESSION))
            .map(|n| {
                let (content, bytes) = content(options.bytes, &entropy);
                StoredSegment {
                    session,
                    session_id: session_id.clone(),
                    name: "main".to_owned(),
                    transcript: 1,
                    first_ordinal: n,
                    last_ordinal: n,
                    min_line: n,
                    max_line: n,
                    bytes,
                    content,
                    ..model.clone()
                }
            })
            .collect();
        keys.insert(&mut connection, &segments, true).await;
        left -= PER_SESSION;
    }
    sqlx::query_scalar::<_, String>("SELECT id FROM teams")
        .fetch_one(&mut connection)
        .await
        .expect("the team")
        .parse()
        .expect("an id")
}

/// The content of a segment of one line, which does not compress, and its length.
fn content(line: usize, entropy: &OsEntropy) -> (Packed, i32) {
    let mut random = vec![0; line];
    entropy.fill(&mut random);
    // Version, one entry, its ordinal and line number, its length in LEB128.
    let mut content = vec![1, 1, 0, 0];
    let mut length = line;
    while length >= 0x80 {
        content.push(u8::try_from(length % 0x80).unwrap_or_default() | 0x80);
        length /= 0x80;
    }
    content.push(u8::try_from(length).unwrap_or_default());
    content.append(&mut random);
    let bytes = i32::try_from(content.len()).expect("a small segment");
    (Packed::new(&content), bytes)
}

/// A sum over all nonces and bodies of the filled sessions.
async fn digest(target: &Target) -> i64 {
    target
        .number(
            "SELECT (SUM(('x' || substr(md5(nonce || body), 1, 12))::bit(48)::bigint) % 4611686018427387904)::bigint \
             FROM segments WHERE session IN (SELECT number FROM sessions WHERE session_id LIKE 'rotate-%')",
        )
        .await
}

/// The key of a segment, and its wrapped DEK.
type Key = (i32, i32, i16, i32, Vec<u8>);

/// Stores the DEKs that are there again, in batches; returns the seconds.
async fn update(target: &Target) -> f64 {
    /// As many rows as a transaction of the product.
    const ROWS: usize = 1_000;
    let mut connection = target.connect().await;
    let sql = "SELECT team, session, transcript, first_ordinal, wrapped_dek FROM segments \
               ORDER BY team, session, transcript, first_ordinal";
    let rows: Vec<Key> = sqlx::query_as(sql).fetch_all(&mut connection).await.expect("the segments");
    let start = Instant::now();
    for rows in rows.chunks(ROWS) {
        update_batch(&mut connection, rows).await;
    }
    start.elapsed().as_secs_f64()
}

async fn update_batch(connection: &mut PgConnection, rows: &[Key]) {
    let done = sqlx::query(
        "UPDATE segments AS g SET wrapped_dek = n.new \
         FROM unnest($1::int[], $2::int[], $3::smallint[], $4::int[], $5::bytea[]) \
         AS n(team, session, transcript, first_ordinal, new) WHERE g.team = n.team AND g.session = n.session \
         AND g.transcript = n.transcript AND g.first_ordinal = n.first_ordinal",
    )
    .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.2).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.3).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.4.clone()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .expect("an update");
    assert_eq!(done.rows_affected(), rows.len() as u64);
}

/// Gives the team a new key and re-wraps everything; returns the seconds.
async fn rewrap(db: &Db, team: &TeamId) -> f64 {
    keys::rotate_team(db, team).await.expect("a new key");
    let start = Instant::now();
    let mut waited = Duration::ZERO;
    loop {
        let work =
            team_work::find(db, team, WorkKind::Rotate).await.expect("an answer").expect("the rotation");
        match team_work::advance(db, &work).await.expect("a batch") {
            Advance::Finished => return (start.elapsed() - waited).as_secs_f64(),
            Advance::More => {}
            // For the heartbeats of the server.
            Advance::Waiting => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                waited += Duration::from_millis(100);
            }
        }
    }
}

/// Pushes alone, and while the server rotates; returns the median ratio, and how many of how many reads failed.
async fn ingest_during(
    target: &Target,
    client: &reqwest::Client,
    db: &Db,
    team: &TeamId,
    options: &IngestOptions,
) -> (f64, u64, u64) {
    let lines = (options.writers * options.batches * options.batch) as f64;
    let pushes = ingest::Options::of(options.writers, options.batch, options.batches);
    println!("{:>6} {:>12} {:>14} {:>7}", "pair", "alone, l/s", "rotating, l/s", "ratio");
    let mut ratios = Vec::new();
    let (stop, failed, reads) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let reading = async {
        while !stop.load(Ordering::Relaxed) {
            if !read(target, client).await {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let measuring = async {
        for pair in 0..=options.ingest_pairs {
            let sessions = |run: usize| -> Vec<Session> {
                (0..options.writers).map(|writer| Session::new(&pushes, run, writer)).collect()
            };
            target.keep_holding(&[SEARCH_INDEX, CONSOLIDATION, TEAM_WORK]).await;
            let alone = ingest::push(target, client, &sessions(2 * pair), lines).await.lines_per_second;
            keys::rotate_team(db, team).await.expect("a new key");
            target.release(TEAM_WORK).await;
            until_changed(db, team).await;
            let during = ingest::push(target, client, &sessions(2 * pair + 1), lines).await.lines_per_second;
            let work =
                team_work::find(db, team, WorkKind::Rotate).await.expect("an answer").expect("the rotation");
            let counted = if pair == 0 { " (warm-up)" } else { "" };
            let complete = if work.finished_at.is_some() { "; the rotation ended before" } else { "" };
            println!("{pair:>6} {alone:>12.0} {during:>14.0} {:>6.2}x{counted}{complete}", during / alone);
            if pair > 0 {
                ratios.push(during / alone);
            }
            until_finished(db, team).await;
            target.hold(&[TEAM_WORK]).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(measuring, reading);
    (median(&ratios), failed.into_inner(), reads.into_inner())
}

/// Waits until the server has begun to re-wrap.
async fn until_changed(db: &Db, team: &TeamId) {
    while team_work::find(db, team, WorkKind::Rotate)
        .await
        .expect("an answer")
        .is_some_and(|work| work.done == 0)
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_finished(db: &Db, team: &TeamId) {
    while team_work::find(db, team, WorkKind::Rotate)
        .await
        .expect("an answer")
        .is_some_and(|work| work.finished_at.is_none())
    {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Reads sessions with their sealed metadata, and the messages of one; returns whether nothing failed.
async fn read(target: &Target, client: &reqwest::Client) -> bool {
    const QUERY: &str =
        "{ session(id: \"model\") { id projectPath messages(first: 10) { edges { node { id rawJson } } } } }";
    let sent = client
        .post(format!("{}/graphql", target.url))
        .bearer_auth(&target.key)
        .json(&json!({ "query": QUERY }))
        .send()
        .await;
    let Ok(response) = sent else { return false };
    let Ok(answer) = response.json::<Value>().await else { return false };
    answer["errors"].is_null() && !answer["data"]["session"].is_null()
}

/// Rotates the KEK of many teams on a database of their own; returns the seconds.
async fn rotate_kek(count: usize) -> f64 {
    /// Teams that are made at the same time.
    const AT_ONCE: usize = 8;
    let target = Target::start("han_bench_rotate_kek").await;
    let url = target.database.to_url_lossy().to_string();
    let db = connect(&url, ring(KEK, None)).await;
    let user = han_db::queries::users::oldest(&db, 1).await.expect("users").pop().expect("a user");
    let (db_of, user_of) = (&db, &user);
    join_all((0..AT_ONCE).map(|worker| async move {
        for n in (worker..count).step_by(AT_ONCE) {
            // The random end of the slug keeps equal names from being counted.
            teams::create_for_user(db_of, &format!("team {n}"), &user_of.id).await.expect("a team");
        }
    }))
    .await;
    // The server holds the old KEK only.
    drop(target.server);
    db.close().await;
    let new = connect(&url, ring([9; 32], Some(KEK))).await;
    let mut connection =
        url.parse::<sqlx::postgres::PgConnectOptions>().expect("a URL").connect().await.expect("PG");
    sqlx::raw_sql("DELETE FROM replicas").execute(&mut connection).await.expect("the server is gone");
    let start = Instant::now();
    let rotated = keks::rotate(&new, |_| ()).await.expect("a rotation");
    let seconds = start.elapsed().as_secs_f64();
    let verified = keks::verify(&new).await.expect("a verification");
    assert!(verified.failures.is_empty(), "{:?}", verified.failures.first());
    println!("{} keys of {count} teams are wrapped by another KEK after {seconds:.1} s", rotated.rewrapped);
    new.close().await;
    seconds
}
