//! The file descriptors of the process: each connection needs one.

/// How many connections the descriptors of this process allow, beside `reserved` for the database, files and the
/// log. Raises the soft limit to the hard limit first, and logs both.
#[cfg(unix)]
#[must_use]
pub fn for_connections(reserved: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, ..before };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the soft limit of file descriptors could not be raised");
    }
    let now = getrlimit(Resource::Nofile).current;
    let descriptors = now.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let connections = descriptors.saturating_sub(reserved).max(1);
    tracing::info!(descriptors, before = before.current, reserved, "file descriptors");
    connections
}

/// How many connections the descriptors of this process allow: this system has no such limit.
#[cfg(not(unix))]
#[must_use]
pub fn for_connections(_reserved: usize) -> usize {
    usize::MAX
}
