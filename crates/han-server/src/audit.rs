//! An audit log as NDJSON, one object for each record, whose only key is the record's kind. docs/SYNC.md specifies the
//! format; `GET /api/sync/teams/{team_id}/audit` and `han-server audit export` write it.

use han_crypto::{from_hex, to_hex};
use han_db::queries::audit::{self, AuditEntry, LogOf};
use han_db::{Db, DbError};
use han_types::TeamId;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::ndjson::append;

/// The version of the format.
const VERSION: u32 = 1;

/// How many entries are read at once.
const PAGE: usize = 500;

/// Why an export ended early.
#[derive(Debug, Error)]
pub(crate) enum AuditExportError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("an entry cannot be written: {0}")]
    Record(#[from] serde_json::Error),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Record<'a> {
    Audit(Head<'a>),
    Entry(Box<Line<'a>>),
    End(End<'a>),
}

#[derive(Serialize)]
struct Head<'a> {
    version: u32,
    team_id: &'a str,
    team: &'a str,
    exported_at: String,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: i64,
    at: String,
    at_ms: i64,
    event: &'a str,
    actor: &'a str,
    actor_id: Option<&'a str>,
    actor_name: Option<&'a str>,
    credential: &'a str,
    credential_id: &'a str,
    client: &'a str,
    address: Option<&'a str>,
    request_id: &'a str,
    subject_kind: &'a str,
    subject: &'a str,
    subject_id: Option<&'a str>,
    subject_name: Option<&'a str>,
    details: &'a RawValue,
    hash: String,
}

#[derive(Serialize)]
struct End<'a> {
    entries: u64,
    last: i64,
    hash: &'a str,
}

/// An export that is being written: a few hundred entries at a time, so that it takes constant memory.
#[derive(Debug)]
pub(crate) struct AuditExport {
    db: Db,
    team_id: TeamId,
    slug: String,
    begun: bool,
    ended: bool,
    entries: u64,
    last: i64,
    hash: String,
}

impl AuditExport {
    /// The entries of a team after the one with the number `after`.
    pub(crate) fn new(db: Db, team_id: TeamId, slug: String, after: i64) -> Self {
        Self { db, team_id, slug, begun: false, ended: false, entries: 0, last: after, hash: String::new() }
    }

    /// The next lines; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, AuditExportError> {
        if self.ended {
            return Ok(None);
        }
        let mut out = Vec::new();
        if !self.begun {
            self.begun = true;
            let exported_at = self.db.clock().now().to_rfc3339();
            let team_id = self.team_id.as_str();
            append(
                &mut out,
                &Record::Audit(Head { version: VERSION, team_id, team: &self.slug, exported_at }),
            )?;
            return Ok(Some(out));
        }
        let page = audit::after(&self.db, LogOf::Team(&self.team_id), self.last, PAGE).await?;
        for entry in &page {
            self.hash = to_hex(&entry.hash);
            append(&mut out, &Record::Entry(Box::new(line(entry, self.hash.clone())?)))?;
            self.last = entry.seq;
            self.entries += 1;
        }
        if page.len() < PAGE {
            self.ended = true;
            append(&mut out, &Record::End(End { entries: self.entries, last: self.last, hash: &self.hash }))?;
        }
        Ok(Some(out))
    }
}

fn line(entry: &AuditEntry, hash: String) -> Result<Line<'_>, serde_json::Error> {
    let user = entry.user.as_ref();
    Ok(Line {
        seq: entry.seq,
        at: entry.at.to_rfc3339(),
        at_ms: entry.at.0,
        event: &entry.event,
        actor: &entry.actor,
        actor_id: user.map(|user| user.id.as_str()),
        actor_name: user.map(|user| user.username.as_str()),
        credential: &entry.credential,
        credential_id: &entry.credential_id,
        client: &entry.client,
        address: entry.address.as_deref(),
        request_id: &entry.request_id,
        subject_kind: &entry.subject_kind,
        subject: &entry.subject,
        subject_id: entry.subject_id.as_deref(),
        subject_name: entry.subject_user.as_ref().map(|user| user.username.as_str()),
        details: serde_json::from_str(&entry.details)?,
        hash,
    })
}

/// A number and a hash in the form `NUMBER:HASH`, which `han-server audit verify` prints; the number is 0 for an empty log.
pub(crate) fn noted(text: &str) -> Option<(i64, audit::Hash)> {
    let (number, hash) = text.split_once(':')?;
    let hash = from_hex(&hash.to_ascii_lowercase())?;
    Some((number.parse::<i64>().ok().filter(|number| *number >= 0)?, hash))
}
