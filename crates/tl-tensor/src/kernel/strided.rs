//! Convolution with 5x5 kernels of stride 2 as one with 3x3 kernels: of the four phases
//! of a map, which are channels of their own.
//!
//! Every other entry of every other line is a phase. A place of the kernel meets one phase
//! alone, so `y = Σ conv(phase of x, places of the kernel that meet it)`, where the places
//! fill 3x3, 3x2, 2x3 and 2x2 entries; the rest is 0. Then [`winograd`](super::winograd)
//! has 144 products for what are 400.

use super::{
    conv::Geometry,
    im2col::Windows,
    parallel,
    phases::Layout,
    winograd::{self, Plan},
};
use crate::{Elem, Value, buffer::Buffer};

/// Numbers of an inner kernel, and its phases.
const AREA: usize = 9;
const PHASES: usize = 4;

/// Such a convolution.
pub(super) struct Strided {
    layout: Layout,
    plan: Plan,
    plane: usize,
}

impl Strided {
    /// The way to do a convolution, none if it is no such one or another way is better.
    pub(super) fn of(g: &Geometry) -> Option<Self> {
        let w = &g.windows;
        let fits = g.groups == 1 && w.kernel == [5, 5] && w.stride == [2, 2];
        if !fits || w.dilation != [1, 1] || w.columns() == 0 || w.above > 0 {
            return None;
        }
        let layout = Layout::of(w);
        let windows = Windows {
            channels: PHASES * w.channels,
            image: layout.phase,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [0, 0],
            ..*w
        };
        let plan = Plan::of(&Geometry { windows, ..*g })?.of_phases();
        Some(Self { layout, plan, plane: w.image[0] * w.image[1] })
    }

    /// The phases of all maps, zeros around them: `[image][channel][phase][entry]`.
    fn split<E: Elem>(&self, x: &[E]) -> Buffer<E> {
        let size = self.layout.size();
        let mut phases = Buffer::scratch(x.len() / self.plane.max(1) * PHASES * size);
        let work = phases.as_slice().len();
        parallel::chunks(phases.as_mut_slice(), PHASES * size, work, |i, phases| {
            phases.fill(E::ZERO);
            self.layout.split(&x[i * self.plane..][..self.plane], phases, size);
        });
        phases
    }

    /// `out = conv(x, weight) + bias`.
    pub(super) fn forward<E: Elem>(
        &self,
        x: &[E],
        weight: &Value<E>,
        bias: Option<&[E]>,
        out: &mut [E],
    ) {
        winograd::forward(&self.plan, self.split(x).as_slice(), weight, bias, out);
    }

    /// The gradient of the input from that of the output.
    pub(super) fn input_gradient<E: Elem>(&self, grad: &[E], weight: &Value<E>, out: &mut [E]) {
        let (size, planes) = (self.layout.size(), out.len() / self.plane.max(1));
        let mut phases = Buffer::scratch(planes * PHASES * size);
        winograd::input_gradient(&self.plan, grad, weight, phases.as_mut_slice());
        let phases = phases.as_slice();
        let work = phases.len();
        parallel::chunks(out, self.plane, work, |i, out| {
            // Pixels beyond the last window have no gradient.
            out.fill(E::ZERO);
            let own = phases[i * PHASES * size..][..PHASES * size].chunks_exact(size);
            for (phase, entries) in own.enumerate() {
                self.layout.put_back(phase, entries, out);
            }
        });
    }

    /// The gradient of the weight from the input and the output's gradient.
    pub(super) fn weight_gradient<E: Elem>(&self, x: &[E], grad: &[E], out: &mut [E]) {
        let area = self.layout.places.len();
        let mut wide = Buffer::scratch(out.len() / area * PHASES * AREA);
        winograd::weight_gradient(&self.plan, self.split(x).as_slice(), grad, wide.as_mut_slice());
        let kernels = wide.as_slice().chunks_exact(PHASES * AREA);
        for (out, wide) in out.chunks_exact_mut(area).zip(kernels) {
            for (x, at) in out.iter_mut().zip(inner_places()) {
                *x = wide[at];
            }
        }
    }
}

/// For every place of a 5x5 kernel its place in the four inner ones.
fn inner_places() -> impl Iterator<Item = usize> {
    let at = |(y, x): (usize, usize)| (y % 2 * 2 + x % 2) * AREA + y / 2 * 3 + x / 2;
    (0..5).flat_map(|y| (0..5).map(move |x| (y, x))).map(at)
}

/// Kernels of 5x5 entries as those of the phases: `[kernel][phase]`, 3x3 each.
pub(super) fn inner_kernels<E: Elem>(weight: &[E]) -> Buffer<E> {
    let mut wide = Buffer::filled(weight.len() / 25 * PHASES * AREA, E::ZERO);
    let kernels = wide.as_mut_slice().chunks_exact_mut(PHASES * AREA);
    for (kernel, wide) in weight.chunks_exact(25).zip(kernels) {
        for (&x, at) in kernel.iter().zip(inner_places()) {
            wide[at] = x;
        }
    }
    wide
}
