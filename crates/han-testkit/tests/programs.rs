//! Programs as processes: what they say, how they are signalled, that none outlives its test.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

use han_testkit::{Program, Signal};

const NOBODY: [(&str, &str); 0] = [];

#[tokio::test]
async fn a_line_is_waited_for_on_either_stream_and_a_signal_arrives() {
    // `wait` ends at once when a trapped signal comes; a command in the foreground would be waited out.
    let script =
        "sleep 600 >/dev/null 2>&1 & trap 'kill $!; echo goodbye; exit 3' TERM; echo ready >&2; wait";
    let mut program = Program::start("bash", ["-c", script], NOBODY);
    assert_eq!(program.wait_for_line("read").await, "ready");
    program.signal(Signal::Terminate).await;
    let (status, output) = program.wait().await;
    assert_eq!(status.code(), Some(3));
    assert_eq!(output.stdout, ["goodbye"]);
}

#[tokio::test]
#[should_panic(expected = "ended without saying \"ready\"")]
async fn a_program_that_ends_first_fails_the_test() {
    Program::start("bash", ["-c", "echo no; echo never >&2"], NOBODY).wait_for_line("ready").await;
}

#[tokio::test]
async fn the_environment_is_the_given_one() {
    let (_, output) = Program::start("bash", ["-c", "env"], [("HAN_GIVEN", "1")]).wait().await;
    assert!(output.line_with("HAN_GIVEN=1").is_some());
    assert!(output.line_with("CARGO").is_none(), "{output:?}");
}

#[tokio::test]
async fn a_dropped_program_is_killed() {
    let mut program = Program::start("bash", ["-c", "echo up; exec sleep 600"], NOBODY);
    program.wait_for_line("up").await;
    let id = program.id().unwrap();
    drop(program);
    // The runtime reaps a killed child; until then it is a zombie, which has no command line any more.
    let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    assert!(!command.contains("600") || killed(id).await, "{command}");
}

async fn killed(id: u32) -> bool {
    // `tail --pid` returns once the process is gone; the timeout makes a survivor a failure.
    let wait = tokio::process::Command::new("timeout")
        .args(["20", "tail", &format!("--pid={id}"), "-f", "/dev/null"])
        .status();
    wait.await.unwrap().success()
}
