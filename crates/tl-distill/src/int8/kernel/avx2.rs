//! The products with AVX2. Bytes are widened to 16 bits first: the instruction that
//! multiplies bytes would cut off sums of two that need more.

use super::{LANES, Rows, Weights};
use std::arch::x86_64::*;

/// Outputs of a register.
const EACH: usize = 4;

/// [`Weights::multiply`], whose assertions hold.
#[target_feature(enable = "avx2")]
pub(super) fn multiply(weights: &Weights, rows: Rows<'_>, sums: &mut [i32]) {
    for block in 0..weights.stride() / LANES {
        // The last block may have fewer outputs.
        match weights.outputs - block * LANES {
            1..=4 => column::<1>(weights, rows, block, sums),
            5..=8 => column::<2>(weights, rows, block, sums),
            _ => column::<4>(weights, rows, block, sums),
        }
    }
}

/// The sums of a block of outputs, of `C` registers.
#[target_feature(enable = "avx2")]
#[inline]
fn column<const C: usize>(weights: &Weights, rows: Rows<'_>, block: usize, sums: &mut [i32]) {
    let (mut row, count) = (0, rows.starts.len());
    while row < count {
        let at = [row, block];
        row += match count - row {
            3.. => tile::<3, C>(weights, rows, at, sums),
            2 => tile::<2, C>(weights, rows, at, sums),
            _ => tile::<1, C>(weights, rows, at, sums),
        };
    }
}

/// The sums of `R` rows and `C` registers of a block of outputs. Returns `R`.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "indices of fixed arrays stay in registers")]
fn tile<const R: usize, const C: usize>(
    weights: &Weights,
    rows: Rows<'_>,
    [row, block]: [usize; 2],
    sums: &mut [i32],
) -> usize {
    let (run, size, stride) = (weights.run(), weights.block(), weights.stride());
    let b = &weights.packed[block * size..][..size];
    let to = &mut sums[row * stride + block * LANES..];
    assert!(to.len() >= (R - 1) * stride + LANES);
    let starts = &rows.starts[row..row + R];
    // Each output has two sums side by side, of two inputs of four each.
    let mut all = [[_mm256_setzero_si256(); C]; R];
    let mut fours = [_mm256_setzero_si256(); R];
    for (i, &offset) in rows.offsets.iter().enumerate() {
        for q in 0..run / 4 {
            // SAFETY: `b` has `size = runs · run · 16` weights, of which 64 begin at quad q of
            // run i; by the assertions of `multiply` each row has `run` bytes from
            // `start + offset` on, of which 4 begin at `q · 4`. No load needs alignment.
            #[allow(unsafe_code)]
            unsafe {
                for r in 0..R {
                    let four = rows.bytes.as_ptr().add(starts[r] + offset + q * 4);
                    let four = _mm_cvtsi32_si128(four.cast::<i32>().read_unaligned());
                    fours[r] = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(four));
                }
                for c in 0..C {
                    let at = (i * run + q * 4) * LANES + c * LANES;
                    let w = _mm256_cvtepi8_epi16(_mm_loadu_si128(b.as_ptr().add(at).cast()));
                    for r in 0..R {
                        all[r][c] = _mm256_add_epi32(all[r][c], _mm256_madd_epi16(fours[r], w));
                    }
                }
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            let both = _mm256_hadd_epi32(all[r][c], all[r][c]);
            let in_order = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
            // SAFETY: 4 numbers from `r · stride + c · 4` are inside by the assertion; the
            // store needs no alignment.
            #[allow(unsafe_code)]
            unsafe {
                let to = to.as_mut_ptr().add(r * stride + c * EACH);
                _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(in_order));
            }
        }
    }
    R
}
