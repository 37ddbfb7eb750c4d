//! Documents that are invalid, too large, or introspection.

use async_graphql::Request;
use han_testkit::both_databases;
use serde_json::{Value, json};

use crate::support::{World, codes};

both_databases!(
    async fn invalid_input_gets_a_code_and_a_remedy(db: TestDatabase) {
        let world = World::new(&db).await;
        let nested = format!("{{ {} a {} }}", "node(id: \"x\") { ".repeat(40), "}".repeat(40));
        let aliases: String = (0..300).map(|n| format!("a{n}: __typename ")).collect();
        let costly =
            "{ sessions(first: 500) { edges { node { messages(first: 500) { edges { node { id } } } } } } }";
        for (query, code, says) in [
            ("{", "BAD_USER_INPUT", ""),
            ("{ nothing }", "BAD_USER_INPUT", "nothing"),
            (
                "{ sessions(first: 501) { totalCount } }",
                "BAD_USER_INPUT",
                "first: first is 501; ask for 1 to 500",
            ),
            ("{ sessions(first: -1) { totalCount } }", "BAD_USER_INPUT", "first: first is -1"),
            ("{ sessions(after: \"!\") { totalCount } }", "BAD_USER_INPUT", "after: the cursor is malformed"),
            (
                "{ sessions(filter: { updatedAt: { _gt: \"soon\" } }) { totalCount } }",
                "BAD_USER_INPUT",
                "RFC 3339",
            ),
            ("query($first: Int) { sessions(first: $frist) { totalCount } }", "BAD_USER_INPUT", "frist"),
            ("subscription { memoryUpdated { type } }", "BAD_USER_INPUT", "transport"),
            (costly, "LIMIT_EXCEEDED", "complex"),
            (&nested, "LIMIT_EXCEEDED", "nests deeper than 32"),
            (&format!("{{ {aliases} }}"), "LIMIT_EXCEEDED", "200 aliases"),
        ] {
            let response = world.response(world.ada.context(), query, json!({})).await;
            assert_eq!(
                codes(&response).first().map(String::as_str),
                Some(code),
                "{query}: {:?}",
                response.errors
            );
            let said = response.errors.iter().any(|error| error.message.contains(says));
            assert!(said, "{query}: {:?}", response.errors);
        }
    }
);

both_databases!(
    async fn an_id_of_nothing_is_null_without_an_error(db: TestDatabase) {
        let world = World::new(&db).await;
        for id in [
            "",
            "x",
            "!",
            "Cellar:1",
            "Session:",
            "Session:x",
            "Message:one",
            "Message:a~main~u",
            "Message:a~main",
            "Message:a:main:u",
            "Message:a~main~%ff",
            "Message:a~main~u~v",
            "a~main~u",
            "Project:x",
            "Repo:!",
            "User:x",
            "Session:agent-x",
            "agent-x",
            ":",
            "Message:a~main~\u{0}",
        ] {
            for field in ["node", "message", "session", "project", "repo"] {
                let ty = if field == "node" { "ID" } else { "String" };
                let query = format!("query($id: {ty}!) {{ {field}(id: $id) {{ id }} }}");
                assert_eq!(
                    world.ask(&query, json!({ "id": id })).await[field],
                    Value::Null,
                    "{field} {id:?}"
                );
            }
        }
    }
);

both_databases!(
    async fn a_failed_nullable_field_is_null(db: TestDatabase) {
        let world = World::new(&db).await;
        world.push_samples().await;
        let response =
            world.response(world.ada.context(), "{ activity(days: 0) { totalMessages } }", json!({})).await;
        assert_eq!(codes(&response), ["BAD_USER_INPUT"]);
        assert_eq!(response.data.into_json().unwrap(), json!({ "activity": null }));
        let query = "query($id: ID!) { bad: activity(days: 0) { totalMessages } me { id } node(id: $id) { ...F } alone: node(id: $id) {
            ... on Session { searchMessages(query: \"?\") { messageId } } } } fragment F on Session { sessionId
            searchMessages(query: \"?\") { messageId } messages(first: 1) { totalCount } }";
        let id = "5b1f0c52-7c1e-4b58-9d0a-3f6f3f1f9a01";
        let response =
            world.response(world.ada.context(), query, json!({ "id": format!("Session:{id}") })).await;
        assert_eq!(response.errors.len(), 3, "{:?}", response.errors);
        let data = response.data.into_json().unwrap();
        assert_eq!((&data["bad"], data["me"]["id"].is_string()), (&Value::Null, true));
        assert!(data.as_object().unwrap().contains_key("bad"));
        assert_eq!(data["node"]["sessionId"], id);
        assert!(data["node"]["messages"]["totalCount"].as_i64().unwrap() > 0);
        assert_eq!(data["node"].as_object().unwrap().get("searchMessages"), Some(&Value::Null));
        assert_eq!(data["alone"], json!({ "searchMessages": null }));
        // A non-null field makes the nearest nullable one around it null: here there is none.
        let query =
            "query($id: ID!) { me { id } sessions(first: 501) { totalCount } node(id: $id) { ... on Session {
            sessionId messages(first: 501) { totalCount } } } }";
        let response =
            world.response(world.ada.context(), query, json!({ "id": format!("Session:{id}") })).await;
        assert_eq!(response.data.into_json().unwrap(), Value::Null);
        let query = query.replace("sessions(first: 501) { totalCount }", "");
        let response =
            world.response(world.ada.context(), &query, json!({ "id": format!("Session:{id}") })).await;
        let data = response.data.into_json().unwrap();
        assert_eq!((&data["node"], data["me"]["id"].is_string()), (&Value::Null, true));
    }
);

