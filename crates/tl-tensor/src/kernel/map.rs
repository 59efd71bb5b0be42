//! Element by element.
//!
//! Loops within `simd` are `for` loops: what `for_each` calls may be compiled by
//! itself, for the smallest instruction set.

use super::{
    parallel::{CHUNK, chunks, simd},
    walk::Walk,
};
use crate::{Elem, MAX_RANK, Result, Shape, Value};

/// Below this many elements the choice of an instruction set costs more than
/// it gives.
const TINY: usize = 64;

/// `f(x)` for every element.
pub(crate) fn unary<E: Elem>(x: &Value<E>, f: impl Fn(E) -> E + Sync + Send + Copy) -> Value<E> {
    let x = x.contiguous();
    let data = &x.raw()[..x.numel()];
    Value::build(*x.shape(), |out| {
        if data.len() <= TINY {
            for (o, &x) in out.iter_mut().zip(data) {
                *o = f(x);
            }
            return;
        }
        chunks(out, CHUNK, data.len(), |i, out| {
            let data = &data[i * CHUNK..][..out.len()];
            simd(
                #[inline(always)]
                || {
                    for (o, &x) in out.iter_mut().zip(data) {
                        *o = f(x);
                    }
                },
            );
        });
    })
}

/// `f(a, b)` for every pair of elements, broadcasting.
pub(crate) fn binary<E: Elem>(
    op: &'static str,
    a: &Value<E>,
    b: &Value<E>,
    f: impl Fn(E, E) -> E + Sync + Send + Copy,
) -> Result<Value<E>> {
    if a.shape() == b.shape()
        && let (Some(x), Some(y)) = (a.as_slice(), b.as_slice())
    {
        return Ok(Value::build(*a.shape(), |out| zip(out, x, y, f)));
    }
    let shape = Shape::broadcast(op, a.shape(), b.shape())?;
    if a.shape() == &shape && b.numel() == 1 {
        let b = b.raw()[0];
        return Ok(unary(a, move |a| f(a, b)));
    }
    if b.shape() == &shape && a.numel() == 1 {
        let a = a.raw()[0];
        return Ok(unary(b, move |b| f(a, b)));
    }
    Ok(Value::build(shape, |out| {
        if out.is_empty() {
            return;
        }
        let walk = Walk::new(&shape, [a.broadcast_strides(&shape), b.broadcast_strides(&shape)]);
        let (a, b, length) = (a.raw(), b.raw(), walk.length());
        let runs = (CHUNK / length).max(1);
        let work = out.len();
        chunks(out, runs * length, work, |i, out| {
            let count = out.len() / length;
            let mut lines = out.chunks_exact_mut(length);
            // One choice of the instruction set for all runs, which may be short.
            simd(
                #[inline(always)]
                || {
                    walk.each(
                        i * runs,
                        count,
                        #[inline(always)]
                        |from: [usize; 2], steps: [usize; 2], _| {
                            if let Some(out) = lines.next() {
                                line(out, a, b, from, steps, f);
                            }
                        },
                    );
                },
            );
        });
    }))
}

/// One run of [`binary`]: from `i` and `j` on in steps.
#[inline(always)]
fn line<E: Elem>(
    out: &mut [E],
    a: &[E],
    b: &[E],
    [i, j]: [usize; 2],
    steps: [usize; 2],
    f: impl Fn(E, E) -> E,
) {
    let length = out.len();
    match steps {
        [1, 1] => {
            for ((o, &a), &b) in out.iter_mut().zip(&a[i..i + length]).zip(&b[j..j + length]) {
                *o = f(a, b);
            }
        }
        [1, 0] => {
            let b = b[j];
            for (o, &a) in out.iter_mut().zip(&a[i..i + length]) {
                *o = f(a, b);
            }
        }
        [0, 1] => {
            let a = a[i];
            for (o, &b) in out.iter_mut().zip(&b[j..j + length]) {
                *o = f(a, b);
            }
        }
        [s, t] => {
            for (k, o) in out.iter_mut().enumerate() {
                *o = f(a[i + k * s], b[j + k * t]);
            }
        }
    }
}

#[inline]
fn zip<E: Elem>(out: &mut [E], a: &[E], b: &[E], f: impl Fn(E, E) -> E + Sync + Send + Copy) {
    if out.len() <= TINY {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = f(a, b);
        }
        return;
    }
    chunks(out, CHUNK, a.len(), |i, out| {
        let (a, b) = (&a[i * CHUNK..][..out.len()], &b[i * CHUNK..][..out.len()]);
        simd(
            #[inline(always)]
            || {
                for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *o = f(a, b);
                }
            },
        );
    });
}

