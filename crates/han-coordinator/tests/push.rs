//! Tests pushes against a fake server: what arrives, what is sent again, and what is reported.

#![allow(clippy::unwrap_used, reason = "a broken helper should fail the test")]

mod support;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;

use han_coordinator::batch::BatchLimits;
use han_coordinator::{
    ChooseTeam, Client, ClientConfig, Error, PushMemory, PushOptions, push, push_remembering,
};
use han_types::sync::{BatchErrorCode, SyncKey, SyncTeam};
use support::{Fault, KEY, READ_ONLY_KEY, RecordingSleeper, Server, TestDirectory, client, lines, sha256};

/// Chooses the team `shop`.
struct Shop;

impl ChooseTeam for Shop {
    fn choose(&self, teams: &[SyncTeam]) -> Option<usize> {
        teams.iter().position(|team| team.slug == "shop")
    }
}

fn small(body_bytes: usize, batch_lines: usize) -> PushOptions {
    PushOptions { limits: BatchLimits { body_bytes, batch_lines }, ..PushOptions::default() }
}

fn append(path: &std::path::Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn every_line_arrives_unchanged_and_a_second_push_sends_nothing() {
    let deep = format!("{{\"deep\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let odd = [
        r#"{"a" :1.0e+2,  "b":"\ud800 \u0041 é"}"#,
        "",
        r#"{"type":"user"} "#,
        "\t{\"type\":\"user\"}",
        "{\"crlf\":1}\r",
        "not json \u{0} \u{1f600} \"quoted\" \\",
        "[1,2]",
        "{\"half\":",
        "{\"two\":1}{\"objects\":2}",
        "\u{feff}{\"bom\":1}",
        "null",
        "{}",
        "",
        &deep,
        r#"{"same":1,"same":2}"#,
    ];
    let home = TestDirectory::new();
    home.write("p/s-1.jsonl", odd.join("\n") + "\n");
    home.write("p/s-1/subagents/agent-a.jsonl", lines(0, 3));
    home.write("p/s-1-han.jsonl", lines(3, 2));
    let server = Server::start().await;

    let report = server.push(home.path()).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!((report.sessions, report.transcripts, report.lines_sent), (1, 3, 20));
    assert_eq!(
        (report.stored, report.duplicates),
        (19, 1),
        "the second empty line is a duplicate in the model"
    );
    assert_eq!(server.lines("s-1", "main"), odd);
    assert_eq!(server.lines("s-1", "agent-a").join("\n") + "\n", lines(0, 3));
    assert_eq!(server.lines("s-1", "han").join("\n") + "\n", lines(3, 2));
    let sent = server.model().requests[0][0].wire.clone();
    assert_eq!(sent[0], odd[0], "an object is sent unchanged");
    assert_eq!(sent[4], r#""{\"crlf\":1}\r""#, "any other text is sent as a JSON string");
    assert_eq!(sent[13], deep);

    let again = server.push(home.path()).await;
    assert!(again.succeeded());
    assert_eq!((again.lines_sent, again.requests, again.up_to_date), (0, 0, 3));
}

#[tokio::test]
async fn small_limits_give_small_batches_and_requests() {
    let home = TestDirectory::new();
    for session in ["a", "b", "c"] {
        home.write(&format!("p/{session}.jsonl"), lines(0, 50));
    }
    let server = Server::start().await;
    let report = push(home.path(), &server.client(&RecordingSleeper::default()), &small(1500, 7)).await;
    assert!(report.succeeded());
    assert_eq!((report.lines_sent, report.stored), (150, 150));
    for session in ["a", "b", "c"] {
        assert_eq!(server.lines(session, "main").join("\n") + "\n", lines(0, 50));
    }
    let model = server.model();
    assert!(model.requests.len() > 3);
    assert!(model.requests.iter().any(|request| request.len() > 1), "several batches share a request");
    assert!(model.requests.iter().flatten().all(|batch| batch.wire.len() <= 7));
}

#[tokio::test]
async fn requests_have_at_most_500_batches() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 1201));
    let server = Server::start().await;
    let report = push(home.path(), &server.client(&RecordingSleeper::default()), &small(4 << 20, 1)).await;
    assert_eq!((report.stored, server.lines("s", "main").len()), (1201, 1201));
    assert!(server.model().requests.iter().all(|request| request.len() <= 500));
}

