//! Domain-adversarial training.

use super::align::{Align, Pair, Widths, adversary, discriminator, judge};
use crate::{Result, spectral_penalty};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Sequential, Tensor};

/// DANN (Ganin et al. 2016): a discriminator tells the domains apart by their
/// features, the encoder learns from its reversed gradient. With `spectral` above
/// 0, BSP (Chen et al. 2019): so much of the squared largest singular value of
/// both batches of features is added.
pub(crate) struct Dann {
    pub(crate) spectral: f64,
}

impl Align for Dann {
    fn adversary(&mut self, widths: Widths, rng: &mut ChaCha8Rng) -> Option<Sequential> {
        Some(discriminator(widths.features, rng))
    }

    fn reversed(&self) -> bool {
        true
    }

    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        let (s, t) = (&pair.source.features, &pair.target.features);
        let domain = judge(adversary(pair)?, (s, t), None, pair.strength, cx)?;
        if self.spectral <= 0.0 {
            return Ok(domain);
        }
        let spread = spectral_penalty(s, 1)?.add(&spectral_penalty(t, 1)?)?;
        Ok(domain.add(&spread.mul_scalar(self.spectral as f32))?)
    }
}
