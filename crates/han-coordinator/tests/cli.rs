//! Tests the binary: its settings, its output and its exit status.

#![allow(clippy::unwrap_used, reason = "a broken helper should fail the test")]

mod support;

use std::process::{Command, Output};

use support::{KEY, Server, TEAM, TestDirectory, lines};

fn coordinator(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_han-coordinator"));
    command.args(args);
    for name in ["HAN_URL", "HAN_API_KEY", "HAN_API_KEY_FILE", "HAN_TEAM", "RUST_LOG"] {
        command.env_remove(name);
    }
    // A machine without CA certificates can still push over plain http.
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    // Nothing is remembered beyond the test.
    let config = TestDirectory::new();
    command.env("HAN_CONFIG_DIR", config.path());
    command.envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_prints_its_report_and_exits_with_0() {
    let home = TestDirectory::new();
    home.write("projects/p/s.jsonl", lines(0, 20));
    let dir = home.path().join("projects");
    let key_file = home.write("key", format!("{KEY}\n"));
    let server = Server::start().await;
    let dir = dir.to_str().unwrap();

    let output = tokio::task::block_in_place(|| {
        coordinator(
            &["push", dir, "--batch-lines", "7"],
            &[("HAN_URL", &server.url), ("HAN_TEAM", TEAM), ("HAN_API_KEY", KEY)],
        )
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        text(&output.stdout),
        "team: shop (SHOP)\n\
         1 sessions, 1 transcripts (0 up to date): 20 lines sent, 20 stored, 0 duplicates, 0 rejected, 0 omitted\n"
    );
    assert_eq!(
        server.model().requests[0].iter().map(|batch| batch.wire.len()).collect::<Vec<_>>(),
        [7, 7, 6]
    );

    let output = tokio::task::block_in_place(|| {
        coordinator(
            &["push", dir, "--json", "--url", &server.url, "--team", TEAM],
            &[("HAN_API_KEY_FILE", key_file.to_str().unwrap())],
        )
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["lines_sent"], &report["up_to_date"]), (&0.into(), &1.into()));
    assert!(report["stopped"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_the_folder_of_the_agent_is_pushed() {
    let home = TestDirectory::new();
    home.write(".claude/projects/p/s.jsonl", lines(0, 3));
    home.write("elsewhere/projects/p/s.jsonl", lines(0, 5));
    let server = Server::start().await;
    let push = |directories: &[(&str, &str)]| {
        let environment = [&[("HAN_URL", server.url.as_str()), ("HAN_API_KEY", KEY)], directories].concat();
        let output = tokio::task::block_in_place(|| coordinator(&["push"], &environment));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout)
    };
    let in_home = ("HOME", home.path().to_str().unwrap());
    let elsewhere = home.path().join("elsewhere");
    assert!(push(&[in_home, ("CLAUDE_CONFIG_DIR", "")]).contains("3 lines sent"));
    let pushed = push(&[in_home, ("CLAUDE_CONFIG_DIR", elsewhere.to_str().unwrap())]);
    assert!(pushed.contains("2 lines sent"), "{pushed}");
    home.write("empty/projects/notes.txt", "");
    let empty = home.path().join("empty");
    let pushed = push(&[in_home, ("CLAUDE_CONFIG_DIR", empty.to_str().unwrap())]);
    assert!(pushed.contains("there is no transcript in"), "{pushed}");
}

#[test]
fn errors_name_the_missing_setting_and_never_the_key() {
    let home = TestDirectory::new();
    let dir = home.path().to_str().unwrap();
    let url = "http://127.0.0.1:9";
    let two_lines = "han_key_a\nhan_key_b";
    for (args, environment, expected) in [
        (vec!["push", dir], vec![("HAN_API_KEY", KEY)], "set HAN_URL"),
        (vec!["push", dir, "--url", url], vec![], "set HAN_API_KEY"),
        (
            vec!["push", dir, "--url", url],
            vec![("HAN_API_KEY", KEY), ("HAN_API_KEY_FILE", "x")],
            "unset one of them",
        ),
        (vec!["push", dir, "--url", url], vec![("HAN_API_KEY_FILE", "/nonexistent")], "/nonexistent"),
        (vec!["push", dir, "--url", url], vec![("HAN_API_KEY", two_lines)], "characters that no key has"),
        (vec!["push", dir, "--url", "ftp://h"], vec![("HAN_API_KEY", KEY)], "not an http or https address"),
        (vec!["push", dir, "--url", "https://u:pw@h"], vec![("HAN_API_KEY", KEY)], "user name or password"),
        (vec!["push", "/nonexistent/dir", "--url", url], vec![("HAN_API_KEY", KEY)], "/nonexistent/dir"),
    ] {
        let output = coordinator(&args, &environment);
        let output_text = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output_text}");
        assert!(output_text.contains(expected), "{output_text}");
        assert!(!output_text.contains("han_key_") && !output_text.contains("pw@"), "{output_text}");
    }
    assert_eq!(coordinator(&["push", dir, "--batch-lines", "0"], &[]).status.code(), Some(2));
    let help = coordinator(&["push", "--help"], &[("HAN_API_KEY", KEY), ("HAN_URL", url)]);
    assert!(text(&help.stdout).contains("HAN_API_KEY_FILE") && !text(&help.stdout).contains(KEY));
    assert_eq!(coordinator(&["push", dir, "--url", url], &[("HAN_API_KEY", KEY)]).status.code(), Some(0));
}