#[tokio::test]
async fn a_grown_file_is_resumed_and_an_incomplete_line_is_left_for_later() {
    let home = TestDirectory::new();
    let path = home.write("p/s.jsonl", lines(0, 3));
    let server = Server::start().await;
    server.push(home.path()).await;

    append(&path, &(lines(3, 1) + "{\"half\":"));
    let report = server.push(home.path()).await;
    assert_eq!((report.lines_sent, report.stored, report.half_written), (1, 1, 1));

    append(&path, "1}");
    let report = server.push(home.path()).await;
    assert_eq!((report.lines_sent, report.half_written), (1, 0), "a complete object needs no line feed");

    append(&path, "\n");
    let report = server.push(home.path()).await;
    assert_eq!((report.lines_sent, report.restarted), (0, 0), "the line feed changes nothing");
    assert_eq!(server.model().requests.last().unwrap()[0].offset, 4);
    assert_eq!(server.lines("s", "main").last().unwrap(), "{\"half\":1}");
}

#[tokio::test]
async fn a_complete_record_is_sent_whatever_follows_it_instead_of_a_line_feed() {
    for end in ["\0\0\0\0", "\r", " ", "\t", "\u{feff}", "{\"type\":\"user\",\"uuid\":\"second\"}"] {
        let home = TestDirectory::new();
        let path = home.write("p/s.jsonl", lines(0, 2) + "{\"type\":\"user\",\"uuid\":\"last\"}" + end);
        let server = Server::start().await;
        let report = server.push(home.path()).await;
        assert_eq!((report.stored, report.half_written), (3, 0), "{end:?}");
        let last = server.lines("s", "main").pop().unwrap();
        assert_eq!(last, format!("{{\"type\":\"user\",\"uuid\":\"last\"}}{end}"));
        assert_eq!(server.push(home.path()).await.lines_sent, 0, "{end:?}");
        append(&path, &(String::from("\n") + &lines(9, 1)));
        let report = server.push(home.path()).await;
        assert_eq!((report.lines_sent, report.restarted), (1, 0), "{end:?}");
    }
}

#[tokio::test]
async fn a_file_with_carriage_returns_only_is_one_line_that_grows() {
    let home = TestDirectory::new();
    let record = |n: u32| {
        format!("{{\"type\":\"user\",\"uuid\":\"{n}\",\"cwd\":\"/home/ana/shop\",\"gitBranch\":\"b{n}\"}}\r")
    };
    let path = home.write("p/s.jsonl", record(1) + &record(2));
    let server = Server::start().await;
    let report = server.push(home.path()).await;
    assert_eq!((report.stored, report.half_written), (1, 0));
    assert_eq!(server.lines("s", "main"), [record(1) + &record(2)]);
    let metadata = server.model().requests.last().unwrap()[0].metadata.clone();
    assert_eq!(metadata.project_path.as_deref(), Some("/home/ana/shop"));
    assert_eq!(metadata.git_branch.as_deref(), Some("b2"));
    append(&path, &record(3));
    server.push(home.path()).await;
    assert_eq!(server.lines("s", "main"), [record(1) + &record(2) + &record(3)]);
}

#[tokio::test]
async fn a_rewritten_or_truncated_file_is_sent_from_the_beginning() {
    let home = TestDirectory::new();
    let path = home.write("p/s.jsonl", lines(0, 10));
    let server = Server::start().await;
    server.push(home.path()).await;

    for rewritten in [lines(50, 10), lines(100, 12), lines(200, 4), lines(200, 2) + &lines(300, 9)] {
        std::fs::write(&path, &rewritten).unwrap();
        let report = server.push(home.path()).await;
        assert!(report.succeeded());
        assert_eq!(report.restarted, 1);
        assert_eq!(server.model().requests.last().unwrap()[0].offset, 0);
        let arrived = server.lines("s", "main").join("\n") + "\n";
        assert!(arrived.starts_with(&rewritten));
        assert_eq!(server.push(home.path()).await.lines_sent, 0, "the server has the new file");
    }
}

#[tokio::test]
async fn without_a_hash_every_line_is_sent_again_and_stored_once() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 10));
    let server = Server::start().await;
    server.push(home.path()).await;
    server.model().status_hashes = false;
    let report = server.push(home.path()).await;
    assert_eq!((report.lines_sent, report.stored, report.duplicates), (10, 0, 10));
}

