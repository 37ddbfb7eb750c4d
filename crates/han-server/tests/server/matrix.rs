//! The authorization matrix: each REST route and each GraphQL root field, called by every kind of caller. The test
//! enumerates the routes and the schema, so a new route or field adds a row, and the test fails until a developer has
//! checked the row and accepted the snapshot (`snapshots/`).
//!
//! Cells: `yes`, the caller gets what is requested; `nothing`, exactly what a user of an empty team gets; otherwise the
//! error. All ids belong to the admin's team. For a subscription, `yes` means that it is active; that it sends no data
//! to a stranger is tested in `teams`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use han_db::queries::deletion_requests::{self, Requested, Target};
use han_db::queries::invites::{self, Invited};
use han_db::queries::memberships::Resolved;
use han_db::queries::service_accounts::{self, AccountChange};
use han_db::queries::{device_logins, login_links, memberships, sign_ins, token_families, users};
use han_server::all_routes;
use han_server::auth::jwt::LIFETIME_SECONDS;
use han_server::config::{Environment, GithubConfig};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::{Clock as _, Role, UserId};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Person, TestServer, answer};

/// The callers. Users have access tokens, except for the admin's browser.
const CALLERS: [&str; 9] =
    ["anonymous", "expired", "stranger", "member", "admin", "browser", "foreign key", "read key", "sync key"];

#[derive(Clone, Debug)]
enum Credentials {
    None,
    Bearer(String),
    Cookie(String),
}

impl Credentials {
    fn on(&self, server: &TestServer, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Bearer(token) => request.bearer_auth(token),
            Self::Cookie(cookie) => {
                request.header(header::COOKIE, cookie).header(header::ORIGIN, &server.url)
            }
        }
    }
}

/// A team with its members, and the callers.
struct Case<'a> {
    server: &'a TestServer,
    admin: Person,
    /// Another admin, who has the keys of the columns of keys.
    second: UserId,
    /// A member who is not a caller.
    target: Person,
    /// A service account of the team.
    account: UserId,
    slug: String,
    invite: String,
    code: String,
    link: String,
    /// Of the target: a refresh token, a program that they approved, and a sign-in.
    refresh: String,
    device: String,
    sign_in: String,
    /// The code of a program that waits for approval.
    user_code: String,
    session: String,
    /// A request to delete the session.
    deletion: String,
    message: String,
    project: String,
    repo: String,
    callers: Vec<Credentials>,
    /// A user of an empty team.
    outsider: Credentials,
}

