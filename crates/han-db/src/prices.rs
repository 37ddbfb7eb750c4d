//! The prices that apply, and how long a process uses them. They are stored as rows (`queries::prices`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use han_transcript::rates::Rates;
use tokio::time::Instant;

/// How long a process uses prices before it looks whether they have changed. What it prices meanwhile, a job corrects.
const HELD: Duration = Duration::from_secs(10);

/// The prices that apply.
#[derive(Clone, Debug)]
pub struct Prices {
    /// Grows with every change.
    pub revision: i64,
    /// The prices.
    pub rates: Rates,
}

/// The prices that a process has read.
#[derive(Default)]
pub(crate) struct PriceCache(Mutex<Option<(Instant, Arc<Prices>)>>);

/// What a process knows of the prices.
pub(crate) enum Held {
    /// They may be used.
    Fresh(Arc<Prices>),
    /// They may have changed.
    Old(Arc<Prices>),
    Nothing,
}

impl PriceCache {
    pub(crate) fn held(&self) -> Held {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, prices)) if at.elapsed() < HELD => Held::Fresh(Arc::clone(prices)),
            Some((_, prices)) => Held::Old(Arc::clone(prices)),
            None => Held::Nothing,
        }
    }

    pub(crate) fn hold(&self, prices: Option<Arc<Prices>>) {
        let held = prices.map(|prices| (Instant::now(), prices));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}
