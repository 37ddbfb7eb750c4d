//! Dashboards: every figure beside an independent computation from the lines, for several people, projects, models,
//! ranges and time zones; the billed totals of real transcripts; nothing of another team's.

use std::collections::{BTreeMap, BTreeSet};

use han_testkit::{SeededEntropy, TestDatabase, both_databases, fixtures};
use han_types::Timestamp;
use serde_json::{Value, json};

use crate::support::{Place, World, codes};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

const ACTIVITY: &str = "query($days: Int, $project: String, $repo: String, $zone: Int) {
  activity(days: $days, projectId: $project, repoId: $repo, utcOffsetMinutes: $zone) {
    dailyActivity { date sessionCount messageCount inputTokens outputTokens cachedTokens filesChanged linesAdded linesRemoved }
    hourlyActivity { hour sessionCount messageCount }
    dailyModelTokens { date totalTokens models { model displayName tokens } }
    modelUsage { model displayName inputTokens outputTokens cacheReadTokens cacheCreationTokens totalTokens costUsd }
    tokenUsage { totalInputTokens totalOutputTokens totalCachedTokens totalTokens estimatedCostUsd unpricedTokens
      sessionCount messageCount }
    streakDays totalActiveDays totalSessions totalMessages firstSessionDate } }";

const DASHBOARD: &str = "query($days: Int, $project: String, $repo: String, $zone: Int) {
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

const METRICS: &str = "query($period: MetricsPeriod, $project: String, $repo: String, $zone: Int) {
  metrics(period: $period, projectId: $project, repoId: $repo, utcOffsetMinutes: $zone) {
    totalTasks completedTasks tasksByType { type count } tasksByOutcome { outcome count } successRate averageConfidence
    calibrationScore averageDuration significantFrustrations significantFrustrationRate } }";

const TEAM: &str = "query($start: String, $end: String, $by: Granularity, $zone: Int) {
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

/// What the four roots answer to the same question.
async fn ask_all(world: &World, question: &Value) -> [Value; 4] {
    let activity = world.ask(ACTIVITY, question.clone()).await["activity"].take();
    let board = world.ask(DASHBOARD, question.clone()).await["dashboardAnalytics"].take();
    let metrics = world.ask(METRICS, question.clone()).await["metrics"].take();
    let team = world.ask(TEAM, question.clone()).await["teamMetrics"].take();
    [activity, board, metrics, team]
}

#[track_caller]
fn close(found: &Value, wanted: Option<f64>) {
    match (found.as_f64(), wanted) {
        (None, None) if found.is_null() => {}
        (Some(found), Some(wanted)) if (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0) => {}
        _ => panic!("{found} is not {wanted:?}"),
    }
}

#[track_caller]
fn sum(list: &Value, field: &str) -> i64 {
    list.as_array().unwrap().iter().map(|item| item[field].as_i64().unwrap()).sum()
}

// ---- prices and dates, as the test knows them ---------------------------------------------------------------------

/// Input, output, cache read, cache written for 5 minutes and for 1 hour.
type Tokens = [i64; 5];

/// US dollars per million of each.
fn price(model: &str) -> Option<[f64; 5]> {
    match model {
        "claude-opus-4-6" => Some([5.0, 25.0, 0.5, 6.25, 10.0]),
        "claude-haiku-4-5-20251001" => Some([1.0, 5.0, 0.1, 1.25, 2.0]),
        "claude-sonnet-4-5-20250929" => Some([3.0, 15.0, 0.3, 3.75, 6.0]),
        _ => None,
    }
}

fn plus(a: Tokens, b: Tokens) -> Tokens {
    std::array::from_fn(|i| a[i] + b[i])
}

fn total(tokens: Tokens) -> i64 {
    tokens.iter().sum()
}

fn dollars(model: &str, tokens: Tokens) -> Option<f64> {
    price(model).map(|price| price.iter().zip(tokens).map(|(price, n)| price * n as f64 / 1e6).sum())
}

