//! The write path: exactly once whatever the batching, sealed at rest, given back byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use han_db::page::PageRequest;
use han_db::queries::ingest::{self, Outcome};
use han_db::queries::messages::{self, MessageList};
use han_db::queries::sessions;
use han_testkit::{SyntheticSession, TestDatabase, both_databases, fixtures};
use han_types::sync::BatchErrorCode;
use support::{World, batch, dump, push, world};

/// A transcript file: session, name, lines.
type File = (String, String, Vec<String>);

fn read(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The files of a directory laid out as on a developer's machine.
fn files_under(projects: &Path) -> Vec<File> {
    let mut files = Vec::new();
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    for project in std::fs::read_dir(projects).unwrap() {
        for entry in std::fs::read_dir(project.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                for agent in std::fs::read_dir(path.join("subagents")).unwrap() {
                    let agent = agent.unwrap().path();
                    files.push((stem(&path), stem(&agent), read(&agent)));
                }
            } else if let Some(session) = stem(&path).strip_suffix("-han") {
                files.push((session.to_owned(), "han".to_owned(), read(&path)));
            } else {
                files.push((stem(&path), "main".to_owned(), read(&path)));
            }
        }
    }
    files.sort();
    files
}

async fn push_whole(world: &World, files: &[File]) -> (u64, u64) {
    let mut sum = (0, 0);
    for (session, transcript, lines) in files {
        let (stored, duplicates, next) = push(world, session, transcript, Some(0), lines).await;
        assert_eq!(next, lines.len() as u64);
        sum = (sum.0 + stored, sum.1 + duplicates);
    }
    sum
}

/// What is stored, without what may differ between two ways of pushing the same lines: ciphertext (random),
/// ordinals and revisions (the order of arrival), row ids.
async fn contents(database: &TestDatabase, world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for sql in [
        "SELECT session_id, transcript, uuid, line, at, place, kind, line_type, role, parent_uuid, agent_id, tool_name, \
         model, bytes FROM messages ORDER BY 1, 2, 3",
        "SELECT session_id, project_id, started_at, last_activity_at, line_count, message_count, turn_count, \
         compaction_count, input_tokens, output_tokens, cache_read_tokens, cache_creation_5m_tokens, \
         cache_creation_1h_tokens FROM sessions ORDER BY 1",
        "SELECT session_id, transcript, next_offset, last_line_at FROM transcripts ORDER BY 1, 2",
        "SELECT session_id, kind, call_id, transcript, uuid, success, duration_ms, agent_id FROM tool_results \
         ORDER BY 1, 2, 3, 4, 5",
        "SELECT message_id, session_id, model, at, input_tokens, output_tokens, cache_read_tokens FROM message_usage \
         ORDER BY 1",
        "SELECT hour, user_id, project_id, model, shard, sessions, messages, turns, responses, input_tokens, \
         output_tokens, cache_read_tokens, cache_creation_5m_tokens, cache_creation_1h_tokens FROM rollups \
         WHERE sessions <> 0 OR messages <> 0 OR turns <> 0 OR responses <> 0 ORDER BY 1, 2, 3, 4, 5",
        "SELECT id, repo_id FROM projects ORDER BY 1",
    ] {
        rows.extend(dump(database, sql).await);
    }
    // What is sealed of a session, opened.
    let tx = world.db.read(&world.scope).await.unwrap();
    let request = PageRequest { after: None, first: 100 };
    let page = sessions::page(&world.scope, &world.db, &tx, None, &request).await.unwrap();
    rows.extend(page.rows.iter().map(|session| format!("{} {:?}", session.session_id, session.details)));
    rows
}

/// Checks that every line pushed is given back as it was.
async fn assert_all_given_back(world: &World, files: &[File]) {
    let tx = world.db.read(&world.scope).await.unwrap();
    for (session, transcript, lines) in files {
        let (session, transcript) = (session.parse().unwrap(), transcript.parse().unwrap());
        let stored =
            messages::lines(&world.scope, &world.db, &tx, &session, &transcript, 0, 100_000).await.unwrap();
        let stored: Vec<&str> = stored.iter().map(|message| message.body.as_str()).collect();
        assert_eq!(stored, lines.iter().map(String::as_str).collect::<Vec<_>>(), "{session} {transcript}");
    }
}

/// A small deterministic generator: which file goes next.
fn next(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % below
}

