//! The course of a push: ask how far the server is, send what it lacks, and go where its answers send us. One request
//! is under way at a time, and no more of the files is in memory than that request and one line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use han_types::sync::{BatchError, BatchErrorCode, PushResponse, PushResult, RejectedLine, TranscriptStatus};

use crate::batch::{Batch, Limits, RequestBuilder};
use crate::client::{Client, MAX_ATTEMPTS, Pushed};
use crate::discover::discover;
use crate::error::Error;
use crate::metadata;
use crate::report::{FailedTranscript, OmittedLine, PushReport, RejectedLineReport};
use crate::upload::{Filled, Session, Upload};

/// A server that sends us back more often than this within one transcript contradicts itself.
const MAX_GAPS: u32 = 8;

/// How much goes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushOptions {
    /// The size of requests and batches.
    pub limits: Limits,
    /// A line of more bytes is not sent; a placeholder with its length and hash is.
    pub max_line_bytes: u64,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { limits: Limits { body_bytes: 4 << 20, batch_lines: 500 }, max_line_bytes: 16 << 20 }
    }
}

/// Pushes every transcript under `path`, and reports what came of it. Never fails as a whole: what ended it early is
/// the report's `stopped`.
pub async fn push(path: &Path, client: &Client, options: &PushOptions) -> PushReport {
    let limits = Limits { batch_lines: options.limits.batch_lines.max(1), ..options.limits };
    let mut push = Push {
        client,
        limits,
        max_line_bytes: options.max_line_bytes,
        sessions: Vec::new(),
        uploads: Vec::new(),
        report: PushReport::default(),
    };
    push.report.stopped = push.run(path).await.err();
    push.into_report()
}

struct Push<'a> {
    client: &'a Client,
    limits: Limits,
    max_line_bytes: u64,
    sessions: Vec<Session>,
    /// Those of one session stand together, its main transcript first: it tells the session's metadata.
    uploads: Vec<Upload>,
    report: PushReport,
}

