//! The builder: an encoder, unlabelled samples, two views of each.

use crate::{
    Error, Health, Result, VicReg, barlow_twins, health, negative_cosine, nt_xent, swav, vicreg,
};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batch, Batching, Dataset, transform::Transform};
use tl_nn::{
    Act, AdamW, BatchNorm1d, Ctx, Ema, Forward, Linear, Losses, Metrics, Module, NormStats,
    Objective, Optimizer, Schedule, Sequential, Tensor, TrainReport, Trainer, module,
};

/// What two views should have in common.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// [`nt_xent`] (Chen et al. 2020).
    SimClr {
        /// Its temperature.
        temperature: f64,
    },
    /// [`vicreg`] (Bardes et al. 2022).
    VicReg(VicReg),
    /// [`barlow_twins`] (Zbontar et al. 2021).
    BarlowTwins {
        /// What the redundancy weighs.
        lambda: f64,
    },
    /// A predictor follows a slow copy (Grill et al. 2020).
    Byol {
        /// The copy's decay at the beginning; it rises to 1 by a cosine, step by
        /// step. The paper has 0.996 for long runs; 0.99 suits short ones.
        decay: f64,
    },
    /// A predictor follows the other view, held constant (Chen and He 2021).
    SimSiam,
    /// Swapped assignments to prototypes (Caron et al. 2020).
    SwAv {
        /// How many prototypes.
        prototypes: usize,
    },
}

impl Method {
    /// SimCLR with a temperature of 0.5, for small images.
    pub fn simclr() -> Self {
        Self::SimClr { temperature: 0.5 }
    }

    /// VICReg with the paper's weights.
    pub fn vicreg() -> Self {
        Self::VicReg(VicReg::default())
    }

    /// Barlow Twins with the authors' 0.0051.
    pub fn barlow_twins() -> Self {
        Self::BarlowTwins { lambda: 0.0051 }
    }

    /// BYOL with a decay of 0.99.
    pub fn byol() -> Self {
        Self::Byol { decay: 0.99 }
    }

    /// What to do if features collapse.
    fn advice(self) -> &'static str {
        match self {
            Self::SimClr { .. } => "use larger batches or a lower temperature",
            Self::VicReg(_) => "raise the weight of the variance",
            Self::BarlowTwins { .. } => "use stronger views, larger batches, or a lower rate",
            Self::Byol { .. } => "raise the decay, lower the rate, keep batch normalisation",
            Self::SimSiam => "lower the rate, keep batch normalisation in projector and predictor",
            Self::SwAv { .. } => "use more prototypes or larger batches",
        }
    }
}

/// Pre-trains an encoder without labels.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{samples, transform::{Compose, GaussianNoise, RandomAffine}};
/// use tl_nn::{Act, Flatten, Linear, Sequential};
/// use tl_ssl::{Method, Pretrain};
/// # fn main() -> tl_ssl::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let mut encoder = Sequential::new()
///     .push(Flatten).push(Linear::new(64, 32, &mut rng)).push(Act::Relu);
/// let views = Compose::new()
///     .then(RandomAffine::new().degrees(10.0).translate(0.1))
///     .then(GaussianNoise::new(0.05));
/// let data = samples::digits().without_targets();
/// let report = Pretrain::new(Method::simclr()).epochs(2).fit(&mut encoder, &data, &views)?;
/// assert!(report.health.spread > 0.1); // the features have not collapsed
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// What two views should have in common.
    pub method: Method,
    /// Passes over the data. Default 30.
    pub epochs: usize,
    /// Samples of a step. Default 256.
    pub batch: usize,
    /// The rate of AdamW, with a warm-up over a tenth of the run and a cosine.
    /// Default 2e-3.
    pub lr: f32,
    /// Width of the projector's hidden layer and output. Default 128.
    pub width: usize,
    /// Training stops with [`Error::Collapsed`] where the spread of features (see
    /// [`Health`]) is below this after an epoch. Default 0.02; 0 for never.
    pub least_spread: f64,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// The training; the history has the health of features after each epoch.
    pub train: TrainReport,
    /// The health of the features at the end.
    pub health: Health,
}

impl Pretrain {
    /// With the defaults.
    pub fn new(method: Method) -> Self {
        Self { method, epochs: 30, batch: 256, lr: 2e-3, width: 128, least_spread: 0.02, seed: 0 }
    }

