//! What both transports of GraphQL work with, besides authentication.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use han_api::HanSchema;
use han_types::Clock;
use tokio::sync::Semaphore;

use crate::serve::Lifecycle;

/// The most sockets that are open without having authenticated.
const MAX_UNAUTHENTICATED_SOCKETS: usize = 1_000;

/// What a caller may take of the transports.
#[derive(Clone, Copy, Debug)]
pub struct TransportLimits {
    /// Bytes of one request, and of one message on a WebSocket.
    pub request_bytes: usize,
    /// How long an open socket may take to authenticate.
    pub socket_init: Duration,
    /// How often an open socket's credential and membership are read again, besides whenever they are reported to have
    /// changed.
    pub socket_recheck: Duration,
}

/// GraphQL as a program serves it. Cheap to clone; a program has one, which its state gives through `FromRef`.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    schema: HanSchema,
    limits: TransportLimits,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
    unauthenticated_sockets: Arc<Semaphore>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Serves `schema`. `lifecycle` is the one that the program is served with: its end closes sockets.
    #[must_use]
    pub fn new(
        schema: HanSchema,
        limits: TransportLimits,
        clock: Arc<dyn Clock>,
        lifecycle: Lifecycle,
    ) -> Self {
        let unauthenticated_sockets = Arc::new(Semaphore::new(MAX_UNAUTHENTICATED_SOCKETS));
        Self(Arc::new(Inner { schema, limits, clock, lifecycle, unauthenticated_sockets }))
    }

    pub(super) fn schema(&self) -> &HanSchema {
        &self.0.schema
    }

    pub(super) fn limits(&self) -> &TransportLimits {
        &self.0.limits
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.0.lifecycle
    }

    pub(super) fn unauthenticated_sockets(&self) -> &Arc<Semaphore> {
        &self.0.unauthenticated_sockets
    }
}
