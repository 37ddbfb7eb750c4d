//! `metrics`: tasks and frustration.

use std::collections::BTreeMap;

use han_testkit::both_databases;
use serde_json::{Value, json};

use super::expected::{close, counts, mean};
use super::history::{ALL_PROJECTS, Asked, Event, History, Kind};
use crate::support::World;

pub(super) const METRICS: &str = "query($period: MetricsPeriod, $project: String, $repo: String, $zone: Int) {
  metrics(period: $period, projectId: $project, repoId: $repo, utcOffsetMinutes: $zone) {
    totalTasks completedTasks tasksByType { type count } tasksByOutcome { outcome count } successRate averageConfidence
    calibrationScore averageDuration significantFrustrations significantFrustrationRate } }";

/// Tasks that were started and that ended, by outcome; mean confidence, calibration and duration in seconds.
pub(super) struct Tasks {
    pub(super) begun: i64,
    pub(super) ended: i64,
    pub(super) outcomes: BTreeMap<&'static str, i64>,
    pub(super) success_rate: Option<f64>,
    pub(super) confidence: Option<f64>,
    pub(super) calibration: Option<f64>,
    pub(super) seconds: Option<f64>,
}

pub(super) fn tasks_of<'e>(events: impl Iterator<Item = &'e Event>) -> Tasks {
    let mut tasks = Tasks {
        begun: 0,
        ended: 0,
        outcomes: BTreeMap::new(),
        success_rate: None,
        confidence: None,
        calibration: None,
        seconds: None,
    };
    let (mut confidences, mut errors, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        match event.kind {
            Kind::TaskBegun(_) => tasks.begun += 1,
            Kind::TaskEnded { outcome, confidence, seconds } => {
                tasks.ended += 1;
                *tasks.outcomes.entry(outcome).or_default() += 1;
                let reached = match outcome {
                    "success" => 1.0,
                    "partial" => 0.5,
                    _ => 0.0,
                };
                confidences.push(confidence);
                errors.push(f64::abs(confidence - reached));
                times.push(seconds as f64 / 1000.0);
            }
            _ => {}
        }
    }
    let succeeded = tasks.outcomes.get("success").copied().unwrap_or(0);
    tasks.success_rate = (tasks.ended > 0).then(|| succeeded as f64 / tasks.ended as f64);
    tasks.confidence = mean(&confidences);
    tasks.calibration = mean(&errors).map(|error| 1.0 - error);
    tasks.seconds = mean(&times);
    tasks
}

pub(super) fn check_metrics(asked: &Asked<'_>, found: &Value) {
    let tasks = tasks_of(asked.events().map(|(_, event)| event));
    assert_eq!((&found["totalTasks"], &found["completedTasks"]), (&json!(tasks.begun), &json!(tasks.ended)));
    close(&found["successRate"], tasks.success_rate);
    close(&found["averageConfidence"], tasks.confidence);
    close(&found["calibrationScore"], tasks.calibration);
    close(&found["averageDuration"], tasks.seconds);
    let types = asked.by(|kind| match kind {
        Kind::TaskBegun("gardening") => Some(None),
        Kind::TaskBegun(kind) => Some(Some(kind.to_uppercase())),
        _ => None,
    });
    assert_eq!(counts(&found["tasksByType"], "type", "count"), types);
    let outcomes = tasks.outcomes.iter().map(|(outcome, n)| (Some(outcome.to_uppercase()), *n)).collect();
    assert_eq!(counts(&found["tasksByOutcome"], "outcome", "count"), outcomes);
    let sentiments = asked.count(|kind| i64::from(matches!(kind, Kind::Sentiment { .. })));
    let bad =
        asked.count(|kind| i64::from(matches!(kind, Kind::Sentiment { level: "moderate" | "high", .. })));
    assert_eq!(found["significantFrustrations"], bad);
    close(&found["significantFrustrationRate"], (sentiments > 0).then(|| bad as f64 / sentiments as f64));
}

both_databases!(
    async fn task_metrics_are_computed_from_the_lines(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(3);
        history.push(&world, &files).await;
        for zone in [0, 330, -480, 840] {
            for (period, days) in
                [(json!("DAY"), 1), (json!("WEEK"), 7), (json!("MONTH"), 30), (Value::Null, 30)]
            {
                let found = world.ask(METRICS, json!({ "period": period, "zone": zone })).await;
                check_metrics(&Asked::last_days(&history, zone, days, ALL_PROJECTS), &found["metrics"]);
            }
        }
    }
);
