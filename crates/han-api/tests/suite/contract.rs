//! The whole contract: every field of the schema is asked for on everything a transcript can tell, on both databases,
//! which must answer alike; and what is empty in all answers is known, with its reason.

use std::collections::BTreeMap;

use async_graphql::parser::types::FieldDefinition;
use han_testkit::TestDatabase;
use serde_json::{Value, json};

use crate::corpus::{self, RICH};
use crate::live::Watch;
use crate::operations::{Arguments, Coverage, SDL, Shapes};
use crate::support::World;

/// The operations of one world, and what they answered.
struct Answers {
    /// By operation: what it answered, without what may differ between two worlds.
    by_operation: BTreeMap<String, Value>,
    coverage: Coverage,
}

impl Answers {
    /// Fills a world and asks it everything.
    async fn of(database: &TestDatabase, shapes: &Shapes, with_real: bool) -> Self {
        // The same keys in every world, and so the same ids: rows that tie in a list are told apart by those.
        let world = World::seeded(database, 1).await;
        let sessions = corpus::push(&world, with_real).await;
        let names = Names::of(&world).await;
        let mut answers = Self { by_operation: BTreeMap::new(), coverage: Coverage::default() };
        for (which, arguments) in [("bare", names.needed()), ("with arguments", names.arguments())] {
            answers.ask_roots(&world, shapes, (which, &arguments), &names).await;
        }
        for session in &sessions {
            answers.ask_messages(&world, shapes, session, &names).await;
        }
        for id in NESTED {
            let mut arguments = names.needed();
            arguments.insert("message.id".to_owned(), json!(format!("Message:{RICH}:{id}")).to_string());
            let message = root(shapes, "Query", "message");
            let text = shapes.field("Query", message, &arguments).unwrap();
            answers.ask(&world, format!("message {id}"), &format!("query {{ {text} }}"), &names).await;
        }
        // A search costs too much to stand in a list, so it is asked for by itself.
        let mut arguments = names.needed();
        arguments.insert("Session.searchMessages.query".to_owned(), "\"trees\"".to_owned());
        let search = shapes.field("Session", root(shapes, "Session", "searchMessages"), &arguments).unwrap();
        let query = format!("query {{ session(id: \"{RICH}\") {{ __typename {search} }} }}");
        answers.ask(&world, "search in a session".to_owned(), &query, &names).await;
        answers.hear(&world, shapes, &names).await;
        answers
    }

    /// Every subscription's first payload.
    async fn hear(&mut self, world: &World, shapes: &Shapes, names: &Names) {
        let mut watches = BTreeMap::new();
        for field in shapes.fields("SubscriptionRoot") {
            let name = field.name.node.to_string();
            // Those two are a coordinator's: see `documents`.
            if name.starts_with("memoryAgent") {
                continue;
            }
            let text = shapes.field("SubscriptionRoot", field, &names.watched()).unwrap();
            let query = format!("subscription {{ {text} }}");
            watches.insert(name, Watch::start(world, world.ada.context(), &query, json!({})).await);
        }
        let [main, han] = corpus::late_lines();
        world.push(RICH, "main", &main).await;
        let of_main = [
            "memoryUpdated",
            "nodeUpdated",
            "sessionMessageAdded",
            "sessionFilesChanged",
            "sessionTodosChanged",
        ];
        self.hear_each(&mut watches, &of_main, names).await;
        world.push(RICH, "han", &han).await;
        self.hear_each(&mut watches, &["toolResultAdded", "hookResultAdded", "sessionHooksChanged"], names)
            .await;
        world.push("late-session", "main", &main).await;
        self.hear_each(&mut watches, &["sessionAdded"], names).await;
        assert!(watches.is_empty(), "not asked: {:?}", watches.keys());
    }

    async fn hear_each(&mut self, watches: &mut BTreeMap<String, Watch>, of: &[&str], names: &Names) {
        for name in of {
            let payload = watches.remove(*name).unwrap().next(name).await;
            let mut answer = json!({"__typename": "SubscriptionRoot"});
            answer[name] = payload;
            self.coverage.take_in(&answer);
            self.by_operation.insert(format!("subscription {name}"), names.hidden(&answer));
        }
    }

    /// Every root field, each in an operation of its own.
    async fn ask_roots(
        &mut self,
        world: &World,
        shapes: &Shapes,
        (which, arguments): (&str, &Arguments),
        names: &Names,
    ) {
        for field in shapes.fields("Query") {
            if let Some(text) = shapes.field("Query", field, arguments) {
                let name = format!("{} {which}", field.name.node);
                self.ask(world, name, &format!("query {{ {text} }}"), names).await;
            }
        }
    }

