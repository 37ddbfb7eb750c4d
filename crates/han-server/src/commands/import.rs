//! `han-server import`: loads an export into an empty team. The file is read twice: first it is checked as a whole, then
//! its lines are stored like pushed ones. Storing is idempotent, so an import that was interrupted is run again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use han_crypto::to_hex;
use han_db::Db;
use han_db::entities::Team;
use han_db::queries::audit::{self, Entry, Event};
use han_db::queries::imports::{self, Owners};
use han_db::queries::ingest::{self, MAX_LINES, Outcome, Preparer, ReceivedBatch, ReceivedLine};
use han_db::queries::memberships::Resolved;
use han_db::queries::service_accounts::MAX_ACCOUNTS;
use han_db::queries::{deletion, memberships, sessions};
use han_types::export::{
    EXPORT_VERSION, ExportEnd, ExportRecord, ExportSession, ExportTranscript, ExportUser,
};
use han_types::{
    Actor, Capabilities, Credential, RequestId, Scope, SessionId, Timestamp, TranscriptName, UserId,
};
use sha2::{Digest as _, Sha256};

use super::people::check_name;
use super::{CommandError, ImportSessions, World};
use crate::config::Config;

/// The most lines of a batch, and about the most bytes.
const BATCH_LINES: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;

pub(super) async fn run(
    asked: &ImportSessions,
    config: &Config,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let checked = check(&asked.file, config.limits.line_bytes)?;
    let request_id = RequestId::generate(&*world.clock, &*world.entropy);
    let mut found = memberships::teams_for_operator(db, &request_id, Some(&asked.team)).await?;
    let Some(Resolved { scope, team }) = found.pop() else {
        return Err(CommandError::Refused(format!(
            "no team {:?} with an admin exists: check --team, or make it with `han-server login-link --user NAME \
             --team NAME --create`",
            asked.team
        )));
    };
    let tx = db.read(&scope, "import.check").await?;
    if let Some(other) = sessions::other_than(&tx, &checked.sessions).await? {
        return Err(CommandError::Refused(format!(
            "the team {} has the session {other}, which is not in the file: import into an empty team",
            team.slug
        )));
    }
    if let Some(deleted) = deletion::any_deleted(&tx, &checked.sessions).await? {
        return Err(CommandError::Refused(format!(
            "the session {deleted} was deleted in the team {}, which takes it no more: import into another team",
            team.slug
        )));
    }
    drop(tx);
    let owners = owners(&checked.users, &team, asked.create_members, db, world).await?;
    let mut scopes = BTreeMap::new();
    for (exported, user_id) in owners {
        let actor = Actor {
            user_id,
            credential: Credential::Operator,
            capabilities: Capabilities::PERSON,
            expires_at: None,
            request_id: request_id.clone(),
            client: None,
        };
        let resolved = memberships::scope_in(db, &actor, &team.id).await?;
        let ended = || CommandError::Refused("a membership has ended meanwhile: import again".to_owned());
        scopes.insert(exported, resolved.ok_or_else(ended)?.scope);
    }
    // Sessions of an import exist already: they count in no month, and no limit of the plan applies to them.
    let preparer = Preparer::new(team.policy(db.plans()));
    let most_lines = BATCH_LINES.min(config.limits.lines_per_batch);
    // Before the first line is stored: an import that is interrupted is in the log, too.
    let entry =
        Entry::new(Event::Imported).with("sessions", checked.sessions.len()).with("lines", checked.lines);
    audit::record(&scope, db, entry).await?;
    let import = Import { db, scopes, preparer, most_lines, stored: 0, duplicates: 0 };
    let Import { stored, duplicates, .. } = import.store(&asked.file).await?;
    let again = match duplicates {
        0 => String::new(),
        n => format!("; {n} line(s) were stored before"),
    };
    writeln!(
        world.err,
        "han-server: team {}: imported {stored} line(s) of {} session(s){again}; a running server indexes them",
        team.slug,
        checked.sessions.len()
    )?;
    if checked.purged > 0 {
        writeln!(
            world.err,
            "han-server: the content of {} session(s) was purged before the export: what it counted is not imported",
            checked.purged
        )?;
    }
    Ok(())
}

/// What a file contains that is complete.
struct Checked {
    users: Vec<ExportUser>,
    sessions: BTreeSet<SessionId>,
    /// How many of the sessions were purged.
    purged: usize,
    lines: u64,
}