#[tokio::test]
async fn a_gap_rewinds_to_the_offset_of_the_server() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 60));
    home.write("p/t.jsonl", lines(0, 5));
    let server = Server::start().await;
    let first = push(home.path(), &server.client(&RecordingSleeper::default()), &small(900, 5)).await;
    assert!(first.succeeded());
    append(&home.path().join("p/s.jsonl"), &lines(60, 40));
    server.inject(Fault::Forget("s", "main", 20));

    let report = push(home.path(), &server.client(&RecordingSleeper::default()), &small(900, 5)).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(server.lines("s", "main").join("\n") + "\n", lines(0, 100));
    assert_eq!(report.stored, 80);
}

#[tokio::test]
async fn repeated_gaps_fail_only_that_transcript() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 5));
    home.write("p/t.jsonl", lines(0, 5));
    let server = Server::start().await;
    server.model().refused.insert("s".to_owned(), BatchErrorCode::Gap);
    let report = server.push(home.path()).await;
    assert!(!report.succeeded());
    assert_eq!(report.failed.len(), 1);
    assert_eq!(
        (report.failed[0].code.as_str(), report.failed[0].transcript.as_deref()),
        ("gap", Some("main"))
    );
    assert_eq!(server.lines("t", "main").len(), 5);
}

#[tokio::test]
async fn retries_wait_for_retry_after_or_back_off() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 5));
    let server = Server::start().await;
    server.inject(Fault::Status(429, Some("7")));
    server.inject(Fault::Status(503, None));
    server.inject(Fault::Status(503, Some("Wed, 21 Oct 2026 07:28:00 GMT")));
    server.inject(Fault::Status(502, Some("0")));
    let sleeper = RecordingSleeper::default();
    let report = push(home.path(), &server.client(&sleeper), &PushOptions::default()).await;
    assert!(report.succeeded());
    assert_eq!(sleeper.seconds(), [7, 2, 4, 0]);
    assert_eq!(server.lines("s", "main").len(), 5);
}

#[tokio::test]
async fn retries_end_after_eight_attempts_or_a_long_retry_after() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 5));
    let server = Server::start().await;
    (0..20).for_each(|_| server.inject(Fault::Status(503, None)));
    let sleeper = RecordingSleeper::default();
    let report = push(home.path(), &server.client(&sleeper), &PushOptions::default()).await;
    assert!(matches!(report.stopped, Some(Error::RetriesExhausted { attempts: 8, .. })), "{report:?}");
    assert_eq!(sleeper.seconds(), [1, 2, 4, 8, 16, 32, 60]);

    server.model().faults.clear();
    server.inject(Fault::Status(429, Some("3600")));
    let sleeper = RecordingSleeper::default();
    let report = push(home.path(), &server.client(&sleeper), &PushOptions::default()).await;
    assert!(matches!(report.stopped, Some(Error::RetryLater { seconds: 3600, .. })), "{report:?}");
    assert!(sleeper.seconds().is_empty());
}

#[tokio::test]
async fn a_lost_response_is_retried_and_stores_no_line_twice() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 5));
    let server = Server::start().await;
    server.inject(Fault::Cut { stored: false });
    server.inject(Fault::Cut { stored: true });
    let sleeper = RecordingSleeper::default();
    let report = push(home.path(), &server.client(&sleeper), &PushOptions::default()).await;
    assert!(report.succeeded());
    assert_eq!((report.stored, report.duplicates, sleeper.seconds().len()), (0, 5, 2));
    assert_eq!(server.lines("s", "main").len(), 5);
}

#[tokio::test]
async fn a_refused_connection_is_retried_and_then_an_error() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 1));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "https"] {
        let sleeper = RecordingSleeper::default();
        let client = client(&format!("{scheme}://{free}"), KEY, &sleeper);
        let report = push(home.path(), &client, &PushOptions::default()).await;
        assert!(matches!(report.stopped, Some(Error::RetriesExhausted { attempts: 8, .. })), "{report:?}");
        assert_eq!(sleeper.seconds().len(), 7);
    }
}