impl Push<'_> {
    async fn run(&mut self, path: &Path) -> Result<(), Error> {
        if self.client.is_exposed() {
            let warning =
                "the server's address is plain http: the API key and every line can be read on the way";
            self.report.warnings.push(warning.to_owned());
        }
        self.find(path)?;
        if self.uploads.is_empty() {
            return Ok(());
        }
        self.resume_from(self.client.status().await?.transcripts);
        loop {
            let (body, batches) = self.next_request().finish();
            if batches.is_empty() {
                return Ok(());
            }
            tracing::info!("pushing {} batches in {} bytes", batches.len(), body.len());
            match self.client.push(&body).await? {
                Pushed::Answered(answer) => self.take_answer(&batches, answer).await?,
                Pushed::TooLarge(detail) => self.make_smaller(&batches, body.len(), detail)?,
            }
        }
    }

    fn find(&mut self, path: &Path) -> Result<(), Error> {
        let found = discover(path)?;
        self.report.ignored_files = found.ignored;
        self.report.warnings.extend(found.warnings);
        for session in found.sessions {
            let place = self.sessions.len();
            for (index, file) in session.files.into_iter().enumerate() {
                self.uploads.push(Upload::new(file.path, file.transcript.into(), place, index == 0));
            }
            self.sessions.push(Session { id: session.id.into(), metadata: metadata::unknown() });
        }
        Ok(())
    }

    fn resume_from(&mut self, transcripts: Vec<TranscriptStatus>) {
        let mut known: BTreeMap<(String, String), TranscriptStatus> = transcripts
            .into_iter()
            .map(|status| ((status.session_id.clone(), status.transcript.clone()), status))
            .collect();
        for upload in &mut self.uploads {
            let key = (self.sessions[upload.session].id.clone(), upload.transcript.clone());
            if let Some(status) = known.remove(&key) {
                upload.resume_from(status);
            }
        }
    }

    /// Fills a request with what comes next, of as many transcripts as it holds.
    fn next_request(&mut self) -> RequestBuilder<usize> {
        let mut request = RequestBuilder::new(self.limits, self.client.team());
        for owner in 0..self.uploads.len() {
            let upload = &mut self.uploads[owner];
            let session = &mut self.sessions[upload.session];
            match upload.fill(owner, session, self.max_line_bytes, &mut request) {
                Ok(Filled::Partly) => {}
                Ok(Filled::Full) => break,
                // What was read before the error is in the request and goes with it.
                Err(error) => self.fail_transcript(owner, "io", error.to_string()),
            }
        }
        request
    }

    async fn take_answer(&mut self, batches: &[Batch<usize>], answer: PushResponse) -> Result<(), Error> {
        if answer.sessions.len() != batches.len() {
            let detail =
                format!("{} batches were sent and {} answered", batches.len(), answer.sessions.len());
            return Err(Error::Protocol { detail });
        }
        self.report.requests += 1;
        // Behind a batch that was not stored, the rest of its transcript is sent again anyway.
        let mut turned_back = BTreeSet::new();
        let mut failures = 0;
        for (batch, mut result) in batches.iter().zip(answer.sessions) {
            let upload = &self.uploads[batch.owner];
            if result.session_id != self.sessions[upload.session].id || result.transcript != upload.transcript
            {
                let detail = format!("the results are out of order at session {:?}", result.session_id);
                return Err(Error::Protocol { detail });
            }
            match result.error.take() {
                None => self.take_result(batch, result)?,
                Some(error) if turned_back.insert(batch.owner) => {
                    self.take_error(batch, error);
                    failures = failures.max(self.uploads[batch.owner].unavailable);
                }
                Some(_) => {}
            }
        }
        if failures > 0 {
            self.client.pause("the server could not store a batch", failures).await;
        }
        Ok(())
    }

    fn take_result(&mut self, batch: &Batch<usize>, result: PushResult) -> Result<(), Error> {
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

    /// Nothing of this batch was stored.
    fn take_error(&mut self, batch: &Batch<usize>, error: BatchError) {
        let upload = &mut self.uploads[batch.owner];
        match (error.code, error.offset) {
            (BatchErrorCode::Gap, Some(offset)) if offset < batch.first && upload.gaps < MAX_GAPS => {
                upload.gaps += 1;
                upload.go_back_to(offset);
            }
            (BatchErrorCode::TooManyLines, _) if batch.lines > 1 => {
                let half = usize::try_from(batch.lines / 2).unwrap_or(1);
                self.limits.batch_lines = self.limits.batch_lines.min(half);
                upload.go_back_to(batch.first);
            }
            (BatchErrorCode::Unavailable, _) if upload.unavailable + 1 < MAX_ATTEMPTS => {
                upload.unavailable += 1;
                upload.go_back_to(batch.first);
            }
            (code @ (BatchErrorCode::SessionOwned | BatchErrorCode::Gone | BatchErrorCode::PlanLimit), _) => {
                self.fail_session(batch.owner, &code_of(code), error.message);
            }
            (code, _) => self.fail_transcript(batch.owner, &code_of(code), error.message),
        }
    }

    /// 413: the same lines in smaller requests; a line that is too large even alone, as its placeholder.
    fn make_smaller(&mut self, batches: &[Batch<usize>], body: usize, detail: String) -> Result<(), Error> {
        if let [Batch { owner, first, lines: 1 }] = *batches {
            if self.uploads[owner].omit(first) {
                return Ok(());
            }
            return Err(Error::Refused { status: 413, detail });
        }
        self.limits.body_bytes = body / 2;
        // Backwards, so that each transcript ends up at its first batch.
        for batch in batches.iter().rev() {
            self.uploads[batch.owner].go_back_to(batch.first);
        }
        Ok(())
    }

    fn fail_transcript(&mut self, owner: usize, code: &str, message: String) {
        let upload = &mut self.uploads[owner];
        if !upload.failed {
            upload.give_up();
            self.report.failed.push(FailedTranscript {
                session_id: self.sessions[upload.session].id.clone(),
                transcript: Some(upload.transcript.clone()),
                path: upload.path.clone(),
                code: code.to_owned(),
                message,
            });
        }
    }

    /// What is said of the session would be said of each of its transcripts.
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
            self.uploads.iter_mut().filter(|upload| upload.session == session).for_each(Upload::give_up);
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
            report.omitted.extend(omitted.into_iter().map(|(line, bytes)| OmittedLine {
                path: path.clone(),
                line,
                bytes,
            }));
        }
        report
    }
}

/// The protocol's own word for it.
fn code_of(code: BatchErrorCode) -> String {
    serde_json::to_value(code).ok().and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default()
}