/// Reads the file once.
fn check(file: &Path, line_bytes: usize) -> Result<Checked, CommandError> {
    let mut records = Records::open(file)?;
    let mut checked = Checked { users: Vec::new(), sessions: BTreeSet::new(), purged: 0, lines: 0 };
    let mut owners: BTreeSet<String> = BTreeSet::new();
    // The transcripts of the session.
    let mut files: HashSet<TranscriptName> = HashSet::new();
    let mut counts = ExportEnd::default();
    // The transcript that is open: its end, and the next line.
    let mut open: Option<(u64, u64)> = None;
    while let Some(record) = records.next()? {
        let Record { number, before, digest, value } = record;
        let wrong = |why: &str| malformed(number, why);
        match value {
            ExportRecord::Export(head) if number == 1 => {
                if head.version != EXPORT_VERSION {
                    return Err(wrong(&format!(
                        "the version of the format is {}, not {EXPORT_VERSION}",
                        head.version
                    )));
                }
                owners = head.users.iter().map(|user| user.id.clone()).collect();
                if owners.len() < head.users.len() {
                    return Err(wrong("a user occurs twice"));
                }
                checked.users = head.users;
            }
            _ if number == 1 => return Err(wrong("the file does not begin like an export")),
            ExportRecord::Export(_) => return Err(wrong("a second export begins")),
            ExportRecord::Session(session) => {
                let id = session.session_id.parse().map_err(|_| wrong("session_id is malformed"))?;
                if !checked.sessions.insert(id) {
                    return Err(wrong("a session occurs twice"));
                }
                checked.purged += usize::from(session.purged_at.is_some());
                if !owners.contains(&session.user_id) {
                    return Err(wrong("the owner of the session is not among the users"));
                }
                created_at(&session).ok_or_else(|| wrong("created_at is malformed"))?;
                (counts.sessions, open) = (counts.sessions + 1, None);
                files.clear();
            }
            ExportRecord::Transcript(transcript) => {
                if counts.sessions == 0 {
                    return Err(wrong("a transcript has no session"));
                }
                let name = transcript.transcript.parse().map_err(|_| wrong("the name is malformed"))?;
                if !files.insert(name) {
                    return Err(wrong("a transcript occurs twice in its session"));
                }
                if transcript.next_offset > MAX_LINES.unsigned_abs() {
                    return Err(wrong(&format!("a transcript may have at most {MAX_LINES} lines")));
                }
                (counts.transcripts, open) = (counts.transcripts + 1, Some((transcript.next_offset, 0)));
            }
            ExportRecord::Line(line) => {
                let (end, next) = open.ok_or_else(|| wrong("a line has no transcript"))?;
                if line.line < next || line.line >= end {
                    return Err(wrong("a line is out of order, or beyond the end of its transcript"));
                }
                let message = line.message.get();
                if !message.starts_with(['{', '"']) || message.contains('\n') {
                    return Err(wrong("a line is neither a JSON object nor a JSON string"));
                }
                if message.len() > line_bytes {
                    return Err(wrong(&format!(
                        "the line has {} bytes and may have at most {line_bytes}: raise HAN_MAX_LINE_BYTES",
                        message.len()
                    )));
                }
                (counts.lines, open) = (counts.lines + 1, Some((end, line.line + 1)));
            }
            ExportRecord::End(end) => {
                (counts.bytes, counts.sha256) = (before, digest);
                if end != counts {
                    return Err(wrong(
                        "the counts or the hash of the end do not fit the records: the file was changed",
                    ));
                }
                checked.lines = counts.lines;
                return match records.next()? {
                    None => Ok(checked),
                    Some(more) => Err(malformed(more.number, "there is something after the end")),
                };
            }
        }
    }
    Err(CommandError::Refused(format!(
        "{} has no end: the export was interrupted; export again",
        file.display()
    )))
}

fn malformed(number: u64, why: &str) -> CommandError {
    CommandError::Refused(format!("record {number} of the file: {why}"))
}

fn created_at(session: &ExportSession) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&session.created_at)
}

/// Who owns the sessions of each exported user in this team.
async fn owners(
    exported: &[ExportUser],
    team: &Team,
    create: bool,
    db: &Db,
    world: &mut World<'_>,
) -> Result<BTreeMap<String, UserId>, CommandError> {
    let mut named = Vec::new();
    for user in exported {
        check_name("the name of a user", &user.name)?;
        let id: UserId = user.id.parse().map_err(|_| malformed(1, "the id of a user is malformed"))?;
        named.push((id, user));
    }
    let refused = |why: String| Err(CommandError::Refused(why));
    match imports::owners(db, &team.id, &named, create).await? {
        Owners::Found { users, added } => {
            for name in added {
                writeln!(world.err, "han-server: added {name} to the team {}", team.slug)?;
            }
            Ok(exported.iter().map(|user| user.id.clone()).zip(users).collect())
        }
        Owners::Missing(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            refused(format!(
                "the team {} has no member for these owners of sessions: {}; invite them, or add --create-members",
                team.slug,
                names.join(", ")
            ))
        }
        Owners::Ambiguous(name) => refused(format!(
            "several members of the team {}, or several users of the file, have the name {name:?}: change it, or end the \
             membership of all but one meanwhile",
            team.slug
        )),
        Owners::TooManyAccounts => refused(format!(
            "the team {} would have more than {MAX_ACCOUNTS} service accounts: remove some, or rename those that are the \
             same as in the file",
            team.slug
        )),
    }
}

/// Stores the lines of a file.
struct Import<'a> {
    db: &'a Db,
    /// By the ids of the owners in the file.
    scopes: BTreeMap<String, Scope>,
    preparer: Preparer,
    most_lines: usize,
    stored: u64,
    duplicates: u64,
}

