//! The command line: arguments and environment to a push, and its report to a stream. The process's own environment
//! and streams come in from `main`, so that all of this can be tested.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};

use crate::batch::Limits;
use crate::client::{Client, ClientConfig, TokioSleeper};
use crate::error::Error;
use crate::login::login;
use crate::push::{PushOptions, push};
use crate::report::PushReport;
use crate::store::Store;

/// The local half of Han Teams.
#[derive(Debug, Parser)]
#[command(name = "han-coordinator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the coordinator can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Push transcripts to a team server. Goes on where the last push stopped; pushing twice stores once.
    Push(PushArgs),
    /// Sign in to a team server: approve in a browser, and later pushes need no API key.
    Login(LoginArgs),
}

/// Where to sign in.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The team server's address.
    #[arg(long = "server", env = "HAN_URL", hide_env_values = true)]
    pub url: Option<String>,
}

/// The API key is no argument: arguments are shown to everybody on the machine.
#[derive(Debug, Args)]
#[command(
    after_help = "The API key is read from HAN_API_KEY, or from the file that HAN_API_KEY_FILE names; without one, the \
                        login of `han-coordinator login` is used.\n\
                        Exit status: 0 when everything was taken in or named as rejected, 1 when something failed, \
                        2 for wrong arguments."
)]
pub struct PushArgs {
    /// The folder of all projects (~/.claude/projects), one project's folder, or one session's file.
    pub dir: PathBuf,
    /// The team server's address.
    #[arg(long, env = "HAN_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// The team to push to; the API key's own team without it.
    #[arg(long, env = "HAN_TEAM")]
    pub team: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Lines of a transcript that the server stores in one transaction.
    #[arg(long, value_name = "LINES", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_lines: u32,
    /// Bytes of a request before compression; a single larger line goes alone.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_bytes: u32,
    /// Longer lines are not sent; their length and hash are stored in their place.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1024..))]
    pub max_line_bytes: u32,
}

/// The environment variables that hold secrets, apart from those that clap reads and may show.
#[derive(Default)]
pub struct Environment {
    /// `HAN_API_KEY`.
    pub api_key: Option<SecretString>,
    /// `HAN_API_KEY_FILE`.
    pub api_key_file: Option<PathBuf>,
    /// Where logins are kept: `HAN_CONFIG_DIR`, else `han` in `XDG_CONFIG_HOME` or `~/.config`.
    pub config_dir: Option<PathBuf>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("api_key_file", &self.api_key_file).finish_non_exhaustive()
    }
}

impl Environment {
    /// This process's own.
    #[must_use]
    pub fn of_process() -> Self {
        let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        Self {
            // Whatever is not Unicode is not a key either, and is refused as such later.
            api_key: set("HAN_API_KEY").map(|key| key.to_string_lossy().into_owned().into()),
            api_key_file: set("HAN_API_KEY_FILE").map(PathBuf::from),
            config_dir: set("HAN_CONFIG_DIR")
                .map(PathBuf::from)
                .or_else(|| set("XDG_CONFIG_HOME").map(|home| PathBuf::from(home).join("han")))
                .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".config/han"))),
        }
    }

    fn store(&self) -> Option<Store> {
        self.config_dir.as_ref().map(Store::new)
    }

    fn key(&self) -> Result<SecretString, Error> {
        match (&self.api_key, &self.api_key_file) {
            (Some(_), Some(_)) => Err(Error::TwoKeys),
            (Some(key), None) => Ok(key.expose_secret().trim().into()),
            (None, Some(path)) => {
                let text = SecretString::from(
                    fs::read_to_string(path)
                        .map_err(|source| Error::KeyFile { path: path.clone(), source })?,
                );
                Ok(text.expose_secret().trim().into())
            }
            (None, None) => Err(Error::NoKey),
        }
    }
}

/// Does what `cli` says; the exit status is 0 where nothing failed and 1 otherwise. The report goes to `out`; where
/// even that cannot be written, `err` says so.
pub async fn run(cli: Cli, environment: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let args = match cli.command {
        Command::Push(args) => args,
        Command::Login(args) => return sign_in(&args, environment, out, err).await,
    };
    let json = args.json;
    let report = match prepare(&args, environment) {
        Ok(client) => push(&args.dir, &client, &args.options()).await,
        Err(error) => PushReport { stopped: Some(error), ..PushReport::default() },
    };
    let written = if json { write_json(&report, out) } else { report.write(out) };
    if let Err(error) = written.and_then(|()| out.flush()) {
        // There is nobody left to tell that this could not be told.
        let _ = writeln!(err, "cannot write the report: {error}");
        return 1;
    }
    u8::from(!report.succeeded())
}

async fn sign_in(
    args: &LoginArgs,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let signed_in = async {
        let url = given(args.url.as_ref()).ok_or(Error::NoUrl)?;
        let store = environment.store().ok_or(Error::NoConfigDir)?;
        login(&url, &store, &TokioSleeper, out).await
    };
    match signed_in.await {
        Ok(()) => 0,
        Err(error) => {
            // There is nobody left to tell that this could not be told.
            let _ = writeln!(err, "han-coordinator: {error}");
            1
        }
    }
}

fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty()).cloned()
}

/// A key that was given goes first; without one, a login is used, of the only server where none is named.
fn prepare(args: &PushArgs, environment: &Environment) -> Result<Client, Error> {
    let team = given(args.team.as_ref());
    let url = given(args.url.as_ref());
    match (environment.key(), environment.store()) {
        (Err(Error::NoKey), Some(store)) => {
            let url = match (url, &mut store.servers()?[..]) {
                (Some(url), _) => url,
                (None, [only]) => std::mem::take(only),
                (None, _) => return Err(Error::NoUrl),
            };
            Client::with_login(&url, store, team)
        }
        (key, _) => {
            let url = url.ok_or(Error::NoUrl)?;
            Client::new(ClientConfig { url, api_key: key?, team })
        }
    }
}

fn write_json(report: &PushReport, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

impl PushArgs {
    fn options(&self) -> PushOptions {
        PushOptions {
            limits: Limits { body_bytes: self.batch_bytes as usize, batch_lines: self.batch_lines as usize },
            max_line_bytes: self.max_line_bytes.into(),
        }
    }
}
