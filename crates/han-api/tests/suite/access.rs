//! Access: anonymous callers, users of another team, keys without read access, users without a team.

use han_api::RequestContext;
use han_testkit::{SyntheticSession, both_databases};
use han_types::{Capabilities, UserId};
use serde_json::json;

use crate::support::{World, actor, codes};

const EVERYTHING: &str = "query($session: ID!, $raw: String!, $message: ID!, $text: String!, $project: ID!, $projectText: String!, $repo: ID!, $repoText: String!) {
  a: node(id: $session) { id } b: session(id: $raw) { id } c: node(id: $message) { id } d: message(id: $text) { id }
  e: node(id: $project) { id } f: project(id: $projectText) { id } g: node(id: $repo) { id } h: repo(id: $repoText) { id }
  sessions { totalCount edges { node { id } } } }";

both_databases!(
    async fn objects_of_another_team_are_not_found(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(3);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(10)).await;
        let data = world
            .ask(
                "query($id: String!) { session(id: $id) { project { id projectId repo { id repoId } } messages(first: 1) { edges { node { id } } } } }",
                json!({ "id": id }),
            )
            .await;
        let session = &data["session"];
        let message = &session["messages"]["edges"][0]["node"]["id"];
        let (project, repo) = (&session["project"], &session["project"]["repo"]);
        let variables = json!({
            "session": format!("Session:{id}"), "raw": id, "message": message, "text": message,
            "project": project["id"], "projectText": project["projectId"],
            "repo": repo["id"], "repoText": repo["repoId"],
        });

        let own = world.ask(EVERYTHING, variables.clone()).await;
        for field in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert!(own[field]["id"].is_string(), "{field}: {own}");
        }
        assert_eq!(own["sessions"]["totalCount"], 1);

        let eve = world.stranger().await;
        let teamless = RequestContext::new(actor("teamless".parse::<UserId>().unwrap()));
        for context in [eve.context(), teamless] {
            let response = world.response(context, EVERYTHING, variables.clone()).await;
            assert!(response.errors.is_empty(), "{:?}", response.errors);
            let data = response.data.into_json().unwrap();
            for field in ["a", "b", "c", "d", "e", "f", "g", "h"] {
                assert!(data[field].is_null(), "{field}: {data}");
            }
            assert_eq!(data["sessions"], json!({ "totalCount": 0, "edges": [] }));
        }
    }
);

both_databases!(
    async fn reading_without_permission_is_an_error(db: TestDatabase) {
        let world = World::new(&db).await;
        let query = "{ __typename sessions { totalCount } }";

        let anonymous = world.schema.execute(async_graphql::Request::new(query)).await;
        assert_eq!(codes(&anonymous), ["UNAUTHENTICATED"]);
        let typename = world.schema.execute(async_graphql::Request::new("{ __typename }")).await;
        assert!(typename.errors.is_empty());

        let mut writer = world.ada.actor.clone();
        writer.capabilities = Capabilities::from_key_scopes("sync:write");
        let context = RequestContext::new(writer).with_scope(world.ada.scope.clone());
        for query in [
            query,
            "{ plugins { id } }",
            "mutation { startMemoryQuery(projectPath: \"/\", question: \"?\") { success } }",
        ] {
            assert_eq!(
                codes(&world.response(context.clone(), query, json!({})).await),
                ["FORBIDDEN"],
                "{query}"
            );
        }
    }
);

both_databases!(
    async fn fields_without_data_work_without_the_database(db: TestDatabase) {
        let world = World::new(&db).await;
        world.db.close().await;
        let context = world.ada.context();
        let response = world
            .response(context.clone(), "{ __typename plugins { id } cacheStats { totalFiles } }", json!({}))
            .await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        let response = world.response(context, "{ sessions { totalCount } }", json!({})).await;
        assert_eq!(codes(&response), ["UNAVAILABLE"]);
        assert!(!response.errors[0].message.contains("pool"), "errors of the driver belong in the log");
    }
);
