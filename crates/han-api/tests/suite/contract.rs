//! Every field of the schema, on every kind of line: both databases return the same, and each field that never has a
//! value is listed with the reason.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::types::FieldDefinition;
use han_db::queries::teams;
use han_testkit::{TestDatabase, both_databases};
use serde_json::{Value, json};

use crate::corpus::{self, RICH};
use crate::live::Watch;
use crate::operations::{Arguments, Coverage, SDL, Shapes};
use crate::support::{Checkout, World};

/// The responses of one world to all operations.
struct ResponseLog {
    /// The response of each operation, without ids that differ between worlds.
    by_operation: BTreeMap<String, Value>,
    coverage: Coverage,
}

impl ResponseLog {
    /// Fills a world and runs every operation.
    async fn of(database: &TestDatabase, shapes: &Shapes, with_real: bool) -> Self {
        // The same keys in every world, and thereby the same ids, which break ties in lists.
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
        // These are too complex to be nested in a list.
        let mut arguments = names.needed();
        arguments.insert("Session.searchMessages.query".to_owned(), "\"trees\"".to_owned());
        arguments.insert("Session.outline.first".to_owned(), "20".to_owned());
        arguments.insert("Session.contextSizes.first".to_owned(), "3".to_owned());
        for field in ["searchMessages", "outline", "contextSizes"] {
            let text = shapes.field("Session", root(shapes, "Session", field), &arguments).unwrap();
            let query = format!("query {{ session(id: \"{RICH}\") {{ __typename {text} }} }}");
            answers.ask(&world, format!("{field} of a session"), &query, &names).await;
        }
        answers.subscribe(&world, shapes, &names).await;
        answers
    }

    /// The first payload of every subscription.
    async fn subscribe(&mut self, world: &World, shapes: &Shapes, names: &Names) {
        let mut watches = BTreeMap::new();
        for field in shapes.fields("SubscriptionRoot") {
            let name = field.name.node.to_string();
            // Those two need a machine: see `schemas`.
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
        self.receive(&mut watches, &of_main, names).await;
        world.push(RICH, "han", &han).await;
        self.receive(&mut watches, &["toolResultAdded", "hookResultAdded", "sessionHooksChanged"], names)
            .await;
        world.push("late-session", "main", &main).await;
        self.receive(&mut watches, &["sessionAdded"], names).await;
        teams::rename(&world.ada.scope, &world.db, "Orchard").await.unwrap();
        self.receive(&mut watches, &["teamUpdated"], names).await;
        assert!(watches.is_empty(), "not received: {:?}", watches.keys());
    }

    async fn receive(&mut self, watches: &mut BTreeMap<String, Watch>, of: &[&str], names: &Names) {
        for name in of {
            let payload = watches.remove(*name).unwrap().next(name).await;
            let mut answer = json!({"__typename": "SubscriptionRoot"});
            answer[name] = payload;
            self.coverage.add(&answer);
            self.by_operation.insert(format!("subscription {name}"), names.hidden(&answer));
        }
    }

    /// Every root field, each in its own operation.
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
        self.coverage.add(&json!({"__typename": "Query"}));
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("__typename".to_owned(), json!("Query"));
        }
        self.coverage.add(&answer);
        self.by_operation.insert(name, names.hidden(&answer));
        answer
    }
}

fn root<'s>(shapes: &'s Shapes, ty: &str, name: &str) -> &'s FieldDefinition {
    shapes.fields(ty).into_iter().find(|field| field.name.node == name).unwrap()
}

/// Messages of the rich session that are in no list, because they are nested.
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

