//! Projects (a directory that agents worked in) and repositories (a git remote).

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use han_db::entities;
use han_types::{ProjectId, RepoId};

use crate::context::Op;
use crate::error::Result;
use crate::types::machine::Plugin;

/// A project of the team.
#[derive(Clone, Debug)]
pub struct Project {
    row: Arc<entities::Project>,
    op: Op,
}

impl Project {
    /// The project of that id; `None` where the team has none.
    pub(crate) async fn load(op: &Op, id: ProjectId) -> Result<Option<Self>> {
        let row = op.loader().load_one(id).await?;
        Ok(row.map(|row| Self { row, op: Op::clone(op) }))
    }
}

/// A project of the team: a directory that agents worked in.
#[Object]
impl Project {
    /// The global id, `Project:<id>`.
    pub async fn id(&self, _ctx: &Context<'_>) -> ID {
        ID(format!("Project:{}", self.row.id))
    }

    /// The raw id: a keyed hash of the path.
    async fn project_id(&self) -> &str {
        &self.row.id
    }

    /// The last part of the path.
    async fn name(&self) -> &str {
        self.row.details.name()
    }

    /// The directory, as its developer's machine names it.
    async fn path(&self) -> &str {
        &self.row.details.path
    }

    /// Whether the path tells that it is a git worktree beside or within another checkout.
    async fn is_worktree(&self) -> bool {
        worktree_name(&self.row.details.path).is_some()
    }

    /// The repository's raw id, as `Repo.repoId` has it.
    async fn repo_id(&self) -> Option<&str> {
        self.row.repo_id.as_deref()
    }

    /// The repository.
    async fn repo(&self) -> Result<Option<Repo>> {
        match self.row.repo_id.as_ref().and_then(|id| id.parse::<RepoId>().ok()) {
            Some(id) => Repo::load(&self.op, id).await,
            None => Ok(None),
        }
    }

    /// The plugins installed for it: known on the developer's machine only.
    async fn plugins(&self) -> Vec<Plugin> {
        Vec::new()
    }
}

/// A repository of the team.
#[derive(Clone, Debug)]
pub struct Repo {
    row: Arc<entities::Repo>,
}

impl Repo {
    /// The repository of that id; `None` where the team has none.
    pub(crate) async fn load(op: &Op, id: RepoId) -> Result<Option<Self>> {
        Ok(op.loader().load_one(id).await?.map(|row| Self { row }))
    }
}

/// A repository of the team: a git remote.
#[Object]
impl Repo {
    /// The global id, `Repo:<id>`.
    pub async fn id(&self, _ctx: &Context<'_>) -> ID {
        ID(format!("Repo:{}", self.row.id))
    }

    /// The raw id: a keyed hash of the remote.
    async fn repo_id(&self) -> &str {
        &self.row.id
    }

    /// The last part of the remote, without `.git`.
    async fn name(&self) -> &str {
        self.row.details.name()
    }

    /// The remote, as git names it: a repository has one place, and it is not on any one machine.
    async fn path(&self) -> &str {
        &self.row.details.remote
    }
}

/// The worktree that a path lies in: what follows `.worktrees`, `worktrees` of the agent's own directory, or a
/// directory named `<checkout>-worktrees`.
pub(crate) fn worktree_name(path: &str) -> Option<&str> {
    let mut parts = path.split(['/', '\\']);
    let mut before = "";
    while let Some(part) = parts.next() {
        let holds_worktrees = part == ".worktrees"
            || (part == "worktrees" && before == ".claude")
            || part.strip_suffix("-worktrees").is_some_and(|checkout| !checkout.is_empty());
        if holds_worktrees {
            return parts.next().filter(|name| !name.is_empty());
        }
        before = part;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::worktree_name;

    #[test]
    fn a_worktree_is_told_by_its_path() {
        for (path, name) in [
            ("/home/dev/orchard", None),
            ("/home/dev/orchard-worktrees/prune/src", Some("prune")),
            ("/home/dev/orchard/.worktrees/graft", Some("graft")),
            ("/home/dev/orchard/.claude/worktrees/a-1", Some("a-1")),
            ("C:\\dev\\orchard-worktrees\\prune", Some("prune")),
            ("/home/dev/worktrees/orchard", None),
            ("/home/dev/orchard-worktrees/", None),
        ] {
            assert_eq!(worktree_name(path), name, "{path}");
        }
    }
}
