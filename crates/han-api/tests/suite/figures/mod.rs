//! Figures of dashboards: each one is compared with an independent computation from the lines, for several users,
//! projects, models, ranges and time zones. One file per root field; here is what concerns all of them.

mod activity;
mod billed;
mod dashboard_analytics;
mod expected;
mod history;
mod metrics;
mod team_metrics;
mod usage;

use han_testkit::{TestDatabase, both_databases, fixtures};
use serde_json::{Value, json};

use self::activity::{ACTIVITY, check_activity};
use self::dashboard_analytics::{DASHBOARD, check_dashboard};
use self::history::{ALL_PROJECTS, Asked, History};
use self::metrics::{METRICS, check_metrics};
use self::team_metrics::TEAM;
use crate::support::{World, codes};

/// The answers of the four root fields to the same question.
async fn ask_all(world: &World, question: &Value) -> [Value; 4] {
    let activity = world.ask(ACTIVITY, question.clone()).await["activity"].take();
    let board = world.ask(DASHBOARD, question.clone()).await["dashboardAnalytics"].take();
    let metrics = world.ask(METRICS, question.clone()).await["metrics"].take();
    let team = world.ask(TEAM, question.clone()).await["teamMetrics"].take();
    [activity, board, metrics, team]
}

/// The ids of a project of the history.
async fn project_of(world: &World, history: &History, project: usize) -> Value {
    let query = "{ sessions(first: 500) { edges { node { sessionId project { id repoId } } } } }";
    let sessions = world.ask(query, json!({})).await;
    let made = history.sessions.iter().find(|session| session.project == project).unwrap();
    let edges = sessions["sessions"]["edges"].as_array().unwrap();
    let edge = edges.iter().find(|edge| edge["node"]["sessionId"] == made.id).unwrap();
    edge["node"]["project"].clone()
}

both_databases!(
    async fn figures_are_filtered_by_project_and_repository(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(4);
        history.push(&world, &files).await;
        let mut projects = Vec::new();
        for project in ALL_PROJECTS {
            projects.push(project_of(&world, &history, *project).await);
        }
        let mut questions: Vec<(Value, &[usize])> = vec![
            (json!({ "repo": projects[0]["repoId"] }), &[0, 1]),
            (json!({ "repo": projects[2]["repoId"] }), &[2]),
            (json!({ "project": "prj_none" }), &[]),
            (json!({ "project": "\u{0}" }), &[]),
        ];
        for (project, within) in [(0, &[0]), (1, &[1]), (2, &[2])] {
            let id = projects[project]["id"].as_str().unwrap().to_owned();
            questions.push((json!({ "project": id.trim_start_matches("Project:") }), within));
            questions.push((json!({ "project": id, "repo": projects[2]["repoId"] }), within));
        }
        for (mut question, within) in questions {
            question["days"] = json!(30);
            question["zone"] = json!(60);
            let asked = Asked::last_days(&history, 60, 30, within);
            check_activity(&asked, &world.ask(ACTIVITY, question.clone()).await["activity"]);
            check_dashboard(&asked, &world.ask(DASHBOARD, question.clone()).await["dashboardAnalytics"]);
            check_metrics(&asked, &world.ask(METRICS, question).await["metrics"]);
        }
    }
);