impl<'a> Case<'a> {
    async fn new(server: &'a TestServer, expired: &str) -> Self {
        let admin = server.person("admin").await;
        let member = server.colleague(&admin, "member").await;
        let target = server.colleague(&admin, "target").await;
        // A second admin, whose two keys are the columns of keys: the first admin has one.
        let second = users::create(&server.db, "second").await.unwrap();
        memberships::put(&server.db, &admin.team_id, &second.id, Role::Admin).await.unwrap();
        let (_, read) = server.key(&second.id, &admin.team_id, "read", None).await;
        let (_, sync) = server.key(&second.id, &admin.team_id, "sync:write", None).await;
        let (stranger, outsider) = (server.person("stranger").await, server.person("outsider").await);
        let token = |user: &UserId| server.jwt.mint(user, None, server.db.entropy()).unwrap();
        let Resolved { scope, team } = server.scope_of(&admin.user_id).await;
        let invited = invites::create(&scope, &server.db, "new@example.com").await.unwrap();
        let Invited::Done(invite, code) = invited else { panic!("{invited:?}") };
        let account = service_accounts::create(&scope, &server.db, "ci").await.unwrap();
        let AccountChange::Done(account) = account else { panic!("{account:?}") };
        let link = login_links::create(&server.db, &target.user_id).await.unwrap();
        let refresh = token_families::begin(&server.db, &target.user_id, "test").await.unwrap();
        let sign_in = sign_ins::live(&server.db, &target.user_id).await.unwrap().remove(0).id;
        let device = device_logins::begin(&server.db, "test", [192, 0, 2, 7].into()).await.unwrap().unwrap();
        assert!(device_logins::decide(&server.db, &device.user_code, Some(&target.user_id)).await.unwrap());
        let waiting = device_logins::begin(&server.db, "test", [192, 0, 2, 7].into()).await.unwrap().unwrap();
        let callers = vec![
            Credentials::None,
            Credentials::Bearer(expired.to_owned()),
            Credentials::Bearer(token(&stranger.user_id)),
            Credentials::Bearer(token(&member.user_id)),
            Credentials::Bearer(token(&admin.user_id)),
            Credentials::Cookie(server.cookie(&admin.user_id).await),
            Credentials::Bearer(stranger.key.clone()),
            Credentials::Bearer(read),
            Credentials::Bearer(sync),
        ];
        Self {
            server,
            outsider: Credentials::Bearer(token(&outsider.user_id)),
            slug: team.slug,
            invite: invite.id.to_string(),
            code: code.expose().to_owned(),
            link: link.expose().to_owned(),
            refresh: refresh.token.expose().to_owned(),
            device: device.device_code.expose().to_owned(),
            sign_in: format!("SignIn:program-{sign_in}"),
            user_code: waiting.user_code,
            admin,
            second: second.id,
            target,
            account: account.id,
            session: "s1".to_owned(),
            deletion: "none".to_owned(),
            message: "Message:s1:main:none".to_owned(),
            project: "none".to_owned(),
            repo: "none".to_owned(),
            callers,
        }
    }

