//! Metrics of dashboards: all totals equal the billed tokens, for every offset and range, without reading messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use han_db::page::PageRequest;
use han_db::queries::metrics::{self, Period, Range, Within, Zone, total};
use han_db::queries::{file_changes, hooks, project_lists, sentiments, sessions, tasks, todos, usage};
use han_testkit::{both_databases, fixtures};
use han_transcript::fold::{TokenTotals, pair_hooks};
use han_types::{SessionId, Timestamp};
use support::corpus::{all_files, eventful, files_under, number, push_whole, synthetic_files};
use support::world;

fn at(text: &str) -> i64 {
    Timestamp::parse_rfc3339(text).unwrap().0
}

/// The year 2026 in local time.
fn year(zone: &Zone) -> Range {
    days("2026-01-01", "2026-12-31", zone)
}

fn days(first: &str, last: &str, zone: &Zone) -> Range {
    let day = |text: &str| at(&format!("{text}T00:00:00Z")) / 86_400_000;
    Range::between(day(first), day(last), zone.clone())
}

fn billed(tokens: &TokenTotals) -> [i64; 4] {
    [tokens.input, tokens.output, tokens.cache_read, tokens.cache_creation()]
}

fn sum<'t>(tokens: impl Iterator<Item = &'t TokenTotals>) -> [i64; 4] {
    tokens.map(billed).fold([0; 4], |sum, tokens| std::array::from_fn(|i| sum[i] + tokens[i]))
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6 * a.abs().max(1.0), "{a} is not {b}");
}

both_databases!(
    async fn every_total_equals_the_billed_tokens(database: TestDatabase) {
        let Some(root) = fixtures::real_transcripts() else { return };
        let world = world(&database).await;
        push_whole(&world, &files_under(&root.join("projects"))).await;
        let right = [2_776, 79_267, 31_179_675, 670_956];
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        let (mut money, mut messages) = (Vec::new(), Vec::new());
        for zone in [Zone::utc(), Zone::fixed(330), Zone::named("America/St_Johns").unwrap()] {
            let range = year(&zone);
            let activity = metrics::activity(&tx, &range, &Within::Team).await.unwrap();
            assert_eq!(billed(&activity.tokens), right);
            assert_eq!(sum(activity.days.iter().map(|day| &day.tokens)), right);
            assert_eq!(sum(activity.models.iter().map(|model| &model.tokens)), right);
            let by_day: i64 = activity.day_models.iter().flat_map(|day| &day.models).map(|(_, n)| n).sum();
            assert_eq!(by_day, right.iter().sum::<i64>());
            assert_eq!((activity.days.len(), activity.hours.len(), activity.sessions), (365, 24, 2));
            assert_eq!(activity.hours.iter().map(|hour| hour.messages).sum::<i64>(), activity.messages);
            assert!(activity.active_days > 0 && activity.first_session_date.is_some());
            money.push(activity.cost.usd());
            messages.push(activity.messages);

            for period in [Period::Day, Period::Week, Period::Month] {
                let team = metrics::team_metrics(&tx, &range, &Within::Team, period).await.unwrap();
                assert_eq!(billed(&team.tokens), right);
                assert_eq!(sum(team.periods.iter().map(|period| &period.tokens)), right);
                assert_eq!(sum(team.projects.iter().map(|project| &project.tokens)), right);
                assert_eq!(sum(team.contributors.iter().map(|person| &person.tokens)), right);
                money.push(team.cost.usd());
                messages.push(team.messages);
            }
            let board = metrics::dashboard(&tx, &range, &Within::Team).await.unwrap();
            assert_eq!(sum(board.cost.models.iter().map(|model| &model.tokens)), right);
            assert_eq!(sum(board.cost.sessions.iter().map(|session| &session.tokens)), right);
            money.push(board.cost.total.usd());
            money.push(board.cost.days.iter().map(|day| day.cost.usd()).sum());
            money.push(board.cost.weeks.iter().map(|week| week.cost.usd()).sum());
            money.push(board.cost.models.iter().filter_map(|model| model.cost.known_usd()).sum());
            money.push(board.cost.sessions.iter().map(|session| session.cost.usd()).sum());
            let uses = |name: &str| board.tools.iter().find(|tool| tool.tool == name).unwrap().uses;
            assert_eq!((uses("Edit"), uses("Write"), uses("Task")), (57, 18, 2));
            assert_eq!(started(&board), [(Some("Explore"), 1), (Some("claude-code-guide"), 1)]);
            assert!(board.cache.hit_rate.unwrap() > 0.9 && board.cache.savings_usd > 0.0);
            close(board.cost.per_session.unwrap(), board.cost.total.usd() / 2.0);
        }
        money.iter().for_each(|usd| close(*usd, money[0]));
        assert!(money[0] > 0.0);
        let listed = number(&database, "SELECT sum(message_count) FROM sessions").await;
        assert!(messages.iter().all(|n| *n == listed), "{messages:?} {listed}");

        let ids: Vec<SessionId> = sessions::page(&tx, None, &all())
            .await
            .unwrap()
            .rows
            .iter()
            .map(|session| session.session_id.parse().unwrap())
            .collect();
        let usage = usage::by_sessions(&tx, &ids).await.unwrap();
        assert_eq!(sum(usage.iter().map(|row| &row.tokens)), right);
        let of_models: f64 = usage.iter().map(|row| row.cost.usd()).sum();
        close(of_models, money[0]);
    }
);

