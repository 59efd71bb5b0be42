//! Reductions of one row, to be called from within a loop that is compiled for
//! the best instruction set.
//!
//! Sixteen interleaved partial results, joined in pairs: the same bits for any
//! instruction set.
// One index into several lanes at once.
#![allow(clippy::needless_range_loop)]

use crate::Elem;

pub(crate) const LANES: usize = 16;

/// Joins lanes in pairs: the first half with the second, and so on.
#[inline(always)]
pub(crate) fn joined<E: Elem>(mut lanes: [E; LANES], join: impl Fn(E, E) -> E) -> E {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum of `f(x)`.
#[inline(always)]
pub(crate) fn sum<E: Elem>(x: &[E], f: impl Fn(E) -> E) -> E {
    let mut lanes = [E::ZERO; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for l in 0..LANES {
            lanes[l] += f(chunk[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    joined(lanes, |a, b| a + b)
}

/// The sum of `f(x, y)` over pairs.
#[inline(always)]
pub(crate) fn sum_pairs<E: Elem>(x: &[E], y: &[E], f: impl Fn(E, E) -> E) -> E {
    let mut lanes = [E::ZERO; LANES];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for l in 0..LANES {
            lanes[l] += f(x[l], y[l]);
        }
    }
    for (lane, (&x, &y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *lane += f(x, y);
    }
    joined(lanes, |a, b| a + b)
}

/// Writes `f(x)` for each `x` and returns the sum.
#[inline(always)]
pub(crate) fn map_sum<E: Elem>(out: &mut [E], x: &[E], f: impl Fn(E) -> E) -> E {
    let mut lanes = [E::ZERO; LANES];
    let ((out, out_rest), (x, x_rest)) = (out.as_chunks_mut::<LANES>(), x.as_chunks::<LANES>());
    for (out, x) in out.iter_mut().zip(x) {
        for l in 0..LANES {
            out[l] = f(x[l]);
            lanes[l] += out[l];
        }
    }
    for (lane, (out, &x)) in lanes.iter_mut().zip(out_rest.iter_mut().zip(x_rest)) {
        *out = f(x);
        *lane += *out;
    }
    joined(lanes, |a, b| a + b)
}

/// The larger of two, NaN if one is.
#[inline(always)]
fn larger<E: Elem>(a: E, b: E) -> E {
    if b > a || b.is_nan() { b } else { a }
}

/// The largest: -∞ of nothing, NaN if one is.
#[inline(always)]
pub(crate) fn largest<E: Elem>(x: &[E]) -> E {
    let mut lanes = [-E::INFINITY; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], chunk[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    joined(lanes, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_agree_with_plain_loops() {
        for n in [0, 1, 5, 16, 33, 100] {
            let x: Vec<f64> = (0..n).map(|i| f64::from(i).sin()).collect();
            let mut y = vec![0.0; x.len()];
            let plain: f64 = x.iter().map(|x| x * x).sum();
            approx::assert_abs_diff_eq!(sum(&x, |x| x * x), plain, epsilon = 1e-12);
            approx::assert_abs_diff_eq!(sum_pairs(&x, &x, |a, b| a * b), plain, epsilon = 1e-12);
            approx::assert_abs_diff_eq!(map_sum(&mut y, &x, |x| x * x), plain, epsilon = 1e-12);
            assert_eq!(y, x.iter().map(|x| x * x).collect::<Vec<_>>());
            assert_eq!(largest(&x), x.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b)));
        }
        for at in [0, 7, 18] {
            let mut x = [1.0_f32; 19];
            x[at] = f32::NAN;
            assert!(largest(&x).is_nan());
        }
    }
}
