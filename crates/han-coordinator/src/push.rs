//! The push loop: gets the server's status, sends the missing lines, and rewinds or fails transcripts as the responses
//! require. Sends one request at a time; keeps in memory that request and one line per open transcript.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use han_types::sync::{
    BatchError, BatchErrorCode, EXPIRY_WARNING_DAYS, PushResponse, PushResult, RejectedLine, SyncKey,
    SyncLimits, SyncTeam, TranscriptStatus,
};
use han_types::{TranscriptName, is_visible};

use crate::batch::{Batch, BatchLimits, RequestBuilder};
use crate::client::{Client, MAX_ATTEMPTS, PushOutcome};
use crate::discover::discover;
use crate::error::Error;
use crate::memory::PushMemory;
use crate::metadata;
use crate::report::{FailedTranscript, OmittedLine, PushReport, RejectedLineReport};
use crate::upload::{FillState, Omission, Session, Upload};

/// The maximum number of gaps per transcript. A server that reports more contradicts itself.
const MAX_GAPS: u32 = 8;

/// After so many sessions that the team's plan did not allow, other new sessions are not sent: the server would refuse them
/// too.
const MAX_OVER_PLAN: usize = 3;

/// Size limits of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushOptions {
    /// The size of requests and batches.
    pub limits: BatchLimits,
    /// The maximum length of a line, in bytes. Instead of a longer line, a placeholder with its length and hash is
    /// sent.
    pub max_line_bytes: u64,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { limits: BatchLimits { body_bytes: 4 << 20, batch_lines: 500 }, max_line_bytes: 16 << 20 }
    }
}

/// Pushes every transcript under `path` and returns a report. An error that ends the push early is in the report's
/// `stopped`.
pub async fn push(path: &Path, client: &Client, options: &PushOptions) -> PushReport {
    push_remembering(path, client, options, &mut PushMemory::default()).await
}

/// As [`push`], but compares each file with what was pushed of it by `memory`, and adds to it: sends a file from the
/// beginning if an earlier line has changed, and does not read files and send copies that have not changed.
pub async fn push_remembering(
    path: &Path,
    client: &Client,
    options: &PushOptions,
    memory: &mut PushMemory,
) -> PushReport {
    let limits = BatchLimits { batch_lines: options.limits.batch_lines.max(1), ..options.limits };
    let mut push = Push {
        client: client.clone(),
        server_limits: None,
        limits,
        max_line_bytes: options.max_line_bytes,
        sessions: Vec::new(),
        uploads: Vec::new(),
        known: BTreeSet::new(),
        over_plan: Vec::new(),
        report: PushReport::default(),
    };
    push.report.stopped = push.run(path, memory).await.err();
    if let Err(error) = memory.save() {
        tracing::warn!("what was pushed cannot be remembered, and is read again: {error}");
    }
    push.into_report()
}

struct Push {
    client: Client,
    /// The server's limits, if it states them.
    server_limits: Option<SyncLimits>,
    limits: BatchLimits,
    max_line_bytes: u64,
    sessions: Vec<Session>,
    /// Grouped by session, the main transcript first, because it determines the session's metadata.
    uploads: Vec<Upload>,
    /// The sessions that the server had before this push.
    known: BTreeSet<String>,
    /// Why the server refused sessions that the team's plan does not allow.
    over_plan: Vec<String>,
    report: PushReport,
}

