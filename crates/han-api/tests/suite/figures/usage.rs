//! `usage`: tokens and cost of any range, in any time zone, by period, model, project and person.

use std::collections::BTreeMap;

use han_testkit::both_databases;
use serde_json::{Value, json};

use super::expected::{Tokens, close, cost, monday, plus, price, total};
use super::history::{ALL_PROJECTS, Asked, CHECKOUTS, Event, History, Kind, PEOPLE};
use super::project_of;
use crate::support::World;

const USAGE: &str = "query($start: String, $end: String, $by: [UsageDimension!], $zone: String, $minutes: Int,
    $project: String, $repo: String) {
  usage(startDate: $start, endDate: $end, groupBy: $by, timeZone: $zone, utcOffsetMinutes: $minutes,
      projectId: $project, repoId: $repo) {
    total { ...totals }
    groups { period model modelName projectId projectName personId personName totals { ...totals } } } }
  fragment totals on UsageTotals { answerCount inputTokens outputTokens cacheReadTokens cacheCreationTokens totalTokens
    costUsd cacheSavingsUsd unpricedTokens unpricedAnswers }";

/// The number of answers, and tokens by model.
type Sums = (i64, BTreeMap<&'static str, Tokens>);

fn check_totals((answers, models): &Sums, found: &Value) {
    let n = models.values().fold([0; 5], |sum, tokens| plus(sum, *tokens));
    let fields = [
        "inputTokens",
        "outputTokens",
        "cacheReadTokens",
        "cacheCreationTokens",
        "totalTokens",
        "answerCount",
    ];
    let found_numbers = fields.map(|field| found[field].as_i64().unwrap());
    assert_eq!(found_numbers, [n[0], n[1], n[2], n[3] + n[4], total(n), *answers]);
    let unpriced = models.iter().filter(|(model, _)| price(model).is_none());
    assert_eq!(found["unpricedTokens"], unpriced.map(|(_, tokens)| total(*tokens)).sum::<i64>());
    assert_eq!(found["unpricedAnswers"].as_i64().unwrap() > 0, found["unpricedTokens"] != 0);
    close(&found["costUsd"], cost(models.iter().map(|(model, tokens)| (*model, *tokens))));
}

/// What a group of these dimensions is called.
fn name(by: &[&str], asked: &Asked<'_>, date: &str, event: &Event, model: &str) -> Vec<String> {
    let session = asked.of(event);
    let path = CHECKOUTS[session.project].path;
    let part = |dimension: &&str| match *dimension {
        "DAY" => date.to_owned(),
        "WEEK" => monday(date),
        "MONTH" => date[..7].to_owned(),
        "MODEL" => model.to_owned(),
        "PROJECT" => path.rsplit('/').next().unwrap().to_owned(),
        _ => PEOPLE[session.person].to_owned(),
    };
    by.iter().map(part).collect()
}

fn check_usage(asked: &Asked<'_>, by: &[&str], found: &Value) {
    let mut whole = Sums::default();
    let mut groups: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    for (date, event) in asked.events() {
        let Kind::Tokens { model, tokens } = event.kind else { continue };
        for sums in [&mut whole, groups.entry(name(by, asked, &date, event, model)).or_default()] {
            sums.0 += 1;
            let sum = sums.1.entry(model).or_default();
            *sum = plus(*sum, tokens);
        }
    }
    check_totals(&whole, &found["total"]);
    let listed = found["groups"].as_array().unwrap();
    let shown = |dimension: &&str| match *dimension {
        "DAY" | "WEEK" | "MONTH" => "period",
        "MODEL" => "model",
        "PROJECT" => "projectName",
        _ => "personName",
    };
    let fields: Vec<&str> = by.iter().map(shown).collect();
    for group in listed {
        let key: Vec<String> =
            fields.iter().map(|field| group[*field].as_str().unwrap().to_owned()).collect();
        check_totals(&groups.remove(&key).unwrap_or_else(|| panic!("{key:?}")), &group["totals"]);
        for field in ["period", "model", "projectName", "personName"] {
            assert!(fields.contains(&field) || group[field].is_null(), "{field}");
        }
    }
    if by.is_empty() {
        assert_eq!(listed.len(), 0);
        return;
    }
    assert!(groups.is_empty(), "{groups:?}");
    assert!(listed.is_sorted_by_key(|group| group["period"].as_str().unwrap_or_default().to_owned()));
}

both_databases!(
    async fn usage_is_grouped_by_any_dimensions_in_any_time_zone(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(3);
        history.push(&world, &files).await;
        // None of these changes its clocks in the range.
        for (zone, minutes) in
            [("UTC", 0), ("Asia/Kathmandu", 345), ("Asia/Kolkata", 330), ("Pacific/Chatham", 825)]
        {
            for by in [
                &[][..],
                &["DAY"],
                &["WEEK", "MODEL"],
                &["MODEL"],
                &["PROJECT"],
                &["PERSON"],
                &["MONTH", "PROJECT", "PERSON", "MODEL"],
            ] {
                let asked = Asked {
                    first_day: "2026-10-12".to_owned(),
                    last_day: "2026-11-17".to_owned(),
                    ..Asked::last_days(&history, minutes, 1, ALL_PROJECTS)
                };
                let mut question =
                    json!({ "start": "2026-10-12", "end": "2026-11-17", "by": by, "zone": zone });
                check_usage(&asked, by, &world.ask(USAGE, question.clone()).await["usage"]);
                question["zone"] = json!("");
                question["minutes"] = json!(minutes);
                check_usage(&asked, by, &world.ask(USAGE, question).await["usage"]);
            }
        }
        let of_project = project_of(&world, &history, 0).await;
        let question = json!({ "project": of_project["id"], "by": ["PERSON"] });
        let asked = Asked::last_days(&history, 0, 30, &[0]);
        check_usage(&asked, &["PERSON"], &world.ask(USAGE, question.clone()).await["usage"]);
        // Another team sees none of it.
        let eve = world.stranger().await;
        let response = world.response(eve.context(), USAGE, question).await;
        let found = response.data.into_json().unwrap();
        assert_eq!(
            (&found["usage"]["groups"], &found["usage"]["total"]["totalTokens"]),
            (&json!([]), &json!(0))
        );
    }
);
