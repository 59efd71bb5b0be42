//! Cross entropy with class indices, without a matrix of targets.

use crate::{
    Elem, Indices, Op, Result, Tensor, Value, Vjp,
    kernel::{
        lanes,
        parallel::{self, CHUNK, simd},
    },
};

/// What the target of a class is: `t_c = w_c (sharp [c = y] + smooth)`.
#[derive(Clone)]
pub(super) struct Targets<E: Elem> {
    pub(super) classes: Indices,
    /// A class that has no target: its rows have loss 0.
    pub(super) ignore: Option<usize>,
    pub(super) weight: Option<Vec<E>>,
    pub(super) sharp: E,
    pub(super) smooth: E,
}

impl<E: Elem> Targets<E> {
    /// The class of a row, none if it is ignored.
    fn class(&self, row: usize) -> Option<usize> {
        let class = self.classes.as_slice()[row];
        (Some(class) != self.ignore).then_some(class)
    }

    pub(super) fn weight(&self, class: usize) -> E {
        self.weight.as_ref().map_or(E::ONE, |w| w[class])
    }

    /// `smooth Σ_c w_c f(c)`.
    #[inline(always)]
    fn spread(&self, count: usize, f: impl Fn(usize) -> E) -> E {
        let sum = (0..count).fold(E::ZERO, |sum, c| sum + self.weight(c) * f(c));
        self.smooth * sum
    }

    /// As a matrix `[n, c]`.
    fn dense(&self, rows: usize, count: usize) -> Result<Tensor<E>> {
        let mut target = vec![E::ZERO; rows * count];
        for (row, out) in target.chunks_exact_mut(count.max(1)).enumerate() {
            let Some(class) = self.class(row) else { continue };
            for (c, t) in out.iter_mut().enumerate() {
                *t = self.smooth * self.weight(c);
            }
            out[class] += self.sharp * self.weight(class);
        }
        Tensor::from_vec(target, [rows, count])
    }
}

/// `-Σ_c t_c ln softmax(x)_c` for each row.
struct ClassLosses<E: Elem> {
    x: Value<E>,
    targets: Targets<E>,
    /// `ln Σ e^x` for each row.
    logs: Vec<E>,
}

impl<E: Elem> Op<E> for ClassLosses<E> {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    /// `g (softmax(x) Σ t - t)`.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let (rows, width) = (self.x.shape()[0], self.x.shape()[1]);
        if cx.create_graph() {
            let target = self.targets.dense(rows, width)?;
            return cx.composite(&[&self.x], &g, |t| {
                Ok(target.mul(&t[0].log_softmax(-1)?)?.sum(-1, false)?.neg())
            });
        }
        cx.give(0, || {
            let (x, g) = (self.x.contiguous(), g.value.contiguous());
            let (x, g) = (x.raw(), g.raw());
            let spread = self.targets.spread(width, |_| E::ONE);
            Ok(Tensor::constant(Value::build(*self.x.shape(), |out| {
                if out.is_empty() {
                    return;
                }
                let per_task = (CHUNK / 4 / width).max(1);
                let work = out.len() * 4;
                parallel::chunks(out, per_task * width, work, |i, out| {
                    for (r, out) in out.chunks_exact_mut(width).enumerate() {
                        let row = i * per_task + r;
                        self.row_gradient(row, &x[row * width..], g[row], spread, out);
                    }
                });
            })))
        })
    }
}

impl<E: Elem> ClassLosses<E> {
    fn row_gradient(&self, row: usize, x: &[E], g: E, spread: E, out: &mut [E]) {
        let Some(class) = self.targets.class(row) else {
            out.fill(E::ZERO);
            return;
        };
        let sharp = self.targets.sharp * self.targets.weight(class);
        let (log, mass) = (self.logs[row], g * (sharp + spread));
        simd(
            #[inline(always)]
            || {
                for (o, &x) in out.iter_mut().zip(x) {
                    *o = mass * (x - log).exp();
                }
            },
        );
        if self.targets.smooth != E::ZERO {
            for (c, o) in out.iter_mut().enumerate() {
                *o += -(g * self.targets.smooth * self.targets.weight(c));
            }
        }
        out[class] += -(g * sharp);
    }
}

/// The losses of rows `[n, c]`; every class that is not ignored is below `c`.
/// Classes without a target do not count, also where the logit is -∞.
pub(super) fn class_losses<E: Elem>(x: &Tensor<E>, targets: Targets<E>) -> Tensor<E> {
    let (rows, width) = (x.dims()[0], x.dims()[1]);
    let data = x.value.contiguous();
    let data = data.raw();
    let mut logs = vec![E::ZERO; rows];
    let per_task = (CHUNK / 4 / width.max(1)).max(1);
    parallel::chunks(&mut logs, per_task, rows * width * 4, |i, logs| {
        for (r, log) in logs.iter_mut().enumerate() {
            let x = &data[(i * per_task + r) * width..][..width];
            *log = simd(
                #[inline(always)]
                || {
                    let peak = lanes::largest(x);
                    peak + lanes::sum(
                        x,
                        #[inline(always)]
                        |x| (x - peak).exp(),
                    )
                    .ln()
                },
            );
        }
    });
    let losses = Value::build(rows.into(), |out| {
        for (row, (loss, &log)) in out.iter_mut().zip(&logs).enumerate() {
            let x = &data[row * width..][..width];
            *loss = match targets.class(row) {
                None => E::ZERO,
                Some(class) => {
                    let own = targets.sharp * targets.weight(class) * (log - x[class]);
                    if targets.smooth == E::ZERO {
                        own
                    } else {
                        own + targets.spread(width, |c| log - x[c])
                    }
                }
            };
        }
    });
    Tensor::from_op(losses, &[x], || ClassLosses { x: x.value.clone(), targets, logs })
}