#[tokio::test]
async fn a_body_over_the_servers_limit_is_halved_and_a_line_over_it_is_omitted() {
    let home = TestDirectory::new();
    let giant = format!("{{\"giant\":\"{}\"}}", "x".repeat(5000));
    let path = home.write("p/s.jsonl", lines(0, 100) + &giant + "\n" + &lines(100, 20) + &giant + "!\n");
    let server = Server::start().await;
    server.model().body_limit = 1000;
    let report = push(home.path(), &server.client(&RecordingSleeper::default()), &small(4 << 20, 3)).await;
    assert!(!report.succeeded(), "{report:?}");
    assert!(report.failed.is_empty() && report.stopped.is_none(), "{report:?}");
    assert_eq!(server.model().gaps, 0, "the smaller requests start at the first line of the refused one");
    let arrived = server.lines("s", "main");
    assert_eq!(arrived.len(), 122);
    assert_eq!(arrived[..100].join("\n") + "\n", lines(0, 100));
    assert_eq!(
        arrived[100],
        format!(r#"{{"type":"han_omitted_line","bytes":{},"sha256":"{}"}}"#, giant.len(), sha256(&giant))
    );
    assert_eq!(arrived[101..121].join("\n") + "\n", lines(100, 20));
    let omitted: Vec<_> =
        report.omitted.iter().map(|line| (line.path.clone(), line.line, line.bytes)).collect();
    assert_eq!(omitted, [(path.clone(), 100, giant.len() as u64), (path, 121, giant.len() as u64 + 1)]);

    // The server states its limit, so that the lines are not tried in vain. They are reported again.
    server.model().stated_limit = Some(1000);
    let requests = server.model().requests.len();
    let again = server.push(home.path()).await;
    assert_eq!((again.lines_sent, again.restarted), (0, 0), "the placeholder's hash is recognised");
    assert_eq!((again.omitted.len(), again.succeeded()), (2, false));
    assert_eq!(server.model().requests.len(), requests);
    // A limit that the server does not state.
    server.model().stated_limit = None;
    let again = server.push(home.path()).await;
    assert_eq!((again.lines_sent, again.omitted.len(), again.succeeded()), (0, 2, false));
    assert_eq!(server.lines("s", "main"), arrived);

    // Once they fit, they are sent, and nothing else.
    server.model().body_limit = usize::MAX;
    server.model().stated_limit = Some(10 << 20);
    let again = server.push(home.path()).await;
    assert_eq!((again.lines_sent, again.omitted.len(), again.succeeded()), (2, 0, true), "{again:?}");
    let filled = server.lines("s", "main");
    assert_eq!((&filled[100], &filled[121]), (&giant, &(giant.clone() + "!")));
    assert_eq!(filled.len(), 122);
}

#[tokio::test]
async fn a_line_that_a_proxy_refuses_is_not_omitted() {
    let home = TestDirectory::new();
    let giant = format!("{{\"giant\":\"{}\"}}", "x".repeat(5000));
    let path = home.write("p/s.jsonl", lines(0, 10) + &giant + "\n" + &lines(10, 5));
    home.write("p/t.jsonl", lines(20, 5));
    let server = Server::start().await;
    server.model().proxy_limit = 1000;
    let report = server.push(home.path()).await;
    assert!(!report.succeeded());
    assert_eq!((report.omitted.len(), report.failed.len()), (0, 1), "{report:?}");
    let failed = &report.failed[0];
    assert_eq!((&failed.path, failed.code.as_str()), (&path, "refused_by_proxy"));
    assert!(failed.message.contains("line 11") && failed.message.contains("proxy"), "{}", failed.message);
    assert_eq!(server.lines("s", "main").join("\n") + "\n", lines(0, 10), "the lines before it arrive");
    assert_eq!(server.lines("t", "main").len(), 5, "and the other transcripts");

    server.model().proxy_limit = usize::MAX;
    let report = server.push(home.path()).await;
    assert!(report.succeeded());
    assert_eq!(server.lines("s", "main")[10], giant);
    assert_eq!(server.lines("s", "main").len(), 16);
}

#[tokio::test]
async fn the_team_is_reported_and_may_be_named_by_its_slug() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 2));
    let server = Server::start().await;
    server.model().teams = vec![support::team("team-1", "ana"), support::team("team-2", "shop")];
    let client = |team: Option<&str>| {
        let config =
            ClientConfig { url: server.url.clone(), api_key: KEY.into(), team: team.map(str::to_owned) };
        Client::new(config).unwrap().with_sleeper(Arc::new(RecordingSleeper::default()))
    };
    let to = async |client: Client| push(home.path(), &client, &PushOptions::default()).await;
    let report = to(client(Some("shop"))).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(report.team, Some(support::team("team-2", "shop")));
    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    assert!(String::from_utf8(text).unwrap().starts_with("team: shop (SHOP)\n"));
    assert_eq!(server.model().pushed_to, ["team-2"]);

    // Without a team, nothing is pushed to the first one by mistake.
    let report = to(client(None)).await;
    assert!(matches!(report.stopped, Some(Error::SeveralTeams { .. })), "{report:?}");
    let message = report.stopped.unwrap().to_string();
    assert!(message.contains("--team") && message.contains("ana, shop"), "{message}");
    assert_eq!(server.model().pushed_to.len(), 1);

    home.write("p/t.jsonl", lines(5, 2));
    let report = to(client(None).with_chooser(Arc::new(Shop))).await;
    assert_eq!(report.team, Some(support::team("team-2", "shop")), "{report:?}");
    assert_eq!(server.model().pushed_to, ["team-2", "team-2"]);

    let report = to(client(Some("unknown"))).await;
    assert!(matches!(report.stopped, Some(Error::UnknownTeam { .. })), "{report:?}");
    // One team needs no choice.
    server.model().teams.truncate(1);
    assert_eq!(to(client(None)).await.team, Some(support::team("team-1", "ana")));
}

