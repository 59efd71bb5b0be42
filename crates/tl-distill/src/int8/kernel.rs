//! Products of unsigned and signed bytes, summed in 32 bits.

/// Bytes of one step.
const STEP: usize = 64;

/// Rows of signed bytes, each filled with zeros to a multiple of [`STEP`].
#[derive(Debug)]
pub(super) struct Weights {
    bytes: Vec<i8>,
    inputs: usize,
    padded: usize,
    /// 128 times the sum of each row: what the inputs' zero of 128 adds.
    zero: Vec<i32>,
}

impl Weights {
    pub(super) fn new(levels: &[i8], inputs: usize) -> Self {
        let padded = inputs.next_multiple_of(STEP);
        let mut bytes = Vec::with_capacity(levels.len() / inputs * padded);
        let mut zero = Vec::new();
        for row in levels.chunks(inputs) {
            bytes.extend_from_slice(row);
            bytes.resize(bytes.len() + padded - inputs, 0);
            zero.push(row.iter().map(|&w| 128 * i32::from(w)).sum());
        }
        Self { bytes, inputs, padded, zero }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn padded(&self) -> usize {
        self.padded
    }

    /// `sums[r][o] = Σ (levels[r] - 128) · weights[o]`.
    pub(super) fn multiply(&self, levels: &[u8], sums: &mut [i32]) {
        let (outputs, width) = (self.zero.len(), self.padded);
        // A task's rows: few enough to share the work, enough to reuse weights.
        let rows = 8;
        let task = |(levels, sums): (&[u8], &mut [i32])| self.rows(levels, sums);
        #[cfg(feature = "rayon")]
        if levels.len() * outputs >= 1 << 22 && levels.len() > rows * width {
            use rayon::prelude::*;
            levels.par_chunks(rows * width).zip(sums.par_chunks_mut(rows * outputs)).for_each(task);
            return;
        }
        levels.chunks(rows * width).zip(sums.chunks_mut(rows * outputs)).for_each(task);
    }

    fn rows(&self, levels: &[u8], sums: &mut [i32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vnni")
        {
            // SAFETY: this machine has the instructions.
            #[allow(unsafe_code)]
            unsafe {
                vnni(self, levels, sums);
            }
            return;
        }
        portable(self, levels, sums);
    }
}

/// The same numbers on any machine.
fn portable(weights: &Weights, levels: &[u8], sums: &mut [i32]) {
    let width = weights.padded;
    let outputs = weights.zero.len();
    for (row, sums) in levels.chunks(width).zip(sums.chunks_mut(outputs)) {
        let columns = weights.bytes.chunks(width).zip(&weights.zero);
        for (sum, (column, zero)) in sums.iter_mut().zip(columns) {
            let products = row.iter().zip(column).map(|(&a, &b)| i32::from(a) * i32::from(b));
            *sum = products.sum::<i32>() - zero;
        }
    }
}

/// Four outputs at a time, of four rows or of one.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vnni(weights: &Weights, levels: &[u8], sums: &mut [i32]) {
    let (width, outputs) = (weights.padded, weights.zero.len());
    let count = levels.len() / width;
    let mut row = 0;
    while row < count {
        let step = if row + 4 <= count { 4 } else { 1 };
        let mut output = 0;
        while output < outputs {
            let wide = if output + 4 <= outputs { 4 } else { 1 };
            let (a, b) = (&levels[row * width..], &weights.bytes[output * width..]);
            let to = &mut sums[row * outputs + output..];
            let zero = &weights.zero[output..];
            match (step, wide) {
                (4, 4) => tile::<4, 4>(a, b, width, zero, to, outputs),
                (4, _) => tile::<4, 1>(a, b, width, zero, to, outputs),
                (_, 4) => tile::<1, 4>(a, b, width, zero, to, outputs),
                _ => tile::<1, 1>(a, b, width, zero, to, outputs),
            }
            output += wide;
        }
        row += step;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "indices of fixed arrays stay in registers")]
fn tile<const R: usize, const C: usize>(
    a: &[u8],
    b: &[i8],
    width: usize,
    zero: &[i32],
    to: &mut [i32],
    outputs: usize,
) {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_setzero_si512,
    };
    assert!(a.len() >= R * width && b.len() >= C * width && width.is_multiple_of(STEP));
    let mut sums = [[_mm512_setzero_si512(); C]; R];
    // Plain loops: a closure given to the standard library would be compiled
    // without the instructions.
    let mut y = [_mm512_setzero_si512(); C];
    for at in (0..width).step_by(STEP) {
        // SAFETY: row r and column c have `width` bytes from `r * width` and
        // `c * width`, which lie inside by the assertion above; `at + STEP` is at
        // most `width`, a multiple of STEP. The loads need no alignment.
        #[allow(unsafe_code)]
        unsafe {
            for c in 0..C {
                y[c] = _mm512_loadu_si512(b.as_ptr().add(c * width + at).cast());
            }
            for r in 0..R {
                let x = _mm512_loadu_si512(a.as_ptr().add(r * width + at).cast());
                for c in 0..C {
                    sums[r][c] = _mm512_dpbusd_epi32(sums[r][c], x, y[c]);
                }
            }
        }
    }
    for (sums, to) in sums.iter().zip(to.chunks_mut(outputs)) {
        for ((sum, zero), to) in sums.iter().zip(zero).zip(to) {
            *to = _mm512_reduce_add_epi32(*sum) - zero;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kernels_give_the_sums_of_the_definition() {
        for (rows, inputs, outputs) in [(1, 1, 1), (5, 70, 6), (9, 128, 4), (40, 600, 300)] {
            let weight = |i: usize| ((i * 37 + 11) % 255) as i32 - 127;
            let input = |i: usize| ((i * 53 + 7) % 255) as i32 - 127;
            let levels: Vec<i8> = (0..outputs * inputs).map(|i| weight(i) as i8).collect();
            let weights = Weights::new(&levels, inputs);
            let width = weights.padded();
            let mut x = vec![128_u8; rows * width];
            for r in 0..rows {
                for i in 0..inputs {
                    x[r * width + i] = (input(r * inputs + i) + 128) as u8;
                }
            }
            let mut expected = vec![0; rows * outputs];
            for r in 0..rows {
                for o in 0..outputs {
                    expected[r * outputs + o] =
                        (0..inputs).map(|i| input(r * inputs + i) * weight(o * inputs + i)).sum();
                }
            }
            let mut sums = vec![0; rows * outputs];
            weights.multiply(&x, &mut sums);
            assert_eq!(sums, expected, "{rows} {inputs} {outputs}");
            portable(&weights, &x, &mut sums);
            assert_eq!(sums, expected, "portable, {rows} {inputs} {outputs}");
        }
    }
}
