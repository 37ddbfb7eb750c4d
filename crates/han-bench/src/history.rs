//! Creates the data that `lists` reads: a month of sessions, pushed as by clients; copies of that month in earlier
//! months, inserted directly into the tables; and one session with very many messages.
//!
//! Copies are stored as if they had been pushed: their segments are sealed under their own names. Other sealed values
//! are copied unchanged, because only pushed sessions' are opened, and copies are not in the search index.

use futures_util::{StreamExt as _, stream};
use han_db::page::{Cursor as _, MessageCursor};
use han_testkit::SyntheticSession;
use han_types::Timestamp;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use crate::jobs::TEAM_WORK;
use crate::stored::{SegmentKeys, StoredSegment};
use crate::target::{Target, packed_body};

/// The length of a month, in milliseconds.
const MONTH_MS: i64 = 30 * 86_400_000;
/// The number of lines in a session's main file, and of Han's events.
const SESSION_LINES: usize = 466;
const SESSION_EVENTS: usize = 34;
const PROJECTS: usize = 20;
const PEOPLE: usize = 10;
/// The number of concurrent writers.
const WRITERS: usize = 8;
/// The number of lines of the long session that are pushed and then copied: one segment that is not small, so that no
/// job merges the copies.
const BLOCK_LINES: usize = 300;

/// A server with a history.
pub(crate) struct History {
    /// The server.
    pub target: Target,
    client: reqwest::Client,
    /// The end of the last month, in milliseconds since the epoch.
    now: i64,
    /// The number of sessions of the last month.
    sessions: usize,
}

/// A session of the last month.
pub(crate) struct MonthSession {
    /// Its id.
    pub id: String,
    path: String,
    /// The lines of its main file.
    pub main: Vec<String>,
    /// The lines of its file of Han's events.
    han: Vec<String>,
}

impl History {
    /// Starts a server with `lines` lines in the last month, and as many in each of the `months - 1` earlier months.
    pub(crate) async fn create(name: &str, lines: usize, months: usize) -> Self {
        let target = Target::start(name).await;
        let now = target.number("SELECT CAST(extract(epoch FROM now()) * 1000 AS bigint)").await;
        let sessions = lines.div_ceil(SESSION_LINES + SESSION_EVENTS);
        let history = Self { target, client: reqwest::Client::new(), now, sessions };
        let pushes = (0..sessions).map(|n| history.push_session(n));
        stream::iter(pushes).buffer_unordered(WRITERS).collect::<Vec<()>>().await;
        history.target.until_indexed().await;
        history.distribute_among_users().await;
        if months > 1 {
            history.copy_month(months).await;
        }
        history.analyze().await;
        history
    }

    async fn push_session(&self, n: usize) {
        let session = self.month_session(n);
        self.push(&session.id, "main", &session.path, &session.main).await;
        self.push(&session.id, "han", &session.path, &session.han).await;
    }

    fn month_session(&self, n: usize) -> MonthSession {
        let mut session = SyntheticSession::new(n as u64 + 1);
        let id = session.session_id().to_owned();
        // The first session starts two hours ago, the last nearly a month ago.
        let span = MONTH_MS - 6 * Timestamp::HOUR_MS;
        let start = self.now - 2 * Timestamp::HOUR_MS - span * n as i64 / self.sessions as i64;
        let (main, han) = (session.lines(SESSION_LINES), session.han_events(SESSION_EVENTS));
        let by = start - first_timestamp(&main);
        let path = format!("/home/dev/project-{}", n % PROJECTS);
        MonthSession { id, path, main: shifted(&main, by), han: shifted(&han, by) }
    }

    /// The sessions of the last month.
    pub(crate) fn month(&self) -> impl Iterator<Item = MonthSession> {
        (0..self.sessions).map(|n| self.month_session(n))
    }

    /// Pushes lines without an offset, which appends them.
    async fn push(&self, session: &str, transcript: &str, path: &str, lines: &[String]) {
        let body = packed_body(session, transcript, path, None, lines);
        self.target.push(&self.client, Some("zstd"), body).await;
    }

