//! The model that is adapted.

use crate::Result;
use tl_data::Dataset;
use tl_nn::{Ctx, Forward, Linear, Module, ModuleExt, NormStats, Tensor, module};

/// A classifier in two parts: what is aligned between domains is the output of
/// the encoder, `[n, d]`.
#[derive(Clone, Debug)]
pub struct Classifier<M> {
    /// Features `[n, d]`.
    pub encoder: M,
    /// Logits `[n, c]`.
    pub head: Linear,
}
module!(impl<M: Module> Classifier<M> { encoder, head });

impl<M: Forward> Forward for Classifier<M> {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let features = self.encoder.forward(x, cx)?;
        self.head.forward(&features, cx)
    }
}

/// Features and logits of the same samples.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the encoder made of them, `[n, d]`.
    pub features: Tensor,
    /// What the head made of that, `[n, c]`.
    pub logits: Tensor,
}

impl<M: Forward> Classifier<M> {
    /// One pass, in training or evaluation as the context says.
    pub(crate) fn pass(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Seen> {
        let features = self.encoder.forward(x, cx)?;
        let logits = self.head.forward(&features, cx)?;
        Ok(Seen { features, logits })
    }

    /// Features and logits of a whole set, in evaluation, as constants. `domain`
    /// is what a [`DomainBatchNorm`](crate::DomainBatchNorm) normalises by: the
    /// sources are 0, 1, .., the target comes after them. Without such layers it
    /// has no effect.
    ///
    /// # Errors
    /// Those of the model; an empty set.
    pub fn see(&self, data: &Dataset, domain: usize) -> Result<Seen> {
        self.see_with(data, domain, NormStats::ByMode)
    }

    /// As [`see`](Self::see) for source samples of a model whose running statistics
    /// are the target's: normalised by their own.
    pub(crate) fn see_source(&self, data: &Dataset) -> Result<Seen> {
        let mut norms = self.buffers();
        norms.retain(|(path, _)| path.ends_with("running_mean"));
        // Layers that are frozen have the statistics of neither.
        let moving = !norms.is_empty() && norms.iter().all(|(_, b)| !b.is_frozen());
        self.see_with(data, 0, if moving { NormStats::Batch } else { NormStats::ByMode })
    }

    fn see_with(&self, data: &Dataset, domain: usize, norm: NormStats) -> Result<Seen> {
        // Parts of about the same size, large where their own statistics count.
        let most = if norm == NormStats::Batch { 4096 } else { 512 };
        let parts = data.len().div_ceil(most).max(1);
        let frozen = self.frozen();
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        for part in 0..parts {
            let mut cx = Ctx::eval().with_norm_stats(norm);
            cx.set_domain(domain);
            let (from, to) = (part * data.len() / parts, (part + 1) * data.len() / parts);
            let x = data.features().narrow(0, from, to - from)?;
            let seen = frozen.pass(&x, &mut cx)?;
            features.push(seen.features);
            logits.push(seen.logits);
        }
        let all = |parts: &[Tensor]| Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        Ok(Seen { features: all(&features)?, logits: all(&logits)? })
    }
}
