//! The largest and longest of everything that the server accepts.

use std::time::Duration;

use super::variable::{Describe, Number, Variable, VariableReader};

const GIB: usize = 1 << 30;

const BODY_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_BODY_BYTES",
    about: "the most bytes of a push, as sent",
    kind: Number { default: 32 << 20, min: 1024, max: GIB },
};

const DECOMPRESSED_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_DECOMPRESSED_BYTES",
    about: "the most bytes of a push, decompressed",
    kind: Number { default: 128 << 20, min: 1024, max: GIB },
};

const LINE_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_LINE_BYTES",
    about: "the most bytes of one transcript line",
    kind: Number { default: 16 << 20, min: 1024, max: 64 << 20 },
};

const LINES_PER_BATCH: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_LINES_PER_BATCH",
    about: "the most lines of one batch of a push",
    kind: Number { default: 10_000, min: 1, max: 100_000 },
};

const LINES_PER_REQUEST: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_LINES_PER_REQUEST",
    about: "the most lines of one push",
    kind: Number { default: 100_000, min: 1, max: 1_000_000 },
};

const SESSIONS_PER_REQUEST: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_SESSIONS_PER_REQUEST",
    about: "the most batches of one push",
    kind: Number { default: 1_000, min: 1, max: 10_000 },
};

const INGEST_MEMORY_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_INGEST_MEMORY_BYTES",
    about: "the most bytes of memory that all pushes in progress use together",
    kind: Number { default: 512 << 20, min: 1 << 20, max: 64 * GIB },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[
    &BODY_BYTES,
    &DECOMPRESSED_BYTES,
    &LINE_BYTES,
    &LINES_PER_BATCH,
    &LINES_PER_REQUEST,
    &SESSIONS_PER_REQUEST,
    &INGEST_MEMORY_BYTES,
];

/// Limits of sizes, counts and times. An error that a limit causes names it.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Bytes of a push as sent, compressed or not.
    pub body_bytes: usize,
    /// Bytes of a push after decompression.
    pub decompressed_bytes: usize,
    /// Bytes of one transcript line.
    pub line_bytes: usize,
    /// Lines of one batch, which is one transaction.
    pub lines_per_batch: usize,
    /// Lines of one push.
    pub lines_per_request: usize,
    /// Batches of one push.
    pub sessions_per_request: usize,
    /// Bytes of memory that all pushes in progress use together.
    pub ingest_memory_bytes: usize,
    /// Bytes of one GraphQL request.
    pub graphql_bytes: usize,
    /// How long a client may pause while it sends a request.
    pub read_timeout: Duration,
    /// How long a shutdown waits for accepted requests.
    pub shutdown_grace: Duration,
    /// How often the credential and membership of an open socket are read again. Revocations are announced and take
    /// effect at once; this covers changes that are not announced, such as expiry.
    pub socket_recheck: Duration,
    /// How long a result of `/ready` is cached.
    pub readiness_holds: Duration,
    /// How many batches may wait to be stored.
    pub stores_waiting: usize,
    /// How long a batch waits to be stored.
    pub store_patience: Duration,
    /// How long an open socket may take to authenticate.
    pub socket_init: Duration,
}

impl ServerLimits {
    pub(super) fn read(reader: &mut VariableReader<'_>) -> Self {
        let limits = Self {
            body_bytes: reader.value(&BODY_BYTES),
            decompressed_bytes: reader.value(&DECOMPRESSED_BYTES),
            line_bytes: reader.value(&LINE_BYTES),
            lines_per_batch: reader.value(&LINES_PER_BATCH),
            lines_per_request: reader.value(&LINES_PER_REQUEST),
            sessions_per_request: reader.value(&SESSIONS_PER_REQUEST),
            ingest_memory_bytes: reader.value(&INGEST_MEMORY_BYTES),
            graphql_bytes: 1 << 20,
            read_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
            socket_recheck: Duration::from_secs(300),
            readiness_holds: Duration::from_secs(1),
            stores_waiting: 2048,
            store_patience: Duration::from_secs(20),
            socket_init: Duration::from_secs(10),
        };
        let largest = limits.largest_body() + limits.largest_store();
        if limits.ingest_memory_bytes < largest {
            reader.problem(format!(
                "{} is {}: it must be at least {largest}, the memory for one push of {} and {}; raise it, or lower \
                 those",
                INGEST_MEMORY_BYTES.name, limits.ingest_memory_bytes, BODY_BYTES.name, DECOMPRESSED_BYTES.name,
            ));
        }
        limits
    }
}

impl Default for ServerLimits {
    /// The limits while no variable is set.
    fn default() -> Self {
        Self::read(&mut VariableReader::new(&|_| None))
    }
}
