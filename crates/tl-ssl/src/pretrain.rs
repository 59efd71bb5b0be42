//! The builder: an encoder, unlabelled samples, views of each.

use crate::{
    Columns, Error, Health, Method, Result, Training, Views, Watch, health,
    pretext::{Fallen, Monitor, Pretext},
    task::{Net, Sizes, Task, flat},
    training::training_setters,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::Dataset;
use tl_nn::{Ctx, Forward, TrainReport};

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
    /// Layers of the projector. Default 2; VICReg and Barlow Twins have 3 in their
    /// papers.
    #[serde(default = "layers")]
    pub layers: usize,
    /// Training stops with [`Error::Collapsed`] where the spread of features (see
    /// [`Health`]) is below this after an epoch, or where more than 0.9 of what
    /// projections vary by is along one line, the form that collapse takes behind a
    /// batch normalisation, and no less than an epoch before. A line that becomes less
    /// is let be until the last epoch. Default 0.02; 0 for never, in either form.
    #[serde(default = "least_spread")]
    pub least_spread: f64,
    /// The largest part of a batch that is in memory with its graph, by
    /// [`gradient_cache`](crate::gradient_cache()); for SimCLR, SupCon, VICReg and Barlow Twins. Batch
    /// normalisation then uses the statistics of a part. Default: all of it.
    #[serde(default)]
    pub chunk: Option<usize>,
}

fn width() -> usize {
    128
}

