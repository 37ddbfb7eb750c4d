//! Subscriptions: told once, in order, to the team alone, until the right to it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_graphql::{Request, Response, Variables};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use han_api::{Limits, Live, RequestContext};
use han_db::changes::DbChangeEvent;
use han_testkit::{SyntheticSession, both_databases};
use han_types::{Credential, Timestamp};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use crate::support::{World, codes};

const ADDED: &str = "subscription($project: ID) { sessionAdded(projectId: $project) {
  sessionId projectId newSessionEdge { cursor node { id messageCount } } } }";
const MESSAGES: &str = "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) {
  sessionId messageIndex newMessageEdge { cursor node { id ... on AssistantMessage {
    contentBlocks { ... on ToolUseBlock { toolCallId result { toolCallId } } } } } } } }";
const NODE: &str =
    "subscription($id: ID!) { nodeUpdated(id: $id) { node { id ... on Session { messageCount } } } }";
const MEMORY: &str = "subscription { memoryUpdated { type action path timestamp } }";

/// A subscription's responses.
pub struct Watch(BoxStream<'static, Response>);

impl Watch {
    /// Subscribes. A stream subscribes when it is first asked, so it is asked at once.
    pub async fn start(world: &World, context: RequestContext, query: &str, variables: Value) -> Self {
        let request = Request::new(query).variables(Variables::from_json(variables));
        let stream = world.schema.execute_stream(han_api::request(request, context), None);
        let mut watch = Self(stream.peekable().boxed());
        assert!(!watch.has_next().await);
        watch
    }

    async fn response(&mut self) -> Option<Response> {
        tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("nothing was told")
    }

    pub async fn next(&mut self, field: &str) -> Value {
        let response = self.response().await.expect("the stream has ended");
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        response.data.into_json().unwrap()[field].take()
    }

    async fn ends_with(&mut self, code: &str) {
        let response = self.response().await.expect("an error before the end");
        assert_eq!(codes(&response), [code]);
        assert!(self.response().await.is_none(), "an error ends the stream");
    }

    /// Whether something waits to be read now.
    pub async fn has_next(&mut self) -> bool {
        futures_util::poll!(self.0.next()).is_ready()
    }
}

both_databases!(
    async fn messages_are_told_once_in_order_with_their_index(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(21);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(10)).await;
        let id_argument = json!({ "id": format!("Session:{id}") });
        let count = "query($id: ID!) { node(id: $id) { ... on Session { messageCount } } }";
        let before = world.ask(count, id_argument.clone()).await["node"]["messageCount"].as_i64().unwrap();
        // The feed runs behind the pushes: once it tells of a later session, it has told all of this one so far.
        let mut added = Watch::start(&world, world.ada.context(), ADDED, json!({})).await;
        world.push("later", "main", &SyntheticSession::new(22).lines(1)).await;
        while added.next("sessionAdded").await["sessionId"] != "later" {}
        let mut watch = Watch::start(&world, world.ada.context(), MESSAGES, id_argument.clone()).await;
        for _ in 0..4 {
            world.push(&id, "main", &made.lines(9)).await;
        }
        let after = world.ask(count, id_argument.clone()).await["node"]["messageCount"].as_i64().unwrap();
        let mut told = Vec::new();
        for _ in before..after {
            let payload = watch.next("sessionMessageAdded").await;
            assert_eq!(payload["sessionId"], json!(id));
            told.push((payload["messageIndex"].as_i64().unwrap(), payload["newMessageEdge"].clone()));
        }
        let indexes: Vec<i64> = told.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, (before..after).collect::<Vec<_>>());
        let list = world
            .ask(
                "query($id: ID!) { node(id: $id) { ... on Session { messages(first: 500) { edges { cursor node { id } } } } } }",
                id_argument,
            )
            .await;
        let mut listed = list["node"]["messages"]["edges"].as_array().unwrap().clone();
        listed.reverse();
        for (index, edge) in told {
            let in_list = &listed[usize::try_from(index).unwrap()];
            assert_eq!((&edge["cursor"], &edge["node"]["id"]), (&in_list["cursor"], &in_list["node"]["id"]));
        }
        assert!(!watch.has_next().await, "each is told once");
    }
);