/// Pushes in batches of at most `size`, the files in turns as `seed` says, now and then going back over lines.
async fn push_in_pieces(world: &World, files: &[File], size: usize, seed: u64) {
    let mut state = seed;
    let mut at = vec![0usize; files.len()];
    loop {
        let open: Vec<usize> = (0..files.len()).filter(|i| at[*i] < files[*i].2.len()).collect();
        if open.is_empty() {
            return;
        }
        let file = open[next(&mut state, open.len())];
        let (session, transcript, lines) = &files[file];
        // A retry after a lost answer begins before what is stored.
        let back = if next(&mut state, 5) == 0 { next(&mut state, size).min(at[file]) } else { 0 };
        let from = at[file] - back;
        let to = (from + size).min(lines.len()).max(at[file]);
        push(world, session, transcript, Some(from as u64), &lines[from..to]).await;
        at[file] = to;
    }
}

fn synthetic_files() -> Vec<File> {
    files_under(&fixtures::sample_sessions())
}

both_databases!(
    async fn pushing_again_stores_nothing_and_changes_nothing(database: TestDatabase) {
        let world = world(&database).await;
        let files = synthetic_files();
        let total: u64 = files.iter().map(|(_, _, lines)| lines.len() as u64).sum();
        let (stored, duplicates) = push_whole(&world, &files).await;
        assert_eq!(stored + duplicates, total);
        let before = contents(&database, &world).await;
        let outbox = dump(&database, "SELECT seq FROM changes ORDER BY 1").await;
        assert_eq!(push_whole(&world, &files).await, (0, total));
        assert_eq!(contents(&database, &world).await, before);
        let after = dump(&database, "SELECT seq FROM changes ORDER BY 1").await;
        assert_eq!(after, outbox, "nothing is announced that did not happen");
    }
);

both_databases!(
    async fn any_batching_gives_the_same(database: TestDatabase) {
        let files = synthetic_files();
        let mut expected = None;
        for (size, seed) in [(10_000, 1), (7, 2), (1, 3), (13, 4)] {
            // A team of its own for each: what is compared speaks of ids that are keyed by team.
            let database = if database.is_postgres() {
                TestDatabase::postgres().await
            } else {
                TestDatabase::sqlite().await
            };
            let world = world(&database).await;
            push_in_pieces(&world, &files, size, seed).await;
            assert_all_given_back(&world, &files).await;
            let ids = [world.scope.user_id().as_str().to_owned()];
            let rows: Vec<String> = contents(&database, &world)
                .await
                .into_iter()
                .map(|row| strip_blind_ids(&ids.iter().fold(row, |row, id| row.replace(id, "user"))))
                .collect();
            match &expected {
                None => expected = Some(rows),
                Some(expected) => assert_eq!(&rows, expected, "batches of {size}"),
            }
        }
    }
);

/// Blanks ids that are keyed hashes, and so differ between teams.
fn strip_blind_ids(row: &str) -> String {
    let mut out = row.to_owned();
    for prefix in ["prj_", "rep_"] {
        while let Some(at) = out.find(prefix) {
            out.replace_range(at..at + prefix.len() + 32, "blind");
        }
    }
    out
}