/// The cost of tokens by model; none where there are some and none has a price.
fn cost<'m>(tokens: impl IntoIterator<Item = (&'m str, Tokens)>) -> Option<f64> {
    let (mut usd, mut unpriced) = (0.0, 0);
    for (model, tokens) in tokens {
        match dollars(model, tokens) {
            Some(dollars) => usd += dollars,
            None => unpriced += total(tokens),
        }
    }
    (usd > 0.0 || unpriced == 0).then_some(usd)
}

fn local(at: i64, zone: i64) -> chrono::NaiveDateTime {
    chrono::DateTime::from_timestamp_millis(at + zone * 60_000).unwrap().naive_utc()
}

/// The local date of the UTC hour that an instant lies in.
fn date(at: i64, zone: i64) -> String {
    local(at.div_euclid(HOUR) * HOUR, zone).date().to_string()
}

fn monday(date: &str) -> String {
    use chrono::Datelike as _;
    let date: chrono::NaiveDate = date.parse().unwrap();
    (date - chrono::Days::new(date.weekday().num_days_from_monday().into())).to_string()
}

// ---- real transcripts ---------------------------------------------------------------------------------------------

/// The tokens of each session by model, read from the files line by line: of each message id the largest of each count.
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
    async fn the_billed_totals_stand_under_every_root(db: TestDatabase) {
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

        // Each session's own figures say the same.
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

// ---- a made-up team -----------------------------------------------------------------------------------------------

/// What a line came to, as the test wrote it.
#[derive(Clone, Debug)]
enum What {
    /// A listed message, and whether a person typed it.
    Message {
        turn: bool,
    },
    /// Tokens of an answer, at its earliest line.
    Tokens {
        model: &'static str,
        tokens: Tokens,
    },
    Tool(&'static str),
    Subagent(Option<&'static str>),
    /// Lines added and removed.
    Change(i64, i64),
    Compaction(&'static str),
    Hook {
        name: &'static str,
        passed: bool,
        ms: i64,
    },
    Mood {
        score: f64,
        level: &'static str,
    },
    TaskBegun(&'static str),
    TaskEnded {
        outcome: &'static str,
        confidence: f64,
        seconds: i64,
    },
}

#[derive(Clone, Debug)]
struct Event {
    at: i64,
    session: usize,
    what: What,
}

struct MadeSession {
    id: String,
    person: usize,
    project: usize,
    first: i64,
    last: i64,
}

/// A team's history, as it was written.
struct History {
    events: Vec<Event>,
    sessions: Vec<MadeSession>,
}

const PEOPLE: [&str; 3] = ["ada", "ben", "cleo"];
const PLACES: [Place<'static>; 3] = [
    Place { path: "/home/dev/orchard", remote: "git@example.com:team/orchard.git" },
    Place { path: "/home/dev/orchard/tools", remote: "git@example.com:team/orchard.git" },
    Place { path: "/home/dev/cellar", remote: "git@example.com:team/cellar.git" },
];
const MODELS: [&str; 3] = ["claude-opus-4-6", "claude-haiku-4-5-20251001", "orchard-1"];

/// 2026-11-23T12:00:00Z, a Monday.
const NOW: i64 = 1_795_435_200_000;

/// The lines of one session, written with their meaning beside them.
struct Writer<'h> {
    history: &'h mut History,
    session: usize,
    at: i64,
    lines: [Vec<String>; 2],
}

impl Writer<'_> {
    fn event(&mut self, what: What) {
        self.history.events.push(Event { at: self.at, session: self.session, what });
    }

    /// Writes a line into the main file (0) or Han's own (1).
    fn line(&mut self, file: usize, mut line: Value) {
        let n = self.lines[0].len() + self.lines[1].len();
        line["uuid"] = json!(format!("{:08}-0000-4000-8000-{n:012}", self.session));
        line["timestamp"] = json!(Timestamp(self.at).to_rfc3339());
        self.lines[file].push(line.to_string());
        let made = &mut self.history.sessions[self.session];
        made.last = made.last.max(self.at);
    }

    fn prompt(&mut self) {
        self.line(0, json!({"type": "user", "message": {"role": "user", "content": "Prune the trees"}}));
        self.event(What::Message { turn: true });
    }

    /// An answer in two lines of one id; the first tells only a part of what it wrote.
    fn answer(&mut self, model: &'static str, tokens: Tokens, tool: &'static str, input: Value, later: i64) {
        let n = self.history.events.len();
        let [input_tokens, output, read, short, long] = tokens;
        let line = |writer: &mut Self, output: i64, block: Value| {
            let usage = json!({"input_tokens": input_tokens, "output_tokens": output, "cache_read_input_tokens": read,
                "cache_creation_input_tokens": short + long,
                "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}});
            let message = json!({"role": "assistant", "id": format!("msg_{n}"), "model": model, "usage": usage,
                "content": [block]});
            writer.line(0, json!({"type": "assistant", "message": message}));
            writer.event(What::Message { turn: false });
        };
        line(self, output.min(1), json!({"type": "text", "text": "I will"}));
        self.event(What::Tokens { model, tokens });
        self.at += later;
        line(
            self,
            output,
            json!({"type": "tool_use", "id": format!("call_{n}"), "name": tool, "input": input}),
        );
        self.event(What::Tool(tool));
    }

    fn result(&mut self, call: usize, said: &str) {
        self.line(
            0,
            json!({"type": "user", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": format!("call_{call}"), "content": said}]}}),
        );
    }
}

impl History {
    fn make(seed: u64) -> (Self, Vec<[Vec<String>; 2]>) {
        let entropy = SeededEntropy::new(seed);
        let below = |n: u64| i64::try_from(entropy.below(n)).unwrap();
        let pick = |n: usize| usize::try_from(entropy.below(n as u64)).unwrap();
        let mut history = Self { events: Vec::new(), sessions: Vec::new() };
        let mut files = Vec::new();
        for session in 0..45 {
            // The last one is held at this moment; the others over the last fifty days, at any hour.
            let start = if session == 44 { NOW - HOUR } else { NOW - DAY - below(50 * 24 * 60) * 60_000 };
            let (person, project) = (pick(PEOPLE.len()), pick(PLACES.len()));
            let id = format!("session-{session:02}");
            history.sessions.push(MadeSession { id, person, project, first: start, last: start });
            let mut writer = Writer { history: &mut history, session, at: start, lines: Default::default() };
            for exchange in 0..=pick(8) {
                writer.prompt();
                writer.at += 1000 + below(40 * 60_000);
                let (model, long) = (MODELS[pick(MODELS.len())], below(2000));
                let tokens = [below(50), 2 + below(3000), below(90_000), below(500), long];
                let call = writer.history.events.len();
                match (session + exchange) % 6 {
                    0 => writer.answer(model, tokens, "Bash", json!({"command": "ls"}), 900),
                    1 => {
                        let input = json!({"file_path": "/home/dev/a.rs", "old_string": "a\nb", "new_string": "x\ny\nz"});
                        writer.answer(model, tokens, "Edit", input, HOUR / 2);
                        writer.event(What::Change(3, 2));
                    }
                    2 => {
                        let of = [Some("Explore"), Some("gardener"), None][pick(3)];
                        let input = of.map_or(
                            json!({"prompt": "look"}),
                            |of| json!({"prompt": "look", "subagent_type": of}),
                        );
                        writer.answer(model, tokens, "Agent", input, 10);
                        writer.event(What::Subagent(of));
                    }
                    3 => {
                        let kind = ["fix", "refactor", "research", "gardening"][pick(4)];
                        let input = json!({"description": "Prune", "type": kind});
                        writer.answer(model, tokens, "mcp__han__start_task", input, 10);
                        writer.event(What::TaskBegun(kind));
                        let begun = writer.at;
                        writer.result(call, &format!("{{\"task_id\": \"task-{call}\"}}"));
                        writer.at += 1000 * below(7200);
                        if pick(4) > 0 {
                            let outcome = ["success", "partial", "failure"][pick(3)];
                            let confidence = [0.25, 0.5, 0.75][pick(3)];
                            let input = json!({"task_id": format!("task-{call}"), "outcome": outcome,
                                "confidence": confidence});
                            writer.answer(model, [1, 2, 0, 0, 0], "mcp__han__complete_task", input, 10);
                            let seconds = writer.at - begun;
                            writer.event(What::TaskEnded { outcome, confidence, seconds });
                        }
                    }
                    4 => {
                        let trigger = ["auto", "manual"][pick(2)];
                        writer.line(
                            0,
                            json!({"type": "system", "subtype": "compact_boundary",
                            "content": "Conversation compacted", "compactMetadata": {"trigger": trigger}}),
                        );
                        writer.event(What::Message { turn: false });
                        writer.event(What::Compaction(trigger));
                    }
                    _ => {
                        let (name, passed, ms) = (["lint", "test"][pick(2)], pick(3) > 0, below(5000));
                        writer.line(
                            1,
                            json!({"type": "hook_result", "data": {"plugin": "rust", "hook": name,
                            "hook_type": "Stop", "duration_ms": ms, "success": passed}}),
                        );
                        writer.event(What::Hook { name, passed, ms });
                        let (level, score) =
                            (["low", "moderate", "high"][pick(3)], [-2.5, 0.5, 4.0][pick(3)]);
                        writer.line(
                            1,
                            json!({"type": "sentiment_analysis", "data": {"sentiment_score": score,
                            "sentiment_level": "neutral", "frustration_level": level, "signals": []}}),
                        );
                        writer.event(What::Message { turn: false });
                        writer.event(What::Mood { score, level });
                    }
                }
                writer.at += below(2 * HOUR as u64).min(NOW - writer.at).max(1);
            }
            files.push(writer.lines);
        }
        (history, files)
    }

    /// Stores the history as its people would have, and makes it the present.
    async fn push(&self, world: &World, files: &[[Vec<String>; 2]]) {
        let people = [world.ada.clone(), world.colleague(PEOPLE[1]).await, world.colleague(PEOPLE[2]).await];
        for (session, [main, han]) in self.sessions.iter().zip(files) {
            let (scope, place) = (&people[session.person].scope, &PLACES[session.project]);
            world.push_as(scope, &session.id, "main", place, main).await;
            if !han.is_empty() {
                world.push_as(scope, &session.id, "han", place, han).await;
            }
        }
        world.clock.set(Timestamp(NOW));
    }
}

/// A question, and the history it is asked about.
struct Asked<'h> {
    history: &'h History,
    zone: i64,
    first_day: String,
    last_day: String,
    /// Which projects count.
    projects: &'static [usize],
}

impl<'h> Asked<'h> {
    fn last_days(history: &'h History, zone: i64, days: i64, projects: &'static [usize]) -> Self {
        let day = |ago: i64| local(NOW - ago * DAY, zone).date().to_string();
        Self { history, zone, first_day: day(days - 1), last_day: day(0), projects }
    }

    fn holds(&self, date: &str) -> bool {
        *self.first_day <= *date && *date <= *self.last_day
    }

    fn of(&self, event: &Event) -> &'h MadeSession {
        &self.history.sessions[event.session]
    }

    /// The events in the range, each with its date.
    fn events(&self) -> impl Iterator<Item = (String, &'h Event)> + '_ {
        let dated = self.history.events.iter().map(|event| (date(event.at, self.zone), event));
        dated.filter(|(date, event)| self.holds(date) && self.projects.contains(&self.of(event).project))
    }

    /// The sessions that began in the range, each with its date.
    fn begun(&self) -> impl Iterator<Item = (String, &'h MadeSession)> + '_ {
        let dated = self.history.sessions.iter().map(|session| (date(session.first, self.zone), session));
        dated.filter(|(date, session)| self.holds(date) && self.projects.contains(&session.project))
    }

    /// The sessions with activity in the range, by number.
    fn active(&self) -> Vec<usize> {
        let begin = |date: &str| {
            let midnight: chrono::NaiveDateTime = format!("{date}T00:00:00").parse().unwrap();
            midnight.and_utc().timestamp_millis() - self.zone * 60_000
        };
        let (from, to) = (begin(&self.first_day), begin(&self.last_day) + DAY);
        let sessions = self.history.sessions.iter().enumerate();
        sessions
            .filter(|(_, s)| s.last >= from && s.first < to && self.projects.contains(&s.project))
            .map(|(n, _)| n)
            .collect()
    }

    fn models(&self) -> BTreeMap<&'static str, Tokens> {
        let mut models: BTreeMap<&str, Tokens> = BTreeMap::new();
        for (_, event) in self.events() {
            if let What::Tokens { model, tokens } = event.what {
                let sum = models.entry(model).or_default();
                *sum = plus(*sum, tokens);
            }
        }
        models
    }

    fn count(&self, of: impl Fn(&What) -> i64) -> i64 {
        self.events().map(|(_, event)| of(&event.what)).sum()
    }

    fn by<K: Ord>(&self, of: impl Fn(&What) -> Option<K>) -> BTreeMap<K, i64> {
        let mut counts = BTreeMap::new();
        for (_, event) in self.events() {
            if let Some(key) = of(&event.what) {
                *counts.entry(key).or_default() += 1;
            }
        }
        counts
    }

    fn cost(&self) -> Option<f64> {
        cost(self.models())
    }
}

fn message(what: &What) -> i64 {
    i64::from(matches!(what, What::Message { .. }))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A list of `{name, count}` as a map.
fn counts(list: &Value, name: &str, count: &str) -> BTreeMap<Option<String>, i64> {
    let pair = |item: &Value| (item[name].as_str().map(str::to_owned), item[count].as_i64().unwrap());
    let pairs: BTreeMap<_, _> = list.as_array().unwrap().iter().map(pair).collect();
    assert_eq!(pairs.len(), list.as_array().unwrap().len(), "{list}");
    pairs
}

fn check_activity(asked: &Asked<'_>, found: &Value) {
    let mut days: BTreeMap<String, [i64; 8]> = BTreeMap::new();
    let mut hours = BTreeMap::from_iter((0..24).map(|hour| (hour, [0; 2])));
    let mut day_models: BTreeMap<(String, &str), i64> = BTreeMap::new();
    use chrono::Timelike as _;
    let hour = |at: i64| i64::from(local(at.div_euclid(HOUR) * HOUR, asked.zone).hour());
    for (date, session) in asked.begun() {
        days.entry(date).or_default()[0] += 1;
        hours.get_mut(&hour(session.first)).unwrap()[0] += 1;
    }
    for (date, event) in asked.events() {
        let day = days.entry(date.clone()).or_default();
        match event.what {
            What::Message { .. } => {
                day[1] += 1;
                hours.get_mut(&hour(event.at)).unwrap()[1] += 1;
            }
            What::Tokens { model, tokens: [input, output, read, short, long] } => {
                day[2] += input;
                day[3] += output;
                day[4] += read + short + long;
                *day_models.entry((date, model)).or_default() += input + output + read + short + long;
            }
            What::Change(added, removed) => {
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
        let shown = if model == "claude-opus-4-6" { "Claude Opus 4.6" } else { "Claude Haiku 4.5" };
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

fn check_dashboard(asked: &Asked<'_>, found: &Value) {
    let analysis = &found["costAnalysis"];
    close(&analysis["estimatedCostUsd"], asked.cost());
    let begun = asked.begun().count();
    let ended = asked.count(|what| i64::from(matches!(what, What::TaskEnded { .. })));
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
    assert_eq!(analysis["isEstimated"], true);

    let mut days: BTreeMap<String, (BTreeMap<&str, Tokens>, i64)> = BTreeMap::new();
    for (date, event) in asked.events() {
        if let What::Tokens { model, tokens } = event.what {
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
        // A day may hold other activity and cost nothing.
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
        cost(of_session(n).filter_map(|event| match event.what {
            What::Tokens { model, tokens } => Some((model, tokens)),
            _ => None,
        }))
    };
    let dearest = analysis["topSessionsByCost"].as_array().unwrap();
    let with_tokens =
        active.iter().filter(|n| of_session(**n).any(|e| matches!(e.what, What::Tokens { .. })));
    let mut costs: Vec<f64> = with_tokens.map(|n| cost_of(*n).unwrap_or(0.0)).collect();
    costs.sort_by(|a, b| b.total_cmp(a));
    costs.truncate(10);
    assert_eq!(dearest.len(), costs.len());
    for (session, usd) in dearest.iter().zip(costs) {
        let n = asked.history.sessions.iter().position(|made| session["sessionId"] == made.id).unwrap();
        close(&session["costUsd"], cost_of(n));
        close(&json!(session["costUsd"].as_f64().unwrap_or(0.0)), Some(usd));
        assert_eq!(session["messageCount"], of_session(n).map(|event| message(&event.what)).sum::<i64>());
        assert_eq!(session["startedAt"], Timestamp(asked.history.sessions[n].first).to_rfc3339());
    }

    let compactions = asked.by(|what| match what {
        What::Compaction(trigger) => Some(*trigger),
        _ => None,
    });
    let of = |key: &str| compactions.get(key).copied().unwrap_or(0);
    let stats = &found["compactionStats"];
    assert_eq!(stats["totalCompactions"], of("auto") + of("manual"));
    assert_eq!(
        (&stats["autoCompactCount"], &stats["manualCompactCount"]),
        (&json!(of("auto")), &json!(of("manual")))
    );
    let compacted = |n: usize| of_session(n).filter(|e| matches!(e.what, What::Compaction(_))).count();
    assert_eq!(stats["sessionsWithCompactions"], active.iter().filter(|n| compacted(**n) > 0).count());
    assert_eq!(stats["sessionsWithoutCompactions"], active.iter().filter(|n| compacted(**n) == 0).count());
    let per_session: Vec<f64> = active.iter().map(|n| compacted(*n) as f64).collect();
    close(&stats["avgCompactionsPerSession"], mean(&per_session));

    let tools = asked.by(|what| match what {
        What::Tool(name) => Some(Some((*name).to_owned())),
        _ => None,
    });
    assert_eq!(counts(&found["toolUsage"], "toolName", "count"), tools);
    let subagents = asked.by(|what| match what {
        What::Subagent(of) => Some(of.map(str::to_owned)),
        _ => None,
    });
    assert_eq!(counts(&found["subagentUsage"], "subagentType", "count"), subagents);

    let mut hooks: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for (_, event) in asked.events() {
        if let What::Hook { name, passed, ms } = event.what {
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
                of_session(*n).filter(|e| matches!(e.what, What::Message { turn: true })).count() as i64;
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

/// What a session is measured by: turns, compactions, tasks, of these done, scores of moods.
fn inputs(history: &History, n: usize) -> (f64, f64, f64, f64, Vec<f64>) {
    let mut inputs = (0.0, 0.0, 0.0, 0.0, Vec::new());
    for event in history.events.iter().filter(|event| event.session == n) {
        match event.what {
            What::Message { turn: true } => inputs.0 += 1.0,
            What::Compaction(_) => inputs.1 += 1.0,
            What::TaskBegun(_) => inputs.2 += 1.0,
            What::TaskEnded { outcome: "success", .. } => inputs.3 += 1.0,
            What::Mood { score, .. } => inputs.4.push(score),
            _ => {}
        }
    }
    inputs
}

fn check_sessions(asked: &Asked<'_>, found: &Value) {
    let measured = asked.active().into_iter().map(|n| {
        let (turns, compactions, tasks, done, moods) = inputs(asked.history, n);
        let completion = (tasks > 0.0).then(|| done / tasks);
        let focus = (turns + compactions > 0.0).then(|| turns / (turns + 5.0 * compactions));
        let mood = mean(&moods);
        let parts = [(0.5, completion), (0.3, focus), (0.2, mood.map(|mood| (mood + 5.0) / 10.0))];
        let known: Vec<(f64, f64)> =
            parts.iter().filter_map(|(weight, part)| Some((*weight, (*part)?))).collect();
        let weights: f64 = known.iter().map(|(weight, _)| weight).sum();
        let score = 100.0 * known.iter().map(|(weight, part)| weight * part).sum::<f64>() / weights;
        (n, (score, completion, focus, mood))
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
            let (score, completion, focus, mood) = measured[&n];
            // Scores that are equal in theory may stand in either order.
            close(&session["score"], Some(score));
            let id = session["sessionId"].as_str().unwrap();
            let n = asked.history.sessions.iter().position(|made| made.id == id).unwrap();
            if asked.history.sessions[n].id == id && (measured[&n].0 - score).abs() < 1e-9 {
                let (_, completion, focus, mood) = measured[&n];
                close(&session["taskCompletionRate"], completion);
                close(&session["focusScore"], focus);
                close(&session["avgSentimentScore"], mood);
            } else {
                panic!("{list}: {id} has {score} {completion:?} {focus:?} {mood:?}");
            }
            let (turns, compactions, _, _, moods) = inputs(asked.history, n);
            assert_eq!(session["turnCount"], turns as i64);
            assert_eq!(session["compactionCount"], compactions as i64);
            let (first, second) = moods.split_at(moods.len() / 2);
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

/// Tasks begun and ended, by outcome; the means of confidence and of its distance from the outcome; seconds.
struct Tasks {
    begun: i64,
    ended: i64,
    outcomes: BTreeMap<&'static str, i64>,
    success_rate: Option<f64>,
    confidence: Option<f64>,
    calibration: Option<f64>,
    seconds: Option<f64>,
}

fn tasks_of<'e>(events: impl Iterator<Item = &'e Event>) -> Tasks {
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
        match event.what {
            What::TaskBegun(_) => tasks.begun += 1,
            What::TaskEnded { outcome, confidence, seconds } => {
                tasks.ended += 1;
                *tasks.outcomes.entry(outcome).or_default() += 1;
                let came_out = match outcome {
                    "success" => 1.0,
                    "partial" => 0.5,
                    _ => 0.0,
                };
                confidences.push(confidence);
                errors.push(f64::abs(confidence - came_out));
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

fn check_metrics(asked: &Asked<'_>, found: &Value) {
    let tasks = tasks_of(asked.events().map(|(_, event)| event));
    assert_eq!((&found["totalTasks"], &found["completedTasks"]), (&json!(tasks.begun), &json!(tasks.ended)));
    close(&found["successRate"], tasks.success_rate);
    close(&found["averageConfidence"], tasks.confidence);
    close(&found["calibrationScore"], tasks.calibration);
    close(&found["averageDuration"], tasks.seconds);
    let types = asked.by(|what| match what {
        What::TaskBegun("gardening") => Some(None),
        What::TaskBegun(kind) => Some(Some(kind.to_uppercase())),
        _ => None,
    });
    assert_eq!(counts(&found["tasksByType"], "type", "count"), types);
    let outcomes = tasks.outcomes.iter().map(|(outcome, n)| (Some(outcome.to_uppercase()), *n)).collect();
    assert_eq!(counts(&found["tasksByOutcome"], "outcome", "count"), outcomes);
    let moods = asked.count(|what| i64::from(matches!(what, What::Mood { .. })));
    let bad = asked.count(|what| i64::from(matches!(what, What::Mood { level: "moderate" | "high", .. })));
    assert_eq!(found["significantFrustrations"], bad);
    close(&found["significantFrustrationRate"], (moods > 0).then(|| bad as f64 / moods as f64));
}

fn check_team(asked: &Asked<'_>, by: &str, found: &Value) {
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
        sums[1] += message(&event.what);
        match event.what {
            What::TaskBegun(_) => sums[2] += 1,
            What::Tokens { tokens, .. } => sums[3] += total(tokens),
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
    let projects: Of = |session| PLACES[session.project].path.rsplit('/').next().unwrap();
    for (list, name, of) in
        [("topContributors", "displayName", people), ("sessionsByProject", "projectName", projects)]
    {
        let listed = found[list].as_array().unwrap();
        let names: BTreeSet<&str> = asked
            .begun()
            .map(|(_, session)| of(session))
            .chain(asked.events().filter(|(_, e)| message(&e.what) > 0).map(|(_, e)| of(asked.of(e))))
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

const ALL: &[usize] = &[0, 1, 2];

both_databases!(
    async fn every_figure_is_what_the_lines_come_to(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(3);
        history.push(&world, &files).await;
        for zone in [0, 330, -480, 840] {
            for days in [1, 7, 30, 90] {
                let asked = Asked::last_days(&history, zone, days, ALL);
                let question = json!({ "days": days, "zone": zone });
                let activity = world.ask(ACTIVITY, question.clone()).await["activity"].take();
                check_activity(&asked, &activity);
                check_dashboard(&asked, &world.ask(DASHBOARD, question).await["dashboardAnalytics"]);
            }
            for (period, days) in
                [(json!("DAY"), 1), (json!("WEEK"), 7), (json!("MONTH"), 30), (Value::Null, 30)]
            {
                let asked = Asked::last_days(&history, zone, days, ALL);
                let found = world.ask(METRICS, json!({ "period": period, "zone": zone })).await;
                check_metrics(&asked, &found["metrics"]);
            }
            for by in ["day", "week", "month"] {
                let asked = Asked {
                    first_day: "2026-10-12".to_owned(),
                    last_day: "2026-11-17".to_owned(),
                    ..Asked::last_days(&history, zone, 1, ALL)
                };
                let question = json!({ "start": "2026-10-12", "end": "2026-11-17", "by": by, "zone": zone });
                check_team(&asked, by, &world.ask(TEAM, question).await["teamMetrics"]);
                let asked = Asked::last_days(&history, zone, 30, ALL);
                let found = world.ask(TEAM, json!({ "by": by, "zone": zone })).await;
                check_team(&asked, by, &found["teamMetrics"]);
            }
        }
    }
);

both_databases!(
    async fn figures_are_asked_by_project_and_repository_and_are_no_strangers(db: TestDatabase) {
        let world = World::new(&db).await;
        let (history, files) = History::make(4);
        history.push(&world, &files).await;
        let query = "{ sessions(first: 500) { edges { node { sessionId project { id repoId } } } } }";
        let sessions = world.ask(query, json!({})).await;
        let of = |project: usize| {
            let made = history.sessions.iter().find(|session| session.project == project).unwrap();
            let edges = sessions["sessions"]["edges"].as_array().unwrap();
            let edge = edges.iter().find(|edge| edge["node"]["sessionId"] == made.id).unwrap();
            edge["node"]["project"].clone()
        };
        let mut questions: Vec<(Value, &[usize])> = vec![
            (json!({ "repo": of(0)["repoId"] }), &[0, 1]),
            (json!({ "repo": of(2)["repoId"] }), &[2]),
            (json!({ "project": "prj_none" }), &[]),
            (json!({ "project": "\u{0}" }), &[]),
        ];
        for (project, within) in [(0, &[0]), (1, &[1]), (2, &[2])] {
            let id = of(project)["id"].as_str().unwrap().to_owned();
            questions.push((json!({ "project": id.trim_start_matches("Project:") }), within));
            questions.push((json!({ "project": id, "repo": of(2)["repoId"] }), within));
        }
        for (mut question, projects) in questions {
            question["days"] = json!(30);
            question["zone"] = json!(60);
            let asked = Asked::last_days(&history, 60, 30, projects);
            check_activity(&asked, &world.ask(ACTIVITY, question.clone()).await["activity"]);
            check_dashboard(&asked, &world.ask(DASHBOARD, question.clone()).await["dashboardAnalytics"]);
            check_metrics(&asked, &world.ask(METRICS, question).await["metrics"]);
        }

        // A colleague sees what Ada sees; a stranger nothing, not even by its id; nobody's team is null.
        let eve = world.stranger().await;
        let nobody = han_api::RequestContext::new(eve.actor.clone());
        for question in [
            json!({ "days": 90 }),
            json!({ "days": 90, "project": of(0)["id"] }),
            json!({ "repo": of(0)["repoId"] }),
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
                let response = world.response(nobody.clone(), query, question.clone()).await;
                assert_eq!(response.data.into_json().unwrap(), json!({ root: null }));
            }
        }
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_give_the_same_answers() {
    /// Leaves out ids that differ between teams, and puts lists that may tie in the order of names.
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
    async fn ranges_and_time_zones_out_of_reach_are_refused(db: TestDatabase) {
        let world = World::new(&db).await;
        for query in [
            "{ activity(days: 0) { streakDays } }",
            "{ activity(days: 3661) { streakDays } }",
            "{ dashboardAnalytics(days: -1) { toolUsage { count } } }",
            "{ metrics(utcOffsetMinutes: 841) { totalTasks } }",
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
fn every_figure_says_where_its_formula_stands() {
    let sdl = han_api::sdl();
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
    assert_eq!(described, 31);
}