both_databases!(
    async fn selections_with_one_key_are_merged_although_one_fails(db: TestDatabase) {
        let world = World::new(&db).await;
        world.push_samples().await;
        let id = "5b1f0c52-7c1e-4b58-9d0a-3f6f3f1f9a01";
        let fails = "searchMessages(query: \"\") { __typename }";
        let expected = json!({ "searchMessages": null, "sessionId": id });
        for (query, at) in [
            ("{ session(id: ID) { FAILS } session(id: ID) { sessionId } }", "/session"),
            ("{ session(id: ID) { sessionId } session(id: ID) { FAILS } }", "/session"),
            (
                "{ ...A ...B } fragment A on Query { session(id: ID) { FAILS } }
                fragment B on Query { session(id: ID) { sessionId } }",
                "/session",
            ),
            (
                "{ node(id: ID) { ... on Session { FAILS } } node(id: ID) { ...A } } fragment A on Session { sessionId }",
                "/node",
            ),
            (
                "{ sessions(first: 1, filter: { sessionId: { _eq: ID } }) { edges { node { FAILS } } }
                sessions(first: 1, filter: { sessionId: { _eq: ID } }) { edges { node { sessionId } } } }",
                "/sessions/edges/0/node",
            ),
            (
                "{ sessions(first: 1, filter: { sessionId: { _eq: ID } }) { edges { node { FAILS } ...E } } }
                fragment E on SessionEdge { node { sessionId } }",
                "/sessions/edges/0/node",
            ),
        ] {
            let query = query.replace("ID", &format!("\"{id}\"")).replace("FAILS", fails);
            let response = world.response(world.ada.context(), &query, json!({})).await;
            assert_eq!(codes(&response), ["BAD_USER_INPUT"], "{query}: {:?}", response.errors);
            let data = response.data.into_json().unwrap();
            assert_eq!(data.pointer(at), Some(&expected), "{query}: {data}");
        }
    }
);

both_databases!(
    async fn an_object_of_which_nothing_is_selected_is_empty(db: TestDatabase) {
        let world = World::new(&db).await;
        let id = world.push_samples().await.remove(0);
        for (query, expected) in [
            ("{ node(id: ID) { ... on Project { path } } }", json!({ "node": {} })),
            ("{ node(id: ID) { ...P } } fragment P on Project { path }", json!({ "node": {} })),
            ("{ session(id: ID) { sessionId @skip(if: true) } }", json!({ "session": {} })),
            ("{ session(id: ID) { ... @include(if: false) { sessionId } } }", json!({ "session": {} })),
            ("{ node(id: ID) { ... on Session { sessionId @skip(if: true) } } }", json!({ "node": {} })),
            ("{ session(id: ID) @skip(if: true) { sessionId } }", json!({})),
            ("{ node(id: \"Session:none\") { ... on Project { path } } }", json!({ "node": null })),
            (
                "{ sessions(first: 1) { edges { node { id @skip(if: true) } } } }",
                json!({ "sessions": { "edges": [{ "node": {} }] } }),
            ),
        ] {
            let query = query.replace("ID", &format!("\"{id}\""));
            assert_eq!(world.ask(&query, json!({})).await, expected, "{query}");
        }
    }
);

/// The response keys of an answer's objects, in order.
fn keys(value: &async_graphql::Value) -> Vec<String> {
    match value {
        async_graphql::Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| [vec![key.to_string()], keys(value)].concat()).collect()
        }
        async_graphql::Value::List(items) => items.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}

