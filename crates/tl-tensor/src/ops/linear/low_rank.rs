//! A change of low rank beside a weight.

use crate::{
    Elem, Error, Result, Tensor, Value, Vjp,
    kernel::gemm::{Matrix, gemm},
};

/// `s B A` with `A` `[r, in]` and `B` `[out, r]`.
pub(super) struct LowRank<E: Elem> {
    pub(super) a: Value<E>,
    pub(super) b: Value<E>,
    scale: E,
    /// `s Bᵀ`, `[r, out]`.
    up: Value<E>,
    /// `x Aᵀ`, `[m, r]`.
    hidden: Value<E>,
}

impl<E: Elem> LowRank<E> {
    /// Of an input `x` `[m, in]` for a weight `[out, in]`.
    pub(super) fn new(
        x: Matrix<'_, E>,
        m: usize,
        weight: &Tensor<E>,
        [a, b]: [&Tensor<E>; 2],
        scale: E,
    ) -> Result<Self> {
        let (n, k) = (weight.dims()[0], weight.dims()[1]);
        if a.rank() != 2 || b.rank() != 2 || a.dims()[1] != k || b.dims() != [n, a.dims()[0]] {
            let expected = format!("A [r, in] and B [out, r] for a weight {}", weight.shape());
            return Err(Error::shapes("linear", a.shape(), b.shape(), expected));
        }
        let r = a.dims()[0];
        let (a, b) = (a.value.contiguous(), b.value.contiguous());
        let hidden = Value::build([m, r].into(), |out| {
            gemm((m, k, r), x, Matrix::new(a.raw(), k).t(), out, false, true);
        });
        let up = turned_scaled(&b.raw()[..n * r], r, scale);
        Ok(Self { a, b, scale, up, hidden })
    }

    fn rank(&self) -> usize {
        self.a.shape()[0]
    }

    /// `x Aᵀ` and `s Bᵀ`, whose product belongs to the output, and the rank.
    pub(super) fn factors(&self) -> (Matrix<'_, E>, Matrix<'_, E>, usize) {
        let (r, n) = (self.rank(), self.b.shape()[0]);
        (Matrix::new(self.hidden.raw(), r), Matrix::new(self.up.raw(), n), r)
    }

    /// Gives the gradients of `x` (0), `A` (2) and `B` (3) from that of the output before
    /// its function, all of them constants: with `v = s g B`, `g W + v A`, `vᵀ x` and
    /// `s gᵀ x Aᵀ`.
    pub(super) fn give(&self, cx: &mut Vjp<'_, E>, [x, w, g]: [&Value<E>; 3]) -> Result<()> {
        let (m, k, n, r) = (x.shape()[0], x.shape()[1], w.shape()[0], self.rank());
        let (x, g) = (x.contiguous(), g.contiguous());
        let (x, g) = (Matrix::new(x.raw(), k), Matrix::new(g.raw(), n));
        let (_, up, _) = self.factors();
        let back = Value::build([m, r].into(), |out| {
            gemm((m, n, r), g, up.t(), out, false, true);
        });
        let back = Matrix::new(back.raw(), r);
        let a = Matrix::new(self.a.raw(), k);
        cx.give(0, || {
            let w = w.contiguous();
            let whole = Value::build([m, k].into(), |out| {
                gemm((m, n, k), g, Matrix::new(w.raw(), k), out, false, true);
                gemm((m, r, k), back, a, out, true, true);
            });
            Ok(Tensor::constant(whole))
        })?;
        cx.give(2, || {
            let whole = Value::build([r, k].into(), |out| {
                gemm((r, m, k), back.t(), x, out, false, true);
            });
            Ok(Tensor::constant(whole))
        })?;
        cx.give(3, || {
            let hidden = Matrix::new(self.hidden.raw(), r);
            // The long side along the rows: vectors are full.
            let turned: Value<E> = Value::build([r, n].into(), |out| {
                gemm((r, m, n), hidden.t(), g, out, false, true);
            });
            Ok(Tensor::constant(turned_scaled(&turned.raw()[..r * n], n, self.scale)))
        })
    }

    /// The output before its function in plain operations, of `x`, `W`, `A` and `B`.
    pub(super) fn plain(&self, t: &[Tensor<E>], bias: Option<&Tensor<E>>) -> Result<Tensor<E>> {
        let change = t[0].linear(&t[2], None)?.linear(&t[3], None)?;
        t[0].linear(&t[1], bias)?.add(&change.mul_scalar(self.scale))
    }
}

