//! Tests what a push remembers of files: that every change of a line arrives, and what is not read or sent again.

#![allow(clippy::unwrap_used, reason = "a broken helper should fail the test")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use han_coordinator::batch::BatchLimits;
use han_coordinator::{PushMemory, PushOptions, PushReport, push_remembering};
use proptest::prelude::*;
use support::{Fault, RecordingSleeper, Server, TestDirectory, lines};

/// A server, a folder of projects and a configuration directory.
struct Machine {
    server: Server,
    home: TestDirectory,
}

impl Machine {
    async fn new() -> Self {
        Self { server: Server::start().await, home: TestDirectory::new() }
    }

    /// Writes the main transcript of session `s`. Its time is long ago, and is later for a later `change`.
    fn write(&self, change: u32, content: &str) -> PathBuf {
        let path = self.home.write("projects/p/s.jsonl", content);
        set_time(&path, change);
        path
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("config")
    }

    fn state(&self) -> PathBuf {
        self.config().join("files.json")
    }

    fn memory(&self) -> PushMemory {
        PushMemory::of(&self.config())
    }

    async fn push_with(&self, options: &PushOptions, memory: &mut PushMemory) -> PushReport {
        let client = self.server.client(&RecordingSleeper::default());
        push_remembering(&self.home.path().join("projects"), &client, options, memory).await
    }

    /// A push as by the command line.
    async fn push(&self) -> PushReport {
        let report = self.push_with(&PushOptions::default(), &mut self.memory()).await;
        assert!(report.succeeded(), "{report:?}");
        report
    }

    /// Pushes two lines per request, and is refused at request number `at`.
    async fn push_refused(&self, at: usize) -> PushReport {
        (0..at).for_each(|_| self.server.inject(Fault::None));
        self.server.inject(Fault::Status(400, None));
        let limits = BatchLimits { body_bytes: 1, batch_lines: 1 };
        let report =
            self.push_with(&PushOptions { limits, ..PushOptions::default() }, &mut self.memory()).await;
        self.server.model().faults.clear();
        report
    }

    fn has(&self, content: &str) {
        assert_eq!(self.server.lines("s", "main").join("\n") + "\n", content);
    }
}

fn set_time(path: &Path, change: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + 60 * u64::from(change));
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// `lines(0, count)` with the final usage in line 1.
fn with_usage(count: usize, usage: u32) -> String {
    lines(0, count).replace("\"n\": 1 ", &format!("\"n\": 1, \"output_tokens\": {usage} "))
}

/// Lines sent, lines stored, transcripts sent from the beginning.
fn counts(report: &PushReport) -> (u64, u64, u64) {
    (report.lines_sent, report.stored, report.restarted)
}

#[tokio::test]
async fn a_change_of_an_earlier_line_is_sent_although_the_last_line_is_the_same() {
    let machine = Machine::new().await;
    machine.write(0, &lines(0, 4));
    assert_eq!(counts(&machine.push().await), (4, 4, 0));

    machine.write(1, &with_usage(4, 4321));
    let report = machine.push().await;
    assert_eq!(counts(&report), (4, 1, 1));
    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("1 transcripts differ from what"));
    machine.has(&with_usage(4, 4321));
    assert_eq!(counts(&machine.push().await), (0, 0, 0));

    // A change together with growth.
    machine.write(2, &with_usage(6, 5000));
    assert_eq!(counts(&machine.push().await), (6, 3, 1));
    machine.has(&with_usage(6, 5000));
    machine.write(3, &with_usage(7, 5000));
    assert_eq!(counts(&machine.push().await), (1, 1, 0), "a file that only grows is resumed");
    machine.has(&with_usage(7, 5000));
}

#[tokio::test]
async fn without_a_memory_only_the_last_line_is_compared_and_the_file_is_remembered() {
    let machine = Machine::new().await;
    machine.write(0, &lines(0, 4));
    machine.push().await;
    for (change, damage) in
        [(1, None), (2, Some("")), (3, Some("{\"half\":")), (4, Some("{\"x\":{\"lines\":-1}}"))]
    {
        match damage {
            None => fs::remove_dir_all(machine.config()).unwrap(),
            Some(text) => fs::write(machine.state(), text).unwrap(),
        }
        machine.write(2 * change, &with_usage(4, 100 + change));
        assert_eq!(counts(&machine.push().await), (0, 0, 0), "{damage:?}");
        machine.write(2 * change + 1, &with_usage(4, 200 + change));
        assert_eq!(counts(&machine.push().await), (4, 1, 1), "{damage:?}");
        machine.has(&with_usage(4, 200 + change));
    }
}