/// The ids that differ between worlds with the same content.
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

    /// Required arguments, and limits of page sizes.
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

    /// All arguments.
    fn arguments(&self) -> Arguments {
        let text = |text: &str| json!(text).to_string();
        let more = [
            ("projectId", text(&self.project)),
            ("days", "400".to_owned()),
            ("startDate", text("2026-01-01")),
            ("endDate", text("2026-12-31")),
            ("granularity", "month".to_owned()),
            ("groupBy", "[DAY, MODEL, PROJECT, PERSON]".to_owned()),
            ("period", "MONTH".to_owned()),
            ("limit", "10".to_owned()),
        ];
        self.needed().into_iter().chain(more.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// The arguments of subscriptions.
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
async fn both_databases_return_the_same() {
    let shapes = Shapes::read(SDL);
    let (sqlite, postgres) = (TestDatabase::sqlite().await, TestDatabase::postgres().await);
    let on_sqlite = ResponseLog::of(&sqlite, &shapes, true).await;
    let on_postgres = ResponseLog::of(&postgres, &shapes, true).await;
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
    assert!(unexplained.is_empty(), "empty in all responses, without a reason: {unexplained:#?}");
}

both_databases!(
    async fn no_response_has_a_number_of_a_team_or_session(db: TestDatabase) {
        let responses = ResponseLog::of(&db, &Shapes::read(SDL), false).await;
        let numbers = db.marked_numbers().await;
        for (name, response) in &responses.by_operation {
            let found = numbers.found_in(&response.to_string());
            assert!(found.is_empty(), "{name}: {found:?} in {response}");
        }
    }
);

/// A short operation on the list that an argument filters, and its root field.
fn filtered_list(argument: &str) -> Option<(&'static str, String)> {
    let (list, items) = match argument {
        "Query.sessions.filter" => ("sessions", "totalCount edges { node { id } }"),
        "Query.projects.filter" => ("projects", "id"),
        "Query.repos.filter" => ("repos", "id"),
        "Session.messages.filter" => {
            let messages = "messages(first: 20, filter: FILTER) { totalCount edges { node { id } } }";
            return Some(("session", format!("session(id: \"{RICH}\") {{ {messages} }}")));
        }
        _ => return None,
    };
    Some((list, format!("{list}(first: 20, filter: FILTER) {{ {items} }}")))
}

/// Why a field is null, empty or zero in every response. Each such field needs a reason here.
fn reason(field: &str) -> Option<&'static str> {
    const MACHINE: &str = "known only on the developer's machine: see `schemas`";
    const PAYMENT: &str = "transcripts do not record how tokens are paid for";
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
        ("ApiKey" | "TeamInvite" | "ServiceAccount", _)
        | ("Query", "apiKeys" | "teamInvites")
        | ("Team", "serviceAccounts" | "retentionDays") => "created by mutations, which have their own tests",
        ("AuditEntry", _) => "the callers of these tests have no request: see `audit` of the server's tests",
        ("Team", "cancelsAt" | "graceUntil") => "without billing, no subscription ends",
        ("Session", "purgedAt") => {
            "no content of these sessions was purged: see `retention` of the server's tests"
        }
        ("MessageHitConnection", "linesToIndex") => "all lines are indexed before the query",
        ("SignIn", _) | ("Query", "mySessions") => "the callers of these tests have not signed in",
        ("Team", "seats") | ("PlanLimits", _) => "without billing, nothing is limited",
        ("User", "avatarUrl" | "email") => "the users of these tests do not come from GitHub",
        ("FileHistorySnapshotMessage", "searchText") => "it has no text",
        ("UnknownEventMessage", "searchText") => "progress lines repeat other lines",
        ("Project", "worktrees") => "the worktrees of a repository are one project with it",
        ("LineDamage", _) | (_, "damage" | "damagedLineCount" | "clockAheadSeconds" | "title") => {
            "no line of these sessions is damaged, from the future or a title: see `cases`"
        }
        ("ToolResultBlock", "images") => "no result of these sessions has one: see `window`",
        ("ToolResultUserMessage", "content") => "it has only results, which are its blocks",
        _ => return None,
    })
}

both_databases!(
    async fn an_empty_argument_is_an_absent_one(db: TestDatabase) {
        let shapes = Shapes::read(SDL);
        let world = World::seeded(&db, 1).await;
        corpus::push(&world, false).await;
        let needed = Names::of(&world).await.needed();
        let mut compared = BTreeSet::new();
        let mut without_any: BTreeMap<String, Value> = BTreeMap::new();
        for (scope, empty) in shapes.empty_arguments() {
            // The key of an input object's field is that of the argument, then the field.
            let argument = scope.split(' ').next().unwrap().to_owned();
            for field in shapes.fields("Query") {
                let Some(without) = shapes.field("Query", field, &needed) else { continue };
                let mut arguments = needed.clone();
                arguments.insert(argument.clone(), empty.clone());
                let with = shapes.field("Query", field, &arguments).unwrap();
                if with == without {
                    continue;
                }
                let (with, without) = match filtered_list(&argument) {
                    // There are many filters, and what a list contains says whether it is the same.
                    Some((of, list)) if of == field.name.node.as_str() => {
                        (list.replace("FILTER", &empty), list.replace("FILTER", "null"))
                    }
                    Some(_) => continue,
                    None => (with, without),
                };
                if !without_any.contains_key(&without) {
                    let answer = world.ask(&format!("query {{ {without} }}"), json!({})).await;
                    without_any.insert(without.clone(), answer);
                }
                let with = world.ask(&format!("query {{ {with} }}"), json!({})).await;
                if let Some(difference) = difference("", &without_any[&without], &with) {
                    panic!("{} with an empty {scope}, {empty}: {difference}", field.name.node);
                }
                compared.insert(scope.clone());
            }
        }
        let expected = [
            "Query.activity.projectId",
            "Query.activity.repoId",
            "Query.dashboardAnalytics.projectId",
            "Query.metrics.repoId",
            "Query.projects.filter repoId {}",
            "Query.projects.filter repo repoId {_contains: \"\"}",
            "Query.searchMessages.filter sessionId ",
            "Query.searchMessages.filter since ",
            "Query.sessions.after",
            "Query.sessions.filter ownerId {_ne: \"\"}",
            "Query.sessions.filter project repo repoId {_eq: \"\", _in: [\"\"]}",
            "Query.sessions.filter startedAt ",
            "Query.sessions.filter _not projectId {_eq: \"\", _in: [\"\"]}",
            "Query.sessions.filter _or project {}",
            "Query.settings.projectId",
            "Query.teamMembers.after",
            "Query.teamMetrics.endDate",
            "Session.messages.agentId",
            "Session.messages.filter agentId {_notIn: [\"\"]}",
        ];
        for scope in expected {
            assert!(compared.contains(scope), "{scope} is not among {compared:#?}");
        }
    }
);

