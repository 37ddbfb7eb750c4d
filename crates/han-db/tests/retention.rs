//! Retention: purged sessions lose their content, and count in everything as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use han_db::Db;
use han_db::jobs::{Registry, Retention};
use han_db::page::PageRequest;
use han_db::queries::deletion_requests::{self, Requested, Target};
use han_db::queries::ingest::{self, Outcome};
use han_db::queries::messages::{self, MessageList};
use han_db::queries::metrics::{self, Range, Within, Zone};
use han_db::queries::prices::PriceChange;
use han_db::queries::team_work::Advance;
use han_db::queries::{consolidation, deletion, prices, rebuild, retention, search, sessions};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_transcript::words::Query;
use han_types::sync::SessionMetadata;
use han_types::{Clock as _, PlanTier, Policy, Role, Scope, Timestamp};
use serde_json::json;
use support::corpus::{
    File, assert_same, contents, contested, eventful, number, push_in_pieces, strip_blind_ids,
};
use support::{Killed, World, batch, connect, dump, member, push, rate_of, received, team, world};
use tokio_util::sync::CancellationToken;

const DAY: i64 = 86_400;

/// For how long content is kept in these tests.
const DAYS: i64 = 30;

/// As `world`, for another team.
async fn another(world: &World, name: &str) -> World {
    World { db: world.db.clone(), clock: world.clock.clone(), scope: team(&world.db, name).await }
}

/// Sessions with a value in each table, and a fork: the answers of its first lines are those of another session.
fn files() -> Vec<File> {
    let mut files = eventful();
    files.extend(contested());
    let mut session = SyntheticSession::new(5);
    let lines = session.lines(60);
    let mut fork = lines[..30].to_vec();
    fork.extend(SyntheticSession::new(6).lines(20));
    files.push(("forked".to_owned(), "main".to_owned(), lines));
    files.push(("forked".to_owned(), "han".to_owned(), session.han_events(34)));
    files.push(("fork".to_owned(), "main".to_owned(), fork));
    files
}

/// Lines of an agent that works at this time.
fn lines_at(mark: &str, at: Timestamp, n: usize) -> Vec<String> {
    let line = |n: usize| {
        let time = at.plus_seconds(i64::try_from(n).unwrap()).to_rfc3339();
        let uuid = format!("{mark}-{n}");
        if n.is_multiple_of(2) {
            let message = json!({"role": "user", "content": format!("{mark} asks {n}")});
            return json!({"type": "user", "uuid": uuid, "timestamp": time, "message": message}).to_string();
        }
        let message = json!({"role": "assistant", "id": format!("msg_{mark}_{n}"), "model": "claude-opus-4-6",
            "usage": {"input_tokens": 7, "output_tokens": 11}, "content": [{"type": "tool_use",
                "id": format!("call-{mark}-{n}"), "name": "Bash", "input": {"command": "ls"}}]});
        json!({"type": "assistant", "uuid": uuid, "requestId": format!("req_{mark}_{n}"), "timestamp": time,
            "message": message})
        .to_string()
    };
    (0..n).map(line).collect()
}

async fn keep_for(world: &World, days: Option<i64>) {
    let set = retention::set(&world.scope, &world.db, days).await.unwrap();
    assert_eq!(set, retention::Changed::Done);
}

/// Purges what is due of a team; returns the sessions.
async fn purge_due(db: &Db, world: &World) -> Vec<String> {
    let team = world.scope.team_id();
    let (mut purged, mut after) = (Vec::new(), None);
    loop {
        let due = retention::due(db, team, DAYS, after.as_ref(), 2).await.unwrap();
        let Some(last) = due.last() else { return purged };
        after = Some(last.clone());
        for session in due {
            assert!(retention::purge(db, team, DAYS, &session).await.unwrap());
            purged.push(session.session_id().to_string());
        }
    }
}

