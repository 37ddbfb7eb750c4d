//! Search finds the same lines as a scan of the opened text, in one team only, however lines were pushed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use han_db::page::PageRequest;
use han_db::queries::consolidation::{self, Fragmented};
use han_db::queries::ingest::Outcome;
use han_db::queries::search::{self, Due, HitCursor, Within};
use han_db::queries::{deletion, teams};
use han_db::{Db, DbConfig, DbError};
use han_testkit::{TestDatabase, both_databases};
use han_transcript::view::search_text;
use han_transcript::words::Query;
use han_types::{Role, Scope, Timestamp};
use support::{World, push, world};

/// Indexes all pending lines.
async fn index(world: &World) {
    let mut after = None;
    loop {
        let due = search::due(&world.db, after.as_ref(), 7).await.unwrap();
        let Some(last) = due.last().cloned() else { return };
        for due in due {
            while !search::index(&world.db, &due).await.unwrap() {}
        }
        after = Some(last);
    }
}

async fn lag(world: &World) -> i64 {
    search::lag(&world.db.read(&world.scope, "test.read").await.unwrap()).await.unwrap()
}

/// The uuids of all hits, page by page.
async fn found(world: &World, scope: &Scope, query: &str, within: &Within, first: usize) -> Vec<String> {
    let query = Query::parse(query).unwrap();
    let mut uuids = Vec::new();
    let mut after: Option<HitCursor> = None;
    loop {
        let tx = world.db.read(scope, "test.read").await.unwrap();
        let request = PageRequest { after, first };
        let page = search::search(&tx, &query, within, &request).await.unwrap();
        for hit in &page.hits {
            assert_eq!(query.find(&hit.text), Some(hit.at.clone()));
            uuids.push(hit.message.key.uuid.clone());
        }
        let Some(next) = page.next else { return uuids };
        after = Some(next);
    }
}

fn line(uuid: &str, second: usize, text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(
        r#"{{"type":"user","uuid":"{uuid}","timestamp":"2026-01-01T00:{:02}:{:02}.000Z","message":{{"role":"user","content":{text}}}}}"#,
        second / 60,
        second % 60
    )
}

/// Texts of few words, so that queries match many of them and phrases only some (xorshift64*: the same in every run).
struct Texts(u64);

impl Texts {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn text(&mut self) -> String {
        let words =
            ["red", "Build", "build", "snake_case", "Élan", "elan", "検索", "索", "a-b", "a", "b", "12"];
        let count = 1 + self.below(5);
        (0..count).map(|_| words[self.below(words.len())]).collect::<Vec<_>>().join(" ")
    }

    fn query(&mut self) -> String {
        let text = self.text();
        if self.below(2) == 0 { format!("\"{text}\"") } else { text }
    }
}

both_databases!(
    async fn search_finds_what_a_scan_finds(database: TestDatabase) {
        let world = world(&database).await;
        let other = support::team(&world.db, "bob").await;
        let mut texts = Texts(0x9e37_79b9_7f4a_7c15);
        let queries: Vec<String> = (0..40).map(|_| texts.query()).collect();
        let texts: Vec<String> = (0..120).map(|_| texts.text()).collect();
        let lines: Vec<String> =
            texts.iter().enumerate().map(|(n, text)| line(&format!("u{n}"), n / 3, text)).collect();
        for (session, lines) in ["s1", "s2", "s3"].iter().zip(lines.chunks(40)) {
            push(&world, session, "main", Some(0), lines).await;
        }
        index(&world).await;
        assert_eq!(lag(&world).await, 0);
        for query in &queries {
            let parsed = Query::parse(query).unwrap();
            let scan: BTreeSet<String> = lines
                .iter()
                .enumerate()
                .filter(|(_, line)| parsed.find(&search_text(line, usize::MAX)).is_some())
                .map(|(n, _)| format!("u{n}"))
                .collect();
            for first in [3, 200] {
                let hits = found(&world, &world.scope, query, &Within::default(), first).await;
                assert_eq!(hits.iter().cloned().collect::<BTreeSet<_>>(), scan, "{query}");
                assert_eq!(hits.len(), scan.len(), "{query}: each once");
            }
            assert!(found(&world, &other, query, &Within::default(), 10).await.is_empty());
            let within = Within { session_id: Some("s2".to_owned()), ..Within::default() };
            let hits = found(&world, &world.scope, query, &within, 10).await;
            let in_session =
                scan.iter().filter(|uuid| (40..80).contains(&uuid[1..].parse::<usize>().unwrap()));
            assert_eq!(hits.into_iter().collect::<BTreeSet<_>>(), in_session.cloned().collect(), "{query}");
        }
    }
);

