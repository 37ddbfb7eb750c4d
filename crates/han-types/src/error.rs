//! What a transport has to know about an error of the storage layer, without knowing the layer.

use std::error::Error;

/// An error of the storage layer. Its text is for the log, never for a client.
pub trait StorageError: Error {
    /// Whether the same request may succeed later.
    fn is_unavailable(&self) -> bool;
}
