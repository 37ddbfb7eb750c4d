//! One accounting of resources: what a peer holds of the server, whatever protocol it holds it through. Every
//! connection, socket, operation and buffer is charged to an [`Account`], which is a chain of counters: the peer's
//! address and its networks, then its credential and its user once these are verified, and the whole server. A charge
//! is a [`Hold`], which gives back what it holds when it is dropped. docs/adr/0025 says why this is our own code.
//!
//! Rates (operations per minute) are counted where credentials are verified; a program adds them through
//! [`Authenticate`](crate::Authenticate).

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use han_types::{Actor, Credential, UserId, network};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::{Problem, RETRY_SECONDS};

/// How long an operation waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// TCP connections.
    Connections,
    /// WebSockets.
    Sockets,
    /// Subscriptions.
    Subscriptions,
    /// Queries and mutations that run or wait for their turn.
    Operations,
    /// Bytes of requests and messages that have not arrived completely.
    BytesIn,
    /// Bytes of messages that a WebSocket's client has not taken.
    BytesOut,
    /// Bytes of responses that are being made, or wait to be sent.
    AnswerBytes,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Connections,
        Self::Sockets,
        Self::Subscriptions,
        Self::Operations,
        Self::BytesIn,
        Self::BytesOut,
        Self::AnswerBytes,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Sockets => "sockets",
            Self::Subscriptions => "subscriptions",
            Self::Operations => "operations",
            Self::BytesIn => "bytes_in",
            Self::BytesOut => "bytes_out",
            Self::AnswerBytes => "answer_bytes",
        }
    }

    /// What is counted, in the plural.
    fn counted(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Sockets => "WebSockets",
            Self::Subscriptions => "subscriptions",
            Self::Operations => "operations at once",
            Self::BytesIn => "bytes of unfinished requests",
            Self::BytesOut => "bytes of messages that were not taken",
            Self::AnswerBytes => "bytes of responses in progress",
        }
    }
}

/// Whom a counter counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One address: IPv4, or an IPv6 /64.
    Address,
    /// An IPv6 /56, which may hold four times as much as an address.
    Site,
    /// An IPv6 /48, which may hold sixteen times as much as an address.
    Network,
    /// One credential: half of what its user may hold.
    Credential,
    /// One user.
    User,
    /// All peers that have not authenticated, together.
    Unauthenticated,
    /// The whole server.
    Server,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Address,
        Self::Site,
        Self::Network,
        Self::Credential,
        Self::User,
        Self::Unauthenticated,
        Self::Server,
    ];

    /// Its name in metrics and in refusals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Site => "site",
            Self::Network => "network",
            Self::Credential => "credential",
            Self::User => "user",
            Self::Unauthenticated => "unauthenticated",
            Self::Server => "server",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Address => "one address",
            Self::Site => "one IPv6 /56",
            Self::Network => "one IPv6 /48",
            Self::Credential => "one credential",
            Self::User => "one user",
            Self::Unauthenticated => "all clients that have not signed in",
            Self::Server => "this server",
        }
    }
}

/// A limit, and the configured variable that sets it.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The most that may be held.
    pub most: usize,
    /// What an operator changes to change it.
    pub variable: &'static str,
}

impl Limit {
    /// No limit at this level.
    pub const NONE: Self = Self { most: usize::MAX, variable: "no variable" };

    /// `most`, as this variable says.
    #[must_use]
    pub const fn new(most: usize, variable: &'static str) -> Self {
        Self { most, variable }
    }
}

/// The limits of one resource.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Of an address. IPv6 counts by /64, and by /56 and /48 with four and sixteen times as much.
    pub address: Limit,
    /// Of a user; a credential may hold half of it.
    pub user: Limit,
    /// Of all peers together that have not authenticated.
    pub unauthenticated: Limit,
    /// Of the whole server.
    pub server: Limit,
}

impl Quota {
    /// Nothing is limited.
    pub const NONE: Self =
        Self { address: Limit::NONE, user: Limit::NONE, unauthenticated: Limit::NONE, server: Limit::NONE };

    fn of(&self, level: Level) -> Limit {
        let times = |limit: Limit, factor: usize| Limit { most: limit.most.saturating_mul(factor), ..limit };
        match level {
            Level::Address => self.address,
            Level::Site => times(self.address, 4),
            Level::Network => times(self.address, 16),
            Level::Credential => match self.user.most {
                usize::MAX => self.user,
                most => Limit { most: most.div_ceil(2), ..self.user },
            },
            Level::User => self.user,
            Level::Unauthenticated => self.unauthenticated,
            Level::Server => self.server,
        }
    }
}

