//! Logins of command-line programs that a user approves in a browser: the device flow of RFC 8628. Creates and checks the
//! codes; the messages of the protocol are in the server.

use std::collections::HashMap;
use std::net::IpAddr;

use han_crypto::{OpaqueToken, TokenHash};
use han_types::{Timestamp, UserId};
use sea_orm::FromQueryResult;

use super::audit::{Entry, Event};
use super::sign_ins::clip;
use super::token_families::{IssuedToken, NewFamily};
use crate::stored::{CountRow, stored_id};
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// The prefix of a device code.
pub const DEVICE_PREFIX: &str = "han_device_";

/// How long a login waits for its approval: 10 minutes.
pub const DEVICE_SECONDS: i64 = 10 * 60;

/// The interval between two polls, in seconds, and the amount by which it grows for a program that polls too often (RFC
/// 8628, sections 3.2 and 3.5).
pub const POLL_SECONDS: i64 = 5;

/// The letters of user codes: consonants that do not look alike, so that no words appear (RFC 8628, section 6.1).
pub const USER_CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The length of a user code. 20⁸ codes are 34.6 bits, and a client can try only few of them.
pub const USER_CODE_LENGTH: usize = 8;

/// The maximum number of waiting logins. At this number, one guess in 2.5 million matches one of them. Beyond it, the
/// network with the most of them loses its oldest ones, at most so many at once.
const MOST_WAITING: i64 = 10_000;
const EVICTED: usize = 500;

/// How much earlier than the interval a poll may arrive, in milliseconds, because network delays vary.
const LEEWAY_MS: i64 = 1000;

/// A new login.
#[derive(Debug)]
pub struct NewDeviceLogin {
    /// The device code, with which the program polls.
    pub device_code: OpaqueToken,
    /// The user code, without its hyphen.
    pub user_code: String,
}

/// A login that waits for its approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingLogin {
    /// The user code, without its hyphen.
    pub user_code: String,
    /// The name that the program gives itself.
    pub client: String,
    /// The program's address.
    pub asked_from: String,
    /// When the login was started.
    pub created_at: Timestamp,
}

/// The answer to a program that polls.
#[derive(Debug)]
pub enum Polled {
    /// The user has not decided yet.
    Pending,
    /// The program polls too often.
    SlowDown,
    /// A user has refused.
    Denied,
    /// The user has not decided in time.
    Expired,
    /// There is no such login, or it was answered before.
    Unknown,
    /// A user has approved: the first token of a new family.
    Approved(IssuedToken),
}

/// Parses a user code as people type it: case, hyphens and spaces do not matter. `None` if it cannot be a code.
#[must_use]
pub fn read_user_code(text: &str) -> Option<String> {
    let code: String = text
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .map(|c| c.to_ascii_uppercase())
        .take(USER_CODE_LENGTH + 1)
        .collect();
    let plain = code.len() == USER_CODE_LENGTH && code.bytes().all(|c| USER_CODE_LETTERS.contains(&c));
    plain.then_some(code)
}

/// A user code for display: `WDJB-MJHT`.
#[must_use]
pub fn show_user_code(code: &str) -> String {
    match code.split_at_checked(USER_CODE_LENGTH / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => code.to_owned(),
    }
}

fn mint_user_code(db: &Db) -> String {
    let mut code = String::with_capacity(USER_CODE_LENGTH);
    let mut random = [0u8; 16];
    while code.len() < USER_CODE_LENGTH {
        db.entropy().fill(&mut random);
        // 240 is the largest multiple of 20 in a byte. Bytes above it would make the first letters more likely.
        let fair = random.iter().filter(|byte| **byte < 240);
        let wanted = USER_CODE_LENGTH - code.len();
        code.extend(fair.take(wanted).map(|byte| char::from(USER_CODE_LETTERS[usize::from(byte % 20)])));
    }
    code
}

