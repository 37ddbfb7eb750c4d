//! Rate limits: how many requests per minute an address and a user may make, by the rate class of the route, reported
//! in `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers, version 10). Invalid credentials are counted
//! separately, so that guessing costs the database nothing. Which route has which class is declared in `server`.
//! docs/adr/0007 says why this is our own code and how its memory stays bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use han_types::{Actor, Policy, TeamId, Timestamp, UserId, network};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::address;
use crate::page;
use crate::state::AppState;
use han_http::Connection;
use han_http::Problem;

/// The response headers, so that CORS can expose them to other origins.
pub(crate) const HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit"), HeaderName::from_static("ratelimit-policy")];

/// The window that every quota applies to, in seconds.
const WINDOW_SECONDS: i64 = 60;

/// How many keys a limit remembers at least; it remembers at most twice as many, which is about 5 MB.
const REMEMBERED: usize = 50_000;

/// Invalid credentials per address and window. After that, only credentials that were valid before are looked up.
const INVALID_CREDENTIALS: u32 = 30;

/// How long the first refusal of a connection for its address's quota waits, and how many of them wait at once; others do
/// not. A client that connects again at once would otherwise have the processor to itself: each refusal costs a
/// connection, a request head and a response.
const REFUSAL_DELAY: Duration = Duration::from_millis(500);
const DELAYED_REFUSALS: usize = 4096;

/// The places in `Rates::refused`.
const ADDRESS: usize = 0;
const USER: usize = 1;
const TEAM: usize = 2;

/// What a route is for, which decides how often it may be called. Each class counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateClass {
    /// Health checks of platforms: not limited.
    Probe,
    /// Signing in: a person does that a few times a day. The strictest class.
    SignIn,
    /// Pages that accept codes: of invites, and of programs that wait for approval.
    Codes,
    /// Programs that fetch and refresh tokens; many of them may share one address.
    Tokens,
    /// Reads and writes.
    Api,
    /// Pushes.
    Sync,
    /// Pages and static files.
    Page,
}

/// Values of the keys used most recently, in two generations: when the newer one is full, the older one is dropped.
/// Memory stays bounded however many keys arrive.
#[derive(Debug)]
struct KeyCache<K, V> {
    recent: HashMap<K, V>,
    older: HashMap<K, V>,
    generation_size: usize,
}

impl<K: Eq + Hash, V: Copy> KeyCache<K, V> {
    fn new(generation_size: usize) -> Self {
        Self { recent: HashMap::new(), older: HashMap::new(), generation_size }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.recent.get(key).or_else(|| self.older.get(key)).copied()
    }

    fn put(&mut self, key: K, value: V) {
        if self.recent.len() >= self.generation_size && !self.recent.contains_key(&key) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, value);
    }
}

/// The result of checking one request against one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    passes: bool,
    /// Requests per window.
    quota: u32,
    /// How many more requests would pass now.
    remaining: i64,
    /// Seconds until the whole quota is available again, or until the next request passes.
    seconds: i64,
}

/// At most `quota` requests per key and window, by the generic cell rate algorithm (ITU-T I.371). It stores one moment
/// per key: the time at which all requests so far are paid for.
#[derive(Debug)]
struct RateLimit<K> {
    quota: u32,
    paid_at: Mutex<KeyCache<K, i64>>,
}

/// The window in microseconds.
const WINDOW: i64 = WINDOW_SECONDS * 1_000_000;

impl<K: Eq + Hash> RateLimit<K> {
    fn new(quota: u32, remembered: usize) -> Self {
        Self { quota: quota.max(1), paid_at: Mutex::new(KeyCache::new(remembered)) }
    }

    /// Checks a request, and counts it if it passes and `count` is true.
    fn check(&self, key: K, now: Timestamp, count: bool) -> Verdict {
        self.check_quota(key, now, count, self.quota)
    }

