//! A database with teams and sessions, a schema over it, and callers.

use std::path::Path;
use std::sync::Arc;

use async_graphql::{Request, Response, Variables};
use base64::Engine as _;
use han_api::{HanSchema, QueryLimits, RequestContext, Site};
use han_crypto::{KekRing, OsEntropy};
use han_db::queries::ingest::{self, Outcome, Preparer, ReceivedBatch, ReceivedLine};
use han_db::queries::{memberships, teams, users};
use han_db::{Db, DbConfig};
use han_testkit::{SeededEntropy, TestClock, TestDatabase, fixtures};
use han_types::sync::SessionMetadata;
use han_types::{Actor, Capabilities, Credential, Entropy, PlanTier, Policy, Role, Scope, Timestamp, UserId};
use secrecy::SecretString;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A migrated database with a team, its change feed, and a schema over both.
pub struct World {
    pub db: Db,
    pub clock: TestClock,
    pub schema: HanSchema,
    pub ada: Caller,
    _feed: DropGuard,
}

/// The checkout that a session worked in.
pub struct Checkout<'a> {
    /// The directory.
    pub path: &'a str,
    /// The repository's remote.
    pub remote: &'a str,
}

/// A user with a team.
#[derive(Clone)]
pub struct Caller {
    pub actor: Actor,
    pub scope: Scope,
}

impl Caller {
    pub fn context(&self) -> RequestContext {
        RequestContext::new(self.actor.clone()).with_scope(self.scope.clone())
    }
}

impl World {
    pub async fn new(database: &TestDatabase) -> Self {
        Self::with_config(database, |_| {}).await
    }

    /// A world with a changed database configuration.
    pub async fn with_config(database: &TestDatabase, change: impl FnOnce(&mut DbConfig)) -> Self {
        Self::with(database, Arc::new(OsEntropy::new()), change).await
    }

    /// A world whose keys and ids are derived from `seed`.
    pub async fn seeded(database: &TestDatabase, seed: u64) -> Self {
        Self::with(database, Arc::new(SeededEntropy::new(seed)), |_| {}).await
    }

    async fn with(
        database: &TestDatabase,
        entropy: Arc<dyn Entropy>,
        change: impl FnOnce(&mut DbConfig),
    ) -> Self {
        // 2026-11-05T23:00:00Z: after the times of most lines, and on the day of the last ones.
        let clock = TestClock::at(Timestamp(1_793_919_600_000));
        let secret = base64::engine::general_purpose::STANDARD.encode([7u8; 32]);
        let keks = KekRing::from_secrets(&SecretString::from(secret), None).unwrap();
        let mut config = DbConfig::new(database.url());
        change(&mut config);
        let db = Db::connect(&config, keks, Arc::new(clock.clone()), entropy).await.unwrap();
        db.migrate().await.unwrap();
        database.mark_numbers().await;
        let stop = CancellationToken::new();
        let changes = db.start_changes(stop.clone()).await.unwrap();
        let schema = han_api::schema::team(
            Site::default(),
            db.clone(),
            changes.sender.clone(),
            QueryLimits::default(),
        );
        let ada = caller(&db, "ada").await;
        Self { db, clock, schema, ada, _feed: stop.drop_guard() }
    }

    /// Another user, with another team.
    pub async fn stranger(&self) -> Caller {
        caller(&self.db, "eve").await
    }

    /// Stores lines for Ada's team as the server does, sealed.
    pub async fn push(&self, session: &str, transcript: &str, lines: &[String]) {
        self.push_from(session, transcript, "/home/dev/orchard", lines).await;
    }

    pub async fn push_from(&self, session: &str, transcript: &str, path: &str, lines: &[String]) {
        let checkout = Checkout { path, remote: "git@example.com:team/orchard.git" };
        self.push_as(&self.ada.scope, session, transcript, &checkout, lines).await;
    }