    /// Adds a session, so that queries have data.
    async fn with_session(mut self) -> Self {
        let lines = SyntheticSession::new(5).lines(40);
        let messages: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let metadata = json!({ "agent": "claude-code", "project_path": "/home/dev/orchard",
            "git_remote": "git@example.com:team/orchard.git" });
        let body = json!({ "sessions": [{ "session_id": "s1", "offset": 0, "metadata": metadata, "messages": messages }] });
        let pushed = self.server.push(&self.admin.key, &body).send().await.unwrap();
        assert_eq!(pushed.status(), 200);
        // Otherwise search results would depend on timing.
        self.server.until_indexed(&self.admin.key).await;
        let query = "{ sessions(first: 1) { edges { node { project { projectId repo { repoId } } \
                     messages(first: 1) { edges { node { id } } } } } } }";
        let (_, body) = answer(self.server.graphql(&self.admin.key, query).send().await.unwrap()).await;
        let node = &body["data"]["sessions"]["edges"][0]["node"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        self.message = text(&node["messages"]["edges"][0]["node"]["id"]);
        self.project = text(&node["project"]["projectId"]);
        self.repo = text(&node["project"]["repo"]["repoId"]);
        self
    }

    /// Adds a request of the second admin to delete the session.
    async fn with_deletion(mut self) -> Self {
        let scope = self.server.scope_of(&self.second).await.scope;
        let target = Target::Session(self.session.parse().unwrap());
        let due = self.server.clock.now().plus_seconds(86_400);
        let requested = deletion_requests::request(&scope, &self.server.db, &target, due).await.unwrap();
        let Requested::Stored(request) = requested else { panic!("{requested:?}") };
        self.deletion = request.id;
        self
    }

    /// The value of an argument as a literal; `None` omits an optional one.
    fn argument(&self, field: &str, argument: &str) -> Option<String> {
        let text = match (field, argument) {
            ("node" | "nodeUpdated", "id") => format!("Session:{}", self.session),
            ("session", "id") | (_, "sessionId") => self.session.clone(),
            ("message", "id") => self.message.clone(),
            ("project", "id") => self.project.clone(),
            ("repo", "id") => self.repo.clone(),
            ("revokeSession", "id") => self.sign_in.clone(),
            (_, "teamId") => self.admin.team_id.to_string(),
            (_, "userId") => self.target.user_id.to_string(),
            (_, "serviceAccountId") => self.account.to_string(),
            (_, "inviteId") => self.invite.clone(),
            ("revokeApiKey", "keyId") => self.target.key_id.to_string(),
            (_, "code") => self.code.clone(),
            (_, "slug") => self.slug.clone(),
            (_, "email") => "another@example.com".to_owned(),
            _ => return None,
        };
        Some(Value::from(text).to_string())
    }
}

/// The schema's types, by name.
struct Types(BTreeMap<String, TypeDefinition>);

impl Types {
    fn read() -> Self {
        let document = parse_schema(han_api::schema::team_sdl()).unwrap();
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(found) => Some((found.node.name.node.to_string(), found.node)),
            _ => None,
        });
        Self(types.collect())
    }

    fn fields(&self, name: &str) -> Vec<&FieldDefinition> {
        match self.0.get(name).map(|found| &found.kind) {
            Some(TypeKind::Object(found)) => found.fields.iter().map(|field| &field.node).collect(),
            Some(TypeKind::Interface(found)) => found.fields.iter().map(|field| &field.node).collect(),
            _ => Vec::new(),
        }
    }

    fn is_leaf(&self, name: &str) -> bool {
        !matches!(
            self.0.get(name).map(|found| &found.kind),
            Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_))
        )
    }

    /// An operation with one root field and its required arguments.
    fn document(&self, case: &Case<'_>, operation: &str, field: &FieldDefinition) -> String {
        let name = field.name.node.as_str();
        let arguments: Vec<String> = field
            .arguments
            .iter()
            .filter_map(|argument| {
                let argument = &argument.node;
                let value = self.value(case, name, argument)?;
                Some(format!("{}: {value}", argument.name.node))
            })
            .collect();
        let arguments =
            if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        format!("{operation} {{ {name}{arguments}{} }}", self.selection(&field.ty.node, 3))
    }

    fn value(&self, case: &Case<'_>, field: &str, argument: &InputValueDefinition) -> Option<String> {
        let ty = &argument.ty.node;
        if ty.nullable || argument.default_value.is_some() {
            // Optional arguments are omitted.
            return None;
        }
        let known = case.argument(field, argument.name.node.as_str());
        Some(known.unwrap_or_else(|| self.literal(ty)))
    }

    /// A literal of a type.
    fn literal(&self, ty: &Type) -> String {
        let BaseType::Named(name) = &ty.base else { return "[]".to_owned() };
        match (name.as_str(), self.0.get(name.as_str()).map(|found| &found.kind)) {
            ("Int" | "Float", _) => "1".to_owned(),
            ("Boolean", _) => "true".to_owned(),
            (_, Some(TypeKind::Enum(found))) => {
                // The lowest role, for example.
                let values: Vec<_> =
                    found.values.iter().map(|value| value.node.value.node.to_string()).collect();
                values.last().unwrap().clone()
            }
            (_, Some(TypeKind::InputObject(found))) => {
                let required =
                    found.fields.iter().map(|field| &field.node).filter(|field| !field.ty.node.nullable);
                let fields: Vec<_> = required
                    .map(|field| format!("{}: {}", field.name.node, self.literal(&field.ty.node)))
                    .collect();
                format!("{{ {} }}", fields.join(", "))
            }
            _ => "\"another\"".to_owned(),
        }
    }

    /// The leaf fields of a type, and of its nested types up to `depth`.
    fn selection(&self, ty: &Type, depth: usize) -> String {
        let name = named(ty);
        if self.is_leaf(name) {
            return String::new();
        }
        let optional = |field: &&FieldDefinition| {
            field.arguments.iter().all(|a| a.node.ty.node.nullable || a.node.default_value.is_some())
        };
        let fields = self.fields(name).into_iter().filter(optional).filter_map(|field| {
            let under = named(&field.ty.node);
            if self.is_leaf(under) {
                return Some(field.name.node.to_string());
            }
            // Lists contain the data; single objects can form cycles, except for the node of an edge.
            let is_list = matches!(field.ty.node.base, BaseType::List(_));
            let descends = is_list || field.name.node == "node";
            (descends && depth > 0)
                .then(|| format!("{}{}", field.name.node, self.selection(&field.ty.node, depth - 1)))
        });
        let fields: Vec<String> = if depth == 0 { Vec::new() } else { fields.collect() };
        format!(" {{ __typename {} }}", fields.join(" "))
    }
}

fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => named(inner),
    }
}

/// The data of a response, or the code of its error.
async fn graphql(case: &Case<'_>, who: &Credentials, document: &str) -> Result<Value, String> {
    let request = case.server.post("/graphql").json(&json!({ "query": document }));
    let response = who.on(case.server, request).send().await.unwrap();
    let (status, mut body) = answer(response).await;
    if status != StatusCode::OK {
        return Err(refusal(status, &body));
    }
    match body["errors"].get(0) {
        Some(error) => Err(error["extensions"]["code"].as_str().unwrap_or("no code").to_owned()),
        None => Ok(body["data"].take()),
    }
}

fn refusal(status: StatusCode, body: &Value) -> String {
    let code = body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:han:problem:"));
    match code {
        Some(code) if status != StatusCode::UNAUTHORIZED => format!("{} {code}", status.as_u16()),
        _ => status.as_u16().to_string(),
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(is_something),
    }
}

fn cell(answer: Result<Value, String>, outsiders: Option<&Value>) -> String {
    match answer {
        Err(refusal) => refusal,
        Ok(data) if outsiders == Some(&data) || !is_something(&data) => "nothing".to_owned(),
        Ok(_) => "yes".to_owned(),
    }
}

/// Opens a socket, subscribes, and reports whether the subscription is active.
async fn subscription(case: &Case<'_>, who: &Credentials, document: &str) -> String {
    let own = case.server.url.clone();
    let (headers, payload) = match who {
        Credentials::None => (Vec::new(), json!({})),
        Credentials::Bearer(token) => (Vec::new(), json!({ "Authorization": format!("Bearer {token}") })),
        Credentials::Cookie(cookie) => (vec![("cookie", cookie.as_str()), ("origin", &own)], json!({})),
    };
    let mut socket = case.server.socket(&headers).await.unwrap();
    socket.send(json!({ "type": "connection_init", "payload": payload })).await;
    if let Err(code) = socket.receive().await {
        return format!("closed {code}");
    }
    socket.subscribe("s", document).await;
    // An immediate response of the subscription arrives before the last response of the queries sent after it, which look up
    // a session, as the subscription may do.
    let look_up = format!("{{ session(id: \"{}\") {{ id }} }}", case.session);
    for id in ["1", "2", "3", "4", "5"] {
        socket.subscribe(id, &look_up).await;
        loop {
            let received = match socket.receive().await {
                Ok(received) => received,
                Err(code) => return format!("closed {code}"),
            };
            if received["id"] == "s" {
                let code = &received["payload"]["errors"][0]["extensions"]["code"];
                return code.as_str().map_or_else(|| received.to_string(), str::to_owned);
            }
            if received["id"] == id && received["type"] == "complete" {
                break;
            }
        }
    }
    "yes".to_owned()
}