/// Starts a login for a program at this address. `None` if no code is free, which is improbable. Deletes logins that
/// ended a while ago; if too many are waiting, also the oldest of the network that has the most.
pub async fn begin(db: &Db, client: &str, asked_from: IpAddr) -> Result<Option<NewDeviceLogin>, DbError> {
    let device_code = OpaqueToken::mint(DEVICE_PREFIX, db.entropy());
    // One of three random codes is unused, except with negligible probability.
    let codes = [mint_user_code(db), mint_user_code(db), mint_user_code(db)];
    let (hash, codes, now) = (&device_code.hash().to_hex(), &codes, db.clock().now());
    let asked_from = &asked_from.to_string();
    let user_code = db
        .write_system("device_logins.begin", |tx| async move {
            tx.execute("DELETE FROM device_logins WHERE expires_at < $1", [now.plus_seconds(-600).0.into()])
                .await?;
            let waiting: Option<CountRow> = tx
                .one(
                    "SELECT count(*) AS n FROM device_logins WHERE expires_at > $1 AND decided_at IS NULL",
                    [now.0.into()],
                )
                .await?;
            if waiting.is_some_and(|count| count.n >= MOST_WAITING) {
                evict(&tx, now).await?;
            }
            for code in codes {
                let inserted = tx
                    .execute(
                        "INSERT INTO device_logins \
                         (device_hash, user_code, client, asked_from, created_at, expires_at, interval_seconds) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_code) DO NOTHING",
                        [
                            hash.as_str().into(),
                            code.as_str().into(),
                            clip(client).into(),
                            clip(asked_from).into(),
                            now.0.into(),
                            now.plus_seconds(DEVICE_SECONDS).0.into(),
                            POLL_SECONDS.into(),
                        ],
                    )
                    .await?;
                if inserted == 1 {
                    return Ok(Some(code.clone()));
                }
            }
            Ok(None)
        })
        .await?;
    Ok(user_code.map(|user_code| NewDeviceLogin { device_code, user_code }))
}

/// Deletes waiting logins of the network that has the most: one that floods, or else the busiest.
async fn evict(tx: &SystemTx, now: Timestamp) -> Result<(), DbError> {
    let waiting: Vec<WaitingAddress> = tx
        .all(
            "SELECT device_hash, asked_from FROM device_logins WHERE expires_at > $1 AND decided_at IS NULL \
             ORDER BY created_at",
            [now.0.into()],
        )
        .await?;
    let mut networks: HashMap<String, Vec<String>> = HashMap::new();
    for login in waiting {
        networks.entry(network(&login.asked_from)).or_default().push(login.device_hash);
    }
    let Some(most) = networks.into_values().max_by_key(Vec::len) else { return Ok(()) };
    let evicted = most.len().div_ceil(2).min(EVICTED);
    let places: Vec<String> = (1..=evicted).map(|place| format!("${place}")).collect();
    let delete = format!("DELETE FROM device_logins WHERE device_hash IN ({})", places.join(", "));
    tx.execute(&delete, most.into_iter().take(evicted).map(Into::into)).await?;
    tracing::warn!(evicted, "too many programs waited for approval: the oldest of one network were removed");
    Ok(())
}

#[derive(FromQueryResult)]
struct WaitingAddress {
    device_hash: String,
    asked_from: String,
}

/// The network of an address: an IPv4 /24, or an IPv6 /48.
fn network(address: &str) -> String {
    address.parse().map(|address| han_types::network(address, 24, 48).to_string()).unwrap_or_default()
}

#[derive(FromQueryResult)]
struct WaitingRecord {
    user_code: String,
    client: String,
    asked_from: String,
    created_at: i64,
}

/// The waiting login with a user code, as [`read_user_code`] returns it.
pub async fn waiting(db: &Db, user_code: &str) -> Result<Option<WaitingLogin>, DbError> {
    let tx = db.read_system("device_logins.find").await?;
    let row: Option<WaitingRecord> = tx
        .one(
            "SELECT user_code, client, asked_from, created_at FROM device_logins \
             WHERE user_code = $1 AND decided_at IS NULL AND expires_at > $2",
            [user_code.into(), db.clock().now().0.into()],
        )
        .await?;
    Ok(row.map(|row| WaitingLogin {
        user_code: row.user_code,
        client: row.client,
        asked_from: row.asked_from,
        created_at: Timestamp(row.created_at),
    }))
}

