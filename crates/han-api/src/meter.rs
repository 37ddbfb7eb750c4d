//! The size of responses. The bytes of a response are counted while its fields are resolved, however often a document
//! selects a field, and again while it is written; an operation whose response is too large stops at once.

use std::any::TypeId;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextPrepareRequest, NextResolve, ResolveInfo,
};
use async_graphql::{Request, Response, ServerResult, Value};
use han_db::cpu;
use serde_json::value::RawValue;

use crate::error::{self, ApiError};

/// Bytes are charged in steps of this size.
const STEP: usize = 64 << 10;

/// Longer responses are written off the async threads.
const INLINE_BYTES: usize = 512 << 10;

/// What a value other than a text counts: about as much as its JSON.
const VALUE_BYTES: usize = 8;

/// What an error counts, with its path and its place in memory.
const ERROR_BYTES: usize = 512;

/// What the bytes of a response are charged to, from the first to the end of its transmission.
pub trait AnswerBytes: fmt::Debug + Send + Sync {
    /// Charges more bytes. They are given back when the last reference is dropped.
    ///
    /// # Errors
    /// Which limit does not allow it, and what to do.
    fn take(&self, bytes: usize) -> Result<(), String>;

    /// Bytes that are charged to the same account, but given back on their own.
    fn separate(&self) -> Arc<dyn AnswerBytes>;
}

/// The bytes of one response.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: usize,
    counted: AtomicUsize,
    charged: AtomicUsize,
    payer: Option<Arc<dyn AnswerBytes>>,
    /// The lines that are read for it, up to the end of the operation.
    lines: Option<Arc<dyn AnswerBytes>>,
    /// Why the operation stops.
    stopped: OnceLock<ApiError>,
}

impl Meter {
    pub(crate) fn new(limit: usize, payer: Option<Arc<dyn AnswerBytes>>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            counted: AtomicUsize::new(0),
            charged: AtomicUsize::new(0),
            lines: payer.as_ref().map(|payer| payer.separate()),
            payer,
            stopped: OnceLock::new(),
        })
    }

    pub(crate) fn stopped(&self) -> Option<&ApiError> {
        self.stopped.get()
    }

    /// Begins the next response of a subscription.
    pub(crate) fn restart(&self) {
        self.counted.store(0, Ordering::Relaxed);
    }

    fn count(&self, bytes: usize) {
        let counted = self.counted.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if counted > self.limit {
            let _ = self.stopped.set(ApiError::ResponseTooLarge(self.limit));
        }
        let charged = self.charged.load(Ordering::Relaxed);
        if let Some(payer) = &self.payer
            && counted > charged
        {
            let more = (counted - charged).next_multiple_of(STEP);
            match payer.take(more) {
                Ok(()) => {
                    self.charged.fetch_add(more, Ordering::Relaxed);
                }
                Err(refusal) => {
                    let _ = self.stopped.set(ApiError::Busy(refusal));
                }
            }
        }
    }

    /// Charges bytes of lines that are read. If that is refused, the operation stops.
    ///
    /// # Errors
    /// Which limit does not allow it, and what to do.
    pub(crate) fn read(&self, bytes: usize) -> Result<(), String> {
        let Some(lines) = &self.lines else { return Ok(()) };
        lines.take(bytes).inspect_err(|refusal| {
            let _ = self.stopped.set(ApiError::Busy(refusal.clone()));
        })
    }

    /// Runs an operation until its response is complete or too large.
    pub(crate) async fn limit<T>(&self, operation: impl Future<Output = T>) -> Result<T, ApiError> {
        let mut operation = std::pin::pin!(operation);
        std::future::poll_fn(|cx| {
            let polled = operation.as_mut().poll(cx);
            match self.stopped() {
                Some(error) => Poll::Ready(Err(error.clone())),
                None => polled.map(Ok),
            }
        })
        .await
    }
}

/// A value of a request's data.
pub(crate) fn of_request<T: 'static>(request: &Request) -> Option<&T> {
    request.data.get(&TypeId::of::<T>())?.downcast_ref()
}

/// Counts the fields of operations whose request has a [`Meter`].
pub(crate) struct Metering;

impl ExtensionFactory for Metering {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Metered(OnceLock::new()))
    }
}

struct Metered(OnceLock<Arc<Meter>>);

#[async_trait::async_trait]
impl Extension for Metered {
    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        if let Some(meter) = of_request::<Arc<Meter>>(&request) {
            let _ = self.0.set(Arc::clone(meter));
        }
        next.run(ctx, request).await
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let Some(meter) = self.0.get() else { return next.run(ctx, info).await };
        if meter.stopped().is_some() {
            // The response is dropped; nothing more is made for it.
            return Ok(Some(Value::Null));
        }
        let key = info.alias.unwrap_or(info.name).len();
        let resolved = next.run(ctx, info).await;
        meter.count(match &resolved {
            Ok(Some(Value::String(text))) => key + text.len(),
            Ok(Some(Value::Binary(bytes))) => key + bytes.len(),
            Ok(_) => key + VALUE_BYTES,
            Err(_) => ERROR_BYTES,
        });
        resolved
    }
}

/// Writes at most so many bytes.
struct LimitedWriter {
    text: Vec<u8>,
    limit: usize,
}

impl io::Write for LimitedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As [`to_json`]; a long response is written off the async threads.
pub(crate) async fn write_json(response: Response, limit: usize) -> Box<RawValue> {
    if let Ok(text) = write(&response, limit.min(INLINE_BYTES)) {
        return text;
    }
    let written = cpu::run_queued("writing a response", move || to_json(&response, limit)).await;
    written.unwrap_or_else(|lost| to_json(&error::response(&lost.into()), usize::MAX))
}

/// A response as JSON of at most `limit` bytes.
fn write(response: &Response, limit: usize) -> serde_json::Result<Box<RawValue>> {
    let mut writer = LimitedWriter { text: Vec::new(), limit };
    serde_json::to_writer(&mut writer, response)?;
    let text = String::from_utf8(writer.text).map_err(serde::ser::Error::custom)?;
    // This checks the text, but does not copy it.
    RawValue::from_string(text)
}

/// A response as JSON; an error instead if that has more than `limit` bytes.
pub(crate) fn to_json(response: &Response, limit: usize) -> Box<RawValue> {
    write(response, limit)
        .or_else(|error: serde_json::Error| {
            let shown = if error.is_io() {
                ApiError::ResponseTooLarge(limit)
            } else {
                tracing::error!(%error, "a response cannot be serialized");
                ApiError::Internal
            };
            write(&error::response(&shown), usize::MAX)
        })
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}
