//! Entropy from the operating system. A binary's `main` creates it and passes it down.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use han_types::Entropy;

/// AWS-LC's generator, seeded by the operating system and safe across `fork`.
#[derive(Debug, Default)]
pub struct OsEntropy(SystemRandom);

impl OsEntropy {
    /// A new generator, which has no state of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, dest: &mut [u8]) {
        if self.0.fill(dest).is_err() {
            // Without randomness, every key would be guessable, and a caller could only stop, too.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use han_types::Entropy;

    use super::OsEntropy;

    #[test]
    fn fill_writes_the_whole_slice_with_new_bytes() {
        let draw = || {
            let mut bytes = [0; 64];
            OsEntropy::new().fill(&mut bytes);
            bytes
        };
        let (a, b) = (draw(), draw());
        assert_ne!(a, b);
        assert!(a[48..].iter().any(|byte| *byte != 0));
    }
}
