//! Reductions in a fixed order.
//!
//! Sums run in sixteen lanes over blocks of fixed size, and blocks are added
//! in order: the same bits for any number of threads and any instruction set.

use super::{
    copy,
    lanes::{self, LANES},
    parallel::{self, simd},
};
use crate::{Elem, MAX_RANK, Value, ops::Reduced};

/// Elements that are summed before partial sums are added.
const BLOCK: usize = 1 << 14;
/// Columns that one task sums.
const COLUMNS: usize = 1 << 8;

/// The sum of a slice: sixteen interleaved partial sums, added in pairs.
#[inline]
pub(crate) fn sum_slice<E: Elem>(data: &[E]) -> E {
    if data.len() < LANES {
        return data.iter().fold(E::ZERO, |a, &x| a + x);
    }
    simd(
        #[inline(always)]
        || lanes::sum(data, |x| x),
    )
}

/// Whether no element is NaN or infinite: `x - x` is 0 only for the others.
// It is not always 0, that is the point.
#[allow(clippy::eq_op)]
pub(crate) fn all_finite<E: Elem>(data: &[E]) -> bool {
    data.chunks(BLOCK).all(|block| {
        let rest = simd(
            #[inline(always)]
            || lanes::sum(block, |x| x - x),
        );
        rest == E::ZERO
    })
}

/// The sum over a slice of any length, in blocks.
fn sum_long<E: Elem>(data: &[E]) -> E {
    if data.len() <= BLOCK {
        return sum_slice(data);
    }
    let blocks = data.len().div_ceil(BLOCK);
    let partial = parallel::collect(blocks, data.len(), |i| {
        sum_slice(&data[i * BLOCK..data.len().min((i + 1) * BLOCK)])
    });
    sum_slice(&partial)
}

/// How a reduction lies in memory: `outer` groups of `middle` reduced entries
/// of `inner` kept ones.
struct Layout {
    outer: usize,
    middle: usize,
    inner: usize,
}

/// Row-major data in which the reduced axes are neighbours, and the layout;
/// reorders if they are not.
fn arranged<E: Elem>(x: &Value<E>, r: &Reduced) -> (Value<E>, Layout) {
    let shape = *x.shape();
    let rank = shape.rank();
    // Axes of size 1 lie anywhere.
    let flags: Vec<(usize, bool)> =
        (0..rank).filter(|&a| shape[a] != 1).map(|a| (shape[a], r.axes[a])).collect();
    let first = flags.iter().position(|f| f.1).unwrap_or(flags.len());
    let last = flags.iter().rposition(|f| f.1).map_or(first, |l| l + 1);
    if flags[first..last].iter().all(|f| f.1) {
        let product = |part: &[(usize, bool)]| part.iter().map(|f| f.0).product();
        let layout = Layout {
            outer: product(&flags[..first]),
            middle: product(&flags[first..last]),
            inner: product(&flags[last..]),
        };
        return (x.contiguous(), layout);
    }
    let mut strides = [0; MAX_RANK];
    let mut dims = [1; MAX_RANK];
    let order = (0..rank).filter(|&a| !r.axes[a]).chain((0..rank).filter(|&a| r.axes[a]));
    for (to, from) in order.enumerate() {
        dims[to] = shape[from];
        strides[to] = x.strides()[from];
    }
    let mut moved = shape;
    for (axis, &size) in dims[..rank].iter().enumerate() {
        moved = moved.with(axis, size);
    }
    let layout = Layout { outer: r.kept.numel(), middle: r.count, inner: 1 };
    (copy::packed(&x.view(0, moved, strides)), layout)
}

/// The sum over the axes of `r`, of shape `r.kept`.
pub(crate) fn sum<E: Elem>(x: &Value<E>, r: &Reduced) -> Value<E> {
    let (x, Layout { outer, middle, inner }) = arranged(x, r);
    let data = &x.raw()[..x.numel()];
    Value::build_zeroed(r.kept, |out| {
        if data.is_empty() {
            return;
        }
        if inner == 1 {
            if outer == 1 {
                out[0] = sum_long(data);
                return;
            }
            let rows = (BLOCK / middle).max(1);
            parallel::chunks(out, rows, data.len(), |i, out| {
                let data = &data[i * rows * middle..];
                for (o, row) in out.iter_mut().zip(data.chunks_exact(middle)) {
                    *o = sum_slice(row);
                }
            });
            return;
        }
        for (out, data) in out.chunks_exact_mut(inner).zip(data.chunks_exact(middle * inner)) {
            let columns = COLUMNS.min(inner);
            parallel::chunks(out, columns, data.len(), |i, out| {
                for row in data.chunks_exact(inner) {
                    let row = &row[i * columns..][..out.len()];
                    simd(
                        #[inline(always)]
                        || {
                            for (o, &x) in out.iter_mut().zip(row) {
                                *o += x;
                            }
                        },
                    );
                }
            });
        }
    })
}

/// Folds with `f` from `init` over the axes of `r`, in row-major order; of
/// shape `r.kept`.
pub(crate) fn fold<E: Elem>(
    x: &Value<E>,
    r: &Reduced,
    init: E,
    f: impl Fn(E, E) -> E + Sync + Send,
) -> Value<E> {
    let (x, Layout { outer: _, middle, inner }) = arranged(x, r);
    let data = &x.raw()[..x.numel()];
    Value::build(r.kept, |out| {
        out.fill(init);
        if data.is_empty() {
            return;
        }
        for (out, data) in out.chunks_exact_mut(inner).zip(data.chunks_exact(middle * inner)) {
            for row in data.chunks_exact(inner) {
                for (o, &x) in out.iter_mut().zip(row) {
                    *o = f(*o, x);
                }
            }
        }
    })
}

/// For each kept position the index along the reduced axes (counted in
/// row-major order) of the element that `better(x, best)` prefers to all
/// before it.
pub(crate) fn pick<E: Elem>(
    x: &Value<E>,
    r: &Reduced,
    better: impl Fn(E, E) -> bool,
) -> Vec<usize> {
    let (x, Layout { outer, middle, inner }) = arranged(x, r);
    let data = &x.raw()[..x.numel()];
    let mut out = vec![0; outer * inner];
    for (group, data) in data.chunks_exact((middle * inner).max(1)).enumerate() {
        for i in 0..inner {
            let mut best = 0;
            for m in 1..middle {
                if better(data[m * inner + i], data[best * inner + i]) {
                    best = m;
                }
            }
            out[group * inner + i] = best;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_that_is_not_finite_is_found_wherever_it_is() {
        for len in [0, 1, 15, 16, 100, BLOCK + 5] {
            let mut data = vec![f32::MAX; len];
            assert!(all_finite(&data));
            for at in [0, len / 2, len.saturating_sub(1)] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let Some(x) = data.get_mut(at) else { continue };
                    *x = bad;
                    assert!(!all_finite(&data), "{bad} at {at} of {len}");
                    data[at] = f32::MIN_POSITIVE / 2.0;
                    assert!(all_finite(&data));
                }
            }
        }
    }
}
