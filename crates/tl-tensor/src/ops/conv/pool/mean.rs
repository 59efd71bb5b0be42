//! The mean of windows.

use super::{Plan, Window};
use crate::{Elem, Op, Result, Tensor, Value, Vjp, kernel::parallel};

/// The mean over windows.
struct MeanPool(Plan);

impl<E: Elem> Op<E> for MeanPool {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(spread(&g, &self.0)))
    }
}

/// The adjoint of [`MeanPool`].
struct Spread(Plan);

impl<E: Elem> Op<E> for Spread {
    fn name(&self) -> &'static str {
        "avg_unpool2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(mean_pool(&g, &self.0)))
    }
}

/// The mean of each window.
pub(super) fn mean_pool<E: Elem>(x: &Tensor<E>, plan: &Plan) -> Tensor<E> {
    let data = x.value.contiguous();
    let data = data.raw();
    let (input, width) = (plan.input(), plan.image[1]);
    let value = Value::build(plan.shape(x.shape()), |out| {
        parallel::chunks(out, plan.output(), x.numel() * 2, |p, out| {
            let plane = &data[p * input..(p + 1) * input];
            plan.each(|at, row, column| {
                let mut sum = E::ZERO;
                for i in 0..row.count {
                    let line = (row.start + i) * width + column.start;
                    sum += plane[line..line + column.count].iter().fold(E::ZERO, |s, &x| s + x);
                }
                out[at] = sum * scale(row, column);
            });
        });
    });
    Tensor::from_op(value, &[x], || MeanPool(plan.clone()))
}

fn spread<E: Elem>(g: &Tensor<E>, plan: &Plan) -> Tensor<E> {
    let data = g.value.contiguous();
    let data = data.raw();
    let width = plan.image[1];
    let shape = g.shape().with(2, plan.image[0]).with(3, width);
    let value = Value::build(shape, |x| {
        let work = x.len() * 2;
        parallel::chunks(x, plan.input(), work, |p, plane| {
            plane.fill(E::ZERO);
            let g = &data[p * plan.output()..];
            plan.each(|at, row, column| {
                let share = g[at] * scale(row, column);
                for i in 0..row.count {
                    let line = (row.start + i) * width + column.start;
                    plane[line..line + column.count].iter_mut().for_each(|x| *x += share);
                }
            });
        });
    });
    Tensor::from_op(value, &[g], || Spread(plan.clone()))
}

fn scale<E: Elem>(row: &Window, column: &Window) -> E {
    E::from_f64(1.0 / (row.divisor * column.divisor) as f64)
}