    /// Distributes the sessions among several users, by project.
    async fn distribute_among_users(&self) {
        let person = format!("'person-' || (abs(hashtext(project_id)) % {PEOPLE})");
        let mut sql = format!(
            "INSERT INTO users (id, username, created_at) SELECT 'person-' || n, 'person ' || n, 0 \
             FROM generate_series(0, {PEOPLE} - 1) AS n;"
        );
        for table in ["sessions", "rollups", "rollup_counts"] {
            sql.push_str(&format!("UPDATE {table} SET user_id = {person} WHERE project_id <> '';"));
        }
        self.target.execute(&sql).await;
    }

    /// Inserts copies of the month's rows, one per earlier month.
    async fn copy_month(&self, months: usize) {
        let keys = SegmentKeys::of(&self.target).await;
        let segments = keys.read(&self.target, "true").await;
        // Copies of a session have its number plus a multiple of this.
        let step = self.target.number("SELECT CAST(max(number) AS bigint) FROM sessions").await;
        let mut connection = self.target.connect().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT table_name::text FROM information_schema.columns WHERE table_schema = 'public' \
             AND (column_name = 'session' OR table_name IN ('sessions', 'rollups', 'rollup_counts')) \
             AND table_name <> 'segments' AND table_name NOT LIKE 'search_terms%' ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the tables");
        // Copies need no change events, so triggers are off.
        let mut sql = "SET session_replication_role = replica;".to_owned();
        for table in &tables {
            let columns = self.columns(table).await;
            let values: Vec<String> =
                columns.iter().map(|column| in_earlier_month(table, column, step)).collect();
            sql.push_str(&format!(
                "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE \
                 SELECT {} FROM {table} t, generate_series(1, {}) AS month;",
                columns.join(", "),
                values.join(", "),
                months - 1
            ));
        }
        sql.push_str(
            "SELECT setval(pg_get_serial_sequence('sessions', 'number'), (SELECT max(number) FROM sessions));",
        );
        self.target.execute(&sql).await;
        for month in 1..months as i64 {
            let copies: Vec<StoredSegment> = segments
                .iter()
                .map(|segment| StoredSegment {
                    session: i32::try_from(i64::from(segment.session) + month * step).expect("a number"),
                    session_id: format!("{}-{month}", segment.session_id),
                    first_at: segment.first_at - month * MONTH_MS,
                    last_at: segment.last_at - month * MONTH_MS,
                    ..segment.clone()
                })
                .collect();
            keys.insert(&mut connection, &copies, true).await;
        }
    }

    /// The columns of a table into which rows are inserted.
    async fn columns(&self, table: &str) -> Vec<String> {
        let sql = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' \
                   AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position";
        let columns = sqlx::query_scalar(sql).bind(table).fetch_all(&mut self.target.connect().await).await;
        columns.expect("the columns")
    }

    /// Creates a session with at least `messages` listed messages. Between the oldest and the newest lines, which are
    /// pushed, it has copies of the oldest ones. Returns its id and the cursor before its last page of `page` messages.
    pub(crate) async fn deep_session(&self, messages: i64, page: i64) -> (String, String) {
        let mut synthetic = SyntheticSession::new(1_000_001);
        let id = synthetic.session_id().to_owned();
        let (old, new) = (synthetic.lines(BLOCK_LINES), synthetic.lines(BLOCK_LINES));
        let day = 24 * Timestamp::HOUR_MS;
        let start = self.now - 3 * day - first_timestamp(&old);
        self.push(&id, "main", "/home/dev/deep", &shifted(&old, start)).await;
        self.target.until_indexed().await;
        self.repeat_lines(&id, messages).await;
        self.push(&id, "main", "/home/dev/deep", &shifted(&new, start + day)).await;
        self.target.until_indexed().await;
        self.analyze().await;
        let last = format!(
            "SELECT m.at, f.name, m.line, COALESCE(m.uuid_text, encode(m.uuid, 'hex')::uuid::text) AS uuid \
             FROM messages m \
             JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript \
             WHERE m.session = {} AND m.place = 1 ORDER BY m.at, m.transcript, m.line, m.uuid OFFSET {page} LIMIT 1",
            numbered(&id)
        );
        let row = sqlx::query(AssertSqlSafe(last)).fetch_one(&mut self.target.connect().await).await;
        let row = row.expect("a message");
        let line: i32 = row.get(2);
        let cursor = MessageCursor {
            at: row.get(0),
            transcript: row.get(1),
            line: line.into(),
            part: 0,
            uuid: row.get(3),
        };
        (id, cursor.encode())
    }

