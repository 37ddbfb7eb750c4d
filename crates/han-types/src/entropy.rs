//! Randomness as a parameter. The operating system's source lives in han-crypto and is chosen in `main`.

/// A source of random bytes. Whatever is handed to cryptography must be a cryptographically secure one.
pub trait Entropy: Send + Sync {
    /// Fills `dest` with random bytes.
    fn fill(&self, dest: &mut [u8]);
}
