//! `teamMetrics`: periods, projects and contributors.

use std::collections::{BTreeMap, BTreeSet};

use han_testkit::both_databases;
use serde_json::{Value, json};

use super::expected::{close, monday, plus, total};
use super::history::{ALL_PROJECTS, Asked, CHECKOUTS, History, Kind, MadeSession, PEOPLE, message};
use super::metrics::tasks_of;
use crate::support::World;

pub(super) const TEAM: &str = "query($start: String, $end: String, $by: Granularity, $zone: Int) {
  teamMetrics(startDate: $start, endDate: $end, granularity: $by, utcOffsetMinutes: $zone) {
    totalSessions totalTasks totalTokens estimatedCostUsd
    sessionsByPeriod { period sessionCount taskCount tokenUsage }
    activityTimeline { period sessionCount messageCount taskCount }
    sessionsByProject { projectId projectName sessionCount taskCount successRate }
    topContributors { contributorId displayName sessionCount taskCount successRate }
    taskCompletionMetrics { totalCreated totalCompleted successCount partialCount failureCount successRate
      averageConfidence }
    tokenUsageAggregation { totalInputTokens totalOutputTokens totalCachedTokens totalTokens estimatedCostUsd
      unpricedTokens } } }";

pub(super) fn check_team(asked: &Asked<'_>, by: &str, found: &Value) {
    let models = asked.models();
    let tokens = models.values().fold([0; 5], |sum, n| plus(sum, *n));
    let tasks = tasks_of(asked.events().map(|(_, event)| event));
    assert_eq!(found["totalSessions"], asked.begun().count());
    assert_eq!((&found["totalTasks"], &found["totalTokens"]), (&json!(tasks.begun), &json!(total(tokens))));
    close(&found["estimatedCostUsd"], asked.cost());
    let usage = &found["tokenUsageAggregation"];
    let fields = ["totalInputTokens", "totalOutputTokens", "totalCachedTokens", "totalTokens"];
    let n = tokens;
    let wanted = [n[0], n[1], n[2] + n[3] + n[4], total(n)];
    assert_eq!(fields.map(|field| usage[field].as_i64().unwrap()), wanted);
    let completion = &found["taskCompletionMetrics"];
    assert_eq!(completion["totalCreated"], tasks.begun);
    assert_eq!(completion["totalCompleted"], tasks.ended);
    for (field, outcome) in
        [("successCount", "success"), ("partialCount", "partial"), ("failureCount", "failure")]
    {
        assert_eq!(completion[field], tasks.outcomes.get(outcome).copied().unwrap_or(0));
    }
    close(&completion["successRate"], tasks.success_rate);
    close(&completion["averageConfidence"], tasks.confidence);

    let period = |date: &str| match by {
        "day" => date.to_owned(),
        "week" => monday(date),
        _ => date[..7].to_owned(),
    };
    // Sessions, messages, tasks, tokens.
    let mut periods: BTreeMap<String, [i64; 4]> = BTreeMap::new();
    asked.begun().for_each(|(date, _)| periods.entry(period(&date)).or_default()[0] += 1);
    for (date, event) in asked.events() {
        let sums = periods.entry(period(&date)).or_default();
        sums[1] += message(&event.kind);
        match event.kind {
            Kind::TaskBegun(_) => sums[2] += 1,
            Kind::Tokens { tokens, .. } => sums[3] += total(tokens),
            _ => {}
        }
    }
    periods.retain(|_, sums| sums[..3].iter().any(|n| *n > 0));
    let of = |list: &str, fields: [&str; 3]| -> BTreeMap<String, [i64; 3]> {
        let items = found[list].as_array().unwrap();
        assert!(items.is_sorted_by_key(|item| item["period"].as_str().unwrap().to_owned()));
        let row = |item: &Value| {
            (item["period"].as_str().unwrap().to_owned(), fields.map(|field| item[field].as_i64().unwrap()))
        };
        items.iter().map(row).collect()
    };
    let sums = of("sessionsByPeriod", ["sessionCount", "taskCount", "tokenUsage"]);
    assert_eq!(sums, periods.iter().map(|(p, n)| (p.clone(), [n[0], n[2], n[3]])).collect());
    let timeline = of("activityTimeline", ["sessionCount", "messageCount", "taskCount"]);
    assert_eq!(timeline, periods.into_iter().map(|(p, n)| (p, [n[0], n[1], n[2]])).collect());

    type Of = fn(&MadeSession) -> &'static str;
    let people: Of = |session| PEOPLE[session.person];
    let projects: Of = |session| CHECKOUTS[session.project].path.rsplit('/').next().unwrap();
    for (list, name, of) in
        [("topContributors", "displayName", people), ("sessionsByProject", "projectName", projects)]
    {
        let listed = found[list].as_array().unwrap();
        let names: BTreeSet<&str> = asked
            .begun()
            .map(|(_, session)| of(session))
            .chain(asked.events().filter(|(_, e)| message(&e.kind) > 0).map(|(_, e)| of(asked.of(e))))
            .collect();
        assert_eq!(listed.iter().map(|item| item[name].as_str().unwrap()).collect::<BTreeSet<_>>(), names);
        assert!(listed.is_sorted_by_key(|item| std::cmp::Reverse(item["sessionCount"].as_i64().unwrap())));
        for item in listed {
            let its = |session: &MadeSession| item[name] == of(session);
            assert_eq!(item["sessionCount"], asked.begun().filter(|(_, session)| its(session)).count());
            let tasks = tasks_of(asked.events().map(|(_, event)| event).filter(|event| its(asked.of(event))));
            assert_eq!(item["taskCount"], tasks.begun);
            close(&item["successRate"], tasks.success_rate);
        }
    }
}

both_databases!(
    async fn team_metrics_are_computed_from_the_lines(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(3);
        history.push(&world, &files).await;
        for zone in [0, 330, -480, 840] {
            for by in ["day", "week", "month"] {
                let asked = Asked {
                    first_day: "2026-10-12".to_owned(),
                    last_day: "2026-11-17".to_owned(),
                    ..Asked::last_days(&history, zone, 1, ALL_PROJECTS)
                };
                let question = json!({ "start": "2026-10-12", "end": "2026-11-17", "by": by, "zone": zone });
                check_team(&asked, by, &world.ask(TEAM, question).await["teamMetrics"]);
                let asked = Asked::last_days(&history, zone, 30, ALL_PROJECTS);
                let found = world.ask(TEAM, json!({ "by": by, "zone": zone })).await;
                check_team(&asked, by, &found["teamMetrics"]);
            }
        }
    }
);