    /// Repeats the lines of a session, which has a single file with one segment, until it has `messages` listed
    /// messages: each time behind the earlier ones, with other uuids, and at later times within the day.
    async fn repeat_lines(&self, id: &str, messages: i64) {
        let keys = SegmentKeys::of(&self.target).await;
        let segments = keys.read(&self.target, &format!("s.session_id = '{id}'")).await;
        let [block] = segments.as_slice() else { panic!("{} segments instead of one", segments.len()) };
        let session = numbered(id);
        let listed = format!("SELECT count(*) FROM messages WHERE session = {session} AND place = 1");
        let listed = self.target.number(&listed).await;
        let blocks = messages / listed;
        let lines = BLOCK_LINES as i64;
        // The times of a copy are compressed into a part of twenty hours.
        let part = 20 * Timestamp::HOUR_MS / blocks.max(1);
        let span = (block.last_at - block.first_at).max(1);
        let begin = block.first_at + 2 * Timestamp::HOUR_MS;

        let columns = self.columns("messages").await;
        let values: Vec<String> = columns
            .iter()
            .map(|column| match column.as_str() {
                "uuid" => "int4send(n) || substr(m.uuid, 5)".to_owned(),
                "uuid_text" => "NULL".to_owned(),
                "ordinal" | "line" => format!("m.{column} + n * {lines}"),
                "at" => format!("{begin} + n * {part} + (m.at - {}) * {part} / {span}", block.first_at),
                other => format!("m.{other}"),
            })
            .collect();
        let added = blocks * lines;
        self.target
            .execute(&format!(
                "SET session_replication_role = replica; \
                 INSERT INTO messages ({}) SELECT {} FROM messages m, generate_series(1, {blocks}) AS n \
                   WHERE m.session = {session}; \
                 UPDATE sessions SET next_ordinal = next_ordinal + {added}, line_count = line_count + {added}, \
                   message_count = message_count + {blocks} * {listed} WHERE session_id = '{id}'; \
                 UPDATE transcripts SET next_offset = next_offset + {added}, end_line = end_line + {added} \
                   WHERE session = {session}; \
                 UPDATE search_state SET indexed_ordinal = indexed_ordinal + {added} WHERE session = {session};",
                columns.join(", "),
                values.join(", ")
            ))
            .await;
        let copies: Vec<StoredSegment> = (1..=blocks)
            .map(|n| {
                let by = i32::try_from(n * lines).expect("an ordinal");
                StoredSegment {
                    first_ordinal: block.first_ordinal + by,
                    last_ordinal: block.last_ordinal + by,
                    min_line: block.min_line + by,
                    max_line: block.max_line + by,
                    first_at: begin + n * part,
                    last_at: begin + (n + 1) * part,
                    ..block.clone()
                }
            })
            .collect();
        keys.insert(&mut self.target.connect().await, &copies, true).await;
    }

