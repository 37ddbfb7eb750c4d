//! Projects (a directory that agents worked in) and repositories (a git remote).

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use han_db::entities;
use han_db::queries::project_lists::Activity;
use han_transcript::project_path::ProjectPath;
use han_types::{ProjectId, RepoId, Timestamp};

use crate::context::Op;
use crate::error::{self, ApiError, Result};
use crate::loaders::{ProjectActivity, ProjectsOf, RepoActivity};
use crate::machine::machine;
use crate::types::machine::Plugin;

/// A project of the team.
#[derive(Clone, Debug)]
pub struct Project {
    row: Arc<entities::Project>,
    op: Op,
}

impl Project {
    /// The project with this id; `None` if the team has none.
    pub(crate) async fn load(op: &Op, id: ProjectId) -> Result<Option<Self>> {
        let row = op.loader().load_one(id).await?;
        Ok(row.map(|row| Self::new(op, row)))
    }

    pub(crate) fn new(op: &Op, row: Arc<entities::Project>) -> Self {
        Self { row, op: Op::clone(op) }
    }

    fn path_of(&self) -> &str {
        &self.row.details.path
    }

    /// All projects of its repository, ordered by path; only itself if it has no repository.
    async fn siblings(&self) -> Result<Arc<Vec<Arc<entities::Project>>>> {
        let of_repo = match self.row.repo_id.as_ref().and_then(|id| id.parse().ok()) {
            Some(id) => self.op.loader().load_one(ProjectsOf(id)).await?,
            None => None,
        };
        Ok(of_repo.unwrap_or_else(|| Arc::new(vec![Arc::clone(&self.row)])))
    }

    /// The activity of some projects.
    async fn activity(&self, of: impl Iterator<Item = &Arc<entities::Project>>) -> Result<Activity> {
        let ids = of.map(|project| project.id.parse().map(ProjectActivity));
        let ids: Vec<_> = ids.collect::<std::result::Result<_, _>>().map_err(|_| ApiError::Internal)?;
        Ok(sum(self.op.loader().load_many(ids).await?.into_values()))
    }
}

fn sum(parts: impl Iterator<Item = Activity>) -> Activity {
    parts.fold(Activity::default(), |sum, part| Activity {
        sessions: sum.sessions + part.sessions,
        last_activity_at: sum.last_activity_at.max(part.last_activity_at),
    })
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
    async fn name(&self, ctx: &Context<'_>) -> String {
        if !self.row.readable {
            error::report(ctx, &ApiError::ContentUnreadable);
        }
        self.row.details.name()
    }

    /// The directory on its developer's machine, normalized: the repository's for a worktree, and with the letter of a
    /// Windows drive in upper case.
    async fn path(&self) -> &str {
        &self.row.details.path
    }

    /// Whether its path is that of a git worktree beside or within another checkout.
    async fn is_worktree(&self) -> bool {
        worktree_name(&self.row.details.path).is_some()
    }

    /// The raw id of its repository, as in `Repo.repoId`.
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

    /// The path below the topmost project of the same repository that contains it; null if no project does.
    async fn relative_path(&self) -> Result<Option<String>> {
        let siblings = self.siblings().await?;
        let topmost = siblings.iter().find(|other| is_subdir(self.path_of(), &other.details.path));
        Ok(topmost.and_then(|top| below(self.path_of(), &top.details.path)).map(str::to_owned))
    }

    /// The projects of the same repository and checkout inside its directory, ordered by path.
    async fn subdirs(&self) -> Result<Vec<Project>> {
        let siblings = self.siblings().await?;
        let subdirs = siblings.iter().filter(|other| is_subdir(&other.details.path, self.path_of()));
        Ok(subdirs.map(|row| Self::new(&self.op, Arc::clone(row))).collect())
    }

    /// The projects that are git worktrees of it, ordered by path.
    async fn worktrees(&self) -> Result<Vec<Project>> {
        let siblings = self.siblings().await?;
        let worktrees = siblings.iter().filter(|other| is_worktree_of(&other.details.path, self.path_of()));
        Ok(worktrees.map(|row| Self::new(&self.op, Arc::clone(row))).collect())
    }

    /// The number of sessions in exactly this directory.
    async fn session_count(&self) -> Result<i64> {
        Ok(self.activity(std::iter::once(&self.row)).await?.sessions)
    }

    /// The number of sessions in this directory, its subdirectories and its worktrees.
    async fn total_sessions(&self) -> Result<i64> {
        let siblings = self.siblings().await?;
        let within = siblings.iter().filter(|other| {
            let path = &other.details.path;
            other.id == self.row.id
                || below(path, self.path_of()).is_some()
                || checkout(path).is_some_and(|(checkout, _)| checkout == self.path_of())
        });
        Ok(self.activity(within).await?.sessions)
    }

    /// The latest activity of a session in exactly this directory, RFC 3339 in UTC.
    async fn last_activity(&self) -> Result<Option<String>> {
        let at = self.activity(std::iter::once(&self.row)).await?.last_activity_at;
        Ok(at.map(|at| Timestamp(at).to_rfc3339()))
    }

    /// The plugins that apply in its directory; empty on a team server.
    async fn plugins(&self, ctx: &Context<'_>) -> Result<Vec<Plugin>> {
        Ok(machine(ctx).plugins(Some(self.path_of())).await?.unwrap_or_default())
    }
}

/// A repository of the team.
#[derive(Clone, Debug)]
pub struct Repo {
    row: Arc<entities::Repo>,
    op: Op,
}

impl Repo {
    /// The repository with this id; `None` if the team has none.
    pub(crate) async fn load(op: &Op, id: RepoId) -> Result<Option<Self>> {
        Ok(op.loader().load_one(id).await?.map(|row| Self::new(op, row)))
    }