#[tokio::test]
async fn a_file_with_the_same_size_and_time_is_not_read_again() {
    let machine = Machine::new().await;
    machine.write(0, &(with_usage(3, 1111) + "{\"half\":"));
    assert_eq!(machine.push().await.half_written, 1);

    machine.write(0, &(with_usage(3, 2222) + "{\"half\":"));
    let report = machine.push().await;
    assert_eq!(counts(&report), (0, 0, 0), "its content was not read");
    assert_eq!((report.up_to_date, report.half_written), (1, 1));

    set_time(&machine.home.path().join("projects/p/s.jsonl"), 1);
    assert_eq!(counts(&machine.push().await), (3, 1, 1));
    machine.has(&with_usage(3, 2222));
}

#[tokio::test]
async fn a_file_that_changed_a_moment_ago_is_read_again() {
    let machine = Machine::new().await;
    let path = machine.home.write("projects/p/s.jsonl", with_usage(3, 1111));
    // Of a clock that is ahead, so that the moment does not end during this test.
    let time = fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(3600);
    let set_time = || File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
    set_time();
    machine.push().await;
    // In the same step of the file system's clock.
    fs::write(&path, with_usage(3, 2222)).unwrap();
    set_time();
    assert_eq!(counts(&machine.push().await), (3, 1, 1));
    machine.has(&with_usage(3, 2222));
}

#[tokio::test]
async fn a_line_feed_after_the_last_line_is_no_change() {
    let machine = Machine::new().await;
    machine.write(0, lines(0, 3).trim_end());
    assert_eq!(counts(&machine.push().await), (3, 3, 0));
    machine.write(1, &lines(0, 3));
    assert_eq!(counts(&machine.push().await), (0, 0, 0));
    machine.write(2, &lines(0, 5));
    assert_eq!(counts(&machine.push().await), (2, 2, 0));
}

#[tokio::test]
async fn an_unchanged_file_is_read_if_the_server_has_another_end() {
    let machine = Machine::new().await;
    machine.write(0, &lines(0, 4));
    machine.push().await;
    // The server was restored from a backup.
    machine.server.model().transcripts.clear();
    assert_eq!(counts(&machine.push().await), (4, 4, 0));
    machine.has(&lines(0, 4));
}

#[tokio::test]
async fn a_file_that_shrinks_and_grows_again_is_compared_to_its_old_end() {
    let machine = Machine::new().await;
    machine.write(0, &with_usage(6, 7));
    machine.push().await;
    // The server has these lines, so its offset stays behind them.
    machine.write(1, &lines(0, 1));
    assert_eq!(counts(&machine.push().await), (1, 0, 1));
    machine.write(2, &with_usage(6, 8));
    assert_eq!(counts(&machine.push().await), (6, 1, 1));
    machine.has(&with_usage(6, 8));
    assert_eq!(counts(&machine.push().await), (0, 0, 0));
}

#[tokio::test]
async fn a_subagent_is_pushed_although_the_main_file_is_not_read() {
    let machine = Machine::new().await;
    machine.write(0, &(lines(0, 2) + "{\"cwd\":\"/home/ana/shop\",\"gitBranch\":\"main\"}\n"));
    machine.push().await;
    machine.home.write("projects/p/s/subagents/agent-a.jsonl", lines(10, 2));
    let report = machine.push().await;
    assert_eq!((report.stored, report.up_to_date), (2, 1));
    let metadata = machine.server.model().requests.last().unwrap()[0].metadata.clone();
    assert_eq!((metadata.project_path, metadata.git_branch), (None, None), "the server has them");
}

#[tokio::test]
async fn a_change_after_a_push_that_ended_early_is_sent() {
    let machine = Machine::new().await;
    machine.write(0, &lines(0, 6));
    let report = machine.push_refused(3).await;
    assert_eq!((report.lines_sent, report.stopped.is_some()), (3, true));
    machine.write(1, &with_usage(6, 7));
    assert_eq!(counts(&machine.push().await), (6, 4, 1));
    machine.has(&with_usage(6, 7));

    // A push that sends a changed file from the beginning ends before and after the change, and then the file is as before.
    for (change, at) in [(2, 1), (4, 4)] {
        machine.write(change, &with_usage(6, 8));
        assert_eq!(machine.push_refused(at).await.restarted, 1);
        machine.write(change + 1, &with_usage(6, 7));
        machine.push().await;
        machine.has(&with_usage(6, 7));
        assert_eq!(counts(&machine.push().await), (0, 0, 0));
    }
}

