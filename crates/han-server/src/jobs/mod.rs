//! What a server does besides answering: work that follows what was stored, off every request's way.

pub(crate) mod search;
