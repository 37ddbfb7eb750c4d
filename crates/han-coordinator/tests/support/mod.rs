//! A fake sync server over real HTTP that keeps its state in memory and injects faults. Also a directory for
//! transcripts, and a sleeper that does not sleep.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part of these helpers, and a broken helper should fail the test"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use axum::routing::{get, post};
use han_coordinator::{Client, ClientConfig, PushOptions, PushReport, Sleeper, push};
use han_types::sync::{
    BatchError, BatchErrorCode, LineErrorCode, PushBatch, PushRequest, PushResponse, PushResult,
    RejectedLine, SessionMetadata, SyncKey, SyncLimits, SyncStatus, SyncTeam, TranscriptStatus,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The key that may push.
pub const KEY: &str = "han_key_GoodGoodGoodGoodGoodGoodGood00abc123";
/// A valid key without the permission to push.
pub const READ_ONLY_KEY: &str = "han_key_ReadReadReadReadReadReadRead00abc123";
/// Its team.
pub const TEAM: &str = "team-1";

/// A fault in one response of the server.
#[derive(Debug)]
pub enum Fault {
    /// Responds with this status and this `Retry-After`.
    Status(u16, Option<&'static str>),
    /// Responds with 200 and this body.
    RespondWith(String),
    /// Breaks the connection, before or after storing the request.
    Cut { stored: bool },
    /// Deletes this transcript's lines from this line on, then responds normally.
    Forget(&'static str, &'static str, u64),
    /// Cannot store any batch of this request.
    Unavailable,
    /// No fault.
    None,
    /// Redirects.
    Redirect(&'static str),
}

/// One transcript on the server.
#[derive(Default)]
pub struct Stored {
    /// Each line's text, by number.
    pub lines: BTreeMap<u64, String>,
    seen: BTreeSet<String>,
    offset: u64,
    last_line_hash: Option<String>,
}

/// A batch as the server received it.
#[derive(Clone, Debug)]
pub struct RecordedBatch {
    pub session: String,
    pub transcript: String,
    pub offset: u64,
    pub wire: Vec<String>,
    pub metadata: SessionMetadata,
}

pub struct Model {
    pub transcripts: BTreeMap<(String, String), Stored>,
    pub faults: VecDeque<Fault>,
    pub body_limit: usize,
    /// The limit of a proxy before the server.
    pub proxy_limit: usize,
    /// The limit in the status.
    pub stated_limit: Option<u64>,
    /// The API key in the status.
    pub key: Option<SyncKey>,
    /// The teams of the credential.
    pub teams: Vec<SyncTeam>,
    /// The team of each request.
    pub pushed_to: Vec<String>,
    pub line_limit: usize,
    pub batch_lines: usize,
    pub refused: HashMap<String, BatchErrorCode>,
    pub unavailable: HashMap<String, u32>,
    /// The batches of each request that was parsed.
    pub requests: Vec<Vec<RecordedBatch>>,
    pub status_hashes: bool,
    /// How often a batch started after the next expected line.
    pub gaps: u32,
}

pub struct Server {
    pub url: String,
    model: Arc<Mutex<Model>>,
}

pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

impl Server {
    pub async fn start() -> Self {
        let model = Arc::new(Mutex::new(Model {
            transcripts: BTreeMap::new(),
            faults: VecDeque::new(),
            body_limit: usize::MAX,
            proxy_limit: usize::MAX,
            stated_limit: None,
            key: None,
            teams: vec![team(TEAM, "shop")],
            pushed_to: Vec::new(),
            line_limit: usize::MAX,
            batch_lines: usize::MAX,
            refused: HashMap::new(),
            unavailable: HashMap::new(),
            requests: Vec::new(),
            status_hashes: true,
            gaps: 0,
        }));
        let app = Router::new()
            .route("/base/api/sync/sessions", post(receive))
            .route("/base/api/sync/status", get(status))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&model));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, model }
    }

    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    pub fn inject(&self, fault: Fault) {
        self.model().faults.push_back(fault);
    }

    /// A transcript's lines in order; panics if there is a gap.
    pub fn lines(&self, session: &str, transcript: &str) -> Vec<String> {
        let model = self.model();
        let Some(stored) = model.transcripts.get(&(session.to_owned(), transcript.to_owned())) else {
            return Vec::new();
        };
        assert!(
            stored.lines.keys().copied().eq(0..stored.lines.len() as u64),
            "a gap in {session}/{transcript}"
        );
        stored.lines.values().cloned().collect()
    }

    pub fn client(&self, sleeper: &RecordingSleeper) -> Client {
        self.client_with(KEY, sleeper)
    }

    pub fn client_with(&self, key: &str, sleeper: &RecordingSleeper) -> Client {
        client(&self.url, key, sleeper)
    }

    /// Pushes with the default options, without sleeping.
    pub async fn push(&self, path: &Path) -> PushReport {
        push(path, &self.client(&RecordingSleeper::default()), &PushOptions::default()).await
    }
}

