//! Margin disparity discrepancy.

use super::align::{Align, Pair, Widths, adversary};
use crate::{Result, mdd_loss, reverse};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Forward, Linear, Sequential, Tensor};

/// MDD (Zhang et al. 2019): a second classifier agrees with the first on the
/// source and disagrees on the target; the encoder learns from its reversed
/// gradient.
pub(crate) struct Mdd {
    pub(crate) gamma: f64,
}

impl Align for Mdd {
    fn adversary(&mut self, widths: Widths, rng: &mut ChaCha8Rng) -> Option<Sequential> {
        Some(Sequential::new().named("class", Linear::new(widths.features, widths.classes, rng)))
    }

    fn reversed(&self) -> bool {
        true
    }

    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        let second = adversary(pair)?;
        let on_source = second.forward(&reverse(&pair.source.features, pair.strength)?, cx)?;
        let on_target = second.forward(&reverse(&pair.target.features, pair.strength)?, cx)?;
        let (zs, zt) = (&pair.source.logits, &pair.target.logits);
        mdd_loss((zs, &on_source), (zt, &on_target), self.gamma)
    }
}