#[tokio::test]
async fn a_line_of_100_mb_is_omitted_without_keeping_it_in_memory() {
    let home = TestDirectory::new();
    let path = home.write("p/s.jsonl", lines(0, 1));
    // A sparse file takes no time to create; the content does not matter.
    let start = std::fs::metadata(&path).unwrap().len();
    File::options().append(true).open(&path).unwrap().set_len(start + 100_000_000).unwrap();
    append(&path, &("\n".to_owned() + &lines(1, 1)));
    let server = Server::start().await;
    let report = server.push(home.path()).await;
    assert!(report.succeeded());
    assert_eq!(report.stored, 3);
    assert_eq!((report.omitted[0].line, report.omitted[0].bytes), (1, 100_000_000));
    let arrived = server.lines("s", "main");
    assert!(arrived[1].starts_with(r#"{"type":"han_omitted_line","bytes":100000000,"sha256":""#));
    assert_eq!(arrived[2], lines(1, 1).trim_end());
}

#[tokio::test]
async fn a_sent_line_is_recognised_after_the_line_limit_changed() {
    let long = format!("{{\"long\":\"{}\"}}\n", "x".repeat(3000));
    let limited = PushOptions { max_line_bytes: 2000, ..PushOptions::default() };
    for (first, second) in [(PushOptions::default(), limited), (limited, PushOptions::default())] {
        let home = TestDirectory::new();
        home.write("p/s.jsonl", lines(0, 1) + &long);
        let server = Server::start().await;
        assert!(push(home.path(), &server.client(&RecordingSleeper::default()), &first).await.succeeded());
        let report = push(home.path(), &server.client(&RecordingSleeper::default()), &second).await;
        // A line that was omitted and fits now is sent.
        let sent = u64::from(first.max_line_bytes < second.max_line_bytes);
        assert_eq!((report.lines_sent, report.restarted), (sent, 0));
        assert_eq!(server.lines("s", "main").join("\n") + "\n", lines(0, 1) + &long);
    }
}

#[tokio::test]
async fn rejected_lines_are_reported_and_are_no_failure() {
    let home = TestDirectory::new();
    let long = "y".repeat(400);
    let path = home.write("p/s.jsonl", lines(0, 2) + "{\"long\":\"" + &long + "\"}\n" + &lines(2, 1));
    let server = Server::start().await;
    server.model().line_limit = 300;
    let report = server.push(home.path()).await;
    assert!(report.succeeded());
    assert_eq!((report.lines_sent, report.stored, report.rejected.len()), (4, 3, 1));
    assert_eq!(report.rejected[0].line, 2);
    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains(&format!("rejected: {}:3: the line is over the limit\n", path.display())),
        "{text}"
    );
}

#[tokio::test]
async fn invalid_utf8_is_replaced_and_counted() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", b"{\"a\":\"\xff\xfe\"}\n{}\n\xc3\n");
    let server = Server::start().await;
    let report = server.push(home.path()).await;
    assert_eq!((report.not_utf8, report.stored), (2, 3));
    assert_eq!(server.lines("s", "main"), ["{\"a\":\"\u{fffd}\u{fffd}\"}", "{}", "\u{fffd}"]);
    assert_eq!(server.push(home.path()).await.lines_sent, 0, "hashes are of the text that was sent");
}

