//! The products with AVX2. Bytes are widened to 16 bits first: the instruction that
//! multiplies bytes would cut off sums of two that need more.

use super::{LANES, Weights};
use std::arch::x86_64::*;

/// Registers of a block of outputs.
const REGISTERS: usize = 4;

/// [`Weights::multiply`], whose assertions hold.
#[target_feature(enable = "avx2")]
pub(super) fn multiply(weights: &Weights, levels: &[u8], sums: &mut [i32]) {
    let (width, stride) = (weights.width(), weights.stride());
    let rows = levels.len() / width;
    for block in 0..stride / LANES {
        let b = &weights.packed[block * width * LANES..][..width * LANES];
        let mut row = 0;
        while row < rows {
            let (a, to) = (&levels[row * width..], &mut sums[row * stride + block * LANES..]);
            row += if rows - row >= 2 {
                tile::<2>(a, b, width, to, stride)
            } else {
                tile::<1>(a, b, width, to, stride)
            };
        }
    }
}

/// The sums of `R` rows and one block of outputs. Returns `R`.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "indices of fixed arrays stay in registers")]
fn tile<const R: usize>(a: &[u8], b: &[i8], width: usize, to: &mut [i32], stride: usize) -> usize {
    assert!(a.len() >= R * width && b.len() >= width * LANES && width.is_multiple_of(4));
    assert!(to.len() >= (R - 1) * stride + LANES);
    // Each output has two sums side by side, of two inputs of four each.
    let mut sums = [[_mm256_setzero_si256(); REGISTERS]; R];
    let mut w = [_mm256_setzero_si256(); REGISTERS];
    for q in 0..width / 4 {
        // SAFETY: by the first assertion 64 bytes of `b` begin at `q · 64`, and 4 of row
        // r at `r · width + q · 4`. No load needs alignment.
        #[allow(unsafe_code)]
        unsafe {
            for c in 0..REGISTERS {
                let bytes = b.as_ptr().add((q * REGISTERS + c) * LANES);
                w[c] = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes.cast()));
            }
            for r in 0..R {
                let four = a.as_ptr().add(r * width + q * 4).cast::<i32>().read_unaligned();
                let four = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(four));
                let four = _mm256_broadcastq_epi64(four);
                for c in 0..REGISTERS {
                    let pairs = _mm256_madd_epi16(four, w[c]);
                    sums[r][c] = _mm256_add_epi32(sums[r][c], pairs);
                }
            }
        }
    }
    for r in 0..R {
        for c in (0..REGISTERS).step_by(2) {
            let both = _mm256_hadd_epi32(sums[r][c], sums[r][c + 1]);
            let in_order = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
            // SAFETY: 8 numbers from `r · stride + c · 4` are inside by the second
            // assertion; the store needs no alignment.
            #[allow(unsafe_code)]
            unsafe {
                let to = to.as_mut_ptr().add(r * stride + c * (LANES / REGISTERS));
                _mm256_storeu_si256(to.cast(), in_order);
            }
        }
    }
    R
}
