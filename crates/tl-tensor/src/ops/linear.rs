//! The fused affine layer.

mod activation;
mod low_rank;

use crate::{
    Elem, Error, Op, Result, Tensor, Value, Vjp,
    kernel::{
        gemm::{Finish, Matrix, gemm, gemm_layer},
        map,
    },
};
pub use activation::Activation;
use low_rank::LowRank;

struct Linear<E: Elem> {
    /// Where the rule needs it: a constant weight that stands alone has no gradient.
    x: Option<Value<E>>,
    w: Value<E>,
    low: Option<LowRank<E>>,
    bias: Option<Value<E>>,
    /// What the activation's rule needs.
    y: Option<Value<E>>,
    activation: Activation,
}

impl<E: Elem> Linear<E> {
    /// The place of the bias among the inputs: after `A` and `B`, if they are there.
    fn place_of_bias(&self) -> usize {
        if self.low.is_some() { 4 } else { 2 }
    }

    /// The result in plain operations, of the inputs in their order.
    fn plain(&self, t: &[Tensor<E>]) -> Result<Tensor<E>> {
        let bias = t.get(self.place_of_bias());
        let y = match &self.low {
            Some(low) => low.plain(t, bias)?,
            None => t[0].linear(&t[1], bias)?,
        };
        Ok(self.activation.apply(&y))
    }
}

/// Whether the rule of the layer has a gradient itself, with what is saved for it.
fn has_rule(activation: Activation) -> bool {
    matches!(activation, Activation::Identity | Activation::Relu)
}

impl<E: Elem> Op<E> for Linear<E> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let has_rule = self.low.is_none() && has_rule(self.activation);
        if let Some(x) = &self.x
            && cx.create_graph()
            && !has_rule
        {
            let mut saved = vec![x, &self.w];
            saved.extend(self.low.iter().flat_map(|low| [&low.a, &low.b]));
            saved.extend(&self.bias);
            return cx.composite(&saved, &g, |t| self.plain(t));
        }
        let g = self.activation.back(self.y.as_ref(), g)?;
        match (&self.low, &self.x) {
            (Some(low), Some(x)) => low.give(cx, [x, &self.w, &g.value])?,
            _ => {
                let w = cx.input(1, &self.w);
                cx.give(0, || g.matmul(&w))?;
            }
        }
        if let Some(x) = &self.x {
            let x = cx.input(0, x);
            cx.give_product(1, &g, &x)?;
        }
        cx.give(self.place_of_bias(), || g.sum(0, false))
    }
}

