//! A predictor follows another copy: BYOL and SimSiam.

use super::{Heads, Net, Sizes, Slow, Task, byol_decay, mlp};
use crate::{Result, Views, negative_cosine};
use rand::RngCore;
use tl_data::Batch;
use tl_nn::{BatchNorm1d, Ctx, Forward, Losses, Module, StateDict, Tensor};

/// With a decay the target is a slow copy (BYOL), else the other view itself,
/// held constant (SimSiam).
pub(crate) struct Follow<M: Module> {
    decay: Option<f64>,
    slow: Slow<M>,
}

impl<M: Forward> Follow<M> {
    pub(crate) fn slow(decay: f64) -> Self {
        Self { decay: Some(decay), slow: Slow::new() }
    }

    pub(crate) fn twin() -> Self {
        Self { decay: None, slow: Slow::new() }
    }
}

impl<M: Forward> Task<M> for Follow<M> {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        let width = sizes.width;
        let mut projector = mlp(sizes.features, width, width, rng);
        if self.decay.is_none() {
            // SimSiam's projector ends with a normalisation.
            projector = projector.push(BatchNorm1d::without_affine(width));
        }
        let predictor = Some(mlp(width, width / 4 + 1, width, rng));
        Ok(Heads { predictor, ..Heads::projector(projector) })
    }

    fn begin(&mut self, net: &Net<M>) {
        if self.decay.is_some() {
            self.slow.begin(net);
        }
    }

    /// Every view predicts every other whole one; the mean over targets, the sum
    /// over predicting views.
    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let whole = views.whole(&batch.features, cx)?;
        let mut fast: Vec<Tensor> =
            whole.iter().map(|x| net.project(x, cx)).collect::<tl_nn::Result<_>>()?;
        let mut targets = Vec::with_capacity(whole.len());
        for (x, z) in whole.iter().zip(&fast) {
            targets.push(self.slow.project(x, cx)?.unwrap_or_else(|| z.detach()));
        }
        for local in views.locals(&batch.features, cx)? {
            fast.push(net.project(&local, cx)?);
        }
        let mut total = Tensor::scalar(0.0);
        for (i, z) in fast.iter().enumerate() {
            let predicted = net.predict(z, cx)?;
            let others = targets.iter().enumerate().filter(|(j, _)| *j != i);
            let part = 1.0 / others.clone().count().max(1) as f32;
            for (_, target) in others {
                let loss = negative_cosine(&predicted, target)?;
                total = total.add(&loss.mul_scalar(part))?;
            }
        }
        Ok(Losses::new(total))
    }

    fn after_step(&mut self, net: &Net<M>, progress: f64) -> tl_nn::Result<()> {
        match self.decay {
            Some(decay) => self.slow.follow(net, byol_decay(decay, progress)),
            None => Ok(()),
        }
    }

    fn state(&self) -> StateDict {
        self.slow.state()
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        self.slow.load(state)
    }
}
