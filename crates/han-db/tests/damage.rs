//! The totals of sessions do not depend on damage of their lines, nor on how lines are cut into batches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use han_testkit::{SeededEntropy, TestDatabase, both_databases};
use serde_json::json;
use support::corpus::{File, all_files};
use support::{World, dump, push, team, world};

/// What sessions and their rollups count, without what depends on the number of physical lines.
async fn totals(database: &TestDatabase, world: &World) -> Vec<String> {
    let team = format!("(SELECT number FROM teams WHERE id = '{}')", world.scope.team_id());
    let sessions = "session_id, message_count, turn_count, compaction_count, input_tokens, output_tokens, \
        cache_read_tokens, cache_creation_5m_tokens, cache_creation_1h_tokens, tool_use_count, file_change_count, \
        lines_added, lines_removed, task_count, task_done_count, sentiment_count, sentiment_sum, started_at, \
        last_activity_at";
    let mut rows =
        dump(database, &format!("SELECT {sessions} FROM sessions WHERE team = {team} ORDER BY session_id"))
            .await;
    let counts = format!(
        "SELECT kind, SUM(count) AS n, SUM(failed) AS failed, SUM(duration_ms) AS ms FROM rollup_counts \
         WHERE team = {team} AND kind <> 'damage' GROUP BY kind ORDER BY kind"
    );
    rows.extend(dump(database, &counts).await);
    rows
}

struct Random(SeededEntropy);

impl Random {
    fn below(&self, n: usize) -> usize {
        usize::try_from(self.0.below(n as u64)).unwrap()
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// The same records on damaged lines.
    fn damaged(&self, lines: &[String]) -> Vec<String> {
        let mut damaged = Vec::new();
        let mut rest = lines;
        while !rest.is_empty() {
            let (records, after) = rest.split_at(1 + self.below(3.min(rest.len())));
            rest = after;
            let mut line = String::new();
            if self.one_in(4) {
                line.push('\u{feff}');
            }
            if self.one_in(4) {
                // A record that was cut off by a crash: it is lost, and must hide no other.
                let cut = &lines[self.below(lines.len())];
                let end = (0..=cut.len() / 2).rev().find(|end| cut.is_char_boundary(*end)).unwrap();
                line.push_str(&cut[..end]);
                if self.one_in(2) {
                    line.push_str("\0\0\0\0");
                }
            }
            for record in records {
                line.push_str(record);
                if self.one_in(3) {
                    line.push_str(["\0", "\r", " ", "\0\0\0"][self.below(4)]);
                }
            }
            damaged.push(line);
        }
        damaged
    }
}

/// A line as a client sends it.
fn wire(line: &str) -> String {
    let is_object = serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object());
    if is_object && line.starts_with('{') && line.ends_with('}') {
        line.to_owned()
    } else {
        json!(line).to_string()
    }
}

async fn push_in_batches(world: &World, files: &[File], random: &Random) {
    for (session, transcript, lines) in files {
        let mut at = 0;
        while at < lines.len() {
            let end = lines.len().min(at + 1 + random.below(40));
            push(world, session, transcript, Some(at as u64), &lines[at..end]).await;
            at = end;
        }
    }
}

both_databases!(
    async fn totals_do_not_depend_on_damage_or_batches(database: TestDatabase) {
        let ada = world(&database).await;
        let files = all_files();
        push_in_batches(&ada, &files, &Random(SeededEntropy::new(1))).await;
        let expected = totals(&database, &ada).await;
        assert!(expected.len() > 5, "{expected:?}");
        for seed in 2..6 {
            let random = Random(SeededEntropy::new(seed));
            let damaged: Vec<File> = files
                .iter()
                .map(|(session, transcript, lines)| {
                    let lines = random.damaged(lines).iter().map(|line| wire(line)).collect();
                    (session.clone(), transcript.clone(), lines)
                })
                .collect();
            // In another team of the same database.
            let scope = team(&ada.db, &format!("team{seed}")).await;
            let other = World { db: ada.db.clone(), clock: ada.clock.clone(), scope };
            push_in_batches(&other, &damaged, &random).await;
            assert_eq!(totals(&database, &other).await, expected, "seed {seed}");
            // A second push changes nothing.
            push_in_batches(&other, &damaged, &random).await;
            assert_eq!(totals(&database, &other).await, expected, "seed {seed}");
        }
    }
);
