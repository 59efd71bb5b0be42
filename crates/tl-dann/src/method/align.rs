//! What all methods of one training stage have in common.

use crate::{Discriminator, Result, Seen, domain_loss, reverse};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Forward, Indices, Linear, Sequential, Tensor};

/// The widths of a classifier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths {
    /// Of the features.
    pub(crate) features: usize,
    /// Of the logits.
    pub(crate) classes: usize,
}

/// A batch of a source and one of the target, passed through the model.
pub(crate) struct Pair<'a> {
    pub(crate) source: &'a Seen,
    pub(crate) labels: &'a Indices,
    pub(crate) target: &'a Seen,
    /// The positions of these target samples in the target.
    pub(crate) places: &'a [usize],
    /// The target samples themselves.
    pub(crate) samples: &'a Tensor,
    /// Who plays against the encoder on this source.
    pub(crate) adversary: Option<&'a Sequential>,
    pub(crate) head: &'a Linear,
    /// Another pass of target samples through the model.
    pub(crate) pass: &'a dyn Fn(&Tensor, &mut Ctx) -> tl_nn::Result<Seen>,
    /// What the reversed gradient is multiplied by, if any is.
    pub(crate) strength: f64,
}

/// What a method adds to the source loss.
pub(crate) trait Align {
    /// Who plays against the encoder; each source gets one.
    fn adversary(&mut self, widths: Widths, rng: &mut ChaCha8Rng) -> Option<Sequential> {
        let _ = (widths, rng);
        None
    }

    /// Whether the encoder feels the term through a reversed gradient, which then
    /// carries the weight. Else the term itself is weighed.
    fn reversed(&self) -> bool {
        false
    }

    /// Whether the weight grows from 0. Default: yes.
    fn grows(&self) -> bool {
        true
    }

    /// The term for one source, without its weight.
    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor>;

    /// The weight of each class in the source loss, `[c]`.
    fn class_weights(&self) -> Option<&Tensor> {
        None
    }

    /// Whether [`renew`](Self::renew) wants to see the whole target.
    fn renews(&self) -> bool {
        false
    }

    /// Before the first epoch and after each: what the model makes of the whole
    /// target, at this part of the run: 0 before the first epoch, 1 before the
    /// last.
    fn renew(&mut self, target: &Seen, progress: f64) -> Result<()> {
        let _ = (target, progress);
        Ok(())
    }

    /// One loss of the task losses and the terms of all sources: the mean of
    /// each, the terms times `factor`.
    fn combine(&self, each: &[(Tensor, Tensor)], factor: f64) -> Result<Tensor> {
        let mut sum = Tensor::scalar(0.0);
        for (task, term) in each {
            sum = sum.add(&task.add(&term.mul_scalar(factor as f32))?)?;
        }
        Ok(sum.mul_scalar(1.0 / each.len() as f32))
    }
}

/// A discriminator of the given width as an adversary.
pub(crate) fn discriminator(inputs: usize, rng: &mut ChaCha8Rng) -> Sequential {
    Sequential::new().named("domain", Discriminator::new(inputs, 128, rng))
}

/// The loss of a discriminator on reversed features, both domains in one pass.
pub(crate) fn judge(
    adversary: &Sequential,
    (s, t): (&Tensor, &Tensor),
    weights: Option<(&Tensor, &Tensor)>,
    strength: f64,
    cx: &mut Ctx,
) -> Result<Tensor> {
    let n = s.size(0)?;
    let said = adversary.forward(&reverse(&Tensor::cat(&[s, t], 0)?, strength)?, cx)?;
    domain_loss(&said.narrow(0, 0, n)?, &said.narrow(0, n, t.size(0)?)?, weights)
}

/// The adversary of a pair; the method made one.
pub(crate) fn adversary<'a>(pair: &Pair<'a>) -> Result<&'a Sequential> {
    pair.adversary.ok_or_else(|| {
        crate::Error::argument("adaptation", "adversary", "none", "one made by the method")
    })
}