/// Makes every row of `out` a copy of `row`.
pub(crate) fn fill_rows<E: Elem>(out: &mut [E], row: &[E]) {
    let width = row.len().max(1);
    let rows = (CHUNK / width).max(1);
    let work = out.len();
    chunks(out, rows * width, work, |_, out| {
        out.chunks_exact_mut(width).for_each(|out| out.copy_from_slice(row));
    });
}

/// `f(x + row)` in place for every row, or `f(x)`.
pub(crate) fn rows_in_place<E: Elem>(
    out: &mut [E],
    row: Option<&[E]>,
    f: impl Fn(E) -> E + Sync + Send + Copy,
) {
    let Some(row) = row else {
        let work = out.len();
        chunks(out, CHUNK, work, |_, out| {
            simd(
                #[inline(always)]
                || {
                    for x in out.iter_mut() {
                        *x = f(*x);
                    }
                },
            );
        });
        return;
    };
    let width = row.len().max(1);
    let rows = (CHUNK / width).max(1);
    let work = out.len();
    chunks(out, rows * width, work, |_, out| {
        simd(
            #[inline(always)]
            || {
                for out in out.chunks_exact_mut(width) {
                    for (x, &b) in out.iter_mut().zip(row) {
                        *x = f(*x + b);
                    }
                }
            },
        );
    });
}

/// `into += more`.
pub(crate) fn add_into<E: Elem>(into: &mut [E], more: &[E]) {
    if into.len() <= TINY {
        for (i, &m) in into.iter_mut().zip(more) {
            *i += m;
        }
        return;
    }
    chunks(into, CHUNK, more.len(), |i, into| {
        let more = &more[i * CHUNK..][..into.len()];
        simd(
            #[inline(always)]
            || {
                for (i, &m) in into.iter_mut().zip(more) {
                    *i += m;
                }
            },
        );
    });
}

/// The element for position `i`, of an operand without gaps or of one number.
#[derive(Clone, Copy)]
struct Even<'a, E> {
    data: &'a [E],
    single: bool,
}

impl<'a, E: Elem> Even<'a, E> {
    fn new(x: &'a Value<E>, shape: &Shape) -> Option<Self> {
        if x.numel() == 1 {
            return Some(Self { data: &x.raw()[..1], single: true });
        }
        let data = x.as_slice().filter(|_| x.shape() == shape)?;
        Some(Self { data, single: false })
    }

    /// `count` elements from `start` on.
    #[inline(always)]
    fn part(self, start: usize, count: usize) -> impl Fn(usize) -> E + 'a {
        let data = if self.single { self.data } else { &self.data[start..start + count] };
        let single = self.single;
        move |i| if single { data[0] } else { data[i] }
    }
}

/// `f(a, b, c)` for every triple of elements, broadcasting.
pub(crate) fn ternary<E: Elem>(
    op: &'static str,
    a: &Value<E>,
    b: &Value<E>,
    c: &Value<E>,
    f: impl Fn(E, E, E) -> E + Sync + Send + Copy,
) -> Result<Value<E>> {
    let shape = Shape::broadcast(op, a.shape(), b.shape())?;
    let shape = Shape::broadcast(op, &shape, c.shape())?;
    let even = |x| Even::new(x, &shape);
    if let (Some(a), Some(b), Some(c)) = (even(a), even(b), even(c)) {
        return Ok(Value::build(shape, |out| {
            let work = out.len();
            chunks(out, CHUNK, work, |i, out| {
                let (start, count) = (i * CHUNK, out.len());
                let (a, b, c) = (a.part(start, count), b.part(start, count), c.part(start, count));
                simd(
                    #[inline(always)]
                    || {
                        for (k, o) in out.iter_mut().enumerate() {
                            *o = f(a(k), b(k), c(k));
                        }
                    },
                );
            });
        }));
    }
    Ok(Value::build(shape, |out| {
        if out.is_empty() {
            return;
        }
        let strides: [[usize; MAX_RANK]; 3] =
            [a.broadcast_strides(&shape), b.broadcast_strides(&shape), c.broadcast_strides(&shape)];
        let (a, b, c) = (a.raw(), b.raw(), c.raw());
        let walk = Walk::new(&shape, strides);
        let length = walk.length();
        let runs = (CHUNK / length).max(1);
        let work = out.len();
        chunks(out, runs * length, work, |i, out| {
            let mut lines = out.chunks_exact_mut(length);
            let count = lines.len();
            walk.each(i * runs, count, |[i, j, l], [s, t, u], _| {
                let Some(out) = lines.next() else { return };
                for (k, o) in out.iter_mut().enumerate() {
                    *o = f(a[i + k * s], b[j + k * t], c[l + k * u]);
                }
            });
        });
    }))
}
