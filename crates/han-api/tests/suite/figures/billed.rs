//! All four root fields on real transcripts: the billed totals of their tokens.

use std::collections::{BTreeMap, BTreeSet};

use han_testkit::{both_databases, fixtures};
use serde_json::{Value, json};

use super::ask_all;
use super::expected::{Tokens, close, cost, dollars, plus, sum, total};
use crate::support::World;

/// The tokens of each session by model, from its files: for each message id, the largest value of each count.
fn billed(project: &std::path::Path) -> BTreeMap<String, BTreeMap<String, Tokens>> {
    fn files(directory: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let mut paths = Vec::new();
    files(project, &mut paths);
    let mut largest: BTreeMap<(String, String), (String, Tokens)> = BTreeMap::new();
    for path in paths {
        let session = path.strip_prefix(project).unwrap().components().next().unwrap().as_os_str();
        let session = session.to_str().unwrap().trim_end_matches(".jsonl").to_owned();
        for line in crate::support::lines(&path) {
            let line: Value = serde_json::from_str(&line).unwrap();
            let (message, usage) = (&line["message"], &line["message"]["usage"]);
            if line["type"] != "assistant" || !usage.is_object() {
                continue;
            }
            let n = |field: &str| usage[field].as_i64().unwrap_or(0);
            let hour = usage["cache_creation"]["ephemeral_1h_input_tokens"].as_i64().unwrap_or(0);
            let tokens = [
                n("input_tokens"),
                n("output_tokens"),
                n("cache_read_input_tokens"),
                n("cache_creation_input_tokens") - hour,
                hour,
            ];
            let id = message["id"].as_str().unwrap().to_owned();
            let model = message["model"].as_str().unwrap().to_owned();
            let seen = largest.entry((session.clone(), id)).or_insert((model, [0; 5]));
            seen.1 = std::array::from_fn(|i| seen.1[i].max(tokens[i]));
        }
    }
    let mut sessions: BTreeMap<String, BTreeMap<String, Tokens>> = BTreeMap::new();
    for ((session, _), (model, tokens)) in largest {
        let sum = sessions.entry(session).or_default().entry(model).or_default();
        *sum = plus(*sum, tokens);
    }
    sessions
}

both_databases!(
    async fn every_root_has_the_billed_totals(db: TestDatabase) {
        let Some(root) = fixtures::real_transcripts() else { return };
        let world = World::new(&db).await;
        let project = std::fs::read_dir(root.join("projects")).unwrap().next().unwrap().unwrap().path();
        let ids = world.push_project(&project).await;
        let by_session = billed(&project);
        assert_eq!(by_session.keys().collect::<BTreeSet<_>>(), ids.iter().collect());
        let mut models: BTreeMap<&str, Tokens> = BTreeMap::new();
        for (model, tokens) in by_session.values().flatten() {
            let sum = models.entry(model).or_default();
            *sum = plus(*sum, *tokens);
        }
        let whole = models.values().fold([0; 5], |sum, tokens| plus(sum, *tokens));
        assert_eq!([whole[0], whole[1], whole[2], whole[3] + whole[4]], [2_776, 79_267, 31_179_675, 670_956]);
        let usd = cost(models.iter().map(|(model, tokens)| (*model, *tokens)));
        assert!(usd.is_some_and(|usd| usd > 0.0));
        let all = total(whole);

        for zone in [0, 330, -480] {
            for by in ["day", "week", "month"] {
                let question = json!({ "days": 3660, "zone": zone, "by": by, "start": "2020-01-01" });
                let [activity, board, _, team] = ask_all(&world, &question).await;
                let usage = &activity["tokenUsage"];
                assert_eq!(
                    [&usage["totalInputTokens"], &usage["totalOutputTokens"], &usage["totalCachedTokens"]],
                    [2_776, 79_267, 31_179_675 + 670_956].map(Value::from).each_ref()
                );
                assert_eq!((&usage["totalTokens"], &usage["sessionCount"]), (&json!(all), &json!(2)));
                close(&usage["estimatedCostUsd"], usd);
                let days = &activity["dailyActivity"];
                assert_eq!(
                    [sum(days, "inputTokens"), sum(days, "outputTokens"), sum(days, "cachedTokens")],
                    [2_776, 79_267, 31_850_631]
                );
                assert_eq!(sum(&activity["dailyModelTokens"], "totalTokens"), all);
                let listed = &activity["modelUsage"];
                assert_eq!(sum(listed, "cacheReadTokens"), 31_179_675);
                assert_eq!(sum(listed, "cacheCreationTokens"), 670_956);
                for model in listed.as_array().unwrap() {
                    let id = model["model"].as_str().unwrap();
                    assert_eq!(model["totalTokens"], total(models[id]), "{id}");
                    close(&model["costUsd"], dollars(id, models[id]));
                }

                let analysis = &board["costAnalysis"];
                close(&analysis["estimatedCostUsd"], usd);
                for trend in ["dailyCostTrend", "weeklyCostTrend", "topSessionsByCost"] {
                    let costs = analysis[trend].as_array().unwrap().iter();
                    let sum: f64 = costs.map(|part| part["costUsd"].as_f64().unwrap()).sum();
                    close(&json!(sum), usd);
                }
                for session in analysis["topSessionsByCost"].as_array().unwrap() {
                    let right = &by_session[session["sessionId"].as_str().unwrap()];
                    let tokens = right.values().fold([0; 5], |sum, tokens| plus(sum, *tokens));
                    assert_eq!(
                        [&session["inputTokens"], &session["outputTokens"], &session["cacheReadTokens"]],
                        [tokens[0], tokens[1], tokens[2]].map(Value::from).each_ref()
                    );
                    close(&session["costUsd"], cost(right.iter().map(|(model, n)| (model.as_str(), *n))));
                }

                assert_eq!(team["totalTokens"], all);
                close(&team["estimatedCostUsd"], usd);
                close(&team["tokenUsageAggregation"]["estimatedCostUsd"], usd);
                assert_eq!(team["tokenUsageAggregation"]["totalTokens"], all);
                assert_eq!(sum(&team["sessionsByPeriod"], "tokenUsage"), all);
                assert_eq!(sum(&team["sessionsByPeriod"], "sessionCount"), 2);
                assert_eq!(sum(&team["activityTimeline"], "messageCount"), activity["totalMessages"]);
                assert_eq!(sum(&team["topContributors"], "sessionCount"), 2);
                assert_eq!(sum(&team["sessionsByProject"], "sessionCount"), 2);
            }
        }

        // The figures of each session agree.
        let query = "query($id: String!) { session(id: $id) { inputTokens outputTokens cacheReadTokens
            cacheCreationTokens estimatedCostUsd } }";
        for (id, models) in &by_session {
            let session = world.ask(query, json!({ "id": id })).await["session"].take();
            let n = models.values().fold([0; 5], |sum, tokens| plus(sum, *tokens));
            let found = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens"];
            assert_eq!(found.map(|field| session[field].as_i64().unwrap()), [n[0], n[1], n[2], n[3] + n[4]]);
            close(&session["estimatedCostUsd"], cost(models.iter().map(|(model, n)| (model.as_str(), *n))));
        }
    }
);