/// The limits of every resource.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// By [`Resource`], in the order of [`Resource::ALL`].
    of: [Quota; Resource::ALL.len()],
    /// Whether the peers of connections are proxies. Connections then count for the server only: each carries the
    /// requests of many clients.
    behind_proxy: bool,
    /// How many queries and mutations of one user run at once; others wait for their turn.
    running: Limit,
}

impl Quotas {
    /// Nothing is limited.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { of: [Quota::NONE; Resource::ALL.len()], behind_proxy: false, running: Limit::NONE }
    }

    /// With these limits of a resource.
    #[must_use]
    pub const fn with(mut self, resource: Resource, quota: Quota) -> Self {
        self.of[resource as usize] = quota;
        self
    }

    /// How many queries and mutations of one user run at once.
    #[must_use]
    pub const fn running(mut self, limit: Limit) -> Self {
        self.running = limit;
        self
    }

    /// Whether the peers of connections are proxies.
    #[must_use]
    pub const fn behind_proxy(mut self, is: bool) -> Self {
        self.behind_proxy = is;
        self
    }

    fn of(&self, resource: Resource, level: Level) -> Limit {
        self.of[resource as usize].of(level)
    }
}

/// Why something could not be held.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What was wanted.
    pub resource: Resource,
    /// Whose limit was reached.
    pub level: Level,
    /// The limit.
    pub limit: Limit,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, level, limit } = self;
        write!(
            f,
            "{} may hold at most {} {} ({}): end some, or try again in {RETRY_SECONDS} s",
            level.subject(),
            limit.most,
            resource.counted(),
            limit.variable
        )
    }
}

impl From<Refusal> for Problem {
    /// 429 for what the client holds itself, 503 for what others hold.
    fn from(refusal: Refusal) -> Self {
        let problem = match refusal.level {
            Level::Unauthenticated | Level::Server => Self::unavailable(refusal.to_string()),
            _ => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many requests",
                refusal.to_string(),
            )
            .header(RETRY_AFTER, RETRY_SECONDS),
        };
        problem
            .with("limit", refusal.limit.most)
            .with("limit_name", refusal.limit.variable)
            .with("level", refusal.level.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Site(IpAddr),
    Network(IpAddr),
    Credential(Box<str>),
    User(UserId),
}

impl Key {
    fn level(&self) -> Level {
        match self {
            Self::Address(_) => Level::Address,
            Self::Site(_) => Level::Site,
            Self::Network(_) => Level::Network,
            Self::Credential(_) => Level::Credential,
            Self::User(_) => Level::User,
        }
    }
}

/// The counters of one key. It exists while an account uses it, so the table of keys holds no more than there are
/// connections and requests in progress.
struct Counter {
    level: Level,
    /// Its place in the table; `None` for the counters of all peers.
    key: Option<(Key, Weak<Inner>)>,
    held: [AtomicUsize; Resource::ALL.len()],
    /// The turns of a user's operations.
    turns: Option<Arc<Semaphore>>,
    /// The turn of a user's messages on all sockets.
    messages: Option<Arc<Semaphore>>,
}

impl Counter {
    fn new(level: Level, key: Option<(Key, Weak<Inner>)>, quotas: &Quotas) -> Arc<Self> {
        let running = quotas.running.most.min(Semaphore::MAX_PERMITS);
        let of_user = |permits| (level == Level::User).then(|| Arc::new(Semaphore::new(permits)));
        Arc::new(Self { level, key, held: Default::default(), turns: of_user(running), messages: of_user(1) })
    }

