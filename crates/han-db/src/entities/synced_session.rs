//! Sessions (the `SyncedSession` of the specification) and their running totals.

use han_transcript::record::{SummaryRecord, SummarySource, TitleRecord, TitleSource};
use serde::{Deserialize, Serialize};

use crate::page::{MessageCursor, SessionCursor};

/// A session of a team, opened.
#[derive(Clone, Debug)]
pub struct Session {
    /// The row's own id.
    pub id: String,
    /// The session, as its developer's machine named it.
    pub session_id: String,
    /// Who pushed it.
    pub user_id: String,
    /// Its project.
    pub project_id: Option<String>,
    /// What is sealed of it.
    pub details: SessionDetails,
    /// Whether what is sealed of it could be opened; else `details` is empty, and the log says why.
    pub readable: bool,
    /// The earliest line's time, in milliseconds since the epoch.
    pub started_at: Option<i64>,
    /// The latest line's time, or when it was first pushed, in milliseconds since the epoch.
    pub last_activity_at: i64,
    /// Its totals.
    pub totals: Totals,
    /// When it was first pushed, in milliseconds since the epoch.
    pub created_at: i64,
    /// When it was last pushed, in milliseconds since the epoch.
    pub synced_at: i64,
    /// When the content that it had was last purged, in milliseconds since the epoch.
    pub purged_at: Option<i64>,
}

impl Session {
    /// Its place in a list of sessions.
    #[must_use]
    pub fn cursor(&self) -> SessionCursor {
        SessionCursor { at: self.last_activity_at, session_id: self.session_id.clone() }
    }
}

/// A session's totals, over all of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Stored lines.
    pub lines: i64,
    /// Of these, lines that are anything but one complete record.
    pub damaged_lines: i64,
    /// Lines in the message list.
    pub messages: i64,
    /// Prompts and commands that a person typed.
    pub turns: i64,
    /// Compactions.
    pub compactions: i64,
    /// Tokens read, without the cache's.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// Tokens read from the cache.
    pub cache_read_tokens: i64,
    /// Tokens written to the cache for five minutes.
    pub cache_creation_5m_tokens: i64,
    /// Tokens written to the cache for an hour.
    pub cache_creation_1h_tokens: i64,
}

/// A value and the line it comes from. Lines arrive in any order; their own order decides which value counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<T> {
    at: i64,
    transcript: String,
    line: i64,
    /// The value.
    pub value: T,
}

impl<T> Stamped<T> {
    pub(crate) fn new(at: &MessageCursor, value: T) -> Self {
        Self { at: at.at, transcript: at.transcript.clone(), line: at.line, value }
    }

    fn key(&self) -> (i64, &str, i64) {
        (self.at, &self.transcript, self.line)
    }

    /// Puts `new` into `slot` if it is later than the current value.
    pub(crate) fn keep_last(slot: &mut Option<Self>, new: Self) {
        if slot.as_ref().is_none_or(|old| old.key() <= new.key()) {
            *slot = Some(new);
        }
    }

    /// Puts `new` into `slot` if it is earlier than the current value.
    pub(crate) fn keep_first(slot: &mut Option<Self>, new: Self) {
        if slot.as_ref().is_none_or(|old| old.key() >= new.key()) {
            *slot = Some(new);
        }
    }
}

/// What is known of a session's origin. It decides between copies of the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// How often it was forked: 0 for a session that is no fork, or does not say so.
    pub fork_depth: u16,
    /// When its file was created, in milliseconds since the epoch.
    pub file_created_at: Option<i64>,
}

