//! Creates the data that `lists` reads: a month of sessions, pushed as by clients; copies of that month in earlier
//! months, inserted directly into the tables; and one session with very many messages.
//!
//! Copied bodies are truncated and not in the search index, because only pushed messages are read as text.

use futures_util::{StreamExt as _, stream};
use han_db::page::{Cursor as _, MessageCursor};
use han_testkit::SyntheticSession;
use han_types::Timestamp;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use crate::target::Target;

/// The length of a month, in milliseconds.
const MONTH_MS: i64 = 30 * 86_400_000;
/// The number of lines in a session's main file, and of Han's events.
const SESSION_LINES: usize = 466;
const SESSION_EVENTS: usize = 34;
const PROJECTS: usize = 20;
const PEOPLE: usize = 10;
/// The number of concurrent writers.
const WRITERS: usize = 8;

/// A server with a history.
pub(crate) struct History {
    /// The server.
    pub target: Target,
    client: reqwest::Client,
    /// The end of the last month, in milliseconds since the epoch.
    now: i64,
}

impl History {
    /// Starts a server with `lines` lines in the last month, and as many in each of the `months - 1` earlier months.
    pub(crate) async fn create(name: &str, lines: usize, months: usize) -> Self {
        let target = Target::start(name).await;
        let now = "SELECT CAST(extract(epoch FROM now()) * 1000 AS bigint)";
        let now: i64 = sqlx::query_scalar(now).fetch_one(&mut target.connect().await).await.expect("a time");
        let history = Self { target, client: reqwest::Client::new(), now };
        history.push_month(lines).await;
        history.target.until_indexed().await;
        history.distribute_among_users().await;
        if months > 1 {
            history.copy_month(months).await;
        }
        history.analyze().await;
        history
    }

    async fn push_month(&self, lines: usize) {
        let sessions = lines.div_ceil(SESSION_LINES + SESSION_EVENTS);
        let pushes = (0..sessions).map(|n| async move {
            let mut session = SyntheticSession::new(n as u64 + 1);
            let id = session.session_id().to_owned();
            // The first session starts two hours ago, the last nearly a month ago.
            let span = MONTH_MS - 6 * Timestamp::HOUR_MS;
            let start = self.now - 2 * Timestamp::HOUR_MS - span * n as i64 / sessions as i64;
            let path = format!("/home/dev/project-{}", n % PROJECTS);
            let (main, han) = (session.lines(SESSION_LINES), session.han_events(SESSION_EVENTS));
            let first = first_timestamp(&main);
            self.push(&id, "main", &path, &shifted(&main, start - first)).await;
            self.push(&id, "han", &path, &shifted(&han, start - first)).await;
        });
        stream::iter(pushes).buffer_unordered(WRITERS).collect::<Vec<()>>().await;
    }

    /// Pushes lines without an offset, which appends them.
    pub(crate) async fn push(&self, session: &str, transcript: &str, path: &str, lines: &[String]) {
        let body = format!(
            r#"{{"sessions":[{{"session_id":"{session}","metadata":{{"agent":"claude-code","project_path":"{path}","git_remote":"git@example.com:bench{path}.git"}},"transcript":"{transcript}","messages":[{}]}}]}}"#,
            lines.join(",")
        );
        let body = zstd::bulk::compress(body.as_bytes(), 1).expect("a compressed body");
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
        self.execute(&sql).await;
    }

