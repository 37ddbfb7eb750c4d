//! The records of an export: NDJSON, one object for each record, whose only key is the record's kind. docs/SYNC.md
//! specifies the format; `GET /api/sync/teams/{team_id}/export` writes it and `han-server import` reads it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::sync::SessionMetadata;

/// The version of the format.
pub const EXPORT_VERSION: u32 = 1;

/// A record of an export. A line borrows from the text that it was read from, so its bytes are kept unchanged.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportRecord<'a> {
    /// The first record.
    Export(ExportHead),
    /// The start of a session. The transcripts up to the next session are its own.
    Session(ExportSession),
    /// The start of a transcript. The lines up to the next transcript or session are its own.
    Transcript(ExportTranscript),
    /// A line, in the order of the lines of its file.
    #[serde(borrow)]
    Line(ExportLine<'a>),
    /// The last record. An export without it is incomplete.
    End(ExportEnd),
}

/// What an export contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHead {
    /// [`EXPORT_VERSION`].
    pub version: u32,
    /// The team's id.
    pub team_id: String,
    /// The team's short name.
    pub team: String,
    /// When the export began (RFC 3339).
    pub exported_at: String,
    /// The owners of the sessions.
    pub users: Vec<ExportUser>,
}

/// The owner of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportUser {
    /// The user's id.
    pub id: String,
    /// The user's name.
    pub name: String,
    /// Whether it is a person; absent for one.
    #[serde(default, skip_serializing_if = "OwnerKind::is_person")]
    pub kind: OwnerKind,
}

/// Who pushes sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// A person.
    #[default]
    Person,
    /// A service account.
    Service,
}

impl OwnerKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_person(&self) -> bool {
        *self == Self::Person
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSession {
    /// The session, as its developer's machine named it.
    pub session_id: String,
    /// Its owner.
    pub user_id: String,
    /// When it was first pushed (RFC 3339).
    pub created_at: String,
    /// What was pushed with its lines.
    pub metadata: SessionMetadata,
    /// When lines of it were purged (RFC 3339), if they were: they are not in the export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_at: Option<String>,
}

/// A file of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportTranscript {
    /// Its name, as in pushes.
    pub transcript: String,
    /// The number of lines, including those that were rejected or purged and are not in the export.
    pub next_offset: u64,
}

/// A line of a file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ExportLine<'a> {
    /// Its 0-based number.
    pub line: u64,
    /// The line as it was pushed: a JSON object, which is the line byte for byte, or a JSON string that contains a line
    /// that is no object.
    #[serde(borrow)]
    pub message: &'a RawValue,
}

/// The counts of an export, by which a reader verifies that it has all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportEnd {
    /// Sessions.
    pub sessions: u64,
    /// Transcripts.
    pub transcripts: u64,
    /// Lines.
    pub lines: u64,
    /// The bytes before this record.
    pub bytes: u64,
    /// SHA-256 of the bytes before this record, in lowercase hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::ExportRecord;

    #[test]
    fn a_line_keeps_its_bytes() {
        for message in [r#"{ "b" : 1.0,"a":"\u00e4" }"#, r#""no object \ud800""#] {
            let record = format!(r#"{{"line":{{"line":7,"message":{message}}}}}"#);
            let read: ExportRecord<'_> = serde_json::from_str(&record).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), record);
            let ExportRecord::Line(line) = read else { panic!("{read:?}") };
            assert_eq!((line.line, line.message.get()), (7, message));
        }
    }
}
