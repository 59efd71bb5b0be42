//! R3F: outputs that noise does not move.

use crate::{Error, Result};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{Tensor, init};

/// The noise of [`r3f`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum R3fNoise {
    /// Normal with this deviation; 1e-5 in the paper, for embeddings.
    Normal(f32),
    /// Uniform up to this size to both sides.
    Uniform(f32),
}

impl R3fNoise {
    /// Noise of the shape of `x`, added to it.
    ///
    /// # Errors
    /// A size that is not above 0.
    pub fn add_to(self, x: &Tensor, rng: &mut dyn RngCore) -> Result<Tensor> {
        let (Self::Normal(size) | Self::Uniform(size)) = self;
        if !(size > 0.0 && size.is_finite()) {
            return Err(Error::argument("R3F", "noise", size, "above 0"));
        }
        let noise = match self {
            Self::Normal(s) => init::normal(*x.shape(), 0.0, s, rng),
            Self::Uniform(s) => init::uniform(*x.shape(), -s, s, rng),
        };
        Ok(x.add(&noise)?)
    }
}

/// R3F (Aghajanyan et al. 2021, eq. 5): `KL(p ‖ q) + KL(q ‖ p)` of the classes for
/// an input and for the same with a little noise, the mean over samples. Both
/// logits are `[n, classes]`; gradients flow to both.
///
/// # Errors
/// Shapes that differ.
pub fn r3f(logits: &Tensor, noisy: &Tensor) -> Result<Tensor> {
    let (lp, lq) = (logits.log_softmax(-1)?, noisy.log_softmax(-1)?);
    // (p - q)(ln p - ln q) is the sum of the two.
    let both = lp.exp().sub(&lq.exp())?.mul(&lp.sub(&lq)?)?;
    Ok(both.sum(-1, false)?.mean_all())
}
