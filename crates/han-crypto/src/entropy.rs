//! The operating system's randomness, as every binary's `main` hands it out.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use han_types::Entropy;

/// AWS-LC's generator, seeded by the operating system and safe across `fork`.
#[derive(Debug, Default)]
pub struct OsEntropy(SystemRandom);

impl OsEntropy {
    /// The generator; making it costs nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, dest: &mut [u8]) {
        if self.0.fill(dest).is_err() {
            // Without randomness every key would be guessable, and no caller could do better than stop.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use han_types::Entropy;

    use super::OsEntropy;

    #[test]
    fn it_fills_the_whole_slice_anew() {
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