/// A team whose two members pushed 30 lines in each of three sessions, two files and many small segments, with many equal
/// times. Some segments are merged.
async fn crowded(database: &TestDatabase, texts: &mut Texts) -> (World, Scope, Vec<Pushed>) {
    let world = world(database).await;
    let bob = support::member(&world, "bob", Role::Member).await;
    let mut lines = Vec::new();
    for round in 0..10 {
        for (session, scope) in [("s1", &world.scope), ("s2", &bob), ("s3", &bob)] {
            let own: Vec<String> = (0..3)
                .map(|n| line(&format!("{session}u{:02}", round * 3 + n), texts.below(20), &texts.text()))
                .collect();
            let (file, offset) = if round % 3 == 0 {
                ("agent-a", round)
            } else {
                ("main", round / 3 * 6 + (round % 3 - 1) * 3)
            };
            let batch = support::batch(true, session, file, Some(offset as u64), &own);
            let stored = han_db::queries::ingest::store(scope, &world.db, batch).await.unwrap();
            assert!(matches!(stored, Outcome::Stored { stored: 3, .. }), "{stored:?}");
            let user = scope.user_id().as_str().to_owned();
            lines.extend(own.into_iter().map(|line| Pushed { session, user: user.clone(), file, line }));
        }
        match round {
            // Merged before they are indexed, between, and after.
            2 | 9 => merge(&world, "s1").await,
            4 => index(&world).await,
            6 => merge(&world, "s2").await,
            _ => {}
        }
    }
    index(&world).await;
    merge(&world, "s3").await;
    (world, bob, lines)
}

struct Pushed {
    session: &'static str,
    user: String,
    file: &'static str,
    line: String,
}

async fn merge(world: &World, session: &str) {
    let session = Fragmented { team_id: world.scope.team_id().clone(), session_id: session.parse().unwrap() };
    consolidation::consolidate(&world.db, &session).await.unwrap();
}

/// What a scan of the lines finds, newest first.
fn scan(lines: &[Pushed], query: &str, within: &Within) -> Vec<String> {
    let query = Query::parse(query).unwrap();
    let mut found: Vec<(i64, &str, &str, String)> = lines
        .iter()
        .filter(|pushed| {
            let at = at(&pushed.line);
            query.find(&search_text(&pushed.line, usize::MAX)).is_some()
                && within.session_id.as_ref().is_none_or(|wanted| wanted == pushed.session)
                && within.user_id.as_ref().is_none_or(|wanted| *wanted == pushed.user)
                && within.from.is_none_or(|from| at >= from)
                && within.to.is_none_or(|to| at < to)
        })
        .map(|pushed| (at(&pushed.line), pushed.session, pushed.file, uuid(&pushed.line)))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(.., uuid)| uuid).collect()
}

both_databases!(
    /// For any filter and page size: the same lines as a scan of the opened lines that pass it, newest first.
    async fn filtered_search_finds_what_a_scan_finds(database: TestDatabase) {
        let mut texts = Texts(0x2545_f491_4f6c_dd1d);
        let (world, bob, lines) = crowded(&database, &mut texts).await;
        let begin = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap().0;
        for _ in 0..60 {
            let mut some = |value: String| (texts.below(2) == 0).then_some(value);
            let (session_id, user_id) = (some("s2".to_owned()), some(bob.user_id().as_str().to_owned()));
            let mut time = || (texts.below(2) == 0).then(|| begin + 1000 * texts.below(20) as i64);
            let within = Within { session_id, user_id, from: time(), to: time(), project_ids: None };
            let (query, first) = (texts.query(), 1 + texts.below(9));
            let hits = found(&world, &world.scope, &query, &within, first).await;
            assert_eq!(hits, scan(&lines, &query, &within), "{query} within {within:?} by {first}");
        }
    }
);