    pub(crate) fn new(op: &Op, row: Arc<entities::Repo>) -> Self {
        Self { row, op: Op::clone(op) }
    }

    async fn activity(&self) -> Result<Activity> {
        let id = self.row.id.parse().map_err(|_| ApiError::Internal)?;
        Ok(self.op.loader().load_one(RepoActivity(id)).await?.unwrap_or_default())
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
    async fn name(&self, ctx: &Context<'_>) -> &str {
        if !self.row.readable {
            error::report(ctx, &ApiError::ContentUnreadable);
        }
        self.row.details.name()
    }

    /// The URL of the git remote. A repository has no path: each machine has its own clone.
    async fn path(&self) -> &str {
        &self.row.details.remote
    }

    /// Its projects, ordered by path.
    async fn projects(&self) -> Result<Vec<Project>> {
        let id = self.row.id.parse().map_err(|_| ApiError::Internal)?;
        let projects = self.op.loader().load_one(ProjectsOf(id)).await?.unwrap_or_default();
        Ok(projects.iter().map(|row| Project::new(&self.op, Arc::clone(row))).collect())
    }

    /// The number of sessions in its projects.
    async fn total_sessions(&self) -> Result<i64> {
        Ok(self.activity().await?.sessions)
    }

    /// The latest activity of a session in one of its projects, RFC 3339 in UTC.
    async fn last_activity(&self) -> Result<Option<String>> {
        Ok(self.activity().await?.last_activity_at.map(|at| Timestamp(at).to_rfc3339()))
    }
}

/// The name of the worktree that contains a path.
pub(crate) fn worktree_name(path: &str) -> Option<String> {
    ProjectPath::of(path)?.worktree
}

const SEPARATORS: [char; 2] = ['/', '\\'];

/// The checkout of the worktree that contains a path, and the rest of the path from the worktree's name on.
fn checkout(path: &str) -> Option<(&str, &str)> {
    path.match_indices(SEPARATORS).find_map(|(end, separator)| {
        let (directory, rest) = (&path[..end], &path[end + separator.len()..]);
        let within = |of: &'_ str| of.strip_suffix(SEPARATORS).map(str::len);
        let beside = |of: &'_ str| (!of.is_empty() && !of.ends_with(SEPARATORS)).then_some(of.len());
        let of = (directory.strip_suffix(".worktrees").and_then(within))
            .or_else(|| directory.strip_suffix("-worktrees").and_then(beside))
            .or_else(|| {
                let of = directory.strip_suffix("worktrees")?.strip_suffix(SEPARATORS)?;
                within(of.strip_suffix(".claude")?)
            })?;
        let named = !rest.is_empty() && !rest.starts_with(SEPARATORS);
        named.then(|| (&path[..of], rest))
    })
}

/// The part of a path below a directory; `None` if the path is not inside it.
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory.trim_end_matches(SEPARATORS))?;
    rest.strip_prefix(SEPARATORS).filter(|rest| !rest.is_empty())
}

/// Whether a path is inside a directory and in the same worktree, if any.
fn is_subdir(path: &str, directory: &str) -> bool {
    below(path, directory).is_some() && worktree_name(path) == worktree_name(directory)
}

/// Whether a path is the root of a worktree of the checkout.
fn is_worktree_of(path: &str, of: &str) -> bool {
    checkout(path).is_some_and(|(checkout, rest)| checkout == of && !rest.contains(SEPARATORS))
}

#[cfg(test)]
mod tests {
    use super::{below, checkout, is_subdir, is_worktree_of, worktree_name};

    #[test]
    fn the_worktree_name_is_found_in_the_path() {
        for (path, name) in [
            ("/home/dev/orchard", None),
            ("/home/dev/orchard-worktrees/prune/src", Some("prune")),
            ("/home/dev/orchard/.worktrees/graft", Some("graft")),
            ("/home/dev/orchard/.claude/worktrees/a-1", Some("a-1")),
            ("C:\\dev\\orchard-worktrees\\prune", Some("prune")),
            ("/home/dev/orchard/worktrees/graft", Some("graft")),
            ("/home/dev/worktrees/orchard", None),
            ("/home/dev/orchard-worktrees/", None),
        ] {
            assert_eq!(worktree_name(path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn the_checkout_of_a_worktree_is_found_in_the_path() {
        let of = |path| checkout(path).map(|(checkout, _)| checkout);
        assert_eq!(of("/home/dev/orchard-worktrees/prune/src"), Some("/home/dev/orchard"));
        assert_eq!(of("/home/dev/orchard/.worktrees/graft"), Some("/home/dev/orchard"));
        assert_eq!(of("/home/dev/orchard/.claude/worktrees/a-1"), Some("/home/dev/orchard"));
        assert_eq!(of("/home/dev/-worktrees/a-1"), None);
        assert!(is_worktree_of("/home/dev/orchard/.worktrees/graft", "/home/dev/orchard"));
        assert!(!is_worktree_of("/home/dev/orchard/.worktrees/graft/src", "/home/dev/orchard"));
        assert!(!is_worktree_of("/home/dev/orchard/.worktrees/graft", "/home/dev"));
    }

    #[test]
    fn a_subdirectory_is_in_the_same_checkout() {
        assert_eq!(below("/a/b/c", "/a/b"), Some("c"));
        assert_eq!(below("/a/bc", "/a/b"), None);
        assert_eq!(below("/a/b", "/a/b"), None);
        assert!(is_subdir("/a/b/c/d", "/a/b"));
        assert!(!is_subdir("/a/b/.worktrees/x", "/a/b"));
        assert!(is_subdir("/a/b/.worktrees/x/src", "/a/b/.worktrees/x"));
    }
}
