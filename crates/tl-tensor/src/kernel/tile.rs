//! The inner loop of convolutions: tiles of results that stay in registers.
#![allow(unsafe_code)]
// Loops by number, see `tile_of`.
#![allow(clippy::needless_range_loop)]

use pulp::{Arch, Simd, WithSimd};
use std::mem;

/// Registers of a line of a tile at most, of 32 and of 16 that there are.
const WIDEST: usize = 4;
const WIDEST_OF_16: usize = 2;

/// How many numbers a register has on this machine, and how many a line, at most.
struct Lanes;

impl WithSimd for Lanes {
    type Output = [usize; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [usize; 2] {
        [S::F32_LANES, widest::<S>() * S::F32_LANES]
    }
}

/// Registers of a line of a tile, at most.
const fn widest<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { WIDEST } else { WIDEST_OF_16 }
}

/// Numbers of a register of this machine.
pub(super) fn lanes() -> usize {
    Arch::new().dispatch(Lanes)[0]
}

/// Numbers of a line of a block, which is whole registers, for `width` in all.
pub(super) fn block(width: usize) -> usize {
    let [lanes, widest] = Arch::new().dispatch(Lanes);
    widest.min(width.next_multiple_of(lanes))
}

/// `out[row][..] (+)= Σ_term x[row + term] · vectors[term][..]`: rows and terms are
/// places in `x`, a line of `vectors` and `out` has [`block`]'s numbers.
pub(super) struct Sums<'a> {
    pub(super) x: &'a [f32],
    pub(super) rows: &'a [usize],
    pub(super) terms: &'a [usize],
    pub(super) vectors: &'a [f32],
    pub(super) out: &'a mut [f32],
    pub(super) add: bool,
    /// Terms that are summed before the sum goes to `out`.
    pub(super) at_once: usize,
}

impl Sums<'_> {
    /// The numbers of a line.
    fn width(&self) -> usize {
        self.vectors.len() / self.terms.len().max(1)
    }

    fn check(&self) {
        let farthest = |at: &[usize]| at.iter().max().copied().unwrap_or(0);
        let (rows, terms) = (farthest(self.rows), farthest(self.terms));
        assert!(rows + terms < self.x.len(), "convolution: the planes are too short");
        let (vectors, out) = (self.terms.len() * self.width(), self.rows.len() * self.width());
        assert!(
            vectors <= self.vectors.len() && out <= self.out.len(),
            "convolution: lines too short"
        );
    }

    /// Tiles of `R` rows by `V` registers, then lower ones of what is left.
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self, simd: S) {
        let width = V * S::F32_LANES;
        for (part, terms) in self.terms.chunks(self.at_once).enumerate() {
            let add = self.add || part > 0;
            let vectors = &self.vectors[part * self.at_once * width..];
            let (lines, rest) = self.rows.as_chunks::<R>();
            let (fours, rest) = rest.as_chunks::<4>();
            let (twos, ones) = rest.as_chunks::<2>();
            let mut out = &mut self.out[..self.rows.len() * width];
            // SAFETY: `check` says that every row and term lie in `x`, and each term has
            // a line of `vectors`.
            unsafe {
                for rows in lines {
                    tile_of::<S, R, V>(simd, self.x, rows, terms, vectors, &mut out, add);
                }
                for rows in fours {
                    tile_of::<S, 4, V>(simd, self.x, rows, terms, vectors, &mut out, add);
                }
                for rows in twos {
                    tile_of::<S, 2, V>(simd, self.x, rows, terms, vectors, &mut out, add);
                }
                for &row in ones {
                    tile_of::<S, 1, V>(simd, self.x, &[row], terms, vectors, &mut out, add);
                }
            }
        }
    }
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.check();
        match (S::REGISTER_COUNT >= 32, self.width() / S::F32_LANES) {
            (true, 4) => self.run::<S, 6, 4>(simd),
            (true, 3) => self.run::<S, 8, 3>(simd),
            (true, 2) => self.run::<S, 8, 2>(simd),
            (false, 2) => self.run::<S, 6, 2>(simd),
            _ => self.run::<S, 8, 1>(simd),
        }
    }
}

