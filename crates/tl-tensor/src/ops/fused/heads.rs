//! Attention of several heads, of queries, keys and values as projections leave them.

use super::{attention::Attention, softmax::softmax_row};
use crate::{
    Elem, Error, MAX_RANK, Op, Result, Shape, Tensor, Value, Vjp,
    buffer::Buffer,
    kernel::{
        copy,
        gemm::{Matrix, gemm},
        lanes,
        parallel::{self, simd},
    },
};
use std::cell::LazyCell;

/// Samples, queries and keys of each, heads and the width of one.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    l: usize,
    s: usize,
    heads: usize,
    width: usize,
}

impl Sizes {
    fn packed(shape: &Shape, heads: usize) -> Result<Self> {
        if shape.rank() != 3 || heads == 0 || !shape[2].is_multiple_of(3 * heads) {
            return Err(Error::shape(
                "attention",
                shape,
                format!("[n, l, 3 d] with a width d that {heads} heads divide"),
            ));
        }
        Ok(Self { n: shape[0], l: shape[1], s: shape[1], heads, width: shape[2] / 3 / heads })
    }

    fn apart([q, k, v]: [&Shape; 3], heads: usize) -> Result<Self> {
        if q.rank() != 3 || heads == 0 || !q[2].is_multiple_of(heads) {
            return Err(Error::shape(
                "attention",
                q,
                format!("[n, l, d] with a width d that {heads} heads divide"),
            ));
        }
        if k.rank() != 3 || [k[0], k[2]] != [q[0], q[2]] {
            let expected = "queries [n, l, d] and keys [n, s, d]";
            return Err(Error::shapes("attention", q, k, expected));
        }
        if k != v {
            let expected = "keys and values, both [n, s, d]";
            return Err(Error::shapes("attention", k, v, expected));
        }
        Ok(Self { n: q[0], l: q[1], s: k[1], heads, width: q[2] / heads })
    }

    fn is_empty(&self) -> bool {
        self.n * self.l * self.s * self.heads * self.width == 0
    }

    /// Rows of queries (0), keys (1) and values (2).
    fn rows(&self) -> [usize; 3] {
        [self.l, self.s, self.s]
    }

    /// Numbers of a head's gradients.
    fn block(&self) -> usize {
        (self.l + 2 * self.s) * self.width
    }

    /// Multiply-adds of one product over all heads, as elements of a cheap loop.
    fn work(&self) -> usize {
        self.n * self.heads * self.l * self.s * (self.width / 8 + 4)
    }
}

/// Queries, keys and values side by side `[n, l, 3 d]`, or apart.
enum Inputs<E: Elem> {
    Packed(Value<E>),
    Apart([Value<E>; 3]),
}

impl<E: Elem> Inputs<E> {
    fn contiguous(&self) -> Self {
        match self {
            Self::Packed(qkv) => Self::Packed(qkv.contiguous()),
            Self::Apart(parts) => Self::Apart(parts.each_ref().map(Value::contiguous)),
        }
    }

    /// Queries (0), keys (1) or values (2) of head `i`, counted over samples, as a
    /// matrix; of contiguous inputs.
    fn part(&self, s: &Sizes, i: usize, part: usize) -> Matrix<'_, E> {
        let (sample, head) = (i / s.heads, i % s.heads);
        let d = s.heads * s.width;
        let (data, row, before) = match self {
            Self::Packed(qkv) => (qkv.raw(), 3 * d, part * d),
            Self::Apart(parts) => (parts[part].raw(), d, 0),
        };
        Matrix::new(&data[sample * s.rows()[part] * row + before + head * s.width..], row)
    }
}

/// The attention of all heads but for its inputs.
struct Heads<E: Elem> {
    attention: Attention<E>,
    /// The mask, broadcast to `[n, heads, l, s]`, with keys one after the other.
    keep: Option<Value<E>>,
    sizes: Sizes,
    scale: E,
}