#[tokio::test]
async fn each_server_and_team_is_remembered_for_itself() {
    let machine = Machine::new().await;
    let other = Server::start().await;
    machine.write(0, &lines(0, 3));
    machine.push().await;
    machine.write(1, &with_usage(3, 5));
    let client = other.client(&RecordingSleeper::default());
    let projects = machine.home.path().join("projects");
    let report = push_remembering(&projects, &client, &PushOptions::default(), &mut machine.memory()).await;
    assert_eq!(counts(&report), (3, 3, 0));
    assert_eq!(counts(&machine.push().await), (3, 1, 1));
}

#[tokio::test]
async fn pushes_at_the_same_time_keep_what_the_other_has_remembered() {
    let machine = Machine::new().await;
    machine.write(0, &lines(0, 3));
    let (mut one, mut two) = (machine.memory(), machine.memory());
    machine.push_with(&PushOptions::default(), &mut one).await;
    // The other push finds the server up to date, and reads a change that was not sent.
    let changed = machine.home.write("projects/q/t.jsonl", lines(10, 2));
    set_time(&changed, 0);
    machine.write(1, &with_usage(3, 9));
    assert_eq!(counts(&machine.push_with(&PushOptions::default(), &mut two).await), (2, 2, 0));

    assert_eq!(counts(&machine.push().await), (3, 1, 1));
    machine.has(&with_usage(3, 9));
    fs::write(&changed, lines(20, 2)).unwrap();
    set_time(&changed, 0);
    assert_eq!(counts(&machine.push().await), (0, 0, 0), "the second file is remembered, too");
}

#[test]
fn many_pushes_at_the_same_time_leave_a_state_that_can_be_read() {
    let config = TestDirectory::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let home = TestDirectory::new();
                    (0..20).for_each(|n| drop(home.write(&format!("p/s{n}.jsonl"), lines(0, 2))));
                    let server = Server::start().await;
                    let client = server.client(&RecordingSleeper::default());
                    let memory = &mut PushMemory::of(config.path());
                    let report =
                        push_remembering(home.path(), &client, &PushOptions::default(), memory).await;
                    assert!(report.succeeded(), "{report:?}");
                });
            });
        }
    });
    let names: Vec<_> =
        fs::read_dir(config.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["files.json"]);
    let text = fs::read_to_string(config.path().join("files.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(state.as_object().unwrap().len() >= 20);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_ends_no_push() {
    let machine = Machine::new().await;
    machine.write(0, &lines(0, 3));
    let file = machine.home.write("a file", "");
    for _ in 0..2 {
        let mut memory = PushMemory::of(&file.join("config"));
        assert!(machine.push_with(&PushOptions::default(), &mut memory).await.succeeded());
    }
    machine.has(&lines(0, 3));
}

/// What happens to a file.
#[derive(Clone, Debug)]
enum Step {
    /// The line gets this content.
    Change(usize, u32),
    /// This many lines are appended.
    Append(usize),
    /// The file ends after this many lines.
    Truncate(usize),
    Push,
    /// A push that is refused at this request.
    PushRefused(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..4_usize, 0..2_u32).prop_map(|(line, content)| Step::Change(line, content)),
        1 => (1..3_usize).prop_map(Step::Append),
        1 => (1..4_usize).prop_map(Step::Truncate),
        2 => Just(Step::Push),
        1 => (0..4_usize).prop_map(Step::PushRefused),
    ];
    prop::collection::vec(step, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn after_a_push_the_server_has_each_line_of_the_file(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let machine = Machine::new().await;
            let line = |number: usize, content: u32| format!("{{\"line\":{number},\"content\":{content}}}");
            let mut file: Vec<String> = (0..3).map(|number| line(number, 0)).collect();
            machine.write(0, &(file.join("\n") + "\n"));
            for (change, step) in (1..).zip(steps.into_iter().chain([Step::Push])) {
                match step {
                    Step::Change(number, content) => {
                        if let Some(changed) = file.get_mut(number) {
                            *changed = line(number, content);
                        }
                    }
                    Step::Append(count) => {
                        let end = file.len() + count;
                        file.extend((file.len()..end).map(|number| line(number, 0)));
                    }
                    Step::Truncate(count) => file.truncate(count),
                    Step::PushRefused(at) => {
                        machine.push_refused(at).await;
                        continue;
                    }
                    Step::Push => {
                        machine.push().await;
                        let arrived = machine.server.lines("s", "main");
                        assert_eq!(arrived[..file.len()], file);
                        continue;
                    }
                }
                machine.write(change, &(file.join("\n") + "\n"));
            }
        });
    }
}