both_databases!(
    /// A segment has many more lines with a word than a page has hits: only some are read at a time, and many have the time
    /// at which the others begin.
    async fn a_common_word_in_a_long_segment_is_found_by_pages(database: TestDatabase) {
        let mut texts = Texts(0x0bad_cafe_1234_5678);
        let world = world(&database).await;
        for (session, seconds) in [("s1", 3), ("s2", 40)] {
            let lines: Vec<String> = (0..300)
                .map(|n| {
                    let rare = if texts.below(60) == 0 { "red build" } else { "build red" };
                    line(&format!("{session}u{n:03}"), texts.below(seconds), &format!("{rare} {n}"))
                })
                .collect();
            push(&world, session, "main", Some(0), &lines).await;
            let user = world.scope.user_id().as_str().to_owned();
            let pushed: Vec<Pushed> = lines
                .into_iter()
                .map(|line| Pushed { session, user: user.clone(), file: "main", line })
                .collect();
            index(&world).await;
            let within = Within { session_id: Some(session.to_owned()), ..Within::default() };
            for query in ["red", "\"red build\""] {
                for first in [1, 7, 50, 299, 300] {
                    let hits = found(&world, &world.scope, query, &within, first).await;
                    assert_eq!(hits, scan(&pushed, query, &within), "{query} by {first}");
                }
            }
        }
    }
);

both_databases!(
    /// Pages that end early, because they looked through as much as they may or their hits are large, leave nothing out.
    async fn short_pages_find_what_a_scan_finds(database: TestDatabase) {
        let mut texts = Texts(0x1234_5678_9abc_def1);
        let (mut world, _, lines) = crowded(&database, &mut texts).await;
        let everywhere = Within::default();
        for (search_bytes, read_bytes) in [(1, 32 << 20), (2_000, 32 << 20), (48 << 20, 350), (1, 350)] {
            let config = DbConfig { search_bytes, read_bytes, ..DbConfig::new(database.url()) };
            world.db = support::connect_as(&config, &world.clock).await;
            for _ in 0..10 {
                let query = texts.query();
                let hits = found(&world, &world.scope, &query, &everywhere, 7).await;
                assert_eq!(
                    hits,
                    scan(&lines, &query, &everywhere),
                    "{query} with {search_bytes} and {read_bytes}"
                );
            }
        }
        let config = DbConfig { read_bytes: 50, ..DbConfig::new(database.url()) };
        let db = support::connect_as(&config, &world.clock).await;
        let tx = db.read(&world.scope, "test.read").await.unwrap();
        let request = PageRequest { after: None, first: 7 };
        let error =
            search::search(&tx, &Query::parse("a").unwrap(), &everywhere, &request).await.unwrap_err();
        assert!(matches!(error, DbError::TooMuch { .. }), "{error:?}");
    }
);

both_databases!(
    /// Whatever order indexing, merging and reindexing take, each line is found in the end, once.
    async fn indexing_beside_merges_and_reindexing(database: TestDatabase) {
        let world = world(&database).await;
        // Two more replicas merge and reindex.
        let one = support::connect(database.url(), &world.clock).await;
        let two = support::connect(database.url(), &world.clock).await;
        let lines: Vec<String> = (0..60).map(|n| line(&format!("u{n:02}"), n, "red build")).collect();
        let pushing = async {
            for (offset, line) in lines.iter().enumerate() {
                push(&world, "s1", "main", Some(offset as u64), std::slice::from_ref(line)).await;
            }
        };
        let due = Due { team_id: world.scope.team_id().clone(), session_id: "s1".parse().unwrap() };
        let indexing = async {
            for _ in 0..60 {
                search::index(&world.db, &due).await.unwrap();
            }
        };
        let session = Fragmented { team_id: due.team_id.clone(), session_id: due.session_id.clone() };
        let merging = async |db: &Db| {
            for _ in 0..60 {
                consolidation::consolidate(db, &session).await.unwrap();
            }
        };
        let reindexing = async {
            for _ in 0..10 {
                search::reindex(&world.scope, &two).await.unwrap();
            }
        };
        tokio::join!(pushing, indexing, merging(&world.db), merging(&one), reindexing);
        index(&world).await;
        let newest_first: Vec<String> = (0..60).rev().map(|n| format!("u{n:02}")).collect();
        assert_eq!(found(&world, &world.scope, "red", &Within::default(), 7).await, newest_first);
        // Each segment has terms, and there are no others.
        let numbers = "SELECT session, transcript, first_ordinal FROM";
        let indexed = support::dump(&database, &format!("{numbers} search_terms ORDER BY 3")).await;
        assert_eq!(indexed, support::dump(&database, &format!("{numbers} segments ORDER BY 3")).await);
        merge(&world, "s1").await;
        assert_eq!(found(&world, &world.scope, "red", &Within::default(), 7).await, newest_first);
        assert_eq!(support::dump(&database, &format!("{numbers} search_terms")).await.len(), 1);
    }
);

