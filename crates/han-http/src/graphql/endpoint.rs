//! What both transports of GraphQL work with, besides authentication.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use han_api::HanSchema;
use han_types::Clock;

use crate::budget::Budget;
use crate::serve::Lifecycle;

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
    budget: Budget,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Serves `schema`. `lifecycle` and `budget` are those that the program is served with: the end of the first closes
    /// sockets, and the second is charged with what callers hold.
    #[must_use]
    pub fn new(
        schema: HanSchema,
        limits: TransportLimits,
        clock: Arc<dyn Clock>,
        lifecycle: Lifecycle,
        budget: Budget,
    ) -> Self {
        Self(Arc::new(Inner { schema, limits, clock, lifecycle, budget }))
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

    /// What callers hold.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }
}
