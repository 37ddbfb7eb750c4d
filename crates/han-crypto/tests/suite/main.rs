//! Tests of the public API. One binary, so that AWS-LC is linked once.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its keys has to stop")]

mod binary;
mod fields;
mod keys;
mod tokens;
mod vectors;

use std::sync::atomic::{AtomicU64, Ordering};

use han_crypto::{KekRing, TeamKey, TeamKeyRing};
use han_types::{Entropy, TeamId};

const TEAM: &str = "0195f3a0-7c1e-7b52-9a54-3f0c7d1e2b4a";

/// SplitMix64 (Steele, Lea, Flood 2014): deterministic bytes for each seed.
struct Seeded(AtomicU64);

impl Seeded {
    fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for Seeded {
    fn fill(&self, dest: &mut [u8]) {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        for chunk in dest.chunks_mut(8) {
            let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

fn team(id: &str) -> TeamId {
    id.parse().unwrap()
}

/// A ring with versions 1 to `versions`, the last one active. The keys depend only on the version, so the rings of two
/// teams differ only in the team.
fn ring(team_id: &str, versions: u32) -> TeamKeyRing {
    let keys = (1..=versions).map(|v| (v, TeamKey::generate(&Seeded::new(u64::from(v)))));
    TeamKeyRing::new(team(team_id), versions, keys).unwrap()
}

const KEK_A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEK_B: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

fn kek_ring(current: &str, previous: Option<&str>) -> KekRing {
    KekRing::from_secrets(&current.into(), previous.map(Into::into).as_ref()).unwrap()
}
