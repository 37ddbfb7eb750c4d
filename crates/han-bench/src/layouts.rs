//! Layouts that figures are compared with: a row per line, each sealed by itself with text keys, which the product had
//! before segments; and the plaintext lines with compact keys.

use std::collections::HashMap;

use han_crypto::{FieldContext, OsEntropy, TeamKey, TeamKeyRing};
use han_transcript::record::{LineContext, LineRecord, TimeSource, project};

use crate::copy::CopyRows;

/// The team's id in the rows.
pub(crate) const TEAM: &str = "bench";

/// One row per line, sealed.
pub(crate) struct RowPerLine {
    keys: TeamKeyRing,
    entropy: OsEntropy,
}

/// The lines of one file, in order, with what the server derives from each.
pub(crate) struct Lines<'a> {
    session: &'a str,
    transcript: &'a str,
    lines: Vec<(&'a str, LineRecord, i64)>,
}

impl<'a> Lines<'a> {
    /// Projects lines. The time of a line without one is that of its leaf or of the line before it.
    pub(crate) fn new(session: &'a str, transcript: &'a str, lines: &'a [String]) -> Self {
        let context = LineContext { session_id: session, transcript };
        let mut times: HashMap<String, i64> = HashMap::new();
        let mut before = 0;
        let lines = lines.iter().map(|line| {
            let record = project(line, &context);
            let at = match &record.time {
                TimeSource::Own(at) => at.0,
                TimeSource::Leaf(leaf) => times.get(leaf).copied().unwrap_or(before),
                TimeSource::LineBefore => before,
            };
            before = at;
            times.insert(record.uuid.clone(), at);
            (line.as_str(), record, at)
        });
        Self { session, transcript, lines: lines.collect() }
    }
}

impl RowPerLine {
    /// With a new key.
    pub(crate) fn new() -> Self {
        let entropy = OsEntropy::default();
        let team = TEAM.parse().expect("an id");
        let keys = TeamKeyRing::new(team, 1, [(1, TeamKey::generate(&entropy))]).expect("a ring");
        Self { keys, entropy }
    }

    /// The SQL that creates the table with its primary key.
    pub(crate) fn create(table: &str) -> String {
        let text = |name: &str| format!("{name} text COLLATE \"C\"");
        let not_null = |name: &str| format!("{} NOT NULL", text(name));
        let keys = ["team_id", "session_id", "transcript", "uuid"].map(not_null).join(", ");
        let texts = ["role", "parent_uuid", "agent_id", "tool_name", "model"].map(text).join(", ");
        format!(
            "CREATE TABLE {table} ({keys}, ordinal bigint NOT NULL, line bigint NOT NULL, at bigint NOT NULL, \
             place bigint NOT NULL, {}, {}, {texts}, bytes bigint NOT NULL, sealed boolean NOT NULL, {}, \
             PRIMARY KEY (team_id, session_id, transcript, uuid))",
            not_null("kind"),
            not_null("line_type"),
            not_null("body")
        )
    }

    /// The SQL that creates the other indexes, and the policy that the product's tables had.
    pub(crate) fn finish(table: &str) -> String {
        format!(
            "CREATE UNIQUE INDEX ON {table} (team_id, session_id, ordinal); \
             CREATE INDEX ON {table} (team_id, session_id, place, at, transcript, line); \
             GRANT SELECT ON {table} TO han_app; ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY team ON {table} TO han_app USING (team_id = current_setting('han.bench_team', true))"
        )
    }

    /// The rows of lines, of which the first is the physical line `first`.
    pub(crate) fn rows(&self, lines: &Lines<'_>, first: usize, rows: &mut CopyRows) {
        for (n, (text, record, at)) in lines.lines.iter().enumerate() {
            let line = (first + n) as i64;
            let listed = matches!(lines.transcript, "main" | "han") && !record.is_sidechain;
            let place = match (record.nests, listed, record.is_progress) {
                (true, ..) => 0,
                (_, true, false) => 1,
                (_, true, true) => 2,
                (_, false, false) => 3,
                (_, false, true) => 4,
            };
            rows.row(18)
                .text(TEAM)
                .text(lines.session)
                .text(lines.transcript)
                .text(&record.uuid)
                .bigint(line)
                .bigint(line)
                .bigint(*at)
                .bigint(place)
                .text(record.kind.as_str())
                .text(&record.line_type)
                .nullable(record.role.as_deref())
                .nullable(record.parent_uuid.as_deref())
                .nullable(record.agent_id.as_deref())
                .nullable(record.tool_name.as_deref())
                .nullable(record.model.as_deref())
                .bigint(text.len() as i64)
                .boolean(true)
                .text(&self.seal(lines.session, lines.transcript, &record.uuid, text));
        }
    }

    fn seal(&self, session: &str, transcript: &str, uuid: &str, line: &str) -> String {
        let row_id = format!("{session}/{transcript}/{uuid}");
        self.keys.field(body(&row_id)).encrypt(line.as_bytes(), &self.entropy).expect("a sealed line")
    }

    /// Opens the line of a row.
    pub(crate) fn open(&self, session: &str, transcript: &str, uuid: &str, sealed: &str) -> String {
        let row_id = format!("{session}/{transcript}/{uuid}");
        let line = self.keys.field(body(&row_id)).decrypt(sealed).expect("a sealed line");
        String::from_utf8(line).expect("a line in UTF-8")
    }
}

fn body(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "messages", row_id, column: "body" }
}

/// The SQL that creates a table of plaintext lines with their keys.
pub(crate) fn create_plain(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (team int NOT NULL, session int NOT NULL, ordinal int NOT NULL, uuid text COLLATE \"C\", \
         line text NOT NULL, PRIMARY KEY (team, session, ordinal))"
    )
}

/// The rows of [`create_plain`], of which the first has the ordinal `first`.
pub(crate) fn plain_rows(session: i32, lines: &Lines<'_>, first: usize, rows: &mut CopyRows) {
    for (n, (text, record, _)) in lines.lines.iter().enumerate() {
        let ordinal = i32::try_from(first + n).expect("an ordinal");
        rows.row(5).int(1).int(session).int(ordinal).text(&record.uuid).text(text);
    }
}
