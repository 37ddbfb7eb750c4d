//! `activity`: days, hours, models and totals.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Timelike as _;
use han_testkit::both_databases;
use serde_json::{Value, json};

use super::expected::{close, date, dollars, local, sum, total};
use super::history::{ALL_PROJECTS, Asked, History, Kind, message};
use crate::support::World;

pub(super) const ACTIVITY: &str = "query($days: Int, $project: String, $repo: String, $zone: Int) {
  activity(days: $days, projectId: $project, repoId: $repo, utcOffsetMinutes: $zone) {
    dailyActivity { date sessionCount messageCount inputTokens outputTokens cachedTokens filesChanged linesAdded linesRemoved }
    hourlyActivity { hour sessionCount messageCount }
    dailyModelTokens { date totalTokens models { model displayName tokens } }
    modelUsage { model displayName inputTokens outputTokens cacheReadTokens cacheCreationTokens totalTokens costUsd }
    tokenUsage { totalInputTokens totalOutputTokens totalCachedTokens totalTokens estimatedCostUsd unpricedTokens
      sessionCount messageCount }
    streakDays totalActiveDays totalSessions totalMessages firstSessionDate } }";

pub(super) fn check_activity(asked: &Asked<'_>, found: &Value) {
    let mut days: BTreeMap<String, [i64; 8]> = BTreeMap::new();
    let mut hours = BTreeMap::from_iter((0..24).map(|hour| (hour, [0; 2])));
    let mut day_models: BTreeMap<(String, &str), i64> = BTreeMap::new();
    let hour = |at: i64| i64::from(local(at, asked.zone).hour());
    for (date, session) in asked.begun() {
        days.entry(date).or_default()[0] += 1;
        hours.get_mut(&hour(session.first)).unwrap()[0] += 1;
    }
    for (date, event) in asked.events() {
        let day = days.entry(date.clone()).or_default();
        match event.kind {
            Kind::Message { .. } => {
                day[1] += 1;
                hours.get_mut(&hour(event.at)).unwrap()[1] += 1;
            }
            Kind::Tokens { model, tokens: [input, output, read, short, long] } => {
                day[2] += input;
                day[3] += output;
                day[4] += read + short + long;
                *day_models.entry((date, model)).or_default() += input + output + read + short + long;
            }
            Kind::Change(added, removed) => {
                day[5] += 1;
                day[6] += added;
                day[7] += removed;
            }
            _ => {}
        }
    }
    let listed = found["dailyActivity"].as_array().unwrap();
    assert_eq!(listed.first().unwrap()["date"], *asked.first_day);
    assert_eq!(listed.last().unwrap()["date"], *asked.last_day);
    let fields = [
        "sessionCount",
        "messageCount",
        "inputTokens",
        "outputTokens",
        "cachedTokens",
        "filesChanged",
        "linesAdded",
        "linesRemoved",
    ];
    for day in listed {
        let wanted = days.get(day["date"].as_str().unwrap()).copied().unwrap_or_default();
        assert_eq!(fields.map(|field| day[field].as_i64().unwrap()), wanted, "{day}");
    }
    assert!(listed.is_sorted_by_key(|day| day["date"].as_str().unwrap().to_owned()));
    for (item, (hour, wanted)) in found["hourlyActivity"].as_array().unwrap().iter().zip(hours) {
        let found = ["hour", "sessionCount", "messageCount"].map(|field| item[field].as_i64().unwrap());
        assert_eq!(found, [hour, wanted[0], wanted[1]]);
    }
    let mut found_models = BTreeMap::new();
    for day in found["dailyModelTokens"].as_array().unwrap() {
        assert_eq!(day["totalTokens"], sum(&day["models"], "tokens"));
        for model in day["models"].as_array().unwrap() {
            let key = (day["date"].as_str().unwrap().to_owned(), model["model"].as_str().unwrap());
            found_models.insert(key, model["tokens"].as_i64().unwrap());
        }
    }
    day_models.retain(|_, tokens| *tokens > 0);
    assert_eq!(found_models, day_models);

    let models = asked.models();
    assert_eq!(found["modelUsage"].as_array().unwrap().len(), models.len());
    for usage in found["modelUsage"].as_array().unwrap() {
        let model = usage["model"].as_str().unwrap();
        let n = models[model];
        let fields = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens", "totalTokens"];
        let found = fields.map(|field| usage[field].as_i64().unwrap());
        assert_eq!(found, [n[0], n[1], n[2], n[3] + n[4], total(n)], "{model}");
        close(&usage["costUsd"], dollars(model, n));
        let shown = if model == "claude-opus-4-6" { "Opus 4.6" } else { "Haiku 4.5" };
        assert_eq!(usage["displayName"], if model == "orchard-1" { model } else { shown });
    }
    close(&found["tokenUsage"]["estimatedCostUsd"], asked.cost());
    assert_eq!(found["tokenUsage"]["totalTokens"], models.values().map(|n| total(*n)).sum::<i64>());
    let unpriced = models.get("orchard-1").copied().map_or(0, total);
    assert_eq!(found["tokenUsage"]["unpricedTokens"], unpriced);
    assert_eq!(found["totalSessions"], asked.begun().count());
    assert_eq!(found["totalMessages"], asked.count(message));

    let active: BTreeSet<String> =
        days.iter().filter(|(_, n)| n[1] > 0).map(|(date, _)| date.clone()).collect();
    assert_eq!(found["totalActiveDays"], active.len());
    let mut dates: Vec<&str> = listed.iter().map(|day| day["date"].as_str().unwrap()).collect();
    if !active.contains(*dates.last().unwrap()) {
        dates.pop();
    }
    assert_eq!(found["streakDays"], dates.iter().rev().take_while(|date| active.contains(**date)).count());
    let sessions = asked.history.sessions.iter().filter(|session| asked.projects.contains(&session.project));
    let first = sessions.map(|session| session.first).min().map(|at| date(at, asked.zone));
    assert_eq!(found["firstSessionDate"].as_str(), first.as_deref());
}

both_databases!(
    async fn activity_is_the_sum_of_the_lines(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(3);
        history.push(&world, &files).await;
        for zone in [0, 330, 345, -480, 840] {
            for days in [1, 7, 30, 90] {
                let found = world.ask(ACTIVITY, json!({ "days": days, "zone": zone })).await;
                check_activity(&Asked::last_days(&history, zone, days, ALL_PROJECTS), &found["activity"]);
            }
        }
    }
);
