//! The fused affine layer.

use super::unary::{logistic, normal_cdf};
use crate::{
    Elem, Error, Op, Result, Tensor, Value, Vjp,
    kernel::{
        gemm::{Finish, Matrix, gemm, gemm_layer},
        map,
    },
};

/// A function applied to the result of [`Tensor::linear_act`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// None.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `tanh x`.
    Tanh,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `x Φ(x)`.
    Gelu,
}

impl Activation {
    /// The function as a plain operation.
    pub fn apply<E: Elem>(self, x: &Tensor<E>) -> Tensor<E> {
        match self {
            Self::Identity => x.clone(),
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::Gelu => x.gelu(),
        }
    }

    /// In place, of rows to which `row` is added first.
    fn add_and_apply<E: Elem>(self, out: &mut [E], row: Option<&[E]>) {
        match self {
            Self::Identity => map::rows_in_place(
                out,
                row,
                #[inline(always)]
                |x| x,
            ),
            Self::Relu => map::rows_in_place(
                out,
                row,
                #[inline(always)]
                |x| if x < E::ZERO { E::ZERO } else { x },
            ),
            Self::Tanh => map::rows_in_place(out, row, E::tanh),
            Self::Sigmoid => map::rows_in_place(
                out,
                row,
                #[inline(always)]
                |x| logistic(x),
            ),
            Self::Gelu => map::rows_in_place(
                out,
                row,
                #[inline(always)]
                |x| x * normal_cdf(x),
            ),
        }
    }
}

struct Linear<E: Elem> {
    x: Value<E>,
    w: Value<E>,
    bias: Option<Value<E>>,
    /// The result after the activation; only where the rule needs it.
    y: Option<Value<E>>,
    activation: Activation,
}

impl<E: Elem> Linear<E> {
    /// The gradient before the activation.
    fn through_activation(&self, g: Tensor<E>) -> Result<Tensor<E>> {
        let Some(y) = &self.y else { return Ok(g) };
        let y = Tensor::constant(y.clone());
        let slope = match self.activation {
            Activation::Identity => return Ok(g),
            Activation::Relu => {
                let pass = |y: E, g: E| if y > E::ZERO { g } else { E::ZERO };
                if !g.is_tracked() {
                    return map::binary("linear", &y.value, &g.value, pass).map(Tensor::constant);
                }
                y.gt_scalar(E::ZERO)
            }
            Activation::Tanh => y.square().affine(-E::ONE, E::ONE),
            Activation::Sigmoid => y.mul(&y.affine(-E::ONE, E::ONE))?,
            Activation::Gelu => {
                // `y` holds the value before the activation.
                let x = y.requires_grad();
                let slope = x.gelu();
                return crate::vjp(&slope, &[&x], &g, crate::GradOptions::new())
                    .map(|mut g| g.remove(0));
            }
        };
        g.mul(&slope)
    }
}

impl<E: Elem> Op<E> for Linear<E> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        use Activation::{Identity, Relu};
        if cx.create_graph() && !matches!(self.activation, Identity | Relu) {
            let mut saved = vec![&self.x, &self.w];
            saved.extend(&self.bias);
            return cx.composite(&saved, &g, |t| {
                Ok(self.activation.apply(&t[0].linear(&t[1], t.get(2))?))
            });
        }
        let g = self.through_activation(g)?;
        let (x, w) = (cx.input(0, &self.x), cx.input(1, &self.w));
        cx.give(0, || g.matmul(&w))?;
        cx.give_product(1, &g, &x)?;
        cx.give(2, || g.sum(0, false))
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
            return self.reshape([rows, k])?.linear_act(weight, bias, activation)?.reshape(shape);
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
        let forward = |out: &mut [E], activation: Activation| {
            let plain = activation == Activation::Identity;
            let finish = |part: &mut [E], from: usize| {
                activation.add_and_apply(part, row.map(|row| &row[from..][..part.len()]));
            };
            let finish: Option<&Finish<'_, E>> =
                if plain && row.is_none() { None } else { Some(&finish) };
            let keep = !weight.is_tracked();
            if w.is_contiguous() && gemm_layer((m, k, n), x, (&w, keep), out, finish) {
                return;
            }
            // Without a function, the sum may begin with the bias.
            let first = row.filter(|_| plain);
            if let Some(row) = first {
                map::fill_rows(out, row);
            }
            gemm((m, k, n), x, w_matrix.t(), out, first.is_some(), true);
            if !plain {
                activation.add_and_apply(out, row);
            }
        };
        let tracked =
            self.is_tracked() || weight.is_tracked() || bias.is_some_and(Self::is_tracked);
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
        let mut inputs = vec![self, weight];
        inputs.extend(bias);
        Ok(Self::from_op(y, &inputs, || Linear {
            x: self.value.clone(),
            w: weight.value.clone(),
            bias: bias.map(|b| b.value.clone()),
            y: saved,
            activation,
        }))
    }
}