/// A valid request for a route.
fn request(case: &Case<'_>, method: &Method, path: &str) -> RequestBuilder {
    let team = case.admin.team_id.as_str();
    let filled = path
        .replace("{team_id}", team)
        .replace("{session_id}", &case.session)
        .replace("{user_id}", case.target.user_id.as_str())
        .replace("{deletion_id}", &case.deletion);
    let request = case.server.request(method.clone(), &filled);
    match (method.as_str(), path) {
        ("GET", "/graphql") => request.query(&[("query", "{ __typename }")]),
        ("POST", "/graphql") => request.json(&json!({ "query": "{ __typename }" })),
        ("POST", "/api/sync/sessions") => request.json(&json!({ "team_id": team, "sessions": [] })),
        ("GET", "/auth/login-link") => request.query(&[("token", &case.link)]),
        ("POST", "/auth/login-link") => case.server.post_form(path, format!("token={}", case.link)),
        ("POST", "/auth/refresh") => request.json(&json!({ "refresh_token": case.refresh })),
        ("POST", "/auth/device/code") => case.server.post_form(path, "client_id=test"),
        ("POST", "/auth/device/token") => {
            let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
            case.server.post_form(path, format!("grant_type={grant}&device_code={}", case.device))
        }
        ("GET", "/auth/device") => request.query(&[("user_code", &case.user_code)]),
        ("POST", "/auth/device") => {
            case.server.post_form(path, format!("user_code={}&decision=approve", case.user_code))
        }
        ("GET", "/invite") => request.query(&[("code", &case.code)]),
        ("POST", "/invite") => case.server.post_form(path, format!("code={}", case.code)),
        ("DELETE", "/api/account") => request.query(&[("confirm", "delete-my-account")]),
        ("DELETE", path) if path.contains("{user_id}") => {
            request.query(&[("confirm", case.target.user_id.as_str())])
        }
        ("DELETE", path) if path.starts_with("/api/sync/teams/") => request.query(&[("confirm", &case.slug)]),
        ("GET", path) if path.starts_with("/api/") => request.query(&[("team_id", team)]),
        ("POST" | "PUT" | "PATCH", _) => request.json(&json!({})),
        _ => request,
    }
}

/// The rows as a table, its columns aligned.
fn table(rows: &[(String, Vec<String>)]) -> String {
    let first = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().map(|(_, cells)| cells[column].len());
        cells.chain([CALLERS[column].len()]).max().unwrap_or(0)
    };
    let line = |name: &str, cells: &[&str]| {
        let cells: Vec<String> =
            cells.iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(at))).collect();
        format!("{name:<first$} | {}", cells.join(" | ")).trim_end().to_owned()
    };
    let mut lines = vec![line("", &CALLERS)];
    lines.extend(rows.iter().map(|(name, cells)| {
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        line(name, &cells)
    }));
    lines.join("\n")
}

/// An expired token. The clock advances for that, so this comes first.
async fn expired_token(server: &TestServer) -> String {
    let person = server.person("once").await;
    let token = server.jwt.mint(&person.user_id, None, server.db.entropy()).unwrap();
    server.clock.advance_seconds(LIFETIME_SECONDS);
    token
}

/// A GitHub app whose server is never contacted: sign-ins only start.
fn github() -> GithubConfig {
    GithubConfig {
        client_id: "test".to_owned(),
        client_secret: "test".into(),
        url: "http://127.0.0.1:1".to_owned(),
        api_url: "http://127.0.0.1:1".to_owned(),
        allowed_logins: Vec::new(),
        allowed_orgs: Vec::new(),
        check_every: Duration::from_secs(3600),
        timeout: Duration::from_secs(1),
    }
}

both_databases!(
    async fn authorization_matrix_of_routes(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| {
            config.http.environment = Environment::Development;
            config.github = Some(github());
        })
        .await;
        let expired = expired_token(&server).await;
        let mut rows = Vec::new();
        for (method, path) in all_routes(Environment::Development) {
            let mut cells = Vec::new();
            for at in 0..CALLERS.len() {
                // Each caller gets a new case: the previous one may have signed out or used a token.
                let mut case = Case::new(&server, &expired).await;
                if path.contains("{session_id}") || path.contains("{deletion_id}") {
                    case = case.with_session().await;
                }
                if path.contains("{deletion_id}") {
                    case = case.with_deletion().await;
                }
                let response =
                    case.callers[at].on(&server, request(&case, &method, path)).send().await.unwrap();
                let (status, body) = answer(response).await;
                cells.push(if status.is_success() || status.is_redirection() {
                    "yes".to_owned()
                } else {
                    refusal(status, &body)
                });
            }
            rows.push((format!("{method} {path}"), cells));
        }
        rows.sort();
        insta::assert_snapshot!("routes", table(&rows));
        server.stop().await;
    }
);