    fn add(&self, resource: Resource, amount: usize, most: usize) -> bool {
        let fits = |held: usize| held.checked_add(amount).filter(|sum| *sum <= most);
        self.held[resource as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn remove(&self, resource: Resource, amount: usize) {
        self.held[resource as usize].fetch_sub(amount, Ordering::Relaxed);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let Some((key, budget)) = self.key.take() else { return };
        let Some(budget) = budget.upgrade() else { return };
        let mut counters = lock(&budget.counters);
        // Another counter may have replaced this one.
        if counters.get(&key).is_some_and(|counter| counter.strong_count() == 0) {
            counters.remove(&key);
        }
    }
}

/// The accounting of one server. Clones are the same.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    quotas: Quotas,
    server: Arc<Counter>,
    unauthenticated: Arc<Counter>,
    counters: Mutex<HashMap<Key, Weak<Counter>>>,
    /// Refusals by resource and level.
    refused: [[AtomicU64; Level::ALL.len()]; Resource::ALL.len()],
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("quotas", &self.0.quotas).finish_non_exhaustive()
    }
}

impl Budget {
    /// An accounting with these limits.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self(Arc::new(Inner {
            quotas,
            server: Counter::new(Level::Server, None, &quotas),
            unauthenticated: Counter::new(Level::Unauthenticated, None, &quotas),
            counters: Mutex::default(),
            refused: Default::default(),
        }))
    }

    /// The account of a new connection, from its peer.
    pub(crate) fn connection(&self, peer: IpAddr) -> Account {
        if self.0.quotas.behind_proxy {
            return self.account(Vec::new());
        }
        self.stranger(peer)
    }

    /// The account of a client at this address that has not authenticated.
    #[must_use]
    pub fn stranger(&self, address: IpAddr) -> Account {
        let mut counters = self.of_address(address);
        counters.push(Arc::clone(&self.0.unauthenticated));
        self.account(counters)
    }

    /// The account of an actor at this address.
    #[must_use]
    pub fn caller(&self, address: IpAddr, actor: &Actor) -> Account {
        let mut counters = self.of_address(address);
        counters.push(self.counter(Key::Credential(credential(&actor.credential))));
        counters.push(self.counter(Key::User(actor.user_id.clone())));
        self.account(counters)
    }

    fn account(&self, mut counters: Vec<Arc<Counter>>) -> Account {
        counters.push(Arc::clone(&self.0.server));
        Account { budget: self.clone(), counters: counters.into() }
    }

    fn of_address(&self, address: IpAddr) -> Vec<Arc<Counter>> {
        networks(address).into_iter().flatten().map(|key| self.counter(key)).collect()
    }

    fn counter(&self, key: Key) -> Arc<Counter> {
        let mut counters = lock(&self.0.counters);
        if let Some(counter) = counters.get(&key).and_then(Weak::upgrade) {
            return counter;
        }
        let counter = Counter::new(key.level(), Some((key.clone(), Arc::downgrade(&self.0))), &self.0.quotas);
        counters.insert(key, Arc::downgrade(&counter));
        counter
    }

    /// Whether the peers of connections are proxies, which carry the requests of many clients.
    pub(crate) fn is_behind_proxy(&self) -> bool {
        self.0.quotas.behind_proxy
    }

    /// The most that the whole server may hold of a resource.
    #[must_use]
    pub fn most(&self, resource: Resource) -> usize {
        self.0.quotas.of(resource, Level::Server).most
    }

    /// How much of a resource all peers hold now, or all that have not authenticated.
    #[must_use]
    pub fn held(&self, resource: Resource, by: Holders) -> usize {
        let counter = match by {
            Holders::All => &self.0.server,
            Holders::Unauthenticated => &self.0.unauthenticated,
        };
        counter.held[resource as usize].load(Ordering::Relaxed)
    }

    /// How often a resource was refused at a level.
    #[must_use]
    pub fn refused(&self, resource: Resource, level: Level) -> u64 {
        self.0.refused[resource as usize][level as usize].load(Ordering::Relaxed)
    }
}

/// Whose use [`Budget::held`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holders {
    /// Everyone's.
    All,
    /// That of peers that have not authenticated.
    Unauthenticated,
}

/// The keys of an address. A site usually has an IPv6 /64, often a /56 (RFC 6177), and hosters give a /48, so one peer
/// may use any address of it.
fn networks(address: IpAddr) -> [Option<Key>; 3] {
    let address = address.to_canonical();
    let wider = |bits| address.is_ipv6().then(|| network(address, 32, bits));
    [Some(Key::Address(network(address, 32, 64))), wider(56).map(Key::Site), wider(48).map(Key::Network)]
}

/// The name of a credential among others. The tokens of one sign-in count as one.
fn credential(credential: &Credential) -> Box<str> {
    match credential {
        Credential::ApiKey { id, .. } => format!("key {id}"),
        Credential::Jwt { family: Some(family), .. } => format!("sign-in {family}"),
        Credential::Jwt { id, .. } => format!("token {id}"),
        Credential::WebSession { id, .. } => format!("session {id}"),
        Credential::Local => "local".to_owned(),
        Credential::Operator => "operator".to_owned(),
    }
    .into()
}

/// Who is charged. Cheap to clone.
#[derive(Clone)]
pub struct Account {
    budget: Budget,
    /// From the narrowest to the whole server.
    counters: Arc<[Arc<Counter>]>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counters.iter().map(|counter| counter.level)).finish()
    }
}

