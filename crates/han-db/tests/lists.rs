//! The list of sessions: its order, its pages, and conditions on times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use han_db::page::PageRequest;
use han_db::queries::filter::{Column, Comparison, Filter, Operand};
use han_db::queries::sessions;
use han_testkit::both_databases;
use han_types::Timestamp;
use support::{Random, World, push, world};

/// A minute begins here.
const START: i64 = 1_793_610_000_000;

/// The ids of all sessions that meet the condition, in pages of `size`.
async fn list(world: &World, filter: Option<&Filter>, size: usize) -> Vec<String> {
    let tx = world.db.read(&world.scope, "test.list").await.unwrap();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = sessions::page(&tx, filter, &PageRequest { after, first: size }).await.unwrap();
        listed.extend(page.rows.iter().map(|session| session.session_id.to_string()));
        after = page.rows.last().map(|session| session.cursor());
        if !page.has_next {
            return listed;
        }
    }
}

both_databases!(
    /// An index has the minutes of activity; times within a minute, at its boundaries, and equal ones are sorted all the
    /// same.
    async fn sessions_are_listed_by_time_and_id(database: TestDatabase) {
        let world = world(&database).await;
        let mut random = Random(38);
        let mut times: Vec<(i64, String)> = Vec::new();
        for n in 0..40 {
            let minute = i64::try_from(random.below(3)).unwrap() * 60_000;
            let within = [0, 1, 59_999, i64::try_from(random.below(60_000)).unwrap()][random.below(4)];
            let (at, id) = (START + minute + within, format!("s{:02}", (n * 7) % 40));
            let line = format!(
                r#"{{"type":"user","uuid":"u{n}","timestamp":"{}","message":{{"content":"x"}}}}"#,
                Timestamp(at).to_rfc3339()
            );
            push(&world, &id, "main", Some(0), &[line]).await;
            times.push((at, id));
        }
        times.sort_unstable_by(|a, b| b.cmp(a));
        let ids = |keep: &dyn Fn(i64) -> bool| -> Vec<String> {
            times.iter().filter(|(at, _)| keep(*at)).map(|(_, id)| id.clone()).collect()
        };
        for size in [1, 3, 50] {
            assert_eq!(list(&world, None, size).await, ids(&|_| true));
        }
        type Holds = fn(&i64, &i64) -> bool;
        let comparisons: [(Comparison, Holds); 6] = [
            (Comparison::Equal, i64::eq),
            (Comparison::NotEqual, i64::ne),
            (Comparison::Less, i64::lt),
            (Comparison::AtMost, i64::le),
            (Comparison::Greater, i64::gt),
            (Comparison::AtLeast, i64::ge),
        ];
        for value in [START - 1, START, START + 59_999, START + 60_000, times[9].0, times[20].0] {
            for (comparison, holds) in comparisons {
                let filter = Filter::Compare(Column::SessionActivity, comparison, Operand::Int(value));
                let listed = list(&world, Some(&filter), 7).await;
                assert_eq!(listed, ids(&|at| holds(&at, &value)), "{comparison:?} {value}");
                let negated = list(&world, Some(&Filter::Not(Box::new(filter))), 7).await;
                assert_eq!(negated, ids(&|at| !holds(&at, &value)), "not {comparison:?} {value}");
            }
        }
    }
);
