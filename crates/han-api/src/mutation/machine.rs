//! Changes to a developer's machine. On a team server, nothing of one can be changed, and each field says so.

use async_graphql::{Context, Object};

use crate::context::operation;
use crate::error::{ApiError, Result};
use crate::types::machine::{MemoryQueryStartResult, PluginMutationResult, PluginScope};

#[derive(Debug, Default)]
pub(crate) struct MachineMutation;

fn plugins_elsewhere<T>() -> Result<T> {
    Err(ApiError::Unsupported(
        "a team server cannot change plugins: they lie on a developer's machine, whose local coordinator can",
    ))
}

/// About the developer's machine.
#[Object]
impl MachineMutation {
    /// Switches a plugin on or off. Only a coordinator can.
    async fn toggle_plugin(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plugin.")] name: String,
        #[graphql(desc = "Where it comes from.")] marketplace: String,
        #[graphql(desc = "Where it is installed.")] scope: PluginScope,
        #[graphql(desc = "On or off.")] enabled: bool,
    ) -> Result<Option<PluginMutationResult>> {
        operation(ctx)?;
        let _ = (name, marketplace, scope, enabled);
        plugins_elsewhere()
    }

    /// Removes a plugin. Only a coordinator can.
    async fn remove_plugin(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plugin.")] name: String,
        #[graphql(desc = "Where it comes from.")] marketplace: String,
        #[graphql(desc = "Where it is installed.")] scope: PluginScope,
    ) -> Result<Option<PluginMutationResult>> {
        operation(ctx)?;
        let _ = (name, marketplace, scope);
        plugins_elsewhere()
    }

    /// Asks the memory. Only a coordinator can.
    async fn start_memory_query(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's directory.")] project_path: String,
        #[graphql(desc = "The question.")] question: String,
        #[graphql(desc = "The model to ask.")] model: Option<String>,
    ) -> Result<Option<MemoryQueryStartResult>> {
        operation(ctx)?;
        let _ = (project_path, question, model);
        Err(ApiError::Unsupported(
            "a team server keeps no memory: ask the local coordinator of the developer's machine",
        ))
    }
}
