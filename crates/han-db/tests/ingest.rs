//! Ingest: lines are stored exactly once with any batching, sealed at rest, and returned byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use han_db::page::PageRequest;
use han_db::queries::ingest::{self, Outcome};
use han_db::queries::messages::{self, MessageList};
use han_db::queries::sessions;
use han_db::{Db, DbConfig};
use han_testkit::{SyntheticSession, TestDatabase, both_databases, fixtures};
use han_types::Clock as _;
use han_types::sync::BatchErrorCode;
use sha2::{Digest as _, Sha256};
use support::corpus::{
    File, contents, files_under, push_in_pieces, push_whole, strip_blind_ids, synthetic_files,
};
use support::{World, batch, dump, push, world};

/// Checks that every pushed line is returned unchanged.
async fn assert_all_returned(world: &World, files: &[File]) {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    for (session, transcript, lines) in files {
        let (session, transcript) = (session.parse().unwrap(), transcript.parse().unwrap());
        let stored = messages::lines(&tx, &session, &transcript, 0, 100_000).await.unwrap();
        let stored: Vec<&str> = stored.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(stored, lines.iter().map(String::as_str).collect::<Vec<_>>(), "{session} {transcript}");
    }
}

both_databases!(
    async fn a_repeated_push_stores_and_changes_nothing(database: TestDatabase) {
        let world = world(&database).await;
        let files = synthetic_files();
        let total: u64 = files.iter().map(|(_, _, lines)| lines.len() as u64).sum();
        let (stored, duplicates) = push_whole(&world, &files).await;
        assert_eq!(stored + duplicates, total);
        let before = contents(&database, &world).await;
        let synced = dump(&database, "SELECT DISTINCT synced_at FROM sessions").await;
        let now = world.clock.now().0.to_string();
        assert!(synced.len() == 1 && synced[0].contains(&now), "{synced:?} {now}");
        let outbox = dump(&database, "SELECT seq FROM changes ORDER BY 1").await;
        world.clock.advance_seconds(60);
        assert_eq!(push_whole(&world, &files).await, (0, total));
        assert_eq!(dump(&database, "SELECT DISTINCT synced_at FROM sessions").await, synced);
        assert_eq!(contents(&database, &world).await, before);
        let after = dump(&database, "SELECT seq FROM changes ORDER BY 1").await;
        assert_eq!(after, outbox, "a repeated push is not published");
    }
);

both_databases!(
    async fn each_session_has_an_id_of_its_own(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(3).lines(4);
        push(&world, "s1", "main", Some(0), &lines[..2]).await;
        push(&world, "s2", "main", Some(0), &lines[..2]).await;
        let ids = "SELECT DISTINCT id FROM sessions WHERE id <> '' AND id <> session_id ORDER BY id";
        let before = dump(&database, ids).await;
        assert_eq!(before.len(), 2, "{before:?}");
        push(&world, "s1", "main", Some(2), &lines[2..]).await;
        assert_eq!(dump(&database, ids).await, before, "it stays the same");
    }
);

both_databases!(
    async fn any_batching_stores_the_same(database: TestDatabase) {
        let files = synthetic_files();
        let mut expected = None;
        for (size, seed) in [(10_000, 1), (7, 2), (2, 3), (13, 4)] {
            // A separate team for each run: the compared rows contain ids that are keyed by team.
            let database = if database.is_postgres() {
                TestDatabase::postgres().await
            } else {
                TestDatabase::sqlite().await
            };
            let world = world(&database).await;
            push_in_pieces(&world, &files, size, seed).await;
            assert_all_returned(&world, &files).await;
            let ids = [world.scope.user_id().as_str().to_owned()];
            let mut rows: Vec<String> = contents(&database, &world)
                .await
                .into_iter()
                .map(|row| strip_blind_ids(&ids.iter().fold(row, |row, id| row.replace(id, "user"))))
                .collect();
            // Blind ids sort differently in each team.
            rows.sort();
            match &expected {
                None => expected = Some(rows),
                Some(expected) => assert_eq!(&rows, expected, "batches of {size}"),
            }
        }
    }
);

