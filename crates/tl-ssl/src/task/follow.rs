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
        let mut projector = sizes.projector(rng);
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use tl_nn::Linear;

    fn net(weight: f32) -> Net<Linear> {
        let mut encoder = Linear::new(2, 1, &mut ChaCha8Rng::seed_from_u64(0));
        encoder.weight = tl_nn::Param::new(Tensor::full([1, 2], weight));
        Net { encoder, heads: Heads::default() }
    }

    #[test]
    fn the_copy_moves_by_what_the_decay_leaves() {
        let mut task = Follow::<Linear>::slow(0.9);
        task.begin(&net(0.0));
        let weight = |task: &Follow<Linear>| {
            let state = Task::<Linear>::state(task);
            state.tensor("encoder.weight").unwrap().to_vec()[0]
        };
        // At the beginning a tenth of the way, in the middle a twentieth, then none.
        for (progress, want) in [(0.0, 0.1), (0.5, 0.1 + 0.05 * 0.9), (1.0, 0.145)] {
            task.after_step(&net(1.0), progress).unwrap();
            assert!((weight(&task) - want).abs() < 1e-6, "{progress}: {}", weight(&task));
        }
    }
}
