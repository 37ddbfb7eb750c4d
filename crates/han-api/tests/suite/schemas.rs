//! The two schemas of one build: what the team schema adds to the local one, and the machine behind the local one.

use std::sync::{Arc, Mutex};

use async_graphql::{Request, Variables};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use han_api::machine::{MemoryQuestion, PluginKey};
use han_api::types::machine::{
    CacheEntry, MemoryAgentProgressPayload, MemoryAgentResultPayload, MemoryQuery, MemoryQueryStartResult,
    Plugin, PluginMutationResult, PluginScope, SettingsSummary,
};
use han_api::{ApiError, HanSchema, Machine, NoMachine, QueryLimits, schema};
use han_testkit::both_databases;
use han_types::Capabilities;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::operations::Shapes;
use crate::support::{World, codes};

const ROOTS: [&str; 3] = ["Query", "MutationRoot", "SubscriptionRoot"];

/// The tests are built with the feature `team`, as a workspace build is.
#[test]
fn the_local_schema_has_no_team_fields() {
    let (team, local) = (Shapes::read(&schema::team_sdl()), Shapes::read(&schema::local_sdl()));
    let (team_fields, local_fields) = (team.reachable(&ROOTS), local.reachable(&ROOTS));
    assert!(local_fields.is_subset(&team_fields), "a client works with either schema");
    let added: Vec<_> = team_fields.difference(&local_fields).map(String::as_str).collect();
    insta::assert_snapshot!("added_by_the_team_schema", added.join("\n"));
}

#[test]
fn the_local_schema_has_no_type_of_the_team_schema() {
    let local = schema::local_sdl();
    for ty in [
        "Team",
        "TeamMember",
        "TeamInvite",
        "TeamRole",
        "PlanTier",
        "PlanFeature",
        "PlanUsage",
        "TeamUpdatedPayload",
        "ApiKey",
        "NewApiKey",
        "ServiceAccount",
        "SignIn",
        "SignInKind",
    ] {
        assert!(schema::team_sdl().contains(&format!(" {ty} {{")), "{ty}");
        assert!(!local.contains(&format!(" {ty} {{")), "{ty}");
    }
}

fn local(world: &World, machine: impl Machine) -> HanSchema {
    schema::local(Arc::new(machine), world.db.clone(), broadcast::channel(1).0, QueryLimits::default())
}

async fn run(world: &World, schema: &HanSchema, query: &str, variables: Value) -> async_graphql::Response {
    let request = Request::new(query).variables(Variables::from_json(variables));
    schema.execute(han_api::request(request, world.ada.context())).await
}

async fn ask(world: &World, schema: &HanSchema, query: &str, variables: Value) -> Value {
    let response = run(world, schema, query, variables).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    response.data.into_json().unwrap()
}

both_databases!(
    async fn a_local_schema_refuses_team_operations(db: TestDatabase) {
        let world = World::new(&db).await;
        let local = local(&world, NoMachine);
        for query in [
            "mutation { createTeam(name: \"Orchard\") { id } }",
            "mutation { rotateApiKey(teamId: \"t\") { secret } }",
            "mutation { revokeSession(id: \"s\") }",
            "{ me { id } }",
            "{ teamMembers(teamId: \"t\") { role } }",
        ] {
            let response = run(&world, &local, query, json!({})).await;
            assert_eq!(codes(&response), ["BAD_USER_INPUT"], "{query}: {:?}", response.errors);
            assert!(response.errors[0].message.contains("Unknown field"), "{query}: {:?}", response.errors);
        }
        let sessions = ask(&world, &local, "{ sessions { totalCount } }", json!({})).await;
        assert_eq!(sessions, json!({ "sessions": { "totalCount": 0 } }));
    }
);

/// A machine with two plugins, which records the calls that name a project or change something.
#[derive(Clone, Default)]
struct FakeMachine(Arc<Mutex<Vec<String>>>);

