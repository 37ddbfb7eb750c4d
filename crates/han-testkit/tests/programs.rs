//! Tests child processes: output, signals, and that none outlives its test.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

use han_testkit::{Program, Signal};

const EMPTY_ENVIRONMENT: [(&str, &str); 0] = [];

#[tokio::test]
async fn lines_of_both_streams_are_found_and_signals_are_delivered() {
    // `wait` returns at once on a trapped signal; with a command in the foreground, the shell would wait for it.
    let script =
        "sleep 600 >/dev/null 2>&1 & trap 'kill $!; echo goodbye; exit 3' TERM; echo ready >&2; wait";
    let mut program = Program::start("bash", ["-c", script], EMPTY_ENVIRONMENT);
    assert_eq!(program.wait_for_line("read").await, "ready");
    program.signal(Signal::Terminate).await;
    let (status, output) = program.wait().await;
    assert_eq!(status.code(), Some(3));
    assert_eq!(output.stdout, ["goodbye"]);
}

#[tokio::test]
#[should_panic(expected = "exited without printing \"ready\"")]
async fn waiting_for_a_line_fails_if_the_program_exits() {
    Program::start("bash", ["-c", "echo no; echo never >&2"], EMPTY_ENVIRONMENT).wait_for_line("ready").await;
}

#[tokio::test]
async fn programs_get_only_the_given_environment() {
    let (_, output) = Program::start("bash", ["-c", "env"], [("HAN_GIVEN", "1")]).wait().await;
    assert!(output.line_with("HAN_GIVEN=1").is_some());
    assert!(output.line_with("CARGO").is_none(), "{output:?}");
}

#[tokio::test]
async fn a_dropped_program_is_killed() {
    let mut program = Program::start("bash", ["-c", "echo up; exec sleep 600"], EMPTY_ENVIRONMENT);
    program.wait_for_line("up").await;
    let id = program.id().unwrap();
    drop(program);
    // The runtime reaps a killed child later; until then it is a zombie, whose command line is empty.
    let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    assert!(!command.contains("600") || killed(id).await, "{command}");
}

async fn killed(id: u32) -> bool {
    // `tail --pid` returns when the process has exited; the timeout turns a surviving process into a failure.
    let wait = tokio::process::Command::new("timeout")
        .args(["20", "tail", &format!("--pid={id}"), "-f", "/dev/null"])
        .status();
    wait.await.unwrap().success()
}