impl<E: Elem> Heads<E> {
    fn new(attention: &Attention<E>, sizes: Sizes) -> Result<Self> {
        let shape = Shape::new(&[sizes.n, sizes.heads, sizes.l, sizes.s])?;
        let keep = match attention.keep_mask() {
            None => None,
            Some(keep) => {
                let keep = keep.value().broadcast_to("attention", shape)?;
                Some(if keep.strides()[3] == 1 { keep } else { keep.contiguous() })
            }
        };
        let scale = E::from_f64(attention.scale_for(sizes.width));
        Ok(Self { attention: attention.clone(), keep, sizes, scale })
    }

    /// The weights of head `i`, `softmax(q kᵀ · scale + mask)`; `scores` is scratch of the
    /// same length.
    fn weights(&self, inputs: &Inputs<E>, i: usize, scores: &mut [E], weights: &mut [E]) {
        let s = self.sizes;
        let (q, k) = (inputs.part(&s, i, 0), inputs.part(&s, i, 1));
        gemm((s.l, s.width, s.s), q, k.t(), scores, false, false);
        let keep = self.keep.as_ref().map(|keep| {
            let steps = keep.strides();
            (&keep.raw()[i / s.heads * steps[0] + i % s.heads * steps[1]..], steps[2])
        });
        simd(
            #[inline(always)]
            || {
                let rows = weights.chunks_exact_mut(s.s).zip(scores.chunks_exact_mut(s.s));
                for (row, (weights, scores)) in rows.enumerate() {
                    for x in scores.iter_mut() {
                        *x *= self.scale;
                    }
                    if let Some((keep, step)) = keep {
                        for (x, &keep) in scores.iter_mut().zip(&keep[row * step..][..s.s]) {
                            *x = if keep == E::ZERO { -E::INFINITY } else { *x };
                        }
                    }
                    if self.attention.is_causal() && row + 1 < s.s {
                        scores[row + 1..].fill(-E::INFINITY);
                    }
                    softmax_row(weights, scores, true);
                }
            },
        );
    }

    /// Drops weights of head `i`, or their gradients.
    fn drop_some(&self, i: usize, weights: &mut [E]) {
        if let Some(mask) = self.attention.mask() {
            simd(
                #[inline(always)]
                || mask.apply(i, weights),
            );
        }
    }

    /// The results `[n, heads, l, width]`, from weights that are kept or not.
    fn results(&self, inputs: &Inputs<E>, kept: Option<&Value<E>>) -> Result<Value<E>> {
        let s = self.sizes;
        let shape = Shape::new(&[s.n, s.heads, s.l, s.width])?;
        Ok(Value::build(shape, |out| {
            parallel::chunks(out, s.l * s.width, s.work(), |i, out| {
                let v = inputs.part(&s, i, 2);
                let size = (s.l, s.s, s.width);
                let kept = kept.map(|all| &all.raw()[i * s.l * s.s..][..s.l * s.s]);
                if let (Some(weights), None) = (kept, self.attention.mask()) {
                    return gemm(size, Matrix::new(weights, s.s), v, out, false, false);
                }
                let mut scratch = Buffer::scratch(2 * s.l * s.s);
                let (scores, weights) = scratch.as_mut_slice().split_at_mut(s.l * s.s);
                match kept {
                    Some(kept) => weights.copy_from_slice(kept),
                    None => self.weights(inputs, i, scores, weights),
                }
                self.drop_some(i, weights);
                gemm(size, Matrix::new(weights, s.s), v, out, false, false);
            });
        }))
    }

    /// The weights `[n, heads, l, s]` of all heads.
    fn all_weights(&self, inputs: &Inputs<E>) -> Result<Value<E>> {
        let s = self.sizes;
        let shape = Shape::new(&[s.n, s.heads, s.l, s.s])?;
        Ok(Value::build(shape, |out| {
            parallel::chunks(out, s.l * s.s, s.work(), |i, out| {
                let mut scores = Buffer::scratch(s.l * s.s);
                self.weights(inputs, i, scores.as_mut_slice(), out);
            });
        }))
    }