/// Everything that a team counts, without what differs between teams.
async fn totals(database: &TestDatabase, world: &World) -> Vec<String> {
    let team = format!("(SELECT number FROM teams WHERE id = '{}')", world.scope.team_id());
    let of = "JOIN sessions s ON s.team = x.team AND s.number = x.session";
    let mut rows = Vec::new();
    for sql in [
        format!(
            "SELECT session_id, started_at, last_activity_at, line_count, damaged_line_count, message_count, turn_count, \
               compaction_count, input_tokens, output_tokens, cache_read_tokens, cache_creation_5m_tokens, \
               cache_creation_1h_tokens, tool_use_count, file_change_count, lines_added, lines_removed, task_count, \
               task_done_count, sentiment_count, sentiment_sum FROM sessions WHERE team = {team}"
        ),
        format!("SELECT s.session_id, x.name, x.next_offset FROM transcripts x {of} WHERE x.team = {team}"),
        format!(
            "SELECT s.session_id, x.owner, x.at, x.part, x.model, x.cost, x.saved, x.input_tokens, \
               x.output_tokens, x.cache_read_tokens FROM answer_copies x {of} WHERE x.team = {team}"
        ),
        format!(
            "SELECT s.session_id, x.model, x.responses, x.input_tokens, x.output_tokens, x.cost, x.saved, \
               x.unpriced_tokens, x.unpriced_answers FROM session_usage x {of} WHERE x.team = {team} \
             AND (x.responses <> 0 OR x.cost <> 0 OR x.unpriced_answers <> 0)"
        ),
        format!(
            "SELECT grain, start, model, shard, sessions, messages, turns, responses, input_tokens, output_tokens, \
               cache_read_tokens, cost, saved, unpriced_tokens, unpriced_answers FROM rollups WHERE team = {team} \
             AND (sessions <> 0 OR messages <> 0 OR turns <> 0 OR responses <> 0 OR cost <> 0 OR unpriced_answers <> 0)"
        ),
        format!(
            "SELECT grain, kind, start, key, shard, count, passed, failed, timed, duration_ms, lines_added, \
               lines_removed, scored, score, error FROM rollup_counts WHERE team = {team} AND count <> 0"
        ),
    ] {
        let mut found: Vec<String> =
            dump(database, &sql).await.iter().map(|row| strip_blind_ids(row)).collect();
        found.sort();
        rows.extend(found);
    }
    rows
}

/// What the dashboard shows of a team.
async fn shown(world: &World) -> String {
    let tx = world.db.read(&world.scope, "test.metrics").await.unwrap();
    let range = Range::days(world.clock.now(), 400, Zone::utc());
    let board = metrics::dashboard(&tx, &range, &Within::Team).await.unwrap();
    format!("{:?} {:?} {:?} {:?}", board.top_sessions, board.bottom_sessions, board.trend, board.tools)
}

async fn assert_alike(database: &TestDatabase, one: &World, other: &World) {
    assert_same(&totals(database, one).await, &totals(database, other).await);
    assert_eq!(shown(one).await, shown(other).await);
}

async fn index(db: &Db) {
    for due in search::due(db, None, 1_000).await.unwrap() {
        while !search::index(db, &due).await.unwrap() {}
    }
}

/// Prices all sessions again, as the job does.
async fn reprice_all(db: &Db) {
    let current = prices::latest(db).await.unwrap();
    while let [first, ..] = &prices::outdated(db, current.revision, None, 1).await.unwrap()[..] {
        prices::reprice(db, first, &current).await.unwrap();
    }
}

/// The tables with rows of a session.
async fn tables_of(database: &TestDatabase, session: &str) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    for name in support::columns(database).await {
        if let Some(table) = name.strip_suffix(".session") {
            let sql = format!(
                "SELECT count(*) FROM {table} x JOIN sessions s ON s.team = x.team AND s.number = x.session \
                 WHERE s.session_id = '{session}'"
            );
            let n = number(database, &sql).await;
            if n > 0 {
                found.insert(table.to_owned(), n);
            }
        }
    }
    found
}