both_databases!(
    async fn real_transcripts_are_stored_once_and_counted_right(database: TestDatabase) {
        let Some(root) = fixtures::real_transcripts() else { return };
        let world = world(&database).await;
        let files = files_under(&root.join("projects"));
        let (main, agents): (Vec<&File>, Vec<&File>) = files.iter().partition(|(_, name, _)| name == "main");
        let lines = |files: &[&File]| files.iter().map(|(_, _, lines)| lines.len()).sum::<usize>();
        assert_eq!((lines(&main), lines(&agents)), (3456, 152));

        assert_eq!(push_whole(&world, &files).await, (3456 + 152, 0));
        assert_all_given_back(&world, &files).await;
        let tokens = "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), \
             sum(cache_creation_5m_tokens + cache_creation_1h_tokens) FROM ";
        let figures = |rows: Vec<String>| -> Vec<i64> {
            let digits = |c: char| !c.is_ascii_digit();
            // `count` and the alias numbers of JSON keys hold no digits.
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
        assert_eq!(figures(dump(&database, &named("message_usage")).await), [&[313][..], &right].concat());
        assert_eq!(figures(dump(&database, &named("sessions")).await), [&[2][..], &right].concat());
        let rollups = figures(dump(&database, &named("rollups")).await);
        assert_eq!(rollups[1..], right);

        // In pieces, and again: nothing more.
        let before = contents(&database, &world).await;
        push_in_pieces(&world, &files, 700, 9).await;
        assert_eq!(contents(&database, &world).await, before);
    }
);

both_databases!(
    async fn the_database_holds_no_word_of_a_message(database: TestDatabase) {
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
            "message_usage",
            "rollups",
            "changes",
        ] {
            for row in dump(&database, &format!("SELECT * FROM {table}")).await {
                stored.push_str(&row);
                stored.push('\n');
            }
        }
        let stored_words: BTreeSet<&str> = words(&stored).collect();
        // What stands in clear by design: kinds and types of lines, roles, tool names, models, ids, column names.
        let clear: BTreeSet<String> =
            dump(&database, "SELECT DISTINCT kind, line_type, role, tool_name, model FROM messages")
                .await
                .iter()
                .flat_map(|row| words(row).map(str::to_owned).collect::<Vec<_>>())
                .collect();
        let mut leaked = BTreeSet::new();
        for (_, _, lines) in &files {
            for line in lines {
                for text in prose(line) {
                    for word in
                        words(&text).filter(|word| word.len() >= 5 && word.chars().all(char::is_alphabetic))
                    {
                        if stored_words.contains(word) && !clear.contains(word) {
                            leaked.insert(word.to_owned());
                        }
                    }
                }
            }
        }
        // Names of the tables' own columns and values are English words, too.
        let schema: BTreeSet<&str> = [
            "sessions",
            "session",
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
            "created",
            "synced",
            "compaction",
            "offset",
            "false",
            "xid",
            "system",
            // Ids stand in clear; this is how those of tool uses begin.
            "toolu",
        ]
        .into();
        leaked.retain(|word| !schema.contains(word.as_str()));
        assert!(leaked.is_empty(), "in clear: {leaked:?}");
    }
);

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The texts that people and agents wrote, within a line.
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
    async fn a_gap_names_the_line_to_go_back_to(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(30);
        push(&world, "s1", "main", Some(0), &lines[..10]).await;
        let late = batch(&world, &world.scope, true, "s1", "main", Some(20), &lines[20..]).await;
        let outcome = ingest::store(&world.scope, &world.db, true, late).await.unwrap();
        let Outcome::Refused(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!((error.code, error.offset), (BatchErrorCode::Gap, Some(10)));
        assert_eq!(dump(&database, "SELECT uuid FROM messages").await.len(), 10);
        // Another file of the session, and a session nobody has seen, begin at 0.
        for (session, transcript) in [("s1", "agent-1"), ("s2", "main")] {
            let late = batch(&world, &world.scope, true, session, transcript, Some(1), &lines[..1]).await;
            let outcome = ingest::store(&world.scope, &world.db, true, late).await.unwrap();
            let Outcome::Refused(error) = outcome else { panic!("{outcome:?}") };
            assert_eq!((error.code, error.offset), (BatchErrorCode::Gap, Some(0)));
        }
        let sessions = dump(&database, "SELECT session_id FROM sessions").await;
        assert_eq!(sessions.len(), 1, "a refused batch leaves nothing behind: {sessions:?}");
        let far = batch(&world, &world.scope, true, "s1", "main", Some(u64::MAX), &lines[..1]).await;
        assert!(matches!(
            ingest::store(&world.scope, &world.db, true, far).await.unwrap(),
            Outcome::Refused(_)
        ));
    }
);

both_databases!(
    async fn a_session_belongs_to_who_pushed_it_first(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(10);
        push(&world, "s1", "main", Some(0), &lines).await;
        // A stranger's session of the same id is another session.
        let stranger = support::team(&world.db, "bob").await;
        let theirs = batch(&world, &stranger, true, "s1", "main", Some(0), &lines[..4]).await;
        let outcome = ingest::store(&stranger, &world.db, true, theirs).await.unwrap();
        assert!(matches!(outcome, Outcome::Stored { stored: 4, .. }), "{outcome:?}");
        // A colleague's is refused.
        han_db::queries::identity::put_member(
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
                team_id: Some(world.scope.team_id().clone()),
            },
            capabilities: han_types::Capabilities::PERSON,
            expires_at: None,
        };
        let colleague = han_db::queries::identity::scope_for(&world.db, &actor).await.unwrap().unwrap().scope;
        assert_eq!(colleague.team_id(), world.scope.team_id());
        let theirs = batch(&world, &colleague, true, "s1", "main", Some(10), &lines[..1]).await;
        let outcome = ingest::store(&colleague, &world.db, true, theirs).await.unwrap();
        let Outcome::Refused(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.code, BatchErrorCode::SessionOwned);
    }
);

