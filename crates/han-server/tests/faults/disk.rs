//! A full disk under SQLite: pushes get 503, reads still work, and pushes succeed again without a restart once space is
//! free.

use han_testkit::faults::{environment, lift_file_size_limit, with_file_size_limit};
use han_testkit::{Program, TestDatabase};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::SERVER;

struct SmallDisk {
    program: Program,
    url: String,
    key: String,
    http: reqwest::Client,
}

impl SmallDisk {
    /// Migrates a database, then starts a server whose files may not grow past `kib`.
    async fn start(database: &TestDatabase, kib: u64) -> Self {
        let environment = environment(database.url());
        let args = ["key", "create", "--user", "ada", "--team", "ada", "--scopes", "read sync:write"];
        let (status, output) = Program::start(SERVER, args, environment.clone()).wait().await;
        assert!(status.success(), "{output:?}");
        let key = output.stdout.iter().flat_map(|line| line.split_whitespace());
        let key = key.clone().find(|word| word.starts_with("han_key_")).unwrap().to_owned();
        let (program, args) = with_file_size_limit(SERVER, kib);
        let mut program = Program::start(program, args, environment);
        let line = program.wait_for_line("listening on ").await;
        let url = line.split("listening on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        Self { program, url, key, http: reqwest::Client::new() }
    }

    /// Pushes line `n` of the session, a long one.
    async fn push(&self, n: usize) -> (StatusCode, Option<u64>, Value) {
        // Random-looking text, so that it does not compress.
        let text: String = (0..4000u64)
            .map(|i| {
                format!(
                    "{:016x}",
                    (i * 7919 + n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
                )
            })
            .collect();
        let body = json!({"sessions": [{"session_id": "s", "offset": n, "messages": [
            {"type": "user", "uuid": format!("{n}"), "timestamp": "2026-11-01T10:00:00.000Z",
             "message": {"role": "user", "content": text}}]}]});
        let request = self.http.post(format!("{}/api/sync/sessions", self.url)).bearer_auth(&self.key);
        let answer = request.json(&body).send().await.unwrap();
        let retry = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        (answer.status(), retry, answer.json().await.unwrap())
    }

    async fn line_count(&self) -> u64 {
        let query =
            json!({ "query": "{ sessions(first: 9) { edges { node { lineCount messageCount } } } }" });
        let request = self.http.post(format!("{}/graphql", self.url)).bearer_auth(&self.key);
        let answer: Value = request.json(&query).send().await.unwrap().json().await.unwrap();
        let node = &answer["data"]["sessions"]["edges"][0]["node"];
        assert_eq!(node["lineCount"], node["messageCount"], "{answer}");
        node["lineCount"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }
}

#[tokio::test]
async fn a_full_disk_refuses_pushes_until_space_is_free() {
    let database = TestDatabase::sqlite().await;
    let server = SmallDisk::start(&database, 6 << 10).await;
    // A refused push makes SQLite move its log into the database, which may free some space: the disk is full when
    // several pushes in a row are refused.
    let (mut stored, mut refused) = (0, 0);
    while refused < 3 {
        let (status, retry, body) = server.push(stored).await;
        if status.is_success() {
            assert_eq!(body["sessions"][0]["stored"], 1, "{body}");
            (stored, refused) = (stored + 1, 0);
        } else {
            assert_eq!(status, 503, "{body}");
            assert!(retry.is_some(), "Retry-After is set");
            refused += 1;
            // Reads still work, and refused pushes have stored nothing.
            assert_eq!(server.line_count().await, stored as u64);
        }
        assert!(stored < 1000, "the disk never fills");
    }
    assert!(stored > 0);
    if !lift_file_size_limit(&server.program) {
        eprintln!(
            "SKIPPED: prlimit (util-linux) is missing, so the limit of a running program cannot be raised"
        );
        return;
    }
    for n in stored..stored + 20 {
        let (status, _, body) = server.push(n).await;
        assert_eq!((status, &body["sessions"][0]["stored"]), (StatusCode::OK, &json!(1)), "{body}");
    }
    assert_eq!(server.line_count().await, stored as u64 + 20);
    assert_eq!(server.http.get(format!("{}/ready", server.url)).send().await.unwrap().status(), 200);
}
