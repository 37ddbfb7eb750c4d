//! Documents that are invalid, too large, or introspection.

use async_graphql::Request;
use han_testkit::both_databases;
use serde_json::json;

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
            ("{ session(id: \"\") { id } }", "BAD_USER_INPUT", "id: session_id is empty; give 1 to 128"),
            ("{ node(id: \"Cellar:1\") { id } }", "BAD_USER_INPUT", "id: not a global id"),
            ("{ message(id: \"Message:one\") { id } }", "BAD_USER_INPUT", "id: not a global id"),
            (
                "{ sessions(filter: { updatedAt: { _gt: \"soon\" } }) { totalCount } }",
                "BAD_USER_INPUT",
                "RFC 3339",
            ),
            ("query($first: Int) { sessions(first: $frist) { totalCount } }", "BAD_USER_INPUT", "frist"),
            (
                "mutation { togglePlugin(name: \"a\", marketplace: \"b\", scope: USER, enabled: true) { success } }",
                "UNSUPPORTED",
                "coordinator",
            ),
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
