//! Runs programs as child processes: start, wait for output lines, signal, wait for the exit.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The maximum wait for an output line or the exit. Only a failing test reaches it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as Ctrl-C does.
    Interrupt,
    /// SIGTERM: requests a clean exit.
    Terminate,
    /// SIGKILL: ends the process as in a crash.
    Kill,
    /// SIGSTOP: pauses the process, as on a machine that hangs.
    Stop,
    /// SIGCONT: resumes it after [`Signal::Stop`].
    Continue,
}

/// A program's output.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of standard error.
    pub stderr: Vec<String>,
}

impl Output {
    /// The first line of either stream that contains `text`.
    #[must_use]
    pub fn line_with(&self, text: &str) -> Option<&str> {
        self.stdout.iter().chain(&self.stderr).find(|line| line.contains(text)).map(String::as_str)
    }
}

/// A running program; dropping it kills it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    output: Arc<Mutex<Output>>,
    /// The number of lines of each stream; closed at the stream's end.
    line_counts: [watch::Receiver<usize>; 2],
}

impl Program {
    /// Starts `path` (in tests, `env!("CARGO_BIN_EXE_…")`) with `args`. The environment has only `env` and the caller's
    /// `PATH` and `HOME`, so that a developer's settings do not affect the test.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start<A, K, V>(
        path: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        env: impl IntoIterator<Item = (K, V)>,
    ) -> Self
    where
        A: AsRef<OsStr>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let path = path.as_ref();
        let name = path.to_string_lossy().into_owned();
        let mut child = Command::new(path)
            .args(args)
            .env_clear()
            // The last one is where script/coverage collects what ran.
            .envs(
                ["PATH", "HOME", "LLVM_PROFILE_FILE"]
                    .into_iter()
                    .filter_map(|key| Some((key, std::env::var_os(key)?))),
            )
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let output = Arc::new(Mutex::new(Output::default()));
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let line_counts = [
            collect(stdout, Arc::clone(&output), |output, line| output.stdout.push(line)),
            collect(stderr, Arc::clone(&output), |output, line| output.stderr.push(line)),
        ];
        Self { name, child, output, line_counts }
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its output so far.
    #[must_use]
    pub fn output(&self) -> Output {
        self.output.lock().expect("no reader panicked").clone()
    }

    /// Waits for the first line, on either stream, that contains `text`, and returns it.
    ///
    /// # Panics
    /// If the program exits, or a minute passes, without such a line. The message contains the output.
    pub async fn wait_for_line(&mut self, text: &str) -> String {
        let [mut out, mut err] = self.line_counts.clone();
        let found = tokio::time::timeout(TIMEOUT, async {
            let (mut out_open, mut err_open) = (true, true);
            loop {
                // Mark before searching, so that a line that arrives between searching and waiting is noticed.
                out.mark_unchanged();
                err.mark_unchanged();
                out_open = out_open && out.has_changed().is_ok();
                err_open = err_open && err.has_changed().is_ok();
                if let Some(line) = self.output().line_with(text) {
                    return Some(line.to_owned());
                }
                if !out_open && !err_open {
                    return None;
                }
                tokio::select! {
                    _ = out.changed(), if out_open => {}
                    _ = err.changed(), if err_open => {}
                }
            }
        })
        .await;
        match found {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} exited without printing {text:?}: {:#?}", self.name, self.output()),
            Err(_) => panic!("{} did not print {text:?} in time: {:#?}", self.name, self.output()),
        }
    }

    /// Sends a signal; does nothing after the program has exited.
    pub async fn signal(&self, signal: Signal) {
        let Some(id) = self.id() else { return };
        let flag = match signal {
            Signal::Interrupt => "-INT",
            Signal::Terminate => "-TERM",
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        // The standard library can only send SIGKILL; the shell's `kill` is always available.
        let script = format!("kill {flag} {id}");
        let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().await;
    }

    /// Waits until it exits, and returns its exit status and its output.
    ///
    /// # Panics
    /// If that takes more than a minute.
    pub async fn wait(mut self) -> (ExitStatus, Output) {
        let ended = tokio::time::timeout(TIMEOUT, async {
            let status = self.child.wait().await.expect("a child can be waited for");
            for stream in &mut self.line_counts {
                while stream.changed().await.is_ok() {}
            }
            status
        })
        .await;
        match ended {
            Ok(status) => (status, self.output()),
            Err(_) => panic!("{} did not exit in time: {:#?}", self.name, self.output()),
        }
    }
}

fn collect(
    stream: impl AsyncRead + Send + Unpin + 'static,
    output: Arc<Mutex<Output>>,
    keep: fn(&mut Output, String),
) -> watch::Receiver<usize> {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes).await, Ok(n) if n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            keep(&mut output.lock().expect("no reader panicked"), line);
            sender.send_modify(|count| *count += 1);
        }
    });
    receiver
}