fn started(board: &metrics::DashboardAnalytics) -> Vec<(Option<&str>, i64)> {
    board.subagents.iter().map(|usage| (usage.subagent_type.as_deref(), usage.count)).collect()
}

fn all() -> PageRequest<han_db::page::SessionCursor> {
    PageRequest { after: None, first: 100 }
}

both_databases!(
    async fn ranges_and_projects_add_up_to_the_total(database: TestDatabase) {
        let world = world(&database).await;
        push_whole(&world, &all_files()).await;
        let (scope, db) = (&world.scope, &world.db);
        let tx = db.read(scope, "test.read").await.unwrap();
        let whole = metrics::dashboard(&tx, &year(&Zone::fixed(60)), &Within::Team).await.unwrap();
        let zone = &Zone::fixed(60);
        let (early, late) = (days("2026-01-01", "2026-11-01", zone), days("2026-11-02", "2026-12-31", zone));
        let mut parts = Vec::new();
        for range in [early, late] {
            parts.push(metrics::dashboard(&tx, &range, &Within::Team).await.unwrap());
        }
        close(parts.iter().map(|part| part.cost.total.usd()).sum(), whole.cost.total.usd());
        let uses =
            |board: &metrics::DashboardAnalytics| board.tools.iter().map(|tool| tool.uses).sum::<i64>();
        assert_eq!(parts.iter().map(uses).sum::<i64>(), uses(&whole));
        assert_eq!(uses(&whole), number(&database, "SELECT sum(tool_use_count) FROM sessions").await);
        let runs =
            |board: &metrics::DashboardAnalytics| board.hooks.iter().map(|hook| hook.runs).sum::<i64>();
        assert_eq!(parts.iter().map(runs).sum::<i64>(), runs(&whole));
        assert_eq!(
            runs(&whole),
            number(&database, "SELECT count(*) FROM hook_executions WHERE NOT is_run").await
        );
        assert_eq!(
            whole.compactions.total(),
            number(&database, "SELECT sum(compaction_count) FROM sessions").await
        );

        let projects = project_lists::recent_projects(&tx, None, 100).await.unwrap();
        let mut by_project = 0.0;
        for (project, _) in &projects {
            let within = Within::Project(project.id.clone());
            by_project += metrics::activity(&tx, &year(&Zone::utc()), &within).await.unwrap().cost.usd();
        }
        close(by_project, whole.cost.total.usd());
        let repos = project_lists::recent_repos(&tx, None, 100).await.unwrap();
        assert_eq!(repos.len(), 1);
        let within = Within::Repo(repos[0].0.id.clone());
        let of_repo = metrics::activity(&tx, &year(&Zone::utc()), &within).await.unwrap();
        close(of_repo.cost.usd(), whole.cost.total.usd());
        let sessions = number(&database, "SELECT count(*) FROM sessions").await;
        assert_eq!(projects.iter().map(|(_, activity)| activity.sessions).sum::<i64>(), sessions);
        assert_eq!(repos[0].1.sessions, sessions);
        assert_eq!(of_repo.sessions, sessions);

        // Another team sees none of it.
        let stranger = support::team(db, "bob").await;
        let tx = db.read(&stranger, "test.read").await.unwrap();
        let none = metrics::dashboard(&tx, &year(&Zone::utc()), &within).await.unwrap();
        assert_eq!(none, metrics::DashboardAnalytics::default());
    }
);

