//! Messages and the results that nest under them.

use std::sync::Arc;

use han_types::MessageKey;

use crate::page::MessageCursor;

/// The position of a line among its session's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessagePosition {
    /// Nowhere: it nests under what it answers.
    Nested,
    /// In the session's message list.
    List,
    /// Among the progress lines, which the list leaves out unless asked.
    Progress,
    /// Among the lines of a subagent.
    Subagent,
    /// Among the progress lines of a subagent.
    SubagentProgress,
}

impl MessagePosition {
    /// The number that is stored.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Nested => 0,
            Self::List => 1,
            Self::Progress => 2,
            Self::Subagent => 3,
            Self::SubagentProgress => 4,
        }
    }

    /// The SQL condition that `column` has this place. The number is a literal, because a partial index is used only for
    /// a condition that is known before the values of parameters.
    pub(crate) fn is(self, column: &str) -> String {
        format!("{column} = {}", self.code())
    }

    /// The place that a stored number means.
    pub(crate) fn of_code(code: i64) -> Self {
        match code {
            1 => Self::List,
            2 => Self::Progress,
            3 => Self::Subagent,
            4 => Self::SubagentProgress,
            _ => Self::Nested,
        }
    }
}

/// A message, opened.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its key within the team.
    pub key: MessageKey,
    /// The order in which the server took it in.
    pub ordinal: i64,
    /// Its 0-based physical line.
    pub line: i64,
    /// Its time, in milliseconds since the epoch.
    pub at: i64,
    /// The subagent that wrote it.
    pub agent_id: Option<String>,
    /// Whether it is in the session's message list.
    pub listed: bool,
    /// The line as it arrived: a JSON object, or a JSON string that holds a line which is none. `None` where what is
    /// stored cannot be opened; the log says why.
    pub body: Option<String>,
}

impl Message {
    /// Its place in a list of messages.
    #[must_use]
    pub fn cursor(&self) -> MessageCursor {
        MessageCursor {
            at: self.at,
            transcript: self.key.transcript.to_string(),
            line: self.line,
            uuid: self.key.uuid.clone(),
        }
    }
}

/// A result and the line that holds it.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The call it answers.
    pub call_id: String,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Whether it went well.
    pub success: Option<bool>,
    /// The subagent that the call started.
    pub agent_id: Option<String>,
    /// The line.
    pub message: Arc<Message>,
}