    /// The attention as a tensor `[n, l, d]` that comes from `tensors`.
    fn apply(self, inputs: Inputs<E>, tensors: &[&Tensor<E>]) -> Result<Tensor<E>> {
        let s = self.sizes;
        let data = inputs.contiguous();
        let tracked = tensors.iter().any(|t| t.is_tracked());
        let weights = if tracked { Some(self.all_weights(&data)?) } else { None };
        let by_head = self.results(&data, weights.as_ref())?;
        let mut steps = [0; MAX_RANK];
        let head = s.l * s.width;
        steps[..4].copy_from_slice(&[s.heads * head, s.width, head, 1]);
        let value = by_head.view(0, Shape::new(&[s.n, s.l, s.heads, s.width])?, steps);
        let value = copy::packed(&value).reshaped(Shape::new(&[s.n, s.l, s.heads * s.width])?);
        let Some(weights) = weights else { return Ok(Tensor::constant(value)) };
        Ok(Tensor::from_op(value, tensors, || Attend { inputs: data, weights, heads: self }))
    }
}

/// `softmax(q kᵀ · scale + mask) v` of every head, and its weights.
struct Attend<E: Elem> {
    inputs: Inputs<E>,
    weights: Value<E>,
    heads: Heads<E>,
}

impl<E: Elem> Op<E> for Attend<E> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let Heads { attention, sizes, .. } = &self.heads;
        match &self.inputs {
            Inputs::Packed(qkv) if cx.create_graph() => {
                cx.composite(&[qkv], &g, |t| plain_packed(attention, &t[0], sizes.heads))
            }
            Inputs::Apart([q, k, v]) if cx.create_graph() => {
                let of = |t: &[Tensor<E>]| plain(attention, [&t[0], &t[1], &t[2]], sizes.heads);
                cx.composite(&[q, k, v], &g, of)
            }
            Inputs::Packed(qkv) => cx.give(0, || {
                // [n, heads, 3, l, width] as [n, l, 3, heads, width].
                let (l, width, block) = (sizes.l, sizes.width, sizes.block());
                let shape = Shape::new(&[sizes.n, l, 3, sizes.heads, width])?;
                let steps = [sizes.heads * block, width, l * width, block, 1];
                let joined = in_order(&self.gradient(&g.value), 0, shape, &steps);
                Ok(Tensor::constant(joined.reshaped(*qkv.shape())))
            }),
            Inputs::Apart(parts) => {
                let all = LazyCell::new(|| self.gradient(&g.value));
                let mut before = 0;
                for (i, rows) in sizes.rows().into_iter().enumerate() {
                    cx.give(i, || {
                        let (width, block) = (sizes.width, sizes.block());
                        let shape = Shape::new(&[sizes.n, rows, sizes.heads, width])?;
                        let steps = [sizes.heads * block, width, block, 1];
                        let part = in_order(&all, before * width, shape, &steps);
                        Ok(Tensor::constant(part.reshaped(*parts[i].shape())))
                    })?;
                    before += rows;
                }
                Ok(())
            }
        }
    }
}

/// A copy in row-major order of what lies at these steps.
fn in_order<E: Elem>(x: &Value<E>, from: usize, shape: Shape, steps: &[usize]) -> Value<E> {
    let mut all = [0; MAX_RANK];
    all[..steps.len()].copy_from_slice(steps);
    copy::packed(&x.view(from, shape, all))
}