both_databases!(
    async fn real_transcripts_are_stored_once_and_counted_correctly(database: TestDatabase) {
        let Some(root) = fixtures::real_transcripts() else { return };
        let world = world(&database).await;
        let files = files_under(&root.join("projects"));
        let (main, agents): (Vec<&File>, Vec<&File>) = files.iter().partition(|(_, name, _)| name == "main");
        let lines = |files: &[&File]| files.iter().map(|(_, _, lines)| lines.len()).sum::<usize>();
        assert_eq!((lines(&main), lines(&agents)), (3456, 152));

        assert_eq!(push_whole(&world, &files).await, (3456 + 152, 0));
        assert_all_returned(&world, &files).await;
        let tokens = "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), \
             sum(cache_creation_5m_tokens + cache_creation_1h_tokens) FROM ";
        let figures = |rows: Vec<String>| -> Vec<i64> {
            let digits = |c: char| !c.is_ascii_digit();
            // The keys of the JSON contain no digits.
            rows[0].split(digits).filter(|part| !part.is_empty()).map(|part| part.parse().unwrap()).collect()
        };
        let named = |table: &str| {
            tokens
                .replace("count(*)", "count(*) AS n")
                .replace("sum(input_tokens)", "sum(input_tokens) AS a")
                .replace("sum(output_tokens)", "sum(output_tokens) AS b")
                .replace("sum(cache_read_tokens)", "sum(cache_read_tokens) AS c")
                .replace("cache_creation_1h_tokens)", "cache_creation_1h_tokens) AS d")
                .replace("5m", "FIVE")
                .replace("FIVE", "5m")
                + table
        };
        let right = [2_776, 79_267, 31_179_675, 670_956];
        assert_eq!(
            figures(dump(&database, &named("answer_copies WHERE owner")).await),
            [&[313][..], &right].concat()
        );
        assert_eq!(figures(dump(&database, &named("sessions")).await), [&[2][..], &right].concat());
        let rollups = figures(dump(&database, &named("rollups WHERE grain < 2")).await);
        assert_eq!(rollups[1..], right);

        // Pushed again in pieces: no changes.
        let before = contents(&database, &world).await;
        push_in_pieces(&world, &files, 700, 9).await;
        assert_eq!(contents(&database, &world).await, before);
    }
);

