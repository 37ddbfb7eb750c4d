//! Runs an operation and the loads that its fields ask for in one task: first every field that can go on goes on,
//! then what they all ask for is read. A library that polls many fields gives way now and then by waking itself; then
//! some have not yet asked, so loads wait until nothing has woken the operation while it was polled. So what one level of an answer asks for is always one statement for each kind,
//! neither more where the machine is busy nor later because a timer has to fire.

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
    /// Loads that were asked for while this task's operation was polled.
    static ASKED: Asked;
}

#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

/// Runs a load once the operation that asks for it waits; in a task of its own where nobody drives the operation.
pub(crate) fn spawn(load: BoxFuture<'static, ()>) {
    let load: BoxFuture<'static, ()> = Box::pin(load.in_current_span());
    let mut load = Some(load);
    let _ = ASKED.try_with(|asked| {
        asked.0.lock().unwrap_or_else(PoisonError::into_inner).extend(load.take());
    });
    if let Some(load) = load {
        tokio::spawn(load);
    }
}

/// Wakes the task, and remembers that it did.
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

/// An operation's loads.
#[derive(Default)]
struct Loads {
    asked: Asked,
    woken: Arc<Woken>,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Loads {
    /// Polls the operation; where it waits, its loads.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.woken.task.register(cx.waker());
        self.woken.is.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = ASKED.sync_scope(self.asked.clone(), || operation(&mut Context::from_waker(&waker)));
        if polled.is_pending() {
            // Loads run in rounds: what fields ask for while one is under way may yet be joined by others' asking.
            if self.running.is_empty() && !self.woken.is.load(Ordering::Acquire) {
                let asked = std::mem::take(&mut *self.asked.0.lock().unwrap_or_else(PoisonError::into_inner));
                self.running.extend(asked);
            }
            // What ends here wakes the fields that wait for it, and so this task.
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
            // Nobody may be left to be woken by what ended; the next round must begin all the same.
            if self.running.is_empty()
                && !self.asked.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
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

/// Runs a stream of operations' responses.
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