/// The transcript that is being stored.
struct Open {
    transcript: TranscriptName,
    end: u64,
    /// The first line of the next batch, and its lines with their numbers.
    from: u64,
    lines: Vec<(u64, String)>,
    bytes: usize,
}

impl Import<'_> {
    async fn store(mut self, file: &Path) -> Result<Self, CommandError> {
        let mut records = Records::open(file)?;
        let mut session: Option<ExportSession> = None;
        let mut open: Option<Open> = None;
        while let Some(Record { number, value, .. }) = records.next()? {
            match value {
                ExportRecord::Export(_) => {}
                ExportRecord::Session(next) => {
                    self.finish(&session, open.take()).await?;
                    session = Some(next);
                }
                ExportRecord::Transcript(ExportTranscript { transcript, next_offset }) => {
                    self.finish(&session, open.take()).await?;
                    let transcript =
                        transcript.parse().map_err(|_| malformed(number, "the name is malformed"))?;
                    open = Some(Open { transcript, end: next_offset, from: 0, lines: Vec::new(), bytes: 0 });
                }
                ExportRecord::Line(line) => {
                    let open = open.as_mut().ok_or_else(|| malformed(number, "a line has no transcript"))?;
                    let text = line.message.get().to_owned();
                    let is_full =
                        open.lines.len() >= self.most_lines || open.bytes + text.len() > BATCH_BYTES;
                    if is_full && let Some(last) = open.lines.last().map(|(line, _)| line + 1) {
                        self.batch(&session, open, last).await?;
                    }
                    open.bytes += text.len();
                    open.lines.push((line.line, text));
                }
                ExportRecord::End(_) => self.finish(&session, open.take()).await?,
            }
        }
        Ok(self)
    }

    /// Stores what is left of a transcript.
    async fn finish(
        &mut self,
        session: &Option<ExportSession>,
        open: Option<Open>,
    ) -> Result<(), CommandError> {
        match open {
            Some(mut open) => {
                let end = open.end;
                self.batch(session, &mut open, end).await
            }
            None => Ok(()),
        }
    }

    /// Stores the lines that were read of a transcript, as a batch that ends before the line `end`.
    async fn batch(
        &mut self,
        session: &Option<ExportSession>,
        open: &mut Open,
        end: u64,
    ) -> Result<(), CommandError> {
        let changed =
            || CommandError::Refused("the file has changed while it was read: import again".to_owned());
        let session = session.as_ref().ok_or_else(changed)?;
        let scope = self.scopes.get(&session.user_id).ok_or_else(changed)?;
        let lines = open.lines.iter().map(|(line, text)| ReceivedLine { index: line - open.from, text });
        let received = ReceivedBatch {
            session_id: session.session_id.parse().map_err(|_| changed())?,
            transcript: open.transcript.clone(),
            offset: Some(open.from),
            consumed: end - open.from,
            metadata: session.metadata.clone(),
            lines: lines.collect(),
        };
        // No session has begun in the future.
        let at = created_at(session).ok_or_else(changed)?.min(self.db.clock().now());
        let batch = self.preparer.prepare(received)?.arrived_at(at);
        match ingest::store(scope, self.db, batch).await? {
            Outcome::Stored { stored, duplicates, .. } => {
                self.stored += stored;
                self.duplicates += duplicates;
            }
            Outcome::Refused(error) => {
                return Err(CommandError::Refused(format!(
                    "the session {} cannot be stored: {}",
                    session.session_id, error.message
                )));
            }
        }
        (open.from, open.bytes) = (end, 0);
        open.lines.clear();
        Ok(())
    }
}

/// The records of a file.
struct Records {
    file: BufReader<File>,
    what: String,
    text: Vec<u8>,
    number: u64,
    hash: Sha256,
    bytes: u64,
}

/// A record of a file.
struct Record<'a> {
    /// Its number, from 1.
    number: u64,
    /// The bytes before it.
    before: u64,
    /// Their SHA-256 in hexadecimal, if it is the end.
    digest: String,
    value: ExportRecord<'a>,
}

impl Records {
    fn open(path: &Path) -> Result<Self, CommandError> {
        let what = path.display().to_string();
        let file = File::open(path).map_err(|error| unreadable(&what, &error))?;
        let (text, hash) = (Vec::new(), Sha256::new());
        Ok(Self { file: BufReader::new(file), what, text, number: 0, hash, bytes: 0 })
    }

    fn next(&mut self) -> Result<Option<Record<'_>>, CommandError> {
        self.text.clear();
        self.file.read_until(b'\n', &mut self.text).map_err(|error| unreadable(&self.what, &error))?;
        if self.text.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let (number, before) = (self.number, self.bytes);
        let value = serde_json::from_slice(&self.text)
            .map_err(|error| malformed(number, &format!("it is none of an export: {error}")))?;
        let digest = match value {
            ExportRecord::End(_) => to_hex(&self.hash.clone().finalize()),
            _ => String::new(),
        };
        self.hash.update(&self.text);
        self.bytes += self.text.len() as u64;
        Ok(Some(Record { number, before, digest, value }))
    }
}

fn unreadable(what: &str, error: &io::Error) -> CommandError {
    CommandError::Refused(format!("{what} cannot be read: {error}"))
}
