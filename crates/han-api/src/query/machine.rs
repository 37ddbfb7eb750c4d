//! Root fields about one machine: a team server has no such machine and says so by null and empty lists.

use async_graphql::{Context, Object};

use crate::context::operation;
use crate::error::Result;
use crate::types::machine::{
    CacheEntry, CacheStats, MemoryQuery, Plugin, PluginCategory, PluginStats, SettingsSummary,
};

#[derive(Debug, Default)]
pub(crate) struct MachineQuery;

/// About the developer's machine.
#[Object]
impl MachineQuery {
    /// The machine's plugins; empty on a team server.
    async fn plugins(&self, ctx: &Context<'_>) -> Result<Vec<Plugin>> {
        operation(ctx)?;
        Ok(Vec::new())
    }

    /// The machine's plugins by sort; empty on a team server.
    async fn plugin_categories(&self, ctx: &Context<'_>) -> Result<Vec<PluginCategory>> {
        operation(ctx)?;
        Ok(Vec::new())
    }

    /// How many plugins the machine has; null on a team server.
    async fn plugin_stats(&self, ctx: &Context<'_>) -> Result<Option<PluginStats>> {
        operation(ctx)?;
        Ok(None)
    }

    /// The machine's cached hook outcomes; empty on a team server.
    async fn cache_entries(&self, ctx: &Context<'_>) -> Result<Vec<CacheEntry>> {
        operation(ctx)?;
        Ok(Vec::new())
    }

    /// How much the machine has cached; null on a team server.
    async fn cache_stats(&self, ctx: &Context<'_>) -> Result<Option<CacheStats>> {
        operation(ctx)?;
        Ok(None)
    }

    /// The machine's settings, of one project where it is given; null on a team server.
    async fn settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project.")] project_id: Option<String>,
    ) -> Result<Option<SettingsSummary>> {
        operation(ctx)?;
        let _ = project_id;
        Ok(None)
    }

    /// The machine's memory; null on a team server.
    async fn memory(&self, ctx: &Context<'_>) -> Result<Option<MemoryQuery>> {
        operation(ctx)?;
        Ok(None)
    }
}
