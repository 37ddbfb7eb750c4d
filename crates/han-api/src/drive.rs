//! Runs an operation and its loads in one task: first it polls every field that can make progress, then it runs the
//! loads that these fields requested. A future that polls many fields may yield by waking itself; some fields have not
//! made their request then, so loads wait until a poll ends without a wake-up. So one level of a response is one
//! statement per kind of load: never more when the machine is busy, and never later because a timer has to fire.
//! docs/adr/0011 has the alternatives.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};
use futures_util::task::AtomicWaker;
use tracing::Instrument as _;

tokio::task_local! {
    /// Loads that were requested while this task's operation was polled.
    static REQUESTED: Requested;
}

#[derive(Clone, Default)]
struct Requested(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

/// Runs a load once the operation that requests it waits; in its own task if the operation is not run by [`run`] or
/// [`stream`].
pub(crate) fn spawn(load: BoxFuture<'static, ()>) {
    let load: BoxFuture<'static, ()> = Box::pin(load.in_current_span());
    let mut load = Some(load);
    let _ = REQUESTED.try_with(|requested| {
        requested.0.lock().unwrap_or_else(PoisonError::into_inner).extend(load.take());
    });
    if let Some(load) = load {
        tokio::spawn(load);
    }
}

/// Wakes the task, and records that it did.
#[derive(Default)]
struct Woken {
    is: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// The loads of one operation.
#[derive(Default)]
struct Loads {
    requested: Requested,
    woken: Arc<Woken>,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Loads {
    /// Polls the operation and, if it waits, its loads.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.woken.task.register(cx.waker());
        self.woken.is.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled =
            REQUESTED.sync_scope(self.requested.clone(), || operation(&mut Context::from_waker(&waker)));
        if polled.is_pending() {
            // Loads run in rounds: requests made during one round wait for the next, so that more can join them.
            if self.running.is_empty() && !self.woken.is.load(Ordering::Acquire) {
                let requested =
                    std::mem::take(&mut *self.requested.0.lock().unwrap_or_else(PoisonError::into_inner));
                self.running.extend(requested);
            }
            // A load that ends here wakes the fields that wait for it, and thereby this task.
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
            // A load that ended may have no waiting field left to wake; the next round must start anyway.
            if self.running.is_empty()
                && !self.requested.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            {
                cx.waker().wake_by_ref();
            }
        }
        polled
    }
}

/// Runs an operation.
pub(crate) async fn run<F: Future>(operation: F) -> F::Output {
    let mut loads = Loads::default();
    let mut operation = pin!(operation);
    poll_fn(|cx| loads.poll(cx, |cx| operation.as_mut().poll(cx))).await
}

/// Runs an operation that is a stream of responses.
pub(crate) fn stream<S: Stream + Send>(responses: S) -> impl Stream<Item = S::Item> + Send {
    Driven { responses: Box::pin(responses), loads: Loads::default() }
}

struct Driven<S> {
    responses: Pin<Box<S>>,
    loads: Loads,
}

impl<S: Stream> Stream for Driven<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Self { responses, loads } = &mut *self;
        loads.poll(cx, |cx| responses.as_mut().poll_next(cx))
    }
}