both_databases!(
    async fn tasks_are_counted_by_outcome(database: TestDatabase) {
        let world = world(&database).await;
        // After the times of the lines.
        world.clock.advance_seconds(86_400);
        push_whole(&world, &eventful()).await;
        let (scope, db) = (&world.scope, &world.db);
        let tx = db.read(scope, "test.read").await.unwrap();
        let metrics = metrics::metrics(&tx, &year(&Zone::utc()), &Within::Team).await.unwrap();
        assert_eq!((metrics.begun, metrics.ended, metrics.native_begun, metrics.native_done), (2, 1, 1, 1));
        assert_eq!(metrics.by_type, [("fix".to_owned(), 1), ("other".to_owned(), 1)]);
        assert_eq!((metrics.success_rate, metrics.succeeded), (Some(1.0), 1));
        close(metrics.average_confidence.unwrap(), 0.8);
        close(metrics.calibration.unwrap(), 0.8);
        // h1 to h2: two lines of 400 seconds each; t1 to t3: four.
        assert_eq!(metrics.average_seconds, Some(1200.0));

        let ids: [SessionId; 1] = ["eventful".parse().unwrap()];
        let han = tasks::by_sessions(&tx, &ids).await.unwrap();
        let named: Vec<_> =
            han.iter().map(|task| (task.task_id.as_str(), task.details.task_type.as_deref())).collect();
        assert_eq!(named, [("task-7", Some("fix")), ("h3", Some("gardening"))]);
        assert_eq!(han[0].details.description.as_deref(), Some("Prune"));
        assert_eq!(han[0].confidence, Some(0.8));
        let native = tasks::native_by_sessions(&tx, &ids).await.unwrap();
        assert_eq!(native.len(), 1);
        assert_eq!(
            (native[0].details.subject.as_str(), native[0].details.status.as_str()),
            ("Graft the pear", "completed")
        );
        assert!(native[0].uuid.ends_with("000005"), "{}", native[0].uuid);
        let lists = todos::by_sessions(&tx, &ids).await.unwrap();
        assert_eq!(lists[0].items.len(), 2);
        let counted = todos::counts_by_sessions(&tx, &ids).await.unwrap()[0].1;
        assert_eq!((counted.pending, counted.in_progress, counted.completed), (0, 1, 1));
        let board = metrics::dashboard(&tx, &year(&Zone::utc()), &Within::Team).await.unwrap();
        // Of Han's two, the agent's one and two to-dos, one each was done.
        assert_eq!(board.top_sessions[0].completion, Some(0.6));
        assert_eq!(started(&board), [(Some("gardener"), 2), (None, 1)]);
        assert_eq!((board.compactions.manual, board.compactions.sessions_with), (1, 1));
        assert!(board.human_time.human_seconds > 0.0);
        assert_eq!(board.bottom_sessions, []);
    }
);

