//! The command line: turns arguments and environment into a push or a login, and writes the report to a stream. `main`
//! passes in the environment and the streams, so that tests can replace them.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use han_types::sync::SyncTeam;
use secrecy::{ExposeSecret as _, SecretString};

use crate::batch::BatchLimits;
use crate::client::{ChooseTeam, Client, ClientConfig, TokioSleeper};
use crate::error::Error;
use crate::login::{login, without_control_characters};
use crate::memory::PushMemory;
use crate::push::{PushOptions, push_remembering};
use crate::report::PushReport;
use crate::store::LoginStore;

/// The local component of Han Teams.
#[derive(Debug, Parser)]
#[command(name = "han-coordinator", version)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The coordinator's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Push transcripts to a team server. Continues where the last push stopped; lines are never stored twice.
    Push(PushArgs),
    /// Sign in to a team server in the browser. Later pushes need no API key.
    Login(LoginArgs),
}

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The team server's address.
    #[arg(long = "server", env = "HAN_URL", hide_env_values = true)]
    pub url: Option<String>,
}

/// Arguments of `push`. The API key is no argument, because every user of the machine can list arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "The API key is read from HAN_API_KEY, or from the file named by HAN_API_KEY_FILE. Without a key, the \
                        login of `han-coordinator login` is used.\n\
                        Exit status: 0 if every line was stored, or reported as rejected or as longer than --max-line-bytes; \
                        1 if something failed or the server refused a line as too large; 2 for invalid arguments."
)]
pub struct PushArgs {
    /// The folder of all projects, one project's folder, or one session's file [default: projects in CLAUDE_CONFIG_DIR, or
    /// ~/.claude/projects].
    pub dir: Option<PathBuf>,
    /// The team server's address.
    #[arg(long, env = "HAN_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// The team to push to, by its slug or id; by default, the team of the API key, or the only one of the login.
    #[arg(long, env = "HAN_TEAM")]
    pub team: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// The maximum number of lines in a batch, which the server stores in one transaction.
    #[arg(long, value_name = "LINES", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_lines: u32,
    /// The maximum size of a request before compression; a larger line is sent in a request of its own.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_bytes: u32,
    /// Longer lines are not sent; their length and hash are stored instead.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1024..))]
    pub max_line_bytes: u32,
}

/// The environment variables that concern secrets. clap reads the others, and may display their values.
#[derive(Default)]
pub struct Environment {
    /// `HAN_API_KEY`.
    pub api_key: Option<SecretString>,
    /// `HAN_API_KEY_FILE`.
    pub api_key_file: Option<PathBuf>,
    /// The folder of the agent's transcripts: `projects` in `CLAUDE_CONFIG_DIR`, else in `~/.claude`.
    pub projects: Option<PathBuf>,
    /// The directory of the logins and of what was pushed: `HAN_CONFIG_DIR`, else `han` in `XDG_CONFIG_HOME` or `~/.config`.
    pub config_dir: Option<PathBuf>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("api_key_file", &self.api_key_file).finish_non_exhaustive()
    }
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        Self {
            // Text that is not Unicode is no valid key; the client rejects it later.
            api_key: set("HAN_API_KEY").map(|key| key.to_string_lossy().into_owned().into()),
            api_key_file: set("HAN_API_KEY_FILE").map(PathBuf::from),
            projects: set("CLAUDE_CONFIG_DIR")
                .map(PathBuf::from)
                .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".claude")))
                .map(|agent| agent.join("projects")),
            config_dir: set("HAN_CONFIG_DIR")
                .map(PathBuf::from)
                .or_else(|| set("XDG_CONFIG_HOME").map(|home| PathBuf::from(home).join("han")))
                .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".config/han"))),
        }
    }

    fn store(&self) -> Option<LoginStore> {
        self.config_dir.as_ref().map(LoginStore::new)
    }

    fn key(&self) -> Result<SecretString, Error> {
        match (&self.api_key, &self.api_key_file) {
            (Some(_), Some(_)) => Err(Error::ConflictingKeys),
            (Some(key), None) => Ok(key.expose_secret().trim().into()),
            (None, Some(path)) => {
                let text = SecretString::from(
                    fs::read_to_string(path)
                        .map_err(|source| Error::KeyFile { path: path.clone(), source })?,
                );
                Ok(text.expose_secret().trim().into())
            }
            (None, None) => Err(Error::MissingKey),
        }
    }
}

