//! Softmax and its logarithm.

use crate::{
    Elem, Op, Result, Tensor, Value, Vjp,
    kernel::{
        lanes,
        parallel::{self, CHUNK, simd},
    },
};

struct Softmax<E: Elem> {
    y: Value<E>,
}

impl<E: Elem> Op<E> for Softmax<E> {
    fn name(&self) -> &'static str {
        "softmax"
    }

    /// `y (g - Σ g y)`.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let y = cx.output(&self.y);
        if !cx.create_graph() {
            return cx.give(0, || {
                Ok(rows(
                    &self.y,
                    Some(&g.value),
                    #[inline(always)]
                    |out, y, g| {
                        let dot = lanes::sum_pairs(
                            y,
                            g,
                            #[inline(always)]
                            |y, g| y * g,
                        );
                        for ((o, &y), &g) in out.iter_mut().zip(y).zip(g) {
                            *o = y * (g - dot);
                        }
                    },
                ))
            });
        }
        cx.give(0, || y.mul(&g.sub(&g.mul(&y)?.sum(-1, true)?)?))
    }
}

struct LogSoftmax<E: Elem> {
    y: Value<E>,
}

impl<E: Elem> Op<E> for LogSoftmax<E> {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    /// `g - softmax · Σ g`.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let y = cx.output(&self.y);
        if !cx.create_graph() {
            return cx.give(0, || {
                Ok(rows(
                    &self.y,
                    Some(&g.value),
                    #[inline(always)]
                    |out, y, g| {
                        let sum = lanes::sum(
                            g,
                            #[inline(always)]
                            |g| g,
                        );
                        for ((o, &y), &g) in out.iter_mut().zip(y).zip(g) {
                            *o = g - y.exp() * sum;
                        }
                    },
                ))
            });
        }
        cx.give(0, || g.sub(&y.exp().mul(&g.sum(-1, true)?)?))
    }
}

/// Computes each row along the last axis from that of `x`, and that of `more`
/// (or an empty one).
fn rows<E: Elem>(
    x: &Value<E>,
    more: Option<&Value<E>>,
    f: impl Fn(&mut [E], &[E], &[E]) + Sync + Send,
) -> Tensor<E> {
    let (x, more) = (x.contiguous(), more.map(Value::contiguous));
    let width = x.shape()[x.shape().rank() - 1];
    let data = &x.raw()[..x.numel()];
    let more = more.as_ref().map(|m| &m.raw()[..m.numel()]);
    Tensor::constant(Value::build(*x.shape(), |out| {
        if data.is_empty() {
            return;
        }
        let per_task = (CHUNK / 4 / width).max(1) * width;
        parallel::chunks(out, per_task, data.len() * 4, |i, out| {
            let start = i * per_task;
            simd(
                #[inline(always)]
                || {
                    for (r, out) in out.chunks_exact_mut(width).enumerate() {
                        let at = start + r * width..start + (r + 1) * width;
                        f(out, &data[at.clone()], more.map_or(&[][..], |m| &m[at]));
                    }
                },
            );
        });
    }))
}

/// The largest of a row, which is subtracted before the exponential; 0 where
/// all are -∞.
#[inline(always)]
fn peak<E: Elem>(x: &[E]) -> E {
    let peak = lanes::largest(x);
    if peak == -E::INFINITY { E::ZERO } else { peak }
}

/// The softmax of a row. A row of only -∞ has none: it is NaN, or 0 if
/// `empty_is_zero`.
#[inline(always)]
pub(super) fn softmax_row<E: Elem>(out: &mut [E], x: &[E], empty_is_zero: bool) {
    let peak = peak(x);
    let sum = lanes::map_sum(
        out,
        x,
        #[inline(always)]
        |x| (x - peak).exp(),
    );
    let scale = if empty_is_zero && sum == E::ZERO { E::ZERO } else { E::ONE / sum };
    for o in out {
        *o *= scale;
    }
}

/// Softmax over the last axis; see [`softmax_row`].
pub(super) fn softmax_last<E: Elem>(x: &Tensor<E>, empty_is_zero: bool) -> Tensor<E> {
    let y = rows(
        &x.value,
        None,
        #[inline(always)]
        move |out, x, _| softmax_row(out, x, empty_is_zero),
    );
    let y = y.value;
    Tensor::from_op(y.clone(), &[x], || Softmax { y })
}

fn log_softmax_last<E: Elem>(x: &Tensor<E>) -> Tensor<E> {
    let y = rows(
        &x.value,
        None,
        #[inline(always)]
        |out, x, _| {
            let peak = peak(x);
            let shift = peak
                + lanes::sum(
                    x,
                    #[inline(always)]
                    |x| (x - peak).exp(),
                )
                .ln();
            for (o, &x) in out.iter_mut().zip(x) {
                *o = x - shift;
            }
        },
    );
    let y = y.value;
    Tensor::from_op(y.clone(), &[x], || LogSoftmax { y })
}

impl<E: Elem> Tensor<E> {
    fn along_last(
        &self,
        op: &'static str,
        axis: isize,
        f: impl FnOnce(&Self) -> Self,
    ) -> Result<Self> {
        let at = self.shape().axis(op, axis)? as isize;
        if at as usize == self.rank() - 1 {
            return Ok(f(self));
        }
        f(&self.transpose(at, -1)?).transpose(at, -1)
    }

    /// `e^x / Σ e^x` along an axis, without overflow.
    ///
    /// # Errors
    /// The axis is outside of the shape.
    pub fn softmax(&self, axis: isize) -> Result<Self> {
        self.along_last("softmax", axis, |x| softmax_last(x, false))
    }

    /// `x - ln Σ e^x` along an axis, without overflow: the logarithm of
    /// [`softmax`](Self::softmax), also where that is 0.
    ///
    /// # Errors
    /// The axis is outside of the shape.
    pub fn log_softmax(&self, axis: isize) -> Result<Self> {
        self.along_last("log_softmax", axis, log_softmax_last)
    }
}

#[cfg(test)]
mod tests {
    use crate::{GradCheck, Tensor, gradcheck, gradgradcheck};

    #[test]
    fn large_numbers_do_not_overflow() {
        let x = Tensor::from_slice(&[1000.0_f32, 0.0, -1000.0], 3).unwrap();
        assert_eq!(x.softmax(0).unwrap().to_vec(), [1.0, 0.0, 0.0]);
        assert_eq!(x.log_softmax(0).unwrap().to_vec(), [0.0, -1000.0, -2000.0]);
        assert_eq!(Tensor::<f32>::zeros([0, 3]).softmax(1).unwrap().dims(), [0, 3]);
        assert_eq!(Tensor::<f32>::zeros([3, 0]).softmax(1).unwrap().dims(), [3, 0]);
    }

    #[test]
    fn derivatives_of_both_orders_on_any_axis() {
        let x = Tensor::linspace(-1.0, 2.0, 12).sin().reshape([3, 4]).unwrap();
        for axis in [0, 1] {
            for f in [Tensor::softmax, Tensor::log_softmax] {
                gradcheck(|t| f(&t[0], axis), &[x.clone()], GradCheck::default()).unwrap();
                gradgradcheck(|t| f(&t[0], axis), &[x.clone()], GradCheck::default()).unwrap();
            }
        }
    }
}
