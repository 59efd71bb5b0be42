//! Random numbers by their place: any part of a sequence is there without those before it.

/// Numbers of a block.
pub(crate) const BLOCK: usize = 4 * LANES;
/// Counters that are turned into random numbers side by side, in vectors.
const LANES: usize = 16;
const ROUNDS: usize = 10;

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
#[derive(Clone, Copy, Debug)]
pub(crate) struct Philox {
    key: [u32; 2],
}

impl Philox {
    pub(crate) fn new(key: u64) -> Self {
        Self { key: halves(key) }
    }

    /// Block `at` of a stream: the numbers of 16 counters, the first of each, then the
    /// second ones, and so on.
    #[inline(always)]
    pub(crate) fn block(&self, stream: u64, at: u64) -> [[u32; LANES]; 4] {
        let (low, high) = (halves(at.wrapping_mul(LANES as u64)), halves(stream));
        let mut c = [low[0], low[1], high[0], high[1]].map(|word| [word; LANES]);
        for (lane, word) in c[0].iter_mut().enumerate() {
            // The first is a multiple of the lanes: nothing is carried.
            *word = word.wrapping_add(lane as u32);
        }
        let mut key = self.key;
        for _ in 0..ROUNDS {
            // By number, as all four words of a counter change together.
            #[allow(clippy::needless_range_loop)]
            for lane in 0..LANES {
                let a = halves(0xD251_1F53 * u64::from(c[0][lane]));
                let b = halves(0xCD9E_8D57 * u64::from(c[2][lane]));
                c[0][lane] = b[1] ^ c[1][lane] ^ key[0];
                c[1][lane] = b[0];
                c[2][lane] = a[1] ^ c[3][lane] ^ key[1];
                c[3][lane] = a[0];
            }
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        c
    }
}

/// The low word, then the high one.
#[inline(always)]
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of the authors' library Random123: counter, key, result.
    #[test]
    fn known_answers() {
        let ones = u64::MAX;
        let zeros = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
        let first = Philox::new(0).block(0, 0);
        assert_eq!(first.map(|words| words[0]), zeros);
        // The last counter of a block, whose low words are all ones.
        let last = Philox::new(ones).block(ones, ones);
        let want = [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd];
        assert_eq!(last.map(|words| words[LANES - 1]), want);
        // 0x243f6a88 is lane 8 of a block.
        let key = Philox::new(0x299f_31d0_a409_3822);
        let some = key.block(0x0370_7344_1319_8a2e, 0x085a_308d_3243_f6a8);
        let want = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(some.map(|words| words[8]), want);
    }
}
