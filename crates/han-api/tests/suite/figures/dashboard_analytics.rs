//! `dashboardAnalytics`: cost, compactions, tools, hooks, sessions and human time.

use std::collections::BTreeMap;

use han_testkit::both_databases;
use han_types::Timestamp;
use serde_json::{Value, json};

use super::expected::{Tokens, close, cost, counts, dollars, local, mean, monday, plus};
use super::history::{ALL_PROJECTS, Asked, History, Kind, message};
use crate::support::World;

pub(super) const DASHBOARD: &str = "query($days: Int, $project: String, $repo: String, $zone: Int) {
  dashboardAnalytics(days: $days, projectId: $project, repoId: $repo, utcOffsetMinutes: $zone) {
    costAnalysis { estimatedCostUsd unpricedTokens isEstimated billingType costPerSession costPerCompletedTask cacheHitRate
      cacheSavingsUsd dailyCostTrend { date costUsd sessionCount }
      weeklyCostTrend { weekStart weekLabel costUsd avgDailyCost sessionCount }
      topSessionsByCost { sessionId slug startedAt messageCount inputTokens outputTokens cacheReadTokens costUsd }
      maxSubscriptionCostUsd costUtilizationPercent breakEvenDailySpend potentialSavingsUsd
      subscriptionComparisons { tierName } configDirBreakdowns { configDirId } }
    compactionStats { totalCompactions autoCompactCount manualCompactCount continuationCount avgCompactionsPerSession
      sessionsWithCompactions sessionsWithoutCompactions }
    toolUsage { toolName count }
    subagentUsage { subagentType count }
    hookHealth { hookName totalRuns passCount failCount passRate avgDurationMs }
    topSessions { ...effectiveness } bottomSessions { ...effectiveness }
    performanceTrend { weekStart weekLabel sessionCount avgTurns avgCompactions avgEffectiveness }
    humanTimeEstimate { totalHumanSeconds totalAiSeconds hoursSaved speedupFactor
      breakdown { category humanSeconds percent } toolBreakdown { toolName invocations humanSeconds } } } }
fragment effectiveness on SessionEffectiveness { sessionId slug summary startedAt score taskCompletionRate focusScore
  avgSentimentScore sentimentTrend turnCount compactionCount }";

