//! Random streams that depend on what they are for, not on who asks first.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator of the stream that `seed` and `path` name. Different paths
/// give unrelated streams, so work can be done in any order, by any thread.
pub(crate) fn stream(seed: u64, path: &[u64]) -> ChaCha8Rng {
    let mixed = path.iter().fold(splitmix(seed), |h, &part| splitmix(h ^ splitmix(part)));
    ChaCha8Rng::seed_from_u64(mixed)
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014), a bijection.
fn splitmix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn streams_differ_by_every_part_and_by_their_order() {
        let first = |seed, path: &[u64]| stream(seed, path).next_u64();
        let all = [
            first(1, &[0, 1]),
            first(1, &[1, 0]),
            first(1, &[0]),
            first(2, &[0, 1]),
            first(1, &[]),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(first(1, &[0, 1]), all[0]);
    }
}
