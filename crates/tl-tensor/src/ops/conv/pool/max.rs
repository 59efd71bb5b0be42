//! The largest of windows.

use super::{Plan, Window};
use crate::{Elem, Op, Result, Tensor, Value, Vjp, kernel::parallel};
use std::sync::Arc;

/// Elements at places of each plane: `y[p][i] = x[p][places[p][i]]`.
struct TakePlaces {
    places: Arc<[u32]>,
    image: [usize; 2],
}

impl<E: Elem> Op<E> for TakePlaces {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(put_places(&g, &self.places, self.image)))
    }
}

/// The adjoint of [`TakePlaces`].
struct PutPlaces {
    places: Arc<[u32]>,
    image: [usize; 2],
    out: [usize; 2],
}

impl<E: Elem> Op<E> for PutPlaces {
    fn name(&self) -> &'static str {
        "max_unpool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || {
            let [height, width] = self.out;
            let per_plane = height * width;
            let shape = g.shape().with(2, height).with(3, width);
            let data = g.value.contiguous();
            let plane = self.image[0] * self.image[1];
            let value = Value::build(shape, |out| {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = data.raw()[i / per_plane * plane + self.places[i] as usize];
                }
            });
            let (places, image) = (self.places.clone(), self.image);
            Ok(Tensor::from_op(value, &[&g], || TakePlaces { places, image }))
        })
    }
}

fn put_places<E: Elem>(g: &Tensor<E>, places: &Arc<[u32]>, image: [usize; 2]) -> Tensor<E> {
    let out = [g.dims()[2], g.dims()[3]];
    let per_plane = out[0] * out[1];
    let plane = image[0] * image[1];
    let shape = g.shape().with(2, image[0]).with(3, image[1]);
    let data = g.value.contiguous();
    let data = data.raw();
    let value = Value::build(shape, |x| {
        let work = x.len();
        parallel::chunks(x, plane, work, |p, x| {
            x.fill(E::ZERO);
            let at = p * per_plane..(p + 1) * per_plane;
            for (&place, &g) in places[at.clone()].iter().zip(&data[at]) {
                x[place as usize] += g;
            }
        });
    });
    Tensor::from_op(value, &[g], || PutPlaces { places: places.clone(), image, out })
}

/// Whether windows are pairs side by side: the usual pool that halves an image.
fn halving(windows: &[Window]) -> bool {
    windows.iter().enumerate().all(|(i, w)| w.start == 2 * i && w.count == 2 && w.step == 1)
}

/// The place of the largest of each four pixels, without branches.
#[inline(always)]
fn largest_of_four<E: Elem>(plane: &[E], width: usize, columns: usize, places: &mut [u32]) {
    let below = width as u32;
    for (row, places) in places.chunks_exact_mut(columns).enumerate() {
        let start = 2 * row * width;
        let top = plane[start..start + width].as_chunks::<2>().0;
        let bottom = plane[start + width..start + 2 * width].as_chunks::<2>().0;
        for ((column, place), (t, b)) in places.iter_mut().enumerate().zip(top.iter().zip(bottom)) {
            let first = (start + 2 * column) as u32;
            let (mut best, mut at) = (t[0], first);
            for (x, here) in [(t[1], first + 1), (b[0], first + below), (b[1], first + below + 1)] {
                let larger = (x > best) | (x.is_nan() & !best.is_nan());
                (best, at) = if larger { (x, here) } else { (best, at) };
            }
            *place = at;
        }
    }
}

/// The place of the largest pixel of one window.
#[inline(always)]
fn largest_of<E: Elem>(plane: &[E], width: usize, row: &Window, column: &Window) -> u32 {
    let mut best = row.start * width + column.start;
    for i in 0..row.count {
        let line = (row.start + i * row.step) * width + column.start;
        for j in 0..column.count {
            let place = line + j * column.step;
            let (x, old) = (plane[place], plane[best]);
            if x > old || (x.is_nan() && !old.is_nan()) {
                best = place;
            }
        }
    }
    best as u32
}

/// Windows that are looked at together.
const TOGETHER: usize = 16;

