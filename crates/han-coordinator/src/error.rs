//! Errors that end a push or a login. Not here: errors of single lines and transcripts, which are in the report.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An error that ends a push or a login. Each message names the remedy; none contains the API key.
#[derive(Debug, Error)]
pub enum Error {
    /// No server was given.
    #[error("no server is given; use --url or set HAN_URL (for example https://han.example.com)")]
    MissingUrl,
    /// The server's address is invalid.
    #[error("the server's address is invalid: {reason}; give --url or HAN_URL as https://host[:port][/path]")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// No API key was given.
    #[error(
        "no API key is given; set HAN_API_KEY, or set HAN_API_KEY_FILE to the path of a file with the key (create one \
         with `han-server key create`), or sign in with `han-coordinator login`"
    )]
    MissingKey,
    /// The key is given twice.
    #[error("HAN_API_KEY and HAN_API_KEY_FILE are both set; unset one of them")]
    ConflictingKeys,
    /// The key's file cannot be read.
    #[error("cannot read HAN_API_KEY_FILE {}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key is empty or has invalid characters.
    #[error("the API key is empty or has characters that no key has; copy it again, as one line")]
    BadKey,
    /// No directory to push is given, and there is no default one.
    #[error(
        "no directory is given, and HOME is not set; give the folder of the transcripts, such as ~/.claude/projects"
    )]
    MissingDir,
    /// The directory or file to push cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Path {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The HTTP client could not be created; usually the machine has no CA certificates.
    #[error("cannot set up HTTPS: {detail}; install the system's CA certificates (package ca-certificates)")]
    Tls {
        /// The message of the TLS library.
        detail: String,
    },
    /// The file of logins cannot be read or written.
    #[error("cannot use the file of logins {}: {source}", path.display())]
    LoginFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no directory for the file of logins.
    #[error("there is no directory for the login; set HAN_CONFIG_DIR or HOME")]
    MissingConfigDir,
    /// The address for approval cannot be written.
    #[error("cannot write: {source}")]
    Output {
        /// Why.
        source: io::Error,
    },
    /// The login was refused in the browser.
    #[error("the sign-in was refused in the browser")]
    LoginRefused,
    /// The login was not approved in time.
    #[error("the sign-in was not approved in time; run `han-coordinator login` again")]
    LoginExpired,
    /// The login has ended: signed out, unused for too long, or its refresh token was used elsewhere.
    #[error("the login has ended (401): {detail}; run `han-coordinator login` again")]
    LoginEnded {
        /// The server's own words.
        detail: String,
    },
    /// 401: the server does not know the key.
    #[error(
        "the server does not accept the API key (401): {detail}; the key may be expired, revoked or of another server: \
         create a new one and set HAN_API_KEY"
    )]
    Unauthorised {
        /// The server's own words.
        detail: String,
    },
    /// 403: the key is valid but lacks the permission.
    #[error(
        "the API key has no permission to push here (403): {detail}; check --team (HAN_TEAM) and that the key has the \
         scope sync:write"
    )]
    Forbidden {
        /// The server's own words.
        detail: String,
    },
    /// 3xx. Redirects are not followed, because they would send the key to a server that the user did not name.
    #[error("the server redirects to {to}; redirects are not followed: give that server's address as --url")]
    Redirected {
        /// The `Location` header.
        to: String,
    },
    /// 404 or 405: the server does not implement this protocol.
    #[error("{url} responds with {status}; is --url (HAN_URL) the address of a Han team server?")]
    WrongServer {
        /// The requested URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// 404 for a team: it does not exist, or the credential gives no access to it.
    #[error(
        "the server has no team {team} for this credential: {detail}; give the slug or the id of one of your teams"
    )]
    UnknownTeam {
        /// The team as it was given.
        team: String,
        /// The server's own words.
        detail: String,
    },
    /// The login gives access to several teams, and none was chosen.
    #[error("this login may push to several teams: choose one with --team (HAN_TEAM): {}", teams.join(", "))]
    SeveralTeams {
        /// Their slugs.
        teams: Vec<String>,
    },
    /// Any other error status.
    #[error("the server refused the request ({status}): {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        detail: String,
    },
    /// Every attempt failed: no connection, a broken connection, or an overloaded server.
    #[error(
        "gave up after {attempts} attempts: {detail}; run the same command later, it continues where it stopped"
    )]
    RetriesExhausted {
        /// The number of attempts.
        attempts: u32,
        /// The error of the last attempt.
        detail: String,
    },
    /// `Retry-After` is longer than the client waits.
    #[error(
        "the server asks to retry in {seconds} s ({status}): {detail}; run the same command then, it continues where \
         it stopped"
    )]
    RetryLater {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, in seconds.
        seconds: u64,
        /// The server's own words.
        detail: String,
    },
    /// The response violates the protocol.
    #[error("the server's response is invalid: {detail}; are server and coordinator of the same version?")]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
}
