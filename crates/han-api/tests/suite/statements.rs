//! The number of statements per operation, which does not grow with the number of rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use han_testkit::{SyntheticSession, both_databases};
use serde_json::{Value, json};

use crate::corpus::{self, RICH};
use crate::operations::{Arguments, SDL, Shapes};
use crate::support::World;

/// The statements that a world's database ran.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    async fn world(&self, database: &han_testkit::TestDatabase) -> World {
        let seen = self.clone();
        World::with_config(database, move |config| {
            config.observer = Some(Arc::new(move |sql: &str| seen.0.lock().unwrap().push(sql.to_owned())));
        })
        .await
    }

    /// The statements of one operation, once caches are filled. Left out are the statements that set the role of every
    /// transaction on PostgreSQL, and those of the change feed, which reads the outbox at any time.
    async fn of(&self, world: &World, query: &str) -> Vec<String> {
        world.ask(query, json!({})).await;
        self.0.lock().unwrap().clear();
        world.ask(query, json!({})).await;
        let seen = std::mem::take(&mut *self.0.lock().unwrap());
        let own = |sql: &String| {
            let aside =
                ["set_config('role'", "outbox_state", "changes", "changes_seq_seq", "pg_current_xact_id"];
            !aside.iter().any(|word| sql.contains(word))
        };
        seen.into_iter().filter(own).collect()
    }
}

fn arguments(sessions: usize, messages: usize) -> Arguments {
    let text = |text: &str| json!(text).to_string();
    [
        ("node.id", text(&format!("Session:{RICH}"))),
        ("session.id", text(RICH)),
        ("message.id", text(&format!("Message:{RICH}:main:rich-prompt"))),
        ("project.id", text("Project:none")),
        ("repo.id", text("Repo:none")),
        ("sessions.first", sessions.to_string()),
        ("messages.first", messages.to_string()),
        ("fileChanges.first", "5".to_owned()),
        ("projects.first", "20".to_owned()),
        ("repos.first", "20".to_owned()),
        ("Query.searchMessages.query", text("trees")),
        ("Query.searchMessages.first", "5".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn operation(shapes: &Shapes, name: &str, arguments: &Arguments) -> String {
    let field = shapes.fields("Query").into_iter().find(|field| field.name.node == name).unwrap();
    format!("query {{ {} }}", shapes.field("Query", field, arguments).unwrap())
}

/// Counts equal statements, whatever their limits, so that a failure shows which one grew.
fn tally(statements: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for statement in statements {
        *counts.entry(statement.replace(|c: char| c.is_ascii_digit(), "")).or_default() += 1;
    }
    counts
}

both_databases!(
    async fn the_number_of_statements_does_not_depend_on_the_page_size(db: TestDatabase) {
        let (statements, shapes) = (Statements::default(), Shapes::read(SDL));
        let world = statements.world(&db).await;
        for seed in 0..50 {
            let mut made = SyntheticSession::new(seed);
            let id = made.session_id().to_owned();
            let path = format!("/home/dev/orchard/{}", seed % 7);
            world.push_from(&id, "main", &path, &made.lines(30)).await;
            world.push_from(&id, "han", &path, &made.han_events(17)).await;
        }
        let [main, han] = corpus::blocks(60);
        world.push(RICH, "main", &main).await;
        world.push(RICH, "han", &han).await;

        let [few, many] = [5, 50].map(|n| operation(&shapes, "sessions", &arguments(n, 3)));
        let (few, many) = (statements.of(&world, &few).await, statements.of(&world, &many).await);
        assert_eq!(tally(&few), tally(&many), "a page of sessions");
        assert!(few.len() > 10, "all fields are selected: {}", few.len());

        let [few, many] = [20, 100].map(|n| operation(&shapes, "session", &arguments(1, n)));
        let (few, many) = (statements.of(&world, &few).await, statements.of(&world, &many).await);
        assert_eq!(tally(&few), tally(&many), "a page of messages");
    }
);

both_databases!(
    async fn the_number_of_statements_of_each_operation(db: TestDatabase) {
        let (statements, shapes) = (Statements::default(), Shapes::read(SDL));
        let world = statements.world(&db).await;
        corpus::push(&world, false).await;
        let mut counts = Vec::new();
        for field in shapes.fields("Query") {
            if let Some(text) = shapes.field("Query", field, &arguments(20, 2)) {
                let n = statements.of(&world, &format!("query {{ {text} }}")).await.len();
                counts.push(format!("{}: {n}", field.name.node));
            }
        }
        insta::assert_snapshot!("statements_of_each_operation", counts.join("\n"));
    }
);

both_databases!(
    async fn nested_pages_equal_the_pages_of_each_session(db: TestDatabase) {
        let world = World::new(&db).await;
        let sessions = corpus::push(&world, false).await;
        let pages = "sessionId messages(first: 3, includeProgress: true) { totalCount pageInfo { hasNextPage endCursor }
            edges { node { id } } } fileChanges(first: 2) { totalCount pageInfo { hasNextPage endCursor }
            edges { node { id filePath } } }";
        let list =
            world.ask(&format!("{{ sessions {{ edges {{ node {{ {pages} }} }} }} }}"), json!({})).await;
        let listed = list["sessions"]["edges"].as_array().unwrap();
        assert_eq!(listed.len(), sessions.len());
        let mut changes = 0;
        for edge in listed {
            let id = edge["node"]["sessionId"].as_str().unwrap();
            let one: Value =
                world.ask(&format!("{{ session(id: \"{id}\") {{ {pages} }} }}"), json!({})).await;
            assert_eq!(one["session"], edge["node"]);
            changes += one["session"]["fileChanges"]["totalCount"].as_i64().unwrap();
        }
        assert!(changes > 3);
        // The next page of each, from the same point in time.
        let after = &listed[0]["node"]["messages"]["pageInfo"]["endCursor"];
        let pages = format!("sessionId messages(first: 4, after: {after}) {{ edges {{ node {{ id }} }} }}");
        let list =
            world.ask(&format!("{{ sessions {{ edges {{ node {{ {pages} }} }} }} }}"), json!({})).await;
        for edge in list["sessions"]["edges"].as_array().unwrap() {
            let id = edge["node"]["sessionId"].as_str().unwrap();
            let one = world.ask(&format!("{{ session(id: \"{id}\") {{ {pages} }} }}"), json!({})).await;
            assert_eq!(one["session"], edge["node"]);
        }
    }
);