/// The place of the largest pixel of each of [`TOGETHER`] windows, the first of
/// which is `column` and each next one `STRIDE` further, without branches.
#[inline(always)]
fn largest_of_many<E: Elem, const STRIDE: usize>(
    plane: &[E],
    width: usize,
    row: &Window,
    column: &Window,
) -> [u32; TOGETHER] {
    let first = row.start * width + column.start;
    let (mut best, mut at) = ([E::ZERO; TOGETHER], [0; TOGETHER]);
    for l in 0..TOGETHER {
        best[l] = plane[first + l * STRIDE];
        at[l] = (first + l * STRIDE) as u32;
    }
    for i in 0..row.count {
        for j in 0..column.count {
            let from = (row.start + i * row.step) * width + column.start + j * column.step;
            let pixels = &plane[from..=from + (TOGETHER - 1) * STRIDE];
            for l in 0..TOGETHER {
                let x = pixels[l * STRIDE];
                let larger = (x > best[l]) | (x.is_nan() & !best[l].is_nan());
                best[l] = if larger { x } else { best[l] };
                at[l] = if larger { (from + l * STRIDE) as u32 } else { at[l] };
            }
        }
    }
    at
}

/// The place of the largest pixel of each window.
#[inline(always)]
fn largest<E: Elem>(plan: &Plan, plane: &[E], places: &mut [u32]) {
    let (width, columns) = (plan.image[1], &plan.columns[..]);
    // Whole windows lie side by side, in equal steps; those at the edges are cut.
    let full = columns.iter().map(|w| w.count).max().unwrap_or(0);
    let whole = |w: &&Window| w.count == full;
    let left = columns.iter().take_while(|w| !whole(w)).count();
    let inner = columns[left..].iter().take_while(whole).count();
    let step = if inner > 1 { columns[left + 1].start - columns[left].start } else { 0 };
    let even = columns[left..left + inner].windows(2).all(|w| w[1].start - w[0].start == step);
    for (row, places) in plan.rows.iter().zip(places.chunks_exact_mut(columns.len().max(1))) {
        let mut column = 0;
        while column < columns.len() {
            let together =
                even && row.count > 0 && column >= left && column + TOGETHER <= left + inner;
            let into = &mut places[column..];
            match (together, step) {
                (true, 1) => {
                    let found = largest_of_many::<E, 1>(plane, width, row, &columns[column]);
                    into[..TOGETHER].copy_from_slice(&found);
                    column += TOGETHER;
                }
                (true, 2) => {
                    let found = largest_of_many::<E, 2>(plane, width, row, &columns[column]);
                    into[..TOGETHER].copy_from_slice(&found);
                    column += TOGETHER;
                }
                _ => {
                    into[0] = largest_of(plane, width, row, &columns[column]);
                    column += 1;
                }
            }
        }
    }
}

/// The largest of each window; the adjoint puts gradients to their places.
pub(super) fn max_pool<E: Elem>(x: &Tensor<E>, plan: &Plan) -> Tensor<E> {
    let data = x.value.contiguous();
    let data = &data.raw()[..x.numel()];
    let (input, output) = (plan.input(), plan.output());
    let planes = x.dims()[0] * x.dims()[1];
    let mut places = vec![0u32; planes * output];
    let halves = halving(&plan.rows) && halving(&plan.columns);
    parallel::chunks(&mut places, output, data.len() * 2, |p, places| {
        let plane = &data[p * input..(p + 1) * input];
        if halves {
            let (width, columns) = (plan.image[1], plan.columns.len());
            parallel::simd(
                #[inline(always)]
                || largest_of_four(plane, width, columns, places),
            );
        } else {
            parallel::simd(
                #[inline(always)]
                || largest(plan, plane, places),
            );
        }
    });
    let value = Value::build(plan.shape(x.shape()), |out| {
        parallel::chunks(out, output, data.len(), |p, out| {
            let (plane, from) = (&data[p * input..(p + 1) * input], p * output);
            for (o, &place) in out.iter_mut().zip(&places[from..]) {
                *o = plane[place as usize];
            }
        });
    });
    let places: Arc<[u32]> = places.into();
    Tensor::from_op(value, &[x], || TakePlaces { places, image: plan.image })
}