both_databases!(
    async fn authorization_matrix_of_queries(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let types = Types::read();
        let expired = expired_token(&server).await;
        let case = Case::new(&server, &expired).await.with_session().await;
        let mut rows = Vec::new();
        for field in types.fields("Query") {
            let document = types.document(&case, "query", field);
            let outsiders = graphql(&case, &case.outsider, &document).await.ok();
            let mut cells = Vec::new();
            for who in &case.callers {
                cells.push(cell(graphql(&case, who, &document).await, outsiders.as_ref()));
            }
            rows.push((field.name.node.to_string(), cells));
        }
        rows.sort();
        insta::assert_snapshot!("queries", table(&rows));
        server.stop().await;
    }
);

both_databases!(
    async fn authorization_matrix_of_mutations(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let types = Types::read();
        let expired = expired_token(&server).await;
        let mut rows = Vec::new();
        for field in types.fields("MutationRoot") {
            let mut cells = Vec::new();
            for at in 0..CALLERS.len() {
                let case = Case::new(&server, &expired).await;
                let document = types.document(&case, "mutation", field);
                cells.push(cell(graphql(&case, &case.callers[at], &document).await, None));
            }
            rows.push((field.name.node.to_string(), cells));
        }
        rows.sort();
        insta::assert_snapshot!("mutations", table(&rows));
        server.stop().await;
    }
);

both_databases!(
    async fn authorization_matrix_of_subscriptions(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let types = Types::read();
        let expired = expired_token(&server).await;
        let case = Case::new(&server, &expired).await.with_session().await;
        let mut rows = Vec::new();
        for field in types.fields("SubscriptionRoot") {
            let document = types.document(&case, "subscription", field);
            let mut cells = Vec::new();
            for who in &case.callers {
                cells.push(subscription(&case, who, &document).await);
            }
            rows.push((field.name.node.to_string(), cells));
        }
        rows.sort();
        insta::assert_snapshot!("subscriptions", table(&rows));
        server.stop().await;
    }
);