both_databases!(
    async fn response_keys_have_the_order_of_the_query(db: TestDatabase) {
        let world = World::new(&db).await;
        world.push_samples().await;
        let query = "{ sessions(first: 1) { totalCount edges { node { project { name } hookStats { totalHooks } sessionId
            messages(first: 2) { totalCount pageInfo { hasNextPage } edges { node { ...M __typename } cursor } } date
            user: id } } }
            projects(first: 1) { totalSessions id } me { id } activity { totalMessages } }
            fragment M on Message { uuid rawJson id }";
        let expected = "sessions totalCount edges node project name hookStats totalHooks sessionId messages totalCount pageInfo \
            hasNextPage edges node uuid rawJson id __typename cursor node uuid rawJson id __typename cursor date user \
            projects totalSessions id me id activity totalMessages";
        for _ in 0..40 {
            let response = world.response(world.ada.context(), query, json!({})).await;
            assert!(response.errors.is_empty(), "{:?}", response.errors);
            assert_eq!(keys(&response.data).join(" "), expected);
        }
        // A failed field keeps its place.
        let query = "{ bad: activity(days: 0) { totalMessages } sessions(first: 1) { totalCount } worse: activity(days: 0) { totalMessages } me { id } }";
        let response = world.response(world.ada.context(), query, json!({})).await;
        assert_eq!(keys(&response.data).join(" "), "bad sessions totalCount worse me id");
    }
);

both_databases!(
    async fn the_size_of_a_filter_is_limited(db: TestDatabase) {
        let world = World::new(&db).await;
        let query = "query($filter: SessionFilter) { sessions(filter: $filter) { totalCount } }";
        let many = json!({ "_or": vec![json!({ "sessionId": { "_eq": "a" } }); 60] });
        let response = world.response(world.ada.context(), query, json!({ "filter": many })).await;
        assert_eq!(codes(&response), ["BAD_USER_INPUT"]);
        let mut deep = json!({});
        for _ in 0..99 {
            deep = json!({ "_not": deep });
        }
        assert_eq!(world.ask(query, json!({ "filter": deep })).await["sessions"]["totalCount"], 0);
        let text = json!({ "sessionId": { "_contains": "a\u{0}'; DROP TABLE sessions --%_" } });
        assert_eq!(world.ask(query, json!({ "filter": text })).await["sessions"]["totalCount"], 0);
    }
);

both_databases!(
    async fn undeclared_variables_are_ignored_and_queries_are_recognised(db: TestDatabase) {
        let world = World::new(&db).await;
        let data = world.ask("query A { sessions { totalCount } }", json!({ "extra": 1 })).await;
        assert_eq!(data["sessions"]["totalCount"], 0);

        let is_query = |query: &str, name: Option<&str>| {
            let mut request = Request::new(query);
            request.operation_name = name.map(str::to_owned);
            world.schema.is_query(&mut request).map_err(|response| codes(&response))
        };
        let two = "query A { __typename } mutation B { removePlugin(name: \"\", marketplace: \"\", scope: USER) { success } }";
        assert_eq!(is_query(two, Some("A")), Ok(true));
        assert_eq!(is_query(two, Some("B")), Ok(false));
        assert_eq!(is_query("{ __typename }", None), Ok(true));
        for (query, name) in [(two, None), (two, Some("C")), ("{", None), ("", None)] {
            assert_eq!(is_query(query, name), Err(vec!["BAD_USER_INPUT".to_owned()]), "{query}");
        }
    }
);

/// The introspection query of the reference implementation, graphql-js 16, as tools send it.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name }
  subscriptionType { name } types { ...FullType } directives { name description locations args { ...InputValue } } } }
fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description
  args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue }
  interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
  ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

both_databases!(
    async fn introspection_queries_of_tools_pass_the_limits(db: TestDatabase) {
        let world = World::new(&db).await;
        let data = world.ask(INTROSPECTION, json!({})).await;
        let schema = &data["__schema"];
        assert_eq!(schema["queryType"]["name"], "Query");
        assert_eq!(schema["mutationType"]["name"], "MutationRoot");
        assert_eq!(schema["subscriptionType"]["name"], "SubscriptionRoot");
        let types = schema["types"].as_array().unwrap();
        let message = types.iter().find(|ty| ty["name"] == "Message").unwrap();
        assert_eq!(message["possibleTypes"].as_array().unwrap().len(), 27);
    }
);
