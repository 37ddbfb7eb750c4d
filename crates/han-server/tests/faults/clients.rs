//! The real coordinator, while its connections are cut and its server is killed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use han_coordinator::{Client, ClientConfig, PushOptions, Sleeper};
use han_testkit::faults::{Deployment, Fault};
use han_testkit::{TestDatabase, fixtures};
use serde_json::{Value, json};

use crate::{SERVER, seed};

/// Pauses about as long as a server needs to restart, instead of minutes.
struct ShortSleeper;

impl Sleeper for ShortSleeper {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(Duration::from_millis(500)))
    }
}

async fn push_through(deployment: &mut Deployment, faults: &[Fault]) {
    let samples = fixtures::sample_sessions();
    let config =
        ClientConfig { url: deployment.url(), api_key: deployment.key().to_owned().into(), team: None };
    let client = Client::new(config).unwrap().with_sleeper(Arc::new(ShortSleeper));
    // Many small requests, so that faults hit some of them.
    let mut options = PushOptions::default();
    options.limits.batch_lines = 2;
    options.limits.body_bytes = 2048;
    let pushing = {
        let (client, samples) = (client.clone(), samples.clone());
        tokio::spawn(async move { han_coordinator::push(&samples, &client, &options).await })
    };
    for &fault in faults {
        deployment.inject(fault).await;
    }
    let report = pushing.await.unwrap();
    assert!(report.succeeded(), "{report:?}");
    let lines = report.lines_sent;
    assert_eq!(report.stored + report.duplicates, lines, "{report:?}");

    // A second push from line 0, without memory of the first one, stores nothing.
    let again = han_coordinator::push(&samples, &client, &PushOptions::default()).await;
    assert!(again.succeeded() && again.stored == 0, "{again:?}");
    let query = json!({ "query": "{ sessions(first: 50) { edges { node { lineCount } } } }" });
    let url = format!("{}/graphql", deployment.url());
    let answer =
        reqwest::Client::new().post(url).bearer_auth(deployment.key()).json(&query).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let edges = answer["data"]["sessions"]["edges"].as_array().unwrap();
    let stored: u64 = edges.iter().map(|edge| edge["node"]["lineCount"].as_u64().unwrap()).sum();
    assert_eq!(stored, lines, "every line once");
    let (sums, rebuilt) = deployment.totals_and_rebuilt().await;
    assert_eq!(sums, rebuilt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinator_pushes_through_faults_on_sqlite() {
    let database = TestDatabase::sqlite().await;
    let mut deployment = Deployment::sqlite(SERVER, database.url(), seed(6)).await;
    push_through(&mut deployment, &[Fault::Response, Fault::Request, Fault::Server, Fault::Response]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinator_pushes_through_faults_on_postgres() {
    let mut deployment = Deployment::postgres(SERVER, seed(7)).await;
    let faults = [
        Fault::Response,
        Fault::Terminate,
        Fault::Request,
        Fault::Postmaster,
        Fault::Server,
        Fault::Response,
    ];
    push_through(&mut deployment, &faults).await;
}