/// Who makes a change in [`CHANGES`].
#[derive(Clone, Copy)]
enum By {
    /// One of [`CALLERS`].
    Caller(&'static str),
    /// The member who is not a caller.
    Target,
    /// A browser of a user without a team.
    NewBrowser,
}

/// What a change leaves in the audit log.
enum Leaves {
    /// These events, when it is made by that caller.
    Events(By, &'static [&'static str]),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

use By::{Caller, NewBrowser, Target as OfTarget};
use Leaves::{Events, Nothing};

const AT_STRIPE: &str = "it opens a page of Stripe; what is bought there is recorded as plan.changed";

const NOT_HERE: &str = "a server has no machine: it changes nothing";

/// Each mutation, each route that is no GET, and those that export, with the entries of the audit log that it must leave.
const CHANGES: &[(&str, Leaves)] = &[
    ("acceptInvite", Events(Caller("stranger"), &["invite.accepted", "member.joined"])),
    ("createApiKey", Events(Caller("admin"), &["key.created"])),
    ("createBillingPortalSession", Nothing(AT_STRIPE)),
    ("createCheckoutSession", Nothing(AT_STRIPE)),
    ("createServiceAccount", Events(Caller("admin"), &["service_account.created"])),
    ("createServiceAccountKey", Events(Caller("admin"), &["key.created"])),
    ("createTeam", Events(Caller("admin"), &["team.created"])),
    ("inviteToTeam", Events(Caller("admin"), &["invite.created"])),
    ("leaveTeam", Events(Caller("member"), &["member.left"])),
    ("removeMember", Events(Caller("admin"), &["member.removed"])),
    ("removePlugin", Nothing(NOT_HERE)),
    ("removeServiceAccount", Events(Caller("admin"), &["service_account.removed"])),
    ("renameServiceAccount", Events(Caller("admin"), &["service_account.renamed"])),
    ("renameTeam", Events(Caller("admin"), &["team.renamed"])),
    ("revokeApiKey", Events(Caller("admin"), &["key.revoked"])),
    ("revokeInvite", Events(Caller("admin"), &["invite.revoked"])),
    ("revokeSession", Events(OfTarget, &["sign_out"])),
    ("rotateApiKey", Events(Caller("sync key"), &["key.rotated"])),
    ("setAuditReads", Events(Caller("admin"), &["setting.changed"])),
    ("setMemberRole", Events(Caller("admin"), &["member.role_changed"])),
    ("setRetention", Events(Caller("admin"), &["setting.changed"])),
    ("startMemoryQuery", Nothing(NOT_HERE)),
    ("switchTeam", Nothing("it changes what the caller's browser shows, and no right")),
    ("togglePlugin", Nothing(NOT_HERE)),
    ("DELETE /api/account", Events(OfTarget, &["deletion.requested"])),
    ("DELETE /api/account/deletion", Events(OfTarget, &["deletion.cancelled"])),
    ("DELETE /api/sync/teams/{team_id}", Events(Caller("admin"), &["deletion.requested"])),
    ("DELETE /api/sync/teams/{team_id}/data", Events(Caller("admin"), &["deletion.requested"])),
    (
        "DELETE /api/sync/teams/{team_id}/deletions/{deletion_id}",
        Events(Caller("admin"), &["deletion.cancelled"]),
    ),
    (
        "DELETE /api/sync/teams/{team_id}/members/{user_id}/sessions",
        Events(Caller("admin"), &["deletion.requested"]),
    ),
    (
        "DELETE /api/sync/teams/{team_id}/sessions/{session_id}",
        Events(Caller("admin"), &["deletion.requested"]),
    ),
    ("GET /api/sync/teams/{team_id}/audit", Events(Caller("admin"), &["export.audit"])),
    ("GET /api/sync/teams/{team_id}/export", Events(Caller("admin"), &["export.team"])),
    (
        "GET /api/sync/teams/{team_id}/sessions/{session_id}/export",
        Events(Caller("member"), &["export.session"]),
    ),
    ("POST /api/sync/sessions", Nothing("a session says itself who pushed it, and when")),
    ("POST /auth/device", Events(Caller("browser"), &["sign_in.program_approved"])),
    ("POST /auth/device/code", Nothing("no user is known yet")),
    ("POST /auth/device/token", Events(Caller("anonymous"), &["sign_in"])),
    ("POST /auth/login-link", Events(Caller("anonymous"), &["sign_in"])),
    ("POST /auth/logout", Events(Caller("browser"), &["sign_out"])),
    ("POST /auth/refresh", Nothing("it goes on with a sign-in that was recorded; its end is recorded")),
    ("POST /graphql", Nothing("each mutation is listed by itself")),
    ("POST /invite", Events(NewBrowser, &["invite.accepted", "member.joined"])),
    ("POST /webhooks/stripe", Nothing("the change of a plan is recorded where it is stored: plan.changed")),
];

/// How many entries of each event the database has.
async fn recorded(db: &TestDatabase, events: &[&str]) -> Vec<i64> {
    let mut counts = Vec::new();
    for event in events {
        let sql = format!("SELECT CAST(count(*) AS text) FROM audit_log WHERE event = '{event}'");
        counts.push(db.text(&sql).await.parse().unwrap());
    }
    counts
}

both_databases!(
    async fn each_change_is_in_the_audit_log(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.github = Some(github())).await;
        let types = Types::read();
        let expired = expired_token(&server).await;
        let mutations = types.fields("MutationRoot");
        let mut changes: BTreeSet<String> =
            mutations.iter().map(|field| field.name.node.to_string()).collect();
        let routes = all_routes(Environment::Production);
        let is_change = |method: &Method, path: &str| {
            *method != Method::GET || path.ends_with("/export") || path.ends_with("/audit")
        };
        let of_routes = routes.iter().filter(|(method, path)| is_change(method, path));
        changes.extend(of_routes.map(|(method, path)| format!("{method} {path}")));
        let listed: BTreeSet<String> = CHANGES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, changes, "each change must name its audit event, or why it has none");

