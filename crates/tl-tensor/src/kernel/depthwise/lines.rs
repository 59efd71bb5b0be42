//! Kernels of 3x3 places in steps of one: a few lines of the output at once, from a
//! padded plane straight to where they belong. For `f32`.
#![allow(unsafe_code)]

use crate::kernel::im2col::Windows;
use pulp::{Arch, Simd, WithSimd};

/// Places of the kernel along an axis.
const SIDE: usize = 3;
/// Lines of the output that share what they read.
const LINES: usize = 4;

/// `out[y][x] = bias + Σ weight[a][b] · padded[y + a][x + b]`.
pub(super) struct Lines<'a> {
    pub(super) padded: &'a [f32],
    pub(super) padded_width: usize,
    pub(super) weight: [f32; SIDE * SIDE],
    pub(super) bias: f32,
    pub(super) out: &'a mut [f32],
    /// At least a vector.
    pub(super) width: usize,
}

/// Whether these are windows for [`Lines`]: 3x3 places side by side, and lines of a
/// whole vector in both directions.
pub(super) fn fit(w: &Windows) -> bool {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    w.kernel == [SIDE, SIDE]
        && w.stride == [1, 1]
        && w.dilation == [1, 1]
        && w.out[1].min(w.image[1]) >= Arch::new().dispatch(Width)
}

impl WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let height = self.out.len() / self.width;
        assert!(self.width >= S::F32_LANES && self.out.len() == height * self.width, "lines");
        let reads = (height + SIDE - 2) * self.padded_width + self.width + SIDE - 1;
        assert!(self.padded.len() >= reads && self.padded_width >= self.width, "padded lines");
        let mut weight = [simd.splat_f32s(0.0); SIDE * SIDE];
        for (to, from) in weight.iter_mut().zip(self.weight) {
            *to = simd.splat_f32s(from);
        }
        let bias = simd.splat_f32s(self.bias);
        let whole = height / LINES * LINES;
        let mut y = 0;
        while y < height {
            let from = &self.padded[y * self.padded_width..];
            let into = &mut self.out[y * self.width..];
            // SAFETY: as asserted, a line of the output has a whole vector and its
            // place in the padded plane the lines and columns of the kernel beyond.
            unsafe {
                if y < whole {
                    some::<S, LINES>(
                        simd,
                        from,
                        self.padded_width,
                        &weight,
                        bias,
                        into,
                        self.width,
                    );
                    y += LINES;
                } else {
                    some::<S, 1>(simd, from, self.padded_width, &weight, bias, into, self.width);
                    y += 1;
                }
            }
        }
    }
}

/// # Safety
/// `out` holds `R` lines of `width`, which is at least a vector; `padded` two lines
/// and two columns more.
#[inline(always)]
unsafe fn some<S: Simd, const R: usize>(
    simd: S,
    padded: &[f32],
    padded_width: usize,
    weight: &[S::f32s; SIDE * SIDE],
    bias: S::f32s,
    out: &mut [f32],
    width: usize,
) {
    let last = width - S::F32_LANES;
    let mut x = 0;
    loop {
        let mut sums = [bias; R];
        for line in 0..R + SIDE - 1 {
            for b in 0..SIDE {
                // SAFETY: as the caller promises, for `line` of `R + 2` lines and
                // `x + b` up to two columns beyond the last.
                let met = unsafe {
                    let at = padded.as_ptr().add(line * padded_width + x + b);
                    at.cast::<S::f32s>().read_unaligned()
                };
                for (r, sum) in sums.iter_mut().enumerate() {
                    if line >= r && line - r < SIDE {
                        *sum = simd.mul_add_e_f32s(weight[(line - r) * SIDE + b], met, *sum);
                    }
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            // SAFETY: as the caller promises: a vector from `x` on lies in the line.
            unsafe {
                let at = out.as_mut_ptr().add(r * width + x);
                at.cast::<S::f32s>().write_unaligned(*sum);
            }
        }
        if x == last {
            return;
        }
        // The last vector overlaps the one before where lines are no whole vectors.
        x = (x + S::F32_LANES).min(last);
    }
}
