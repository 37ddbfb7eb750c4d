//! Throwaway PostgreSQL clusters. How one is made lies in `script/lib/pg.sh`, which the shell scripts use too;
//! databases within a cluster are [`crate::TestDatabase`]'s.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use thiserror::Error;

/// Names the cluster that `script/test` started for a whole run: the URL of a superuser.
pub const TEST_VARIABLE: &str = "HAN_TEST_PG";

/// Names the cluster with durable settings that `script/bench` started.
pub const BENCH_VARIABLE: &str = "HAN_BENCH_PG";

/// Whether commits wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `fsync = off`: for tests, which lose nothing if the machine dies.
    None,
    /// PostgreSQL's defaults, as production runs: for measuring.
    Full,
}

/// Why there is no cluster.
#[derive(Debug, Error)]
#[error("no PostgreSQL to test on: {0}")]
pub struct ClusterError(String);

/// A PostgreSQL server of our own (or, for [`Cluster::shared`], perhaps of the test run's).
///
/// Trust authentication, `max_connections = 300`, on 127.0.0.1. Dropping it stops the server and removes its
/// files; so does the end of this process, however it comes.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    holder: Option<Child>,
    /// What the holder answers.
    answers: Option<BufReader<ChildStdout>>,
}

impl Cluster {
    /// Starts one for the caller alone. Blocks for about a second.
    ///
    /// # Errors
    /// PostgreSQL 15 or newer is not installed, or does not start; the text says which and what to do.
    pub fn start(durability: Durability) -> Result<Self, ClusterError> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../script/lib/pg.sh");
        let mut command = Command::new("bash");
        command.arg(script).arg("hold");
        if durability == Durability::Full {
            command.arg("--durable");
        }
        // A process group of its own: the Ctrl-C that ends the tests must not end the one who cleans up.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| ClusterError(format!("bash does not start: {e}")))?;

        let mut url = String::new();
        let mut answers = holder.stdout.take().map(BufReader::new);
        if let Some(answers) = &mut answers {
            answers.read_line(&mut url).map_err(|e| ClusterError(e.to_string()))?;
        }
        if !url.ends_with('\n') {
            let mut why = String::new();
            if let Some(mut err) = holder.stderr.take() {
                let _ = err.read_to_string(&mut why);
            }
            let _ = holder.wait();
            return Err(ClusterError(why.trim().to_owned()));
        }
        // A full pipe would stop the holder's cleaning up; nobody reads its complaints from here on.
        drop(holder.stderr.take());
        Ok(Self { url: url.trim().to_owned(), holder: Some(holder), answers })
    }

    /// Ends the postmaster as by a crash (SIGKILL); its backends follow it. Only a cluster of the caller's own.
    ///
    /// # Errors
    /// It is not our own, or its holder is gone.
    pub fn crash(&mut self) -> Result<(), ClusterError> {
        self.tell("crash")
    }

    /// Starts it again after [`Cluster::crash`], at the same address, and waits until it has recovered.
    ///
    /// # Errors
    /// As for [`Cluster::crash`], or it does not start.
    pub fn revive(&mut self) -> Result<(), ClusterError> {
        self.tell("revive")
    }

    fn tell(&mut self, command: &str) -> Result<(), ClusterError> {
        let failed = |why: &str| ClusterError(format!("{command}: {why}"));
        let input = self.holder.as_mut().and_then(|holder| holder.stdin.as_mut());
        let input = input.ok_or_else(|| failed("the cluster is not this process's own"))?;
        writeln!(input, "{command}").map_err(|e| failed(&e.to_string()))?;
        let mut answer = String::new();
        if let Some(answers) = &mut self.answers {
            answers.read_line(&mut answer).map_err(|e| failed(&e.to_string()))?;
        }
        if answer.trim() == "done" { Ok(()) } else { Err(failed("PostgreSQL did not do it")) }
    }

    /// The test run's cluster where [`TEST_VARIABLE`] names one (it then lasts beyond this process), else one
    /// for this process, started on first use.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn shared() -> Result<&'static Self, &'static ClusterError> {
        static SHARED: OnceLock<Result<Cluster, ClusterError>> = OnceLock::new();
        SHARED
            .get_or_init(|| match std::env::var(TEST_VARIABLE) {
                Ok(url) if !url.is_empty() => Ok(Self { url, holder: None, answers: None }),
                _ => Self::start(Durability::None),
            })
            .as_ref()
    }

    /// The URL of a superuser in the database `postgres`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same with another database.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        let (before, query) = match self.url.split_once('?') {
            Some((before, query)) => (before, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let authority = match before.match_indices('/').nth(2) {
            Some((slash, _)) => &before[..slash],
            None => before,
        };
        format!("{authority}/{database}{query}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            // The end of its standard input is what it waits for; then it stops the server.
            drop(holder.stdin.take());
            let _ = holder.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cluster;

    #[test]
    fn a_database_is_named_whatever_the_cluster_url_looks_like() {
        for (given, wanted) in [
            ("postgres://postgres@127.0.0.1:5432/postgres", "postgres://postgres@127.0.0.1:5432/x"),
            ("postgres://postgres@127.0.0.1:5432", "postgres://postgres@127.0.0.1:5432/x"),
            ("postgres://h/postgres?sslmode=disable", "postgres://h/x?sslmode=disable"),
        ] {
            let cluster = Cluster { url: given.to_owned(), holder: None, answers: None };
            assert_eq!(cluster.url_of("x"), wanted);
        }
    }
}
