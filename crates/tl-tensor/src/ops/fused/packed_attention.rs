//! Self-attention straight from one projection of queries, keys and values.

use super::{attention::Attention, softmax::softmax_row};
use crate::{
    Elem, Error, MAX_RANK, Op, Result, Shape, Tensor, Value, Vjp,
    kernel::{
        copy,
        gemm::{Matrix, gemm},
        lanes,
        parallel::{self, simd},
    },
};

/// The sizes of a packed projection `[n, l, 3 · heads · width]`.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    l: usize,
    heads: usize,
    width: usize,
}

impl Sizes {
    fn new(shape: &Shape, heads: usize) -> Result<Self> {
        if shape.rank() != 3 || heads == 0 || !shape[2].is_multiple_of(3 * heads) {
            return Err(Error::shape(
                "attention",
                shape,
                format!("[n, l, 3 d] with a width d that {heads} heads divide"),
            ));
        }
        Ok(Self { n: shape[0], l: shape[1], heads, width: shape[2] / 3 / heads })
    }

    fn is_empty(&self) -> bool {
        self.n * self.l * self.heads * self.width == 0
    }

    /// Queries (0), keys (1) or values (2) of head `i`, counted over samples,
    /// as a matrix `[l, width]`.
    fn part<'a, E>(&self, qkv: &'a [E], i: usize, part: usize) -> Matrix<'a, E> {
        let (sample, head) = (i / self.heads, i % self.heads);
        let row = 3 * self.heads * self.width;
        Matrix::new(&qkv[sample * self.l * row + (part * self.heads + head) * self.width..], row)
    }

    /// Multiply-adds of one product over all heads, as elements of a cheap loop.
    fn work(&self) -> usize {
        self.n * self.heads * self.l * self.l * (self.width / 8 + 4)
    }
}

/// `softmax(q kᵀ · scale + mask) v` of every head, and its weights.
struct PackedAttention<E: Elem> {
    qkv: Value<E>,
    weights: Value<E>,
    attention: Attention<E>,
    sizes: Sizes,
    scale: E,
}

impl<E: Elem> Op<E> for PackedAttention<E> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        if cx.create_graph() {
            return cx
                .composite(&[&self.qkv], &g, |t| plain(&self.attention, &t[0], self.sizes.heads));
        }
        cx.give(0, || Ok(Tensor::constant(self.gradient(&g.value))))
    }
}

impl<E: Elem> PackedAttention<E> {
    /// With the weights `p` of a head and `dp = g vᵀ`, `ds = p (dp - Σ p dp) · scale`:
    /// `dq = ds k`, `dk = dsᵀ q`, `dv = pᵀ g`.
    fn gradient(&self, g: &Value<E>) -> Value<E> {
        let s = self.sizes;
        let (l, width) = (s.l, s.width);
        let (qkv, g) = (self.qkv.contiguous(), g.contiguous());
        let (qkv, g, weights) = (qkv.raw(), g.raw(), self.weights.raw());
        let shape = Shape::new(&[s.n, s.heads, 3, l, width]).unwrap_or(*self.qkv.shape());
        let by_head = Value::build(shape, |out| {
            parallel::chunks(out, 3 * l * width, s.work(), |i, out| {
                let (sample, head) = (i / s.heads, i % s.heads);
                let row = s.heads * width;
                let g = Matrix::new(&g[sample * l * row + head * width..], row);
                let p = &weights[i * l * l..][..l * l];
                let (dq, rest) = out.split_at_mut(l * width);
                let (dk, dv) = rest.split_at_mut(l * width);
                let mut ds = crate::buffer::Buffer::scratch(l * l);
                let ds = ds.as_mut_slice();
                gemm((l, l, width), Matrix::new(p, l).t(), g, dv, false, false);
                gemm((l, width, l), g, s.part(qkv, i, 2).t(), ds, false, false);
                simd(
                    #[inline(always)]
                    || {
                        for (ds, p) in ds.chunks_exact_mut(l).zip(p.chunks_exact(l)) {
                            let along = lanes::sum_pairs(ds, p, |d, p| d * p);
                            for (d, &p) in ds.iter_mut().zip(p) {
                                *d = p * (*d - along) * self.scale;
                            }
                        }
                    },
                );
                gemm((l, l, width), Matrix::new(ds, l), s.part(qkv, i, 1), dq, false, false);
                gemm((l, l, width), Matrix::new(ds, l).t(), s.part(qkv, i, 0), dk, false, false);
            });
        });
        // [n, heads, 3, l, width] as [n, l, 3, heads, width].
        let mut steps = [0; MAX_RANK];
        steps[..5].copy_from_slice(&[3 * l * width * s.heads, width, l * width, 3 * l * width, 1]);
        let shape = Shape::new(&[s.n, l, 3, s.heads, width]).unwrap_or(*self.qkv.shape());
        copy::packed(&by_head.view(0, shape, steps)).reshaped(*self.qkv.shape())
    }
}