    /// Creates two sessions with the same lines, one sealed and one in plaintext; returns their ids and the lines.
    pub(crate) async fn sealed_and_plaintext_sessions(&self) -> (String, String, Vec<String>) {
        let mut synthetic = SyntheticSession::new(1_000_002);
        let (sealed, plaintext) = ("twin-sealed".to_owned(), "twin-plaintext".to_owned());
        let lines = synthetic.lines(300);
        let lines = shifted(&lines, self.now - 5 * 24 * Timestamp::HOUR_MS - first_timestamp(&lines));
        self.push(&sealed, "main", "/home/dev/twins", &lines).await;
        self.push(&plaintext, "main", "/home/dev/twins", &lines).await;
        self.target.until_indexed().await;
        // It would seal the other session, too.
        self.target.hold(&[TEAM_WORK]).await;
        let keys = SegmentKeys::of(&self.target).await;
        let segments = keys.read(&self.target, &format!("s.session_id = '{plaintext}'")).await;
        self.target.execute(&format!("DELETE FROM segments WHERE session = {}", numbered(&plaintext))).await;
        keys.insert(&mut self.target.connect().await, &segments, false).await;
        self.analyze().await;
        (sealed, plaintext, lines)
    }

    /// Updates the planner's statistics.
    async fn analyze(&self) {
        self.target.execute("VACUUM (ANALYZE) messages").await;
        self.target.execute("VACUUM (ANALYZE) segments").await;
        self.target.execute("ANALYZE").await;
    }

    /// The number of messages.
    pub(crate) async fn messages(&self) -> i64 {
        self.target.number("SELECT count(*) FROM messages").await
    }

    /// Executes a GraphQL operation; returns the response's text and the time in milliseconds.
    pub(crate) async fn execute_graphql(&self, operation: &Operation) -> (String, f64) {
        let start = std::time::Instant::now();
        let response = self
            .client
            .post(format!("{}/graphql", self.target.url))
            .bearer_auth(&self.target.key)
            .json(&json!({ "query": operation.query, "variables": operation.variables }))
            .send()
            .await
            .expect("the server answers");
        let text = response.text().await.expect("an answer");
        (text, start.elapsed().as_secs_f64() * 1e3)
    }
}

/// The SQL of a session's number.
fn numbered(id: &str) -> String {
    format!("(SELECT number FROM sessions WHERE session_id = '{id}')")
}

/// A GraphQL operation.
#[derive(Clone)]
pub(crate) struct Operation {
    /// The document.
    pub query: &'static str,
    /// Its variables.
    pub variables: serde_json::Value,
}

/// The SQL expression for a column's value in an earlier month. `step` is what numbers of sessions differ by.
fn in_earlier_month(table: &str, column: &str, step: i64) -> String {
    match (table, column) {
        ("sessions", "number") | (_, "session") => format!("t.{column} + month * {step}"),
        ("sessions", "session_id" | "id") => format!("t.{column} || '-' || month"),
        // An answer of its own, of which no other session has a copy.
        ("answer_copies", "answer") => "int4send(month) || substr(t.answer, 5)".to_owned(),
        (
            _,
            "at" | "start" | "started_at" | "last_activity_at" | "last_line_at" | "created_at" | "synced_at"
            | "updated_at" | "completed_at",
        ) => format!("t.{column} - month * {MONTH_MS}"),
        _ => format!("t.{column}"),
    }
}

const STAMP: &str = r#""timestamp":""#;
/// `2026-11-23T12:00:00.000Z`
const STAMP_BYTES: usize = 24;

fn timestamp(line: &str) -> Option<i64> {
    let from = line.find(STAMP)? + STAMP.len();
    Timestamp::parse_rfc3339(line.get(from..from + STAMP_BYTES)?).map(|at| at.0)
}

fn first_timestamp(lines: &[String]) -> i64 {
    lines.iter().find_map(|line| timestamp(line)).expect("a line with a time")
}

/// The lines with timestamps moved by `by` milliseconds.
fn shifted(lines: &[String], by: i64) -> Vec<String> {
    let shift = |line: &String| {
        let mut parts = line.split(STAMP);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (at, rest) = part.split_at(STAMP_BYTES);
            let at = Timestamp::parse_rfc3339(at).expect("a time");
            text.push_str(STAMP);
            text.push_str(&Timestamp(at.0 + by).to_rfc3339());
            text.push_str(rest);
        }
        text
    };
    lines.iter().map(shift).collect()
}