pub(super) fn check_dashboard(asked: &Asked<'_>, found: &Value) {
    let analysis = &found["costAnalysis"];
    close(&analysis["estimatedCostUsd"], asked.cost());
    let begun = asked.begun().count();
    let ended = asked.count(|kind| i64::from(matches!(kind, Kind::TaskEnded { .. })));
    let per = |n: f64| asked.cost().filter(|_| n > 0.0).map(|usd| usd / n);
    close(&analysis["costPerSession"], per(begun as f64));
    close(&analysis["costPerCompletedTask"], per(ended as f64));
    let models = asked.models();
    let [input, _, read, short, long] = models.values().fold([0; 5], |sum, n| plus(sum, *n));
    let all_input = input + read + short + long;
    close(&analysis["cacheHitRate"], (all_input > 0).then(|| read as f64 / all_input as f64));
    let uncached = |n: Tokens| [n[0] + n[2] + n[3] + n[4], n[1], 0, 0, 0];
    let saved =
        models.iter().filter_map(|(model, n)| Some(dollars(model, uncached(*n))? - dollars(model, *n)?));
    close(&analysis["cacheSavingsUsd"], asked.cost().map(|_| saved.sum()));
    for field in [
        "billingType",
        "maxSubscriptionCostUsd",
        "costUtilizationPercent",
        "breakEvenDailySpend",
        "potentialSavingsUsd",
        "subscriptionComparisons",
        "configDirBreakdowns",
    ] {
        assert_eq!(analysis[field], Value::Null, "{field}");
    }
    assert_eq!(analysis["isEstimated"], analysis["unpricedTokens"].as_i64() > Some(0));

    let mut days: BTreeMap<String, (BTreeMap<&str, Tokens>, i64)> = BTreeMap::new();
    for (date, event) in asked.events() {
        if let Kind::Tokens { model, tokens } = event.kind {
            let sum = days.entry(date).or_default().0.entry(model).or_default();
            *sum = plus(*sum, tokens);
        }
    }
    asked.begun().for_each(|(date, _)| days.entry(date).or_default().1 += 1);
    let mut weeks: BTreeMap<String, (BTreeMap<&str, Tokens>, i64)> = BTreeMap::new();
    for (date, (models, sessions)) in &days {
        let week = weeks.entry(monday(date)).or_default();
        week.1 += sessions;
        for (model, tokens) in models {
            let sum = week.0.entry(model).or_default();
            *sum = plus(*sum, *tokens);
        }
    }
    for day in analysis["dailyCostTrend"].as_array().unwrap() {
        // A day may have other activity and cost nothing.
        let (models, sessions) = days.remove(day["date"].as_str().unwrap()).unwrap_or_default();
        close(&day["costUsd"], cost(models));
        assert_eq!(day["sessionCount"], sessions);
    }
    assert!(days.is_empty(), "{days:?}");
    for week in analysis["weeklyCostTrend"].as_array().unwrap() {
        let start = week["weekStart"].as_str().unwrap();
        let (models, sessions) = weeks.remove(start).unwrap_or_default();
        close(&week["costUsd"], cost(models.clone()));
        assert_eq!(week["sessionCount"], sessions);
        let monday: chrono::NaiveDate = start.parse().unwrap();
        let within = (0..7).filter(|n| asked.holds(&(monday + chrono::Days::new(*n)).to_string())).count();
        close(&week["avgDailyCost"], cost(models).map(|usd| usd / within as f64));
    }
    assert!(weeks.is_empty(), "{weeks:?}");

    let active = asked.active();
    let of_session = |n: usize| asked.history.events.iter().filter(move |event| event.session == n);
    let cost_of = |n: usize| {
        cost(of_session(n).filter_map(|event| match event.kind {
            Kind::Tokens { model, tokens } => Some((model, tokens)),
            _ => None,
        }))
    };
    let most_expensive = analysis["topSessionsByCost"].as_array().unwrap();
    let with_tokens =
        active.iter().filter(|n| of_session(**n).any(|e| matches!(e.kind, Kind::Tokens { .. })));
    let mut costs: Vec<f64> = with_tokens.map(|n| cost_of(*n).unwrap_or(0.0)).collect();
    costs.sort_by(|a, b| b.total_cmp(a));
    costs.truncate(10);
    assert_eq!(most_expensive.len(), costs.len());
    for (session, usd) in most_expensive.iter().zip(costs) {
        let n = asked.history.sessions.iter().position(|made| session["sessionId"] == made.id).unwrap();
        close(&session["costUsd"], cost_of(n));
        close(&json!(session["costUsd"].as_f64().unwrap_or(0.0)), Some(usd));
        assert_eq!(session["messageCount"], of_session(n).map(|event| message(&event.kind)).sum::<i64>());
        assert_eq!(session["startedAt"], Timestamp(asked.history.sessions[n].first).to_rfc3339());
    }

    let compactions = asked.by(|kind| match kind {
        Kind::Compaction(trigger) => Some(*trigger),
        _ => None,
    });
    let of = |key: &str| compactions.get(key).copied().unwrap_or(0);
    let stats = &found["compactionStats"];
    assert_eq!(stats["totalCompactions"], of("auto") + of("manual"));
    assert_eq!(
        (&stats["autoCompactCount"], &stats["manualCompactCount"]),
        (&json!(of("auto")), &json!(of("manual")))
    );
    let compacted = |n: usize| of_session(n).filter(|e| matches!(e.kind, Kind::Compaction(_))).count();
    assert_eq!(stats["sessionsWithCompactions"], active.iter().filter(|n| compacted(**n) > 0).count());
    assert_eq!(stats["sessionsWithoutCompactions"], active.iter().filter(|n| compacted(**n) == 0).count());
    let per_session: Vec<f64> = active.iter().map(|n| compacted(*n) as f64).collect();
    close(&stats["avgCompactionsPerSession"], mean(&per_session));

    let tools = asked.by(|kind| match kind {
        Kind::Tool(name) => Some(Some((*name).to_owned())),
        _ => None,
    });
    assert_eq!(counts(&found["toolUsage"], "toolName", "count"), tools);
    let subagents = asked.by(|kind| match kind {
        Kind::Subagent(of) => Some(of.map(str::to_owned)),
        _ => None,
    });
    assert_eq!(counts(&found["subagentUsage"], "subagentType", "count"), subagents);

    let mut hooks: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for (_, event) in asked.events() {
        if let Kind::Hook { name, passed, ms } = event.kind {
            let hook = hooks.entry(name).or_default();
            hook.0 += i64::from(passed);
            hook.1 += i64::from(!passed);
            hook.2 += ms;
        }
    }
    assert_eq!(found["hookHealth"].as_array().unwrap().len(), hooks.len());
    for hook in found["hookHealth"].as_array().unwrap() {
        let (passed, failed, ms) = hooks[hook["hookName"].as_str().unwrap()];
        let runs = passed + failed;
        let found = ["totalRuns", "passCount", "failCount"].map(|field| hook[field].as_i64().unwrap());
        assert_eq!(found, [runs, passed, failed]);
        close(&hook["passRate"], Some(passed as f64 / runs as f64));
        close(&hook["avgDurationMs"], Some(ms as f64 / runs as f64));
    }

    check_sessions(asked, found);
    let seconds = |tool: &str| match tool {
        "Edit" => 120,
        "Agent" => 600,
        "Bash" => 30,
        _ => 60,
    };
    let human: i64 = tools.iter().map(|(tool, n)| seconds(tool.as_deref().unwrap()) * n).sum();
    let ai: i64 = active
        .iter()
        .map(|n| {
            let turns =
                of_session(*n).filter(|e| matches!(e.kind, Kind::Message { turn: true })).count() as i64;
            let made = &asked.history.sessions[*n];
            ((made.last - made.first) / 1000).min(600 * turns)
        })
        .sum();
    let estimate = &found["humanTimeEstimate"];
    close(&estimate["totalHumanSeconds"], Some(human as f64));
    close(&estimate["totalAiSeconds"], Some(ai as f64));
    close(&estimate["hoursSaved"], Some((human - ai).max(0) as f64 / 3600.0));
    close(&estimate["speedupFactor"], (ai > 0).then(|| human as f64 / ai as f64));
    for tool in estimate["toolBreakdown"].as_array().unwrap() {
        let name = tool["toolName"].as_str().unwrap();
        let uses = tools[&Some(name.to_owned())];
        assert_eq!(tool["invocations"], uses);
        close(&tool["humanSeconds"], Some((seconds(name) * uses) as f64));
    }
    let parts = estimate["breakdown"].as_array().unwrap();
    let percent: f64 = parts.iter().map(|part| part["percent"].as_f64().unwrap()).sum();
    close(&json!(percent), Some(if parts.is_empty() { 0.0 } else { 100.0 }));
}