both_databases!(
    async fn the_content_of_old_sessions_is_purged_and_nothing_else(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(DAY);
        push_in_pieces(&world, &files(), 9, 4).await;
        index(&world.db).await;
        let before = tables_of(&database, "forked").await;
        assert!(before.contains_key("segments") && before.contains_key("search_terms"), "{before:?}");
        world.clock.advance_seconds(20 * DAY);
        push(&world, "young", "main", Some(0), &lines_at("young", world.clock.now(), 8)).await;
        index(&world.db).await;
        let young = tables_of(&database, "young").await;
        world.clock.advance_seconds(10 * DAY - 1);
        assert_eq!(purge_due(&world.db, &world).await, Vec::<String>::new(), "a second is left");
        let counted = totals(&database, &world).await;
        world.clock.advance_seconds(2);
        let mut purged = purge_due(&world.db, &world).await;
        purged.sort();
        assert_eq!(purged, ["contested", "eventful", "fork", "forked"]);
        assert_eq!(purge_due(&world.db, &world).await, Vec::<String>::new(), "once");

        for session in &purged {
            let mut left = tables_of(&database, session).await;
            for kept in ["purged_sessions", "search_state", "transcripts"] {
                assert!(left.remove(kept).is_some(), "{session}: {kept}");
            }
            left.retain(|table, _| !["answer_copies", "session_usage"].contains(&table.as_str()));
            assert_eq!(left, BTreeMap::new(), "{session}");
        }
        assert_eq!(tables_of(&database, "young").await, young);
        assert_same(&totals(&database, &world).await, &counted);
        let tx = world.db.read(&world.scope, "test").await.unwrap();
        let page = sessions::page(&tx, None, &PageRequest { after: None, first: 10 }).await.unwrap();
        for session in page.rows.iter().filter(|session| session.session_id != "young") {
            assert_eq!(session.purged_at, Some(world.clock.now().0));
            let details = &session.details;
            assert_eq!((details.summary(), details.title(), &details.first_cwd), (None, None, &None));
            assert_eq!(details.project_path.as_deref(), Some("/home/dev/orchard"), "its project stays");
            let id = session.session_id.parse().unwrap();
            let request = PageRequest { after: None, first: 10 };
            let list = messages::page(&tx, &id, &MessageList::default(), &request).await.unwrap();
            assert!(list.rows.is_empty());
            assert!(!deletion::was_deleted(&tx, &id).await.unwrap());
        }
        let query = Query::parse("orchard").unwrap();
        let request = PageRequest { after: None, first: 10 };
        let found = search::search(&tx, &query, &search::Within::default(), &request).await.unwrap();
        assert!(found.hits.iter().all(|hit| hit.message.key.session_id.as_str() == "young"));
        assert_eq!(search::lag(&tx).await.unwrap(), 0);
    }
);

both_databases!(
    async fn a_purged_session_counts_in_everything_as_if_it_had_its_lines(database: TestDatabase) {
        let world = world(&database).await;
        let twin = another(&world, "eve").await;
        let both = [&world, &twin];
        world.clock.advance_seconds(DAY);
        for team in both {
            push_in_pieces(team, &files(), 9, 4).await;
        }
        world.clock.advance_seconds((DAYS + 1) * DAY);
        assert_eq!(purge_due(&world.db, &world).await.len(), 4);
        assert_alike(&database, &world, &twin).await;
        let counted = totals(&database, &twin).await;

        for team in both {
            rebuild::rebuild(&team.scope, &team.db).await.unwrap();
        }
        assert_alike(&database, &world, &twin).await;
        assert_same(&totals(&database, &twin).await, &counted);

        // A price changes.
        let rate = rate_of("claude-opus-4-6");
        let price = rate.price;
        let change = PriceChange { set: vec![(rate, Some(price))], ..PriceChange::default() };
        prices::change(&world.db, &change).await.unwrap();
        reprice_all(&world.db).await;
        assert_alike(&database, &world, &twin).await;
        assert_ne!(totals(&database, &world).await, counted);

        // More lines of purged sessions; and a session that wrote their answers first, so that they pass to it.
        let more = lines_at("more", world.clock.now(), 9);
        let lines = SyntheticSession::new(5).lines(30);
        for team in both {
            push(team, "forked", "main", Some(60), &more).await;
            push(team, "eventful", "main", Some(20), &lines_at("other", world.clock.now(), 4)).await;
            push(team, "a-copy", "main", Some(0), &lines).await;
        }
        assert_alike(&database, &world, &twin).await;
        for team in both {
            rebuild::rebuild(&team.scope, &team.db).await.unwrap();
        }
        assert_alike(&database, &world, &twin).await;

        // They are purged again, together with what was purged before.
        world.clock.advance_seconds((DAYS + 1) * DAY);
        let mut purged = purge_due(&world.db, &world).await;
        purged.sort();
        assert_eq!(purged, ["a-copy", "eventful", "forked"]);
        assert_alike(&database, &world, &twin).await;
        for team in both {
            rebuild::rebuild(&team.scope, &team.db).await.unwrap();
        }
        assert_alike(&database, &world, &twin).await;

        // Deletions subtract what purged sessions count, and answers pass on.
        for session in ["a-copy", "eventful", "forked"] {
            for team in both {
                let id = session.parse().unwrap();
                assert!(deletion::session(&team.scope, &team.db, &id).await.unwrap());
            }
            assert_alike(&database, &world, &twin).await;
        }
        let scope = &world.scope;
        let data =
            deletion_requests::request(scope, &world.db, &Target::Data, world.clock.now()).await.unwrap();
        assert!(matches!(data, Requested::Stored(_)));
        while let [request, ..] = &deletion_requests::due(&world.db).await.unwrap()[..] {
            assert_ne!(deletion_requests::advance(&world.db, request).await.unwrap(), Advance::Waiting);
        }
        let team = format!("team = (SELECT number FROM teams WHERE id = '{}')", scope.team_id());
        for table in ["rollups", "rollup_counts", "purged_sessions", "answer_copies"] {
            assert_eq!(
                number(&database, &format!("SELECT count(*) FROM {table} WHERE {team}")).await,
                0,
                "{table}"
            );
        }
    }
);