    /// Sets the passes over the data.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sets the samples of a step.
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Sets what all randomness is drawn from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Trains `encoder`, whose output is flattened to `[n, d]`; `views` makes a
    /// view of a batch, twice. Labels are dropped first. Projector and predictor
    /// are thrown away: what is left is the encoder, under its own names.
    ///
    /// # Errors
    /// Settings out of range; a set smaller than two samples; features that
    /// collapsed, with the likely reason; those of encoder and views.
    pub fn fit<M: Forward>(
        &self,
        encoder: &mut M,
        data: &Dataset,
        views: &dyn Transform,
    ) -> Result<Pretrained> {
        if self.epochs == 0 || self.batch < 2 || self.width == 0 || data.len() < 2 {
            let got = format!("{self:?} on {} samples", data.len());
            let expected = "epochs and width of 1 or more, batches and data of 2 samples or more";
            return Err(Error::argument("pre-training", "settings", got, expected));
        }
        let data = data.without_targets();
        let rng = &mut ChaCha8Rng::seed_from_u64(self.seed);
        let probe = data.features().narrow(0, 0, data.len().min(512))?;
        let features = flat(&encoder.forward(&probe.narrow(0, 0, 2)?, &mut Ctx::eval())?)?;
        let online = Online {
            encoder: encoder.clone(),
            projector: self.projector(features.size(1)?, rng),
            predictor: matches!(self.method, Method::Byol { .. } | Method::SimSiam)
                .then(|| mlp(self.width, self.width / 4 + 1, self.width, rng)),
            prototypes: match self.method {
                Method::SwAv { prototypes } => {
                    Some(Linear::without_bias(self.width, prototypes, rng))
                }
                _ => None,
            },
        };
        let batch = self.batch.min(data.len());
        let loader = data.batches(Batching::new(batch).shuffled(self.seed).drop_last(true))?;
        let steps = (self.epochs * loader.len()) as u64;
        let schedule = Schedule::cosine(steps, 0.0).warmup(steps / 10);
        let optimizer = Optimizer::new(AdamW::new(self.lr)).schedule(schedule);
        let mut objective = Agree {
            settings: *self,
            views,
            target: match self.method {
                Method::Byol { .. } => Some(Ema::new(&online, 0.0)),
                _ => None,
            },
            steps,
            probe: probe.clone(),
            epoch: 0,
            collapsed: None,
        };
        let mut online = online;
        let run = Trainer::new(optimizer, self.epochs).seed(self.seed).run(
            &mut online,
            |epoch| loader.epoch(epoch as u64),
            &mut objective,
        );
        if let Some((epoch, spread)) = objective.collapsed {
            return Err(Error::Collapsed { epoch, spread, advice: self.method.advice() });
        }
        let train = run?;
        *encoder = online.encoder;
        let features = flat(&encoder.forward(&probe, &mut Ctx::eval())?)?;
        Ok(Pretrained { train, health: health(&features)? })
    }

    fn projector(&self, inputs: usize, rng: &mut dyn RngCore) -> Sequential {
        let net = mlp(inputs, self.width, self.width, rng);
        match self.method {
            // SimSiam's projector ends with a normalisation.
            Method::SimSiam => net.push(BatchNorm1d::without_affine(self.width)),
            _ => net,
        }
    }
}

/// Two layers with batch normalisation between.
fn mlp(inputs: usize, hidden: usize, outputs: usize, rng: &mut dyn RngCore) -> Sequential {
    Sequential::new()
        .push(Linear::without_bias(inputs, hidden, rng))
        .push(BatchNorm1d::new(hidden))
        .push(Act::Relu)
        .push(Linear::new(hidden, outputs, rng))
}

fn flat(features: &Tensor) -> tl_nn::Result<Tensor> {
    Ok(if features.rank() > 2 { features.flatten(1, -1)? } else { features.clone() })
}

/// The encoder with the heads of pre-training.
#[derive(Clone, Debug)]
struct Online<M> {
    encoder: M,
    projector: Sequential,
    predictor: Option<Sequential>,
    prototypes: Option<Linear>,
}
module!(impl<M: Module> Online<M> { encoder, projector, predictor, prototypes });

