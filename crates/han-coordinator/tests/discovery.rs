//! Tests which files are found, and as which session and transcript.

#![allow(clippy::unwrap_used, reason = "a path outside the test's own folder should fail the test")]

mod support;

use std::path::Path;

use han_coordinator::discover::{Discovery, discover};
use support::TestDirectory;

/// `session/transcript <- path`, in the order found.
fn names(home: &TestDirectory, found: &Discovery) -> Vec<String> {
    let relative = |path: &Path| path.strip_prefix(home.path()).unwrap().display().to_string();
    found
        .sessions
        .iter()
        .flat_map(|session| {
            session
                .files
                .iter()
                .map(|file| format!("{}/{} <- {}", session.id, file.transcript, relative(&file.path)))
        })
        .collect()
}

fn home() -> TestDirectory {
    let home = TestDirectory::new();
    home.write("p1/b.jsonl", "{}\n");
    home.write("p1/b-han.jsonl", "{}\n");
    home.write("p1/b/subagents/agent-2.jsonl", "{}\n");
    home.write("p1/b/subagents/agent-1.jsonl", "{}\n");
    home.write("p1/b/subagents/agent-1.meta.json", "{}");
    home.write("p1/b/subagents/other.jsonl", "{}\n");
    home.write("p1/b/tool-results/x.jsonl", "{}\n");
    home.write("p1/agent-old.jsonl", "{\"sessionId\":\"b\",\"isSidechain\":true}\n");
    home.write("p1/agent-lost.jsonl", "{\"type\":\"user\"}\n{\"sessionId\":\"b\"}\n");
    home.write("p1/not an id.jsonl", "{}\n");
    home.write("p1/notes.md", "");
    home.write("p2/a.v1.jsonl", "");
    home.write("p2/orphan/subagents/agent-3.jsonl", "{}\n");
    home.write("stray.txt", "");
    home
}

const B: [&str; 5] = [
    "b/main <- p1/b.jsonl",
    "b/han <- p1/b-han.jsonl",
    "b/agent-1 <- p1/b/subagents/agent-1.jsonl",
    "b/agent-2 <- p1/b/subagents/agent-2.jsonl",
    "b/agent-old <- p1/agent-old.jsonl",
];

#[test]
fn the_folder_of_all_projects_is_searched() {
    let home = home();
    let found = discover(home.path()).unwrap();
    let mut expected = vec!["a.v1/main <- p2/a.v1.jsonl"];
    expected.extend(B);
    expected.push("orphan/agent-3 <- p2/orphan/subagents/agent-3.jsonl");
    assert_eq!(names(&home, &found), expected);
    // other.jsonl, agent-1.meta.json, agent-lost, "not an id", notes.md, stray.txt; tool-results is not searched.
    assert_eq!(found.ignored, 6);
    let warnings = found.warnings.join("\n");
    assert_eq!(found.warnings.len(), 3, "{warnings}");
    assert!(warnings.contains("agent-lost.jsonl: not pushed: its first line"), "{warnings}");
    assert!(warnings.contains("session_id contains ' '"), "{warnings}");
}

#[test]
fn a_project_a_session_or_a_file_can_be_given() {
    let home = home();
    for (path, expected) in [
        ("p1", &B[..]),
        ("p1/b.jsonl", &B[..]),
        ("p1/b", &B[..]),
        ("p1/b/subagents/agent-2.jsonl", &B[3..4]),
        ("p1/b-han.jsonl", &B[1..2]),
        ("p1/agent-old.jsonl", &B[4..]),
        ("p2/a.v1.jsonl", &["a.v1/main <- p2/a.v1.jsonl"][..]),
        ("p2/orphan", &["orphan/agent-3 <- p2/orphan/subagents/agent-3.jsonl"][..]),
        ("p1/notes.md", &[][..]),
    ] {
        let found = discover(&home.path().join(path)).unwrap();
        assert_eq!(names(&home, &found), expected, "{path}");
    }
    assert!(discover(&home.path().join("missing")).unwrap_err().to_string().contains("missing"));
}

#[test]
fn of_two_files_of_one_transcript_the_larger_is_used() {
    let home = TestDirectory::new();
    home.write("p1/s.jsonl", "{}\n");
    home.write("p2/s.jsonl", "{}\n{}\n");
    home.write("p3/s.jsonl", "{}\n");
    let found = discover(home.path()).unwrap();
    assert_eq!(names(&home, &found), ["s/main <- p2/s.jsonl"]);
    assert_eq!((found.ignored, found.warnings.len()), (2, 2));
    assert!(found.warnings[0].contains("p1/s.jsonl") && found.warnings[1].contains("p3/s.jsonl"));
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_followed_and_pipes_are_ignored() {
    let home = TestDirectory::new();
    home.write("elsewhere/s.jsonl", "{}\n");
    std::fs::create_dir(home.path().join("projects")).unwrap();
    std::os::unix::fs::symlink(home.path().join("elsewhere"), home.path().join("projects/p")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", home.path().join("projects/broken.jsonl")).unwrap();
    let pipe = home.path().join("projects/pipe.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let found = discover(&home.path().join("projects")).unwrap();
    assert_eq!(names(&home, &found), ["s/main <- projects/p/s.jsonl"]);
    assert_eq!(found.ignored, 2);
}