    /// Stores lines as another user, in another checkout.
    pub async fn push_as(
        &self,
        scope: &Scope,
        session: &str,
        transcript: &str,
        checkout: &Checkout<'_>,
        lines: &[String],
    ) {
        let line = |(text, index)| ReceivedLine { index, text };
        let received = ReceivedBatch {
            session_id: session.parse().unwrap(),
            transcript: transcript.parse().unwrap(),
            offset: None,
            consumed: lines.len() as u64,
            metadata: SessionMetadata {
                agent: Some("claude-code".to_owned()),
                project_path: Some(checkout.path.to_owned()),
                git_remote: Some(checkout.remote.to_owned()),
                ..SessionMetadata::default()
            },
            lines: lines.iter().map(String::as_str).zip(0..).map(line).collect(),
        };
        let preparer = Preparer::new(Policy::of(PlanTier::Enterprise));
        let batch = preparer.prepare(received).unwrap();
        let outcome = ingest::store(scope, &self.db, batch).await.unwrap();
        assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
    }

    /// Another member of Ada's team.
    pub async fn colleague(&self, name: &str) -> Caller {
        let user = users::create(&self.db, name).await.unwrap();
        let team = self.ada.scope.team_id();
        memberships::put(&self.db, team, &user.id, Role::Member).await.unwrap();
        let actor = actor(user.id);
        let scope = memberships::scope_for(&self.db, &actor).await.unwrap().unwrap().scope;
        Caller { actor, scope }
    }

    /// Stores the sample sessions of the repository, and returns their ids.
    pub async fn push_samples(&self) -> Vec<String> {
        self.push_project(&fixtures::sample_sessions().join("-home-dev-orchard")).await
    }

    /// Stores the sessions of a directory of transcripts, and returns their ids.
    pub async fn push_project(&self, project: &Path) -> Vec<String> {
        let mut sessions = Vec::new();
        for (stem, path) in transcripts(project) {
            let (session, transcript) = match stem.strip_suffix("-han") {
                Some(session) => (session, "han"),
                None => (stem.as_str(), "main"),
            };
            self.push(session, transcript, &lines(&path)).await;
            if transcript == "main" {
                for (agent, path) in transcripts(&project.join(session).join("subagents")) {
                    self.push(session, &agent, &lines(&path)).await;
                }
                sessions.push(session.to_owned());
            }
        }
        sessions
    }

    /// Runs an operation as the caller of `context`, and returns the whole response.
    pub async fn response(&self, context: RequestContext, query: &str, variables: Value) -> Response {
        let request = Request::new(query).variables(Variables::from_json(variables));
        self.schema.execute(han_api::request(request, context)).await
    }

    /// Runs an operation as Ada, which must succeed.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let response = self.response(self.ada.context(), query, variables).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        response.data.into_json().unwrap()
    }
}

async fn caller(db: &Db, name: &str) -> Caller {
    let (user, _) = teams::create_with_user(db, name, name).await.unwrap();
    let actor = actor(user.id);
    let scope = memberships::scope_for(db, &actor).await.unwrap().unwrap().scope;
    Caller { actor, scope }
}

pub fn actor(user_id: UserId) -> Actor {
    Actor {
        user_id,
        credential: Credential::Local,
        capabilities: Capabilities::PERSON,
        expires_at: None,
        request_id: han_testkit::request_id(),
        client: None,
    }
}

/// The codes of a response's errors.
pub fn codes(response: &Response) -> Vec<String> {
    let code = |error: &async_graphql::ServerError| {
        let values = error.extensions.as_ref().expect("extensions");
        match values.get("code").expect("a code") {
            async_graphql::Value::String(code) => code.clone(),
            other => panic!("{other}"),
        }
    };
    response.errors.iter().map(code).collect()
}

/// The transcripts in a directory: stem and path, ordered by name.
fn transcripts(directory: &Path) -> Vec<(String, std::path::PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    found.sort();
    found
}

pub fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}
