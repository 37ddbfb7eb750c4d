//! Pages: together they are the whole list, for any page size.

use han_testkit::{SyntheticSession, both_databases};
use serde_json::{Value, json};

use crate::support::{World, codes};

const MESSAGES: &str = "query($id: ID!, $first: Int, $after: String, $progress: Boolean!) {
  node(id: $id) { ... on Session { messageCount messages(first: $first, after: $after, includeProgress: $progress) {
    totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { id timestamp } } } } } }";

const SESSIONS: &str = "query($first: Int, $after: String, $filter: SessionFilter) {
  sessions(first: $first, after: $after, filter: $filter) {
    totalCount pageInfo { hasNextPage endCursor } edges { cursor node { id sessionId updatedAt } } } }";

/// Reads a connection to its end, and returns the ids of its nodes.
async fn walk(
    world: &World,
    query: &str,
    at: &str,
    mut variables: Value,
    first: usize,
) -> (Vec<String>, i64) {
    let mut ids = Vec::new();
    variables["first"] = first.into();
    loop {
        let data = world.ask(query, variables.clone()).await;
        let page = data.pointer(at).unwrap();
        let edges = page["edges"].as_array().unwrap();
        assert!(edges.len() <= first);
        ids.extend(edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()));
        let info = &page["pageInfo"];
        assert_eq!(info["endCursor"], edges.last().map_or(Value::Null, |edge| edge["cursor"].clone()));
        if info["hasNextPage"] == json!(false) {
            return (ids, page["totalCount"].as_i64().unwrap());
        }
        assert_eq!(edges.len(), first, "only the last page may be short");
        variables["after"] = info["endCursor"].clone();
    }
}

both_databases!(
    async fn pages_of_any_size_make_the_whole_list(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(11);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(150)).await;
        world.push(&id, "han", &made.han_events(20)).await;
        for progress in [false, true] {
            let variables = json!({ "id": format!("Session:{id}"), "progress": progress });
            let (whole, total) = walk(&world, MESSAGES, "/node/messages", variables.clone(), 500).await;
            assert_eq!(i64::try_from(whole.len()).unwrap(), total);
            assert_eq!(whole.iter().collect::<std::collections::HashSet<_>>().len(), whole.len());
            for first in [1, 2, 7, 50, whole.len() - 1, whole.len()] {
                let (pages, _) = walk(&world, MESSAGES, "/node/messages", variables.clone(), first).await;
                assert_eq!(pages, whole, "pages of {first}");
            }
        }
    }
);

both_databases!(
    async fn sessions_are_paged_and_filtered(db: TestDatabase) {
        let world = World::new(&db).await;
        for seed in 0..9 {
            let mut made = SyntheticSession::new(seed);
            let path = if seed % 3 == 0 { "/home/dev/orchard" } else { "/home/dev/cellar" };
            let id = made.session_id().to_owned();
            world.push_from(&id, "main", path, &made.lines(3)).await;
        }
        let (whole, total) = walk(&world, SESSIONS, "/sessions", json!({}), 500).await;
        assert_eq!((whole.len(), total), (9, 9));
        for first in [1, 2, 4, 8, 9] {
            assert_eq!(walk(&world, SESSIONS, "/sessions", json!({}), first).await.0, whole);
        }

        let one = whole[0].trim_start_matches("Session:");
        let data = world
            .ask(
                "query($id: String!) { session(id: $id) { projectId project { id repoId } } }",
                json!({ "id": one }),
            )
            .await;
        let raw = data["session"]["projectId"].as_str().unwrap();
        let project = data["session"]["project"]["id"].as_str().unwrap();
        assert_eq!(project, format!("Project:{raw}"));
        let repo = data["session"]["project"]["repoId"].clone();
        let of_project =
            walk(&world, SESSIONS, "/sessions", json!({ "filter": { "projectId": { "_eq": project } } }), 2);
        let (of_project, n) = of_project.await;
        assert!(n == 3 || n == 6, "{n}");
        for (filter, wanted) in [
            (json!({ "projectId": { "_eq": raw } }), n),
            (json!({ "projectId": { "_in": [project] } }), n),
            (json!({ "projectId": { "_ne": project } }), 9 - n),
            (json!({ "projectId": { "_notIn": [raw] } }), 9 - n),
            (json!({ "_not": { "projectId": { "_eq": raw } } }), 9 - n),
            (json!({ "projectId": { "_isNull": true } }), 0),
            (json!({ "projectId": { "_isNull": false } }), 9),
            (json!({ "project": { "repoId": { "_eq": repo } } }), 9),
            (json!({ "project": { "repoId": { "_eq": "Repo:none" } } }), 0),
            (json!({ "_or": [{ "projectId": { "_eq": raw } }, { "sessionId": { "_contains": "-" } }] }), 9),
            (
                json!({ "_and": [{ "projectId": { "_eq": raw } }, { "sessionId": { "_eq": "Session:none" } }] }),
                0,
            ),
            (json!({ "_or": [] }), 0),
            (
                json!({ "updatedAt": { "_gte": "2026-11-02T00:00:00Z", "_lt": "2100-01-01T00:00:00+02:00" } }),
                9,
            ),
            (json!({ "updatedAt": { "_gt": "2100-01-01T00:00:00Z" } }), 0),
        ] {
            let (ids, total) = walk(&world, SESSIONS, "/sessions", json!({ "filter": filter }), 4).await;
            assert_eq!((i64::try_from(ids.len()).unwrap(), total), (wanted, wanted), "{filter}");
        }
        assert_eq!(i64::try_from(of_project.len()).unwrap(), n);
    }
);

