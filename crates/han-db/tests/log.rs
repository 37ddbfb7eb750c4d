//! The log of a file: whatever happens to the file between pushes, its newest entries are the file, earlier ones remain,
//! and totals and lists are those of a rebuild. Answers that several sessions repeat count once, whatever the order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use han_db::entities::Message;
use han_db::page::PageRequest;
use han_db::queries::consolidation::{self, Fragmented};
use han_db::queries::messages::MessageList;
use han_db::queries::search::{self, Due, Within};
use han_db::queries::{deletion, ingest, messages, rebuild};
use han_testkit::{TestDatabase, both_databases};
use han_transcript::record::{LineContext, uuid_of_bytes};
use han_transcript::words::Query;
use han_types::MessageKey;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use support::corpus::{assert_same, contents, number};
use support::{Killed, Random, World, push, world};

/// A file that an agent writes, and sometimes writes again.
struct AgentFile {
    random: Random,
    made: usize,
    lines: Vec<String>,
}

impl AgentFile {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed), made: 0, lines: Vec::new() }
    }

    fn uuid(n: usize) -> String {
        format!("{n:08x}-0000-4000-8000-000000000000")
    }

    fn line(&mut self, uuid: usize) -> String {
        self.made += 1;
        let text = "word ".repeat(self.random.below(12));
        let common = json!({"uuid": Self::uuid(uuid), "sessionId": "s",
            "timestamp": format!("2026-11-20T09:{:02}:{:02}.000Z", uuid / 60 % 60, uuid % 60)});
        let mut line = match self.random.below(4) {
            0 => {
                json!({"type": "user", "message": {"role": "user", "content": format!("{text}{}", self.made)}})
            }
            1 => json!({"type": "custom-title", "customTitle": "title"}),
            2 => json!({"type": "user", "message": {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": format!("call-{}", uuid / 2), "content": text}]}}),
            _ => json!({"type": "assistant", "requestId": format!("req-{}", uuid / 3), "message": {
                "id": format!("msg-{}", uuid / 3), "role": "assistant", "model": "claude-opus-4-6",
                "content": [{"type": "tool_use", "id": format!("call-{}", uuid / 2), "name": "Edit",
                    "input": {"file_path": "/a", "old_string": "x", "new_string": text}}],
                "usage": {"input_tokens": 3, "output_tokens": self.random.below(50)}}}),
        };
        if line["type"] != "custom-title" {
            line.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
        }
        line.to_string()
    }

    /// What agents do to their files: append, repeat, complete a line, empty it, replace it, truncate, insert, give a
    /// uuid to a second line.
    fn change(&mut self) {
        let len = self.lines.len();
        match self.random.below(9) {
            0 if len > 0 => {
                let from = self.random.below(len);
                let repeated = self.lines[from..].to_vec();
                self.lines.extend(repeated);
            }
            1 if len > 0 => self.lines.truncate(1 + self.random.below(len)),
            2 if len > 0 => {
                let at = self.random.below(len);
                let mut line: serde_json::Value = serde_json::from_str(&self.lines[at]).unwrap();
                line["completed"] = "later ".repeat(20).into();
                self.lines[at] = line.to_string();
            }
            3 if len > 0 => {
                let at = self.random.below(len);
                let line: serde_json::Value = serde_json::from_str(&self.lines[at]).unwrap();
                self.lines[at] = json!({"type": "user", "uuid": line["uuid"]}).to_string();
            }
            4 if len > 0 => {
                let (at, uuid) = (self.random.below(len), self.made);
                self.lines[at] = self.line(uuid);
            }
            5 => {
                let (at, uuid) = (self.random.below(len + 1), self.made);
                let line = self.line(uuid);
                self.lines.insert(at, line);
            }
            6 if self.made > 0 => {
                let uuid = self.random.below(self.made);
                let line = self.line(uuid);
                self.lines.push(line);
            }
            _ => {
                for _ in 0..=self.random.below(8) {
                    let uuid = self.made;
                    let line = self.line(uuid);
                    self.lines.push(line);
                }
            }
        }
    }

    /// Pushes as a client does: from the offset of the server, or from 0 if the line before it is another one. Returns the
    /// number of stored lines. `complete` says whether to push the whole file, or to stop somewhere.
    async fn push(&mut self, world: &World, complete: bool) -> u64 {
        let status = ingest::status(&world.scope, &world.db).await.unwrap();
        let status = status.into_iter().find(|status| status.session_id == "s");
        let mut offset = status.as_ref().map_or(0, |status| usize::try_from(status.offset).unwrap());
        let expected = status.and_then(|status| status.last_line_hash);
        let before = offset.checked_sub(1).and_then(|last| self.lines.get(last));
        let is_same = before.is_some_and(|line| Some(hex(line)) == expected);
        // The last line does not show every change, so sometimes it looks at the whole file.
        if complete || offset > self.lines.len() || (offset > 0 && !is_same) || self.random.below(4) == 0 {
            offset = 0;
        }
        let mut stored = 0;
        while offset < self.lines.len() {
            let end = self.lines.len().min(offset + 1 + self.random.below(12));
            for _ in 0..=usize::from(self.random.below(5) == 0) {
                let lines = &self.lines[offset..end];
                stored += push(world, "s", "main", Some(offset as u64), lines).await.0;
            }
            offset = end;
            if !complete && self.random.below(3) == 0 {
                break;
            }
        }
        stored
    }
}

fn hex(line: &str) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every line of the file can be read: as a message, or as an earlier revision of a more complete one.
async fn assert_shown(world: &World, file: &AgentFile, seed: u64) {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let at = LineContext { session_id: "s", transcript: "main" };
    for line in &file.lines {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let of_bytes = uuid_of_bytes(line, &at);
        let own = value["uuid"].as_str().map(str::to_owned);
        let key = |uuid: String| MessageKey {
            session_id: "s".parse().unwrap(),
            transcript: "main".parse().unwrap(),
            uuid,
        };
        let keys: Vec<MessageKey> = own.clone().into_iter().chain([of_bytes]).map(key).collect();
        let found = messages::by_keys(&tx, &keys).await.unwrap();
        let shows = |body: &str, uuid: &str| {
            body == line || (Some(uuid) == own.as_deref() && body.len() >= line.len())
        };
        let shown = found.iter().any(|message| shows(message.body.as_deref().unwrap(), &message.key.uuid));
        assert!(shown, "seed {seed}: {line}\n{found:#?}");
    }
}

both_databases!(
    async fn the_newest_entries_of_the_log_are_the_file(database: TestDatabase) {
        let seeds = if database.is_postgres() { 0..4 } else { 0..14 };
        for seed in seeds {
            let database = match database.is_postgres() {
                true => TestDatabase::postgres().await,
                false => TestDatabase::sqlite().await,
            };
            let world = world(&database).await;
            let mut file = AgentFile::new(seed);
            let mut stored = 0;
            for _ in 0..14 {
                file.change();
                stored += file.push(&world, false).await;
            }
            stored += file.push(&world, true).await;
            let tx = world.db.read(&world.scope, "test.read").await.unwrap();
            let (session, main) = ("s".parse().unwrap(), "main".parse().unwrap());
            let mut lines = Vec::new();
            loop {
                let more = messages::lines(&tx, &session, &main, lines.len() as i64, 7).await.unwrap();
                if more.is_empty() {
                    break;
                }
                lines.extend(more.into_iter().map(|line| line.text));
            }
            drop(tx);
            // Of a file that was only truncated, the client sends nothing new: what was behind its end remains.
            lines.truncate(file.lines.len());
            assert_eq!(lines, file.lines, "seed {seed}");
            assert_eq!(
                number(&database, "SELECT sum(lines) FROM segments").await as u64,
                stored,
                "seed {seed}"
            );
            assert_shown(&world, &file, seed).await;
            assert_eq!(file.push(&world, true).await, 0, "seed {seed}");
            let before = contents(&database, &world).await;
            rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            assert_same(&contents(&database, &world).await, &before);
        }
    }
);

both_databases!(
    /// C38 of the public reports: an echo and the real prompt under one uuid, at two lines.
    async fn two_lines_of_the_file_with_one_uuid_are_both_shown(database: TestDatabase) {
        let world = world(&database).await;
        let line =
            |text: &str| json!({"type": "user", "uuid": "u", "message": {"content": text}}).to_string();
        let lines = [line("the echo"), line("the real prompt, which is longer")];
        assert_eq!(push(&world, "s", "main", Some(0), &lines).await, (2, 0, 2));
        assert_eq!(number(&database, "SELECT count(*) FROM messages").await, 2);
        assert_eq!(number(&database, "SELECT message_count FROM sessions").await, 2);
        // Pushed again, alone or together, they are known.
        assert_eq!(push(&world, "s", "main", Some(1), &lines[1..]).await, (0, 1, 2));
        assert_eq!(push(&world, "s", "main", Some(0), &lines).await, (0, 2, 2));
    }
);

both_databases!(
    /// C34: final usage is written back into a record that has a partial one.
    async fn a_completed_line_replaces_what_it_counted(database: TestDatabase) {
        let world = world(&database).await;
        let line = |output: u32| {
            json!({"type": "assistant", "uuid": "u", "requestId": "r", "timestamp": "2026-11-20T09:00:00.000Z",
                "message": {"id": "m", "model": "x", "usage": {"input_tokens": 10, "output_tokens": output}}})
            .to_string()
        };
        push(&world, "s", "main", Some(0), &[line(1)]).await;
        assert_eq!(push(&world, "s", "main", Some(0), &[line(4321)]).await, (1, 0, 1));
        assert_eq!(number(&database, "SELECT output_tokens FROM sessions").await, 4321);
        assert_eq!(number(&database, "SELECT sum(output_tokens) FROM rollups WHERE grain < 2").await, 4321);
        assert_eq!(number(&database, "SELECT count(*) FROM messages").await, 1);
        // A failed compaction empties the line: what it said remains.
        let emptied = json!({"type": "assistant", "uuid": "u"}).to_string();
        assert_eq!(push(&world, "s", "main", Some(0), &[emptied]).await, (1, 0, 1));
        assert_eq!(number(&database, "SELECT output_tokens FROM sessions").await, 4321);
    }
);

both_databases!(
    async fn a_batch_that_fills_omitted_lines_moves_no_offset_back(database: TestDatabase) {
        let world = world(&database).await;
        let line =
            |text: &str| json!({"type": "user", "uuid": text, "message": {"content": text}}).to_string();
        let omitted = line("b");
        let sha256 = han_crypto::to_hex(&Sha256::digest(omitted.as_bytes()));
        let marker =
            json!({"type": "han_omitted_line", "bytes": omitted.len(), "sha256": sha256}).to_string();
        let lines = [line("a"), marker, line("c"), line("d")];
        push(&world, "s", "main", Some(0), &lines).await;
        assert_eq!(number(&database, "SELECT message_count FROM sessions").await, 4);
        assert_eq!(push(&world, "s", "main", Some(1), &[line("b")]).await, (1, 0, 2));
        assert_eq!(number(&database, "SELECT next_offset FROM transcripts").await, 4);
        assert_eq!(number(&database, "SELECT message_count FROM sessions").await, 4);
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        let (session, main) = ("s".parse().unwrap(), "main".parse().unwrap());
        let stored = messages::lines(&tx, &session, &main, 0, 10).await.unwrap();
        let stored: Vec<String> = stored.into_iter().map(|line| line.text).collect();
        assert_eq!(stored, [line("a"), line("b"), line("c"), line("d")]);
        drop(tx);
        // A line of another kind at an earlier offset is from a rewritten file.
        assert_eq!(push(&world, "s", "main", Some(2), &[line("e")]).await, (1, 0, 3));
        assert_eq!(number(&database, "SELECT next_offset FROM transcripts").await, 3);
    }
);

both_databases!(
    async fn another_line_than_the_omitted_one_replaces_no_marker(database: TestDatabase) {
        let world = world(&database).await;
        let line = |text: &str| json!({"type": "user", "uuid": text}).to_string();
        let marker = json!({"type": "han_omitted_line", "bytes": 99, "sha256": "00"}).to_string();
        push(&world, "s", "main", Some(0), &[line("a"), marker, line("c")]).await;
        // The file was rewritten: it continues there, and what was omitted was never seen.
        assert_eq!(push(&world, "s", "main", Some(1), &[line("b")]).await, (1, 0, 2));
        assert_eq!(number(&database, "SELECT next_offset FROM transcripts").await, 2);
        assert_eq!(number(&database, "SELECT count(*) FROM messages").await, 4);
    }
);

/// A line with a text, under the uuid `u`.
fn under_one_uuid(text: &str) -> String {
    json!({"type": "user", "uuid": "u", "timestamp": "2026-11-20T09:00:00.000Z", "message": {"content": text}})
        .to_string()
}

/// A line with a text, under a uuid of its own.
fn of_its_own(text: &str) -> String {
    json!({"type": "user", "uuid": text, "timestamp": "2026-11-20T09:00:00.000Z", "message": {"content": text}})
        .to_string()
}

/// The texts of the messages of session `s`, in order.
async fn shown(world: &World) -> Vec<String> {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let request = PageRequest { after: None, first: 1000 };
    let page = messages::page(&tx, &"s".parse().unwrap(), &MessageList::default(), &request).await.unwrap();
    let text = |message: &Message| {
        let line: serde_json::Value = serde_json::from_str(message.body.as_deref().unwrap()).unwrap();
        line["message"]["content"].as_str().unwrap().to_owned()
    };
    page.rows.iter().rev().map(text).collect()
}

both_databases!(
    async fn messages_move_with_their_lines(database: TestDatabase) {
        let world = world(&database).await;
        let lines = [under_one_uuid("one"), of_its_own("b"), of_its_own("c")];
        push(&world, "s", "main", Some(0), &lines).await;
        // A line is inserted before them.
        let lines = [of_its_own("x"), lines[0].clone(), lines[1].clone(), lines[2].clone()];
        push(&world, "s", "main", Some(0), &lines[..2]).await;
        push(&world, "s", "main", Some(2), &lines[2..]).await;
        assert_eq!(number(&database, "SELECT count(*) FROM messages").await, 4);
        let sql = "SELECT count(*) FROM messages WHERE line = (SELECT max(line) FROM messages)";
        assert_eq!(number(&database, sql).await, 1);
        // A second line with a uuid takes nothing from the first one, wherever that is now.
        push(&world, "s", "main", Some(4), &[under_one_uuid("another")]).await;
        assert_eq!(shown(&world).await, ["x", "one", "b", "c", "another"].map(|text| text.to_owned()));
        // And the other way: the first line is removed, with a batch that ends between the others.
        push(&world, "s", "main", Some(0), &lines[1..3]).await;
        push(&world, "s", "main", Some(2), &[lines[3].clone(), under_one_uuid("another")]).await;
        assert_eq!(number(&database, "SELECT count(*) FROM messages").await, 5);
        assert_eq!(number(&database, "SELECT max(line) FROM messages").await, 3);
    }
);

both_databases!(
    async fn the_second_line_of_a_uuid_is_revised(database: TestDatabase) {
        let world = world(&database).await;
        let lines = [under_one_uuid("first"), of_its_own("b"), under_one_uuid("second")];
        push(&world, "s", "main", Some(0), &lines).await;
        push(&world, "s", "main", Some(2), &[under_one_uuid("second, complete")]).await;
        push(&world, "s", "main", Some(2), &[under_one_uuid("second, complete at last")]).await;
        assert_eq!(
            shown(&world).await,
            ["first", "b", "second, complete at last"].map(|text| text.to_owned())
        );
    }
);

both_databases!(
    async fn the_second_line_of_a_uuid_that_stays_alone_is_shown_once(database: TestDatabase) {
        let world = world(&database).await;
        let lines = [under_one_uuid("first"), of_its_own("b"), under_one_uuid("second, and longer")];
        push(&world, "s", "main", Some(0), &lines).await;
        // A compaction removes the first one.
        push(&world, "s", "main", Some(0), &lines[1..]).await;
        let mut texts = shown(&world).await;
        texts.sort();
        assert_eq!(texts, ["b", "first", "second, and longer"].map(|text| text.to_owned()));
    }
);

both_databases!(
    async fn a_repeated_batch_gives_lines_the_time_of_the_line_before(database: TestDatabase) {
        let world = world(&database).await;
        let title = json!({"type": "custom-title", "customTitle": "Prune"}).to_string();
        push(&world, "s", "main", Some(0), &[of_its_own("a"), of_its_own("b"), of_its_own("c")]).await;
        // No line of the batch has a time, either.
        push(&world, "s", "main", Some(1), &[title]).await;
        assert_eq!(number(&database, "SELECT count(DISTINCT at) FROM messages").await, 1);
    }
);

both_databases!(
    async fn a_title_that_is_set_again_is_the_last_one(database: TestDatabase) {
        let world = world(&database).await;
        let summary = |text: &str| json!({"type": "summary", "summary": text}).to_string();
        let lines = ["A", "B", "A"].map(summary);
        assert_eq!(push(&world, "s", "main", Some(0), &lines).await, (3, 0, 3));
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        let session = han_db::queries::sessions::by_ids(&tx, &["s".parse().unwrap()]).await.unwrap();
        assert_eq!(session[0].details.summary(), Some("A"));
        assert_eq!(session[0].totals.lines, 3);
    }
);

/// The lines of a file, read some at a time.
async fn lines_of(world: &World, session: &str) -> Vec<String> {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let (session, main) = (session.parse().unwrap(), "main".parse().unwrap());
    let stored = messages::lines(&tx, &session, &main, 0, 100_000).await.unwrap();
    stored.into_iter().map(|line| line.text).collect()
}

fn fragmented(world: &World, session: &str) -> Fragmented {
    Fragmented { team_id: world.scope.team_id().clone(), session_id: session.parse().unwrap() }
}

async fn hits(world: &World, query: &str) -> usize {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let (query, request) = (Query::parse(query).unwrap(), PageRequest { after: None, first: 100 });
    search::search(&tx, &query, &Within::default(), &request).await.unwrap().hits.len()
}

both_databases!(
    async fn merging_segments_changes_nothing_that_is_read(database: TestDatabase) {
        let world = world(&database).await;
        let mut file = AgentFile::new(3);
        for _ in 0..12 {
            file.change();
            file.push(&world, true).await;
        }
        let lines = lines_of(&world, "s").await;
        let before = contents(&database, &world).await;
        let changes = number(&database, "SELECT count(*) FROM changes").await;
        let segments = "SELECT count(*) FROM segments";
        let small = number(&database, segments).await;
        assert!(small > 5);
        let listed = consolidation::fragmented(&world.db, (i64::MIN, i64::MAX), None, 10).await.unwrap();
        assert_eq!(listed, [fragmented(&world, "s")]);
        let merged = consolidation::consolidate(&world.db, &listed[0]).await.unwrap();
        assert_eq!(merged, (usize::try_from(small).unwrap(), 1));
        assert_eq!(number(&database, segments).await, 1);
        if !database.is_postgres() {
            assert_eq!(number(&database, "SELECT count(*) FROM segment_keys").await, 1);
        }
        assert_eq!(lines_of(&world, "s").await, lines);
        assert_same(&contents(&database, &world).await, &before);
        assert_eq!(
            number(&database, "SELECT count(*) FROM changes").await,
            changes,
            "a merge is not published"
        );
        assert_shown(&world, &file, 3).await;
        assert!(
            consolidation::fragmented(&world.db, (i64::MIN, i64::MAX), None, 10).await.unwrap().is_empty()
        );
        // The file goes on, and a batch that begins below the end is compared with merged entries.
        file.change();
        file.push(&world, true).await;
        assert_eq!(file.push(&world, true).await, 0);
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
    }
);

both_databases!(
    async fn a_merge_that_is_killed_at_any_step_loses_and_repeats_nothing(database: TestDatabase) {
        let world = world(&database).await;
        let lines: Vec<String> = (0..6).map(|n| of_its_own(&format!("line {n}"))).collect();
        for (n, line) in lines.iter().enumerate() {
            push(&world, "s", "main", Some(n as u64), std::slice::from_ref(line)).await;
        }
        let session = fragmented(&world, "s");
        let due = Due { team_id: session.team_id.clone(), session_id: session.session_id.clone() };
        assert!(search::index(&world.db, &due).await.unwrap());
        let segments = "SELECT count(*) FROM segments";
        for polls in 0.. {
            let future = Box::pin(consolidation::consolidate(&world.db, &session));
            let ended = Killed { future, polls }.await;
            assert_eq!(lines_of(&world, "s").await, lines, "killed after {polls} polls");
            assert_eq!(number(&database, "SELECT sum(lines) FROM segments").await, 6);
            assert_eq!(hits(&world, "line").await, 6);
            if number(&database, segments).await == 1 {
                break;
            }
            assert!(ended.is_none(), "the merge ended without a result");
        }
        assert_eq!(shown(&world).await.len(), 6);
        assert_eq!(consolidation::consolidate(&world.db, &session).await.unwrap(), (0, 0));
    }
);

both_databases!(
    /// Merges run while the session is pushed to, derived again and read, are killed anywhere, and lose to a deletion.
    async fn merges_run_beside_everything_else(database: TestDatabase) {
        let world = world(&database).await;
        let lines = answers(0, 120);
        let pushing = async {
            for (offset, line) in lines.iter().enumerate() {
                push(&world, "s", "main", Some(offset as u64), std::slice::from_ref(line)).await;
                push(&world, "gone", "main", Some(offset as u64), std::slice::from_ref(line)).await;
            }
            deletion::session(&world.scope, &world.db, &"gone".parse().unwrap()).await.unwrap()
        };
        let merging = async {
            let mut random = Random(5);
            for _ in 0..60 {
                for session in ["s", "gone"] {
                    let merge = consolidation::consolidate(&world.db, &fragmented(&world, session)).await;
                    merge.unwrap();
                    let session = fragmented(&world, session);
                    let merge = Box::pin(consolidation::consolidate(&world.db, &session));
                    let _ = Killed { future: merge, polls: 1 + random.below(30) }.await;
                }
            }
        };
        let rebuilding = async {
            for _ in 0..4 {
                rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            }
        };
        let (deleted, ..) = tokio::join!(pushing, merging, rebuilding);
        assert!(deleted);
        assert_eq!(lines_of(&world, "s").await, lines);
        assert_eq!(
            number(&database, "SELECT sum(lines) FROM segments").await,
            120,
            "nothing of the deleted one is left"
        );
        consolidation::consolidate(&world.db, &fragmented(&world, "s")).await.unwrap();
        assert_eq!(number(&database, "SELECT count(*) FROM segments").await, 1);
        let before = contents(&database, &world).await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
        assert_eq!(number(&database, "SELECT sum(output_tokens) FROM sessions").await, (0..120).sum::<i64>());
    }
);

/// The lines of a session that answers `from..to`; forks repeat them.
fn answers(from: usize, to: usize) -> Vec<String> {
    let answer = |n: usize| {
        // Without a requestId, an answer is known by its first line; some gateways give all answers one id.
        let request = if n.is_multiple_of(3) { json!(null) } else { json!(format!("req-{n}")) };
        json!({"type": "assistant", "uuid": AgentFile::uuid(n), "requestId": request,
            "timestamp": format!("2026-11-20T{:02}:00:00.000Z", n % 24),
            "message": {"id": if n.is_multiple_of(3) { "gateway".to_owned() } else { format!("msg-{n}") },
                "model": if n.is_multiple_of(2) { "claude-opus-4-6" } else { "claude-sonnet-4-6" },
                "content": [{"type": "text", "text": format!("answer {n}")}],
                "usage": {"input_tokens": 1000 + n, "output_tokens": n}}})
        .to_string()
    };
    (from..to).map(answer).collect()
}

both_databases!(
    async fn forks_count_each_answer_once_in_any_order(database: TestDatabase) {
        // Session n forks the one before it after 4n answers, and goes on with some of its own.
        let files: Vec<(String, Vec<String>)> = (0..8)
            .map(|n| {
                let own = 100 * (n + 1);
                (format!("fork-{n}"), [answers(0, 4 * n + 4), answers(own, own + 3)].concat())
            })
            .collect();
        let mut expected: Option<Vec<String>> = None;
        for seed in 0..3 {
            let database = match database.is_postgres() {
                true => TestDatabase::postgres().await,
                false => TestDatabase::sqlite().await,
            };
            let world = world(&database).await;
            let client = |name: String, lines: Vec<String>, seed: u64| {
                let world = &world;
                async move {
                    let mut random = Random(seed);
                    let mut offset = 0;
                    while offset < lines.len() {
                        let end = lines.len().min(offset + 1 + random.below(9));
                        let batch = &lines[offset..end];
                        let killed = Killed {
                            future: Box::pin(push(world, &name, "main", Some(offset as u64), batch)),
                            polls: 1 + random.below(40),
                        };
                        // A push that was cut off is sent again.
                        if killed.await.is_none() {
                            push(world, &name, "main", Some(offset as u64), batch).await;
                        }
                        offset = end;
                    }
                }
            };
            let clients = files.iter().zip(0_u64..);
            let clients =
                clients.map(|((name, lines), n)| client(name.clone(), lines.clone(), seed * 100 + n));
            futures_util::future::join_all(clients).await;
            let sums = "SELECT count(*) FROM answer_copies WHERE owner";
            let distinct: BTreeSet<&String> = files.iter().flat_map(|(_, lines)| lines).collect();
            assert_eq!(number(&database, sums).await as usize, distinct.len());

            // The first session and one in the middle go, while another is pushed again.
            let gone = ["fork-0", "fork-4"];
            let delete = |name: &'static str| {
                let world = &world;
                async move { deletion::session(&world.scope, &world.db, &name.parse().unwrap()).await.unwrap() }
            };
            let (name, lines) = &files[5];
            let again = push(&world, name, "main", Some(0), lines);
            let (first, second, _) = tokio::join!(delete(gone[0]), delete(gone[1]), again);
            assert!(first && second);

            let before = contents(&database, &world).await;
            rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            assert_same(&contents(&database, &world).await, &before);
            let of = |table: &str| format!("SELECT sum(output_tokens) FROM {table}");
            let kept = number(&database, &of("answer_copies WHERE owner")).await;
            for table in ["sessions", "rollups WHERE grain < 2", "session_usage"] {
                assert_eq!(number(&database, &of(table)).await, kept, "{table}");
            }
            let totals = support::dump(
                &database,
                "SELECT session_id, input_tokens, output_tokens, line_count FROM sessions ORDER BY session_id",
            )
            .await;
            match &expected {
                None => expected = Some(totals),
                Some(expected) => assert_eq!(&totals, expected, "seed {seed}"),
            }
        }
    }
);

both_databases!(
    async fn forks_revise_the_answers_that_they_share_at_the_same_time(database: TestDatabase) {
        let world = world(&database).await;
        let lines = answers(0, 12);
        let names: Vec<String> = (0..6).map(|n| format!("fork-{n}")).collect();
        for name in &names {
            push(&world, name, "main", Some(0), &lines).await;
        }
        let revise = |n: usize| {
            let (world, name, mut lines) = (&world, &names[n], lines.clone());
            async move {
                for round in 0..4 {
                    let at = (n * 5 + round * 7) % lines.len();
                    let mut line: serde_json::Value = serde_json::from_str(&lines[at]).unwrap();
                    line["message"]["usage"]["output_tokens"] = json!(1000 + round);
                    line["message"]["content"] = json!("x".repeat(100 + round));
                    lines[at] = line.to_string();
                    push(world, name, "main", Some(at as u64), &lines[at..]).await;
                }
            }
        };
        futures_util::future::join_all((0..names.len()).map(revise)).await;
        let before = contents(&database, &world).await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
        let of = |table: &str| format!("SELECT sum(output_tokens) FROM {table}");
        let owned = number(&database, &of("answer_copies WHERE owner")).await;
        assert_eq!(number(&database, &of("rollups WHERE grain < 2")).await, owned);
    }
);
