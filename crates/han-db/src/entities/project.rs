//! Projects (a directory agents worked in) and repositories (a git remote).

use han_transcript::project_path::ProjectPath;
use serde::{Deserialize, Serialize};

/// A project of a team.
#[derive(Clone, Debug)]
pub struct Project {
    /// A keyed hash of its path.
    pub id: String,
    /// Its repository.
    pub repo_id: Option<String>,
    /// What is sealed of it.
    pub details: ProjectDetails,
    /// Whether what is sealed of it could be opened; else `details` is empty, and the log says why.
    pub readable: bool,
    /// When it was first seen, in milliseconds since the epoch.
    pub created_at: i64,
}

/// What is sealed of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectDetails {
    /// The directory, normalized ([`ProjectPath::key`]).
    pub path: String,
}

impl ProjectDetails {
    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> String {
        ProjectPath::of(&self.path).map_or_else(|| self.path.clone(), |path| path.name)
    }
}

/// A repository of a team.
#[derive(Clone, Debug)]
pub struct Repo {
    /// A keyed hash of its remote.
    pub id: String,
    /// What is sealed of it.
    pub details: RepoDetails,
    /// Whether what is sealed of it could be opened; else `details` is empty, and the log says why.
    pub readable: bool,
    /// When it was first seen, in milliseconds since the epoch.
    pub created_at: i64,
}

/// What is sealed of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoDetails {
    /// The remote, as git names it.
    pub remote: String,
}

impl RepoDetails {
    /// The last part of the remote, without `.git`.
    #[must_use]
    pub fn name(&self) -> &str {
        let remote = self.remote.trim_end_matches('/');
        let remote = remote.strip_suffix(".git").unwrap_or(remote);
        remote.rsplit(['/', ':']).next().unwrap_or(remote)
    }
}