impl<M: Forward> Online<M> {
    fn project(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let features = flat(&self.encoder.forward(x, cx)?)?;
        self.projector.forward(&features, cx)
    }
}

struct Agree<'a, M: Module> {
    settings: Pretrain,
    views: &'a dyn Transform,
    target: Option<Ema<Online<M>>>,
    steps: u64,
    probe: Tensor,
    epoch: usize,
    collapsed: Option<(usize, f64)>,
}

impl<M: Forward> Agree<'_, M> {
    /// The target's projections: with statistics of the batch, without gradient.
    fn slow(&self, x: &Tensor, seed: u64) -> tl_nn::Result<Option<Tensor>> {
        let Some(target) = &self.target else { return Ok(None) };
        let mut cx = Ctx::train(seed).with_norm_stats(NormStats::Batch);
        Ok(Some(target.model().project(x, &mut cx)?.detach()))
    }
}

impl<M: Forward> Objective<Online<M>, Batch> for Agree<'_, M> {
    /// The views pass the network one after the other, each with the statistics
    /// of its own batch.
    fn loss(&mut self, net: &Online<M>, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let view = |cx: &mut Ctx| -> tl_nn::Result<Tensor> {
            let mut rng = cx.fork_rng();
            self.views.apply(&batch.features, &mut rng).map_err(tl_nn::Error::other)
        };
        let (a, b) = (view(cx)?, view(cx)?);
        let (za, zb) = (net.project(&a, cx)?, net.project(&b, cx)?);
        let loss = match (self.settings.method, &net.predictor, &net.prototypes) {
            (Method::SimClr { temperature }, ..) => nt_xent(&za, &zb, temperature)?,
            (Method::VicReg(weights), ..) => vicreg(&za, &zb, &weights)?,
            (Method::BarlowTwins { lambda }, ..) => barlow_twins(&za, &zb, lambda)?,
            (Method::SwAv { .. }, _, Some(prototypes)) => {
                // Prototypes are compared as directions.
                let w = crate::loss::unit(prototypes.weight.tensor())?.t()?;
                let scores =
                    |z: &Tensor| -> tl_nn::Result<Tensor> { Ok(crate::loss::unit(z)?.matmul(&w)?) };
                swav(&scores(&za)?, &scores(&zb)?, 0.1, 0.05)?
            }
            (_, Some(predictor), _) => {
                let seed = cx.rng().next_u64();
                let ta = self.slow(&a, seed)?.unwrap_or_else(|| za.detach());
                let tb = self.slow(&b, seed)?.unwrap_or_else(|| zb.detach());
                let pa = negative_cosine(&predictor.forward(&za, cx)?, &tb)?;
                let pb = negative_cosine(&predictor.forward(&zb, cx)?, &ta)?;
                pa.add(&pb)?
            }
            _ => nt_xent(&za, &zb, 0.5)?,
        };
        Ok(Losses::new(loss))
    }

    fn after_step(&mut self, net: &mut Online<M>, step: u64) -> tl_nn::Result<()> {
        if let (Some(target), Method::Byol { decay }) = (&mut self.target, self.settings.method) {
            let progress = step as f64 / self.steps.max(1) as f64;
            target.update_with(net, byol_decay(decay, progress) as f32)?;
        }
        Ok(())
    }

    fn validate(&mut self, net: &Online<M>) -> tl_nn::Result<Option<Metrics>> {
        let features = flat(&net.encoder.forward(&self.probe, &mut Ctx::eval())?)?;
        let now = health(&features)?;
        let epoch = self.epoch;
        self.epoch += 1;
        if now.spread < self.settings.least_spread {
            self.collapsed = Some((epoch, now.spread));
            return Err(tl_nn::Error::argument("pre-training", "features", "collapsed", "spread"));
        }
        let metrics = [("spread", now.spread), ("rank", now.rank), ("uniformity", now.uniformity)];
        Ok(Some(metrics.map(|(name, value)| (name.to_owned(), value)).into()))
    }
}

/// BYOL's decay at a part of the run (Grill et al. 2020, section 3.3):
/// `1 - (1 - start) (cos(πp) + 1) / 2`, from `start` to 1.
pub fn byol_decay(start: f64, progress: f64) -> f64 {
    1.0 - (1.0 - start) * ((std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos() + 1.0) / 2.0
}