both_databases!(
    async fn messages_are_filtered_by_tool(db: TestDatabase) {
        let world = World::new(&db).await;
        let id = world.push_samples().await.remove(0);
        let query = "query($id: String!, $filter: MessageFilter) { session(id: $id) { messages(first: 500, filter: $filter) {
            totalCount edges { node { id ... on AssistantMessage { contentBlocks { ... on ToolUseBlock { name } } } } } } } }";
        let count = async |filter: Value| {
            let data = world.ask(query, json!({ "id": id, "filter": filter })).await;
            let messages = &data["session"]["messages"];
            let edges = messages["edges"].as_array().unwrap().clone();
            assert_eq!(messages["totalCount"], json!(edges.len()));
            edges
        };
        let all = count(Value::Null).await.len();
        let edits = count(json!({ "toolName": { "_eq": "Edit" } })).await;
        assert!(!edits.is_empty());
        for edge in &edits {
            assert!(edge["node"]["contentBlocks"].to_string().contains("\"Edit\""), "{edge}");
        }
        let without_tool = count(json!({ "toolName": { "_isNull": true } })).await.len();
        let others =
            json!({ "_or": [{ "toolName": { "_isNull": true } }, { "toolName": { "_notIn": ["Edit"] } }] });
        assert_eq!(count(others).await.len(), all - edits.len());
        assert!(without_tool > 0 && without_tool < all - edits.len());
    }
);

both_databases!(
    async fn large_lines_shorten_pages_without_loss(db: TestDatabase) {
        let world = World::with_config(&db, |config| config.read_bytes = 1_000_000).await;
        let mut made = SyntheticSession::new(12);
        let id = made.session_id().to_owned();
        let large = |n: usize| {
            format!(
                r#"{{"type":"user","uuid":"u{n}","timestamp":"2026-01-01T00:00:{n:02}.000Z","message":{{"role":"user","content":"{}"}}}}"#,
                "x".repeat(300_000)
            )
        };
        let lines: Vec<String> = (0..10).map(large).chain(made.lines(20)).collect();
        world.push(&id, "main", &lines).await;
        let mut variables = json!({ "id": format!("Session:{id}"), "progress": true, "first": 100 });
        let (mut ids, mut pages) = (Vec::new(), 0);
        let total = loop {
            let data = world.ask(MESSAGES, variables.clone()).await;
            let page = &data["node"]["messages"];
            let edges = page["edges"].as_array().unwrap();
            assert!(!edges.is_empty());
            ids.extend(edges.iter().map(|edge| edge["node"]["id"].clone()));
            pages += 1;
            if page["pageInfo"]["hasNextPage"] == json!(false) {
                break page["totalCount"].as_u64().unwrap() as usize;
            }
            variables["after"] = page["pageInfo"]["endCursor"].clone();
        };
        assert!(pages >= 4, "three of the large lines fit in a page: {pages}");
        assert_eq!(ids.len(), total);
        ids.dedup();
        assert_eq!(ids.len(), total);

        // The pages of one response share its size limit; when it is used up, the response has an error.
        let page = |n| {
            format!(
                "p{n}: node(id: $id) {{ ... on Session {{ messages(first: {}) {{ edges {{ cursor }} }} }} }} ",
                100 + n
            )
        };
        let many: String = (0..60).map(page).collect();
        let response = world
            .response(
                world.ada.context(),
                &format!("query($id: ID!) {{ {many} }}"),
                json!({ "id": format!("Session:{id}") }),
            )
            .await;
        let codes = codes(&response);
        assert!(!codes.is_empty() && codes.iter().all(|code| code == "LIMIT_EXCEEDED"), "{codes:?}");
        assert!(response.errors[0].message.contains("1000000"), "{}", response.errors[0].message);
    }
);