impl Push {
    async fn run(&mut self, path: &Path, memory: &mut PushMemory) -> Result<(), Error> {
        if self.client.is_exposed() {
            let warning = "the server's address is plain http: others on the network can read the API key and every line";
            self.report.warnings.push(warning.to_owned());
        }
        let transcripts = self.discover(path)?;
        if transcripts.is_empty() {
            self.report.warnings.push(format!(
                "there is no transcript in {}; give the folder of all projects (~/.claude/projects), one project's folder, or \
                 one session's file",
                path.display()
            ));
            return Ok(());
        }
        let mut status = self.client.enter_team().await?;
        self.report.warnings.extend(status.key.as_ref().and_then(expiry_warning));
        self.report.team = Some(status.team.take().unwrap_or_else(|| SyncTeam {
            id: status.team_id.clone(),
            slug: status.team_id.clone(),
            name: status.team_id.clone(),
        }));
        self.server_limits = status.limits;
        self.known = status.transcripts.iter().map(|known| known.session_id.clone()).collect();
        // First, copies with lines of their own: the server then continues at the end of the larger file.
        let copies = self.uploads.len();
        let mut new = Vec::new();
        for index in 0..copies {
            match PushMemory::copy(self.key(index, &status.team_id), &self.uploads[index].path) {
                Ok(copy) if memory.knows(&copy) => self.uploads[index].skip(),
                Ok(copy) => new.push((index, Some(copy))),
                // Sending it fails, too, and is reported.
                Err(_) => new.push((index, None)),
            }
        }
        if !new.is_empty() {
            self.send().await?;
            for (index, copy) in new {
                copy.filter(|_| !self.uploads[index].failed)
                    .into_iter()
                    .for_each(|copy| memory.remember_copy(copy));
            }
            status = self.client.status().await?;
        }
        self.uploads.extend(transcripts);
        self.resume_from(copies, status.transcripts);
        let keys: Vec<_> =
            (copies..self.uploads.len()).map(|index| self.key(index, &status.team_id)).collect();
        for (upload, key) in self.uploads[copies..].iter_mut().zip(&keys) {
            upload.recall(memory.file(key).cloned());
        }
        let sent = self.send().await;
        for (upload, key) in self.uploads[copies..].iter().zip(keys) {
            if let Some(pushed) = upload.pushed() {
                memory.remember_file(key, pushed);
            }
        }
        sent
    }

    /// The key of an upload's file in the memory.
    fn key(&self, index: usize, team: &str) -> String {
        let upload = &self.uploads[index];
        let session = &self.sessions[upload.session].id;
        PushMemory::key([self.client.server(), team, session, &upload.transcript], &upload.path)
    }

    /// Sends the missing lines of all uploads.
    async fn send(&mut self) -> Result<(), Error> {
        loop {
            let (body, batches) = self.next_request().finish();
            if batches.is_empty() {
                return Ok(());
            }
            tracing::info!("pushing {} batches in {} bytes", batches.len(), body.len());
            match self.client.push(&body).await? {
                PushOutcome::Answered(response) => self.handle_response(&batches, response).await?,
                PushOutcome::TooLarge { detail, by_server } => {
                    self.shrink_requests(&batches, body.len(), detail, by_server)?;
                }
            }
        }
    }

    /// Finds the transcripts, and adds an upload of each copy that has lines of its own.
    fn discover(&mut self, path: &Path) -> Result<Vec<Upload>, Error> {
        let found = discover(path)?;
        let mut transcripts = Vec::new();
        self.report.ignored_files = found.skipped.len() as u64;
        self.report.skipped = found.skipped;
        self.report.warnings.extend(found.warnings);
        for session in found.sessions {
            let index_of_session = self.sessions.len();
            let main = session.files.iter().find(|file| file.transcript.as_str() == TranscriptName::MAIN);
            let metadata = metadata::initial(main.map(|file| file.path.as_path()));
            for (index, file) in session.files.into_iter().enumerate() {
                let transcript = String::from(file.transcript);
                let upload = |path| Upload::new(path, transcript.clone(), index_of_session, index == 0);
                self.uploads.extend(file.copies.into_iter().map(upload));
                transcripts.push(upload(file.path));
            }
            self.sessions.push(Session { id: session.id.into(), metadata });
        }
        Ok(transcripts)
    }

    /// Sets the server's status of the uploads from number `first`.
    fn resume_from(&mut self, first: usize, transcripts: Vec<TranscriptStatus>) {
        let mut known: BTreeMap<(String, String), TranscriptStatus> = transcripts
            .into_iter()
            .map(|status| ((status.session_id.clone(), status.transcript.clone()), status))
            .collect();
        for upload in self.uploads.iter_mut().skip(first) {
            let key = (self.sessions[upload.session].id.clone(), upload.transcript.clone());
            if let Some(status) = known.remove(&key) {
                upload.resume_from(status);
            }
        }
    }

