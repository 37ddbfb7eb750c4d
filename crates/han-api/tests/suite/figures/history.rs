//! A made-up team: its transcripts, the events that they record, and questions about a part of them.

use std::collections::BTreeMap;

use han_testkit::SeededEntropy;
use han_types::Timestamp;
use serde_json::{Value, json};

use super::expected::{DAY, HOUR, Tokens, cost, date, local, plus};
use crate::support::{Checkout, World};

/// An event that a line records.
#[derive(Clone, Debug)]
pub(super) enum Kind {
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
    Sentiment {
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
pub(super) struct Event {
    pub(super) at: i64,
    pub(super) session: usize,
    pub(super) kind: Kind,
}

pub(super) struct MadeSession {
    pub(super) id: String,
    pub(super) person: usize,
    pub(super) project: usize,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The history of a team.
pub(super) struct History {
    pub(super) events: Vec<Event>,
    pub(super) sessions: Vec<MadeSession>,
}

pub(super) const PEOPLE: [&str; 3] = ["ada", "ben", "cleo"];
pub(super) const CHECKOUTS: [Checkout<'static>; 3] = [
    Checkout { path: "/home/dev/orchard", remote: "git@example.com:team/orchard.git" },
    Checkout { path: "/home/dev/orchard/tools", remote: "git@example.com:team/orchard.git" },
    Checkout { path: "/home/dev/cellar", remote: "git@example.com:team/cellar.git" },
];
pub(super) const MODELS: [&str; 3] = ["claude-opus-4-6", "claude-haiku-4-5-20251001", "orchard-1"];

/// 2026-11-23T12:00:00Z, a Monday.
pub(super) const NOW: i64 = 1_795_435_200_000;

/// Writes the lines of one session, and records their events.
pub(super) struct Writer<'h> {
    history: &'h mut History,
    session: usize,
    at: i64,
    lines: [Vec<String>; 2],
}

impl Writer<'_> {
    fn event(&mut self, kind: Kind) {
        self.history.events.push(Event { at: self.at, session: self.session, kind });
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
        self.event(Kind::Message { turn: true });
    }

    /// An answer in two lines with one id; the first one has a part of its output tokens.
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
            writer.event(Kind::Message { turn: false });
        };
        line(self, output.min(1), json!({"type": "text", "text": "I will"}));
        self.event(Kind::Tokens { model, tokens });
        self.at += later;
        line(
            self,
            output,
            json!({"type": "tool_use", "id": format!("call_{n}"), "name": tool, "input": input}),
        );
        self.event(Kind::Tool(tool));
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
    pub(super) fn make(seed: u64) -> (Self, Vec<[Vec<String>; 2]>) {
        let entropy = SeededEntropy::new(seed);
        let below = |n: u64| i64::try_from(entropy.below(n)).unwrap();
        let pick = |n: usize| usize::try_from(entropy.below(n as u64)).unwrap();
        let mut history = Self { events: Vec::new(), sessions: Vec::new() };
        let mut files = Vec::new();
        for session in 0..45 {
            // The last session is in progress; the others are spread over the last fifty days, at any hour.
            let start = if session == 44 { NOW - HOUR } else { NOW - DAY - below(50 * 24 * 60) * 60_000 };
            let (person, project) = (pick(PEOPLE.len()), pick(CHECKOUTS.len()));
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
                        writer.event(Kind::Change(3, 2));
                    }
                    2 => {
                        let of = [Some("Explore"), Some("gardener"), None][pick(3)];
                        let input = of.map_or(
                            json!({"prompt": "look"}),
                            |of| json!({"prompt": "look", "subagent_type": of}),
                        );
                        writer.answer(model, tokens, "Agent", input, 10);
                        writer.event(Kind::Subagent(of));
                    }
                    3 => {
                        let kind = ["fix", "refactor", "research", "gardening"][pick(4)];
                        let input = json!({"description": "Prune", "type": kind});
                        writer.answer(model, tokens, "mcp__han__start_task", input, 10);
                        writer.event(Kind::TaskBegun(kind));
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
                            writer.event(Kind::TaskEnded { outcome, confidence, seconds });
                        }
                    }
                    4 => {
                        let trigger = ["auto", "manual"][pick(2)];
                        writer.line(
                            0,
                            json!({"type": "system", "subtype": "compact_boundary",
                            "content": "Conversation compacted", "compactMetadata": {"trigger": trigger}}),
                        );
                        writer.event(Kind::Message { turn: false });
                        writer.event(Kind::Compaction(trigger));
                    }
                    _ => {
                        let (name, passed, ms) = (["lint", "test"][pick(2)], pick(3) > 0, below(5000));
                        writer.line(
                            1,
                            json!({"type": "hook_result", "data": {"plugin": "rust", "hook": name,
                            "hook_type": "Stop", "duration_ms": ms, "success": passed}}),
                        );
                        writer.event(Kind::Hook { name, passed, ms });
                        let (level, score) =
                            (["low", "moderate", "high"][pick(3)], [-2.5, 0.5, 4.0][pick(3)]);
                        writer.line(
                            1,
                            json!({"type": "sentiment_analysis", "data": {"sentiment_score": score,
                            "sentiment_level": "neutral", "frustration_level": level, "signals": []}}),
                        );
                        writer.event(Kind::Message { turn: false });
                        writer.event(Kind::Sentiment { score, level });
                    }
                }
                writer.at += below(2 * HOUR as u64).min(NOW - writer.at).max(1);
            }
            files.push(writer.lines);
        }
        (history, files)
    }

    /// Stores each session as its user, after the times of all lines, and sets the clock to the end of the history.
    pub(super) async fn push(&self, world: &World, files: &[[Vec<String>; 2]]) {
        world.clock.set(Timestamp(NOW + 7 * 24 * 3_600_000));
        let people = [world.ada.clone(), world.colleague(PEOPLE[1]).await, world.colleague(PEOPLE[2]).await];
        for (session, [main, han]) in self.sessions.iter().zip(files) {
            let (scope, checkout) = (&people[session.person].scope, &CHECKOUTS[session.project]);
            world.push_as(scope, &session.id, "main", checkout, main).await;
            if !han.is_empty() {
                world.push_as(scope, &session.id, "han", checkout, han).await;
            }
        }
        world.clock.set(Timestamp(NOW));
    }
}