impl<E: Elem> Tensor<E> {
    /// `x wᵀ + b` over the last axis: `x` is `[.., in]`, `w` `[out, in]`
    /// (PyTorch's layout), `b` `[out]`; the result `[.., out]`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        self.linear_act(weight, bias, Activation::Identity)
    }

    /// [`linear`](Self::linear) followed by a function of each element, in one
    /// pass over the result.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn linear_act(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        activation: Activation,
    ) -> Result<Self> {
        self.affine_layer(weight, None, bias, activation)
    }

    /// [`linear_act`](Self::linear_act) with the weight `w + scale B A`, which is never
    /// made: `A` is `[r, in]`, `B` `[out, r]` (Hu et al. 2022, eq. 3). Where the weight is
    /// a constant, no product of its size is spent on `A` and `B` in either pass.
    ///
    /// ```
    /// use tl_tensor::{Activation, Tensor};
    /// # fn main() -> tl_tensor::Result<()> {
    /// let (x, w) = (Tensor::<f32>::ones([4, 3]), Tensor::ones([2, 3]));
    /// let (a, b) = (Tensor::ones([1, 3]), Tensor::ones([2, 1]));
    /// let y = x.linear_low_rank(&w, [&a, &b], 0.5, None, Activation::Identity)?;
    /// assert_eq!(y.to_vec(), [4.5; 8]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn linear_low_rank(
        &self,
        weight: &Self,
        factors: [&Self; 2],
        scale: E,
        bias: Option<&Self>,
        activation: Activation,
    ) -> Result<Self> {
        self.affine_layer(weight, Some((factors, scale)), bias, activation)
    }

    fn affine_layer(
        &self,
        weight: &Self,
        low: Option<([&Self; 2], E)>,
        bias: Option<&Self>,
        activation: Activation,
    ) -> Result<Self> {
        let fits = self.rank() >= 1 && weight.rank() == 2 && self.size(-1)? == weight.dims()[1];
        if !fits {
            return Err(Error::shapes(
                "linear",
                self.shape(),
                weight.shape(),
                "an input [.., in] and a weight [out, in]",
            ));
        }
        let (n, k) = (weight.dims()[0], weight.dims()[1]);
        if let Some(bias) = bias
            && bias.dims() != [n]
        {
            return Err(Error::shapes(
                "linear",
                weight.shape(),
                bias.shape(),
                "a weight [out, in] and a bias [out]",
            ));
        }
        if self.rank() != 2 {
            let shape = self.shape().with(self.rank() - 1, n);
            let rows = shape.numel().checked_div(n).unwrap_or(0);
            return self
                .reshape([rows, k])?
                .affine_layer(weight, low, bias, activation)?
                .reshape(shape);
        }
        let m = self.dims()[0];
        let x = self.value.contiguous();
        let w = &weight.value;
        let w = if w.is_contiguous() || w.strides()[0] == 1 { w.clone() } else { w.contiguous() };
        let w_matrix =
            Matrix { data: w.raw(), row_step: w.strides()[0], column_step: w.strides()[1] };
        let row = bias.map(|bias| bias.value.contiguous());
        let row = row.as_ref().map(|row| &row.raw()[..n]);
        let x = Matrix::new(x.raw(), k);
        let factors = low.map(|(factors, _)| factors);
        let low = low.map(|(ab, scale)| LowRank::new(x, m, weight, ab, scale)).transpose()?;
        let more = low.as_ref().map(LowRank::factors).filter(|(_, _, r)| *r > 0);
        let forward = |out: &mut [E], activation: Activation| {
            let plain = activation == Activation::Identity;
            let finish = |part: &mut [E], from: usize| {
                activation.add_and_apply(part, row.map(|row| &row[from..][..part.len()]));
            };
            let finish: Option<&Finish<'_, E>> =
                if plain && row.is_none() { None } else { Some(&finish) };
            let keep = !weight.is_tracked();
            if w.is_contiguous() && gemm_layer((m, k, n), x, (&w, keep), out, more, finish) {
                return;
            }
            // Without a function, the sum may begin with the bias.
            let first = row.filter(|_| plain);
            if let Some(row) = first {
                map::fill_rows(out, row);
            }
            gemm((m, k, n), x, w_matrix.t(), out, first.is_some(), true);
            if let Some((hidden, up, r)) = more {
                gemm((m, r, n), hidden, up, out, true, true);
            }
            if !plain {
                activation.add_and_apply(out, row);
            }
        };
        let mut inputs = vec![self, weight];
        inputs.extend(factors.into_iter().flatten());
        inputs.extend(bias);
        let tracked = inputs.iter().any(|t| t.is_tracked());
        let (saved, y) = match activation {
            Activation::Identity => {
                (None, Value::build([m, n].into(), |out| forward(out, activation)))
            }
            Activation::Gelu if tracked => {
                let before = Value::build([m, n].into(), |out| forward(out, Activation::Identity));
                let y = activation.apply(&Self::constant(before.clone())).value;
                (Some(before), y)
            }
            _ => {
                let y = Value::build([m, n].into(), |out| forward(out, activation));
                (tracked.then(|| y.clone()), y)
            }
        };
        let needs_x = weight.is_tracked() || low.is_some() || !has_rule(activation);
        Ok(Self::from_op(y, &inputs, || Linear {
            x: needs_x.then(|| self.value.clone()),
            w: weight.value.clone(),
            low,
            bias: bias.map(|b| b.value.clone()),
            y: saved,
            activation,
        }))
    }
}