both_databases!(
    async fn repositories_are_searched_in_one_go(database: TestDatabase) {
        let mut texts = Texts(0x0f1e_2d3c_4b5a_6978);
        let (world, _, lines) = crowded(&database, &mut texts).await;
        let sessions = ["s1", "s2", "s3"].map(|session| session.parse().unwrap());
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        let sessions = han_db::queries::sessions::by_ids(&tx, &sessions).await.unwrap();
        let ids: Vec<String> = sessions.into_iter().filter_map(|session| session.project_id).collect();
        let within = |ids: &[String]| Within { project_ids: Some(ids.to_vec()), ..Within::default() };
        let all = scan(&lines, "a", &Within::default());
        assert_eq!(found(&world, &world.scope, "a", &within(&ids), 4).await, all);
        let others = ["p-0".to_owned(), "p-1".to_owned()];
        assert!(found(&world, &world.scope, "a", &within(&others), 4).await.is_empty());
        assert!(found(&world, &world.scope, "a", &within(&[]), 4).await.is_empty());
        let with_others = [&others[..], &ids[..]].concat();
        assert_eq!(found(&world, &world.scope, "a", &within(&with_others), 4).await, all);
    }
);

fn field(line: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value[name].as_str().unwrap().to_owned()
}

fn at(line: &str) -> i64 {
    Timestamp::parse_rfc3339(&field(line, "timestamp")).unwrap().0
}

fn uuid(line: &str) -> String {
    field(line, "uuid")
}

both_databases!(
    async fn lines_that_cannot_be_opened_are_counted_separately(database: TestDatabase) {
        let world = world(&database).await;
        let lines = [line("u0", 0, "red build"), line("u1", 1, "red brick"), line("u2", 2, "blue")];
        push(&world, "s1", "main", Some(0), &lines[..1]).await;
        push(&world, "s1", "main", Some(1), &lines[1..]).await;
        index(&world).await;
        let damage = "UPDATE segments SET body = substr(body, 1, length(body) - 9) WHERE first_ordinal = 1";
        database.execute(damage).await;
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        let (query, request) = (Query::parse("red").unwrap(), PageRequest { after: None, first: 10 });
        let page = search::search(&tx, &query, &Within::default(), &request).await;
        let page = page.unwrap();
        assert_eq!(page.hits.iter().map(|hit| hit.message.key.uuid.as_str()).collect::<Vec<_>>(), ["u0"]);
        assert_eq!(page.unreadable, 2, "each message that is stored with the word");
    }
);

both_databases!(
    async fn words_of_one_message_match_across_its_index_rows(database: TestDatabase) {
        let world = world(&database).await;
        let many: String = (0..200_000).map(|n| format!("w{n} ")).collect();
        push(&world, "s1", "main", Some(0), &[line("u0", 0, &many), line("u1", 1, "w1 w2")]).await;
        index(&world).await;
        let everywhere = Within::default();
        assert_eq!(found(&world, &world.scope, "w1 w50000 w199999", &everywhere, 10).await, ["u0"]);
        assert_eq!(found(&world, &world.scope, "w2 w1", &everywhere, 10).await, ["u1", "u0"]);
        assert_eq!(found(&world, &world.scope, "\"w89999 w90000\"", &everywhere, 1).await, ["u0"]);
        assert!(found(&world, &world.scope, "w1 w200000", &everywhere, 10).await.is_empty());
    }
);