    /// Every message of a session, and those of its subagents, a page at a time.
    async fn ask_messages(&mut self, world: &World, shapes: &Shapes, session: &str, names: &Names) {
        let messages =
            shapes.fields("Session").into_iter().find(|field| field.name.node == "messages").unwrap();
        let mut agents = vec!["null".to_owned()];
        if session == RICH {
            agents.push("\"a1\"".to_owned());
        }
        for agent in agents {
            let mut after = Value::Null;
            for page in 0.. {
                let arguments = Arguments::from([
                    ("first".to_owned(), "200".to_owned()),
                    ("after".to_owned(), after.to_string()),
                    ("agentId".to_owned(), agent.clone()),
                    ("includeProgress".to_owned(), "true".to_owned()),
                ]);
                let text = shapes.field("Session", messages, &arguments).unwrap();
                let query = format!("query {{ session(id: \"{session}\") {{ __typename {text} }} }}");
                let name = format!("messages of {session}, agent {agent}, page {page}");
                let answer = self.ask(world, name, &query, names).await;
                let info = &answer["session"]["messages"]["pageInfo"];
                if info["hasNextPage"] == json!(false) {
                    break;
                }
                after = info["endCursor"].clone();
            }
        }
    }

    async fn ask(&mut self, world: &World, name: String, query: &str, names: &Names) -> Value {
        let response = world.response(world.ada.context(), query, json!({})).await;
        assert!(response.errors.is_empty(), "{name}: {:?}\n{query}", response.errors);
        let mut answer = response.data.into_json().unwrap();
        self.coverage.take_in(&json!({"__typename": "Query"}));
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("__typename".to_owned(), json!("Query"));
        }
        self.coverage.take_in(&answer);
        self.by_operation.insert(name, names.hidden(&answer));
        answer
    }
}

fn root<'s>(shapes: &'s Shapes, ty: &str, name: &str) -> &'s FieldDefinition {
    shapes.fields(ty).into_iter().find(|field| field.name.node == name).unwrap()
}

/// Messages of the rich session that stand in no list, because they nest.
const NESTED: &[&str] = &[
    "main:result-rich-edit",
    "han:rich-run-result",
    "han:rich-mcp-result",
    "han:rich-exposed-result",
    "agent-a1:result-agent-edit",
    "agent-a1:agent-run-result",
    "agent-a1:agent-mcp-result",
    "agent-a1:agent-exposed-result",
];

/// What differs between two worlds that hold the same: ids made of random keys.
struct Names {
    project: String,
    repo: String,
    message: String,
    team: String,
    slug: String,
    hidden: Vec<(String, String)>,
}

impl Names {
    async fn of(world: &World) -> Self {
        let data = world
            .ask("{ projects(first: 500) { projectId path } repos(first: 500) { repoId path } }", json!({}))
            .await;
        let mut hidden = vec![
            (world.ada.scope.team_id().to_string(), "<team>".to_owned()),
            (world.ada.actor.user_id.to_string(), "<ada>".to_owned()),
        ];
        for (list, id) in [("projects", "projectId"), ("repos", "repoId")] {
            for item in data[list].as_array().unwrap() {
                let text = |name: &str| item[name].as_str().unwrap().to_owned();
                hidden.push((text(id), format!("<{}>", text("path"))));
            }
        }
        let rich = world
            .ask(&format!("{{ session(id: \"{RICH}\") {{ projectId project {{ repoId }} }} }}"), json!({}))
            .await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let team = world.ask("{ activeTeam { slug } }", json!({})).await;
        Self {
            team: world.ada.scope.team_id().to_string(),
            slug: text(&team["activeTeam"]["slug"]),
            project: text(&rich["session"]["projectId"]),
            repo: text(&rich["session"]["project"]["repoId"]),
            message: format!("Message:{RICH}:main:rich-prompt"),
            hidden,
        }
    }

