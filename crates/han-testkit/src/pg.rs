//! Throwaway PostgreSQL clusters, created by `script/lib/pg.sh`, which the shell scripts use, too. Not here: databases
//! within a cluster ([`crate::TestDatabase`]).

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use thiserror::Error;

/// The variable with the superuser's URL of the cluster that `script/test` starts for a test run.
pub const TEST_VARIABLE: &str = "HAN_TEST_PG";

/// The variable with the superuser's URL of the durable cluster that `script/bench` starts.
pub const BENCH_VARIABLE: &str = "HAN_BENCH_PG";

/// Whether commits wait for the disk (fsync).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `fsync = off`: for tests, whose data need not survive a crash of the machine.
    None,
    /// PostgreSQL's defaults, as in production: for benchmarks.
    Full,
}

/// Why a cluster is not available.
#[derive(Debug, Error)]
#[error("no PostgreSQL for tests: {0}")]
pub struct ClusterError(String);

/// A PostgreSQL server of this process, or of the test run ([`Cluster::shared`]).
///
/// It listens on 127.0.0.1 with trust authentication and `max_connections = 300`. Dropping it, or the end of this
/// process for any reason, stops the server and deletes its files.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    holder: Option<Child>,
    /// The responses of the holder.
    responses: Option<BufReader<ChildStdout>>,
}

impl Cluster {
    /// Starts a cluster for the caller alone. Blocks for about a second.
    ///
    /// # Errors
    /// If PostgreSQL 15 or newer is not installed or does not start. The message names the cause and the remedy.
    pub fn start(durability: Durability) -> Result<Self, ClusterError> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../script/lib/pg.sh");
        let mut command = Command::new("bash");
        command.arg(script).arg("hold");
        if durability == Durability::Full {
            command.arg("--durable");
        }
        // Its own process group, because the Ctrl-C that ends the tests must not end the process that cleans up.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| ClusterError(format!("bash does not start: {e}")))?;

        let mut url = String::new();
        let mut responses = holder.stdout.take().map(BufReader::new);
        if let Some(responses) = &mut responses {
            responses.read_line(&mut url).map_err(|e| ClusterError(e.to_string()))?;
        }
        if !url.ends_with('\n') {
            let mut why = String::new();
            if let Some(mut err) = holder.stderr.take() {
                let _ = err.read_to_string(&mut why);
            }
            let _ = holder.wait();
            return Err(ClusterError(why.trim().to_owned()));
        }
        // Standard error is not read any more, and a full pipe would block the holder's cleanup.
        drop(holder.stderr.take());
        Ok(Self { url: url.trim().to_owned(), holder: Some(holder), responses })
    }

    /// Kills the postmaster (SIGKILL), as in a crash; its backends then exit.
    ///
    /// # Errors
    /// If the cluster is not of this process, or its holder has exited.
    pub fn crash(&mut self) -> Result<(), ClusterError> {
        self.send_command("crash")
    }

    /// Restarts it after [`Cluster::crash`], at the same address, and waits until it has recovered.
    ///
    /// # Errors
    /// As for [`Cluster::crash`], or if it does not start.
    pub fn restart(&mut self) -> Result<(), ClusterError> {
        self.send_command("restart")
    }

    fn send_command(&mut self, command: &str) -> Result<(), ClusterError> {
        let failed = |why: &str| ClusterError(format!("{command}: {why}"));
        let input = self.holder.as_mut().and_then(|holder| holder.stdin.as_mut());
        let input =
            input.ok_or_else(|| failed("the cluster belongs to the test run, not to this process"))?;
        writeln!(input, "{command}").map_err(|e| failed(&e.to_string()))?;
        let mut response = String::new();
        if let Some(responses) = &mut self.responses {
            responses.read_line(&mut response).map_err(|e| failed(&e.to_string()))?;
        }
        if response.trim() == "done" { Ok(()) } else { Err(failed("the command failed")) }
    }

    /// The test run's cluster if [`TEST_VARIABLE`] is set; it outlives this process. Otherwise one for this process,
    /// started on first use.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn shared() -> Result<&'static Self, &'static ClusterError> {
        static SHARED: OnceLock<Result<Cluster, ClusterError>> = OnceLock::new();
        SHARED
            .get_or_init(|| match std::env::var(TEST_VARIABLE) {
                Ok(url) if !url.is_empty() => Ok(Self { url, holder: None, responses: None }),
                _ => Self::start(Durability::None),
            })
            .as_ref()
    }

    /// The URL of a superuser in the database `postgres`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same URL with another database.
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
            // The holder stops the server when its standard input closes.
            drop(holder.stdin.take());
            let _ = holder.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cluster;

    #[test]
    fn url_of_replaces_the_database_in_any_form_of_url() {
        for (given, wanted) in [
            ("postgres://postgres@127.0.0.1:5432/postgres", "postgres://postgres@127.0.0.1:5432/x"),
            ("postgres://postgres@127.0.0.1:5432", "postgres://postgres@127.0.0.1:5432/x"),
            ("postgres://h/postgres?sslmode=disable", "postgres://h/x?sslmode=disable"),
        ] {
            let cluster = Cluster { url: given.to_owned(), holder: None, responses: None };
            assert_eq!(cluster.url_of("x"), wanted);
        }
    }
}