both_databases!(
    async fn no_word_of_a_message_is_stored_unencrypted(database: TestDatabase) {
        let world = world(&database).await;
        let mut files = synthetic_files();
        if let Some(root) = fixtures::real_transcripts() {
            files.extend(files_under(&root.join("projects")));
        }
        push_whole(&world, &files).await;
        let mut stored = String::new();
        for table in [
            "sessions",
            "messages",
            "transcripts",
            "projects",
            "repos",
            "tool_results",
            "answer_copies",
            "segments",
            "subagent_starts",
            "rollups",
            "changes",
            "file_changes",
            "hook_executions",
            "sentiments",
            "task_events",
            "tasks",
            "native_tasks",
            "todos",
            "labels",
            "session_usage",
            "rollup_counts",
        ] {
            for row in dump(&database, &format!("SELECT * FROM {table}")).await {
                stored.push_str(&row);
                stored.push('\n');
            }
        }
        let stored_words: BTreeSet<&str> = words(&stored).collect();
        // Stored unencrypted by design: tool names, models, ids, column names, and the
        // kinds of rollup counts.
        let mut by_design = dump(&database, "SELECT DISTINCT tool_name, model, agent_id FROM messages").await;
        by_design.extend(dump(&database, "SELECT DISTINCT kind FROM rollup_counts").await);
        let unencrypted: BTreeSet<String> =
            by_design.iter().flat_map(|row| words(row).map(str::to_owned).collect::<Vec<_>>()).collect();
        let mut leaked = BTreeSet::new();
        for (_, _, lines) in &files {
            for line in lines {
                for text in prose(line) {
                    for word in
                        words(&text).filter(|word| word.len() >= 5 && word.chars().all(char::is_alphabetic))
                    {
                        if stored_words.contains(word) && !unencrypted.contains(word) {
                            leaked.insert(word.to_owned());
                        }
                    }
                }
            }
        }
        // The names of columns and values are English words, too.
        let schema: BTreeSet<&str> = [
            "sessions",
            "session",
            "minute",
            "messages",
            "message",
            "transcripts",
            "transcript",
            "agent",
            "content",
            "input",
            "output",
            "tokens",
            "model",
            "label",
            "insert",
            "update",
            "sealed",
            "metadata",
            "project",
            "details",
            "remote",
            "place",
            "bytes",
            "parent",
            "ordinal",
            "revision",
            "started",
            "activity",
            "count",
            "cache",
            "creation",
            "table",
            "action",
            "success",
            "duration",
            "shard",
            "turns",
            "responses",
            "answer",
            "depth",
            "first",
            "number",
            "owner",
            "wrapped",
            "created",
            "synced",
            "compaction",
            "offset",
            "false",
            "xid",
            "system",
            // Ids are stored unencrypted; this is the prefix of ids of tool uses.
            "toolu",
            // Unencrypted in tables of derived data: columns, statuses, outcomes, triggers.
            "changes",
            "completed",
            "continuation",
            "directory",
            "plugin",
            "updated",
            "error",
            "event",
            "failed",
            "fails",
            "items",
            "label",
            "labels",
            "level",
            "lines",
            "manual",
            "modified",
            "native",
            "passed",
            "pending",
            "removed",
            "added",
            "score",
            "scored",
            "signals",
            "status",
            "tasks",
            "timed",
            "start",
            "saved",
            "prompt",
            "progress",
        ]
        .into();
        leaked.retain(|word| !schema.contains(word.as_str()));
        assert!(leaked.is_empty(), "unencrypted: {leaked:?}");
    }
);

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The texts in a line that people and agents wrote.
fn prose(line: &str) -> Vec<String> {
    fn collect(value: &serde_json::Value, texts: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        serde_json::Value::String(text)
                            if matches!(
                                key.as_str(),
                                "text" | "thinking" | "content" | "command" | "summary" | "cwd"
                            ) =>
                        {
                            texts.push(text.clone());
                        }
                        _ => collect(value, texts),
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
            _ => {}
        }
    }
    let mut texts = Vec::new();
    if let Ok(value) = serde_json::from_str(line) {
        collect(&value, &mut texts);
    }
    texts
}

both_databases!(
    /// A batch that continues at the end of its file is first stored as if all its lines were new.
    async fn a_file_may_repeat_a_line(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(6).lines(9);
        assert_eq!(push(&world, "s1", "main", Some(0), &lines[..6]).await, (6, 0, 6));
        let next = [&lines[6..7], &lines[2..3], &lines[7..], &lines[7..8]].concat();
        // A repeat is a line of the file, but no message of its own.
        assert_eq!(push(&world, "s1", "main", Some(6), &next).await, (5, 0, 11));
        let stored = dump(&database, "SELECT uuid FROM messages").await;
        assert_eq!(stored.len(), 9);
        assert_all_returned(&world, &[("s1".into(), "main".into(), [&lines[..6], &next].concat())]).await;
        let sums = "SELECT line_count, message_count, input_tokens, output_tokens, next_offset FROM sessions \
                    JOIN transcripts ON transcripts.session = sessions.number";
        let before = dump(&database, sums).await;
        assert!(before[0].contains("11"), "{before:?}");
        han_db::queries::rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_eq!(dump(&database, sums).await, before);
    }
);

