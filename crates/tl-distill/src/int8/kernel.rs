//! Products of unsigned and signed bytes, summed in 32 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Outputs of one vector.
pub(super) const LANES: usize = 16;

/// Signed bytes `[outputs, inputs]`, packed so that a vector holds four inputs
/// of sixteen outputs; what is missing is 0.
#[derive(Debug)]
pub(super) struct Weights {
    /// `[outputs / 16][inputs / 4][16][4]`.
    packed: Vec<i8>,
    inputs: usize,
    outputs: usize,
    /// The sum of each row: what a zero point of 1 adds.
    row_sums: Vec<i32>,
}

impl Weights {
    pub(super) fn new(levels: &[i8], inputs: usize) -> Self {
        let outputs = levels.len() / inputs.max(1);
        let quads = inputs.div_ceil(4);
        let mut packed = vec![0; outputs.div_ceil(LANES) * quads * 4 * LANES];
        for (o, row) in levels.chunks(inputs).enumerate() {
            let block = (o / LANES) * quads * 4 * LANES;
            for (i, &w) in row.iter().enumerate() {
                packed[block + (i / 4) * 4 * LANES + (o % LANES) * 4 + i % 4] = w;
            }
        }
        let sum = |row: &[i8]| row.iter().map(|&w| i32::from(w)).sum();
        let row_sums = levels.chunks(inputs).map(sum).collect();
        Self { packed, inputs, outputs, row_sums }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn row_sums(&self) -> &[i32] {
        &self.row_sums
    }

    /// The bytes of a row of inputs, a multiple of 4.
    pub(super) fn width(&self) -> usize {
        self.inputs.div_ceil(4) * 4
    }

    /// The sums of a row, a multiple of [`LANES`].
    pub(super) fn stride(&self) -> usize {
        self.outputs.div_ceil(LANES) * LANES
    }

    /// `sums[r · stride + o] = Σ levels[r · width + i] · weights[o][i]`. The
    /// sums after the last output are of no meaning.
    pub(super) fn multiply(&self, levels: &[u8], sums: &mut [i32]) {
        assert!(
            levels.len().is_multiple_of(self.width()) && sums.len().is_multiple_of(self.stride())
        );
        assert!(levels.len() / self.width() == sums.len() / self.stride());
        #[cfg(target_arch = "x86_64")]
        if has_vnni() {
            // SAFETY: this machine has the instructions; the lengths fit.
            #[allow(unsafe_code)]
            unsafe {
                vnni(self, levels, sums);
            }
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            unsafe {
                avx2::multiply(self, levels, sums);
            }
            return;
        }
        portable(self, levels, sums);
    }
}

/// Whether this machine multiplies 64 bytes in one instruction.
pub(super) fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The same numbers on any machine.
fn portable(weights: &Weights, levels: &[u8], sums: &mut [i32]) {
    let block = weights.width() * LANES;
    for (row, sums) in levels.chunks(weights.width()).zip(sums.chunks_mut(weights.stride())) {
        for (block, sums) in weights.packed.chunks(block).zip(sums.chunks_mut(LANES)) {
            let mut all = [0_i32; LANES];
            for (quad, four) in block.chunks_exact(4 * LANES).zip(row.chunks_exact(4)) {
                for (sum, w) in all.iter_mut().zip(quad.chunks_exact(4)) {
                    let products = four.iter().zip(w).map(|(&a, &b)| i32::from(a) * i32::from(b));
                    *sum += products.sum::<i32>();
                }
            }
            sums.copy_from_slice(&all);
        }
    }
}

/// Blocks of outputs outside, so that their weights stay in cache.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vnni(weights: &Weights, levels: &[u8], sums: &mut [i32]) {
    let (width, stride) = (weights.width(), weights.stride());
    let (rows, blocks) = (levels.len() / width, stride / LANES);
    let mut block = 0;
    while block < blocks {
        let wide = if blocks - block >= 4 && rows < 8 { 4 } else { 2.min(blocks - block) };
        let b = &weights.packed[block * width * LANES..];
        let mut row = 0;
        while row < rows {
            let (a, to) = (&levels[row * width..], &mut sums[row * stride + block * LANES..]);
            row += match (rows - row, wide) {
                (8.., 2) => tile::<8, 2>(a, b, width, to, stride),
                (8.., _) => tile::<8, 1>(a, b, width, to, stride),
                (4.., 4) => tile::<4, 4>(a, b, width, to, stride),
                (4.., 2) => tile::<4, 2>(a, b, width, to, stride),
                (4.., _) => tile::<4, 1>(a, b, width, to, stride),
                (_, 4) => tile::<1, 4>(a, b, width, to, stride),
                (_, 2) => tile::<1, 2>(a, b, width, to, stride),
                _ => tile::<1, 1>(a, b, width, to, stride),
            };
        }
        block += wide;
    }
}

