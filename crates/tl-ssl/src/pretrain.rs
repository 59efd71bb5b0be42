//! The builder: an encoder, unlabelled samples, views of each.

use crate::{
    Columns, Error, Health, Method, Result, Rule, Training, Views, Watch, alignment,
    gradient_cache, health,
    task::{Net, Sizes, Task, flat},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batch, Dataset};
use tl_nn::{
    Ctx, Forward, Gradients, Losses, Metrics, Module, Objective, StateDict, Tensor, TrainReport,
};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// What the encoder learns.
    pub method: Method,
    /// Passes, batches, rates, the seed, a checkpoint.
    #[serde(default)]
    pub training: Training,
    /// Width of the heads' hidden layers and of projections. Default 128.
    #[serde(default = "width")]
    pub width: usize,
    /// Training stops with [`Error::Collapsed`] where the spread of features (see
    /// [`Health`]) is below this after an epoch. Default 0.02; 0 for never.
    #[serde(default = "least_spread")]
    pub least_spread: f64,
    /// The largest part of a batch that is in memory with its graph, by
    /// [`gradient_cache`]; for SimCLR, SupCon, VICReg and Barlow Twins. Batch
    /// normalisation then uses the statistics of a part. Default: all of it.
    #[serde(default)]
    pub chunk: Option<usize>,
}

fn width() -> usize {
    128
}

fn least_spread() -> f64 {
    0.02
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
        let training = Training::default();
        Self { method, training, width: width(), least_spread: least_spread(), chunk: None }
    }

    /// Sets the passes over the data.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.training.epochs = epochs;
        self
    }

    /// Sets the samples of a step.
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Self {
        self.training.batch = batch;
        self
    }

    /// Sets the rate.
    #[must_use]
    pub fn lr(mut self, lr: f32) -> Self {
        self.training.lr = lr;
        self
    }

    /// Sets the optimiser.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.training.rule = rule;
        self
    }

    /// Sets what all randomness is drawn from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.training.seed = seed;
        self
    }

    /// Saves a checkpoint after every epoch, and goes on from one that is there.
    #[must_use]
    pub fn checkpoint(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.training.checkpoint = Some(path.into());
        self
    }

    /// Sets the part of a batch that is in memory at once.
    #[must_use]
    pub fn chunk(mut self, samples: usize) -> Self {
        self.chunk = Some(samples);
        self
    }

    /// Trains `encoder`, whose output is flattened to `[n, d]`; `views` makes
    /// views of a batch (two by a transform, or [`Views`]). Labels are dropped
    /// first, except for SupCon. Heads are thrown away: what is left is the
    /// encoder, under its own names.
    ///
    /// # Errors
    /// Settings out of range; a set smaller than two samples; features that
    /// collapsed, with the likely reason; those of encoder and views. The
    /// encoder is then as it was.
    pub fn fit<'a, M: Forward + 'static>(
        &self,
        encoder: &mut M,
        data: &Dataset,
        views: impl Into<Views<'a>>,
    ) -> Result<Pretrained> {
        self.run(encoder, data, views.into(), None)
    }

    /// As [`fit`](Self::fit), judged after every epoch by a few labels: the
    /// history has `knn` and `probe` then.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); those of the labelled samples.
    pub fn fit_watched<'a, M: Forward + 'static>(
        &self,
        encoder: &mut M,
        data: &Dataset,
        views: impl Into<Views<'a>>,
        watch: &Watch,
    ) -> Result<Pretrained> {
        self.run(encoder, data, views.into(), Some(watch))
    }

    fn run<M: Forward + 'static>(
        &self,
        encoder: &mut M,
        data: &Dataset,
        views: Views<'_>,
        watch: Option<&Watch>,
    ) -> Result<Pretrained> {
        views.check()?;
        let mut task = self.method.task()?;
        self.check(task.as_ref())?;
        let data = match self.method {
            Method::SupCon { .. } => data.clone(),
            _ => data.without_targets(),
        };
        let (loader, steps) = self.training.loader(&data)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(self.training.seed);
        let probe = data.features().narrow(0, 0, data.len().min(512))?;
        let features = flat(&encoder.forward(&probe.narrow(0, 0, 2)?, &mut Ctx::eval())?)?;
        let sizes = Sizes {
            features: features.size(1)?,
            width: self.width,
            sample: data.sample_shape(),
            columns: match data.sample_shape() {
                [d] if data.feature_names().len() == *d => Columns::of_names(data.feature_names()),
                other => Columns::numbers(other.iter().product()),
            },
        };
        let mut net = Net { encoder: encoder.clone(), heads: task.heads(&sizes, rng)? };
        task.begin(&net);
        let least_spread = self.least_spread;
        let monitor = Monitor { probe: &probe, watch, views, least_spread, epoch: 0, fallen: None };
        let mut objective = Pretext { task, views, chunk: self.chunk, steps, monitor };
        let run = self.training.run(&mut net, &loader, steps, &mut objective);
        if let Some((epoch, spread)) = objective.monitor.fallen {
            return Err(Error::Collapsed { epoch, spread, advice: self.method.advice() });
        }
        let train = run?;
        let features = net.features(&probe, &mut Ctx::eval())?;
        *encoder = net.encoder;
        Ok(Pretrained { train, health: health(&features)? })
    }

    fn check<M: Forward>(&self, task: &dyn Task<M>) -> Result<()> {
        if self.width == 0 {
            return Err(Error::argument("pre-training", "width", 0, "1 or more"));
        }
        match self.chunk {
            Some(chunk) if chunk < 2 => {
                Err(Error::argument("pre-training", "chunk", chunk, "2 samples or more"))
            }
            Some(_) if task.joint().is_none() => {
                let got = format!("set for {:?}", self.method);
                let expected = "none, or a loss of projections alone: SimCLR, SupCon, VICReg, \
                                Barlow Twins";
                Err(Error::argument("pre-training", "chunk", got, expected))
            }
            _ => Ok(()),
        }
    }
}