/// The inputs of a session's score: turns, compactions, tasks, tasks that succeeded, scores of sentiments.
pub(super) fn inputs(history: &History, n: usize) -> (f64, f64, f64, f64, Vec<f64>) {
    let mut inputs = (0.0, 0.0, 0.0, 0.0, Vec::new());
    for event in history.events.iter().filter(|event| event.session == n) {
        match event.kind {
            Kind::Message { turn: true } => inputs.0 += 1.0,
            Kind::Compaction(_) => inputs.1 += 1.0,
            Kind::TaskBegun(_) => inputs.2 += 1.0,
            Kind::TaskEnded { outcome: "success", .. } => inputs.3 += 1.0,
            Kind::Sentiment { score, .. } => inputs.4.push(score),
            _ => {}
        }
    }
    inputs
}

pub(super) fn check_sessions(asked: &Asked<'_>, found: &Value) {
    let measured = asked.active().into_iter().map(|n| {
        let (turns, compactions, tasks, done, sentiments) = inputs(asked.history, n);
        let completion = (tasks > 0.0).then(|| done / tasks);
        let focus = (turns + compactions > 0.0).then(|| turns / (turns + 5.0 * compactions));
        let sentiment = mean(&sentiments);
        let parts =
            [(0.5, completion), (0.3, focus), (0.2, sentiment.map(|sentiment| (sentiment + 5.0) / 10.0))];
        let known: Vec<(f64, f64)> =
            parts.iter().filter_map(|(weight, part)| Some((*weight, (*part)?))).collect();
        let weights: f64 = known.iter().map(|(weight, _)| weight).sum();
        let score = 100.0 * known.iter().map(|(weight, part)| weight * part).sum::<f64>() / weights;
        (n, (score, completion, focus, sentiment))
    });
    let measured: BTreeMap<usize, _> = measured.collect();
    let mut ranked: Vec<usize> = measured.keys().copied().collect();
    ranked.sort_by(|a, b| measured[b].0.total_cmp(&measured[a].0).then(a.cmp(b)));
    let top = ranked.iter().take(10).copied();
    let bottom = ranked.iter().skip(10.max(ranked.len().saturating_sub(10))).rev().copied();
    for (list, wanted) in [("topSessions", top.collect::<Vec<_>>()), ("bottomSessions", bottom.collect())] {
        let listed = found[list].as_array().unwrap();
        assert_eq!(listed.len(), wanted.len(), "{list}");
        for (session, n) in listed.iter().zip(wanted) {
            let (score, completion, focus, sentiment) = measured[&n];
            // Sessions with equal scores may be listed in either order.
            close(&session["score"], Some(score));
            let id = session["sessionId"].as_str().unwrap();
            let n = asked.history.sessions.iter().position(|made| made.id == id).unwrap();
            if asked.history.sessions[n].id == id && (measured[&n].0 - score).abs() < 1e-9 {
                let (_, completion, focus, sentiment) = measured[&n];
                close(&session["taskCompletionRate"], completion);
                close(&session["focusScore"], focus);
                close(&session["avgSentimentScore"], sentiment);
            } else {
                panic!("{list}: {id} has {score} {completion:?} {focus:?} {sentiment:?}");
            }
            let (turns, compactions, _, _, sentiments) = inputs(asked.history, n);
            assert_eq!(session["turnCount"], turns as i64);
            assert_eq!(session["compactionCount"], compactions as i64);
            let (first, second) = sentiments.split_at(sentiments.len() / 2);
            let trend = mean(first).zip(mean(second)).map(|(a, b)| match b - a {
                up if up > 0.5 => "improving",
                down if down < -0.5 => "declining",
                _ => "stable",
            });
            assert_eq!(session["sentimentTrend"].as_str(), trend);
            assert_eq!(session["summary"], "Prune the trees");
        }
    }
    let mut weeks: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for n in measured.keys() {
        // The week of a session is that of its own first line, to the millisecond.
        let date = local(asked.history.sessions[*n].first, asked.zone).date().to_string();
        if *asked.first_day <= *date {
            weeks.entry(monday(&date)).or_default().push(*n);
        }
    }
    let trend = found["performanceTrend"].as_array().unwrap();
    assert_eq!(trend.len(), weeks.len());
    for (point, (start, sessions)) in trend.iter().zip(weeks) {
        assert_eq!((&point["weekStart"], &point["sessionCount"]), (&json!(start), &json!(sessions.len())));
        let of = |value: &dyn Fn(usize) -> f64| mean(&sessions.iter().map(|n| value(*n)).collect::<Vec<_>>());
        close(&point["avgTurns"], of(&|n| inputs(asked.history, n).0));
        close(&point["avgCompactions"], of(&|n| inputs(asked.history, n).1));
        close(&point["avgEffectiveness"], of(&|n| measured[&n].0));
    }
}

both_databases!(
    async fn the_dashboard_is_computed_from_the_lines(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(3);
        history.push(&world, &files).await;
        for zone in [0, 330, -480, 840] {
            for days in [1, 7, 30, 90] {
                let found = world.ask(DASHBOARD, json!({ "days": days, "zone": zone })).await;
                check_dashboard(
                    &Asked::last_days(&history, zone, days, ALL_PROJECTS),
                    &found["dashboardAnalytics"],
                );
            }
        }
    }
);