both_databases!(
    async fn a_gap_names_the_next_expected_line(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(30);
        push(&world, "s1", "main", Some(0), &lines[..10]).await;
        let late = batch(true, "s1", "main", Some(20), &lines[20..]);
        let outcome = ingest::store(&world.scope, &world.db, late).await.unwrap();
        let Outcome::Refused(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!((error.code, error.offset), (BatchErrorCode::Gap, Some(10)));
        assert_eq!(dump(&database, "SELECT uuid FROM messages").await.len(), 10);
        // Another file of the session, and an unknown session, begin at 0.
        for (session, transcript) in [("s1", "agent-1"), ("s2", "main")] {
            let late = batch(true, session, transcript, Some(1), &lines[..1]);
            let outcome = ingest::store(&world.scope, &world.db, late).await.unwrap();
            let Outcome::Refused(error) = outcome else { panic!("{outcome:?}") };
            assert_eq!((error.code, error.offset), (BatchErrorCode::Gap, Some(0)));
        }
        let sessions = dump(&database, "SELECT session_id FROM sessions").await;
        assert_eq!(sessions.len(), 1, "a refused batch is rolled back: {sessions:?}");
        let far = batch(true, "s1", "main", Some(u64::MAX), &lines[..1]);
        assert!(matches!(ingest::store(&world.scope, &world.db, far).await.unwrap(), Outcome::Refused(_)));
        let stats = world.db.transaction_stats()["ingest.store"];
        assert_eq!((stats.committed, stats.refused, stats.failed), (1, 4, 0), "a refusal is not a failure");
    }
);

both_databases!(
    async fn a_session_belongs_to_the_user_who_pushed_it_first(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(10);
        push(&world, "s1", "main", Some(0), &lines).await;
        // The same session id in another team is another session.
        let stranger = support::team(&world.db, "bob").await;
        let theirs = batch(true, "s1", "main", Some(0), &lines[..4]);
        let outcome = ingest::store(&stranger, &world.db, theirs).await.unwrap();
        assert!(matches!(outcome, Outcome::Stored { stored: 4, .. }), "{outcome:?}");
        // In the same team it is refused.
        han_db::queries::memberships::put(
            &world.db,
            world.scope.team_id(),
            stranger.user_id(),
            han_types::Role::Member,
        )
        .await
        .unwrap();
        let actor = han_types::Actor {
            user_id: stranger.user_id().clone(),
            credential: han_types::Credential::Jwt {
                id: "t".to_owned(),
                family: None,
                team_id: Some(world.scope.team_id().clone()),
            },
            capabilities: han_types::Capabilities::PERSON,
            expires_at: None,
            request_id: han_testkit::request_id(),
            client: None,
        };
        let colleague =
            han_db::queries::memberships::scope_for(&world.db, &actor).await.unwrap().unwrap().scope;
        assert_eq!(colleague.team_id(), world.scope.team_id());
        let theirs = batch(true, "s1", "main", Some(10), &lines[..1]);
        let outcome = ingest::store(&colleague, &world.db, theirs).await.unwrap();
        let Outcome::Refused(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.code, BatchErrorCode::SessionOwned);
    }
);

both_databases!(
    async fn a_rewritten_file_continues_at_its_new_end(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(30);
        push(&world, "s1", "main", Some(0), &lines[..20]).await;
        let offset = || async {
            ingest::status(&world.scope, &world.db).await.unwrap().first().map(|status| status.offset)
        };
        // A retry of known lines does not move the offset back.
        assert_eq!(push(&world, "s1", "main", Some(0), &lines[..5]).await, (0, 5, 5));
        assert_eq!(offset().await, Some(20));
        // The file now holds five old lines and two new ones.
        let rewritten = [&lines[..5], &lines[28..30]].concat();
        assert_eq!(push(&world, "s1", "main", Some(0), &rewritten).await, (2, 5, 7));
        assert_eq!(offset().await, Some(7));
        assert_eq!(dump(&database, "SELECT uuid FROM messages").await.len(), 22, "nothing is lost");
        // Rewritten to the same number of lines: the hash is that of the new last line.
        let longest = [&lines[..6], &lines[20..21]].concat();
        assert_eq!(push(&world, "s1", "main", Some(0), &longest).await.2, 7);
        let hash = ingest::status(&world.scope, &world.db).await.unwrap()[0].last_line_hash.clone();
        assert_eq!(hash, Some(line_hash(&lines[20])));
    }
);

both_databases!(
    async fn lines_without_an_offset_are_appended(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(12);
        assert_eq!(push(&world, "s1", "main", None, &lines[..5]).await, (5, 0, 5));
        assert_eq!(push(&world, "s1", "main", None, &lines[5..]).await, (7, 0, 12));
    }
);

both_databases!(
    async fn status_lists_only_transcripts_of_the_caller(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(3);
        push(&world, "s1", "main", Some(0), &lines).await;
        push(&world, "s1", "agent-a1", Some(0), &lines[..2]).await;
        let status = ingest::status(&world.scope, &world.db).await.unwrap();
        let listed: Vec<(&str, u64)> = status.iter().map(|s| (s.transcript.as_str(), s.offset)).collect();
        assert_eq!(listed, [("agent-a1", 2), ("main", 3)]);
        assert_eq!(status[1].last_line_hash.as_deref(), Some(line_hash(&lines[2]).as_str()));
        let stranger = support::team(&world.db, "bob").await;
        assert_eq!(ingest::status(&stranger, &world.db).await.unwrap(), []);
    }
);

both_databases!(
    async fn concurrent_batches_of_forks_count_tokens_once(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(11).lines(60);
        // Twelve sessions copy the same lines, with the same message ids, at once.
        let names: Vec<String> = (0..12).map(|n| format!("fork-{n}")).collect();
        let pushes = names.iter().map(|name| push(&world, name, "main", Some(0), &lines));
        let stored = futures_util::future::join_all(pushes).await;
        assert!(stored.iter().all(|(stored, ..)| *stored == stored_once(&lines)), "{stored:?}");
        let sum = |table: &str| {
            let sql = format!("SELECT sum(output_tokens) AS n FROM {table}");
            let database = &database;
            async move { dump(database, &sql).await }
        };
        let owners = "answer_copies WHERE owner";
        assert_eq!(sum("sessions").await, sum(owners).await);
        assert_eq!(sum("rollups WHERE grain < 2").await, sum(owners).await);
        push(&world, "alone", "main", Some(0), &lines).await;
        assert_eq!(sum("rollups WHERE grain < 2").await, sum(owners).await);
    }
);

/// SHA-256 in lowercase hexadecimal, as docs/SYNC.md specifies for `last_line_hash`.
fn line_hash(line: &str) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn stored_once(lines: &[String]) -> u64 {
    lines.iter().collect::<BTreeSet<_>>().len() as u64
}

both_databases!(
    async fn concatenated_pages_equal_the_list(database: TestDatabase) {
        let world = world(&database).await;
        let files = synthetic_files();
        push_whole(&world, &files).await;
        let mut by_session: BTreeMap<&str, ()> = BTreeMap::new();
        for (session, ..) in &files {
            by_session.insert(session, ());
        }
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        for session in by_session.keys() {
            let session = session.parse().unwrap();
            for include_progress in [false, true] {
                let list = MessageList { include_progress, ..MessageList::default() };
                let whole = page(&tx, &session, &list, 500).await;
                let count = messages::count(&tx, &session, &list).await.unwrap();
                assert_eq!(whole.len() as i64, count);
                let mut sorted = whole.clone();
                sorted.sort_by(|a, b| b.cmp(a));
                assert_eq!(whole, sorted, "newest first");
                for size in [1, 2, 3, 7, 50] {
                    assert_eq!(page(&tx, &session, &list, size).await, whole, "pages of {size}");
                }
            }
        }
    }
);

/// All pages of a list, concatenated.
async fn page(
    tx: &han_db::ScopedTx,
    session: &han_types::SessionId,
    list: &MessageList,
    size: usize,
) -> Vec<han_db::page::MessageCursor> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let request = PageRequest { after, first: size };
        let page = messages::page(tx, session, list, &request).await.unwrap();
        all.extend(page.rows.iter().map(han_db::entities::Message::cursor));
        if !page.has_next {
            return all;
        }
        after = all.last().cloned();
    }
}