both_databases!(
    async fn sessions_are_told_to_their_team_alone(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(31);
        let id = made.session_id().to_owned();
        let (ada, eve) = (world.ada.context(), world.stranger().await.context());
        let mut added = Watch::start(&world, ada.clone(), ADDED, json!({})).await;
        let elsewhere = json!({ "project": "Project:elsewhere" });
        let mut added_elsewhere = Watch::start(&world, ada.clone(), ADDED, elsewhere).await;
        let mut memory = Watch::start(&world, ada.clone(), MEMORY, json!({})).await;
        let mut node = Watch::start(&world, ada.clone(), NODE, json!({ "id": id })).await;
        let mut strange = [
            Watch::start(&world, eve.clone(), ADDED, json!({})).await,
            Watch::start(&world, eve.clone(), MEMORY, json!({})).await,
            Watch::start(&world, eve.clone(), NODE, json!({ "id": format!("Session:{id}") })).await,
            Watch::start(&world, eve.clone(), MESSAGES, json!({ "id": id })).await,
        ];

        world.push(&id, "main", &made.lines(10)).await;
        let session = added.next("sessionAdded").await;
        assert_eq!(session["sessionId"], json!(id));
        assert_eq!(session["newSessionEdge"]["node"]["id"], json!(format!("Session:{id}")));
        let update = memory.next("memoryUpdated").await;
        assert_eq!((&update["type"], &update["action"]), (&json!("SESSION"), &json!("created")));
        assert_eq!(update["timestamp"], "2026-11-02T09:00:00.000Z");

        world.push(&id, "main", &made.lines(10)).await;
        let count = "query($id: String!) { session(id: $id) { messageCount } }";
        let count = world.ask(count, json!({ "id": id })).await["session"]["messageCount"].clone();
        while node.next("nodeUpdated").await["node"]["messageCount"] != count {}
        while memory.next("memoryUpdated").await["action"] != "updated" {}
        assert!(!added.has_next().await, "a session is new once");
        assert!(!added_elsewhere.has_next().await, "of one project alone");
        for watch in &mut strange {
            assert!(!watch.has_next().await, "another team's changes");
        }
    }
);

both_databases!(
    async fn who_fell_behind_is_told_so(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(4);
        world.schema = han_api::schema(world.db.clone(), changes.clone(), Limits::default());
        let context = world.ada.context();
        let mut added = Watch::start(&world, context.clone(), ADDED, json!({})).await;
        let mut memory = Watch::start(&world, context.clone(), MEMORY, json!({})).await;
        let mut node = Watch::start(&world, context, NODE, json!({ "id": "Session:a" })).await;
        changes.send(DbChangeEvent::Resync).unwrap();
        assert_eq!(memory.next("memoryUpdated").await["action"], "resync");
        node.ends_with("RESYNC").await;
        // More than the channel holds: this receiver has not read since.
        for _ in 0..10 {
            changes.send(DbChangeEvent::Resync).unwrap();
        }
        added.ends_with("RESYNC").await;
        assert_eq!(memory.next("memoryUpdated").await["action"], "resync");
    }
);

both_databases!(
    async fn streams_end_with_the_right_to_them(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(4);
        world.schema = han_api::schema(world.db.clone(), changes.clone(), Limits::default());

        let (ended, receiver) = watch::channel(false);
        let member = Arc::new(AtomicBool::new(true));
        let recheck = {
            let member = Arc::clone(&member);
            Arc::new(move || {
                let holds = member.load(Ordering::SeqCst);
                Box::pin(async move { holds }) as futures_util::future::BoxFuture<'static, bool>
            })
        };
        let context = world.ada.context().with_live(Live::new(receiver, recheck));
        let mut first = Watch::start(&world, context.clone(), MEMORY, json!({})).await;
        let mut second = Watch::start(&world, context, NODE, json!({ "id": "Session:a" })).await;
        changes.send(DbChangeEvent::Resync).unwrap();
        assert_eq!(first.next("memoryUpdated").await["action"], "resync");
        member.store(false, Ordering::SeqCst);
        changes.send(DbChangeEvent::Resync).unwrap();
        first.ends_with("UNAUTHENTICATED").await;
        ended.send(true).unwrap();
        second.ends_with("UNAUTHENTICATED").await;

        let mut expiring = world.ada.clone();
        expiring.actor.credential = Credential::Jwt { id: "1".to_owned(), family: None, team_id: None };
        expiring.actor.expires_at = Some(Timestamp(world.db.clock().now().0 + 60_000));
        let mut third = Watch::start(&world, expiring.context(), MEMORY, json!({})).await;
        world.clock.advance_seconds(61);
        changes.send(DbChangeEvent::Resync).unwrap();
        third.ends_with("UNAUTHENTICATED").await;

        let anonymous = world.schema.execute_stream(Request::new(MEMORY), None).next().await;
        assert_eq!(codes(&anonymous.unwrap()), ["UNAUTHENTICATED"]);
    }
);

both_databases!(
    async fn what_is_too_much_to_tell_is_fetched_instead(db: TestDatabase) {
        let world = World::with_config(&db, |config| config.read_bytes = 2_000).await;
        let mut made = SyntheticSession::new(31);
        let id = made.session_id().to_owned();
        let mut added = Watch::start(&world, world.ada.context(), ADDED, json!({})).await;
        world.push(&id, "main", &made.lines(1)).await;
        added.next("sessionAdded").await;
        let variables = json!({ "id": format!("Session:{id}") });
        let mut watch = Watch::start(&world, world.ada.context(), MESSAGES, variables).await;
        world.push(&id, "main", &made.lines(40)).await;
        loop {
            let response = watch.response().await.unwrap();
            if !response.errors.is_empty() {
                assert_eq!(codes(&response), ["RESYNC"]);
                break;
            }
        }
        assert!(watch.response().await.is_none());
    }
);