both_databases!(
    async fn a_project_scope_takes_a_repository(db: TestDatabase) {
        let world = World::new(&db).await;
        corpus::push(&world, false).await;
        let names = Names::of(&world).await;
        let figures = "tokenUsage { totalTokens messageCount sessionCount } totalMessages";
        let ask = async |arguments: String| {
            let query = format!("{{ activity(days: 400, {arguments}) {{ {figures} }} }}");
            world.ask(&query, json!({})).await["activity"].take()
        };
        let (project, repo) = (&names.project, &names.repo);
        let of_repo = ask(format!("repoId: \"{repo}\"")).await;
        let of_project = ask(format!("projectId: \"{project}\"")).await;
        assert!(
            of_repo["totalMessages"].as_i64().unwrap() > 0
                && of_project["totalMessages"].as_i64().unwrap() > 0
        );
        for same in [
            format!("projectId: \"\", repoId: \"{repo}\""),
            format!("projectId: null, repoId: \"Repo:{repo}\""),
            format!("projectId: \"{repo}\""),
            format!("projectId: \"Repo:{repo}\", repoId: \"\""),
        ] {
            assert_eq!(ask(same.clone()).await, of_repo, "{same}");
        }
        assert_eq!(ask(format!("projectId: \"Project:{project}\", repoId: \"{repo}\"")).await, of_project);
        assert_eq!(ask("projectId: \"elsewhere\"".to_owned()).await["totalMessages"], 0);
    }
);

