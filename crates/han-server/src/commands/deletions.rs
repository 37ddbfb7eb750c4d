//! The command that lists requests to delete. What a request is, and how it is carried out, is in han-db.

use han_db::Db;
use han_db::queries::deletion_requests::{self, DeletionRequest};
use han_types::Timestamp;
use serde_json::{Value, json};

use super::table::text_table;
use super::{CommandError, Listing, World};

/// The most requests in a list.
const LISTED: u32 = 1000;

pub(super) async fn run(asked: &Listing, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let requests = deletion_requests::list(db, LISTED).await?;
    if asked.json {
        let list: Vec<Value> = requests.iter().map(json).collect();
        writeln!(world.out, "{}", Value::Array(list))?;
        return Ok(());
    }
    let head =
        ["STATE", "ID", "KIND", "TEAM", "SUBJECT", "REQUESTED BY", "DUE", "FINISHED", "SESSIONS", "LINES"];
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let rows = requests.into_iter().map(|request| {
        [
            request.state().to_owned(),
            request.id,
            request.kind.to_string(),
            or_none(request.team_id.map_or_else(String::new, |id| id.to_string())),
            or_none(request.subject),
            or_none(request.requested_by),
            request.due_at.to_rfc3339(),
            or_none(request.finished_at.map_or_else(String::new, Timestamp::to_rfc3339)),
            request.sessions.to_string(),
            request.lines.to_string(),
        ]
    });
    write!(world.out, "{}", text_table(head, rows))?;
    Ok(())
}

fn json(request: &DeletionRequest) -> Value {
    let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
    json!({
        "state": request.state(),
        "id": request.id,
        "kind": request.kind.as_str(),
        "teamId": request.team_id.as_ref().map(|id| id.as_str()),
        "subject": request.subject,
        "requestedBy": request.requested_by,
        "requestedAt": request.requested_at.to_rfc3339(),
        "dueAt": request.due_at.to_rfc3339(),
        "startedAt": time(request.started_at),
        "finishedAt": time(request.finished_at),
        "cancelledAt": time(request.cancelled_at),
        "sessions": request.sessions,
        "lines": request.lines,
    })
}
