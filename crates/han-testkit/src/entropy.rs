//! Deterministic pseudo-random bytes. They are predictable: never use them outside tests.

use std::sync::atomic::{AtomicU64, Ordering};

use han_types::Entropy;

/// SplitMix64 (Steele, Lea, Flood 2014). Each call continues the sequence of its seed.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SeededEntropy {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed).wrapping_add(GOLDEN_GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, dest: &mut [u8]) {
        for chunk in dest.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use han_types::Entropy;

    use super::SeededEntropy;

    #[test]
    fn output_equals_the_reference_implementation() {
        // The first outputs of the reference implementation for the seed 1234567.
        let entropy = SeededEntropy::new(1_234_567);
        assert_eq!(entropy.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(entropy.next_u64(), 3_203_168_211_198_807_973);
        let mut bytes = [0; 3];
        entropy.fill(&mut bytes);
        assert_eq!(bytes, 9_817_491_932_198_370_423_u64.to_le_bytes()[..3]);
    }
}
