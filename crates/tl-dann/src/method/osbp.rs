//! Open-set adaptation: the target has classes that the source has not.

use super::align::{Align, Pair};
use crate::{Result, open_set_loss, reverse};
use tl_nn::{Ctx, Forward, Tensor};

/// OSBP (Saito et al. 2018b): the last logit is for what is unknown. The head
/// puts target samples at a probability of one half for it, the encoder learns
/// from the reversed gradient and takes each to one side.
pub(crate) struct Osbp {
    pub(crate) boundary: f64,
}

impl Align for Osbp {
    fn reversed(&self) -> bool {
        true
    }

    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        let logits = pair.head.forward(&reverse(&pair.target.features, pair.strength)?, cx)?;
        open_set_loss(&logits, self.boundary)
    }
}
