//! Partial adaptation: the target has some of the source's classes.

use super::align::{Align, Pair, Widths, adversary, discriminator, judge};
use crate::{Result, Seen};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Sequential, Tensor};

/// PADA (Cao et al. 2018): DANN in which a source class counts as much as the
/// target seems to have of it: the mean target prediction over its maximum, made
/// anew every epoch, in the source loss and in the domain loss.
#[derive(Default)]
pub(crate) struct Pada {
    weights: Option<Tensor>,
}

impl Align for Pada {
    fn adversary(&mut self, widths: Widths, rng: &mut ChaCha8Rng) -> Option<Sequential> {
        Some(discriminator(widths.features, rng))
    }

    fn reversed(&self) -> bool {
        true
    }

    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        let (s, t) = (&pair.source.features, &pair.target.features);
        let ones = Tensor::ones([t.size(0)?]);
        let weights = match &self.weights {
            Some(classes) => classes.index_select(0, pair.labels)?,
            None => Tensor::ones([s.size(0)?]),
        };
        judge(adversary(pair)?, (s, t), Some((&weights, &ones)), pair.strength, cx)
    }

    fn class_weights(&self) -> Option<&Tensor> {
        self.weights.as_ref()
    }

    fn renews(&self) -> bool {
        true
    }

    /// Untrained predictions say nothing, so the first epoch has equal weights.
    fn renew(&mut self, target: &Seen, progress: f64) -> Result<()> {
        if progress > 0.0 {
            let mean = target.logits.softmax(-1)?.mean(0, false)?.detach();
            // A batch of classes that all have no weight would be no loss at all.
            let most = mean.max(0, true)?;
            self.weights = Some(mean.div(&most)?.clamp(1e-3, 1.0));
        }
        Ok(())
    }
}