pub fn client(url: &str, key: &str, sleeper: &RecordingSleeper) -> Client {
    let config = ClientConfig { url: url.to_owned(), api_key: key.into(), team: Some(TEAM.to_owned()) };
    Client::new(config).unwrap().with_sleeper(Arc::new(sleeper.clone()))
}

/// Records pauses instead of sleeping.
#[derive(Clone, Default)]
pub struct RecordingSleeper(Arc<Mutex<Vec<u64>>>);

impl RecordingSleeper {
    /// The pauses in seconds.
    pub fn seconds(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

impl Sleeper for RecordingSleeper {
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.lock().unwrap().push(pause.as_secs());
        Box::pin(async {})
    }
}

fn problem(status: u16, detail: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/problem+json")
        .body(serde_json::json!({"title": "no", "detail": detail}).to_string().into())
        .unwrap()
}

/// A problem of the server itself.
fn own_problem(status: u16, kind: &str, detail: &str, limit: Option<usize>) -> Response<Body> {
    let kind = format!("urn:han:problem:{kind}");
    Response::builder()
        .status(status)
        .header("content-type", "application/problem+json")
        .body(
            serde_json::json!({"type": kind, "title": "no", "detail": detail, "limit": limit})
                .to_string()
                .into(),
        )
        .unwrap()
}

/// A team that the key may push to.
pub fn team(id: &str, slug: &str) -> SyncTeam {
    SyncTeam { id: id.to_owned(), slug: slug.to_owned(), name: slug.to_uppercase() }
}

fn refuse_credential(headers: &HeaderMap) -> Option<Response<Body>> {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given == format!("Bearer {KEY}") {
        None
    } else if given == format!("Bearer {READ_ONLY_KEY}") {
        Some(problem(403, "the key's scopes do not include sync:write"))
    } else {
        Some(problem(401, "the key is not known\u{1b}[31m"))
    }
}

async fn status(State(model): State<Arc<Mutex<Model>>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    if let Some(refusal) = refuse_credential(&headers) {
        return refusal;
    }
    let model = model.lock().unwrap();
    let wanted = uri.query().and_then(|query| query.strip_prefix("team_id="));
    let named = |team: &SyncTeam| wanted.is_none_or(|wanted| team.id == wanted || team.slug == wanted);
    let Some(team) = model.teams.iter().find(|team| named(team)).cloned() else {
        return own_problem(404, "not_found", "the team does not exist", None);
    };
    let transcripts = model
        .transcripts
        .iter()
        .map(|((session_id, transcript), stored)| TranscriptStatus {
            session_id: session_id.clone(),
            transcript: transcript.clone(),
            offset: stored.offset,
            last_line_hash: stored.last_line_hash.clone().filter(|_| model.status_hashes),
            omitted: stored
                .lines
                .iter()
                .filter(|(_, line)| line.contains("han_omitted_line"))
                .map(|(number, _)| *number)
                .collect(),
        })
        .collect();
    let status = SyncStatus {
        team_id: team.id.clone(),
        team: Some(team),
        teams: model.teams.clone(),
        limits: model.stated_limit.map(|bytes| SyncLimits {
            line_bytes: bytes,
            body_bytes: bytes,
            decompressed_bytes: bytes,
        }),
        key: model.key.clone(),
        transcripts,
    };
    Response::new(serde_json::to_string(&status).unwrap().into())
}

async fn receive(State(model): State<Arc<Mutex<Model>>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    if let Some(refusal) = refuse_credential(&headers) {
        return refusal;
    }
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["content-encoding"], "zstd");
    let mut model = model.lock().unwrap();
    let (mut cut, mut unavailable) = (false, false);
    match model.faults.pop_front() {
        None | Some(Fault::None) => {}
        Some(Fault::Unavailable) => unavailable = true,
        Some(Fault::Status(status, retry_after)) => {
            let mut answer = problem(status, "not now");
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
            }
            return answer;
        }
        Some(Fault::RespondWith(text)) => return Response::new(text.into()),
        Some(Fault::Cut { stored: false }) => return broken(),
        Some(Fault::Cut { stored: true }) => cut = true,
        Some(Fault::Forget(session, transcript, from)) => model.forget(session, transcript, from),
        Some(Fault::Redirect(to)) => {
            return Response::builder().status(307).header("location", to).body(Body::empty()).unwrap();
        }
    }
    let body = zstd::decode_all(body.as_ref()).unwrap();
    if body.len() > model.proxy_limit {
        return Response::builder().status(413).body("<h1>Request Entity Too Large</h1>".into()).unwrap();
    }
    if body.len() > model.body_limit {
        return own_problem(413, "too_large", "the body is over the limit", Some(model.body_limit));
    }
    let request: PushRequest<'_> = serde_json::from_slice(&body).unwrap();
    let team = request.team_id.as_deref().unwrap();
    assert!(model.teams.iter().any(|known| known.id == team), "{team}");
    model.pushed_to.push(team.to_owned());
    let seen = request.sessions.iter().map(RecordedBatch::of).collect();
    model.requests.push(seen);
    if unavailable {
        model.unavailable = request.sessions.iter().map(|batch| (batch.session_id.to_string(), 1)).collect();
    }
    let sessions = request.sessions.iter().map(|batch| model.take(batch)).collect();
    if cut {
        return broken();
    }
    Response::new(serde_json::to_string(&PushResponse { sessions }).unwrap().into())
}

