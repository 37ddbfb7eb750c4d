//! Changes to the developer's machine. The schema's [`Machine`](crate::machine::Machine) makes them; a team server has
//! none and says so.

use async_graphql::{Context, Object};

use crate::error::Result;
use crate::machine::{MemoryQuestion, PluginKey, machine_to_change};
use crate::optional_id::is_absent;
use crate::types::machine::{MemoryQueryStartResult, PluginMutationResult, PluginScope};

#[derive(Debug, Default)]
pub(crate) struct MachineMutation;

/// The developer's machine.
#[Object]
impl MachineMutation {
    /// Enables or disables a plugin. On a team server, `success` is false and `message` says why.
    async fn toggle_plugin(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plugin's name.")] name: String,
        #[graphql(desc = "The marketplace that it was installed from.")] marketplace: String,
        #[graphql(desc = "Where it is installed.")] scope: PluginScope,
        #[graphql(desc = "Whether it is enabled from now on.")] enabled: bool,
    ) -> Result<Option<PluginMutationResult>> {
        let machine = machine_to_change(ctx)?;
        let plugin = PluginKey { name, marketplace, scope };
        machine.set_plugin_enabled(plugin, enabled).await.map(Some)
    }

    /// Uninstalls a plugin. On a team server, `success` is false and `message` says why.
    async fn remove_plugin(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plugin's name.")] name: String,
        #[graphql(desc = "The marketplace that it was installed from.")] marketplace: String,
        #[graphql(desc = "Where it is installed.")] scope: PluginScope,
    ) -> Result<Option<PluginMutationResult>> {
        let machine = machine_to_change(ctx)?;
        machine.remove_plugin(PluginKey { name, marketplace, scope }).await.map(Some)
    }

    /// Starts to answer a question from the memory. On a team server, `success` is false and `message` says why.
    async fn start_memory_query(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's directory.")] project_path: String,
        #[graphql(desc = "The question.")] question: String,
        #[graphql(desc = "The model that answers.")] model: Option<String>,
    ) -> Result<Option<MemoryQueryStartResult>> {
        let machine = machine_to_change(ctx)?;
        let model = model.filter(|model| !is_absent(model));
        let question = MemoryQuestion { project_path, question, model };
        machine.start_memory_query(question).await.map(Some)
    }
}