impl FakeMachine {
    fn record(&self, call: String) {
        self.0.lock().unwrap().push(call);
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn plugin(name: &str, scope: PluginScope, enabled: bool, category: Option<&str>) -> Plugin {
    Plugin {
        id: format!("Plugin:{name}").into(),
        name: name.to_owned(),
        marketplace: Some("han".to_owned()),
        scope,
        enabled,
        category: category.map(str::to_owned),
    }
}

fn cache_entry(id: &str, file_count: i32, last_modified: Option<&str>) -> CacheEntry {
    CacheEntry {
        id: id.into(),
        plugin_name: None,
        hook_name: None,
        file_count,
        last_modified: last_modified.map(str::to_owned),
    }
}

#[async_trait]
impl Machine for FakeMachine {
    async fn plugins(&self, project_path: Option<&str>) -> Result<Option<Vec<Plugin>>, ApiError> {
        if let Some(path) = project_path {
            self.record(format!("plugins {path}"));
            return Ok(Some(vec![plugin("lint", PluginScope::Project, true, None)]));
        }
        Ok(Some(vec![
            plugin("lint", PluginScope::Project, true, Some("validation")),
            plugin("core", PluginScope::User, true, Some("core")),
            plugin("test", PluginScope::Local, false, Some("validation")),
        ]))
    }

    async fn cache_entries(&self) -> Result<Option<Vec<CacheEntry>>, ApiError> {
        Ok(Some(vec![
            cache_entry("a", 2, Some("2026-11-02T09:00:00.000Z")),
            cache_entry("b", 3, Some("2026-11-01T09:00:00.000Z")),
            cache_entry("c", 0, None),
        ]))
    }

    async fn settings(&self, project_path: Option<&str>) -> Result<Option<SettingsSummary>, ApiError> {
        self.record(format!("settings {project_path:?}"));
        Ok(Some(SettingsSummary {
            claude_settings: None,
            claude_settings_files: Vec::new(),
            han_config: None,
            han_config_files: Vec::new(),
            mcp_servers: Vec::new(),
            permissions: None,
        }))
    }

    async fn memory(&self) -> Result<Option<MemoryQuery>, ApiError> {
        Ok(Some(MemoryQuery { rules: Vec::new() }))
    }

    async fn set_plugin_enabled(
        &self,
        plugin: PluginKey,
        enabled: bool,
    ) -> Result<PluginMutationResult, ApiError> {
        self.record(format!("enabled {enabled} {}@{} {:?}", plugin.name, plugin.marketplace, plugin.scope));
        Ok(PluginMutationResult { success: true, message: None })
    }

    async fn remove_plugin(&self, plugin: PluginKey) -> Result<PluginMutationResult, ApiError> {
        self.record(format!("removed {}@{} {:?}", plugin.name, plugin.marketplace, plugin.scope));
        Ok(PluginMutationResult { success: false, message: Some("it is not installed".to_owned()) })
    }

    async fn start_memory_query(&self, question: MemoryQuestion) -> Result<MemoryQueryStartResult, ApiError> {
        self.record(format!("{question:?}"));
        Ok(MemoryQueryStartResult { success: true, session_id: Some("q1".to_owned()), message: None })
    }

    async fn memory_progress(
        &self,
        session_id: Option<String>,
    ) -> Result<BoxStream<'static, MemoryAgentProgressPayload>, ApiError> {
        let step = |kind: &str| MemoryAgentProgressPayload {
            session_id: session_id.clone().unwrap_or_default(),
            kind: kind.to_owned(),
            layer: None,
            content: None,
            result_count: None,
            timestamp: "2026-11-02T09:00:00.000Z".to_owned(),
        };
        Ok(stream::iter([step("searching"), step("found")]).boxed())
    }

    async fn memory_results(
        &self,
        _session_id: Option<String>,
    ) -> Result<BoxStream<'static, MemoryAgentResultPayload>, ApiError> {
        Err(ApiError::Unsupported("the memory is disabled in han.yml"))
    }
}

both_databases!(
    async fn machine_queries_are_answered_by_the_machine(db: TestDatabase) {
        let world = World::new(&db).await;
        let local = local(&world, FakeMachine::default());
        let query = "{ plugins { id } pluginCategories { category count }
            pluginStats { totalPlugins enabledPlugins userPlugins projectPlugins localPlugins } cacheEntries { id }
            cacheStats { totalEntries totalFiles oldestEntry newestEntry } settings { mcpServers { id } } memory { rules { id } } }";
        let found = ask(&world, &local, query, json!({})).await;
        insta::assert_json_snapshot!("machine_queries", found);
    }
);

both_databases!(
    async fn a_machine_receives_the_path_of_a_project(db: TestDatabase) {
        let world = World::new(&db).await;
        world.push_from("s1", "main", "/home/dev/orchard", &[json!({ "type": "user" }).to_string()]).await;
        let machine = FakeMachine::default();
        let local = local(&world, machine.clone());
        let query = "{ projects { projectId plugins { name } } }";
        let projects = ask(&world, &local, query, json!({})).await["projects"].take();
        assert_eq!(projects[0]["plugins"], json!([{ "name": "lint" }]));
        assert_eq!(machine.calls(), ["plugins /home/dev/orchard"]);

        let id = projects[0]["projectId"].as_str().unwrap();
        let query = "query($id: String) { settings(projectId: $id) { mcpServers { id } } }";
        for id in [id.to_owned(), format!("Project:{id}")] {
            assert!(ask(&world, &local, query, json!({ "id": id })).await["settings"].is_object());
            assert_eq!(machine.calls(), ["settings Some(\"/home/dev/orchard\")"]);
        }
        assert!(ask(&world, &local, query, json!({ "id": "" })).await["settings"].is_object());
        assert_eq!(machine.calls(), ["settings None"]);
        assert!(ask(&world, &local, query, json!({ "id": "prj_none" })).await["settings"].is_null());
        assert!(machine.calls().is_empty());
    }
);