impl<E: Elem> Attend<E> {
    /// With the weights `p` of a head and `dp = g vᵀ`, `ds = p (dp - Σ p dp) · scale`:
    /// `dq = ds k`, `dk = dsᵀ q`, `dv = pᵀ g`, one after the other for every head. Where
    /// weights are dropped, `dv` has those that are left, and `dp` is dropped likewise.
    fn gradient(&self, g: &Value<E>) -> Value<E> {
        let Heads { sizes: s, scale, .. } = self.heads;
        let (l, width) = (s.l, s.width);
        let g = g.contiguous();
        let (g, weights) = (g.raw(), self.weights.raw());
        let part = |i, part| self.inputs.part(&s, i, part);
        // It is as large as the inputs together, or smaller.
        let shape = Shape::new(&[s.n * s.heads, s.block()]).unwrap_or(*self.weights.shape());
        Value::build(shape, |out| {
            parallel::chunks(out, s.block(), s.work(), |i, out| {
                let (sample, head) = (i / s.heads, i % s.heads);
                let row = s.heads * width;
                let g = Matrix::new(&g[sample * l * row + head * width..], row);
                let p = &weights[i * l * s.s..][..l * s.s];
                let (dq, rest) = out.split_at_mut(l * width);
                let (dk, dv) = rest.split_at_mut(s.s * width);
                let mut ds = Buffer::scratch(l * s.s);
                let ds = ds.as_mut_slice();
                if self.heads.attention.mask().is_some() {
                    ds.copy_from_slice(p);
                    self.heads.drop_some(i, ds);
                    gemm((s.s, l, width), Matrix::new(&*ds, s.s).t(), g, dv, false, false);
                } else {
                    gemm((s.s, l, width), Matrix::new(p, s.s).t(), g, dv, false, false);
                }
                gemm((l, width, s.s), g, part(i, 2).t(), ds, false, false);
                self.heads.drop_some(i, ds);
                simd(
                    #[inline(always)]
                    || {
                        for (ds, p) in ds.chunks_exact_mut(s.s).zip(p.chunks_exact(s.s)) {
                            let along = lanes::sum_pairs(ds, p, |d, p| d * p);
                            for (d, &p) in ds.iter_mut().zip(p) {
                                *d = p * (*d - along) * scale;
                            }
                        }
                    },
                );
                gemm((l, s.s, width), Matrix::new(ds, s.s), part(i, 1), dq, false, false);
                gemm((s.s, l, width), Matrix::new(ds, s.s).t(), part(i, 0), dk, false, false);
            });
        })
    }
}

/// The same in tensor operations.
fn plain<E: Elem>(
    attention: &Attention<E>,
    qkv: [&Tensor<E>; 3],
    heads: usize,
) -> Result<Tensor<E>> {
    let split = |x: &Tensor<E>| -> Result<Tensor<E>> {
        let (n, l, d) = (x.dims()[0], x.dims()[1], x.dims()[2]);
        x.reshape([n, l, heads, d / heads])?.transpose(1, 2)
    };
    let [q, k, v] = qkv;
    attention.forward(&split(q)?, &split(k)?, &split(v)?)?.transpose(1, 2)?.flatten(2, 3)
}

