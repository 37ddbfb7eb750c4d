//! How often somebody may ask: limits per address and per person, by the kind of route, told in `RateLimit` headers
//! (draft-ietf-httpapi-ratelimit-headers, version 10). Wrong credentials count apart, so that guessing costs the
//! database nothing. docs/adr/0007 says why this is ours and how memory stays bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use han_http::{Connection, Problem};
use han_types::{Actor, Timestamp, UserId};
use sha2::{Digest as _, Sha256};

use crate::address;
use crate::auth::{device, invite, login_link, oauth, page};
use crate::state::AppState;

/// The headers, for clients of other origins to be let see.
pub(crate) const HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit"), HeaderName::from_static("ratelimit-policy")];

/// What every limit counts in, in seconds.
const WINDOW_SECONDS: i64 = 60;

/// How many keys of a limit are remembered at least, and half of how many at most: about 5 MB each in the worst case.
const REMEMBERED: usize = 50_000;

/// Wrong credentials that an address may show in a window before it is not listened to.
const WRONG_CREDENTIALS: u32 = 30;

/// The kinds of routes, the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Signing in: a person does that a few times a day.
    SignIn,
    /// Pages that take codes: of invites, and of programs that wait for approval.
    Codes,
    /// Programs that fetch and refresh tokens; many may sit behind one address.
    Tokens,
    /// Reading and changing.
    Api,
    /// Pushing.
    Sync,
    /// Pages and files.
    Page,
}

const CLASSES: [Class; 6] =
    [Class::SignIn, Class::Codes, Class::Tokens, Class::Api, Class::Sync, Class::Page];

impl Class {
    /// The kind of a route; `None` for what platforms probe.
    fn of(path: Option<&str>) -> Option<Self> {
        Some(match path {
            Some("/health" | "/ready") => return None,
            Some(login_link::PATH | oauth::PATH | oauth::CALLBACK) => Self::SignIn,
            Some(device::PATH | invite::PATH) => Self::Codes,
            Some(path) if path.starts_with("/auth/") => Self::Tokens,
            Some(path) if path.starts_with("/api/sync/") => Self::Sync,
            Some(_) => Self::Api,
            None => Self::Page,
        })
    }

    /// Requests in a window: of one address, and of one person.
    fn quotas(self) -> (u32, u32) {
        match self {
            Self::SignIn => (30, 30),
            Self::Codes => (30, 20),
            Self::Tokens => (120, 120),
            Self::Api => (3000, 1200),
            Self::Sync => (3000, 1200),
            Self::Page => (6000, 6000),
        }
    }
}

/// What is remembered of the keys last seen. When one half is full the other is forgotten, so memory stays bounded
/// however many keys come.
#[derive(Debug)]
struct Memory<K, V> {
    recent: HashMap<K, V>,
    before: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V: Copy> Memory<K, V> {
    fn new(half: usize) -> Self {
        Self { recent: HashMap::new(), before: HashMap::new(), half }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.recent.get(key).or_else(|| self.before.get(key)).copied()
    }

    fn put(&mut self, key: K, value: V) {
        if self.recent.len() >= self.half && !self.recent.contains_key(&key) {
            self.before = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, value);
    }
}

/// What a limit says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    passes: bool,
    /// Requests in a window.
    quota: u32,
    /// How many more would pass now.
    remaining: i64,
    /// Seconds until the whole quota is there again, or until the next request passes.
    seconds: i64,
}

/// So many requests of a key in a window: the generic cell rate algorithm (ITU-T I.371), which remembers one moment
/// for each key: when everything that was asked so far will be paid for.
#[derive(Debug)]
struct Limit<K> {
    quota: u32,
    paid_at: Mutex<Memory<K, i64>>,
}

/// In microseconds.
const WINDOW: i64 = WINDOW_SECONDS * 1_000_000;

impl<K: Eq + Hash> Limit<K> {
    fn new(quota: u32, remembered: usize) -> Self {
        Self { quota: quota.max(1), paid_at: Mutex::new(Memory::new(remembered)) }
    }