both_databases!(
    async fn sessions_list_their_derived_data(database: TestDatabase) {
        let world = world(&database).await;
        push_whole(&world, &synthetic_files()).await;
        push_whole(&world, &eventful()).await;
        let (scope, db) = (&world.scope, &world.db);
        let tx = db.read(scope, "test.read").await.unwrap();
        let ids: Vec<SessionId> = sessions::page(&tx, None, &all())
            .await
            .unwrap()
            .rows
            .iter()
            .map(|session| session.session_id.parse().unwrap())
            .collect();
        let counts = usage::counts_by_sessions(&tx, &ids).await.unwrap();
        for id in &ids {
            let whole = changes(&tx, id, 500).await;
            for size in [1, 2] {
                assert_eq!(changes(&tx, id, size).await, whole, "pages of {size}");
            }
            let counted = counts.iter().find(|(session, _)| session == id.as_str()).unwrap().1;
            assert_eq!(counted.file_changes, whole.len() as i64);
            assert!(whole.iter().all(|change| change.path.starts_with("/home/dev/orchard/")), "{whole:?}");
        }
        let events = hooks::by_sessions(&tx, &ids).await.unwrap();
        let of_first: Vec<_> = events
            .iter()
            .filter(|event| event.session_id.starts_with("5b1f0c52"))
            .map(|event| (event.place.clone(), event.hook.clone()))
            .collect();
        let names: Vec<_> = of_first.iter().filter_map(|(_, hook)| hook.hook_name.as_deref()).collect();
        assert_eq!(names, ["hook_datetime", "hook_reference", "test", "test", "lint", "hook_script"]);
        let paired = pair_hooks(&of_first);
        assert_eq!(paired.iter().filter(|hook| hook.run.is_some() && hook.outcome.is_some()).count(), 1);
        let stats = hooks::stats_by_sessions(&tx, &ids).await.unwrap();
        let first = stats.iter().find(|stats| stats.session_id.starts_with("5b1f0c52")).unwrap();
        assert_eq!((first.total, first.passed, first.failed), (5, 3, 1));
        assert!(
            first.by_type.iter().any(|of| (of.hook_type.as_str(), of.total, of.passed) == ("Stop", 2, 1))
        );
        let session: SessionId = first.session_id.parse().unwrap();
        let changed = changes(&tx, &session, 500).await;
        let checked = file_changes::validations(&changed, &events);
        assert!(
            checked.iter().any(|one| one.passed.iter().any(|(check, _)| check.hook == "test")),
            "{checked:?}"
        );
        assert!(
            checked.iter().all(|one| one.passed.iter().all(|(check, _)| check.hook != "lint")),
            "{checked:?}"
        );
        assert!(
            checked.iter().any(|one| one.missing.iter().any(|check| check.hook == "lint")),
            "{checked:?}"
        );
        let listed = sentiments::by_sessions(&tx, &ids).await.unwrap();
        assert_eq!(
            (listed.len(), listed[0].sentiment, listed[0].frustration_level.as_deref()),
            (1, Some(-0.5), Some("low"))
        );
        assert_eq!(listed[0].signals, ["negative_words"]);
    }
);

/// All pages of a session's file changes, concatenated.
async fn changes(
    tx: &han_db::ScopedTx,
    session: &SessionId,
    size: usize,
) -> Vec<han_db::entities::FileChange> {
    let mut all: Vec<han_db::entities::FileChange> = Vec::new();
    loop {
        let after = all.last().map(|change| change.cursor.clone());
        let request = PageRequest { after, first: size };
        let page = file_changes::page(tx, session, &request).await.unwrap();
        all.extend(page.rows);
        if !page.has_next {
            return all;
        }
    }
}

both_databases!(
    async fn dashboards_do_not_read_messages(database: TestDatabase) {
        let world = world(&database).await;
        push_whole(&world, &eventful()).await;
        let (scope, db) = (&world.scope, &world.db);
        let range = year(&Zone::utc());
        let before = {
            let tx = db.read(scope, "test.read").await.unwrap();
            metrics::dashboard(&tx, &range, &Within::Team).await.unwrap()
        };
        for table in ["messages", "segments"] {
            database.execute(&format!("ALTER TABLE {table} RENAME TO hidden_{table}")).await;
        }
        let tx = db.read(scope, "test.read").await.unwrap();
        let after = metrics::dashboard(&tx, &range, &Within::Team).await.unwrap();
        assert_eq!(after, before);
        assert!(total(&metrics::activity(&tx, &range, &Within::Team).await.unwrap().tokens) > 0);
        metrics::team_metrics(&tx, &range, &Within::Team, Period::Week).await.unwrap();
        metrics::metrics(&tx, &range, &Within::Team).await.unwrap();
    }
);