both_databases!(
    async fn a_purge_that_is_killed_anywhere_is_complete_or_did_nothing(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(DAY);
        push_in_pieces(&world, &files(), 9, 4).await;
        index(&world.db).await;
        world.clock.advance_seconds((DAYS + 1) * DAY);
        let (counted, whole) = (totals(&database, &world).await, contents(&database, &world).await);
        let left = "SELECT count(*) FROM sessions WHERE purged_at IS NULL";
        let (mut polls, mut sessions) = (1, 4);
        while sessions > 0 {
            let dying = connect(database.url(), &world.clock).await;
            let _ = Killed { future: Box::pin(purge_due(&dying, &world)), polls }.await;
            dying.close().await;
            polls += polls.div_ceil(3);
            sessions = number(&database, left).await;
            assert_same(&totals(&database, &world).await, &counted);
            if sessions == 4 {
                assert_same(&contents(&database, &world).await, &whole);
            }
        }
        assert_eq!(number(&database, "SELECT count(*) FROM segments").await, 0);
        assert_eq!(number(&database, "SELECT count(*) FROM search_terms").await, 0);
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&totals(&database, &world).await, &counted);
    }
);

both_databases!(
    async fn a_purged_session_goes_on_and_its_old_lines_do_not_come_back(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(DAY);
        let old = lines_at("old", world.clock.now(), 10);
        push(&world, "s", "main", Some(0), &old).await;
        world.clock.advance_seconds((DAYS + 1) * DAY);
        assert_eq!(purge_due(&world.db, &world).await, ["s"]);
        let stored = async |end: i64| {
            let tx = world.db.read(&world.scope, "test").await.unwrap();
            let id = "s".parse().unwrap();
            let lines = messages::lines(&tx, &id, &"main".parse().unwrap(), 0, 100).await.unwrap();
            let lines = lines.into_iter().filter(|line| line.line < end);
            lines.map(|line| (line.line, line.text)).collect::<Vec<_>>()
        };
        // A gap is a gap as before; the next line is known.
        let gap = batch(true, "s", "main", Some(11), &old[..1]);
        let refused = ingest::store(&world.scope, &world.db, gap).await.unwrap();
        assert!(matches!(&refused, Outcome::Refused(error) if error.offset == Some(10)), "{refused:?}");
        let new = lines_at("new", world.clock.now(), 6);
        assert_eq!(push(&world, "s", "main", Some(10), &new[..4]).await, (4, 0, 14));
        let numbered = |from: i64, lines: &[String]| (from..).zip(lines.iter().cloned()).collect::<Vec<_>>();
        assert_eq!(stored(14).await, numbered(10, &new[..4]));

        // A client that sends the file from the beginning: what was purged is a duplicate, and so is what is stored.
        let counted = totals(&database, &world).await;
        let mut all = old.clone();
        all.extend_from_slice(&new[..4]);
        assert_eq!(push(&world, "s", "main", Some(0), &all).await, (0, 14, 14));
        // Without an offset, too; and a line without a time is what the line before it is.
        let mut untimed = old[..3].to_vec();
        untimed.push(json!({"type": "summary", "summary": "old", "leafUuid": "x"}).to_string());
        assert_eq!(push(&world, "s", "main", None, &untimed).await.0, 0);
        assert_eq!(stored(100).await, numbered(10, &new[..4]));
        let now = totals(&database, &world).await;
        let without_offsets = |rows: &[String]| -> Vec<String> {
            rows.iter()
                .filter(|row| !row.contains("next_offset") && !row.contains("|main|"))
                .cloned()
                .collect()
        };
        assert_same(&without_offsets(&now), &without_offsets(&counted));

        // The file was rewritten, and is shorter: its new lines are stored, and its end is known for the next push.
        let mut rewritten = old[..2].to_vec();
        rewritten.extend_from_slice(&new[..4]);
        rewritten.extend_from_slice(&new[4..]);
        assert_eq!(push(&world, "s", "main", Some(0), &rewritten).await, (6, 2, 8));
        assert_eq!(stored(8).await, numbered(2, &new));
        let status = ingest::status(&world.scope, &world.db).await.unwrap();
        assert_eq!((status.len(), status[0].offset), (1, 8));
        assert_eq!(push(&world, "s", "main", Some(0), &rewritten).await, (0, 8, 8));
        let later = lines_at("later", world.clock.now(), 3);
        assert_eq!(push(&world, "s", "main", Some(8), &later).await, (3, 0, 11));
        // All of a batch was purged: the file ends there.
        assert_eq!(push(&world, "s", "main", Some(0), &old[..2]).await, (0, 2, 2));
        assert_eq!(push(&world, "s", "main", Some(2), &new).await, (0, 6, 8));
        let counted = totals(&database, &world).await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&totals(&database, &world).await, &counted);

        // A file that the session did not have is stored as a whole.
        assert_eq!(push(&world, "s", "agent-a", Some(0), &lines_at("agent", Timestamp(5), 4)).await.0, 4);
    }
);