#[tokio::test]
async fn a_refused_session_is_reported_once_and_the_others_are_pushed() {
    for (code, name) in [
        (BatchErrorCode::SessionOwned, "session_owned"),
        (BatchErrorCode::Gone, "gone"),
        (BatchErrorCode::PlanLimit, "plan_limit"),
    ] {
        let home = TestDirectory::new();
        home.write("p/a.jsonl", lines(0, 5));
        home.write("p/a/subagents/agent-x.jsonl", lines(0, 5));
        home.write("p/b.jsonl", lines(0, 5));
        let server = Server::start().await;
        server.model().refused.insert("a".to_owned(), code);
        let report = push(home.path(), &server.client(&RecordingSleeper::default()), &small(400, 2)).await;
        assert!(!report.succeeded());
        assert_eq!(report.failed.len(), 1);
        assert_eq!((report.failed[0].session_id.as_str(), report.failed[0].code.as_str()), ("a", name));
        assert_eq!(report.failed[0].transcript, None);
        assert_eq!(server.lines("b", "main").len(), 5);
        let asked = server.model().requests.iter().flatten().filter(|batch| batch.session == "a").count();
        assert!(asked <= 2, "it is not pushed again: {asked}");
    }
}

#[tokio::test]
async fn after_some_sessions_over_the_plan_only_known_ones_are_pushed_and_a_later_push_sends_the_rest() {
    let home = TestDirectory::new();
    let new: Vec<String> = (0..40).map(|n| format!("new-{n:02}")).collect();
    home.write("p/known.jsonl", lines(0, 3));
    let server = Server::start().await;
    assert!(server.push(home.path()).await.succeeded());
    append(&home.path().join("p/known.jsonl"), &lines(3, 2));
    for session in &new {
        home.write(&format!("p/{session}.jsonl"), lines(0, 3));
        server.model().refused.insert(session.clone(), BatchErrorCode::PlanLimit);
    }
    let requests = server.model().requests.len();
    // Three sessions in a request.
    let options = small(4 * lines(0, 3).len(), 3);
    let report = push(home.path(), &server.client(&RecordingSleeper::default()), &options).await;
    assert!(!report.succeeded() && report.stopped.is_none());
    assert_eq!(report.failed.len(), 40, "each is reported");
    assert!(report.failed.iter().all(|failed| failed.code == "plan_limit" && failed.transcript.is_none()));
    assert_eq!(server.lines("known", "main").len(), 5, "a session that the server knows grows on");
    let sent = server.model().requests[requests..].iter().flatten().count();
    assert!(sent < 20, "the others are not sent: {sent}");
    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("over the plan: 40 sessions not pushed, and left for a later push: no"), "{text}");
    assert!(text.contains("and 37 more (--json names them)"), "{text}");

    server.model().refused.clear();
    let report = server.push(home.path()).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(server.lines("new-39", "main").len(), 3);
}

#[tokio::test]
async fn an_unavailable_batch_is_retried_until_the_attempts_run_out() {
    let home = TestDirectory::new();
    home.write("p/a.jsonl", lines(0, 5));
    home.write("p/b.jsonl", lines(0, 5));
    let server = Server::start().await;
    server.model().unavailable.insert("a".to_owned(), 4);
    let sleeper = RecordingSleeper::default();
    let report = push(home.path(), &server.client(&sleeper), &small(4 << 20, 2)).await;
    assert!(report.succeeded());
    assert_eq!(sleeper.seconds(), [1, 2], "three failed batches of one request count as one failure");

    append(&home.path().join("p/a.jsonl"), &lines(5, 1));
    append(&home.path().join("p/b.jsonl"), &lines(5, 1));
    server.model().unavailable.insert("a".to_owned(), u32::MAX);
    let report = server.push(home.path()).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].code, "unavailable");
    assert_eq!(server.lines("b", "main").len(), 6);
}

#[tokio::test]
async fn only_consecutive_failures_count_as_attempts() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 3));
    let server = Server::start().await;
    for _ in 0..2 {
        (0..5).for_each(|_| server.inject(Fault::Unavailable));
        server.inject(Fault::None);
    }
    let sleeper = RecordingSleeper::default();
    let report = push(home.path(), &server.client(&sleeper), &small(1, 1)).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(sleeper.seconds(), [1, 2, 4, 8, 16, 1, 2, 4, 8, 16]);
    assert_eq!(server.lines("s", "main").len(), 3);
}