both_databases!(
    async fn a_page_of_large_lines_is_short_and_the_next_one_continues(db: TestDatabase) {
        let world = world(&db).await;
        let line = |n: usize, bytes: usize| {
            let content = "x".repeat(bytes);
            format!(
                r#"{{"type":"user","uuid":"u{n}","timestamp":"2026-11-02T10:00:0{n}Z","message":{{"role":"user","content":"{content}"}}}}"#
            )
        };
        // The newest one is larger than a page.
        let mut lines: Vec<String> = (0..7).map(|n| line(n, 2 << 20)).collect();
        lines.push(line(7, 8 << 20));
        push(&world, "pictures", "main", Some(0), &lines).await;
        let (session, list) = ("pictures".parse().unwrap(), MessageList::default());
        let tx = world.db.read(&world.scope, "test").await.unwrap();
        let mut sizes = Vec::new();
        let mut after = None;
        loop {
            let page = messages::page(&tx, &session, &list, &PageRequest { after, first: 60 }).await.unwrap();
            sizes.push(page.rows.len());
            after = page.rows.last().map(han_db::entities::Message::cursor);
            if !page.has_next {
                break;
            }
        }
        assert_eq!(sizes, [1, 2, 2, 2, 1]);
    }
);

both_databases!(
    async fn a_row_marked_as_not_sealed_is_refused_if_everything_is_sealed(db: TestDatabase) {
        let world = world(&db).await;
        push(&world, "s1", "main", Some(0), &SyntheticSession::new(7).lines(20)).await;
        let config = DbConfig { refuses_unsealed: true, ..DbConfig::new(db.url()) };
        let strict = support::connect_as(&config, &world.clock).await;
        let read = async |db: &Db| {
            let tx = db.read(&world.scope, "test.read").await.unwrap();
            let found = sessions::by_ids(&tx, &["s1".parse().unwrap()]).await.unwrap().remove(0);
            (found.readable, found.details.project_path.clone())
        };
        let project = Some("/home/dev/orchard".to_owned());
        assert_eq!(read(&strict).await, (true, project), "sealed rows are read");
        // Someone who can write to the database replaces the content and its marker.
        db.execute("UPDATE sessions SET sealed = false, metadata = '{\"project_path\":\"/forged\"}'").await;
        assert_eq!(read(&strict).await, (false, None), "and forged ones are not");
        assert!(read(&world.db).await.0, "a server with plans that do not seal cannot tell");
    }
);

both_databases!(
    async fn words_that_this_version_does_not_know_are_not_stored_in_plaintext(db: TestDatabase) {
        let world = world(&db).await;
        let line = |name: &str| {
            let time = "2026-11-02T09:00:00.000Z";
            format!(
                r#"{{"type":"han_event","eventType":"{name}","uuid":"{name}","timestamp":"{time}","data":{{}}}}"#
            )
        };
        let lines = ["hook_run", "merger_with_initech"].map(line);
        push(&world, "s1", "han", Some(0), &lines).await;
        let stored = "SELECT COALESCE(string_agg(tool_name, ' '), '') FROM \
             (SELECT COALESCE(tool_name, '-') AS tool_name FROM messages ORDER BY ordinal) m";
        let stored = db.text(stored).await;
        assert_eq!(stored, "hook_run other");
    }
);
