//! Taking sessions in: `receiver` is the door (who, how much), `request` reads what came, `transformer` says what
//! each line means and seals it. Storing it is han-db's. docs/SYNC.md tells the protocol.

pub(crate) mod body;
pub(crate) mod memory;
pub(crate) mod receiver;
pub(crate) mod request;
pub(crate) mod transformer;
