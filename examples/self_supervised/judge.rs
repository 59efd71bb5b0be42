//! What features are worth with a few labels.

use crate::{nets::FEATURES, shared::Outcome};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{
        Batching, Dataset,
        transform::{Compose, Standardise},
    },
    nn::{
        AdamW, CrossEntropy, Ctx, Error, Forward, Linear, Optimizer, Schedule, Sequential, Trainer,
        metric::accuracy, shallow::LogisticRegression,
    },
    tensor::Tensor,
};

/// Features of pictures, a part at a time.
pub fn features(net: &Sequential, x: &Tensor) -> Outcome<Tensor> {
    const PART: usize = 500;
    let n = x.dims()[0];
    let mut all = Vec::new();
    for from in (0..n).step_by(PART) {
        let part = x.narrow(0, from, PART.min(n - from))?;
        all.push(net.forward(&part, &mut Ctx::eval())?.detach());
    }
    Ok(Tensor::cat(&all.iter().collect::<Vec<_>>(), 0)?)
}

/// Features, standardised by what is known of them without labels, to rows of
/// length about 1: so that one strength of the penalty suits all.
pub struct Scaled<'a> {
    features: &'a dyn Fn(&Tensor) -> Outcome<Tensor>,
    scale: Standardise,
}

impl<'a> Scaled<'a> {
    /// With the scale of these unlabelled samples.
    pub fn new(
        features: &'a dyn Fn(&Tensor) -> Outcome<Tensor>,
        unlabelled: &Tensor,
    ) -> Outcome<Self> {
        Ok(Self { features, scale: Standardise::fit(&features(unlabelled)?)? })
    }

    /// Of samples.
    pub fn of(&self, x: &Tensor) -> Outcome<Tensor> {
        let z = self.scale.transform(&(self.features)(x)?)?;
        let length = (z.dims()[1] as f32).sqrt();
        Ok(z.mul_scalar(1.0 / length))
    }
}

/// Logistic regression on features of a few labelled samples.
pub fn probe(
    few: &Dataset,
    test: &Dataset,
    features: &Scaled<'_>,
    unseen: &Tensor,
) -> Outcome<f64> {
    let x = features.of(few.features())?;
    let fit = LogisticRegression::new().c(10.0).fit(&x, few.labels()?, few.classes())?;
    Ok(accuracy(&fit.logits(unseen)?, &test.labels()?.into())?)
}

/// How a whole network is trained on a few labels.
#[derive(Clone, Copy)]
pub struct Supervised {
    /// Steps of 32 samples.
    pub steps: u64,
    /// The rate at the beginning.
    pub lr: f32,
}

impl Supervised {
    /// Trains encoder and a new head on a few labels, with the same views that
    /// pre-training has.
    pub fn fit(
        self,
        encoder: &Sequential,
        few: &Dataset,
        test: &Dataset,
        views: Compose,
        seed: u64,
    ) -> Outcome<f64> {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut net = encoder.clone().push(Linear::new(FEATURES, few.classes(), rng));
        let loader = few.batches(Batching::new(32).shuffled(seed))?.transform(views);
        let schedule = Schedule::cosine(self.steps, 0.0);
        let optimizer = Optimizer::new(AdamW::new(self.lr)).schedule(schedule);
        let epochs = (self.steps as usize).div_ceil(loader.len());
        Trainer::new(optimizer, epochs).seed(seed).fit(
            &mut net,
            |epoch| loader.epoch(epoch as u64),
            |net, batch, cx| {
                let labels = batch.labels().map_err(Error::other)?;
                Ok(CrossEntropy::new().loss(&net.forward(&batch.features, cx)?, labels)?)
            },
        )?;
        Ok(accuracy(&features(&net, test.features())?, &test.labels()?.into())?)
    }
}
