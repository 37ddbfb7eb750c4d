//! What peers may hold of the server at once: connections, sockets, subscriptions, operations and bytes.

use han_http::budget::{Limit, Quota, Quotas, Resource};

use super::variable::{Describe, Number, Optional, Variable, VariableReader};

const GIB: usize = 1 << 30;

const CONNECTIONS: Variable<Optional<usize>> = Variable {
    name: "HAN_MAX_CONNECTIONS",
    about: "the most connections, WebSockets among them",
    kind: Optional {
        unset: "what the limit of file descriptors allows",
        accepted: "a whole number from 1",
        parse: |text| text.trim().parse().ok().filter(|number| *number > 0),
    },
};

const UNAUTHENTICATED_PERCENT: Variable<Number<usize>> = Variable {
    name: "HAN_UNAUTHENTICATED_PERCENT",
    about: "the share of connections and buffered bytes that all clients together may hold that have not signed in",
    kind: Number { default: 25, min: 1, max: 100 },
};

const ADDRESS_CONNECTIONS: Variable<Number<usize>> = Variable {
    name: "HAN_ADDRESS_CONNECTIONS",
    about: "the most connections, and the most WebSockets, of one address",
    kind: Number { default: 1_000, min: 1, max: 1_000_000 },
};

const USER_CONNECTIONS: Variable<Number<usize>> = Variable {
    name: "HAN_USER_CONNECTIONS",
    about: "the most connections of one user",
    kind: Number { default: 500, min: 2, max: 1_000_000 },
};

const USER_SOCKETS: Variable<Number<usize>> = Variable {
    name: "HAN_USER_SOCKETS",
    about: "the most WebSockets of one user",
    kind: Number { default: 200, min: 2, max: 1_000_000 },
};

const SUBSCRIPTIONS: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_SUBSCRIPTIONS",
    about: "the most subscriptions",
    kind: Number { default: 200_000, min: 1, max: 10_000_000 },
};

const USER_SUBSCRIPTIONS: Variable<Number<usize>> = Variable {
    name: "HAN_USER_SUBSCRIPTIONS",
    about: "the most subscriptions of one user",
    kind: Number { default: 2_000, min: 2, max: 10_000_000 },
};

const OPERATIONS: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_OPERATIONS",
    about: "the most queries and mutations that run or wait for their turn",
    kind: Number { default: 1_024, min: 1, max: 1_000_000 },
};

const USER_OPERATIONS: Variable<Number<usize>> = Variable {
    name: "HAN_USER_OPERATIONS",
    about: "the most queries and mutations of one user that run or wait for their turn",
    kind: Number { default: 512, min: 2, max: 1_000_000 },
};

const USER_RUNNING: Variable<Number<usize>> = Variable {
    name: "HAN_USER_RUNNING",
    about: "how many queries and mutations of one user run at once; others wait, at most 10 s",
    kind: Number { default: 4, min: 1, max: 1_000_000 },
};

const RESPONSE_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_MAX_RESPONSE_BYTES",
    about: "the most bytes of a GraphQL response",
    kind: Number { default: 32 << 20, min: 1 << 20, max: GIB },
};

const ANSWER_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_ANSWER_BYTES",
    about: "the most bytes of GraphQL responses that are being made or sent, and of the lines that are read for them",
    kind: Number { default: 256 << 20, min: 1 << 20, max: 64 * GIB },
};

const USER_ANSWER_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_USER_ANSWER_BYTES",
    about: "the same, of one user",
    kind: Number { default: 160 << 20, min: 2 << 20, max: 64 * GIB },
};

const BUFFER_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_BUFFER_BYTES",
    about: "the most bytes of unfinished requests, and of messages that clients have not taken",
    kind: Number { default: 128 << 20, min: 1 << 20, max: 64 * GIB },
};

const USER_BUFFER_BYTES: Variable<Number<usize>> = Variable {
    name: "HAN_USER_BUFFER_BYTES",
    about: "the same, of one user or address",
    kind: Number { default: 72 << 20, min: 2 << 20, max: 64 * GIB },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[
    &CONNECTIONS,
    &UNAUTHENTICATED_PERCENT,
    &ADDRESS_CONNECTIONS,
    &USER_CONNECTIONS,
    &USER_SOCKETS,
    &SUBSCRIPTIONS,
    &USER_SUBSCRIPTIONS,
    &OPERATIONS,
    &USER_OPERATIONS,
    &USER_RUNNING,
    &RESPONSE_BYTES,
    &ANSWER_BYTES,
    &USER_ANSWER_BYTES,
    &BUFFER_BYTES,
    &USER_BUFFER_BYTES,
];

/// What peers may hold. One credential may hold half of what its user may.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// Connections; `None` for as many as there are file descriptors.
    pub connections: Option<usize>,
    /// The share of clients that have not authenticated, in percent.
    pub unauthenticated_percent: usize,
    /// Connections, and sockets, of one address.
    pub address_connections: usize,
    /// Connections of one user.
    pub user_connections: usize,
    /// Sockets of one user.
    pub user_sockets: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Subscriptions of one user.
    pub user_subscriptions: usize,
    /// Queries and mutations in progress.
    pub operations: usize,
    /// Queries and mutations of one user in progress.
    pub user_operations: usize,
    /// Queries and mutations of one user that run at once.
    pub user_running: usize,
    /// Bytes of one response.
    pub response_bytes: usize,
    /// Bytes of responses in progress.
    pub answer_bytes: usize,
    /// Bytes of responses of one user in progress.
    pub user_answer_bytes: usize,
    /// Bytes buffered in each direction.
    pub buffer_bytes: usize,
    /// Bytes of one user, or of one address, buffered in each direction.
    pub user_buffer_bytes: usize,
}