both_databases!(
    async fn the_index_follows_pushes_deletions_and_reindexing(database: TestDatabase) {
        let world = world(&database).await;
        let everywhere = Within::default();
        push(&world, "s1", "main", Some(0), &[line("u0", 0, "red build")]).await;
        assert!(found(&world, &world.scope, "red", &everywhere, 10).await.is_empty(), "not indexed yet");
        assert_eq!(lag(&world).await, 1);
        index(&world).await;
        push(&world, "s1", "main", Some(1), &[line("u1", 1, "red again")]).await;
        push(&world, "s2", "main", Some(0), &[line("u2", 2, "red, too")]).await;
        let due = search::due(&world.db, None, 10).await.unwrap();
        assert_eq!(due.iter().map(|due| due.session_id.as_str()).collect::<Vec<_>>(), ["s1", "s2"]);
        // Two at once, as two replicas would.
        let (one, two) = tokio::join!(search::index(&world.db, &due[0]), search::index(&world.db, &due[0]));
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        index(&world).await;
        assert_eq!(found(&world, &world.scope, "red", &everywhere, 10).await, ["u2", "u1", "u0"]);
        search::reindex(&world.scope, &world.db).await.unwrap();
        assert!(found(&world, &world.scope, "red", &everywhere, 10).await.is_empty());
        assert_eq!(lag(&world).await, 3);
        index(&world).await;
        assert_eq!(found(&world, &world.scope, "red", &everywhere, 10).await, ["u2", "u1", "u0"]);
        assert!(deletion::session(&world.scope, &world.db, &"s1".parse().unwrap()).await.unwrap());
        assert_eq!(found(&world, &world.scope, "red", &everywhere, 10).await, ["u2"]);
        let left = Due { team_id: world.scope.team_id().clone(), session_id: "s1".parse().unwrap() };
        assert!(search::index(&world.db, &left).await.unwrap(), "of what is gone nothing is left to do");
        // Another team finds none of it.
        let (user, _) = teams::create_with_user(&world.db, "eve", "eve").await.unwrap();
        let eve = support::scope(&world.db, user.id).await;
        assert!(found(&world, &eve, "red", &everywhere, 10).await.is_empty());
    }
);

both_databases!(
    async fn an_index_by_other_rules_for_words_is_made_again(database: TestDatabase) {
        let world = world(&database).await;
        push(&world, "s1", "main", Some(0), &[line("u1", 1, "全文搜索引擎"), line("u2", 2, "서버가 느리다")])
            .await;
        index(&world).await;
        let everything = async |query: &str| found(&world, &world.scope, query, &Within::default(), 10).await;
        assert_eq!(
            (everything("搜索").await, everything("서버").await),
            (vec!["u1".to_owned()], vec!["u2".to_owned()])
        );
        assert_eq!(lag(&world).await, 0);
        // As an earlier version left it: with other terms.
        database.execute("UPDATE search_state SET words = words - 1").await;
        database.execute("DELETE FROM search_terms").await;
        assert_eq!((everything("搜索").await, lag(&world).await), (vec![], 2));
        index(&world).await;
        assert_eq!((everything("搜索").await, lag(&world).await), (vec!["u1".to_owned()], 0));
    }
);

both_databases!(
    async fn each_record_of_a_damaged_line_is_found_by_its_own_words(database: TestDatabase) {
        let world = world(&database).await;
        let glued = format!("{}{}", line("u1", 1, "a zebra"), line("u2", 1, "a quagga"));
        push(&world, "s1", "main", Some(0), &[serde_json::json!(glued).to_string()]).await;
        index(&world).await;
        let everything = async |query: &str| found(&world, &world.scope, query, &Within::default(), 10).await;
        assert_eq!(everything("zebra").await, ["u1"]);
        assert_eq!(everything("quagga").await, ["u2"]);
        let mut both = everything("a").await;
        both.sort();
        assert_eq!(both, ["u1", "u2"]);
        assert_eq!(everything("zebra quagga").await, Vec::<String>::new());
    }
);