/// # Safety
/// The sum of every row and term is a place in `x`, and each term has a line of
/// `V` registers in `vectors`. Takes its lines off `all`.
#[inline(always)]
unsafe fn tile_of<S: Simd, const R: usize, const V: usize>(
    simd: S,
    x: &[f32],
    rows: &[usize; R],
    terms: &[usize],
    vectors: &[f32],
    all: &mut &mut [f32],
    add: bool,
) {
    let width = V * S::F32_LANES;
    let (out, rest) = mem::take(all).split_at_mut(R * width);
    *all = rest;
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; V]; R];
    let mut from = [x.as_ptr(); R];
    // SAFETY: rows and terms as the caller promises, the tile as split off; registers
    // are plain numbers, read and written without alignment. The loops go by number and
    // hold no closures: the compiler may leave iterators and closures outside of what it
    // compiles for these instructions.
    unsafe {
        for r in 0..R {
            from[r] = x.as_ptr().add(rows[r]);
        }
        let mut line = vectors.as_ptr();
        for &term in terms {
            let mut vector = [zero; V];
            for v in 0..V {
                vector[v] = line.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned();
            }
            for r in 0..R {
                let x = simd.splat_f32s(*from[r].add(term));
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(x, vector[v], sums[r][v]);
                }
            }
            line = line.add(width);
        }
        for r in 0..R {
            for v in 0..V {
                let at = out.as_mut_ptr().add(r * width + v * S::F32_LANES).cast::<S::f32s>();
                let sum =
                    if add { simd.add_f32s(at.read_unaligned(), sums[r][v]) } else { sums[r][v] };
                at.write_unaligned(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum of every width of a line, with these instructions, against `f64`.
    #[derive(Clone, Copy)]
    struct Check;

    impl WithSimd for Check {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let widths = if S::F32_LANES == 1 { 1..=1 } else { 1..=widest::<S>() };
            for width in widths.map(|registers| registers * S::F32_LANES) {
                let x: Vec<f32> = (0..400).map(|i| (i as f32 * 0.37).sin()).collect();
                let rows: Vec<usize> = (0..19).map(|i| i * 3 % 50).collect();
                let terms: Vec<usize> = (0..197).map(|i| i * 7 % 350).collect();
                let vectors: Vec<f32> =
                    (0..terms.len() * width).map(|i| (i as f32 * 0.73).cos()).collect();
                let mut out = vec![1.0; rows.len() * width];
                let add = width % 2 == 0;
                let sums = Sums {
                    x: &x,
                    rows: &rows,
                    terms: &terms,
                    vectors: &vectors,
                    out: &mut out,
                    add,
                    at_once: 96,
                };
                simd.vectorize(sums);
                for (i, &out) in out.iter().enumerate() {
                    let (row, lane) = (rows[i / width], i % width);
                    let products = terms.iter().enumerate().map(|(t, &term)| {
                        f64::from(x[row + term]) * f64::from(vectors[t * width + lane])
                    });
                    let want = products.sum::<f64>() + if add { 1.0 } else { 0.0 };
                    assert!((f64::from(out) - want).abs() < 1e-4, "{i} of {width}: {out}, {want}");
                }
            }
        }
    }

    /// Without the right features of `pulp`, a machine falls back on plain numbers.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_vectors_of_this_machine_are_used() {
        let least = if is_x86_feature_detected!("avx512f") {
            16
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            8
        } else {
            1
        };
        assert!(lanes() >= least, "{} lanes, {least} are there", lanes());
    }

    #[test]
    fn every_instruction_set_agrees_with_plain_sums() {
        crate::kernel::on_every_instruction_set(Check);
    }
}
