//! The agent's tools: categories, display names, icons and colours. No other module names icons or colours.

use std::fmt;
use std::str::FromStr;

/// A tool's category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ToolCategory {
    /// Reads or writes files.
    File,
    /// Searches files or text.
    Search,
    /// Runs commands.
    Shell,
    /// Plans, delegates, keeps lists.
    Task,
    /// Reads the web.
    Web,
    /// A tool of an MCP server: `mcp__server__tool`.
    Mcp,
    /// Anything else.
    Other,
}

/// How tools of a category are displayed: `(category, stored name, icon, colour)`. Icons are names of the lucide
/// icon set, colours are hexadecimal RGB.
const CATEGORIES: [(ToolCategory, &str, &str, &str); 7] = [
    (ToolCategory::File, "FILE", "file-text", "#3b82f6"),
    (ToolCategory::Search, "SEARCH", "search", "#8b5cf6"),
    (ToolCategory::Shell, "SHELL", "terminal", "#10b981"),
    (ToolCategory::Task, "TASK", "list-checks", "#f59e0b"),
    (ToolCategory::Web, "WEB", "globe", "#06b6d4"),
    (ToolCategory::Mcp, "MCP", "plug", "#ec4899"),
    (ToolCategory::Other, "OTHER", "wrench", "#6b7280"),
];

/// The known tools: `(name, category, display name, icon)`.
const TOOLS: [(&str, ToolCategory, &str, &str); 31] = [
    ("Read", ToolCategory::File, "Read", "file-text"),
    ("Write", ToolCategory::File, "Write", "file-plus"),
    ("Edit", ToolCategory::File, "Edit", "file-pen"),
    ("MultiEdit", ToolCategory::File, "Multi-edit", "file-pen"),
    ("NotebookRead", ToolCategory::File, "Read notebook", "notebook"),
    ("NotebookEdit", ToolCategory::File, "Edit notebook", "notebook-pen"),
    ("Glob", ToolCategory::Search, "Find files", "folder-search"),
    ("Grep", ToolCategory::Search, "Search text", "search"),
    ("LS", ToolCategory::Search, "List directory", "folder"),
    ("LSP", ToolCategory::Search, "Language server", "search-code"),
    ("ToolSearch", ToolCategory::Search, "Search tools", "search"),
    ("Bash", ToolCategory::Shell, "Bash", "terminal"),
    ("BashOutput", ToolCategory::Shell, "Shell output", "terminal"),
    ("KillShell", ToolCategory::Shell, "Stop shell", "octagon-x"),
    ("KillBash", ToolCategory::Shell, "Stop shell", "octagon-x"),
    ("Task", ToolCategory::Task, "Agent", "bot"),
    ("Agent", ToolCategory::Task, "Agent", "bot"),
    ("TaskOutput", ToolCategory::Task, "Agent output", "bot"),
    ("TaskStop", ToolCategory::Task, "Stop agent", "octagon-x"),
    ("TaskCreate", ToolCategory::Task, "Create task", "list-plus"),
    ("TaskUpdate", ToolCategory::Task, "Update task", "list-checks"),
    ("TaskList", ToolCategory::Task, "List tasks", "list"),
    ("TaskGet", ToolCategory::Task, "Read task", "list"),
    ("TodoRead", ToolCategory::Task, "Read to-dos", "list-todo"),
    ("TodoWrite", ToolCategory::Task, "Update to-dos", "list-todo"),
    ("EnterPlanMode", ToolCategory::Task, "Enter plan mode", "map"),
    ("ExitPlanMode", ToolCategory::Task, "Present plan", "map"),
    ("WebFetch", ToolCategory::Web, "Fetch page", "globe"),
    ("WebSearch", ToolCategory::Web, "Search the web", "globe"),
    ("AskUserQuestion", ToolCategory::Other, "Ask the user", "message-circle-question-mark"),
    ("Skill", ToolCategory::Other, "Skill", "sparkles"),
];

/// How a tool is displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDisplay {
    /// Its category.
    pub category: ToolCategory,
    /// Its name for people: `Find files`, or `server: tool` for an MCP tool. An unknown tool keeps its name.
    pub display_name: String,
    /// A lucide icon name.
    pub icon: &'static str,
    /// Hexadecimal RGB, `#rrggbb`.
    pub color: &'static str,
}

/// The server and the tool of an MCP tool's full name, `mcp__server__tool`.
#[must_use]
pub fn mcp_name(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("mcp__")?
        .split_once("__")
        .filter(|(server, tool)| !server.is_empty() && !tool.is_empty())
}

/// Whether the tool starts a subagent, whose type is in its input (`subagent_type`). The tool was called `Task` before
/// it was called `Agent`.
#[must_use]
pub fn starts_subagent(name: &str) -> bool {
    matches!(name, "Task" | "Agent")
}

/// How the tool with that name is displayed.
#[must_use]
pub fn display(name: &str) -> ToolDisplay {
    let known = TOOLS.iter().find(|(tool, ..)| *tool == name);
    let category = ToolCategory::of(name);
    let (_, _, icon, color) = category.row();
    let display_name = match (known, mcp_name(name)) {
        (Some((_, _, shown, _)), _) => (*shown).to_owned(),
        (None, Some((server, tool))) => format!("{server}: {tool}"),
        (None, None) => name.to_owned(),
    };
    ToolDisplay { category, display_name, icon: known.map_or(icon, |(.., icon)| icon), color }
}

impl ToolCategory {
    /// The category of the tool with that name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match TOOLS.iter().find(|(tool, ..)| *tool == name) {
            Some((_, category, ..)) => *category,
            None if name.starts_with("mcp__") => Self::Mcp,
            None => Self::Other,
        }
    }

    fn row(self) -> (Self, &'static str, &'static str, &'static str) {
        CATEGORIES.into_iter().find(|(category, ..)| *category == self).unwrap_or((
            Self::Other,
            "OTHER",
            "wrench",
            "#6b7280",
        ))
    }

    /// The GraphQL name, which is also the stored one: `FILE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }
}

impl fmt::Display for ToolCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`ToolCategory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tool category: expected FILE, SEARCH, SHELL, TASK, WEB, MCP or OTHER")]
pub struct UnknownCategory;

impl FromStr for ToolCategory {
    type Err = UnknownCategory;

    fn from_str(s: &str) -> Result<Self, UnknownCategory> {
        CATEGORIES
            .into_iter()
            .find(|(_, name, ..)| *name == s)
            .map(|(category, ..)| category)
            .ok_or(UnknownCategory)
    }
}