    /// Counts a request where it passes; looks only, where `count` is false.
    fn ask(&self, key: K, now: Timestamp, count: bool) -> Verdict {
        let now = now.0.saturating_mul(1000);
        let price = WINDOW / i64::from(self.quota);
        let mut memory = lock(&self.paid_at);
        // A clock that was set back must not lock anybody out for longer than a window.
        let paid_at = memory.get(&key).unwrap_or(now).clamp(now, now + WINDOW);
        let next = paid_at + price;
        let passes = next <= now + WINDOW;
        if passes && count {
            memory.put(key, next);
        }
        let owed = if passes { next - now } else { next - now - WINDOW };
        let remaining = if passes { (now + WINDOW - next) / price } else { 0 };
        Verdict { passes, quota: self.quota, remaining, seconds: ceil_seconds(owed) }
    }
}

fn ceil_seconds(micros: i64) -> i64 {
    ((micros + 999_999) / 1_000_000).max(1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limits of a server. Each replica counts for itself.
#[derive(Debug)]
pub(crate) struct Rates {
    addresses: Vec<Limit<IpAddr>>,
    people: Vec<Limit<UserId>>,
    wrong: Limit<IpAddr>,
    /// Hashes of credentials that were good: those are asked about even where an address has shown wrong ones.
    good: Mutex<Memory<[u8; 32], ()>>,
}

impl Rates {
    /// The limits, `factor` times as high.
    pub(crate) fn new(factor: u32) -> Self {
        let of = |quota: u32| quota.saturating_mul(factor.max(1));
        Self {
            addresses: CLASSES.map(|class| Limit::new(of(class.quotas().0), REMEMBERED)).into(),
            people: CLASSES.map(|class| Limit::new(of(class.quotas().1), REMEMBERED)).into(),
            wrong: Limit::new(of(WRONG_CREDENTIALS), REMEMBERED),
            good: Mutex::new(Memory::new(REMEMBERED)),
        }
    }
}

tokio::task_local! {
    static TICKET: Arc<Ticket>;
}

/// What is known of the request that is being answered, wherever its credential turns out to be good or wrong.
#[derive(Debug)]
struct Ticket {
    class: Class,
    address: IpAddr,
    told: Mutex<Vec<(&'static str, Verdict)>>,
}

impl Ticket {
    fn tell(&self, policy: &'static str, verdict: Verdict) -> Result<(), Problem> {
        lock(&self.told).push((policy, verdict));
        if verdict.passes { Ok(()) } else { Err(too_often(verdict.seconds)) }
    }
}

fn too_often(seconds: i64) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "Too many requests",
        format!("too many requests: ask again in {seconds} s, and less often"),
    )
    .header(RETRY_AFTER, seconds)
}

/// An address as it is counted: whoever has one IPv6 address has all of its /64 (RFC 4291, section 2.5.1).
fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Counts a request against its address, and tells how its limits stand.
pub(crate) async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let class = Class::of(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
    let (Some(rates), Some(class)) = (&state.rates, class) else { return next.run(request).await };
    let connection = request.extensions().get::<Connection>();
    let address = counted(address::of_request(&state, request.headers(), connection));
    let ticket = Arc::new(Ticket { class, address, told: Mutex::default() });
    let verdict = rates.addresses[class as usize].ask(address, state.clock.now(), true);
    let admitted = ticket.tell("address", verdict);
    let mut response = match admitted {
        // A push is read to its end before it is refused, or its client would never see the answer.
        Err(_) if class == Class::Sync => TICKET.scope(Arc::clone(&ticket), next.run(request)).await,
        Err(problem) if class == Class::SignIn && !page::wants_json(request.headers()) => {
            page::of_problem(problem, "")
        }
        Err(problem) => problem.into_response(),
        Ok(()) => TICKET.scope(Arc::clone(&ticket), next.run(request)).await,
    };
    tell(&ticket, response.headers_mut());
    response
}

fn tell(ticket: &Ticket, headers: &mut HeaderMap) {
    let told = lock(&ticket.told);
    let policies: Vec<String> =
        told.iter().map(|(name, v)| format!("\"{name}\";q={};w={WINDOW_SECONDS}", v.quota)).collect();
    let limits: Vec<String> =
        told.iter().map(|(name, v)| format!("\"{name}\";r={};t={}", v.remaining, v.seconds)).collect();
    for (name, list) in HEADERS.iter().zip([limits, policies]) {
        if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
            headers.insert(name, value);
        }
    }
}