/// The sums of `R` rows and `C` blocks of outputs. Returns `R`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "indices of fixed arrays stay in registers")]
fn tile<const R: usize, const C: usize>(
    a: &[u8],
    b: &[i8],
    width: usize,
    to: &mut [i32],
    stride: usize,
) -> usize {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512,
        _mm512_storeu_si512,
    };
    assert!(a.len() >= R * width && b.len() >= C * width * LANES && width.is_multiple_of(4));
    assert!(to.len() >= (R - 1) * stride + C * LANES);
    let mut sums = [[_mm512_setzero_si512(); C]; R];
    let mut w = [_mm512_setzero_si512(); C];
    for q in 0..width / 4 {
        // SAFETY: by the first assertion block c has `width · 16` bytes from
        // `c · width · 16`, of which 64 begin at `q · 64`, and row r `width` bytes
        // from `r · width`, of which 4 begin at `q · 4`. No load needs alignment.
        #[allow(unsafe_code)]
        unsafe {
            for c in 0..C {
                w[c] = _mm512_loadu_si512(b.as_ptr().add((c * width + q * 4) * LANES).cast());
            }
            for r in 0..R {
                let four = a.as_ptr().add(r * width + q * 4).cast::<i32>().read_unaligned();
                let four = _mm512_set1_epi32(four);
                for c in 0..C {
                    sums[r][c] = _mm512_dpbusd_epi32(sums[r][c], four, w[c]);
                }
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            // SAFETY: 16 numbers from `r · stride + c · 16` are inside by the second
            // assertion; the store needs no alignment.
            #[allow(unsafe_code)]
            unsafe {
                _mm512_storeu_si512(to.as_mut_ptr().add(r * stride + c * LANES).cast(), sums[r][c]);
            }
        }
    }
    R
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kernels_give_the_sums_of_the_definition() {
        let sizes = [(1, 1, 1), (5, 70, 6), (9, 128, 4), (40, 600, 300), (13, 27, 33), (3, 9, 70)];
        for (rows, inputs, outputs) in sizes {
            let weight = |i: usize| ((i * 37 + 11) % 255) as i32 - 127;
            let input = |i: usize| ((i * 53 + 7) % 256) as u8;
            let levels: Vec<i8> = (0..outputs * inputs).map(|i| weight(i) as i8).collect();
            let weights = Weights::new(&levels, inputs);
            let (width, stride) = (weights.width(), weights.stride());
            // What is beyond the inputs meets weights of 0.
            let mut x = vec![255_u8; rows * width];
            for r in 0..rows {
                for i in 0..inputs {
                    x[r * width + i] = input(r * inputs + i);
                }
            }
            let mut sums = vec![0; rows * stride];
            weights.multiply(&x, &mut sums);
            let mut slow = vec![0; rows * stride];
            portable(&weights, &x, &mut slow);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                let mut half = vec![0; rows * stride];
                // SAFETY: this machine has the instructions; the lengths fit.
                #[allow(unsafe_code)]
                unsafe {
                    avx2::multiply(&weights, &x, &mut half);
                }
                assert_eq!(half, slow, "avx2 {rows} {inputs} {outputs}");
            }
            for r in 0..rows {
                for o in 0..outputs {
                    let terms = (0..inputs)
                        .map(|i| i32::from(input(r * inputs + i)) * weight(o * inputs + i));
                    let expected: i32 = terms.sum();
                    assert_eq!(sums[r * stride + o], expected, "{rows} {inputs} {outputs}");
                    assert_eq!(slow[r * stride + o], expected, "portable {rows} {inputs}");
                }
            }
            let sum = (0..inputs).map(weight).sum::<i32>();
            assert_eq!(weights.row_sums()[0], sum);
        }
    }
}
