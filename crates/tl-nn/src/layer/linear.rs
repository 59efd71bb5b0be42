//! The affine layer.

use crate::{Act, Ctx, Forward, Param, Result, init, module};
use rand::RngCore;
use tl_tensor::{Activation, Tensor};

/// `y = x Wᵀ + b` over the last axis: `[.., in]` becomes `[.., out]`.
///
/// `weight` is `[out, in]`, `bias` `[out]`. Both begin uniform in `±1/√in`,
/// PyTorch's default.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{Ctx, Forward, Linear};
/// use tl_tensor::Tensor;
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let head = Linear::new(512, 10, &mut rng);
/// let logits = head.forward(&Tensor::zeros([8, 512]), &mut Ctx::eval())?;
/// assert_eq!(logits.dims(), [8, 10]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
}
module!(Linear { weight, bias });

impl Linear {
    /// A layer from `inputs` to `outputs` features, with a bias.
    pub fn new(inputs: usize, outputs: usize, rng: &mut dyn RngCore) -> Self {
        let weight = init::by_fan_in([outputs, inputs].into(), inputs, rng);
        let bias = init::by_fan_in(outputs.into(), inputs, rng);
        Self { weight: Param::new(weight), bias: Some(Param::new(bias)) }
    }

    /// A layer without a bias.
    pub fn without_bias(inputs: usize, outputs: usize, rng: &mut dyn RngCore) -> Self {
        Self { bias: None, ..Self::new(inputs, outputs, rng) }
    }

    /// The output followed by a function, in one pass. Outside of a pass through
    /// a model: adapters drop nothing; see [`forward_with`](Self::forward_with).
    ///
    /// # Errors
    /// The last axis of `x` is not that of the weight.
    pub fn forward_act(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        self.forward_with(x, activation, &mut Ctx::eval())
    }

    /// The output followed by a function, in one pass.
    ///
    /// # Errors
    /// The last axis of `x` is not that of the weight.
    pub fn forward_with(&self, x: &Tensor, act: Activation, cx: &mut Ctx) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Param::adapted).transpose()?;
        let weight = self.weight.tensor();
        Ok(match self.weight.adapter() {
            None => x.linear_act(weight, bias.as_deref(), act)?,
            Some(adapter) => adapter.linear(x, weight, bias.as_deref(), act, cx)?,
        })
    }

    /// The output followed by any function, in one pass where there is a form for it.
    ///
    /// # Errors
    /// The last axis of `x` is not that of the weight.
    pub fn forward_then(&self, x: &Tensor, act: Act, cx: &mut Ctx) -> Result<Tensor> {
        match act.fused() {
            Some(function) => self.forward_with(x, function, cx),
            None => Ok(act.apply(&self.forward(x, cx)?)),
        }
    }
}

impl Forward for Linear {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        self.forward_with(x, Activation::Identity, cx)
    }
}