    /// What arguments get without which there is no answer, or too large a one.
    fn needed(&self) -> Arguments {
        let text = |text: &str| json!(text).to_string();
        [
            ("node.id", text(&format!("Session:{RICH}"))),
            ("message.id", text(&self.message)),
            ("project.id", text(&self.project)),
            ("repo.id", text(&self.repo)),
            ("session.id", text(RICH)),
            ("sessions.first", "20".to_owned()),
            ("messages.first", "2".to_owned()),
            ("fileChanges.first", "5".to_owned()),
            ("projects.first", "20".to_owned()),
            ("repos.first", "20".to_owned()),
            ("Query.searchMessages.query", text("trees")),
            ("Query.searchMessages.first", "5".to_owned()),
            ("teamId", text(&self.team)),
            ("slug", text(&self.slug)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// What arguments get, by their names.
    fn arguments(&self) -> Arguments {
        let text = |text: &str| json!(text).to_string();
        let more = [
            ("projectId", text(&self.project)),
            ("days", "400".to_owned()),
            ("startDate", text("2026-01-01")),
            ("endDate", text("2026-12-31")),
            ("granularity", "month".to_owned()),
            ("period", "MONTH".to_owned()),
            ("limit", "10".to_owned()),
        ];
        self.needed().into_iter().chain(more.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// What subscriptions are about.
    fn watched(&self) -> Arguments {
        let text = |text: &str| json!(text).to_string();
        let more = [
            ("nodeUpdated.id", text(&format!("Session:{RICH}"))),
            ("sessionId", text(RICH)),
            ("callId", text("late-mcp")),
            ("hookRunId", text("late-run")),
        ];
        self.needed().into_iter().chain(more.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    fn hidden(&self, answer: &Value) -> Value {
        let mut text = answer.to_string();
        for (id, name) in &self.hidden {
            text = text.replace(id.as_str(), name);
        }
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_answer_alike() {
    let shapes = Shapes::read(SDL);
    let (sqlite, postgres) = (TestDatabase::sqlite().await, TestDatabase::postgres().await);
    let on_sqlite = Answers::of(&sqlite, &shapes, true).await;
    let on_postgres = Answers::of(&postgres, &shapes, true).await;
    assert_eq!(
        on_sqlite.by_operation.keys().collect::<Vec<_>>(),
        on_postgres.by_operation.keys().collect::<Vec<_>>()
    );
    assert!(on_sqlite.by_operation.len() > 30);
    for (name, answer) in &on_sqlite.by_operation {
        if let Some(difference) = difference("", answer, &on_postgres.by_operation[name]) {
            panic!("{name}: {difference}");
        }
    }
    let all = shapes.reachable(&["Query", "SubscriptionRoot"]);
    let unexplained: Vec<_> =
        on_sqlite.coverage.empty(&all).into_iter().filter(|field| reason(field).is_none()).collect();
    assert!(unexplained.is_empty(), "empty in all answers, and nobody says why: {unexplained:#?}");
}

/// Why a field is null, empty or zero in every answer. Whoever adds a field that is, says why here.
fn reason(field: &str) -> Option<&'static str> {
    const MACHINE: &str = "known on the developer's machine alone: a coordinator answers";
    const PAYMENT: &str = "a transcript does not tell how its tokens are paid for";
    let (ty, name) = field.split_once('.')?;
    Some(match (ty, name) {
        (
            "CacheEntry"
            | "CacheStats"
            | "Citation"
            | "ClaudeSettingsSummary"
            | "HanConfigSummary"
            | "McpServer"
            | "MemoryAgentProgressPayload"
            | "MemoryAgentResultPayload"
            | "MemoryQuery"
            | "MemoryRule"
            | "Permissions"
            | "Plugin"
            | "PluginCategory"
            | "PluginStats"
            | "SettingsFile"
            | "SettingsSummary",
            _,
        )
        | (
            _,
            "plugins" | "pluginCategories" | "pluginStats" | "cacheEntries" | "cacheStats" | "memory"
            | "settings",
        )
        | ("SubscriptionRoot", "memoryAgentProgress" | "memoryAgentResult")
        | ("MemoryUpdatedPayload", "path")
        | ("ConfigDirCostBreakdown", _)
        | ("CostAnalysis", "configDirBreakdowns") => MACHINE,
        ("SubscriptionComparison", _)
        | (
            "CostAnalysis",
            "billingType"
            | "maxSubscriptionCostUsd"
            | "costUtilizationPercent"
            | "breakEvenDailySpend"
            | "potentialSavingsUsd"
            | "subscriptionComparisons",
        ) => PAYMENT,
        ("ApiKey" | "TeamInvite", _) | ("Query", "apiKeys" | "teamInvites") => {
            "made by mutations, whose own tests show them"
        }
        ("MessageHitConnection", "linesToIndex") => "everything is indexed before it is asked about",
        ("SignIn", _) | ("Query", "mySessions") => "who asks here has not signed in, but is given",
        ("Team", "seats") => "without billing a team has as many as it likes",
        ("User", "avatarUrl" | "email") => "people of these tests did not come from GitHub",
        ("FileHistorySnapshotMessage", "searchText") => "it has no words",
        ("ToolResultUserMessage", "content") => "it holds nothing but results, which are its blocks",
        _ => return None,
    })
}

/// The list holds without the real transcripts, too, so it is the same in every clone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_empty_in_all_answers_is_known_with_its_reason() {
    let shapes = Shapes::read(SDL);
    let answers = Answers::of(&TestDatabase::sqlite().await, &shapes, false).await;
    let all = shapes.reachable(&["Query", "SubscriptionRoot"]);
    let empty = answers.coverage.empty(&all).into_iter();
    let list: Vec<String> =
        empty.map(|field| format!("{field}: {}", reason(field).unwrap_or("NOBODY SAYS WHY"))).collect();
    insta::assert_snapshot!("fields_without_a_value", list.join("\n"));
    assert!(!list.iter().any(|line| line.contains("NOBODY SAYS WHY")));
}

/// The first place where two answers differ.
fn difference(at: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(name, value)| difference(&format!("{at}/{name}"), value, &b[name]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(n, (a, b))| difference(&format!("{at}/{n}"), a, b))
        }
        _ => (a != b).then(|| format!("at {at}: SQLite has {a}, PostgreSQL {b}")),
    }
}
