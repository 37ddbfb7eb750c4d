//! What a schema asks of the machine that it runs on: plugins, settings, cache and memory. The coordinator implements
//! [`Machine`]; a team server has [`NoMachine`].

use std::sync::Arc;

use async_graphql::Context;
use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::context::{caller, manager, operation};
use crate::error::{ApiError, Result};
use crate::types::machine::{
    CacheEntry, MemoryAgentProgressPayload, MemoryAgentResultPayload, MemoryQuery, MemoryQueryStartResult,
    Plugin, PluginMutationResult, PluginScope, SettingsSummary,
};

/// A plugin as the coding agent identifies it: one name can be installed from several marketplaces and in several
/// scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginKey {
    /// The plugin's name.
    pub name: String,
    /// The marketplace that it was installed from.
    pub marketplace: String,
    /// Where it is installed.
    pub scope: PluginScope,
}

/// A question to the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryQuestion {
    /// The directory of the project that the question is about.
    pub project_path: String,
    /// The question.
    pub question: String,
    /// The model that answers; `None` for the default one.
    pub model: Option<String>,
}

/// A developer's machine. Callers are authenticated and may read before a method is called.
///
/// Reads return `None` where there is no machine, so that "no machine" and "no plugins" stay apart. What fails is an
/// [`ApiError`], whose text is public: log internal detail and return [`ApiError::Internal`].
#[async_trait]
pub trait Machine: Send + Sync + 'static {
    /// Whether there is a machine. Then only callers who may manage may change it.
    fn is_there(&self) -> bool {
        true
    }

    /// The installed plugins: those that apply in a project's directory, or all of them.
    async fn plugins(&self, project_path: Option<&str>) -> Result<Option<Vec<Plugin>>>;

    /// The cached outcomes of hooks.
    async fn cache_entries(&self) -> Result<Option<Vec<CacheEntry>>>;

    /// The settings files and what they set, with those of a project's directory where one is given.
    async fn settings(&self, project_path: Option<&str>) -> Result<Option<SettingsSummary>>;

    /// The rules that the memory has learned.
    async fn memory(&self) -> Result<Option<MemoryQuery>>;

    /// Enables or disables a plugin.
    ///
    /// A plugin that is not installed is not an error, and neither is that there is no machine: the result says that
    /// nothing was changed.
    async fn set_plugin_enabled(&self, plugin: PluginKey, enabled: bool) -> Result<PluginMutationResult>;

    /// Uninstalls a plugin; as [`set_plugin_enabled`](Self::set_plugin_enabled).
    async fn remove_plugin(&self, plugin: PluginKey) -> Result<PluginMutationResult>;

    /// Starts to answer a question from the memory. Its progress and its result are streamed under the session id that
    /// is returned. Where there is no memory, the result says that nothing was started.
    async fn start_memory_query(&self, question: MemoryQuestion) -> Result<MemoryQueryStartResult>;

    /// The steps of one question, or of all of them, from now on.
    ///
    /// # Errors
    /// [`ApiError::Unsupported`] where there is no memory.
    async fn memory_progress(
        &self,
        session_id: Option<String>,
    ) -> Result<BoxStream<'static, MemoryAgentProgressPayload>>;

    /// The result of one question, or of all of them, from now on.
    ///
    /// # Errors
    /// [`ApiError::Unsupported`] where there is no memory.
    async fn memory_results(
        &self,
        session_id: Option<String>,
    ) -> Result<BoxStream<'static, MemoryAgentResultPayload>>;
}

/// A team server: reads find nothing, and changes say that they cannot be made here.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMachine;

const NO_PLUGINS: &str = "a team server cannot change plugins: they are installed on a developer's machine, so ask its local coordinator";
const NO_MEMORY: &str = "a team server keeps no memory: ask the local coordinator of the developer's machine";

fn no_plugins() -> PluginMutationResult {
    PluginMutationResult { success: false, message: Some(NO_PLUGINS.to_owned()) }
}

#[async_trait]
impl Machine for NoMachine {
    fn is_there(&self) -> bool {
        false
    }

    async fn plugins(&self, _project_path: Option<&str>) -> Result<Option<Vec<Plugin>>> {
        Ok(None)
    }

    async fn cache_entries(&self) -> Result<Option<Vec<CacheEntry>>> {
        Ok(None)
    }

    async fn settings(&self, _project_path: Option<&str>) -> Result<Option<SettingsSummary>> {
        Ok(None)
    }

    async fn memory(&self) -> Result<Option<MemoryQuery>> {
        Ok(None)
    }

    async fn set_plugin_enabled(&self, _plugin: PluginKey, _enabled: bool) -> Result<PluginMutationResult> {
        Ok(no_plugins())
    }

    async fn remove_plugin(&self, _plugin: PluginKey) -> Result<PluginMutationResult> {
        Ok(no_plugins())
    }

    async fn start_memory_query(&self, _question: MemoryQuestion) -> Result<MemoryQueryStartResult> {
        Ok(MemoryQueryStartResult { success: false, session_id: None, message: Some(NO_MEMORY.to_owned()) })
    }

    async fn memory_progress(
        &self,
        _session_id: Option<String>,
    ) -> Result<BoxStream<'static, MemoryAgentProgressPayload>> {
        Err(ApiError::Unsupported(NO_MEMORY))
    }

    async fn memory_results(
        &self,
        _session_id: Option<String>,
    ) -> Result<BoxStream<'static, MemoryAgentResultPayload>> {
        Err(ApiError::Unsupported(NO_MEMORY))
    }
}

/// The machine of the schema; a schema that exists only to be printed has none.
pub(crate) fn machine<'a>(ctx: &Context<'a>) -> &'a dyn Machine {
    ctx.data_opt::<Arc<dyn Machine>>().map_or(&NoMachine, |machine| &**machine)
}

/// The machine, for a caller who may change it, or make it work.
pub(crate) fn machine_to_change<'a>(ctx: &Context<'a>) -> Result<&'a dyn Machine> {
    operation(ctx)?;
    let machine = machine(ctx);
    if machine.is_there() {
        manager(caller(ctx)?.actor(), "change this machine: sign in as a person")?;
    }
    Ok(machine)
}
