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

/// `path: reason`, in the order found.
fn skipped(home: &TestDirectory, found: &Discovery) -> Vec<String> {
    let relative = |path: &Path| path.strip_prefix(home.path()).unwrap().display().to_string();
    found.skipped.iter().map(|file| format!("{}: {}", relative(&file.path), file.reason)).collect()
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
    home.write("p1/agent-lost.jsonl", "{\"type\":\"user\"}\n".repeat(64) + "{\"sessionId\":\"b\"}\n");
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
    let mut skipped = skipped(&home, &found);
    skipped.sort();
    let expected = [
        "p1/agent-lost.jsonl: none of its first lines (up to 64) names the session of this subagent (sessionId)",
        "p1/b/subagents/agent-1.meta.json: it describes a subagent",
        "p1/b/subagents/other.jsonl: it is among subagents but is not named agent-<id>.jsonl",
        "p1/b/tool-results/x.jsonl: it is an output of a tool, to which a line refers",
        "p1/notes.md: it is no transcript: its name does not end in .jsonl",
        "stray.txt: it is no transcript: its name does not end in .jsonl",
    ];
    let (of_id, others): (Vec<_>, Vec<_>) = skipped.into_iter().partition(|file| file.contains("not an id"));
    assert_eq!((others, of_id.len()), (expected.map(str::to_owned).to_vec(), 1));
    let warnings = found.warnings.join("\n");
    assert_eq!(found.warnings.len(), 3, "{warnings}");
    assert!(warnings.contains("agent-lost.jsonl: not pushed: none of its first lines"), "{warnings}");
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
fn an_older_subagent_file_with_damaged_first_lines_is_found() {
    let line = r#"{"type":"user","sessionId":"s","isSidechain":true}"#;
    let snapshot = r#"{"type":"file-history-snapshot","messageId":"m","snapshot":{"sessionId":"inner"}}"#;
    let long = format!("{{\"type\":\"user\",\"text\":\"{}\"}}", "x".repeat(1 << 20));
    let found = [
        ("blank", format!("\n\n{line}\n")),
        ("nul", format!("{}\n{line}\n", "\0".repeat(50))),
        ("glued-nul", format!("\0\0\0{line}\n")),
        ("cut", format!("{}\n{line}\n", &line[..30])),
        ("glued-cut", format!("{}{line}\n", &line[..30])),
        ("snapshot", format!("{snapshot}\n{line}\n")),
        ("bom", format!("\u{feff}{line}\n")),
        ("escaped", line.replace("sessionId", "\\u0073essionId") + "\n"),
        ("twice", line.replacen('{', r#"{"sessionId":"other","#, 1) + "\n"),
        ("no-text", format!("{}\n{line}\n", line.replace("\"s\"", "null"))),
        ("surrogate", line.replacen('{', r#"{"\ud800":1,"cwd":"\ud800","#, 1) + "\n"),
        ("unended", format!("\n{line}")),
        ("last-allowed", "{}\n".repeat(63) + line + "\n"),
    ];
    let lost = [
        ("too-late", "{}\n".repeat(64) + line + "\n"),
        ("too-far", format!("{long}\n{line}\n")),
        ("half", line[..30].to_owned()),
        ("empty", String::new()),
    ];
    let home = TestDirectory::new();
    home.write("p/s.jsonl", "{}\n");
    for (name, content) in found.iter().chain(&lost) {
        home.write(&format!("p/agent-{name}.jsonl"), content);
    }
    let mut expected: Vec<_> =
        found.iter().map(|(name, _)| format!("s/agent-{name} <- p/agent-{name}.jsonl")).collect();
    expected.sort();
    expected.insert(0, "s/main <- p/s.jsonl".to_owned());
    for path in ["p", "p/s.jsonl"] {
        assert_eq!(names(&home, &discover(&home.path().join(path)).unwrap()), expected, "{path}");
    }
    let mut expected: Vec<_> = lost
        .iter()
        .map(|(name, _)| {
            format!(
                "p/agent-{name}.jsonl: none of its first lines (up to 64) names the session of this subagent (sessionId)"
            )
        })
        .collect();
    expected.sort();
    assert_eq!(skipped(&home, &discover(home.path()).unwrap()), expected);
}

#[test]
fn agents_of_workflows_are_found_at_any_depth() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", "{}\n");
    home.write("p/s/subagents/agent-a.jsonl", "{}\n");
    home.write("p/s/subagents/workflows/wf_1/agent-b.jsonl", "{}\n");
    home.write("p/s/subagents/workflows/wf_1/journal.jsonl", "{}\n");
    home.write("p/s/subagents/workflows/wf_1/deeper/agent-c.jsonl", "{}\n");
    home.write("p/s/subagents/workflows/wf_1/agent-b.meta.json", "{}");
    home.write("p/s/notes.jsonl", "{}\n");
    home.write("p/s/memory/x.jsonl", "{}\n");
    let all = [
        "s/main <- p/s.jsonl",
        "s/agent-a <- p/s/subagents/agent-a.jsonl",
        "s/agent-b <- p/s/subagents/workflows/wf_1/agent-b.jsonl",
        "s/agent-c <- p/s/subagents/workflows/wf_1/deeper/agent-c.jsonl",
    ];
    for (path, expected) in [
        ("", &all[..]),
        ("p", &all[..]),
        ("p/s.jsonl", &all[..]),
        ("p/s", &all[..]),
        ("p/s/subagents", &all[1..]),
        ("p/s/subagents/workflows", &all[2..]),
        ("p/s/subagents/workflows/wf_1/agent-b.jsonl", &all[2..3]),
    ] {
        let found = discover(&home.path().join(path)).unwrap();
        assert_eq!(names(&home, &found), expected, "{path}");
        assert_eq!(found.warnings, Vec::<String>::new(), "{path}");
    }
    let found = discover(home.path()).unwrap();
    let expected = [
        "p/s/notes.jsonl: it is in a session's folder, but not among its subagents",
        "p/s/memory/x.jsonl: it is in a session's folder, but not among its subagents",
        "p/s/subagents/workflows/wf_1/agent-b.meta.json: it describes a subagent",
        "p/s/subagents/workflows/wf_1/journal.jsonl: it is the bookkeeping of a workflow",
    ];
    assert_eq!(skipped(&home, &found), expected);
}

#[test]
fn copies_of_a_transcript_are_pushed_if_they_have_lines_of_their_own() {
    let home = TestDirectory::new();
    let line = |n: u32| format!("{{\"uuid\":\"{n}\"}}\n");
    let lines = |numbers: &[u32]| numbers.iter().map(|n| line(*n)).collect::<String>();
    home.write("older/s.jsonl", lines(&[1, 2]));
    home.write("newest/s.jsonl", lines(&[1, 2, 3, 4]));
    home.write("stub/s.jsonl", "");
    home.write("diverged/s.jsonl", lines(&[1, 2, 9]));
    home.write("same/s.jsonl", lines(&[1, 2, 3, 4]));
    // A last line without a line feed is complete if it is an object.
    home.write("unended/s.jsonl", lines(&[1, 8]).trim_end());
    let found = discover(home.path()).unwrap();
    let [session] = found.sessions.as_slice() else { unreachable!("{:?}", found.sessions) };
    let [file] = session.files.as_slice() else { unreachable!("{:?}", session.files) };
    assert_eq!(file.path, home.path().join("newest/s.jsonl"));
    assert_eq!(file.copies, ["unended/s.jsonl", "diverged/s.jsonl"].map(|path| home.path().join(path)));
    let newest = file.path.display();
    let expected = ["stub", "older", "same"]
        .map(|copy| format!("{copy}/s.jsonl: it has no line that is not in {newest}"));
    assert_eq!(skipped(&home, &found), expected);
    assert_eq!(found.warnings, Vec::<String>::new());
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
    assert_eq!(found.skipped.len(), 2);
}

#[cfg(unix)]
#[test]
fn links_that_lead_back_are_searched_once() {
    let home = TestDirectory::new();
    home.write("p/s.jsonl", "{}\n");
    std::os::unix::fs::symlink(home.path(), home.path().join("p/back")).unwrap();
    let found = discover(home.path()).unwrap();
    assert_eq!(names(&home, &found), ["s/main <- p/s.jsonl"]);
    assert_eq!(skipped(&home, &found), ["p/back: it is another link to a folder that was searched"]);
}