both_databases!(
    async fn a_rewritten_file_goes_on_from_its_new_end(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(30);
        push(&world, "s1", "main", Some(0), &lines[..20]).await;
        let offset = || async {
            ingest::status(&world.scope, &world.db).await.unwrap().first().map(|status| status.offset)
        };
        // A retry over known lines moves nothing back.
        assert_eq!(push(&world, "s1", "main", Some(0), &lines[..5]).await, (0, 5, 5));
        assert_eq!(offset().await, Some(20));
        // The file now holds five old lines and two new ones.
        let rewritten = [&lines[..5], &lines[28..30]].concat();
        assert_eq!(push(&world, "s1", "main", Some(0), &rewritten).await, (2, 5, 7));
        assert_eq!(offset().await, Some(7));
        assert_eq!(dump(&database, "SELECT uuid FROM messages").await.len(), 22, "nothing is lost");
        // Rewritten to the same number of lines: the last line's hash is the new one's.
        let longest = [&lines[..6], &lines[20..21]].concat();
        assert_eq!(push(&world, "s1", "main", Some(0), &longest).await.2, 7);
        let hash = ingest::status(&world.scope, &world.db).await.unwrap()[0].last_line_hash.clone();
        assert_eq!(hash, Some(format!("{:064x}", lines[20].len())));
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
    async fn status_tells_only_what_the_asking_person_pushed(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(5).lines(3);
        push(&world, "s1", "main", Some(0), &lines).await;
        push(&world, "s1", "agent-a1", Some(0), &lines[..2]).await;
        let status = ingest::status(&world.scope, &world.db).await.unwrap();
        let told: Vec<(&str, u64)> = status.iter().map(|s| (s.transcript.as_str(), s.offset)).collect();
        assert_eq!(told, [("agent-a1", 2), ("main", 3)]);
        assert_eq!(status[1].last_line_hash.as_deref(), Some(format!("{:064x}", lines[2].len()).as_str()));
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
        assert_eq!(sum("sessions").await, sum("message_usage").await);
        assert_eq!(sum("rollups").await, sum("message_usage").await);
        push(&world, "alone", "main", Some(0), &lines).await;
        assert_eq!(sum("rollups").await, sum("message_usage").await);
    }
);

fn stored_once(lines: &[String]) -> u64 {
    lines.iter().collect::<BTreeSet<_>>().len() as u64
}

both_databases!(
    async fn pages_put_together_are_the_list(database: TestDatabase) {
        let world = world(&database).await;
        let files = synthetic_files();
        push_whole(&world, &files).await;
        let mut by_session: BTreeMap<&str, ()> = BTreeMap::new();
        for (session, ..) in &files {
            by_session.insert(session, ());
        }
        let tx = world.db.read(&world.scope).await.unwrap();
        for session in by_session.keys() {
            let session = session.parse().unwrap();
            for include_progress in [false, true] {
                let list = MessageList { include_progress, ..MessageList::default() };
                let whole = page(&world, &tx, &session, &list, 500).await;
                let count = messages::count(&world.scope, &tx, &session, &list).await.unwrap();
                assert_eq!(whole.len() as i64, count);
                let mut sorted = whole.clone();
                sorted.sort_by(|a, b| b.cmp(a));
                assert_eq!(whole, sorted, "newest first");
                for size in [1, 2, 3, 7, 50] {
                    assert_eq!(page(&world, &tx, &session, &list, size).await, whole, "pages of {size}");
                }
            }
        }
    }
);

/// All pages of a list, put together.
async fn page(
    world: &World,
    tx: &han_db::Tx,
    session: &han_types::SessionId,
    list: &MessageList,
    size: usize,
) -> Vec<han_db::page::MessageCursor> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let request = PageRequest { after, first: size };
        let page = messages::page(&world.scope, &world.db, tx, session, list, &request).await.unwrap();
        all.extend(page.rows.iter().map(han_db::entities::Message::cursor));
        if !page.has_next {
            return all;
        }
        after = all.last().cloned();
    }
}