    /// Inserts copies of the month's rows, one per earlier month.
    async fn copy_month(&self, months: usize) {
        let mut connection = self.target.connect().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT table_name::text FROM information_schema.columns WHERE table_schema = 'public' \
             AND (column_name = 'session_id' OR table_name IN ('rollups', 'rollup_counts')) \
             AND table_name NOT IN ('changes', 'deleted_sessions') AND table_name NOT LIKE 'search_terms%' ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the tables");
        // Copies need no change events, so triggers are off.
        let mut sql = "SET session_replication_role = replica;".to_owned();
        for table in &tables {
            let columns = sqlx::query(
                "SELECT column_name::text FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position",
            )
            .bind(table)
            .fetch_all(&mut connection)
            .await
            .expect("the columns");
            let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
            let values: Vec<String> = columns.iter().map(|column| in_earlier_month(table, column)).collect();
            sql.push_str(&format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {table} t, generate_series(1, {}) AS month;",
                columns.join(", "),
                values.join(", "),
                months - 1
            ));
        }
        self.execute(&sql).await;
    }

    /// Creates a session with exactly `messages` listed messages, of which the newest and the oldest can be opened.
    /// Returns its id and the cursor before its last page of `page` messages.
    pub(crate) async fn deep_session(&self, messages: i64, page: i64) -> (String, String) {
        let mut synthetic = SyntheticSession::new(1_000_001);
        let id = synthetic.session_id().to_owned();
        let (old, new) = (synthetic.lines(400), synthetic.lines(400));
        let day = 24 * Timestamp::HOUR_MS;
        let start = self.now - 3 * day - first_timestamp(&old);
        self.push(&id, "main", "/home/dev/deep", &shifted(&old, start)).await;
        self.push(&id, "main", "/home/dev/deep", &shifted(&new, start + day)).await;
        self.target.until_indexed().await;
        let mut connection = self.target.connect().await;
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' \
             AND table_name = 'messages' AND is_generated = 'NEVER' ORDER BY ordinal_position",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the columns");
        let values: Vec<String> = columns
            .iter()
            .map(|column| match column.as_str() {
                "uuid" => "'filler-' || n".to_owned(),
                "ordinal" => "s.next_ordinal + n".to_owned(),
                "line" => "1000 + n".to_owned(),
                "at" => format!("m.at + {} + n", 12 * Timestamp::HOUR_MS),
                "body" => "left(m.body, 100)".to_owned(),
                other => format!("m.{other}"),
            })
            .collect();
        let listed = format!("(SELECT count(*) FROM messages WHERE session_id = '{id}' AND place = 1)");
        self.execute(&format!(
            "SET session_replication_role = replica; \
             INSERT INTO messages ({}) SELECT {} FROM sessions s, generate_series(0, {messages} - {listed} - 1) AS n, \
               (SELECT * FROM messages WHERE session_id = '{id}' AND place = 1 ORDER BY at, line LIMIT 1) AS m \
             WHERE s.session_id = '{id}'; \
             UPDATE sessions SET next_ordinal = next_ordinal + {messages}, line_count = line_count + {messages}, \
               message_count = {listed} WHERE session_id = '{id}'; \
             UPDATE search_state SET indexed_ordinal = indexed_ordinal + {messages} WHERE session_id = '{id}';",
            columns.join(", "),
            values.join(", ")
        ))
        .await;
        self.analyze().await;
        let last = format!(
            "SELECT at, transcript, line, uuid FROM messages WHERE session_id = '{id}' AND place = 1 \
             ORDER BY at, transcript, line, uuid OFFSET {page} LIMIT 1"
        );
        let row = sqlx::query(AssertSqlSafe(last)).fetch_one(&mut connection).await.expect("a message");
        let cursor =
            MessageCursor { at: row.get(0), transcript: row.get(1), line: row.get(2), uuid: row.get(3) };
        (id, cursor.encode())
    }

    /// Creates two sessions with the same lines, one sealed and one in plaintext, and returns their ids.
    pub(crate) async fn sealed_and_plaintext_sessions(&self) -> (String, String) {
        let mut synthetic = SyntheticSession::new(1_000_002);
        let (sealed, plaintext) = ("twin-sealed".to_owned(), "twin-plaintext".to_owned());
        let lines = synthetic.lines(300);
        let lines = shifted(&lines, self.now - 5 * 24 * Timestamp::HOUR_MS - first_timestamp(&lines));
        self.push(&sealed, "main", "/home/dev/twins", &lines).await;
        self.push(&plaintext, "main", "/home/dev/twins", &lines).await;
        self.target.until_indexed().await;
        let mut connection = self.target.connect().await;
        // Every line was stored, so line numbers equal list positions.
        sqlx::query(
            "UPDATE messages SET sealed = false, body = u.body \
             FROM unnest($1::text[]) WITH ORDINALITY AS u(body, n) \
             WHERE session_id = $2 AND line = n - 1",
        )
        .bind(&lines)
        .bind(&plaintext)
        .execute(&mut connection)
        .await
        .expect("bodies in plaintext");
        let sealed_left = "SELECT count(*) FROM messages WHERE session_id = $1 AND sealed";
        let left: i64 = sqlx::query_scalar(sealed_left)
            .bind(&plaintext)
            .fetch_one(&mut connection)
            .await
            .expect("a count");
        assert_eq!(left, 0, "every line is in plaintext");
        self.analyze().await;
        (sealed, plaintext)
    }

    /// Updates the planner's statistics.
    async fn analyze(&self) {
        self.execute("VACUUM (ANALYZE) messages").await;
        self.execute("ANALYZE").await;
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.target.connect().await)
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// The number of messages.
    pub(crate) async fn messages(&self) -> i64 {
        let sql = "SELECT count(*) FROM messages";
        sqlx::query_scalar(sql).fetch_one(&mut self.target.connect().await).await.expect("a count")
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

/// A GraphQL operation.
#[derive(Clone)]
pub(crate) struct Operation {
    /// The document.
    pub query: &'static str,
    /// Its variables.
    pub variables: serde_json::Value,
}

/// The SQL expression for a column's value in an earlier month.
fn in_earlier_month(table: &str, column: &str) -> String {
    match (table, column) {
        (_, "session_id") | ("sessions", "id") | ("message_usage", "message_id") => {
            format!("t.{column} || '-' || month")
        }
        (
            _,
            "at" | "hour" | "started_at" | "last_activity_at" | "last_line_at" | "created_at" | "synced_at"
            | "updated_at" | "completed_at",
        ) => format!("t.{column} - month * {MONTH_MS}"),
        (_, "body") => "left(t.body, 100)".to_owned(),
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