both_databases!(
    async fn machine_mutations_are_made_by_the_machine(db: TestDatabase) {
        let world = World::new(&db).await;
        let machine = FakeMachine::default();
        let local = local(&world, machine.clone());
        let query = "mutation {
            togglePlugin(name: \"lint\", marketplace: \"han\", scope: PROJECT, enabled: false) { success message }
            removePlugin(name: \"gone\", marketplace: \"han\", scope: USER) { success message }
            startMemoryQuery(projectPath: \"/home/dev/orchard\", question: \"Which trees?\") { success sessionId } }";
        let found = ask(&world, &local, query, json!({})).await;
        assert_eq!(
            found,
            json!({
                "togglePlugin": { "success": true, "message": null },
                "removePlugin": { "success": false, "message": "it is not installed" },
                "startMemoryQuery": { "success": true, "sessionId": "q1" },
            })
        );
        insta::assert_snapshot!("machine_mutations", machine.calls().join("\n"));
    }
);

both_databases!(
    async fn an_api_key_does_not_change_a_machine(db: TestDatabase) {
        let world = World::new(&db).await;
        let machine = FakeMachine::default();
        let local = local(&world, machine.clone());
        let mut key = world.ada.clone();
        key.actor.capabilities = Capabilities::from_key_scopes("read sync:write");
        for field in [
            "togglePlugin(name: \"lint\", marketplace: \"han\", scope: PROJECT, enabled: false) { success }",
            "removePlugin(name: \"lint\", marketplace: \"han\", scope: USER) { success }",
            "startMemoryQuery(projectPath: \"/home/dev/orchard\", question: \"Which trees?\") { success }",
        ] {
            let request = Request::new(format!("mutation {{ {field} }}"));
            let response = local.execute(han_api::request(request, key.context())).await;
            assert_eq!(codes(&response), ["FORBIDDEN"], "{field}: {:?}", response.errors);
        }
        assert!(machine.calls().is_empty());
        let plugins = Request::new("{ plugins { id } }");
        let response = local.execute(han_api::request(plugins, key.context())).await;
        assert!(response.errors.is_empty(), "it may read: {:?}", response.errors);
    }
);

both_databases!(
    async fn memory_subscriptions_stream_from_the_machine(db: TestDatabase) {
        let world = World::new(&db).await;
        let local = local(&world, FakeMachine::default());
        let subscribe = |query: &str| {
            local.execute_stream(han_api::request(Request::new(query), world.ada.context()), None)
        };
        let steps: Vec<_> =
            subscribe("subscription { memoryAgentProgress(sessionId: \"q1\") { sessionId type } }")
                .map(|response| response.data.into_json().unwrap()["memoryAgentProgress"].take())
                .collect()
                .await;
        let step = |kind: &str| json!({ "sessionId": "q1", "type": kind });
        assert_eq!(steps, [step("searching"), step("found")]);

        let failed = subscribe("subscription { memoryAgentResult { success } }").next().await.unwrap();
        assert_eq!(codes(&failed), ["UNSUPPORTED"]);
        assert_eq!(failed.errors[0].message, "the memory is disabled in han.yml");
    }
);

both_databases!(
    async fn a_team_server_has_no_machine(db: TestDatabase) {
        let world = World::new(&db).await;
        let query =
            "{ plugins { id } pluginCategories { count } pluginStats { totalPlugins } cacheEntries { id }
            cacheStats { totalEntries } settings { mcpServers { id } } memory { rules { id } } }";
        let found = world.ask(query, json!({})).await;
        assert_eq!(
            found,
            json!({ "plugins": [], "pluginCategories": [], "pluginStats": null, "cacheEntries": [], "cacheStats": null,
                    "settings": null, "memory": null })
        );
        for field in [
            "togglePlugin(name: \"a\", marketplace: \"b\", scope: USER, enabled: true) { success message }",
            "removePlugin(name: \"a\", marketplace: \"b\", scope: USER) { success message }",
            "startMemoryQuery(projectPath: \"/\", question: \"?\") { success message }",
        ] {
            let found = world.ask(&format!("mutation {{ found: {field} }}"), json!({})).await["found"].take();
            assert_eq!(found["success"], false, "{field}");
            assert!(found["message"].as_str().unwrap().contains("local coordinator"), "{found}");
        }
        for field in ["memoryAgentProgress { type }", "memoryAgentResult { success }"] {
            let request = Request::new(format!("subscription {{ {field} }}"));
            let request = han_api::request(request, world.ada.context());
            let response = world.schema.execute_stream(request, None).next().await.unwrap();
            assert_eq!(codes(&response), ["UNSUPPORTED"], "{field}");
        }
    }
);
