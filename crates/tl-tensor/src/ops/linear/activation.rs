//! Functions fused with an affine layer.

use crate::{Elem, Result, Tensor, Value, kernel::map, ops::unary::logistic};

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
    pub(super) fn add_and_apply<E: Elem>(self, out: &mut [E], row: Option<&[E]>) {
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
                |x| x * x.normal_cdf(),
            ),
        }
    }

    /// The gradient before the function, from that after it. `y` is what came out, for
    /// GELU what went in, and nothing for the identity.
    pub(super) fn back<E: Elem>(self, y: Option<&Value<E>>, g: Tensor<E>) -> Result<Tensor<E>> {
        let Some(y) = y else { return Ok(g) };
        let y = Tensor::constant(y.clone());
        let slope = match self {
            Self::Identity => return Ok(g),
            Self::Relu => {
                let pass = |y: E, g: E| if y > E::ZERO { g } else { E::ZERO };
                if !g.is_tracked() {
                    return map::binary("linear", &y.value, &g.value, pass).map(Tensor::constant);
                }
                y.gt_scalar(E::ZERO)
            }
            Self::Tanh => y.square().affine(-E::ONE, E::ONE),
            Self::Sigmoid => y.mul(&y.affine(-E::ONE, E::ONE))?,
            Self::Gelu => {
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