#[tokio::test]
async fn batches_shrink_to_the_servers_limit_of_lines() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 100));
    let server = Server::start().await;
    server.model().batch_lines = 9;
    let report = server.push(home.path()).await;
    assert!(report.succeeded());
    assert_eq!((report.lines_sent, server.lines("s", "main").len()), (100, 100));
}

#[tokio::test]
async fn a_refused_request_names_the_remedy_and_never_the_key() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 1));
    let server = Server::start().await;
    let sleeper = RecordingSleeper::default();
    let wrong = server.url.replace("/base/", "/elsewhere");
    for (client, expected) in [
        (server.client_with("han_key_unknown", &sleeper), "create a new one and set HAN_API_KEY"),
        (server.client_with(READ_ONLY_KEY, &sleeper), "the key's scopes do not include sync:write"),
        (client(&wrong, KEY, &sleeper), "is --url (HAN_URL) the address of a Han team server?"),
    ] {
        assert!(!format!("{client:?}").contains("han_key"));
        let report = push(home.path(), &client, &PushOptions::default()).await;
        let mut text = Vec::new();
        report.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("han_key_") && !text.contains('\u{1b}'), "{text}");
        assert!(!report.succeeded());
    }
    assert!(sleeper.seconds().is_empty());

    server.inject(Fault::Redirect("https://elsewhere.example/"));
    let report = server.push(home.path()).await;
    assert!(
        matches!(report.stopped, Some(Error::Redirected { ref to }) if to == "https://elsewhere.example/")
    );
    server.inject(Fault::Status(400, None));
    assert!(matches!(server.push(home.path()).await.stopped, Some(Error::Refused { status: 400, .. })));
}

#[tokio::test]
async fn an_invalid_response_ends_the_push() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", lines(0, 2));
    let result = |session: &str, next: u64| {
        format!(
            r#"{{"sessions":[{{"session_id":"{session}","transcript":"main","stored":2,"duplicates":0,"rejected":[],"next_offset":{next},"error":null}}]}}"#
        )
    };
    let server = Server::start().await;
    for answer in ["<html>".to_owned(), r#"{"sessions":[]}"#.to_owned(), result("other", 2), result("s", 1)] {
        server.inject(Fault::RespondWith(answer.clone()));
        let report = server.push(home.path()).await;
        assert!(matches!(report.stopped, Some(Error::Protocol { .. })), "{answer}: {report:?}");
    }
}

#[tokio::test]
async fn metadata_has_the_main_files_directory_branch_and_remote() {
    let home = TestDirectory::new();
    home.write("repo/.git/config", "[remote \"origin\"]\n\turl = https://token@git.example/o/r.git\n");
    home.write("repo/.git/worktrees/w/commondir", "../..\n");
    let git_dir = home.path().join("repo/.git/worktrees/w");
    home.write("w/.git", format!("gitdir: {}\n", git_dir.display()));
    home.write("w/src/deep/file", "");
    let line = |cwd: &std::path::Path, branch: &str| {
        let cwd = serde_json::to_string(cwd.to_str().unwrap()).unwrap();
        format!("{{\"cwd\":{cwd},\"gitBranch\":\"{branch}\",\"uuid\":\"{branch}\"}}\n")
    };
    let deep = home.path().join("w/src/deep");
    let main =
        lines(0, 2) + &line(&deep, "one") + &line(home.path(), "two") + &lines(2, 2) + &line(&deep, "three");
    home.write("projects/p/s.jsonl", main);
    home.write("projects/p/s/subagents/agent-a.jsonl", line(home.path(), "other"));
    home.write("projects/p/only/subagents/agent-b.jsonl", line(&home.path().join("gone"), "four"));

    let server = Server::start().await;
    let report =
        push(&home.path().join("projects"), &server.client(&RecordingSleeper::default()), &small(4 << 20, 4))
            .await;
    assert!(report.succeeded());
    let model = server.model();
    let of = |session: &str, transcript: &str, offset: u64| {
        let mut batches = model.requests.iter().flatten();
        let found = batches.find(|batch| {
            batch.session == session && batch.transcript == transcript && batch.offset == offset
        });
        found.unwrap().metadata.clone()
    };
    let first = of("s", "main", 0);
    assert_eq!(first.agent.as_deref(), Some("claude-code"));
    assert_eq!(first.project_path.as_deref(), deep.to_str());
    assert_eq!(first.git_remote.as_deref(), Some("https://git.example/o/r.git"));
    assert_eq!(first.git_branch.as_deref(), Some("two"), "the latest branch up to the batch's last line");
    assert_eq!(of("s", "main", 4).git_branch.as_deref(), Some("three"));
    let subagent = of("s", "agent-a", 0);
    assert_eq!(subagent.project_path.as_deref(), deep.to_str(), "a subagent does not change its session");
    assert_eq!(subagent.git_branch.as_deref(), Some("three"));
    let orphan = of("only", "agent-b", 0);
    assert_eq!((orphan.git_branch.as_deref(), orphan.git_remote.as_deref()), (Some("four"), None));
}