    /// Fills a request with the next lines, of as many transcripts as fit.
    fn next_request(&mut self) -> RequestBuilder<usize> {
        let mut request = RequestBuilder::new(self.limits, self.client.team());
        for owner in 0..self.uploads.len() {
            let upload = &mut self.uploads[owner];
            let session = &mut self.sessions[upload.session];
            match upload.fill(owner, session, self.max_line_bytes, self.server_limits.as_ref(), &mut request)
            {
                Ok(FillState::HasRoom) => {}
                Ok(FillState::Full) => break,
                // The lines that were read before the error are in the request and are sent.
                Err(error) => self.fail_transcript(owner, "io", error.to_string()),
            }
        }
        request
    }

    async fn handle_response(
        &mut self,
        batches: &[Batch<usize>],
        response: PushResponse,
    ) -> Result<(), Error> {
        if response.sessions.len() != batches.len() {
            let detail =
                format!("{} batches were sent, {} results received", batches.len(), response.sessions.len());
            return Err(Error::Protocol { detail });
        }
        self.report.requests += 1;
        // After a batch that was not stored, the rest of its transcript is sent again; ignore its other errors.
        let mut failed_uploads = BTreeSet::new();
        let mut failures = 0;
        for (batch, mut result) in batches.iter().zip(response.sessions) {
            let upload = &self.uploads[batch.owner];
            if result.session_id != self.sessions[upload.session].id || result.transcript != upload.transcript
            {
                let detail = format!("the results are out of order at session {:?}", result.session_id);
                return Err(Error::Protocol { detail });
            }
            match result.error.take() {
                None => self.handle_result(batch, result)?,
                Some(error) if failed_uploads.insert(batch.owner) => {
                    self.handle_error(batch, error);
                    failures = failures.max(self.uploads[batch.owner].unavailable);
                }
                Some(_) => {}
            }
        }
        self.hold_back_new_sessions();
        for owner in batches.iter().map(|batch| batch.owner) {
            self.uploads[owner].confirm();
        }
        if failures > 0 {
            self.client.pause("the server could not store a batch", failures).await;
        }
        Ok(())
    }

    fn handle_result(&mut self, batch: &Batch<usize>, result: PushResult) -> Result<(), Error> {
        if result.next_offset != batch.end() {
            let PushResult { session_id, transcript, next_offset, .. } = result;
            let (first, end) = (batch.first, batch.end());
            let detail = format!("lines {first} to {end} of {session_id}/{transcript} end at {next_offset}");
            return Err(Error::Protocol { detail });
        }
        let upload = &mut self.uploads[batch.owner];
        upload.sent = true;
        upload.unavailable = 0;
        upload.rejected.extend(result.rejected.into_iter().map(|line| (line.line, line)));
        self.report.lines_sent += batch.lines;
        self.report.stored += result.stored;
        self.report.duplicates += result.duplicates;
        Ok(())
    }

    /// Handles a batch that was not stored.
    fn handle_error(&mut self, batch: &Batch<usize>, error: BatchError) {
        let upload = &mut self.uploads[batch.owner];
        match (error.code, error.offset) {
            (BatchErrorCode::Gap, Some(offset)) if offset < batch.first && upload.gaps < MAX_GAPS => {
                upload.gaps += 1;
                upload.rewind_to(offset);
            }
            (BatchErrorCode::TooManyLines, _) if batch.lines > 1 => {
                let half = usize::try_from(batch.lines / 2).unwrap_or(1);
                self.limits.batch_lines = self.limits.batch_lines.min(half);
                upload.rewind_to(batch.first);
            }
            (BatchErrorCode::Unavailable, _) if upload.unavailable + 1 < MAX_ATTEMPTS => {
                upload.unavailable += 1;
                upload.rewind_to(batch.first);
            }
            (code @ (BatchErrorCode::SessionOwned | BatchErrorCode::Gone | BatchErrorCode::PlanLimit), _) => {
                if code == BatchErrorCode::PlanLimit && !upload.failed {
                    self.over_plan.push(error.message.clone());
                }
                self.fail_session(batch.owner, &code_of(code), error.message);
            }
            (code, _) => self.fail_transcript(batch.owner, &code_of(code), error.message),
        }
    }