both_databases!(
    async fn sessions_that_grow_or_are_merged_meanwhile_are_not_harmed(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(DAY);
        for n in 0..12 {
            push(&world, "s", "main", Some(n), &lines_at(&format!("l{n}"), world.clock.now(), 1)).await;
        }
        world.clock.advance_seconds((DAYS + 1) * DAY);
        let team = world.scope.team_id();
        let due = retention::due(&world.db, team, DAYS, None, 10).await.unwrap();
        // It grows after it was listed.
        push(&world, "s", "main", Some(12), &lines_at("new", world.clock.now(), 2)).await;
        assert!(!retention::purge(&world.db, team, DAYS, &due[0]).await.unwrap());
        assert_eq!(number(&database, "SELECT sum(lines) FROM segments").await, 14);
        world.clock.advance_seconds((DAYS + 1) * DAY);
        let listed = consolidation::fragmented(&world.db, (i64::MIN, i64::MAX), None, 10).await.unwrap();
        let merge = async {
            for session in &listed {
                consolidation::consolidate(&world.db, session).await.unwrap();
            }
        };
        let (_, purged) = tokio::join!(merge, retention::purge(&world.db, team, DAYS, &due[0]));
        assert!(purged.unwrap());
        assert_eq!(number(&database, "SELECT count(*) FROM segments").await, 0);
        assert_eq!(number(&database, "SELECT count(*) FROM search_terms").await, 0);
        // It was deleted after it was listed.
        assert!(deletion::session(&world.scope, &world.db, &"s".parse().unwrap()).await.unwrap());
        assert!(!retention::purge(&world.db, team, DAYS, &due[0]).await.unwrap());
    }
);

both_databases!(
    async fn a_session_that_cannot_be_opened_is_purged(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(DAY);
        push(&world, "damaged", "main", Some(0), &lines_at("a", world.clock.now(), 10)).await;
        push(&world, "unreadable", "main", Some(0), &lines_at("b", world.clock.now(), 10)).await;
        database
            .execute(
                "UPDATE segments SET last_ordinal = last_ordinal + 1 WHERE session = \
                 (SELECT number FROM sessions WHERE session_id = 'damaged')",
            )
            .await;
        database.execute("UPDATE sessions SET metadata = 'v1:x' WHERE session_id = 'unreadable'").await;
        let counted = totals(&database, &world).await;
        world.clock.advance_seconds((DAYS + 1) * DAY);
        assert_eq!(purge_due(&world.db, &world).await.len(), 2);
        assert_eq!(number(&database, "SELECT count(*) FROM segments").await, 0);
        assert_same(&totals(&database, &world).await, &counted);
        // What is left of them can be derived again, and deleted.
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        let tokens = "SELECT sum(output_tokens) FROM rollups WHERE grain < 2";
        assert_eq!(number(&database, tokens).await, 2 * 5 * 11, "answers stay");
        for session in ["damaged", "unreadable"] {
            assert!(deletion::session(&world.scope, &world.db, &session.parse().unwrap()).await.unwrap());
        }
        assert_eq!(number(&database, tokens).await, 0);
    }
);