both_databases!(
    async fn figures_of_another_team_are_empty(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(4);
        history.push(&world, &files).await;
        let project = project_of(&world, &history, 0).await;
        // A user of another team gets empty figures, even with the ids of the project; one without a team gets null.
        let eve = world.stranger().await;
        let teamless = han_api::RequestContext::new(eve.actor.clone());
        for question in [
            json!({ "days": 90 }),
            json!({ "days": 90, "project": project["id"] }),
            json!({ "repo": project["repoId"] }),
        ] {
            for (query, root, sums) in [
                (ACTIVITY, "activity", ["/totalSessions", "/totalMessages", "/tokenUsage/totalTokens"]),
                (
                    DASHBOARD,
                    "dashboardAnalytics",
                    [
                        "/costAnalysis/unpricedTokens",
                        "/compactionStats/totalCompactions",
                        "/compactionStats/sessionsWithoutCompactions",
                    ],
                ),
                (METRICS, "metrics", ["/totalTasks", "/completedTasks", "/significantFrustrations"]),
                (TEAM, "teamMetrics", ["/totalSessions", "/totalTasks", "/totalTokens"]),
            ] {
                let response = world.response(eve.context(), query, question.clone()).await;
                let found = response.data.into_json().unwrap();
                for at in sums {
                    assert_eq!(found[root].pointer(at), Some(&json!(0)), "{root}{at}");
                }
                for lists in
                    ["toolUsage", "topSessions", "sessionsByProject", "topContributors", "modelUsage"]
                {
                    assert!(found[root].get(lists).is_none_or(|list| *list == json!([])), "{root}.{lists}");
                }
                let response = world.response(teamless.clone(), query, question.clone()).await;
                assert_eq!(response.data.into_json().unwrap(), json!({ root: null }));
            }
        }
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_return_the_same_figures() {
    /// Removes ids that differ between teams, and sorts lists that may have ties.
    fn alike(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| name != "projectId" && name != "contributorId");
                fields.values_mut().for_each(alike);
            }
            Value::Array(items) => {
                items.iter_mut().for_each(alike);
                if items.iter().all(|item| item.get("projectName").or(item.get("displayName")).is_some()) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            _ => {}
        }
    }
    let (history, files) = History::make(5);
    let mut answers = Vec::new();
    for db in [TestDatabase::sqlite().await, TestDatabase::postgres().await] {
        let world = World::new(&db).await;
        history.push(&world, &files).await;
        if let Some(root) = fixtures::real_transcripts() {
            let project = std::fs::read_dir(root.join("projects")).unwrap().next().unwrap().unwrap().path();
            world.push_project(&project).await;
        }
        let mut found = Vec::new();
        for zone in [0, 330] {
            let question =
                json!({ "days": 400, "zone": zone, "start": "2025-11-01", "by": "week", "period": "MONTH" });
            found.extend(ask_all(&world, &question).await);
        }
        found.iter_mut().for_each(alike);
        answers.push(found);
    }
    let [sqlite, postgres] = answers.as_slice() else { panic!("two databases") };
    for (a, b) in sqlite.iter().zip(postgres) {
        assert_eq!(a, b);
    }
}

both_databases!(
    async fn invalid_ranges_and_time_zones_are_refused(db: TestDatabase) {
        let world = World::new(&db).await;
        for query in [
            "{ activity(days: 0) { streakDays } }",
            "{ activity(days: 3661) { streakDays } }",
            "{ dashboardAnalytics(days: -1) { toolUsage { count } } }",
            "{ metrics(utcOffsetMinutes: 841) { totalTasks } }",
            "{ activity(timeZone: \"Mars/Olympus\") { streakDays } }",
            "{ usage(groupBy: [DAY, WEEK]) { total { totalTokens } } }",
            "{ usage(groupBy: [MODEL, MODEL]) { total { totalTokens } } }",
            "{ usage(startDate: \"2026-11-02\", endDate: \"2026-11-01\") { total { totalTokens } } }",
            "{ teamMetrics(startDate: \"yesterday\") { totalTasks } }",
            "{ teamMetrics(startDate: \"2026-11-02\", endDate: \"2026-11-01\") { totalTasks } }",
            "{ teamMetrics(startDate: \"1990-11-02\") { totalTasks } }",
        ] {
            let response = world.response(world.ada.context(), query, json!({})).await;
            assert_eq!(codes(&response), ["BAD_USER_INPUT"], "{query}");
        }
    }
);

#[test]
fn the_description_of_every_figure_names_its_formula() {
    let sdl = han_api::schema::team_sdl();
    let mut described = 0;
    for part in sdl.split("\"\"\"\ntype ").skip(1) {
        let name = part.split_whitespace().next().unwrap();
        let fields = part.split('}').next().unwrap();
        let is_figures = [
            "ActivityData",
            "DailyActivity",
            "HourlyActivity",
            "DailyCost",
            "DailyModelTokens",
            "ModelTokenEntry",
            "CostAnalysis",
            "ModelUsageStats",
            "ToolUsageStats",
            "SubagentUsageStats",
            "HookHealthStats",
            "CompactionStats",
            "SessionEffectiveness",
            "SessionPerformancePoint",
            "HumanTimeEstimate",
            "HumanTimeBreakdown",
            "ToolTimeEstimate",
            "TaskCompletionMetrics",
            "TeamMetrics",
            "ContributorMetrics",
            "ProjectSessionCount",
            "PeriodSessionCount",
            "ActivityTimelineEntry",
            "TokenUsageStats",
            "TokenUsageAggregation",
            "MetricsData",
            "WeeklyCost",
            "SessionCost",
            "DashboardAnalytics",
            "TaskTypeCount",
            "TaskOutcomeCount",
            "UsageReport",
            "UsageTotals",
            "UsageGroup",
        ]
        .contains(&name);
        if is_figures {
            let before = sdl.split(&format!("\ntype {name} ")).next().unwrap();
            let description = before.rsplit("\"\"\"").nth(1).unwrap();
            assert!(description.contains("docs/METRICS.md"), "{name}: {description}");
            assert!(!fields.is_empty());
            described += 1;
        }
    }
    assert_eq!(described, 34);
}