/// `scale xᵀ` of a matrix with this many columns.
fn turned_scaled<E: Elem>(x: &[E], columns: usize, scale: E) -> Value<E> {
    let rows = x.len().checked_div(columns).unwrap_or(0);
    Value::build([columns, rows].into(), |out| {
        for (c, line) in out.chunks_exact_mut(rows.max(1)).enumerate() {
            for (o, row) in line.iter_mut().zip(x.chunks_exact(columns)) {
                *o = scale * row[c];
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::{Activation, Elem, Tensor};

    /// The output and all gradients, by the fused operation and by plain ones.
    fn both<E: Elem>([m, k, n, r]: [usize; 4], act: Activation, constant: bool) -> [Vec<f64>; 2] {
        let numbers = |rows: usize, columns: usize, step: f64| {
            let of = |i: usize| E::from_f64((i as f64 * step).sin() / (columns as f64).sqrt());
            let x = Tensor::from_vec((0..rows * columns).map(of).collect(), [rows, columns]);
            x.unwrap().requires_grad()
        };
        let (x, a, b) = (numbers(m, k, 0.37), numbers(r, k, 0.53), numbers(n, r, 0.71));
        let w = numbers(n, k, 0.91);
        let w = if constant { w.detach() } else { w };
        let bias = numbers(1, n, 0.29).reshape([n]).unwrap();
        let scale = E::from_f64(1.5);
        let fused = x.linear_low_rank(&w, [&a, &b], scale, Some(&bias), act).unwrap();
        let change = b.matmul(&a).unwrap().mul_scalar(scale);
        let plain = x.linear_act(&w.add(&change).unwrap(), Some(&bias), act).unwrap();
        [fused, plain].map(|y| {
            let g = y.square().sum_all().backward().unwrap();
            let mut all = y.to_vec();
            for t in [&x, &w, &a, &b] {
                all.extend(g.get(t).map(Tensor::to_vec).unwrap_or_default());
            }
            all.into_iter().map(E::to_f64).collect()
        })
    }

    #[test]
    fn the_same_as_with_the_changed_weight() {
        use Activation::{Gelu, Identity, Relu, Tanh};
        // Few rows, turned ones, and panels with rows and columns left over.
        for size in [[3, 5, 4, 2], [9, 200, 300, 8], [101, 130, 150, 8], [310, 70, 200, 3]] {
            for (i, act) in [Identity, Relu, Gelu, Tanh].into_iter().enumerate() {
                let close = |[fused, plain]: [Vec<f64>; 2], relative: f64| {
                    assert_eq!(fused.len(), plain.len());
                    let most = plain.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    for (fused, plain) in fused.iter().zip(&plain) {
                        approx::assert_abs_diff_eq!(fused, plain, epsilon = relative * most);
                    }
                };
                close(both::<f64>(size, act, i % 2 == 0), 1e-12);
                close(both::<f32>(size, act, i % 2 == 0), 1e-5);
            }
        }
    }

    #[test]
    fn factors_may_be_views() {
        let all = Tensor::<f32>::linspace(0.0, 1.0, 60).reshape([12, 5]).unwrap();
        let (x, w) = (all.narrow(0, 1, 3).unwrap(), all.narrow(0, 4, 4).unwrap());
        let a = all.narrow(0, 8, 2).unwrap().requires_grad();
        let b = all.narrow(0, 2, 4).unwrap().narrow(1, 1, 2).unwrap().requires_grad();
        let rows = Tensor::linspace(1.0, 2.0, 40).reshape([20, 2]).unwrap();
        for b in [b, rows.narrow(0, 3, 4).unwrap()] {
            let y = x.linear_low_rank(&w, [&a, &b], 2.0, None, Activation::Identity).unwrap();
            let changed = w.add(&b.matmul(&a).unwrap().mul_scalar(2.0)).unwrap();
            for (y, want) in y.to_vec().iter().zip(x.linear(&changed, None).unwrap().to_vec()) {
                approx::assert_relative_eq!(*y, want, max_relative = 1e-6);
            }
        }
    }

    #[test]
    fn factors_have_to_fit_and_may_be_empty() {
        let of = |rows: usize, columns: usize| Tensor::<f32>::ones([rows, columns]);
        let (x, w) = (of(2, 3), of(4, 3));
        let run =
            |a: &Tensor, b: &Tensor| x.linear_low_rank(&w, [a, b], 1.0, None, Activation::Identity);
        assert_eq!(run(&of(0, 3), &of(4, 0)).unwrap().to_vec(), [3.0; 8]);
        let why = run(&of(2, 3), &of(3, 2)).unwrap_err().to_string();
        assert!(why.contains("A [r, in] and B [out, r]"), "{why}");
        assert!(run(&of(2, 4), &of(4, 2)).is_err());
    }
}
