//! The sync protocol: what is stored, what is refused, and the errors.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use han_testkit::{SyntheticSession, both_databases};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{TestServer, answer, batch, problem};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

both_databases!(
    async fn repeated_and_compressed_pushes_store_each_line_once(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let lines = SyntheticSession::new(1).lines(50);
        let first = server.push_lines(&ada.key, "s1", 0, &lines[..30]).await;
        assert_eq!(
            first,
            json!({"session_id": "s1", "transcript": "main", "stored": 30, "duplicates": 0, "rejected": [],
                   "next_offset": 30, "error": null})
        );
        for (encoding, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
            let body = pack(batch("s1", 0, &lines).to_string().as_bytes());
            let request = server.post("/api/sync/sessions").bearer_auth(&ada.key).body(body);
            let response = request.header("content-encoding", encoding).send().await.unwrap();
            let (status, body) = answer(response).await;
            assert_eq!(status, StatusCode::OK, "{encoding}: {body}");
            let stored = if encoding == "gzip" { 20 } else { 0 };
            let result = &body["sessions"][0];
            assert_eq!(
                (&result["stored"], &result["duplicates"]),
                (&json!(stored), &json!(50 - stored)),
                "{encoding}"
            );
        }
        let (_, status) =
            answer(server.get("/api/sync/status").bearer_auth(&ada.key).send().await.unwrap()).await;
        let hash: String = Sha256::digest(&lines[49]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(status["team_id"], json!(ada.team_id));
        assert_eq!(
            status["transcripts"],
            json!([{"session_id": "s1", "transcript": "main", "offset": 50, "last_line_hash": hash}])
        );
        server.stop().await;
    }
);

both_databases!(
    async fn the_status_names_omitted_lines_until_they_arrive(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let lines = SyntheticSession::new(1).lines(3);
        let hash: String = Sha256::digest(&lines[1]).iter().map(|byte| format!("{byte:02x}")).collect();
        let marker = json!({"type": "han_omitted_line", "bytes": lines[1].len(), "sha256": hash}).to_string();
        server.push_lines(&ada.key, "s1", 0, &[lines[0].clone(), marker, lines[2].clone()]).await;
        let status = async |query: &str| {
            let request = server.get(&format!("/api/sync/status{query}")).bearer_auth(&ada.key);
            answer(request.send().await.unwrap()).await
        };
        let (_, found) = status("").await;
        let transcript = &found["transcripts"][0];
        assert_eq!((&transcript["omitted"], &transcript["offset"]), (&json!([1]), &json!(3)));
        for limit in ["line_bytes", "body_bytes", "decompressed_bytes"] {
            assert!(found["limits"][limit].as_u64().unwrap() > 1024, "{found}");
        }
        let filled = server.push_lines(&ada.key, "s1", 1, &lines[1..2]).await;
        assert_eq!(filled["stored"], 1);
        let (_, found) = status("").await;
        let transcript = &found["transcripts"][0];
        assert_eq!((&transcript["omitted"], &transcript["offset"]), (&Value::Null, &json!(3)));

        // A team may be named by its id, its global id or its slug.
        assert_eq!(found["teams"].as_array().unwrap().len(), 1, "a key has one team");
        let slug = found["team"]["slug"].as_str().unwrap().to_owned();
        for team in [ada.team_id.to_string(), format!("Team:{}", ada.team_id), slug] {
            let (code, named) = status(&format!("?team_id={team}")).await;
            assert_eq!((code, &named["team"]), (StatusCode::OK, &found["team"]), "{team}");
        }
        assert_eq!(status("?team_id=another").await.0, StatusCode::NOT_FOUND);
        server.stop().await;
    }
);

both_databases!(
    async fn invalid_lines_and_batches_are_rejected_individually(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| {
            config.limits.line_bytes = 1024;
            config.limits.lines_per_batch = 8;
        })
        .await;
        let ada = server.person("ada").await;
        server.push_lines(&ada.key, "good", 0, &SyntheticSession::new(2).lines(2)).await;
        let body = json!({ "sessions": [
            {"session_id": "good", "offset": 2, "messages": [
                {"type": "user", "uuid": "u1"}, 7, {"type": "user", "x": "y".repeat(2000)}, "a line that is no JSON",
                "two\nlines", null, [1], {"type": "user", "uuid": "u2"}]},
            {"session_id": "", "messages": []},
            {"session_id": "x".repeat(129), "messages": []},
            {"session_id": "a/b", "messages": []},
            {"session_id": "t", "transcript": "../x", "messages": []},
            {"session_id": "t", "metadata": {"git_remote": "r".repeat(5000)}, "messages": []},
            {"session_id": "t", "metadata": {"ended_at": "yesterday"}, "messages": []},
            {"session_id": "t", "offset": u64::MAX, "messages": []},
            {"session_id": "t", "messages": vec![json!({}); 9]},
            {"session_id": "good", "offset": 11, "messages": [{}]},
            {"session_id": "last", "messages": [{"type": "user", "uuid": "u3"}]},
        ]});
        let (status, body) = answer(server.push(&ada.key, &body).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let results = body["sessions"].as_array().unwrap();
        assert_eq!((&results[0]["stored"], &results[0]["next_offset"]), (&json!(3), &json!(10)));
        let rejected: Vec<(u64, &str)> = results[0]["rejected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| (line["line"].as_u64().unwrap(), line["code"].as_str().unwrap()))
            .collect();
        let malformed = "malformed";
        assert_eq!(
            rejected,
            [(3, malformed), (4, "too_large"), (6, malformed), (7, malformed), (8, malformed)]
        );
        assert!(results[0]["rejected"][1]["message"].as_str().unwrap().contains("HAN_MAX_LINE_BYTES"));
        let errors: Vec<(&str, &str)> = results[1..10]
            .iter()
            .map(|result| {
                (result["error"]["code"].as_str().unwrap(), result["error"]["message"].as_str().unwrap())
            })
            .collect();
        let expected = [
            ("invalid", "session_id"),
            ("invalid", "session_id"),
            ("invalid", "session_id"),
            ("invalid", "transcript"),
            ("invalid", "metadata.git_remote"),
            ("invalid", "metadata.ended_at"),
            ("invalid", "offset"),
            ("too_many_lines", "HAN_MAX_LINES_PER_BATCH"),
            ("gap", ""),
        ];
        for ((code, message), (want, named)) in errors.iter().zip(expected) {
            assert_eq!(*code, want, "{message}");
            assert!(message.contains(named), "{message} does not name {named}");
        }
        assert_eq!((&results[9]["error"]["offset"], &results[9]["next_offset"]), (&json!(10), &json!(10)));
        assert_eq!(results[10]["stored"], 1);
        let (_, status) =
            answer(server.get("/api/sync/status").bearer_auth(&ada.key).send().await.unwrap()).await;
        let known: Vec<&Value> =
            status["transcripts"].as_array().unwrap().iter().map(|row| &row["session_id"]).collect();
        assert_eq!(known, ["good", "last"], "no part of a refused batch is stored");
        server.stop().await;
    }
);

both_databases!(
    async fn invalid_and_oversized_bodies_get_a_problem_with_the_reason(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| {
            config.limits.body_bytes = 64 << 10;
            config.limits.decompressed_bytes = 1 << 20;
            config.limits.sessions_per_request = 3;
            config.limits.lines_per_request = 8;
        })
        .await;
        let ada = server.person("ada").await;
        let post = |bytes: Vec<u8>| server.post("/api/sync/sessions").bearer_auth(&ada.key).body(bytes);
        let packed = |encoding: &str, bytes: Vec<u8>| post(bytes).header("content-encoding", encoding);
        let zeros = vec![b' '; 8 << 20];
        let good = batch("s", 0, &SyntheticSession::new(3).lines(5)).to_string().into_bytes();
        let cut = |bytes: &[u8]| bytes[..bytes.len() - 9].to_vec();
        let mut latin1 = br#"{"sessions":[{"session_id":"s","messages":["caf"#.to_vec();
        latin1.extend(b"\xe9\"]}]}");
        let wide_window = {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(27).unwrap();
            encoder.write_all(&good).unwrap();
            encoder.finish().unwrap()
        };
        let deep = format!(r#"{{"sessions":[{{"session_id":{}}}]}}"#, "[".repeat(50_000)).into_bytes();
        let table: Vec<(&str, RequestBuilder, u16, &str)> = vec![
            ("a body too large", post(vec![b' '; 200 << 10]), 413, "HAN_MAX_BODY_BYTES"),
            (
                "more lines than a request may have",
                post(br#"{"sessions":[{"session_id":"s","messages":[1,1,1,1,1]},{"session_id":"t","messages":[1,1,1,1]}]}"#.to_vec()),
                413,
                "HAN_MAX_LINES_PER_REQUEST",
            ),
            ("a gzip bomb", packed("gzip", gzip(&zeros)), 413, "HAN_MAX_DECOMPRESSED_BYTES"),
            ("a zstd bomb", packed("zstd", zstd(&zeros)), 413, "HAN_MAX_DECOMPRESSED_BYTES"),
            ("a cut gzip stream", packed("gzip", cut(&gzip(&good))), 400, "cut off"),
            ("a cut zstd stream", packed("zstd", cut(&zstd(&good))), 400, "cut off"),
            ("junk as gzip", packed("gzip", good.clone()), 400, "gzip"),
            ("junk as zstd", packed("zstd", good.clone()), 400, "zstd"),
            ("a window of 128 MiB", packed("zstd", wide_window), 400, "8 MiB"),
            ("an unknown encoding", packed("br", good.clone()), 415, "gzip, zstd"),
            ("two encodings", packed("gzip, zstd", good.clone()), 415, "gzip, zstd"),
            ("bytes that are no text", post(latin1), 400, "byte 47"),
            ("no JSON", post(b"hello".to_vec()), 400, "line 1 column 1"),
            ("cut JSON", post(cut(&good)), 400, "EOF"),
            ("nothing", post(Vec::new()), 400, "EOF"),
            ("deep JSON", post(deep), 400, "expected a string"),
            (
                "too many batches",
                post(
                    json!({"sessions": vec![json!({"session_id": "s", "messages": []}); 4]})
                        .to_string()
                        .into_bytes(),
                ),
                413,
                "HAN_MAX_SESSIONS_PER_REQUEST",
            ),
        ];
        for (what, request, status, named) in table {
            let refused = problem(request.send().await.unwrap()).await;
            assert_eq!(refused.0, status, "{what}: {refused:?}");
            assert!(refused.2.contains(named), "{what}: {refused:?} does not name {named}");
        }
        assert_eq!(post(good).send().await.unwrap().status(), 200, "the server is still available");
        server.stop().await;
    }
);

both_databases!(
    async fn a_deeply_nested_line_is_stored(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let deep = format!(r#"{{"type":"user","x":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        let body = format!(r#"{{"sessions":[{{"session_id":"s","messages":[{deep}]}}]}}"#);
        let response =
            server.post("/api/sync/sessions").bearer_auth(&ada.key).body(body).send().await.unwrap();
        assert_eq!(answer(response).await.1["sessions"][0]["stored"], 1);
        server.stop().await;
    }
);

both_databases!(
    async fn a_truncated_body_stores_nothing(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let body = batch("s", 0, &SyntheticSession::new(4).lines(5)).to_string();
        let mut wire =
            tokio::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!(
            "POST /api/sync/sessions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            ada.key,
            body.len()
        );
        wire.write_all(head.as_bytes()).await.unwrap();
        wire.write_all(&body.as_bytes()[..body.len() / 2]).await.unwrap();
        wire.shutdown().await.unwrap();
        let mut answer_text = String::new();
        wire.read_to_string(&mut answer_text).await.unwrap();
        assert!(answer_text.is_empty() || answer_text.starts_with("HTTP/1.1 400"), "{answer_text}");
        let (_, status) =
            answer(server.get("/api/sync/status").bearer_auth(&ada.key).send().await.unwrap()).await;
        assert_eq!(status["transcripts"], json!([]));
        server.stop().await;
    }
);

both_databases!(
    async fn a_malformed_status_query_gets_a_problem(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let asked = server.get("/api/sync/status?team_id=a&team_id=b").bearer_auth(&ada.key);
        let refused = problem(asked.send().await.unwrap()).await;
        assert_eq!((refused.0, refused.1.as_str()), (400, "bad_request"));
        assert!(refused.2.contains("team_id"), "{refused:?}");
        server.stop().await;
    }
);

both_databases!(
    async fn a_session_of_another_member_cannot_be_pushed(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let lines = SyntheticSession::new(5).lines(3);
        server.push_lines(&ada.key, "s", 0, &lines).await;
        let refused = server.push_lines(&bob.key, "s", 0, &lines).await;
        assert_eq!((&refused["error"]["code"], &refused["stored"]), (&json!("session_owned"), &json!(0)));
        let eve = server.person("eve").await;
        assert_eq!(
            server.push_lines(&eve.key, "s", 0, &lines).await["stored"],
            3,
            "session ids are per team"
        );
        server.stop().await;
    }
);
