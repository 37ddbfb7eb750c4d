//! Randomness as a parameter. The implementation on the operating system's generator is in han-crypto; a binary's
//! `main` passes it down.

/// A source of random bytes. Keys, nonces and tokens need a cryptographically secure implementation.
pub trait Entropy: Send + Sync {
    /// Fills `dest` with random bytes.
    fn fill(&self, dest: &mut [u8]);
}