/// A question about a range of days and some projects.
pub(super) struct Asked<'h> {
    pub(super) history: &'h History,
    pub(super) zone: i64,
    pub(super) first_day: String,
    pub(super) last_day: String,
    /// The projects that count.
    pub(super) projects: &'static [usize],
}

impl<'h> Asked<'h> {
    pub(super) fn last_days(history: &'h History, zone: i64, days: i64, projects: &'static [usize]) -> Self {
        let day = |ago: i64| local(NOW - ago * DAY, zone).date().to_string();
        Self { history, zone, first_day: day(days - 1), last_day: day(0), projects }
    }

    pub(super) fn holds(&self, date: &str) -> bool {
        *self.first_day <= *date && *date <= *self.last_day
    }

    pub(super) fn of(&self, event: &Event) -> &'h MadeSession {
        &self.history.sessions[event.session]
    }

    /// The events in the range, each with its date.
    pub(super) fn events(&self) -> impl Iterator<Item = (String, &'h Event)> + '_ {
        let dated = self.history.events.iter().map(|event| (date(event.at, self.zone), event));
        dated.filter(|(date, event)| self.holds(date) && self.projects.contains(&self.of(event).project))
    }

    /// The sessions that began in the range, each with its date.
    pub(super) fn begun(&self) -> impl Iterator<Item = (String, &'h MadeSession)> + '_ {
        let dated = self.history.sessions.iter().map(|session| (date(session.first, self.zone), session));
        dated.filter(|(date, session)| self.holds(date) && self.projects.contains(&session.project))
    }

    /// The sessions with activity in the range, by number.
    pub(super) fn active(&self) -> Vec<usize> {
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

    pub(super) fn models(&self) -> BTreeMap<&'static str, Tokens> {
        let mut models: BTreeMap<&str, Tokens> = BTreeMap::new();
        for (_, event) in self.events() {
            if let Kind::Tokens { model, tokens } = event.kind {
                let sum = models.entry(model).or_default();
                *sum = plus(*sum, tokens);
            }
        }
        models
    }

    pub(super) fn count(&self, of: impl Fn(&Kind) -> i64) -> i64 {
        self.events().map(|(_, event)| of(&event.kind)).sum()
    }

    pub(super) fn by<K: Ord>(&self, of: impl Fn(&Kind) -> Option<K>) -> BTreeMap<K, i64> {
        let mut counts = BTreeMap::new();
        for (_, event) in self.events() {
            if let Some(key) = of(&event.kind) {
                *counts.entry(key).or_default() += 1;
            }
        }
        counts
    }

    pub(super) fn cost(&self) -> Option<f64> {
        cost(self.models())
    }
}

pub(super) fn message(kind: &Kind) -> i64 {
    i64::from(matches!(kind, Kind::Message { .. }))
}

pub(super) const ALL_PROJECTS: &[usize] = &[0, 1, 2];