fn layers() -> usize {
    2
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

training_setters!(Pretrain);

impl Pretrain {
    /// With the defaults.
    pub fn new(method: Method) -> Self {
        let training = Training::default();
        let (width, layers, least_spread) = (width(), layers(), least_spread());
        Self { method, training, width, layers, least_spread, chunk: None }
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
        let task = self.method.task()?;
        self.check(task.as_ref())?;
        let data = match self.method {
            Method::SupCon { .. } => data.clone(),
            _ => data.without_targets(),
        };
        self.train(task, encoder, &data, views, watch)
    }

    fn train<M: Forward + 'static>(
        &self,
        mut task: Box<dyn Task<M>>,
        encoder: &mut M,
        data: &Dataset,
        views: Views<'_>,
        watch: Option<&Watch>,
    ) -> Result<Pretrained> {
        let (loader, steps) = self.training.loader(data)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(self.training.seed);
        let probe = data.features().narrow(0, 0, data.len().min(512))?;
        let features = flat(&encoder.forward(&probe.narrow(0, 0, 2)?, &mut Ctx::eval())?)?;
        let sizes = Sizes {
            features: features.size(1)?,
            width: self.width,
            layers: self.layers,
            sample: data.sample_shape(),
            columns: match data.sample_shape() {
                [d] => Columns::of_table(data.feature_names(), *d),
                other => Columns::numbers(other.iter().product()),
            },
        };
        let mut net = Net { encoder: encoder.clone(), heads: task.heads(&sizes, rng)? };
        task.begin(&net);
        let monitor = Monitor::new(&probe, watch, views, self.least_spread);
        let mut objective = Pretext { task, views, chunk: self.chunk, steps, monitor };
        let run = self.training.run(&mut net, &loader, steps, &mut objective);
        let collapsed = |Fallen { epoch, spread, line }| {
            Err(Error::Collapsed { epoch, spread, line, advice: self.method.advice() })
        };
        if let Some(fallen) = objective.monitor.fallen() {
            return collapsed(fallen);
        }
        let train = run?;
        let health = health(&net.features(&probe, &mut Ctx::eval())?)?;
        if let Some(fallen) = objective.monitor.on_line_at_end(health.spread) {
            return collapsed(fallen);
        }
        *encoder = net.encoder;
        Ok(Pretrained { train, health })
    }

    fn check<M: Forward>(&self, task: &dyn Task<M>) -> Result<()> {
        if self.width == 0 || self.layers == 0 {
            let got = format!("{} layers of width {}", self.layers, self.width);
            return Err(Error::argument("pre-training", "heads", got, "1 or more of both"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        byol_decay,
        loss::unit,
        task::{Follow, Heads},
    };
    use rand::RngCore;
    use std::sync::{Arc, Mutex};
    use tl_data::{Batch, samples, transform::RandomAffine};
    use tl_nn::{Act, Flatten, Linear, Losses, Sequential, Tensor};

    fn encoder() -> Sequential {
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        Sequential::new().push(Flatten).push(Linear::new(64, 32, rng)).push(Act::Relu)
    }

    fn data() -> Dataset {
        samples::digits().without_targets().select(&(0..640).collect::<Vec<_>>()).unwrap()
    }

    /// SimSiam, whose gradient also flows to the side that is followed.
    struct Leaking;

    impl<M: Forward> Task<M> for Leaking {
        fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
            Task::<M>::heads(&mut Follow::<M>::twin(), sizes, rng)
        }

        fn loss(
            &mut self,
            net: &Net<M>,
            batch: &Batch,
            views: &Views<'_>,
            cx: &mut Ctx,
        ) -> tl_nn::Result<Losses> {
            let views = views.whole(&batch.features, cx)?;
            let (za, zb) = (net.project(&views[0], cx)?, net.project(&views[1], cx)?);
            let (pa, pb) = (net.predict(&za, cx)?, net.predict(&zb, cx)?);
            let near = |p: &Tensor, z: &Tensor| -> tl_nn::Result<Tensor> {
                Ok(unit(p)?.mul(&unit(z)?)?.sum(-1, false)?)
            };
            Ok(Losses::new(near(&pa, &zb)?.add(&near(&pb, &za)?)?.mean_all().neg()))
        }
    }

    #[test]
    fn without_its_stop_gradient_simsiam_collapses_and_is_stopped() {
        let views = RandomAffine::new().degrees(12.0).translate(0.12);
        let run = Pretrain::new(Method::SimSiam).epochs(60).batch(64).lr(0.02);
        let mut net = encoder();
        let error = run.train(Box::new(Leaking), &mut net, &data(), Views::of(&views), None);
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Collapsed { .. }), "{error}");
        assert!(error.to_string().contains("stop-gradient"), "{error}");
        // With it, the same run goes to its end.
        let run = run.fit(&mut net, &data(), &views).unwrap();
        assert!(run.health.spread > 0.1, "{:?}", run.health);
    }

    /// Writes down when it is called.
    struct Watching(Arc<Mutex<Vec<f64>>>, Follow<Sequential>);

    impl Task<Sequential> for Watching {
        fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
            self.1.heads(sizes, rng)
        }

        fn loss(
            &mut self,
            net: &Net<Sequential>,
            batch: &Batch,
            views: &Views<'_>,
            cx: &mut Ctx,
        ) -> tl_nn::Result<Losses> {
            self.1.loss(net, batch, views, cx)
        }

        fn after_step(&mut self, _: &Net<Sequential>, progress: f64) -> tl_nn::Result<()> {
            self.0.lock().unwrap().push(progress);
            Ok(())
        }
    }

    /// Step by step: the first update has the starting decay, the last one is not
    /// yet 1, so no epoch is wasted on a target that stands still.
    #[test]
    fn the_slow_copy_follows_by_steps_from_the_first_to_the_last() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = Box::new(Watching(seen.clone(), Follow::twin()));
        let views = RandomAffine::new().translate(0.1);
        let run = Pretrain::new(Method::byol()).epochs(3).batch(64);
        run.train(task, &mut encoder(), &data(), Views::of(&views), None).unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 30);
        for (step, progress) in seen.iter().enumerate() {
            assert!((progress - step as f64 / 30.0).abs() < 1e-12);
        }
        assert_eq!(byol_decay(0.996, seen[0]), 0.996);
        let last = byol_decay(0.996, seen[29]);
        assert!(last < 1.0 && last > 0.99998, "{last}");
        assert_eq!(byol_decay(0.996, 1.0), 1.0);
    }
}