/// The task of a method in the training loop.
struct Pretext<'a, M: Module> {
    task: Box<dyn Task<M>>,
    views: Views<'a>,
    chunk: Option<usize>,
    steps: u64,
    monitor: Monitor<'a>,
}

impl<M: Forward> Objective<Net<M>, Batch> for Pretext<'_, M> {
    fn loss(&mut self, net: &Net<M>, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        self.task.loss(net, batch, &self.views, cx)
    }

    fn gradients(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let (Some(chunk), Some(joint)) = (self.chunk, self.task.joint()) else {
            let losses = self.loss(net, batch, cx)?;
            let finite = losses.total().is_finite();
            let gradients = if finite { losses.total().backward()? } else { Gradients::default() };
            return Ok((losses, gradients));
        };
        let n = batch.len();
        let mut chunks = Vec::new();
        let views = self.views.whole(&batch.features, cx)?;
        for view in &views {
            // No part of one sample is left over: normalisation needs two.
            let parts = n.div_ceil(chunk).min(n / 2).max(1);
            for i in 0..parts {
                let (from, to) = (i * n / parts, (i + 1) * n / parts);
                chunks.push(view.narrow(0, from, to - from)?);
            }
        }
        let project = |net: &Net<M>, x: &Tensor, cx: &mut Ctx| net.project(x, cx);
        let loss = |z: &[Tensor]| {
            let whole = z.chunks(z.len() / views.len()).map(|parts| {
                let parts: Vec<&Tensor> = parts.iter().collect();
                Ok(Tensor::cat(&parts, 0)?)
            });
            joint.of(&whole.collect::<Result<Vec<_>>>()?, batch)
        };
        let (loss, gradients) = gradient_cache(net, &chunks, cx, project, loss)?;
        Ok((Losses::new(loss), gradients))
    }

    fn after_step(&mut self, net: &mut Net<M>, step: u64) -> tl_nn::Result<()> {
        self.task.after_step(net, step as f64 / self.steps.max(1) as f64)
    }

    fn validate(&mut self, net: &Net<M>) -> tl_nn::Result<Option<Metrics>> {
        let features = |x: &Tensor, cx: &mut Ctx| net.features(x, cx);
        self.monitor.look(features).map(Some)
    }

    fn state(&self) -> StateDict {
        let mut state = self.task.state();
        state.metadata_mut().insert("epoch".to_owned(), self.monitor.epoch.to_string());
        state
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        let epoch = state.metadata().get("epoch").and_then(|epoch| epoch.parse().ok());
        self.monitor.epoch = epoch.unwrap_or(0);
        self.task.load_state(state)
    }
}

/// Looks at the features after every epoch.
struct Monitor<'a> {
    probe: &'a Tensor,
    watch: Option<&'a Watch>,
    views: Views<'a>,
    least_spread: f64,
    epoch: usize,
    /// The epoch of a collapse, and the spread then.
    fallen: Option<(usize, f64)>,
}

impl Monitor<'_> {
    fn look(
        &mut self,
        features: impl Fn(&Tensor, &mut Ctx) -> tl_nn::Result<Tensor>,
    ) -> tl_nn::Result<Metrics> {
        let now = health(&features(self.probe, &mut Ctx::eval())?)?;
        let epoch = self.epoch;
        self.epoch += 1;
        if now.spread < self.least_spread {
            self.fallen = Some((epoch, now.spread));
            return Err(tl_nn::Error::argument("pre-training", "features", "collapsed", "spread"));
        }
        // The same views after every epoch.
        let mut cx = Ctx::train(0);
        let few = self.probe.narrow(0, 0, self.probe.dims()[0].min(128))?;
        let (a, b) = (self.views.one(&few, &mut cx)?, self.views.one(&few, &mut cx)?);
        let of = |x: &Tensor| features(x, &mut Ctx::eval());
        let mut metrics = Metrics::from([
            ("spread".to_owned(), now.spread),
            ("rank".to_owned(), now.rank),
            ("uniformity".to_owned(), now.uniformity),
            ("alignment".to_owned(), alignment(&of(&a)?, &of(&b)?)?),
        ]);
        if let Some(watch) = self.watch {
            watch.judge(features, &mut metrics)?;
        }
        Ok(metrics)
    }
}