    /// Handles 413: sends the same lines in smaller requests, and a single line that is too large for the server as a
    /// placeholder. A line that is too large for a proxy before the server is not omitted: its transcript fails there.
    fn shrink_requests(
        &mut self,
        batches: &[Batch<usize>],
        body: usize,
        detail: String,
        by_server: bool,
    ) -> Result<(), Error> {
        if let [Batch { owner, first, lines: 1 }] = *batches {
            if !by_server {
                let message = format!(
                    "line {}: a request of {body} bytes was refused (413), but not by the Han server: {detail}; raise the \
                     limit for bodies of the proxy before the server, then push again",
                    first + 1
                );
                self.fail_transcript(owner, "refused_by_proxy", message);
                return Ok(());
            }
            if self.uploads[owner].omit(first, body as u64) {
                return Ok(());
            }
            return Err(Error::Refused { status: 413, detail });
        }
        self.limits.body_bytes = body / 2;
        // In reverse order, so that each transcript is rewound to its first batch.
        for batch in batches.iter().rev() {
            self.uploads[batch.owner].rewind_to(batch.first);
        }
        Ok(())
    }

    fn fail_transcript(&mut self, owner: usize, code: &str, message: String) {
        let upload = &mut self.uploads[owner];
        if !upload.failed {
            upload.abandon();
            self.report.failed.push(FailedTranscript {
                session_id: self.sessions[upload.session].id.clone(),
                transcript: Some(upload.transcript.clone()),
                path: upload.path.clone(),
                code: code.to_owned(),
                message,
            });
        }
    }

    /// Fails every transcript of the session, because the error applies to each of them.
    fn fail_session(&mut self, owner: usize, code: &str, message: String) {
        let Upload { session, failed, ref path, .. } = self.uploads[owner];
        if !failed {
            self.report.failed.push(FailedTranscript {
                session_id: self.sessions[session].id.clone(),
                transcript: None,
                path: path.clone(),
                code: code.to_owned(),
                message,
            });
            self.uploads.iter_mut().filter(|upload| upload.session == session).for_each(Upload::abandon);
        }
    }

    /// Fails the sessions that the server does not have, once it has refused enough of them. Nothing is lost: the next push
    /// tries them again.
    fn hold_back_new_sessions(&mut self) {
        let Some(message) = self.over_plan.get(MAX_OVER_PLAN - 1).cloned() else { return };
        let mut new: BTreeMap<usize, usize> = BTreeMap::new();
        let mut has_lines = BTreeSet::new();
        for (owner, upload) in self.uploads.iter().enumerate() {
            new.entry(upload.session).or_insert(owner);
            if upload.sent {
                has_lines.insert(upload.session);
            }
        }
        new.retain(|session, _| {
            !has_lines.contains(session) && !self.known.contains(&self.sessions[*session].id)
        });
        for owner in new.into_values() {
            self.fail_session(owner, &code_of(BatchErrorCode::PlanLimit), message.clone());
        }
    }

    fn into_report(self) -> PushReport {
        let mut report = self.report;
        report.sessions = self.sessions.len() as u64;
        report.transcripts = self.uploads.len() as u64;
        let ended = report.stopped.is_none();
        for Upload { path, sent, failed, half_written, restarted, not_utf8, rejected, omitted, .. } in
            self.uploads
        {
            report.up_to_date += u64::from(ended && !sent && !failed);
            report.half_written += u64::from(half_written);
            report.restarted += u64::from(restarted);
            report.not_utf8 += not_utf8.len() as u64;
            report.rejected.extend(rejected.into_values().map(|RejectedLine { line, code, message }| {
                RejectedLineReport { path: path.clone(), line, code, message }
            }));
            report.omitted.extend(omitted.into_iter().map(|(line, Omission { bytes, by_server })| {
                OmittedLine { path: path.clone(), line, bytes, by_server }
            }));
        }
        report
    }
}

/// The warning about a key that expires soon.
fn expiry_warning(key: &SyncKey) -> Option<String> {
    let days = key.expires_in_days;
    if days > EXPIRY_WARNING_DAYS {
        return None;
    }
    // For the terminal: no control sequences.
    let shown = |text: &str| text.chars().filter(|c| is_visible(*c)).take(100).collect::<String>();
    let (name, end) = (shown(&key.name), shown(&key.expires_at));
    let unit = if days == 1 { "day" } else { "days" };
    Some(format!(
        "key {name:?} expires in {days} {unit}: create another one before {end}, and use it in place of this one"
    ))
}

/// The error code as the protocol spells it.
fn code_of(code: BatchErrorCode) -> String {
    serde_json::to_value(code).ok().and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default()
}