        for (name, leaves) in CHANGES {
            let (by, events) = match leaves {
                Events(by, events) => (*by, *events),
                Nothing(reason) => {
                    assert!(!reason.is_empty());
                    continue;
                }
            };
            let mut case = Case::new(&server, &expired).await;
            if name.contains("{session_id}") || name.contains("{deletion_id}") {
                case = case.with_session().await;
            }
            if name.contains("{deletion_id}") {
                case = case.with_deletion().await;
            }
            let target = case.target.user_id.clone();
            match *name {
                // Otherwise the role would not change.
                "setMemberRole" => {
                    memberships::put(&server.db, &case.admin.team_id, &target, Role::Admin).await.unwrap();
                }
                "DELETE /api/account/deletion" => {
                    let due = server.clock.now().plus_seconds(86_400);
                    deletion_requests::request_account(&server.db, &target, due).await.unwrap();
                }
                _ => {}
            }
            let who = match by {
                Caller(name) => {
                    case.callers[CALLERS.iter().position(|caller| caller == &name).unwrap()].clone()
                }
                OfTarget => Credentials::Bearer(server.jwt.mint(&target, None, server.db.entropy()).unwrap()),
                NewBrowser => {
                    let user = users::create(&server.db, "new").await.unwrap();
                    Credentials::Cookie(server.cookie(&user.id).await)
                }
            };
            let before = recorded(&db, events).await;
            match name.split_once(' ') {
                Some((method, path)) => {
                    let method: Method = method.parse().unwrap();
                    let response = who.on(&server, request(&case, &method, path)).send().await.unwrap();
                    let (status, body) = answer(response).await;
                    assert!(status.is_success() || status.is_redirection(), "{name}: {status} {body}");
                }
                None => {
                    let field = mutations.iter().find(|field| field.name.node.as_str() == *name).unwrap();
                    let document = types.document(&case, "mutation", field);
                    graphql(&case, &who, &document).await.unwrap_or_else(|code| panic!("{name}: {code}"));
                }
            }
            let after = recorded(&db, events).await;
            let expected: Vec<i64> = before.iter().map(|n| n + 1).collect();
            assert_eq!(after, expected, "{name} must leave {events:?}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn no_answer_has_a_number_of_a_team_or_session(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| {
            config.http.environment = Environment::Development;
        })
        .await;
        db.mark_numbers().await;
        let types = Types::read();
        let expired = expired_token(&server).await;
        let case = Case::new(&server, &expired).await.with_session().await;
        let again = server.push_lines(&case.admin.key, "s1", 40, &SyntheticSession::new(6).lines(10)).await;
        let mut answers = vec![("POST /api/sync/sessions".to_owned(), again.to_string())];
        for who in &case.callers {
            for field in types.fields("Query") {
                let document = types.document(&case, "query", field);
                answers.push((document.clone(), format!("{:?}", graphql(&case, who, &document).await)));
            }
            for (method, path) in all_routes(Environment::Development) {
                if method == Method::GET {
                    let response = who.on(&server, request(&case, &method, path)).send().await.unwrap();
                    let headers = format!("{:?}", response.headers());
                    answers.push((path.to_owned(), format!("{headers} {}", response.text().await.unwrap())));
                }
            }
        }
        let numbers = db.marked_numbers().await;
        for (asked, answer) in answers {
            let found = numbers.found_in(&answer);
            assert!(found.is_empty(), "{asked}: {found:?} in {answer}");
        }
        server.stop().await;
    }
);

/// The matrix itself cannot show that it would miss a root type.
#[test]
fn the_matrix_includes_the_root_types() {
    let types = Types::read();
    for (root, some) in
        [("Query", "sessions"), ("MutationRoot", "inviteToTeam"), ("SubscriptionRoot", "sessionAdded")]
    {
        let names: BTreeSet<&str> =
            types.fields(root).into_iter().map(|field| field.name.node.as_str()).collect();
        assert!(names.contains(some), "{root}: {names:?}");
    }
}