both_databases!(
    async fn a_project_that_becomes_known_later_gets_what_was_purged(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(DAY);
        let store = async |offset: u64, lines: &[String], path: Option<&str>| {
            let mut batch = received("s", "main", Some(offset), lines);
            batch.metadata =
                SessionMetadata { project_path: path.map(str::to_owned), ..SessionMetadata::default() };
            let batch = ingest::Preparer::new(Policy::of(PlanTier::Enterprise)).prepare(batch).unwrap();
            let outcome = ingest::store(&world.scope, &world.db, batch).await.unwrap();
            assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
        };
        store(0, &lines_at("old", world.clock.now(), 10), None).await;
        world.clock.advance_seconds((DAYS + 1) * DAY);
        assert_eq!(purge_due(&world.db, &world).await, ["s"]);
        store(10, &lines_at("new", world.clock.now(), 2), Some("/home/dev/pear")).await;
        let of =
            |condition: &str| format!("SELECT sum(messages) FROM rollups WHERE grain < 2 AND {condition}");
        assert_eq!(number(&database, &of("project_id = ''")).await, 0);
        assert_eq!(number(&database, &of("project_id <> ''")).await, 12);
        let counted = totals(&database, &world).await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&totals(&database, &world).await, &counted);
    }
);

both_databases!(
    async fn the_job_purges_the_teams_whose_plan_allows_it(database: TestDatabase) {
        let world = world(&database).await;
        let (free, keeps) = (another(&world, "free").await, another(&world, "keeps").await);
        world.clock.advance_seconds(DAY);
        for team in [&world, &free, &keeps] {
            push(team, "s", "main", Some(0), &lines_at("a", world.clock.now(), 4)).await;
        }
        let bob = member(&world, "bob", Role::Member).await;
        let billed = support::connect_as(&support::billed(&database), &world.clock).await;
        database.execute("UPDATE teams SET before_billing = FALSE").await;
        let set = async |scope: &Scope, db: &Db, days| retention::set(scope, db, days).await.unwrap();
        assert_eq!(set(&bob, &world.db, Some(1)).await, retention::Changed::NotAllowed);
        let refused = set(&world.scope, &billed, Some(1)).await;
        assert!(matches!(refused, retention::Changed::NotInPlan(_)), "{refused:?}");
        assert_eq!(set(&world.scope, &billed, None).await, retention::Changed::Done);
        keep_for(&world, Some(DAYS)).await;
        keep_for(&free, Some(DAYS)).await;
        assert_eq!(retention::of_team(&world.db, world.scope.team_id()).await.unwrap(), Some(DAYS));
        let tier = |name: &str, world: &World| {
            format!("UPDATE teams SET plan_tier = '{name}' WHERE id = '{}'", world.scope.team_id())
        };
        database.execute(&tier("enterprise", &world)).await;
        database.execute(&tier("pro", &free)).await;
        world.clock.advance_seconds((DAYS + 1) * DAY);
        let job = Retention::new(|_| true);
        let stopping = CancellationToken::new();
        let jobs = tokio::spawn(Registry::new(billed.clone()).with(job).run(stopping.clone()));
        let purged = "SELECT count(*) FROM sessions WHERE purged_at IS NOT NULL";
        let ended = "SELECT count(*) FROM jobs WHERE last_outcome = 'done'";
        let done = async { while number(&database, ended).await == 0 {} };
        tokio::time::timeout(Duration::from_secs(60), done).await.expect("the job runs");
        stopping.cancel();
        jobs.await.unwrap();
        assert_eq!(number(&database, purged).await, 1);
        let listed = retention::list(&world.db).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|team| (team.slug.as_str(), team.days, team.purged)).collect();
        assert_eq!(listed, [("ada", DAYS, 1), ("free", DAYS, 0)]);
        keep_for(&free, None).await;
        assert_eq!(retention::of_team(&world.db, free.scope.team_id()).await.unwrap(), None);
    }
);
