//! The products of transformed tiles with transformed kernels, by panels of output
//! channels as wide as the registers of a machine hold.

use crate::{
    Elem,
    kernel::{
        disjoint::{cast, cast_mut},
        gemm::{Matrix, gemm},
        tile::{self, Sums},
    },
};
use pulp::Arch;

use super::tiles::LANES;

/// Channels of a panel at most.
pub(super) const PANEL: usize = 64;

/// Some channels, in whole vectors.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) first: usize,
    pub(super) width: usize,
}

impl Panel {
    /// Where its numbers start: `N` squared places of `rows` lines of each panel.
    pub(super) fn start(&self, rows: usize, n: usize) -> usize {
        n * n * rows * self.first
    }
}

/// The panels of so many channels.
pub(super) fn panels<E: Elem>(channels: usize) -> Vec<Panel> {
    let mut panels = Vec::new();
    let mut first = 0;
    while first < channels {
        let left = channels - first;
        let width = if vectors::<E>() { tile::block(left) } else { PANEL.min(left) };
        let width = width.next_multiple_of(LANES);
        panels.push(Panel { first, width });
        first += width;
    }
    panels
}

/// Whether this machine has vectors of these numbers, and a kernel for them.
fn vectors<E: Elem>() -> bool {
    cast::<E, f32>(&[]).is_some() && tile::lanes() > 1
}

/// The left matrix of a product: where in a slice its rows start, and its columns.
pub(super) struct Left {
    rows: Vec<usize>,
    terms: Vec<usize>,
    at_once: usize,
}

impl Left {
    /// So many rows and columns, so far from one to the next; `at_once` terms of a sum are
    /// summed before they are added to the others.
    pub(super) fn new(
        (rows, row_step): (usize, usize),
        (terms, step): (usize, usize),
        at_once: usize,
    ) -> Self {
        let places = |count: usize, step: usize| (0..count).map(|i| i * step).collect();
        Self { rows: places(rows, row_step), terms: places(terms, step), at_once }
    }

    /// `out = left right`, or `+=` if `add`, for a right matrix of `width` columns.
    pub(super) fn multiply<E: Elem>(
        &self,
        left: &[E],
        (right, width): (&[E], usize),
        out: &mut [E],
        add: bool,
    ) {
        let (rows, terms) = (&self.rows[..], &self.terms[..]);
        if vectors::<E>()
            && let (Some(x), Some(vectors)) = (cast(left), cast(right))
            && let Some(out) = cast_mut(&mut *out)
        {
            Arch::new().dispatch(Sums { x, rows, terms, vectors, out, add, at_once: self.at_once });
            return;
        }
        let step = |places: &[usize]| places.get(1).copied().unwrap_or(1);
        for (i, terms) in terms.chunks(self.at_once).enumerate() {
            let from = i * self.at_once;
            let right = Matrix::new(&right[from * width..], width);
            let left = Matrix { data: left, row_step: step(rows), column_step: step(&self.terms) };
            let size = (rows.len(), terms.len(), width);
            gemm(size, left.skip_columns(from), right, out, add || i > 0, false);
        }
    }
}