/// Approves a login for a user (`Some`) or refuses it (`None`). Returns false if no login with this code is waiting.
pub async fn decide(db: &Db, user_code: &str, approve_as: Option<&UserId>) -> Result<bool, DbError> {
    let now = db.clock().now();
    let decided = db
        .write_system("device_logins.decide", |tx| async move {
            let decided = tx
                .execute(
                    "UPDATE device_logins SET decided_at = $1, user_id = $2 \
                 WHERE user_code = $3 AND decided_at IS NULL AND expires_at > $1",
                    [now.0.into(), approve_as.map(|id| id.as_str().to_owned()).into(), user_code.into()],
                )
                .await?;
            if let (Some(user_id), true) = (approve_as, decided > 0) {
                tx.log_for_user(user_id, Entry::new(Event::ProgramApproved)).await?;
            }
            Ok(decided)
        })
        .await?;
    Ok(decided > 0)
}

#[derive(FromQueryResult)]
struct DeviceRecord {
    client: String,
    expires_at: i64,
    interval_seconds: i64,
    polled_at: Option<i64>,
    user_id: Option<String>,
    decided_at: Option<i64>,
    redeemed_at: Option<i64>,
}

/// Answers a poll. An approval is returned once.
pub async fn poll(db: &Db, hash: &TokenHash) -> Result<Polled, DbError> {
    if !exists(db, hash).await? {
        return Ok(Polled::Unknown);
    }
    let family = NewFamily::mint(db)?;
    let (hash, new, now) = (&hash.to_hex(), &family, db.clock().now());
    let answer = db
        .write_system("device_logins.poll", |tx| async move {
            // Writes nothing new, but a concurrent poll waits here.
            let login: Option<DeviceRecord> = tx
                .one(
                    "UPDATE device_logins SET device_hash = device_hash WHERE device_hash = $1 RETURNING client, \
                     expires_at, interval_seconds, polled_at, user_id, decided_at, redeemed_at",
                    [hash.as_str().into()],
                )
                .await?;
            let Some(login) = login else { return Ok(Answer::Plain(Polled::Unknown)) };
            let verdict = login.verdict(now);
            match verdict {
                Verdict::Approved(user_id) => {
                    let user_id: UserId = stored_id(&user_id, "device_logins", "user_id")?;
                    tx.execute(
                        "UPDATE device_logins SET redeemed_at = $1 WHERE device_hash = $2",
                        [now.0.into(), hash.as_str().into()],
                    )
                    .await?;
                    new.insert(&tx, &user_id, &login.client, "device").await?;
                    Ok(Answer::Approved(user_id))
                }
                Verdict::Wait { hurried } => {
                    let interval = login.interval_seconds + if hurried { POLL_SECONDS } else { 0 };
                    tx.execute(
                        "UPDATE device_logins SET polled_at = $1, interval_seconds = $2 WHERE device_hash = $3",
                        [now.0.into(), interval.into(), hash.as_str().into()],
                    )
                    .await?;
                    Ok(Answer::Plain(if hurried { Polled::SlowDown } else { Polled::Pending }))
                }
                Verdict::Over(polled) => Ok(Answer::Plain(polled)),
            }
        })
        .await?;
    Ok(match answer {
        Answer::Plain(polled) => polled,
        Answer::Approved(user_id) => Polled::Approved(family.issued(user_id)),
    })
}

enum Answer {
    Plain(Polled),
    Approved(UserId),
}

enum Verdict {
    Approved(String),
    Wait { hurried: bool },
    Over(Polled),
}

impl DeviceRecord {
    fn verdict(&self, now: Timestamp) -> Verdict {
        if self.redeemed_at.is_some() {
            return Verdict::Over(Polled::Unknown);
        }
        // A program may fetch an approval shortly after the login has expired.
        match (self.decided_at, &self.user_id) {
            (Some(at), Some(user_id)) if now.0 - at <= DEVICE_SECONDS * 1000 => {
                Verdict::Approved(user_id.clone())
            }
            (Some(_), None) => Verdict::Over(Polled::Denied),
            _ if now.0 >= self.expires_at => Verdict::Over(Polled::Expired),
            _ => {
                let earliest = |at: i64| at + self.interval_seconds * 1000 - LEEWAY_MS;
                Verdict::Wait { hurried: self.polled_at.is_some_and(|at| now.0 < earliest(at)) }
            }
        }
    }
}

async fn exists(db: &Db, hash: &TokenHash) -> Result<bool, DbError> {
    let tx = db.read_system("device_logins.check").await?;
    let rows =
        tx.rows("SELECT 1 AS one FROM device_logins WHERE device_hash = $1", [hash.to_hex().into()]).await?;
    Ok(!rows.is_empty())
}