/// Runs `verify` on a credential that came with the request, unless its address has shown too many wrong ones: then
/// only those are looked up that were good before. The person behind it is counted.
///
/// # Errors
/// What `verify` says, or that it was too often.
pub(crate) async fn checked(
    state: &AppState,
    credential: &str,
    verify: impl Future<Output = Result<Actor, Problem>>,
) -> Result<Actor, Problem> {
    let (Some(rates), Ok(ticket)) = (&state.rates, TICKET.try_with(Arc::clone)) else { return verify.await };
    if let Some((_, verdict)) = lock(&ticket.told).iter().find(|(_, verdict)| !verdict.passes) {
        return Err(too_often(verdict.seconds));
    }
    let hash: [u8; 32] = Sha256::digest(credential).into();
    let was_good = lock(&rates.good).get(&hash).is_some();
    let now = state.clock.now();
    if !was_good {
        let verdict = rates.wrong.ask(ticket.address, now, false);
        if !verdict.passes {
            return Err(too_often(verdict.seconds));
        }
    }
    match verify.await {
        Ok(actor) => {
            lock(&rates.good).put(hash, ());
            count_person(state, &actor)?;
            Ok(actor)
        }
        Err(problem) => {
            // What has only ended is no guess: its client must hear so, and gets another.
            if problem.status() == StatusCode::UNAUTHORIZED && !was_good {
                rates.wrong.ask(ticket.address, now, true);
            }
            Err(problem)
        }
    }
}

fn count_person(state: &AppState, actor: &Actor) -> Result<(), Problem> {
    let (Some(rates), Ok(ticket)) = (&state.rates, TICKET.try_with(Arc::clone)) else { return Ok(()) };
    let limit = &rates.people[ticket.class as usize];
    ticket.tell("person", limit.ask(actor.user_id.clone(), state.clock.now(), true))
}

#[cfg(test)]
mod tests {
    use han_types::Timestamp;
    use proptest::prelude::*;

    use super::{Limit, Memory, WINDOW_SECONDS, counted};

    const MS: i64 = WINDOW_SECONDS * 1000;

    #[test]
    fn a_quota_passes_at_once_and_then_at_its_pace() {
        let limit = Limit::new(6, 10);
        let start = Timestamp(1_000_000);
        for left in (0..6).rev() {
            let verdict = limit.ask("a", start, true);
            assert_eq!((verdict.passes, verdict.remaining), (true, left));
        }
        let refused = limit.ask("a", start, true);
        assert_eq!((refused.passes, refused.remaining, refused.seconds), (false, 0, 10));
        assert!(limit.ask("b", start, true).passes, "each key has its own");
        assert!(!limit.ask("a", start.plus_seconds(9), true).passes);
        assert!(limit.ask("a", start.plus_seconds(10), true).passes, "as it was told");
        assert!(!limit.ask("a", start.plus_seconds(10), true).passes);
        assert_eq!(limit.ask("a", start.plus_seconds(600), true).remaining, 5);
        // A clock that jumps back locks nobody out for more than a window.
        assert!(limit.ask("a", Timestamp(5_000), false).seconds <= WINDOW_SECONDS);
    }

    #[test]
    fn looking_counts_nothing() {
        let limit = Limit::new(1, 10);
        for _ in 0..5 {
            assert!(limit.ask("a", Timestamp(0), false).passes);
        }
    }

    #[test]
    fn memory_is_bounded_and_keeps_who_comes_often() {
        let mut memory = Memory::new(100);
        for n in 0..10_000 {
            memory.put(-1, n);
            memory.put(n, n);
            assert!(memory.recent.len() + memory.before.len() <= 200);
        }
        assert_eq!(memory.get(&-1), Some(9_999));
        assert_eq!(memory.get(&5), None);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let of = |text: &str| counted(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    proptest! {
        /// However requests are spread, no stretch of a window's length sees more than twice the quota, and whoever
        /// waits as told passes.
        #[test]
        fn nobody_gets_more_than_the_quota(steps in prop::collection::vec(0..MS / 4, 1..200), quota in 1u32..20) {
            let limit = Limit::new(quota, 10);
            let mut now = Timestamp(MS);
            let mut passed = Vec::new();
            for step in steps {
                now = Timestamp(now.0 + step);
                let verdict = limit.ask("a", now, true);
                if verdict.passes {
                    passed.push(now.0);
                } else {
                    prop_assert!(limit.ask("a", now.plus_seconds(verdict.seconds), false).passes);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                let within = passed[i..].iter().take_while(|at| **at < from + MS).count();
                prop_assert!(within <= 2 * quota as usize);
            }
        }
    }
}
