//! Plugins, settings, cache and memory of a developer's machine: the values that a [`Machine`](crate::Machine) returns.

use async_graphql::{Enum, ID, SimpleObject};

/// Where a plugin is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PluginScope {
    /// For the user, in all projects.
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
    /// The marketplace that it was installed from.
    pub marketplace: Option<String>,
    /// Where it is installed.
    pub scope: PluginScope,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Its category.
    pub category: Option<String>,
}

/// The number of plugins of one category.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginCategory {
    /// The category.
    pub category: String,
    /// The number of plugins.
    pub count: i32,
}

/// The number of plugins.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginStats {
    /// All plugins.
    pub total_plugins: i32,
    /// Enabled plugins.
    pub enabled_plugins: i32,
    /// Plugins that are installed for the user.
    pub user_plugins: i32,
    /// Plugins that are installed for projects.
    pub project_plugins: i32,
    /// Plugins that are installed for projects, on this machine only.
    pub local_plugins: i32,
}

/// The result of a change to a plugin.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginMutationResult {
    /// Whether the change was made.
    pub success: bool,
    /// What was done, or why nothing was done.
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
    /// The number of files that it covers.
    pub file_count: i32,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
}

/// The size of the cache.
#[derive(Clone, Debug, SimpleObject)]
pub struct CacheStats {
    /// The number of entries.
    pub total_entries: i32,
    /// The number of files that they cover.
    pub total_files: i32,
    /// The time of the oldest entry, RFC 3339 in UTC.
    pub oldest_entry: Option<String>,
    /// The time of the newest entry, RFC 3339 in UTC.
    pub newest_entry: Option<String>,
}

/// A settings file.
#[derive(Clone, Debug, SimpleObject)]
pub struct SettingsFile {
    /// Its path.
    pub path: String,
    /// The level of its settings, such as `user` or `project`.
    pub source: String,
    /// The display name of that level.
    pub source_label: String,
    /// The kind of file.
    #[graphql(name = "type")]
    pub kind: String,
    /// Whether it exists.
    pub exists: bool,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
}

/// The agent's main settings file.
#[derive(Clone, Debug, SimpleObject)]
pub struct ClaudeSettingsSummary {
    /// Its path.
    pub path: String,
    /// Whether it exists.
    pub exists: bool,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
    /// The number of plugins in it.
    pub plugin_count: i32,
    /// The number of MCP servers in it.
    pub mcp_server_count: i32,
    /// Whether it has permissions.
    pub has_permissions: bool,
}

/// Han's own configuration file.
#[derive(Clone, Debug, SimpleObject)]
pub struct HanConfigSummary {
    /// Its path.
    pub path: String,
    /// Whether it exists.
    pub exists: bool,
    /// When it was last written, RFC 3339 in UTC.
    pub last_modified: Option<String>,
    /// Whether hooks are enabled.
    pub hooks_enabled: Option<bool>,
    /// Whether the memory is enabled.
    pub memory_enabled: Option<bool>,
    /// Whether metrics are enabled.
    pub metrics_enabled: Option<bool>,
    /// The number of plugins that it configures.
    pub plugin_config_count: i32,
}

/// A configured MCP server.
#[derive(Clone, Debug, SimpleObject)]
pub struct McpServer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its transport.
    #[graphql(name = "type")]
    pub kind: Option<String>,
    /// The command that starts it.
    pub command: Option<String>,
    /// Its URL.
    pub url: Option<String>,
    /// The number of arguments of its command.
    pub arg_count: Option<i32>,
    /// Whether it has environment variables.
    pub has_env: Option<bool>,
}

/// The permissions of the agent.
#[derive(Clone, Debug, SimpleObject)]
pub struct Permissions {
    /// Tools that it may use without asking.
    pub allowed_tools: Vec<String>,
    /// Tools that it may not use.
    pub denied_tools: Vec<String>,
    /// Directories that it may work in besides the project's.
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
    /// The permissions of the agent.
    pub permissions: Option<Permissions>,
}

/// A rule of the memory.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryRule {
    /// Its id.
    pub id: ID,
    /// Its subject.
    pub domain: String,
    /// Its scope.
    pub scope: String,
    /// Its path.
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

/// The memory.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryQuery {
    /// The rules that it has learned.
    pub rules: Vec<MemoryRule>,
}

/// The start of a question to the memory.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryQueryStartResult {
    /// Whether the question was started.
    pub success: bool,
    /// The id for `memoryAgentProgress` and `memoryAgentResult`.
    pub session_id: Option<String>,
    /// What was done, or why nothing was done.
    pub message: Option<String>,
}

/// A step of a question to the memory.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryAgentProgressPayload {
    /// The `sessionId` that `startMemoryQuery` returned.
    pub session_id: String,
    /// The kind of step.
    #[graphql(name = "type")]
    pub kind: String,
    /// The layer of the memory that is searched.
    pub layer: Option<String>,
    /// What was found.
    pub content: Option<String>,
    /// The number of results.
    pub result_count: Option<i32>,
    /// The time, RFC 3339 in UTC.
    pub timestamp: String,
}

/// A source of an answer of the memory.
#[derive(Clone, Debug, SimpleObject)]
pub struct Citation {
    /// The source.
    pub source: String,
    /// An excerpt.
    pub excerpt: Option<String>,
    /// Its author.
    pub author: Option<String>,
    /// The time, RFC 3339 in UTC.
    pub timestamp: Option<String>,
    /// The layer of the memory that it was found in.
    pub layer: Option<String>,
    /// Its project's name.
    pub project_name: Option<String>,
    /// Its project's directory.
    pub project_path: Option<String>,
}

/// The result of a question to the memory.
#[derive(Clone, Debug, SimpleObject)]
pub struct MemoryAgentResultPayload {
    /// The `sessionId` that `startMemoryQuery` returned.
    pub session_id: String,
    /// Whether there is an answer.
    pub success: bool,
    /// The answer.
    pub answer: Option<String>,
    /// The confidence in the answer.
    pub confidence: Option<String>,
    /// Its sources.
    pub citations: Vec<Citation>,
    /// The layers of the memory that were searched.
    pub searched_layers: Vec<String>,
    /// What went wrong.
    pub error: Option<String>,
}
