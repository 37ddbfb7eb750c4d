//! Subscriptions: each event is delivered once, in order, to the team alone, until the access ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_graphql::{Request, Response, Variables};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use han_api::{Live, QueryLimits, RequestContext, Site, StartedOperation};
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

/// The responses of a subscription, as a connection receives them.
pub struct Watch(BoxStream<'static, Value>);

fn request(query: &str, variables: Value) -> Request {
    Request::new(query).variables(Variables::from_json(variables))
}

impl Watch {
    /// Subscribes, shared if possible.
    pub async fn start(world: &World, context: RequestContext, query: &str, variables: Value) -> Self {
        Self::begin(world, context, query, variables).started().await
    }

    /// As [`Watch::start`]; the subscription may end at once.
    fn begin(world: &World, context: RequestContext, query: &str, variables: Value) -> Self {
        Self(match world.schema.begin(request(query, variables), &Arc::new(context)) {
            StartedOperation::Shared(answers) => {
                answers.map(|answer| serde_json::from_str(answer.get()).unwrap()).boxed()
            }
            StartedOperation::Own(answers) => Self::of_responses(answers),
            other => panic!("not a subscription that runs: {query}: {other:?}"),
        })
    }

    /// Subscribes unshared.
    async fn alone(world: &World, context: RequestContext, query: &str, variables: Value) -> Self {
        // The first poll subscribes.
        Self::begin_alone(world, context, query, variables).started().await
    }

    fn begin_alone(world: &World, context: RequestContext, query: &str, variables: Value) -> Self {
        let request = han_api::request(request(query, variables), context);
        Self(Self::of_responses(world.schema.execute_stream(request, None)))
    }

    fn of_responses(answers: BoxStream<'static, Response>) -> BoxStream<'static, Value> {
        answers.map(|answer| serde_json::to_value(answer).unwrap()).boxed()
    }

    async fn started(mut self) -> Self {
        assert!(futures_util::poll!(self.0.next()).is_pending());
        self
    }

    async fn answer(&mut self) -> Option<Value> {
        tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("no response arrived")
    }

    pub async fn next(&mut self, field: &str) -> Value {
        let mut answer = self.answer().await.expect("the stream has ended");
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"][field].take()
    }

    async fn ends_with(&mut self, code: &str) {
        let answer = self.answer().await.expect("an error before the end");
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
        assert!(self.answer().await.is_none(), "an error ends the stream");
    }

    /// Whether a response is ready, after other tasks had time to run.
    pub async fn has_next(&mut self) -> bool {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        futures_util::poll!(self.0.next()).is_ready()
    }
}

both_databases!(
    async fn messages_arrive_once_in_order_with_their_index(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(21);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(10)).await;
        let id_argument = json!({ "id": format!("Session:{id}") });
        let count = "query($id: ID!) { node(id: $id) { ... on Session { messageCount } } }";
        let before = world.ask(count, id_argument.clone()).await["node"]["messageCount"].as_i64().unwrap();
        // The feed runs behind the pushes: once it delivers a later session, it has delivered all of this one so far.
        let mut added = Watch::start(&world, world.ada.context(), ADDED, json!({})).await;
        world.push("later", "main", &SyntheticSession::new(22).lines(1)).await;
        while added.next("sessionAdded").await["sessionId"] != "later" {}
        let mut watch = Watch::start(&world, world.ada.context(), MESSAGES, id_argument.clone()).await;
        for _ in 0..4 {
            world.push(&id, "main", &made.lines(9)).await;
        }
        let after = world.ask(count, id_argument.clone()).await["node"]["messageCount"].as_i64().unwrap();
        let mut received = Vec::new();
        // A late result sends its call again, with the index that it has.
        let mut next = before;
        while next < after {
            let payload = watch.next("sessionMessageAdded").await;
            assert_eq!(payload["sessionId"], json!(id));
            let index = payload["messageIndex"].as_i64().unwrap();
            assert!(index <= next, "in order");
            next = next.max(index + 1);
            received.push((index, payload["newMessageEdge"].clone()));
        }
        let list = world
            .ask(
                "query($id: ID!) { node(id: $id) { ... on Session { messages(first: 500) { edges { cursor node { id } } } } } }",
                id_argument,
            )
            .await;
        let mut listed = list["node"]["messages"]["edges"].as_array().unwrap().clone();
        listed.reverse();
        for (index, edge) in &received {
            let in_list = &listed[usize::try_from(*index).unwrap()];
            assert_eq!((&edge["cursor"], &edge["node"]["id"]), (&in_list["cursor"], &in_list["node"]["id"]));
        }
        // Only late results of the last batch are left; `late_results` tests those.
    }
);

both_databases!(
    async fn session_events_reach_only_their_team(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(31);
        let id = made.session_id().to_owned();
        let (ada, eve) = (world.ada.context(), world.stranger().await.context());
        let mut added = Watch::start(&world, ada.clone(), ADDED, json!({})).await;
        let elsewhere = json!({ "project": "Project:elsewhere" });
        let mut added_elsewhere = Watch::start(&world, ada.clone(), ADDED, elsewhere).await;
        let mut memory = Watch::start(&world, ada.clone(), MEMORY, json!({})).await;
        let mut strange = [
            Watch::start(&world, eve.clone(), ADDED, json!({})).await,
            Watch::start(&world, eve.clone(), MEMORY, json!({})).await,
            Watch::alone(&world, eve.clone(), ADDED, json!({})).await,
            Watch::alone(&world, eve.clone(), MEMORY, json!({})).await,
        ];

        world.push(&id, "main", &made.lines(10)).await;
        let session = added.next("sessionAdded").await;
        assert_eq!(session["sessionId"], json!(id));
        assert_eq!(session["newSessionEdge"]["node"]["id"], json!(format!("Session:{id}")));
        let update = memory.next("memoryUpdated").await;
        assert_eq!((&update["type"], &update["action"]), (&json!("SESSION"), &json!("created")));
        assert_eq!(update["timestamp"], "2026-11-05T23:00:00.000Z");
        let mut node = Watch::start(&world, ada.clone(), NODE, json!({ "id": id })).await;

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
    async fn a_subscription_to_an_unknown_session_is_an_error(db: TestDatabase) {
        let world = World::new(&db).await;
        world.push("s1", "main", &SyntheticSession::new(1).lines(1)).await;
        let eve = world.stranger().await.context();
        let by_session =
            |field: &str| format!("subscription($id: ID!) {{ {field}(sessionId: $id) {{ sessionId }} }}");
        let fields =
            ["sessionMessageAdded", "sessionFilesChanged", "sessionTodosChanged", "sessionHooksChanged"];
        for query in fields.map(by_session).into_iter().chain([NODE.to_owned()]) {
            // Another team's session is as unknown as one that does not exist.
            for (context, id) in [(world.ada.context(), "s2"), (eve.clone(), "s1"), (eve.clone(), "s2")] {
                let variables = json!({ "id": format!("Session:{id}") });
                for mut watch in [
                    Watch::begin(&world, context.clone(), &query, variables.clone()),
                    Watch::begin_alone(&world, context, &query, variables),
                ] {
                    watch.ends_with("NOT_FOUND").await;
                }
            }
        }
    }
);

both_databases!(
    async fn a_subscriber_that_falls_behind_is_resynced(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(4);
        world.schema =
            han_api::schema::team(Site::default(), world.db.clone(), changes.clone(), QueryLimits::default());
        let context = world.ada.context();
        let mut added = Watch::start(&world, context.clone(), ADDED, json!({})).await;
        let mut memory = Watch::start(&world, context.clone(), MEMORY, json!({})).await;
        world.push("a", "main", &SyntheticSession::new(1).lines(1)).await;
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
    async fn streams_end_when_the_access_ends(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(4);
        world.schema =
            han_api::schema::team(Site::default(), world.db.clone(), changes.clone(), QueryLimits::default());

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
        world.push("a", "main", &SyntheticSession::new(1).lines(1)).await;
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
    async fn a_change_that_is_too_large_ends_the_stream_with_resync(db: TestDatabase) {
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
            let answer = watch.answer().await.unwrap();
            if let Some(errors) = answer.get("errors") {
                assert_eq!(errors[0]["extensions"]["code"], "RESYNC");
                break;
            }
        }
        assert!(watch.answer().await.is_none());
    }
);

/// The first push of a session. The feed runs behind the pushes: a later subscriber does not receive it.
async fn push_first(world: &World, id: &str, lines: &[String]) {
    let mut added = Watch::start(world, world.ada.context(), ADDED, json!({})).await;
    world.push(id, "main", lines).await;
    added.next("sessionAdded").await;
}

/// The context of a caller whose rights are valid as long as `holds` is true.
fn with_rights(world: &World, holds: &Arc<AtomicBool>) -> RequestContext {
    let holds = Arc::clone(holds);
    let recheck = Arc::new(move || {
        let holds = holds.load(Ordering::SeqCst);
        Box::pin(async move { holds }) as futures_util::future::BoxFuture<'static, bool>
    });
    // The transport stays open to the end of the test.
    let (transport, receiver) = watch::channel(false);
    std::mem::forget(transport);
    world.ada.context().with_live(Live::new(receiver, recheck))
}

both_databases!(
    async fn equal_subscriptions_share_their_responses(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(41);
        let id = made.session_id().to_owned();
        push_first(&world, &id, &made.lines(1)).await;
        let begin = |context: RequestContext, query: &str, variables: &Value| match world
            .schema
            .begin(request(query, variables.clone()), &Arc::new(context))
        {
            StartedOperation::Shared(answers) => answers,
            other => panic!("{other:?}"),
        };
        let variables = json!({ "id": id });
        let mut first = begin(world.ada.context(), NODE, &variables);
        let mut second = begin(world.ada.context(), NODE, &variables);
        let mut spelled_otherwise = begin(world.ada.context(), &format!("{NODE} "), &variables);
        world.push(&id, "main", &made.lines(5)).await;
        let (one, two) = (first.next().await.unwrap(), second.next().await.unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        let other = spelled_otherwise.next().await.unwrap();
        assert!(!Arc::ptr_eq(&one, &other));
        assert_eq!(one.get(), other.get());
        // The last listener ends it; a later one opens another.
        drop((first, second));
        let mut third = begin(world.ada.context(), NODE, &variables);
        world.push(&id, "main", &made.lines(5)).await;
        assert_ne!(third.next().await.unwrap().get(), one.get());
    }
);

both_databases!(
    async fn losing_access_ends_a_shared_stream_for_that_caller_only(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(16);
        world.schema =
            han_api::schema::team(Site::default(), world.db.clone(), changes.clone(), QueryLimits::default());
        let (mine, others) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let mut leaver = Watch::start(&world, with_rights(&world, &mine), MEMORY, json!({})).await;
        let mut member = Watch::start(&world, with_rights(&world, &others), MEMORY, json!({})).await;
        let access = DbChangeEvent::Access(Arc::new(world.ada.actor.user_id.clone()));
        changes.send(access.clone()).unwrap();
        changes.send(DbChangeEvent::Resync).unwrap();
        for watch in [&mut leaver, &mut member] {
            assert_eq!(watch.next("memoryUpdated").await["action"], "resync");
        }
        mine.store(false, Ordering::SeqCst);
        changes.send(access).unwrap();
        changes.send(DbChangeEvent::Resync).unwrap();
        leaver.ends_with("UNAUTHENTICATED").await;
        assert_eq!(member.next("memoryUpdated").await["action"], "resync");
    }
);

both_databases!(
    async fn a_shared_stream_survives_its_opener(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(16);
        world.schema =
            han_api::schema::team(Site::default(), world.db.clone(), changes.clone(), QueryLimits::default());
        let holds =
            || Arc::new(|| Box::pin(async { true }) as futures_util::future::BoxFuture<'static, bool>);
        let ((first_transport, first), (_second_transport, second)) =
            (watch::channel(false), watch::channel(false));
        let first = world.ada.context().with_live(Live::new(first, holds()));
        let second = world.ada.context().with_live(Live::new(second, holds()));
        let opener = Watch::start(&world, first, MEMORY, json!({})).await;
        let mut listener = Watch::start(&world, second, MEMORY, json!({})).await;
        drop((first_transport, opener));
        changes.send(DbChangeEvent::Resync).unwrap();
        assert_eq!(listener.next("memoryUpdated").await["action"], "resync");
        assert!(!listener.has_next().await);
    }
);

both_databases!(
    async fn a_listener_after_the_end_of_a_shared_stream_gets_a_new_one(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(16);
        world.schema =
            han_api::schema::team(Site::default(), world.db.clone(), changes.clone(), QueryLimits::default());
        world.push("a", "main", &SyntheticSession::new(1).lines(1)).await;
        let node =
            async || Watch::start(&world, world.ada.context(), NODE, json!({ "id": "Session:a" })).await;
        let (mut first, mut slow) = (node().await, node().await);
        changes.send(DbChangeEvent::Resync).unwrap();
        first.ends_with("RESYNC").await;
        // A listener that has not read the end keeps the ended stream alive.
        let mut late = node().await;
        slow.ends_with("RESYNC").await;
        assert!(!late.has_next().await);
        changes.send(DbChangeEvent::Resync).unwrap();
        late.ends_with("RESYNC").await;
    }
);

both_databases!(
    async fn subscriptions_with_several_fields_are_refused(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(16);
        world.schema =
            han_api::schema::team(Site::default(), world.db.clone(), changes.clone(), QueryLimits::default());
        let queries = [
            "subscription { memoryUpdated { action } nodeUpdated(id: \"Session:a\") { node { id } } }",
            "subscription { ...both } fragment both on Subscription { memoryUpdated { action }
               nodeUpdated(id: \"Session:a\") { node { id } } }",
        ];
        for query in queries {
            match world.schema.begin(Request::new(query), &Arc::new(world.ada.context())) {
                StartedOperation::Refused(response) => {
                    assert!(response.errors[0].message.contains("exactly one field"), "{response:?}");
                }
                other => panic!("{query}: {other:?}"),
            }
            let request = han_api::request(Request::new(query), world.ada.context());
            let responses: Vec<_> = world.schema.execute_stream(request, None).collect().await;
            assert!(responses.len() == 1 && responses[0].is_err(), "{query}: {responses:?}");
        }
    }
);

both_databases!(
    async fn a_burst_larger_than_the_queue_reaches_a_fast_listener(db: TestDatabase) {
        let world = World::new(&db).await;
        let line = |n: usize| {
            json!({ "type": "user", "uuid": format!("u{n}"), "timestamp": "2026-01-01T00:00:00.000Z",
                    "message": { "role": "user", "content": format!("line {n}") } })
            .to_string()
        };
        push_first(&world, "burst", &[line(0)]).await;
        let messages = "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) { messageIndex } }";
        let variables = json!({ "id": "burst" });
        let mut watch = Watch::start(&world, world.ada.context(), messages, variables).await;
        // More messages than the queue holds, in one change.
        let lines: Vec<String> = (1..=3_000).map(line).collect();
        world.push("burst", "main", &lines).await;
        let mut received = Vec::new();
        while received.last() != Some(&json!(3_000)) {
            received.push(watch.next("sessionMessageAdded").await["messageIndex"].take());
        }
        assert_eq!(received, (1..=3_000).map(|n| json!(n)).collect::<Vec<_>>());
    }
);

both_databases!(
    async fn a_slow_listener_of_a_shared_stream_is_resynced(db: TestDatabase) {
        let mut world = World::new(&db).await;
        let (changes, _) = broadcast::channel(4_096);
        world.schema =
            han_api::schema::team(Site::default(), world.db.clone(), changes.clone(), QueryLimits::default());
        let memory = async || Watch::start(&world, world.ada.context(), MEMORY, json!({})).await;
        let (mut slow, mut quick) = (memory().await, memory().await);
        for _ in 0..3_000 {
            changes.send(DbChangeEvent::Resync).unwrap();
        }
        for _ in 0..3_000 {
            assert_eq!(quick.next("memoryUpdated").await["action"], "resync");
        }
        // Its queued responses were dropped: it gets one resync and continues with the others.
        assert_eq!(slow.next("memoryUpdated").await["action"], "resync");
        assert!(!slow.has_next().await);
        changes.send(DbChangeEvent::Resync).unwrap();
        for watch in [&mut slow, &mut quick] {
            assert_eq!(watch.next("memoryUpdated").await["action"], "resync");
            assert!(!watch.has_next().await);
        }
    }
);

both_databases!(
    async fn the_bytes_queued_for_slow_listeners_are_bounded(db: TestDatabase) {
        let world = World::new(&db).await;
        let id = "long-lines";
        let line = |n: usize, text: &str| {
            json!({ "type": "user", "uuid": format!("u{n}"), "timestamp": "2026-01-01T00:00:00.000Z",
                    "message": { "role": "user", "content": text } })
            .to_string()
        };
        push_first(&world, id, &[line(0, "begin")]).await;
        let messages = "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) { newMessageEdge {
            node { ... on RegularUserMessage { content } } } } }";
        let ada = || world.ada.context();
        let variables = json!({ "id": id });
        let mut slow = Watch::start(&world, ada(), messages, variables.clone()).await;
        let mut slow_page = Watch::start(&world, ada(), MEMORY, json!({})).await;
        let mut quick = Watch::start(&world, ada(), messages, variables).await;
        let content =
            |payload: &Value| payload["newMessageEdge"]["node"]["content"].as_str().unwrap().to_owned();
        // The feed may run behind the pushes: wait for the message with this text.
        let long = "x".repeat(1 << 20);
        for n in 1..=20 {
            let long = format!("{n}{long}");
            world.push(id, "main", &[line(n, &long)]).await;
            while content(&quick.next("sessionMessageAdded").await) != long {}
        }
        slow.ends_with("RESYNC").await;
        // Falling behind on one subscription does not affect another.
        for _ in 1..=20 {
            assert_eq!(slow_page.next("memoryUpdated").await["action"], "updated");
        }
        world.push(id, "main", &[line(21, "end")]).await;
        assert_eq!(content(&quick.next("sessionMessageAdded").await), "end");
    }
);

/// Members of a team with one role share the responses of subscriptions, so these must not depend on the caller.
#[test]
fn types_do_not_depend_on_the_caller() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths: Vec<_> =
        ["types", "loaders", "memo.rs", "subscription"].map(|path| source.join(path)).into();
    let mut read = 0;
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // They decide who receives an event, and check rights.
        if path.ends_with("subscription/mod.rs") || path.ends_with("subscription/feed.rs") {
            continue;
        }
        read += 1;
        let source = std::fs::read_to_string(&path).unwrap();
        for word in ["caller(", "RequestContext", "person(", "manager(", "user_id()", "role()", "actor()"] {
            assert!(!source.contains(word), "{}: {word}", path.display());
        }
    }
    assert!(read > 20);
}
