//! The products with AVX-512 VNNI: 64 in one instruction.

use super::{LANES, Rows, Weights};
use std::arch::x86_64::{
    _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_storeu_si512,
};

/// [`Weights::multiply`], whose assertions hold. Blocks of outputs outside, so that
/// their weights stay in cache.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn multiply(weights: &Weights, rows: Rows<'_>, sums: &mut [i32]) {
    let (stride, count) = (weights.stride(), rows.starts.len());
    let mut block = 0;
    while block < stride / LANES {
        let left = stride / LANES - block;
        let wide = if left >= 4 && count < 8 { 4 } else { 2.min(left) };
        let mut row = 0;
        while row < count {
            let at = [row, block];
            row += match (count - row, wide) {
                (8.., 2) => tile::<8, 2>(weights, rows, at, sums),
                (8.., _) => tile::<8, 1>(weights, rows, at, sums),
                (4.., 4) => tile::<4, 4>(weights, rows, at, sums),
                (4.., 2) => tile::<4, 2>(weights, rows, at, sums),
                (4.., _) => tile::<4, 1>(weights, rows, at, sums),
                (_, 4) => tile::<1, 4>(weights, rows, at, sums),
                (_, 2) => tile::<1, 2>(weights, rows, at, sums),
                _ => tile::<1, 1>(weights, rows, at, sums),
            };
        }
        block += wide;
    }
}

/// The sums of `R` rows and `C` blocks of outputs from `[row, block]` on. Returns `R`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "indices of fixed arrays stay in registers")]
fn tile<const R: usize, const C: usize>(
    weights: &Weights,
    rows: Rows<'_>,
    [row, block]: [usize; 2],
    sums: &mut [i32],
) -> usize {
    let (run, size, stride) = (weights.run(), weights.block(), weights.stride());
    let b = &weights.packed[block * size..][..C * size];
    let to = &mut sums[row * stride + block * LANES..];
    assert!(to.len() >= (R - 1) * stride + C * LANES);
    let starts = &rows.starts[row..row + R];
    let mut all = [[_mm512_setzero_si512(); C]; R];
    let mut w = [_mm512_setzero_si512(); C];
    for (i, &offset) in rows.offsets.iter().enumerate() {
        for q in 0..run / 4 {
            // SAFETY: `b` has C blocks of `size = runs · run · 16` weights, of which 64 begin
            // at quad q of run i; by the assertions of `multiply` each row has `run` bytes
            // from `start + offset` on, of which 4 begin at `q · 4`. No load needs alignment.
            #[allow(unsafe_code)]
            unsafe {
                for c in 0..C {
                    let at = c * size + (i * run + q * 4) * LANES;
                    w[c] = _mm512_loadu_si512(b.as_ptr().add(at).cast());
                }
                for r in 0..R {
                    let four = rows.bytes.as_ptr().add(starts[r] + offset + q * 4);
                    let four = _mm512_set1_epi32(four.cast::<i32>().read_unaligned());
                    for c in 0..C {
                        all[r][c] = _mm512_dpbusd_epi32(all[r][c], four, w[c]);
                    }
                }
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            // SAFETY: 16 numbers from `r · stride + c · 16` are inside by the assertion; the
            // store needs no alignment.
            #[allow(unsafe_code)]
            unsafe {
                _mm512_storeu_si512(to.as_mut_ptr().add(r * stride + c * LANES).cast(), all[r][c]);
            }
        }
    }
    R
}