impl Account {
    /// Charges an amount.
    ///
    /// # Errors
    /// If a limit does not allow it.
    pub fn take(&self, resource: Resource, amount: usize) -> Result<Hold, Refusal> {
        let mut hold = Hold { account: self.clone(), resource, amount: 0 };
        hold.grow(amount)?;
        Ok(hold)
    }

    /// A hold of nothing yet.
    #[must_use]
    pub fn nothing(&self, resource: Resource) -> Hold {
        Hold { account: self.clone(), resource, amount: 0 }
    }

    /// Waits for the turn of an operation: a user's operations run a few at a time.
    ///
    /// # Errors
    /// If the others take too long.
    pub(crate) async fn turn(&self) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let Some(turns) = self.counters.iter().find_map(|counter| counter.turns.clone()) else {
            return Ok(None);
        };
        match timeout(PATIENCE, turns.acquire_owned()).await {
            Ok(permit) => Ok(permit.ok()),
            Err(_) => {
                let refusal = self.refuse(Resource::Operations, Level::User);
                Err(Refusal { limit: self.budget.0.quotas.running, ..refusal })
            }
        }
    }

    /// Waits for the turn of a message that starts an operation. Its document is parsed at once, on a thread that serves
    /// everyone: a user's sockets take their turns, so that together they do not take more than one of these threads.
    pub(crate) async fn message_turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = self.counters.iter().find_map(|counter| counter.messages.clone())?;
        turn.acquire_owned().await.ok()
    }

    fn refuse(&self, resource: Resource, level: Level) -> Refusal {
        let refused = &self.budget.0.refused[resource as usize][level as usize];
        // Log the first and then ever fewer: a flood must not fill the log.
        if (refused.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two() {
            tracing::warn!(resource = resource.name(), level = level.name(), "a limit refuses a peer");
        }
        Refusal { resource, level, limit: self.budget.0.quotas.of(resource, level) }
    }

    /// Charges these counters, or none of them.
    fn charge<'a>(
        &self,
        counters: impl Iterator<Item = &'a Arc<Counter>> + Clone,
        resource: Resource,
        amount: usize,
    ) -> Result<(), Refusal> {
        for (at, counter) in counters.clone().enumerate() {
            let most = self.budget.0.quotas.of(resource, counter.level).most;
            if !counter.add(resource, amount, most) {
                for charged in counters.take(at) {
                    charged.remove(resource, amount);
                }
                return Err(self.refuse(resource, counter.level));
            }
        }
        Ok(())
    }

    fn has(&self, counter: &Arc<Counter>) -> bool {
        self.counters.iter().any(|own| Arc::ptr_eq(own, counter))
    }

    /// Whether it is that of an actor.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.counters.iter().any(|counter| counter.level == Level::User)
    }
}

/// Something that is held; dropped, it is given back.
#[derive(Debug)]
pub struct Hold {
    account: Account,
    resource: Resource,
    amount: usize,
}