fn plain_packed<E: Elem>(
    attention: &Attention<E>,
    qkv: &Tensor<E>,
    heads: usize,
) -> Result<Tensor<E>> {
    let d = qkv.dims()[2] / 3;
    let part = |i: usize| qkv.narrow(2, i * d, d);
    plain(attention, [&part(0)?, &part(1)?, &part(2)?], heads)
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
        let sizes = Sizes::packed(qkv.shape(), heads)?;
        if self.has_bias() || sizes.is_empty() {
            return plain_packed(self, qkv, heads);
        }
        Heads::new(self, sizes)?.apply(Inputs::Packed(qkv.value.clone()), &[qkv])
    }

    /// As [`forward_packed`](Self::forward_packed), of queries `[n, l, d]` and of keys
    /// and values `[n, s, d]`; a mask broadcasts to `[n, heads, l, s]`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward_heads(
        &self,
        q: &Tensor<E>,
        k: &Tensor<E>,
        v: &Tensor<E>,
        heads: usize,
    ) -> Result<Tensor<E>> {
        let sizes = Sizes::apart([q.shape(), k.shape(), v.shape()], heads)?;
        if self.has_bias() || sizes.is_empty() {
            return plain(self, [q, k, v], heads);
        }
        let inputs = [q, k, v].map(|x| x.value.clone());
        Heads::new(self, sizes)?.apply(Inputs::Apart(inputs), &[q, k, v])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradcheck, gradgradcheck};
    use rand::SeedableRng;

    fn close(ours: &Tensor<f64>, want: &Tensor<f64>) {
        assert_eq!(ours.dims(), want.dims());
        for (a, b) in ours.to_vec().iter().zip(want.to_vec()) {
            approx::assert_abs_diff_eq!(*a, b, epsilon = 1e-12);
        }
    }

    #[test]
    fn the_same_as_with_split_heads() {
        let x = Tensor::<f64>::linspace(0.0, 9.0, 2 * 5 * 12).sin().reshape([2, 5, 12]).unwrap();
        let keep = Tensor::from_slice(&[1.0, 0.0, 1.0, 1.0, 1.0], [1, 1, 1, 5]).unwrap();
        let masked = Attention::new().keep(keep).causal(true);
        let biased = Attention::new().bias(Tensor::linspace(-1.0, 1.0, 5)).scale(0.3);
        let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let dropping = masked.clone().dropout(0.4, rng).unwrap();
        for attention in [Attention::new(), masked, biased, dropping] {
            let f = |t: &[Tensor<f64>]| attention.forward_packed(&t[0], 2);
            let want = plain_packed(&attention, &x, 2).unwrap();
            close(&f(&[x.clone()]).unwrap(), &want);
            close(&f(&[x.requires_grad()]).unwrap().detach(), &want);
            gradcheck(f, &[x.clone()], GradCheck::default()).unwrap();
            gradgradcheck(f, &[x.clone()], GradCheck::default()).unwrap();
        }
    }

    #[test]
    fn parts_may_be_apart_and_of_unlike_lengths() {
        let x = |l: usize, phase: f64| {
            let numbers = Tensor::<f64>::linspace(phase, phase + 7.0, 2 * l * 4).sin();
            numbers.reshape([2, l, 4]).unwrap()
        };
        let all = [x(3, 0.0), x(5, 1.0), x(5, 2.0)];
        let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
        // A mask for each sample, one for each query, and one that has to be copied.
        let ones = |shape: [usize; 4], hidden: usize| {
            let count: usize = shape.iter().product();
            let numbers = (0..count).map(|i| if i % 3 == hidden { 0.0 } else { 1.0 }).collect();
            Tensor::<f64>::from_vec(numbers, shape).unwrap()
        };
        for attention in [
            Attention::new(),
            Attention::new().keep(ones([2, 1, 1, 5], 1)),
            Attention::new().keep(ones([1, 1, 3, 5], 0)).causal(true),
            Attention::new().keep(ones([2, 2, 3, 1], 1)),
            Attention::new().dropout(0.4, rng).unwrap(),
        ] {
            let f = |t: &[Tensor<f64>]| attention.forward_heads(&t[0], &t[1], &t[2], 2);
            let want = plain(&attention, all.each_ref(), 2).unwrap();
            close(&f(&all).unwrap(), &want);
            gradcheck(f, &all, GradCheck::default()).unwrap();
            gradgradcheck(f, &all, GradCheck::default()).unwrap();
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
        let other = Tensor::<f32>::ones([2, 5, 12]);
        let apart = |k, v| Attention::new().forward_heads(&x, k, v, 3);
        assert_eq!(apart(&other, &other).unwrap().dims(), [2, 4, 12]);
        let why = apart(&other, &x).unwrap_err().to_string();
        assert!(why.contains("keys and values, both [n, s, d]"), "{why}");
        assert!(apart(&Tensor::ones([1, 5, 12]), &other).is_err());
        assert!(Attention::new().forward_heads(&x, &x, &x, 5).is_err());
    }
}
