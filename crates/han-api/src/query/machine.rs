//! Queries about the developer's machine. The schema's [`Machine`](crate::machine::Machine) answers them; a team server
//! has none, so there they are null or empty.

use std::collections::BTreeMap;

use async_graphql::{Context, Object};
use han_types::ProjectId;

use crate::context::{Op, operation};
use crate::error::Result;
use crate::machine::machine;
use crate::optional_id::OptionalId;
use crate::types::machine::{
    CacheEntry, CacheStats, MemoryQuery, Plugin, PluginCategory, PluginScope, PluginStats, SettingsSummary,
};

#[derive(Debug, Default)]
pub(crate) struct MachineQuery;

/// The developer's machine.
#[Object]
impl MachineQuery {
    /// The plugins that are installed on the machine; empty on a team server.
    async fn plugins(&self, ctx: &Context<'_>) -> Result<Vec<Plugin>> {
        operation(ctx)?;
        Ok(machine(ctx).plugins(None).await?.unwrap_or_default())
    }

    /// The number of installed plugins per category, in the order of their names; empty on a team server.
    async fn plugin_categories(&self, ctx: &Context<'_>) -> Result<Vec<PluginCategory>> {
        operation(ctx)?;
        Ok(categories(machine(ctx).plugins(None).await?.unwrap_or_default()))
    }

    /// The number of installed plugins; null on a team server.
    async fn plugin_stats(&self, ctx: &Context<'_>) -> Result<Option<PluginStats>> {
        operation(ctx)?;
        Ok(machine(ctx).plugins(None).await?.map(|plugins| plugin_stats(&plugins)))
    }

    /// The cached outcomes of hooks; empty on a team server.
    async fn cache_entries(&self, ctx: &Context<'_>) -> Result<Vec<CacheEntry>> {
        operation(ctx)?;
        Ok(machine(ctx).cache_entries().await?.unwrap_or_default())
    }

    /// The size of the cache of hook outcomes; null on a team server.
    async fn cache_stats(&self, ctx: &Context<'_>) -> Result<Option<CacheStats>> {
        operation(ctx)?;
        Ok(machine(ctx).cache_entries().await?.map(|entries| cache_stats(&entries)))
    }

    /// The settings of the machine, with those of one project if `projectId` is given; null on a team server and for
    /// an unknown project.
    async fn settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's id, global or raw.")] project_id: OptionalId,
    ) -> Result<Option<SettingsSummary>> {
        let op = operation(ctx)?;
        let Some(id) = project_id.raw("Project") else {
            return machine(ctx).settings(None).await;
        };
        match project_path(op.as_ref(), &id).await? {
            Some(path) => machine(ctx).settings(Some(&path)).await,
            None => Ok(None),
        }
    }

    /// The rules that the memory has learned; null on a team server.
    async fn memory(&self, ctx: &Context<'_>) -> Result<Option<MemoryQuery>> {
        operation(ctx)?;
        machine(ctx).memory().await
    }
}

/// The directory of a project.
async fn project_path(op: Option<&Op>, id: &str) -> Result<Option<String>> {
    let (Some(op), Ok(id)) = (op, id.parse::<ProjectId>()) else {
        return Ok(None);
    };
    Ok(op.loader().load_one(id).await?.map(|project| project.details.path.clone()))
}

/// Plugins without a category are not counted.
fn categories(plugins: Vec<Plugin>) -> Vec<PluginCategory> {
    let mut counts: BTreeMap<String, i32> = BTreeMap::new();
    for category in plugins.into_iter().filter_map(|plugin| plugin.category) {
        *counts.entry(category).or_default() += 1;
    }
    counts.into_iter().map(|(category, count)| PluginCategory { category, count }).collect()
}

fn plugin_stats(plugins: &[Plugin]) -> PluginStats {
    let count = |is: &dyn Fn(&Plugin) -> bool| saturated(plugins.iter().filter(|plugin| is(plugin)).count());
    PluginStats {
        total_plugins: saturated(plugins.len()),
        enabled_plugins: count(&|plugin| plugin.enabled),
        user_plugins: count(&|plugin| plugin.scope == PluginScope::User),
        project_plugins: count(&|plugin| plugin.scope == PluginScope::Project),
        local_plugins: count(&|plugin| plugin.scope == PluginScope::Local),
    }
}

fn cache_stats(entries: &[CacheEntry]) -> CacheStats {
    let times = || entries.iter().filter_map(|entry| entry.last_modified.as_ref());
    CacheStats {
        total_entries: saturated(entries.len()),
        total_files: entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.file_count)),
        // RFC 3339 in UTC sorts as text.
        oldest_entry: times().min().cloned(),
        newest_entry: times().max().cloned(),
    }
}

fn saturated(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