impl Hold {
    /// How much is held.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Whom it is charged to.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Holds more.
    ///
    /// # Errors
    /// If a limit does not allow it. What was held before is still held.
    pub fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        self.account.charge(self.account.counters.iter(), self.resource, more)?;
        self.amount += more;
        Ok(())
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        let amount = std::mem::take(&mut self.amount);
        if amount > 0 {
            for counter in self.account.counters.iter() {
                counter.remove(self.resource, amount);
            }
        }
    }

    /// Charges it to another account from now on.
    ///
    /// # Errors
    /// If a limit of that account does not allow it. It is then charged as before.
    pub fn move_to(&mut self, account: &Account) -> Result<(), Refusal> {
        let new = account.counters.iter().filter(|counter| !self.account.has(counter));
        account.charge(new, self.resource, self.amount)?;
        for counter in self.account.counters.iter().filter(|counter| !account.has(counter)) {
            counter.remove(self.resource, self.amount);
        }
        self.account = account.clone();
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The bytes of one response: of its values while they are resolved, then of its text until it is sent. Or the bytes of
/// the lines that are read for it.
#[derive(Debug)]
pub(crate) struct Answer(Mutex<Hold>);

impl Answer {
    pub(crate) fn of(account: &Account) -> Arc<Self> {
        Arc::new(Self(Mutex::new(account.nothing(Resource::AnswerBytes))))
    }
}

impl han_api::AnswerBytes for Answer {
    fn take(&self, bytes: usize) -> Result<(), String> {
        lock(&self.0).grow(bytes).map_err(|refusal| refusal.to_string())
    }

    fn separate(&self) -> Arc<dyn han_api::AnswerBytes> {
        Self::of(&lock(&self.0).account)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change of what these mutexes guard is complete in itself.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;
    use han_types::{Actor, Capabilities, Credential, RequestId};

    use super::{Account, Budget, Holders, Level, Limit, Quota, Quotas, Resource};

    const SOCKETS: Resource = Resource::Sockets;

    fn budget() -> Budget {
        let quota = Quota {
            address: Limit::new(4, "ADDRESS"),
            user: Limit::new(6, "USER"),
            unauthenticated: Limit::new(10, "UNAUTHENTICATED"),
            server: Limit::new(100, "SERVER"),
        };
        Budget::new(Quotas::unlimited().with(SOCKETS, quota))
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_refusal_names_the_limit_and_charges_no_counter() {
        let budget = budget();
        let account = budget.stranger(at("192.0.2.1"));
        let held = account.take(SOCKETS, 4).unwrap();
        let refusal = account.take(SOCKETS, 1).unwrap_err();
        assert_eq!((refusal.level, refusal.limit.most), (Level::Address, 4));
        assert_eq!(
            refusal.to_string(),
            "one address may hold at most 4 WebSockets (ADDRESS): end some, or try again in 2 s"
        );
        assert_eq!(budget.refused(SOCKETS, Level::Address), 1);
        assert_eq!(budget.held(SOCKETS, Holders::Unauthenticated), 4);
        let _others =
            [1, 2].map(|n| budget.stranger(at(&format!("192.0.2.10{n}"))).take(SOCKETS, 3).unwrap());
        let all = budget.stranger(at("192.0.2.103")).take(SOCKETS, 1).unwrap_err();
        assert_eq!(all.level, Level::Unauthenticated);
        drop(held);
        assert_eq!(budget.held(SOCKETS, Holders::All), 6);
        account.take(SOCKETS, 4).unwrap();
    }

    #[test]
    fn wider_ipv6_networks_have_growing_quotas() {
        let budget = Budget::new(
            Quotas::unlimited().with(SOCKETS, Quota { address: Limit::new(1, "ADDRESS"), ..Quota::NONE }),
        );
        let mut held = Vec::new();
        let mut levels = Vec::new();
        // The last group but four changes within a /56, the one before it within a /48.
        for subnet in 0..20u16 {
            for host in 0..2 {
                let address = at(&format!("2001:db8:1:{:x}::{host}", subnet * 0x40));
                match budget.stranger(address).take(SOCKETS, 1) {
                    Ok(hold) => held.push(hold),
                    Err(refusal) => levels.push(refusal.level),
                }
            }
        }
        assert_eq!(held.len(), 16);
        assert!(levels.contains(&Level::Address) && levels.contains(&Level::Network), "{levels:?}");
        let site: Vec<_> =
            (0..5u16).map(|n| budget.stranger(at(&format!("2001:db8:2:{n:x}::"))).take(SOCKETS, 1)).collect();
        assert_eq!(site[4].as_ref().unwrap_err().level, Level::Site);
        assert!(site[..4].iter().all(Result::is_ok));
    }

    fn caller(budget: &Budget, user: &str) -> Account {
        let actor = Actor {
            user_id: user.to_owned().try_into().unwrap(),
            credential: Credential::Local,
            capabilities: Capabilities::PERSON,
            expires_at: None,
            request_id: RequestId::given("request-1").unwrap(),
            client: None,
        };
        budget.caller(at("192.0.2.1"), &actor)
    }

    #[test]
    fn messages_of_one_user_take_turns() {
        let budget = budget();
        let [one, again, other] = ["one", "one", "other"].map(|user| caller(&budget, user));
        let turn = one.message_turn().now_or_never();
        assert!(turn.as_ref().is_some_and(Option::is_some));
        assert!(again.message_turn().now_or_never().is_none(), "another socket waits");
        assert!(other.message_turn().now_or_never().is_some(), "another user does not");
        drop(turn);
        assert!(again.message_turn().now_or_never().is_some());
    }

    #[test]
    fn the_table_of_keys_holds_only_keys_in_use() {
        let budget = budget();
        let held = budget.stranger(at("2001:db8::1")).take(SOCKETS, 1).unwrap();
        for n in 0..1000u16 {
            budget.stranger(at(&format!("2001:db8:{n:x}::1"))).take(SOCKETS, 1).ok();
        }
        assert_eq!(super::lock(&budget.0.counters).len(), 3);
        drop(held);
        assert!(super::lock(&budget.0.counters).is_empty());
    }
}
