//! Products of unsigned and signed bytes, summed in 32 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod vnni;

/// Outputs of one vector.
pub(super) const LANES: usize = 16;

/// The inputs of several rows of a product, where they are. A vector is one run of
/// bytes; the window of a convolution is a run for each row of its kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) bytes: &'a [u8],
    /// Where each row begins.
    pub(super) starts: &'a [usize],
    /// Where each run of a row begins, from the beginning of the row.
    pub(super) offsets: &'a [usize],
}

/// Signed bytes `[outputs, inputs]`, packed so that a vector holds four inputs
/// of sixteen outputs; what is missing is 0.
#[derive(Debug)]
pub(super) struct Weights {
    /// `[outputs / 16][runs][run / 4][16][4]`.
    packed: Vec<i8>,
    inputs: usize,
    outputs: usize,
    runs: usize,
    /// The sum of each row: what a zero point of 1 adds.
    row_sums: Vec<i32>,
}

impl Weights {
    /// Of `levels` `[outputs, inputs]`, whose inputs come in so many runs of one length.
    pub(super) fn new(levels: &[i8], inputs: usize, runs: usize) -> Self {
        let (outputs, run) = (levels.len() / inputs.max(1), inputs / runs.max(1));
        let quads = run.div_ceil(4);
        let block = runs * quads * 4 * LANES;
        let mut packed = vec![0; outputs.div_ceil(LANES) * block];
        for (o, row) in levels.chunks(inputs).enumerate() {
            for (r, weights) in row.chunks(run).enumerate() {
                let at = (o / LANES) * block + r * quads * 4 * LANES + (o % LANES) * 4;
                for (i, &w) in weights.iter().enumerate() {
                    packed[at + (i / 4) * 4 * LANES + i % 4] = w;
                }
            }
        }
        let sum = |row: &[i8]| row.iter().map(|&w| i32::from(w)).sum();
        let row_sums = levels.chunks(inputs).map(sum).collect();
        Self { packed, inputs, outputs, runs, row_sums }
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

    /// The bytes that are read of each run, a multiple of 4; those after its end meet
    /// weights of 0.
    pub(super) fn run(&self) -> usize {
        (self.inputs / self.runs).div_ceil(4) * 4
    }

    /// The sums of a row, a multiple of [`LANES`].
    pub(super) fn stride(&self) -> usize {
        self.outputs.div_ceil(LANES) * LANES
    }

    /// The weights of one block of outputs.
    fn block(&self) -> usize {
        self.runs * self.run() * LANES
    }

    /// `sums[r · stride + o] = Σ inputs of row r · weights[o]`. The sums after the last
    /// output are of no meaning.
    pub(super) fn multiply(&self, rows: Rows<'_>, sums: &mut [i32]) {
        let last = |at: &[usize]| at.iter().copied().max().unwrap_or(0);
        assert!(last(rows.starts) + last(rows.offsets) + self.run() <= rows.bytes.len());
        assert!(rows.offsets.len() == self.runs);
        assert!(sums.len() == rows.starts.len() * self.stride());
        #[cfg(target_arch = "x86_64")]
        if has_vnni() {
            // SAFETY: this machine has the instructions; the assertions are those asked for.
            #[allow(unsafe_code)]
            unsafe {
                vnni::multiply(self, rows, sums);
            }
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            unsafe {
                avx2::multiply(self, rows, sums);
            }
            return;
        }
        portable(self, rows, sums);
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
fn portable(weights: &Weights, rows: Rows<'_>, sums: &mut [i32]) {
    let run = weights.run();
    for (&start, sums) in rows.starts.iter().zip(sums.chunks_mut(weights.stride())) {
        for (block, sums) in weights.packed.chunks(weights.block()).zip(sums.chunks_mut(LANES)) {
            let mut all = [0_i32; LANES];
            for (weights, &offset) in block.chunks(run * LANES).zip(rows.offsets) {
                let inputs = rows.bytes[start + offset..][..run].chunks_exact(4);
                for (quad, four) in weights.chunks_exact(4 * LANES).zip(inputs) {
                    for (sum, w) in all.iter_mut().zip(quad.chunks_exact(4)) {
                        let products =
                            four.iter().zip(w).map(|(&a, &b)| i32::from(a) * i32::from(b));
                        *sum += products.sum::<i32>();
                    }
                }
            }
            sums.copy_from_slice(&all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs that overlap, as the windows of a convolution do.
    fn sums(rows: usize, run: usize, runs: usize, outputs: usize) {
        let case = format!("{rows} rows, {runs} runs of {run}, {outputs} outputs");
        let inputs = run * runs;
        let weight = |i: usize| ((i * 37 + 11) % 255) as i32 - 127;
        let levels: Vec<i8> = (0..outputs * inputs).map(|i| weight(i) as i8).collect();
        let weights = Weights::new(&levels, inputs, runs);
        let offsets: Vec<usize> = (0..runs).map(|r| r * (run + 5)).collect();
        let starts: Vec<usize> = (0..rows).map(|r| (r * 7) % 40).collect();
        let len = 40 + runs * (run + 5) + 3;
        let bytes: Vec<u8> = (0..len).map(|i| ((i * 53 + 7) % 256) as u8).collect();
        let rows = Rows { bytes: &bytes, starts: &starts, offsets: &offsets };

        let stride = weights.stride();
        let mut fast = vec![0; starts.len() * stride];
        weights.multiply(rows, &mut fast);
        let mut slow = vec![0; starts.len() * stride];
        portable(&weights, rows, &mut slow);
        assert_eq!(fast, slow, "{case}");
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            let mut half = vec![0; starts.len() * stride];
            // SAFETY: this machine has the instructions; `multiply` has asserted the rest.
            #[allow(unsafe_code)]
            unsafe {
                avx2::multiply(&weights, rows, &mut half);
            }
            assert_eq!(half, slow, "avx2 {case}");
        }
        for (r, start) in starts.iter().enumerate() {
            for o in 0..outputs {
                let term = |i: usize| {
                    let byte = bytes[start + offsets[i / run] + i % run];
                    i32::from(byte) * weight(o * inputs + i)
                };
                assert_eq!(slow[r * stride + o], (0..inputs).map(term).sum::<i32>(), "{case}");
            }
        }
        assert_eq!(weights.row_sums()[0], (0..inputs).map(weight).sum::<i32>());
    }

    #[test]
    fn all_kernels_give_the_sums_of_the_definition() {
        for (rows, run, outputs) in
            [(1, 1, 1), (5, 70, 6), (9, 128, 4), (40, 600, 300), (13, 27, 33), (3, 9, 70)]
        {
            sums(rows, run, 1, outputs);
        }
        for (rows, run, runs, outputs) in
            [(1, 3, 3, 8), (7, 9, 3, 17), (64, 5, 5, 16), (10, 192, 3, 64), (6, 16, 9, 40)]
        {
            sums(rows, run, runs, outputs);
        }
    }

    #[test]
    #[should_panic(expected = "bytes.len()")]
    fn a_row_that_ends_after_the_bytes_is_refused() {
        let weights = Weights::new(&[1; 8], 8, 2);
        let rows = Rows { bytes: &[0; 15], starts: &[4], offsets: &[0, 8] };
        weights.multiply(rows, &mut [0; LANES]);
    }
}