/// The weights `[n, heads, l, l]` of all heads.
fn weights<E: Elem>(attention: &Attention<E>, qkv: &[E], s: Sizes, scale: E) -> Result<Value<E>> {
    let l = s.l;
    let shape = Shape::new(&[s.n, s.heads, l, l])?;
    let keep = match attention.keep_mask() {
        Some(keep) => Some(keep.value().broadcast_to("attention", shape)?.contiguous()),
        None => None,
    };
    let keep = keep.as_ref().map(Value::raw);
    let causal = attention.is_causal();
    Ok(Value::build(shape, |out| {
        parallel::chunks(out, l * l, s.work(), |i, out| {
            let mut scores = crate::buffer::Buffer::scratch(l * l);
            let scores = scores.as_mut_slice();
            let (q, k) = (s.part(qkv, i, 0), s.part(qkv, i, 1));
            gemm((l, s.width, l), q, k.t(), scores, false, false);
            simd(
                #[inline(always)]
                || {
                    let rows = out.chunks_exact_mut(l).zip(scores.chunks_exact_mut(l));
                    for (row, (out, scores)) in rows.enumerate() {
                        for x in scores.iter_mut() {
                            *x *= scale;
                        }
                        if let Some(keep) = keep {
                            let keep = &keep[(i * l + row) * l..][..l];
                            for (x, &keep) in scores.iter_mut().zip(keep) {
                                *x = if keep == E::ZERO { -E::INFINITY } else { *x };
                            }
                        }
                        if causal {
                            scores[row + 1..].fill(-E::INFINITY);
                        }
                        softmax_row(out, scores, true);
                    }
                },
            );
        });
    }))
}

/// The same in tensor operations.
fn plain<E: Elem>(attention: &Attention<E>, qkv: &Tensor<E>, heads: usize) -> Result<Tensor<E>> {
    let (n, l, width) = (qkv.dims()[0], qkv.dims()[1], qkv.dims()[2] / 3 / heads);
    let split = qkv.reshape([n, l, 3, heads, width])?.permute(&[2, 0, 3, 1, 4])?;
    let part = |i: usize| split.narrow(0, i, 1)?.squeeze(0);
    attention.forward(&part(0)?, &part(1)?, &part(2)?)?.transpose(1, 2)?.flatten(2, 3)
}

impl<E: Elem> Attention<E> {
    /// Self-attention of several heads from queries, keys and values side by
    /// side: `qkv` is `[n, l, 3 d]`, each third `heads` heads of `d / heads`;
    /// the result is `[n, l, d]`. A mask of [`keep`](Self::keep) broadcasts to
    /// `[n, heads, l, l]`. The same numbers as splitting the heads and
    /// [`forward`](Self::forward), without copies of the parts.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward_packed(&self, qkv: &Tensor<E>, heads: usize) -> Result<Tensor<E>> {
        let s = Sizes::new(qkv.shape(), heads)?;
        if self.has_bias() || s.is_empty() {
            return plain(self, qkv, heads);
        }
        let scale = E::from_f64(self.scale_for(s.width));
        let data = qkv.value.contiguous();
        let weights = weights(self, data.raw(), s, scale)?;
        let by_head = Value::build(Shape::new(&[s.n, heads, s.l, s.width])?, |out| {
            parallel::chunks(out, s.l * s.width, s.work(), |i, out| {
                let p = Matrix::new(&weights.raw()[i * s.l * s.l..], s.l);
                gemm((s.l, s.l, s.width), p, s.part(data.raw(), i, 2), out, false, false);
            });
        });
        let mut steps = [0; MAX_RANK];
        let head = s.l * s.width;
        steps[..4].copy_from_slice(&[heads * head, s.width, head, 1]);
        let value = by_head.view(0, Shape::new(&[s.n, s.l, heads, s.width])?, steps);
        let value = copy::packed(&value).reshaped(Shape::new(&[s.n, s.l, heads * s.width])?);
        Ok(Tensor::from_op(value, &[qkv], || PackedAttention {
            qkv: qkv.value.clone(),
            weights,
            attention: self.clone(),
            sizes: s,
            scale,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradcheck, gradgradcheck};

    #[test]
    fn the_same_as_with_split_heads() {
        let x = Tensor::<f64>::linspace(0.0, 9.0, 2 * 5 * 12).sin().reshape([2, 5, 12]).unwrap();
        let keep = Tensor::from_slice(&[1.0, 0.0, 1.0, 1.0, 1.0], [1, 1, 1, 5]).unwrap();
        let masked = Attention::new().keep(keep).causal(true);
        let biased = Attention::new().bias(Tensor::linspace(-1.0, 1.0, 5)).scale(0.3);
        for attention in [Attention::new(), masked, biased] {
            let f = |t: &[Tensor<f64>]| attention.forward_packed(&t[0], 2);
            let (ours, want) = (f(&[x.clone()]).unwrap(), plain(&attention, &x, 2).unwrap());
            for (a, b) in ours.to_vec().iter().zip(want.to_vec()) {
                approx::assert_abs_diff_eq!(*a, b, epsilon = 1e-12);
            }
            gradcheck(f, &[x.clone()], GradCheck::default()).unwrap();
            gradgradcheck(f, &[x.clone()], GradCheck::default()).unwrap();
        }
    }

    #[test]
    fn widths_that_do_not_fit_are_errors_and_nothing_is_fine() {
        let x = Tensor::<f32>::ones([2, 4, 12]);
        assert!(Attention::new().forward_packed(&x, 5).is_err());
        assert!(Attention::new().forward_packed(&x, 0).is_err());
        let none = Attention::new().forward_packed(&Tensor::<f32>::ones([0, 4, 12]), 2);
        assert_eq!(none.unwrap().dims(), [0, 4, 4]);
        let hidden = Attention::new().keep(Tensor::zeros([1, 1, 1, 4]));
        assert!(hidden.forward_packed(&x, 2).unwrap().to_vec().iter().all(|&y| y == 0.0));
    }
}