/// Runs the command and returns the exit status: 0 on success, else 1. Writes the report to `out`; if that fails,
/// writes an error to `err`.
pub async fn run(cli: Cli, environment: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let args = match cli.command {
        Command::Push(args) => args,
        Command::Login(args) => return sign_in(&args, environment, out, err).await,
    };
    let json = args.json;
    let built = build_client(&args, environment).and_then(|client| {
        Ok((client, args.dir.as_ref().or(environment.projects.as_ref()).ok_or(Error::MissingDir)?))
    });
    let report = match built {
        Ok((client, dir)) => {
            let client = client.with_chooser(Arc::new(Terminal));
            let mut memory = environment.config_dir.as_deref().map(PushMemory::of).unwrap_or_default();
            push_remembering(dir, &client, &args.options(), &mut memory).await
        }
        Err(error) => PushReport { stopped: Some(error), ..PushReport::default() },
    };
    let written = if json { write_json(&report, out) } else { report.write(out) };
    if let Err(error) = written.and_then(|()| out.flush()) {
        // If standard error fails, too, there is no other place to report it.
        let _ = writeln!(err, "cannot write the report: {error}");
        return 1;
    }
    u8::from(!report.succeeded())
}

/// Asks the person at the terminal, if there is one.
struct Terminal;

impl ChooseTeam for Terminal {
    fn choose(&self, teams: &[SyncTeam]) -> Option<usize> {
        let (input, mut output) = (io::stdin(), io::stderr());
        if !input.is_terminal() || !output.is_terminal() {
            return None;
        }
        ask(teams, &mut input.lock(), &mut output).ok().flatten()
    }
}

/// Asks for one of several teams, by its number or slug, until the answer names one or the input ends.
fn ask(teams: &[SyncTeam], input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<Option<usize>> {
    writeln!(output, "This login may push to several teams:")?;
    for (number, team) in (1..).zip(teams) {
        writeln!(
            output,
            "  {number}  {} ({})",
            without_control_characters(&team.slug),
            without_control_characters(&team.name)
        )?;
    }
    loop {
        write!(output, "Which one? (--team names it without this question) ")?;
        output.flush()?;
        let mut answer = String::new();
        if input.read_line(&mut answer)? == 0 {
            return Ok(None);
        }
        let answer = answer.trim();
        let by_number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let by_name = || teams.iter().position(|team| team.slug == answer || team.id == answer);
        if let Some(index) = by_number.filter(|index| *index < teams.len()).or_else(by_name) {
            return Ok(Some(index));
        }
    }
}

async fn sign_in(
    args: &LoginArgs,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let signed_in = async {
        let url = non_empty(args.url.as_ref()).ok_or(Error::MissingUrl)?;
        let store = environment.store().ok_or(Error::MissingConfigDir)?;
        login(&url, &store, &TokioSleeper, out).await
    };
    match signed_in.await {
        Ok(()) => 0,
        Err(error) => {
            // If standard error fails, there is no other place to report it.
            let _ = writeln!(err, "han-coordinator: {error}");
            1
        }
    }
}

fn non_empty(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty()).cloned()
}

/// An API key takes precedence over a login. Without a URL, the login is used if there is exactly one.
fn build_client(args: &PushArgs, environment: &Environment) -> Result<Client, Error> {
    let team = non_empty(args.team.as_ref());
    let url = non_empty(args.url.as_ref());
    match (environment.key(), environment.store()) {
        (Err(Error::MissingKey), Some(store)) => {
            let url = match (url, &mut store.servers()?[..]) {
                (Some(url), _) => url,
                (None, [only]) => std::mem::take(only),
                (None, _) => return Err(Error::MissingUrl),
            };
            Client::with_login(&url, store, team)
        }
        (key, _) => {
            let url = url.ok_or(Error::MissingUrl)?;
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
            limits: BatchLimits {
                body_bytes: self.batch_bytes as usize,
                batch_lines: self.batch_lines as usize,
            },
            max_line_bytes: self.max_line_bytes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use han_types::sync::SyncTeam;

    use super::ask;

    #[test]
    fn a_team_is_chosen_by_its_number_or_its_slug() {
        let team = |slug: &str| SyncTeam {
            id: format!("id-{slug}"),
            slug: slug.to_owned(),
            name: slug.to_uppercase(),
        };
        let teams = [team("ana"), team("shop")];
        for (answers, chosen) in [
            ("2\n", Some(1)),
            ("shop\n", Some(1)),
            ("id-ana", Some(0)),
            ("0\n3\nx\n\n1\n", Some(0)),
            ("x\n", None),
            ("", None),
        ] {
            let mut shown = Vec::new();
            assert_eq!(ask(&teams, &mut answers.as_bytes(), &mut shown).unwrap(), chosen, "{answers:?}");
            let shown = String::from_utf8(shown).unwrap();
            assert!(shown.contains("1  ana (ANA)") && shown.contains("2  shop (SHOP)"), "{shown}");
        }
    }
}
