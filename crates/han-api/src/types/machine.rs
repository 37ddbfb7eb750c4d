//! What only a developer's own machine knows: plugins, settings, caches, memory. The coordinator fills these; a team
//! server has nothing to fill them with and answers null or empty.

use async_graphql::{Enum, ID, SimpleObject};

/// Where a plugin is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PluginScope {
    /// For the user, everywhere.
    User,
    /// For one project.
    Project,
    /// For one project, on this machine only.
    Local,
}

/// A plugin of the coding agent.
#[derive(Clone, Debug, SimpleObject)]
pub struct Plugin {
    /// The global id.
    pub id: ID,
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub marketplace: Option<String>,
    /// Where it is installed.
    pub scope: PluginScope,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What sort of plugin.
    pub category: Option<String>,
}

/// How many plugins of one sort there are.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginCategory {
    /// The sort.
    pub category: String,
    /// How many.
    pub count: i32,
}

/// How many plugins there are.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginStats {
    /// In all.
    pub total_plugins: i32,
    /// Switched on.
    pub enabled_plugins: i32,
    /// For the user.
    pub user_plugins: i32,
    /// For projects.
    pub project_plugins: i32,
    /// For projects, on this machine only.
    pub local_plugins: i32,
}

/// What became of a change to a plugin.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginMutationResult {
    /// Whether it was made.
    pub success: bool,
    /// What happened.
    pub message: Option<String>,
}

/// The cached outcome of a hook.
#[derive(Clone, Debug, SimpleObject)]
pub struct CacheEntry {
    /// Its id.
    pub id: ID,
    /// The plugin.
    pub plugin_name: Option<String>,
    /// The hook.
    pub hook_name: Option<String>,
    /// How many files it covers.
    pub file_count: i32,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
}

/// How much is cached.
#[derive(Clone, Debug, SimpleObject)]
pub struct CacheStats {
    /// Entries.
    pub total_entries: i32,
    /// Files that they cover.
    pub total_files: i32,
    /// The oldest entry's time, RFC 3339 in UTC.
    pub oldest_entry: Option<String>,
    /// The newest entry's time, RFC 3339 in UTC.
    pub newest_entry: Option<String>,
}

/// A settings file.
#[derive(Clone, Debug, SimpleObject)]
pub struct SettingsFile {
    /// Where it lies.
    pub path: String,
    /// Which level of settings it holds.
    pub source: String,
    /// That level's name for people.
    pub source_label: String,
    /// What sort of file.
    #[graphql(name = "type")]
    pub kind: String,
    /// Whether it is there.
    pub exists: bool,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
}

/// The agent's main settings file.
#[derive(Clone, Debug, SimpleObject)]
pub struct ClaudeSettingsSummary {
    /// Where it lies.
    pub path: String,
    /// Whether it is there.
    pub exists: bool,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
    /// How many plugins it names.
    pub plugin_count: i32,
    /// How many MCP servers it names.
    pub mcp_server_count: i32,
    /// Whether it grants or denies permissions.
    pub has_permissions: bool,
}

/// Han's own configuration file.
#[derive(Clone, Debug, SimpleObject)]
pub struct HanConfigSummary {
    /// Where it lies.
    pub path: String,
    /// Whether it is there.
    pub exists: bool,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
    /// Whether hooks run.
    pub hooks_enabled: Option<bool>,
    /// Whether memory is kept.
    pub memory_enabled: Option<bool>,
    /// Whether metrics are kept.
    pub metrics_enabled: Option<bool>,
    /// How many plugins it configures.
    pub plugin_config_count: i32,
}

/// A configured MCP server.
#[derive(Clone, Debug, SimpleObject)]
pub struct McpServer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it is reached.
    #[graphql(name = "type")]
    pub kind: Option<String>,
    /// The command that starts it.
    pub command: Option<String>,
    /// Its address.
    pub url: Option<String>,
    /// How many arguments its command has.
    pub arg_count: Option<i32>,
    /// Whether it is given environment variables.
    pub has_env: Option<bool>,
}

/// What the agent may do without asking.
#[derive(Clone, Debug, SimpleObject)]
pub struct Permissions {
    /// Tools it may use.
    pub allowed_tools: Vec<String>,
    /// Tools it may not use.
    pub denied_tools: Vec<String>,
    /// Directories it may work in besides the project's.
    pub additional_directories: Vec<String>,
}

/// The settings of one machine.
#[derive(Clone, Debug, SimpleObject)]
pub struct SettingsSummary {
    /// The agent's main settings file.
    pub claude_settings: Option<ClaudeSettingsSummary>,
    /// The agent's settings files.
    pub claude_settings_files: Vec<SettingsFile>,
    /// Han's own configuration file.
    pub han_config: Option<HanConfigSummary>,
    /// Han's configuration files.
    pub han_config_files: Vec<SettingsFile>,
    /// Configured MCP servers.
    pub mcp_servers: Vec<McpServer>,
    /// What the agent may do without asking.
    pub permissions: Option<Permissions>,
}

/// A rule that the memory learned.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryRule {
    /// Its id.
    pub id: ID,
    /// What it is about.
    pub domain: String,
    /// Whom it is for.
    pub scope: String,
    /// Where it lies.
    pub path: Option<String>,
    /// Its project's name.
    pub project_name: Option<String>,
    /// Its project's directory.
    pub project_path: Option<String>,
    /// Its size, in bytes.
    pub size: Option<i32>,
    /// Its text.
    pub content: Option<String>,
}

/// What the memory holds.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryQuery {
    /// The rules it learned.
    pub rules: Vec<MemoryRule>,
}

/// A question to the memory that was begun.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryQueryStartResult {
    /// Whether it was begun.
    pub success: bool,
    /// What to subscribe to its progress by.
    pub session_id: Option<String>,
    /// What happened.
    pub message: Option<String>,
}

/// How a question to the memory comes on.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryAgentProgressPayload {
    /// The question's session.
    pub session_id: String,
    /// What sort of step.
    #[graphql(name = "type")]
    pub kind: String,
    /// Where it looks.
    pub layer: Option<String>,
    /// What it found.
    pub content: Option<String>,
    /// How many results it found.
    pub result_count: Option<i32>,
    /// When, RFC 3339 in UTC.
    pub timestamp: String,
}

/// Where an answer of the memory comes from.
#[derive(Clone, Debug, SimpleObject)]
pub struct Citation {
    /// The source.
    pub source: String,
    /// What it says.
    pub excerpt: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When, RFC 3339 in UTC.
    pub timestamp: Option<String>,
    /// Where it was found.
    pub layer: Option<String>,
    /// Its project's name.
    pub project_name: Option<String>,
    /// Its project's directory.
    pub project_path: Option<String>,
}

/// The answer to a question to the memory.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryAgentResultPayload {
    /// The question's session.
    pub session_id: String,
    /// Whether there is one.
    pub success: bool,
    /// The answer.
    pub answer: Option<String>,
    /// How sure it is.
    pub confidence: Option<String>,
    /// Where it comes from.
    pub citations: Vec<Citation>,
    /// Where it was looked for.
    pub searched_layers: Vec<String>,
    /// What went wrong.
    pub error: Option<String>,
}