both_databases!(
    async fn a_repository_in_a_projects_place_filters_lists_and_searches(db: TestDatabase) {
        let world = World::new(&db).await;
        // Two checkouts of one repository, and one of another.
        let prompt = |n: usize| {
            json!({ "type": "user", "uuid": format!("u{n}"), "timestamp": format!("2026-01-01T00:00:{n:02}.000Z"),
                    "message": { "role": "user", "content": format!("needle {n}") } })
            .to_string()
        };
        let other = Checkout { path: "/home/dev/cellar", remote: "git@example.com:team/cellar.git" };
        for (n, session) in [(0, "a1"), (1, "b1"), (2, "a2"), (3, "b2"), (4, "a3"), (5, "b3"), (6, "a4")] {
            let path = if session.starts_with('a') { "/home/dev/orchard" } else { "/home/dev/orchard-2" };
            world.push_from(session, "main", path, &[prompt(n), prompt(n + 20)]).await;
        }
        world.push_as(&world.ada.scope, "c1", "main", &other, &[prompt(9)]).await;
        corpus::index(&world).await;
        let found = world.ask("{ session(id: \"a1\") { project { projectId repoId } } }", json!({})).await;
        let project = found["session"]["project"]["projectId"].as_str().unwrap();
        let repo = found["session"]["project"]["repoId"].as_str().unwrap();

        let query = "query($filter: SessionFilter) { sessions(filter: $filter) { totalCount } }";
        let sessions = async |filter: Value| {
            world.ask(query, json!({ "filter": filter })).await["sessions"]["totalCount"].as_i64().unwrap()
        };
        for repo in [repo.to_owned(), format!("Repo:{repo}")] {
            for (filter, count) in [
                (json!({ "projectId": { "_eq": repo } }), 7),
                (json!({ "projectId": { "_in": [repo, ""] } }), 7),
                (json!({ "projectId": { "_in": [repo, "Project:none"] } }), 7),
                (json!({ "projectId": { "_ne": repo } }), 1),
                (json!({ "projectId": { "_notIn": [repo] } }), 1),
                (json!({ "projectId": { "_eq": repo, "_ne": project } }), 3),
                (json!({ "_not": { "projectId": { "_eq": repo } } }), 1),
                (json!({ "project": { "projectId": { "_eq": repo } } }), 7),
                (json!({ "projectId": { "_in": [] } }), 0),
                (json!({ "projectId": { "_eq": project } }), 4),
                (json!({ "projectId": { "_eq": format!("Project:{project}") } }), 4),
                (json!({ "projectId": { "_eq": "neither" } }), 0),
                (json!({ "projectId": { "_in": vec![repo.clone(); 1000] } }), 7),
            ] {
                assert_eq!(sessions(filter.clone()).await, count, "{filter}");
            }
            // Each page ends where all of the repository's projects were searched to.
            let query = "query($project: ID, $first: Int, $after: String) { searchMessages(query: \"needle\", first: $first,
                after: $after, filter: { projectId: $project }) { edges { node { messageId } }
                pageInfo { hasNextPage endCursor } } }";
            let hits = async |project: Value, first: usize| {
                let (mut ids, mut after) = (Vec::new(), Value::Null);
                loop {
                    let variables = json!({ "project": project, "first": first, "after": after });
                    let page = world.ask(query, variables).await["searchMessages"].take();
                    let edges = page["edges"].as_array().unwrap();
                    assert!(edges.len() <= first);
                    ids.extend(
                        edges.iter().map(|edge| edge["node"]["messageId"].as_str().unwrap().to_owned()),
                    );
                    if page["pageInfo"]["hasNextPage"] == json!(false) {
                        return ids;
                    }
                    after = page["pageInfo"]["endCursor"].clone();
                }
            };
            let mut expected = hits(Value::Null, 50).await;
            assert_eq!(expected.len(), 15);
            expected.retain(|id| !id.contains(":c1~"));
            for first in [1, 2, 3, 5, 13, 14, 50] {
                assert_eq!(hits(json!(repo), first).await, expected, "pages of {first}");
            }
            assert_eq!(hits(json!(project), 3).await.len(), 8);
            assert!(hits(json!("Repo:none"), 3).await.is_empty());
        }
    }
);

both_databases!(
    async fn an_id_with_nul_is_one_of_nothing(db: TestDatabase) {
        let world = World::new(&db).await;
        world.push_samples().await;
        corpus::index(&world).await;
        for field in [
            "searchMessages(query: \"the\", filter: { sessionId: $id }) { edges { cursor } }",
            "searchMessages(query: \"the\", filter: { projectId: $id }) { edges { cursor } }",
            "searchMessages(query: \"the\", filter: { userId: $id }) { edges { cursor } }",
            "sessions(filter: { projectId: { _eq: $text } }) { edges { cursor } }",
            "sessions(filter: { ownerId: { _in: [$text] } }) { edges { cursor } }",
        ] {
            for id in ["\0", "a\0", "Project:\0", "Repo:a\0b"] {
                let (name, ty) = if field.contains("$text") { ("text", "String!") } else { ("id", "ID") };
                let query = format!("query(${name}: {ty}) {{ found: {field} }}");
                let found = world.ask(&query, json!({ name: id })).await;
                assert_eq!(found["found"]["edges"], json!([]), "{field} {id:?}");
            }
        }
        for figures in
            ["activity(projectId: $id) { totalMessages }", "activity(repoId: $id) { totalMessages }"]
        {
            let query = format!("query($id: String) {{ found: {figures} }}");
            assert_eq!(world.ask(&query, json!({ "id": "a\0" })).await["found"]["totalMessages"], 0);
        }
    }
);

/// Without the real transcripts, so that the list is the same in every clone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_without_a_value_have_a_reason() {
    let shapes = Shapes::read(SDL);
    let answers = ResponseLog::of(&TestDatabase::sqlite().await, &shapes, false).await;
    let all = shapes.reachable(&["Query", "SubscriptionRoot"]);
    let empty = answers.coverage.empty(&all).into_iter();
    let list: Vec<String> =
        empty.map(|field| format!("{field}: {}", reason(field).unwrap_or("NO REASON"))).collect();
    insta::assert_snapshot!("fields_without_a_value", list.join("\n"));
    assert!(!list.iter().any(|line| line.contains("NO REASON")));
}

/// The first difference of two responses.
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
