//! What ends a push early. What concerns a single line or transcript does not: that stands in the report.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a push could not begin or go on. Each message says what to do; none contains the API key.
#[derive(Debug, Error)]
pub enum Error {
    /// No server was named.
    #[error("no server is named; give --url or set HAN_URL (for example https://han.example.com)")]
    NoUrl,
    /// The server's address cannot be used.
    #[error(
        "the server's address cannot be used: {reason}; give --url or HAN_URL as https://host[:port][/path]"
    )]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// No API key was given.
    #[error(
        "no API key is given; set HAN_API_KEY, or HAN_API_KEY_FILE to the path of a file that holds it \
         (make one with `han-server key create`), or sign in with `han-coordinator login`"
    )]
    NoKey,
    /// The key was given twice, and it is not for us to choose.
    #[error("HAN_API_KEY and HAN_API_KEY_FILE are both set; unset one of them")]
    TwoKeys,
    /// The key's file cannot be read.
    #[error("cannot read HAN_API_KEY_FILE {}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key has characters that no key has.
    #[error("the API key is empty or has characters that no key has; copy it again, on one line")]
    BadKey,
    /// The directory or file to push cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Path {
        /// What was to be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The HTTP client could not be set up; most often the machine has no CA certificates.
    #[error("cannot set up HTTPS: {detail}; install the system's CA certificates (package ca-certificates)")]
    Tls {
        /// What the TLS library says.
        detail: String,
    },
    /// The file of logins cannot be read or written.
    #[error("cannot use the file of logins {}: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no place for the file of logins.
    #[error("there is no place to keep the login; set HAN_CONFIG_DIR or HOME")]
    NoConfigDir,
    /// Nobody can be told where to approve.
    #[error("cannot write: {source}")]
    Output {
        /// Why.
        source: io::Error,
    },
    /// Somebody has refused the login.
    #[error("the sign-in was refused in the browser")]
    LoginRefused,
    /// Nobody has approved in time.
    #[error("nobody approved the sign-in in time; run `han-coordinator login` again")]
    LoginExpired,
    /// The login has ended: signed out, not used for long, or used by somebody else.
    #[error("the login has ended (401): {detail}; run `han-coordinator login` again")]
    LoginEnded {
        /// The server's own words.
        detail: String,
    },
    /// 401: the server does not know the key.
    #[error(
        "the server does not accept the API key (401): {detail}; it may be expired, revoked or made for another \
         server: make a new one and set HAN_API_KEY"
    )]
    Unauthorised {
        /// The server's own words.
        detail: String,
    },
    /// 403: the server knows the key, which may not do this.
    #[error(
        "the API key may not push here (403): {detail}; check --team (HAN_TEAM) and that the key has the scope to \
         push"
    )]
    Forbidden {
        /// The server's own words.
        detail: String,
    },
    /// 3xx. Redirects are not followed: a key must not wander to where nobody sent it.
    #[error("the server redirects to {to}; redirects are not followed, give that server's address as --url")]
    Redirected {
        /// The `Location`, as sent.
        to: String,
    },
    /// 404 or 405: whoever answers there does not speak this protocol.
    #[error("{url} answers {status}; is --url (HAN_URL) the address of a Han team server?")]
    NotAServer {
        /// The address asked.
        url: String,
        /// The status it gave.
        status: u16,
    },
    /// Any other refusal of a whole request.
    #[error("the server refused the request ({status}): {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        detail: String,
    },
    /// Every attempt failed: no connection, a connection that broke, or a server too busy.
    #[error(
        "gave up after {attempts} attempts: {detail}; run the same command later, it goes on where it stopped"
    )]
    GaveUp {
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt came to.
        detail: String,
    },
    /// `Retry-After` is longer than a person waits.
    #[error(
        "the server asks to come back in {seconds} s ({status}): {detail}; run the same command then, it goes on \
         where it stopped"
    )]
    ComeBackLater {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, in seconds.
        seconds: u64,
        /// The server's own words.
        detail: String,
    },
    /// The answer is not what the protocol says it is.
    #[error(
        "the server's answer cannot be understood: {detail}; are server and coordinator of the same version?"
    )]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
}