    /// As [`RateLimit::check`], with a quota of the key's own.
    fn check_quota(&self, key: K, now: Timestamp, count: bool, quota: u32) -> Verdict {
        let quota = quota.max(1);
        let now = now.0.saturating_mul(1000);
        let price = WINDOW / i64::from(quota);
        let mut cache = lock(&self.paid_at);
        // A clock that was set back must not lock a client out for longer than a window.
        let paid_at = cache.get(&key).unwrap_or(now).clamp(now, now + WINDOW);
        let next = paid_at + price;
        let passes = next <= now + WINDOW;
        if passes && count {
            cache.put(key, next);
        }
        let owed = if passes { next - now } else { next - now - WINDOW };
        let remaining = if passes { (now + WINDOW - next) / price } else { 0 };
        Verdict { passes, quota, remaining, seconds: ceil_seconds(owed) }
    }
}

fn ceil_seconds(micros: i64) -> i64 {
    ((micros + 999_999) / 1_000_000).max(1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Limits by address: of an IPv4 address or an IPv6 /64, which is one site (RFC 4291, section 2.5.1); of a /56, which a
/// site often has (RFC 6177), with four times the quota; and of a /48, with sixteen times.
#[derive(Debug)]
struct AddressLimits {
    addresses: RateLimit<IpAddr>,
    sites: RateLimit<IpAddr>,
    networks: RateLimit<IpAddr>,
}

impl AddressLimits {
    fn new(quota: u32) -> Self {
        Self {
            addresses: RateLimit::new(quota, REMEMBERED),
            sites: RateLimit::new(quota.saturating_mul(4), REMEMBERED),
            networks: RateLimit::new(quota.saturating_mul(16), REMEMBERED),
        }
    }

    /// The verdict of the narrowest limit that the request does not pass; if it passes all, that of its address.
    fn check(&self, address: IpAddr, now: Timestamp, count: bool) -> Verdict {
        let verdict = self.addresses.check(network(address, 32, 64), now, count);
        if address.is_ipv4() || !verdict.passes {
            return verdict;
        }
        let mut wider = [(56, &self.sites), (48, &self.networks)]
            .into_iter()
            .map(|(bits, limit)| limit.check(network(address, 32, bits), now, count));
        wider.find(|wider| !wider.passes).unwrap_or(verdict)
    }
}

/// The limits of one class.
#[derive(Debug)]
struct ClassLimits {
    addresses: AddressLimits,
    users: RateLimit<UserId>,
    /// Their quotas are those of the teams' plans.
    teams: RateLimit<TeamId>,
}

/// All limits of a server. Each replica counts for itself.
#[derive(Debug)]
pub(crate) struct Rates {
    sign_in: ClassLimits,
    codes: ClassLimits,
    tokens: ClassLimits,
    api: ClassLimits,
    sync: ClassLimits,
    page: ClassLimits,
    invalid: AddressLimits,
    /// What every quota is multiplied by.
    factor: u32,
    /// Requests and operations of sockets that were refused: for their address, for their user, and for their team.
    refused: [AtomicU64; 3],
    /// The refusals that may be delayed.
    delays: Semaphore,
    /// Hashes of credentials that were valid: these are looked up even after many invalid ones from their address.
    valid: Mutex<KeyCache<[u8; 32], ()>>,
}

impl Rates {
    /// The limits, with every quota multiplied by `factor`.
    pub(crate) fn new(factor: u32) -> Self {
        let quota = |quota: u32| quota.saturating_mul(factor.max(1));
        let limits = |address: u32, user: u32| ClassLimits {
            addresses: AddressLimits::new(quota(address)),
            users: RateLimit::new(quota(user), REMEMBERED),
            teams: RateLimit::new(1, REMEMBERED),
        };
        Self {
            sign_in: limits(30, 30),
            codes: limits(30, 20),
            tokens: limits(120, 120),
            api: limits(3000, 1200),
            sync: limits(3000, 1200),
            page: limits(6000, 6000),
            invalid: AddressLimits::new(quota(INVALID_CREDENTIALS)),
            factor: factor.max(1),
            refused: Default::default(),
            delays: Semaphore::new(DELAYED_REFUSALS),
            valid: Mutex::new(KeyCache::new(REMEMBERED)),
        }
    }

    /// How many requests and operations were refused, by level.
    pub(crate) fn refused(&self) -> [(&'static str, u64); 3] {
        let [address, user, team] = self.refused.each_ref().map(|refused| refused.load(Ordering::Relaxed));
        [("address", address), ("user", user), ("team", team)]
    }

    fn note(&self, level: usize, verdict: Verdict) -> Verdict {
        if !verdict.passes {
            self.refused[level].fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }

    /// Counts an operation of a socket like a request.
    ///
    /// # Errors
    /// 429 if it does not pass.
    pub(crate) fn count_operation(
        &self,
        address: IpAddr,
        user_id: &UserId,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let verdict = self.note(ADDRESS, self.api.addresses.check(address, now, true));
        let verdict = match verdict.passes {
            true => self.note(USER, self.api.users.check(user_id.clone(), now, true)),
            false => verdict,
        };
        if verdict.passes { Ok(()) } else { Err(too_many_requests(verdict.seconds)) }
    }

    /// Delays the first refusal of a connection.
    async fn delay_refusal(&self, connection: Option<&Connection>) {
        if !connection.is_none_or(Connection::note_refusal) {
            return;
        }
        if let Ok(_delay) = self.delays.try_acquire() {
            sleep(REFUSAL_DELAY).await;
        }
    }

    /// The limits of a class; `None` for the class without limits.
    fn of(&self, class: RateClass) -> Option<&ClassLimits> {
        match class {
            RateClass::Probe => None,
            RateClass::SignIn => Some(&self.sign_in),
            RateClass::Codes => Some(&self.codes),
            RateClass::Tokens => Some(&self.tokens),
            RateClass::Api => Some(&self.api),
            RateClass::Sync => Some(&self.sync),
            RateClass::Page => Some(&self.page),
        }
    }
}

tokio::task_local! {
    static TICKET: Arc<Ticket>;
}

/// What is known of the request in progress, for the code that verifies its credential later.
#[derive(Debug)]
struct Ticket {
    class: RateClass,
    address: IpAddr,
    /// That of the request; a socket's operations have none here.
    connection: Option<Connection>,
    verdicts: Mutex<Vec<(&'static str, Verdict)>>,
}

impl Ticket {
    /// Keeps a verdict for the response headers.
    ///
    /// # Errors
    /// 429 if the request does not pass.
    fn record(&self, policy: &'static str, verdict: Verdict) -> Result<(), Problem> {
        lock(&self.verdicts).push((policy, verdict));
        if verdict.passes { Ok(()) } else { Err(too_many_requests(verdict.seconds)) }
    }
}

fn too_many_requests(seconds: i64) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "Too many requests",
        format!("too many requests: try again in {seconds} s, and less often"),
    )
    .header(RETRY_AFTER, seconds)
}

/// What the middleware [`limit`] needs: the server, and the class of the route that it is a layer of.
#[derive(Clone)]
pub(crate) struct RouteLimit {
    pub(crate) state: AppState,
    pub(crate) class: RateClass,
}

/// Middleware: counts a request against its address, and adds the state of its limits to the response.
pub(crate) async fn limit(State(route): State<RouteLimit>, request: Request, next: Next) -> Response {
    let RouteLimit { state, class } = route;
    let connection = request.extensions().get::<Connection>().cloned();
    let address = address::of_request(&state, request.headers(), connection.as_ref());
    let ticket = Arc::new(Ticket { class, address, connection, verdicts: Mutex::default() });
    let Some((rates, limits)) = state.rates.as_ref().and_then(|rates| Some((rates, rates.of(class)?))) else {
        return TICKET.scope(ticket, next.run(request)).await;
    };
    let verdict = rates.note(ADDRESS, limits.addresses.check(address, state.clock.now(), true));
    let mut response = match ticket.record("address", verdict) {
        // A push is read to its end before it is refused: otherwise its client would not see the response.
        Err(_) if class == RateClass::Sync => TICKET.scope(Arc::clone(&ticket), next.run(request)).await,
        Err(problem) => {
            rates.delay_refusal(ticket.connection.as_ref()).await;
            match class {
                RateClass::SignIn if !page::wants_json(request.headers()) => page::of_problem(problem, ""),
                _ => problem.into_response(),
            }
        }
        Ok(()) => TICKET.scope(Arc::clone(&ticket), next.run(request)).await,
    };
    add_headers(&ticket, response.headers_mut());
    response
}

fn add_headers(ticket: &Ticket, headers: &mut HeaderMap) {
    let verdicts = lock(&ticket.verdicts);
    let policies: Vec<String> =
        verdicts.iter().map(|(name, v)| format!("\"{name}\";q={};w={WINDOW_SECONDS}", v.quota)).collect();
    let limits: Vec<String> =
        verdicts.iter().map(|(name, v)| format!("\"{name}\";r={};t={}", v.remaining, v.seconds)).collect();
    for (name, list) in HEADERS.iter().zip([limits, policies]) {
        if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
            headers.insert(name, value);
        }
    }
}

/// Records that a credential is known to be valid without a lookup: this server has just issued it, or has verified its
/// signature. Invalid credentials from its address do not lock it out.
pub(crate) fn note_valid(state: &AppState, credential: &str) {
    if let Some(rates) = &state.rates {
        lock(&rates.valid).put(Sha256::digest(credential).into(), ());
    }
}

/// The address of the client of the request that this is called in, or of the message of a socket.
pub(crate) fn client() -> Option<IpAddr> {
    TICKET.try_with(|ticket| ticket.address).ok()
}

/// Runs `verify`, which verifies the credential of a message of a socket, as for a request from this address.
pub(crate) async fn on_socket<T>(address: IpAddr, verify: impl Future<Output = T>) -> T {
    let ticket = Ticket { class: RateClass::Api, address, connection: None, verdicts: Mutex::default() };
    TICKET.scope(Arc::new(ticket), verify).await
}

/// Runs `verify` on the credential of a request and counts the request, and its connection, for its user. If the address
/// has sent too many invalid credentials, only credentials that were valid before are looked up.
///
/// # Errors
/// Those of `verify`, and 429.
pub(crate) async fn checked(
    state: &AppState,
    credential: &str,
    verify: impl Future<Output = Result<Actor, Problem>>,
) -> Result<Actor, Problem> {
    let Ok(ticket) = TICKET.try_with(Arc::clone) else { return verify.await };
    let actor = counted(state, &ticket, credential, verify).await?;
    if let Some(connection) = &ticket.connection {
        let budget = state.graphql.budget();
        connection.belongs_to(&budget.caller(ticket.address, &actor), budget)?;
    }
    Ok(actor)
}

async fn counted(
    state: &AppState,
    ticket: &Ticket,
    credential: &str,
    verify: impl Future<Output = Result<Actor, Problem>>,
) -> Result<Actor, Problem> {
    let Some(rates) = &state.rates else { return verify.await };
    if let Some((_, verdict)) = lock(&ticket.verdicts).iter().find(|(_, verdict)| !verdict.passes) {
        return Err(too_many_requests(verdict.seconds));
    }
    let hash: [u8; 32] = Sha256::digest(credential).into();
    let was_valid = lock(&rates.valid).get(&hash).is_some();
    let now = state.clock.now();
    if !was_valid {
        let verdict = rates.invalid.check(ticket.address, now, false);
        if !verdict.passes {
            return Err(too_many_requests(verdict.seconds));
        }
    }
    match verify.await {
        Ok(actor) => {
            lock(&rates.valid).put(hash, ());
            if let Some(limits) = rates.of(ticket.class) {
                let verdict = rates.note(USER, limits.users.check(actor.user_id.clone(), now, true));
                ticket.record("person", verdict)?;
            }
            Ok(actor)
        }
        Err(problem) => {
            // A credential that was valid and has expired is no guess: its client must learn that to get another.
            if problem.status() == StatusCode::UNAUTHORIZED && !was_valid {
                rates.invalid.check(ticket.address, now, true);
            }
            Err(problem)
        }
    }
}

/// Counts a request for its team, if the team's plan limits how many requests it may make. The operations of a socket are
/// counted for their users alone.
///
/// # Errors
/// 429 if it does not pass.
pub(crate) fn count_for_team(state: &AppState, team_id: &TeamId, policy: Policy) -> Result<(), Problem> {
    let Some(quota) = policy.limits().requests_per_minute else { return Ok(()) };
    let Ok(ticket) = TICKET.try_with(Arc::clone) else { return Ok(()) };
    let Some(rates) = &state.rates else { return Ok(()) };
    let Some(limits) = rates.of(ticket.class) else { return Ok(()) };
    let quota = quota.saturating_mul(rates.factor);
    let verdict = limits.teams.check_quota(team_id.clone(), state.clock.now(), true, quota);
    ticket.record("team", rates.note(TEAM, verdict))
}

#[cfg(test)]
mod tests {
    use han_types::Timestamp;
    use proptest::prelude::*;

    use super::{AddressLimits, KeyCache, RateLimit, WINDOW_SECONDS};

    const MS: i64 = WINDOW_SECONDS * 1000;

    #[test]
    fn requests_pass_up_to_the_quota_and_then_at_its_rate() {
        let limit = RateLimit::new(6, 10);
        let start = Timestamp(1_000_000);
        for left in (0..6).rev() {
            let verdict = limit.check("a", start, true);
            assert_eq!((verdict.passes, verdict.remaining), (true, left));
        }
        let refused = limit.check("a", start, true);
        assert_eq!((refused.passes, refused.remaining, refused.seconds), (false, 0, 10));
        assert!(limit.check("b", start, true).passes, "each key is counted separately");
        assert!(!limit.check("a", start.plus_seconds(9), true).passes);
        assert!(limit.check("a", start.plus_seconds(10), true).passes, "after the announced seconds");
        assert!(!limit.check("a", start.plus_seconds(10), true).passes);
        assert_eq!(limit.check("a", start.plus_seconds(600), true).remaining, 5);
        // A clock that jumps back locks no client out for more than a window.
        assert!(limit.check("a", Timestamp(5_000), false).seconds <= WINDOW_SECONDS);
    }

    #[test]
    fn checking_without_counting_uses_no_quota() {
        let limit = RateLimit::new(1, 10);
        for _ in 0..5 {
            assert!(limit.check("a", Timestamp(0), false).passes);
        }
    }

    #[test]
    fn the_key_cache_is_bounded_and_keeps_frequent_keys() {
        let mut cache = KeyCache::new(100);
        for n in 0..10_000 {
            cache.put(-1, n);
            cache.put(n, n);
            assert!(cache.recent.len() + cache.older.len() <= 200);
        }
        assert_eq!(cache.get(&-1), Some(9_999));
        assert_eq!(cache.get(&5), None);
    }

    #[test]
    fn ipv6_networks_have_growing_quotas() {
        let limits = AddressLimits::new(2);
        let now = Timestamp(MS);
        let passes = |text: &str| limits.check(text.parse().unwrap(), now, true).passes;
        assert!(passes("2001:db8:1:2:3:4:5:6") && passes("2001:db8:1:2:ffff::1"));
        assert!(!passes("2001:db8:1:2::1"), "a /64 is one address");
        let of_site = (0x10..0x40).filter(|n| passes(&format!("2001:db8:1:{n:x}::1"))).count();
        assert_eq!(of_site, 8 - 2, "the /56 has four times the quota");
        let of_network = (1..0x40).filter(|n| passes(&format!("2001:db8:1:{n:x}00::1"))).count();
        assert_eq!(of_network, 32 - 8, "the /48 has sixteen times the quota");
        assert!(passes("192.0.2.1") && passes("192.0.2.1") && !passes("192.0.2.1") && passes("192.0.2.2"));
    }

    proptest! {
        /// However requests are spread, at most twice the quota passes within any window, and a client that waits as
        /// long as announced passes.
        #[test]
        fn no_window_sees_more_than_twice_the_quota(
            steps in prop::collection::vec(0..MS / 4, 1..200),
            quota in 1u32..20,
        ) {
            let limit = RateLimit::new(quota, 10);
            let mut now = Timestamp(MS);
            let mut passed = Vec::new();
            for step in steps {
                now = Timestamp(now.0 + step);
                let verdict = limit.check("a", now, true);
                if verdict.passes {
                    passed.push(now.0);
                } else {
                    prop_assert!(limit.check("a", now.plus_seconds(verdict.seconds), false).passes);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                let within = passed[i..].iter().take_while(|at| **at < from + MS).count();
                prop_assert!(within <= 2 * quota as usize);
            }
        }
    }
}