impl Holdings {
    pub(super) fn read(reader: &mut VariableReader<'_>) -> Self {
        let found = Self {
            connections: reader.value(&CONNECTIONS),
            unauthenticated_percent: reader.value(&UNAUTHENTICATED_PERCENT),
            address_connections: reader.value(&ADDRESS_CONNECTIONS),
            user_connections: reader.value(&USER_CONNECTIONS),
            user_sockets: reader.value(&USER_SOCKETS),
            subscriptions: reader.value(&SUBSCRIPTIONS),
            user_subscriptions: reader.value(&USER_SUBSCRIPTIONS),
            operations: reader.value(&OPERATIONS),
            user_operations: reader.value(&USER_OPERATIONS),
            user_running: reader.value(&USER_RUNNING),
            response_bytes: reader.value(&RESPONSE_BYTES),
            answer_bytes: reader.value(&ANSWER_BYTES),
            user_answer_bytes: reader.value(&USER_ANSWER_BYTES),
            buffer_bytes: reader.value(&BUFFER_BYTES),
            user_buffer_bytes: reader.value(&USER_BUFFER_BYTES),
        };
        // A credential has half of its user's bytes, and must be able to receive one response.
        let users = [
            (USER_ANSWER_BYTES.name, found.user_answer_bytes),
            (USER_BUFFER_BYTES.name, found.user_buffer_bytes),
        ];
        let all = [(ANSWER_BYTES.name, found.answer_bytes), (BUFFER_BYTES.name, found.buffer_bytes)];
        let wanted = users.map(|found| (found, 2)).into_iter().chain(all.map(|found| (found, 1)));
        for ((name, bytes), responses) in wanted {
            let least = found.response_bytes.saturating_mul(responses);
            if bytes < least {
                reader.problem(format!(
                    "{name} is {bytes}: it must be at least {least}, because {} is {}; raise it, or lower that",
                    RESPONSE_BYTES.name, found.response_bytes
                ));
            }
        }
        found
    }

    /// The limits, for at most `connections`. `factor` multiplies those of addresses: offices share one.
    pub(crate) fn quotas(&self, connections: usize, factor: usize, behind_proxy: bool) -> Quotas {
        let most = Limit::new;
        let connections = most(self.connections.unwrap_or(usize::MAX).min(connections), CONNECTIONS.name);
        let share = |limit: Limit| {
            let most = (limit.most / 100).saturating_mul(self.unauthenticated_percent)
                + (limit.most % 100) * self.unauthenticated_percent / 100;
            Limit::new(most.max(1), UNAUTHENTICATED_PERCENT.name)
        };
        let address = most(self.address_connections.saturating_mul(factor), ADDRESS_CONNECTIONS.name);
        let of = |address: Limit, user: Limit, server: Limit| Quota {
            address,
            user,
            unauthenticated: share(server),
            server,
        };
        let of_users = |user: Limit, server: Limit| of(Limit::NONE, user, server);
        let bytes = of(
            most(self.user_buffer_bytes.saturating_mul(factor), USER_BUFFER_BYTES.name),
            most(self.user_buffer_bytes, USER_BUFFER_BYTES.name),
            most(self.buffer_bytes, BUFFER_BYTES.name),
        );
        Quotas::unlimited()
            .behind_proxy(behind_proxy)
            .running(most(self.user_running, USER_RUNNING.name))
            .with(
                Resource::Connections,
                of(address, most(self.user_connections, USER_CONNECTIONS.name), connections),
            )
            .with(Resource::Sockets, of(address, most(self.user_sockets, USER_SOCKETS.name), connections))
            .with(
                Resource::Subscriptions,
                of_users(
                    most(self.user_subscriptions, USER_SUBSCRIPTIONS.name),
                    most(self.subscriptions, SUBSCRIPTIONS.name),
                ),
            )
            .with(
                Resource::Operations,
                of_users(
                    most(self.user_operations, USER_OPERATIONS.name),
                    most(self.operations, OPERATIONS.name),
                ),
            )
            .with(Resource::BytesIn, bytes)
            .with(Resource::BytesOut, bytes)
            .with(
                Resource::AnswerBytes,
                of_users(
                    most(self.user_answer_bytes, USER_ANSWER_BYTES.name),
                    most(self.answer_bytes, ANSWER_BYTES.name),
                ),
            )
    }
}

impl Default for Holdings {
    /// The limits while no variable is set.
    fn default() -> Self {
        Self::read(&mut VariableReader::new(&|_| None))
    }
}
