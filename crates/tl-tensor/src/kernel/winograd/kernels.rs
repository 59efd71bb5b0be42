//! The transform of a weight, and its adjoint.
#![allow(unsafe_code)]
// One index into several lanes at once.
#![allow(clippy::needless_range_loop)]

use super::{
    panels::{Panel, panels},
    tiles::{LANES, Lanes, both},
    transform::Transform,
};
use crate::{
    Elem,
    buffer::Buffer,
    kernel::{
        disjoint::Disjoint,
        parallel::{self, simd},
        square,
    },
};
use std::ops::Range;

/// The kernels of a weight `[to, from, 3, 3]`, as they lie or for the way back: `from`
/// and `to` exchanged and every kernel turned around.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    from: usize,
    to: usize,
    back: bool,
}

/// Numbers of a kernel.
const AREA: usize = 9;
/// Kernels from sixteen channels to sixteen others: `[from][place][to]`.
const BLOCK: usize = LANES * AREA * LANES;

/// Sixteen channels from `first` on, of so many.
fn sixteen(first: usize, channels: usize) -> Range<usize> {
    first..(first + LANES).min(channels)
}

impl Kernels {
    pub(super) fn new(from: usize, to: usize) -> Self {
        Self { from, to, back: false }
    }

    /// Those for the way back, from `to` to `from`.
    pub(super) fn back(self) -> Self {
        Self { from: self.to, to: self.from, back: !self.back }
    }

    /// The kernels between these channels; `block` is 0 where there are fewer.
    fn read<E: Elem>(&self, weight: &[E], from: Range<usize>, to: Range<usize>, block: &mut [E]) {
        let block = Disjoint::new(block);
        if !self.back {
            let kernels = &weight[(to.start * self.from + from.start) * AREA..];
            let size = (from.len() * AREA, to.len());
            // SAFETY: the block is ours.
            unsafe {
                square::transpose(size, (kernels, self.from * AREA), (&block, 0, LANES), false);
            };
            return;
        }
        let mut other = Buffer::scratch(BLOCK);
        self.back().read(weight, to.clone(), from.clone(), other.as_mut_slice());
        for place in 0..AREA {
            let (kernels, step) = (&other.as_slice()[place * LANES..], AREA * LANES);
            let (size, at) = ((from.len(), to.len()), (AREA - 1 - place) * LANES);
            // SAFETY: as above.
            unsafe { square::transpose(size, (kernels, step), (&block, at, step), false) };
        }
    }

    /// `G g Gᵀ` of each kernel: `[panel][place][from][lane]`.
    pub(super) fn transform<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
        &self,
        weight: &[E],
    ) -> Buffer<E> {
        let panels = panels::<E>(self.to);
        let size = panels.iter().map(|panel| panel.width).sum::<usize>() * self.from * N * N;
        let mut buffer = Buffer::scratch(size);
        let all = Disjoint::new(buffer.as_mut_slice());
        let tasks = self.from.div_ceil(LANES);
        parallel::collect(panels.len() * tasks, size, |task| {
            let panel = panels[task / tasks];
            let own = sixteen(task % tasks * LANES, self.from);
            let step = self.from * panel.width;
            let mut blocks = Buffer::filled(panel.width * AREA * LANES, E::ZERO);
            for (i, block) in blocks.as_mut_slice().chunks_exact_mut(BLOCK).enumerate() {
                let to = sixteen(panel.first + i * LANES, self.to);
                self.read(weight, own.clone(), to, block);
            }
            let lines = blocks.as_slice().as_chunks::<LANES>().0;
            let start = panel.start(self.from, N) + own.start * panel.width;
            simd(
                #[inline(always)]
                || {
                    for i in 0..own.len() {
                        for (lane, block) in lines.chunks_exact(LANES * AREA).enumerate() {
                            let kernel = &block[i * AREA..(i + 1) * AREA];
                            let at = start + i * panel.width + lane * LANES;
                            both(
                                #[inline(always)]
                                |j| [kernel[j], kernel[3 + j], kernel[6 + j]],
                                T::kernel,
                                #[inline(always)]
                                |i, j, lanes: &Lanes<E>| {
                                    // SAFETY: numbers of this panel and channel, which no
                                    // other task has.
                                    let out = unsafe { all.part(at + (N * i + j) * step, LANES) };
                                    out.copy_from_slice(lanes);
                                },
                            );
                        }
                    }
                },
            );
        });
        buffer
    }

    /// `Gᵀ u G` of each kernel, the adjoint of [`transform`](Self::transform).
    pub(super) fn transform_back<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
        &self,
        places: &[E],
        out: &mut [E],
    ) {
        let (panels, row) = (panels::<E>(self.to), self.from * AREA);
        let work = out.len() * N;
        parallel::chunks(out, LANES * row, work, |task, out| {
            let channel = task * LANES;
            let holds = |panel: &&Panel| channel < panel.first + panel.width;
            let Some(panel) = panels.iter().find(holds) else { return };
            let step = self.from * panel.width;
            let (count, out) = (out.len() / row, Disjoint::new(out));
            let mut block = Buffer::scratch(BLOCK);
            for first in (0..self.from).step_by(LANES) {
                let own = sixteen(first, self.from);
                let start = panel.start(self.from, N) + channel - panel.first;
                let lines = block.as_mut_slice().as_chunks_mut::<LANES>().0;
                simd(
                    #[inline(always)]
                    || {
                        for (from, kernel) in own.clone().zip(lines.chunks_exact_mut(AREA)) {
                            let at = start + from * panel.width;
                            both(
                                #[inline(always)]
                                |j| {
                                    let mut column = [[E::ZERO; LANES]; N];
                                    for i in 0..N {
                                        let at = at + (N * i + j) * step;
                                        column[i].copy_from_slice(&places[at..at + LANES]);
                                    }
                                    column
                                },
                                T::kernel_back,
                                #[inline(always)]
                                |i, j, lanes: &Lanes<E>| kernel[3 * i + j] = *lanes,
                            );
                        }
                    },
                );
                let size = (count, own.len() * AREA);
                // SAFETY: rows of this task.
                unsafe {
                    let from = (block.as_slice(), LANES);
                    square::transpose(size, from, (&out, first * AREA, row), false);
                }
            }
        });
    }
}