#[tokio::test]
async fn a_session_in_several_folders_arrives_as_the_union_of_its_lines() {
    let home = TestDirectory::new();
    home.write("stub/s.jsonl", "");
    home.write("older/s.jsonl", lines(0, 2));
    home.write("diverged/s.jsonl", lines(0, 2) + &lines(10, 1));
    home.write("newest/s.jsonl", lines(0, 6));
    home.write("newest/s/subagents/workflows/wf/agent-b.jsonl", lines(20, 2));
    let server = Server::start().await;
    let report = server.push(home.path()).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!((report.stored, report.ignored_files), (7 + 2, 2), "{report:?}");
    // Seven different lines arrived. The last push decides which line has a number that two of them had.
    let of_copy = lines(10, 1);
    let sent = server
        .model()
        .requests
        .iter()
        .flatten()
        .any(|batch| batch.wire.iter().any(|line| line == of_copy.trim()));
    assert!(sent);
    assert_eq!(server.lines("s", "main").join("\n") + "\n", lines(0, 6));
    assert_eq!(server.lines("s", "agent-b").join("\n") + "\n", lines(20, 2));

    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("skipped 2 files: it has no line that is not in") && text.contains("older/s.jsonl"),
        "{text}"
    );

    // A copy that was pushed is not sent by every push, but once more when it has changed.
    let memory = home.path().join("config");
    let requests = || server.model().requests.len();
    for sent in [1, 0, 0] {
        let before = requests();
        let mut copies = PushMemory::of(&memory);
        let client = server.client(&RecordingSleeper::default());
        let again = push_remembering(home.path(), &client, &PushOptions::default(), &mut copies).await;
        assert!(again.succeeded(), "{again:?}");
        assert_eq!(requests() - before, sent);
    }
    home.write("diverged/s.jsonl", lines(0, 2) + &lines(10, 2));
    let mut copies = PushMemory::of(&memory);
    let client = server.client(&RecordingSleeper::default());
    let again = push_remembering(home.path(), &client, &PushOptions::default(), &mut copies).await;
    assert_eq!(again.stored, 1, "{again:?}");

    // The larger file determines where the next push resumes.
    let again = server.push(home.path()).await;
    assert!(again.succeeded());
    assert_eq!((again.stored, again.restarted), (0, 0), "{again:?}");
}

#[tokio::test]
async fn a_key_that_expires_soon_is_reported() {
    let home = TestDirectory::new();
    home.write("p/s-1.jsonl", lines(0, 3));
    let server = Server::start().await;
    let key = |days| SyncKey {
        name: "lap\u{202e}top".to_owned(),
        expires_at: "2026-11-16T09:00:00.000Z".to_owned(),
        expires_in_days: days,
    };
    for (days, warning) in [
        (15, None),
        (14, Some("key \"laptop\" expires in 14 days: ")),
        (1, Some("key \"laptop\" expires in 1 day: ")),
    ] {
        server.model().key = Some(key(days));
        let report = server.push(home.path()).await;
        assert!(report.succeeded());
        let mut text = Vec::new();
        report.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let warned = report.warnings.iter().find(|warning| warning.starts_with("key "));
        match warning {
            Some(warning) => {
                assert!(warned.unwrap().starts_with(warning), "{report:?}");
                assert!(text.contains(&format!("warning: {warning}")), "{text}");
            }
            None => assert_eq!(warned, None),
        }
    }
}