/// What is sealed of a session: whatever is known of it besides its lines and its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionDetails {
    /// The coding agent.
    pub agent: Option<String>,
    /// The directory the agent worked in.
    pub project_path: Option<String>,
    /// If that is in a worktree that git keeps for another directory: that directory.
    pub main_worktree: Option<String>,
    /// The repository's remote.
    pub git_remote: Option<String>,
    /// When it ended, in milliseconds since the epoch, if it was said to have.
    pub ended_at: Option<i64>,
    /// When its file was created, in milliseconds since the epoch, if that is known.
    pub file_created_at: Option<i64>,
    /// How often it was forked, if it says so: 0 for a session that is no fork.
    pub fork_depth: Option<u16>,
    /// The branch, as the pushing machine knew it, for sessions whose lines name none.
    pub pushed_branch: Option<String>,
    /// The branch of the latest line that names one.
    pub git_branch: Option<Stamped<String>>,
    /// The agent's version on the latest line that names one.
    pub version: Option<Stamped<String>>,
    /// The session's short name.
    pub slug: Option<Stamped<String>>,
    /// The agent team of the latest line that names one.
    pub team_name: Option<Stamped<String>>,
    /// The last worktree that it entered.
    pub worktree: Option<Stamped<String>>,
    /// The directory of the earliest line that names one.
    pub first_cwd: Option<Stamped<String>>,
    /// The first slash command.
    pub first_command: Option<Stamped<String>>,
    /// The first prompt that is no slash command.
    pub first_prompt: Option<Stamped<String>>,
    /// The last summary line.
    pub last_summary: Option<Stamped<String>>,
    /// The last pull request: its number and URL.
    pub pull_request: Option<Stamped<(Option<i64>, String)>>,
    /// The last title that a person gave it.
    pub custom_title: Option<Stamped<String>>,
    /// The last name of the agent that works in it.
    pub agent_name: Option<Stamped<String>>,
    /// The last title that the agent gave it.
    pub ai_title: Option<Stamped<String>>,
    /// The last title of another session that its file repeats.
    pub copied_title: Option<Stamped<String>>,
    /// How far lines were dated ahead of the server's clock when they arrived, in milliseconds: the most of all lines
    /// whose time was not believed.
    pub clock_ahead_ms: Option<i64>,
}

impl SessionDetails {
    pub(crate) fn origin(&self) -> Origin {
        Origin { fork_depth: self.fork_depth.unwrap_or_default(), file_created_at: self.file_created_at }
    }

    /// The same without anything that lines say, to be filled from all lines again.
    pub(crate) fn without_lines(self) -> Self {
        Self {
            agent: self.agent,
            project_path: self.project_path,
            main_worktree: self.main_worktree,
            git_remote: self.git_remote,
            ended_at: self.ended_at,
            file_created_at: self.file_created_at,
            fork_depth: self.fork_depth,
            pushed_branch: self.pushed_branch,
            clock_ahead_ms: self.clock_ahead_ms,
            ..Self::default()
        }
    }

    /// The session's title: the last one that a person gave it, else the name of its agent, else the agent's title, else that
    /// of the session it was forked from.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        let titles = [&self.custom_title, &self.agent_name, &self.ai_title, &self.copied_title];
        titles.into_iter().flatten().map(|stamped| stamped.value.as_str()).next()
    }

    /// The session's summary: the last summary line, else the first prompt, else the first command.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        let summaries = [&self.last_summary, &self.first_prompt, &self.first_command];
        summaries.into_iter().flatten().map(|stamped| stamped.value.as_str()).next()
    }

    /// The branch it was last on.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.git_branch.as_ref().map(|stamped| stamped.value.as_str()).or(self.pushed_branch.as_deref())
    }

    pub(crate) fn offer_title(&mut self, at: &MessageCursor, title: TitleRecord) {
        let slot = match title.source {
            TitleSource::Person => &mut self.custom_title,
            TitleSource::AgentName => &mut self.agent_name,
            TitleSource::Agent => &mut self.ai_title,
            TitleSource::Copied => &mut self.copied_title,
        };
        Stamped::keep_last(slot, Stamped::new(at, title.text));
    }

    pub(crate) fn offer_summary(&mut self, at: &MessageCursor, summary: SummaryRecord) {
        let stamped = Stamped::new(at, summary.text);
        match summary.source {
            SummarySource::FirstCommand => Stamped::keep_first(&mut self.first_command, stamped),
            SummarySource::FirstPrompt => Stamped::keep_first(&mut self.first_prompt, stamped),
            SummarySource::SummaryLine => Stamped::keep_last(&mut self.last_summary, stamped),
        }
    }
}