/// A response that ends in the middle, as when a connection is lost.
fn broken() -> Response<Body> {
    let pieces = [Ok(Bytes::from_static(b"{\"sessions\":[")), Err(std::io::Error::other("cut"))];
    Response::builder()
        .status(StatusCode::OK)
        .header("content-length", "1000")
        .body(Body::from_stream(futures_util::stream::iter(pieces)))
        .unwrap()
}

impl RecordedBatch {
    fn of(batch: &PushBatch<'_>) -> Self {
        Self {
            session: batch.session_id.to_string(),
            transcript: batch.transcript.as_deref().unwrap().to_owned(),
            offset: batch.offset.unwrap(),
            wire: batch.messages.iter().map(|line| line.get().to_owned()).collect(),
            metadata: batch.metadata.clone(),
        }
    }
}

impl Model {
    fn forget(&mut self, session: &str, transcript: &str, from: u64) {
        let stored = self.transcripts.get_mut(&(session.to_owned(), transcript.to_owned())).unwrap();
        let lost = stored.lines.split_off(&from);
        stored.seen.retain(|line| !lost.values().any(|other| other == line));
        stored.offset = from;
        stored.last_line_hash = None;
    }

    fn take(&mut self, batch: &PushBatch<'_>) -> PushResult {
        let (session, transcript) =
            (batch.session_id.to_string(), batch.transcript.as_deref().unwrap().to_owned());
        let offset = batch.offset.unwrap();
        let end = offset + batch.messages.len() as u64;
        let mut result = PushResult {
            session_id: session.clone(),
            transcript: transcript.clone(),
            stored: 0,
            duplicates: 0,
            rejected: Vec::new(),
            next_offset: end,
            error: None,
        };
        let refuse = |code, to| Some(BatchError { code, message: "no".to_owned(), offset: to });
        if let Some(code) = self.refused.get(&session) {
            result.error = refuse(*code, None);
            return result;
        }
        if let Some(left) = self.unavailable.get_mut(&session).filter(|left| **left > 0) {
            *left -= 1;
            result.error = refuse(BatchErrorCode::Unavailable, None);
            return result;
        }
        if batch.messages.len() > self.batch_lines {
            result.error = refuse(BatchErrorCode::TooManyLines, None);
            return result;
        }
        let stored = self.transcripts.entry((session, transcript)).or_default();
        if offset > stored.offset {
            self.gaps += 1;
            result.error = refuse(BatchErrorCode::Gap, Some(stored.offset));
            return result;
        }
        let mut last = None;
        // Whether it only replaces the markers of omitted lines.
        let mut only_fills = true;
        for (line, raw) in (offset..).zip(&batch.messages) {
            if raw.get().len() > self.line_limit {
                let message = "the line is over the limit".to_owned();
                result.rejected.push(RejectedLine { line, code: LineErrorCode::TooLarge, message });
                last = None;
                continue;
            }
            let text = if raw.get().starts_with('{') {
                raw.get().to_owned()
            } else {
                serde_json::from_str::<String>(raw.get()).unwrap()
            };
            last = Some(sha256(&text));
            if stored.seen.insert(text.clone()) {
                result.stored += 1;
            } else {
                result.duplicates += 1;
            }
            let before = stored.lines.insert(line, text);
            only_fills &= before.is_some_and(|before| before.contains("han_omitted_line"));
        }
        // A batch with new lines below the offset means that the file was rewritten: the offset follows it.
        if (result.stored > 0 && !only_fills) || end >= stored.offset {
            stored.offset = end;
            stored.last_line_hash = last;
        }
        result
    }
}

/// A directory of transcripts.
pub struct TestDirectory(TempDir);

impl TestDirectory {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

/// `count` different lines, numbered from `first`.
pub fn lines(first: usize, count: usize) -> String {
    (first..first + count)
        .map(|number| format!("{{\"type\":\"user\",\"uuid\":\"u-{number}\",\"n\": {number} }}\n"))
        .collect()
}
