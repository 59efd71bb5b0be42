//! Distil, prune, quantise, and measure after each step.

use crate::{
    CompressionReport, Distill, DistillReport, Error, Importance, Int8Network, Measured,
    NO_TEACHER, QatNetwork, Result, agreement, outputs, prune_structured,
};
use serde::{Deserialize, Serialize};
use tl_data::Dataset;
use tl_nn::{
    Clock, Forward, Indices, Sequential, Tensor,
    metric::{Trials, accuracy},
};

/// From a teacher to a network that ships, in one chain: the student is
/// distilled, its least important channels are taken out and what is left is
/// distilled again for a while, then it becomes a network of 8-bit integers,
/// after training if wanted. Every step is measured, and the same chain without
/// a teacher stands beside it.
///
/// ```
/// use tl_distill::{Compress, Distill};
/// use tl_nn::{Act, Flatten, Linear, Sequential};
/// # use rand::SeedableRng;
/// # fn main() -> tl_distill::Result<()> {
/// let net = |width: usize, seed: u64| {
///     let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(seed);
///     let net = Sequential::new().push(Flatten).push(Linear::new(64, width, rng));
///     net.push(Act::Relu).push(Linear::new(width, 10, rng))
/// };
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let (train, test) = tl_data::samples::digits().split(0.7, &mut rng)?;
/// let recipe = Distill::kd(4.0).budget(4, 64);
/// let mut teacher = net(64, 9);
/// recipe.without_teacher().fit(&net(1, 0), &mut teacher, &train)?;
/// let chain = Compress::new(recipe).prune(0.5).tune(2).int8();
/// let report = chain.run("digits", &teacher, |seed| net(16, seed), [&train, &test], 2)?;
/// let small = report.compression.networks.last().unwrap();
/// assert_eq!(small.bytes, 64 * 8 + 8 * 10 + 8 * 18);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compress {
    /// How the student learns.
    pub distill: Distill,
    /// The part of channels and neurons that is taken out of every hidden
    /// layer; 0 for none.
    #[serde(default)]
    pub prune: f64,
    /// Which of them.
    #[serde(default)]
    pub importance: Importance,
    /// Passes over the data after pruning; a tenth of the rate.
    #[serde(default)]
    pub tune: usize,
    /// Whether it becomes a network of 8-bit integers.
    #[serde(default)]
    pub int8: bool,
    /// Passes over the data with the rounding of integers; 0 for none. A
    /// twentieth of the rate.
    #[serde(default)]
    pub qat: usize,
    /// Training samples from which the ranges of activations are taken.
    pub calibration: usize,
}

impl Compress {
    /// Distillation alone; 512 samples for calibration.
    pub fn new(distill: Distill) -> Self {
        Self {
            distill,
            prune: 0.0,
            importance: Importance::L1,
            tune: 0,
            int8: false,
            qat: 0,
            calibration: 512,
        }
    }

    /// Takes out this part of every hidden layer; a quarter of the passes of
    /// the distillation follow, unless [`tune`](Self::tune) says otherwise.
    #[must_use]
    pub fn prune(mut self, part: f64) -> Self {
        self.prune = part;
        if self.tune == 0 {
            self.tune = self.distill.epochs.div_ceil(4);
        }
        self
    }

    /// Passes over the data after pruning.
    #[must_use]
    pub fn tune(mut self, epochs: usize) -> Self {
        self.tune = epochs;
        self
    }

    /// Quantises the network.
    #[must_use]
    pub fn int8(mut self) -> Self {
        self.int8 = true;
        self
    }

    /// Quantises the network after this many passes with rounding.
    #[must_use]
    pub fn qat(mut self, epochs: usize) -> Self {
        (self.int8, self.qat) = (true, epochs);
        self
    }

    /// Runs the chain for each seed, with a teacher and without, and measures
    /// every step. `make(seed)` gives the student at its start.
    ///
    /// # Errors
    /// As [`Distill::fit`], [`prune_structured`] and [`Int8Network::new`]; no
    /// seed.
    pub fn run<T: Forward>(
        &self,
        name: &str,
        teacher: &T,
        mut make: impl FnMut(u64) -> Sequential,
        [train, test]: [&Dataset; 2],
        seeds: u64,
    ) -> Result<DistillReport> {
        if seeds == 0 || self.calibration == 0 {
            let got = format!("{seeds} and {}", self.calibration);
            let expected = "at least 1 of each";
            return Err(Error::argument("compress", "seeds and calibration", got, expected));
        }
        let said = outputs(teacher, test.features())?;
        let typical = train.features().narrow(0, 0, train.len().min(self.calibration))?;
        let mut run = Run {
            typical: typical.contiguous(),
            labels: Indices::from(test.labels()?),
            train,
            test,
            baseline: None,
            report: DistillReport {
                trials: Trials::new(name, "accuracy"),
                agreement: Trials::new(name, "agreement with the teacher"),
                compression: CompressionReport::default(),
            },
            last: false,
            said,
        };
        let own = Measured::of("teacher", teacher, test, &run.said)?;
        run.report.compression.networks.push(own);
        for seed in 0..seeds {
            (run.last, run.baseline) = (seed + 1 == seeds, None);
            for taught in [false, true] {
                let recipe = self.distill.clone().seed(seed);
                let recipe = if taught { recipe } else { recipe.without_teacher() };
                self.one(&recipe, taught, teacher, make(seed), &mut run)?;
            }
        }
        run.report.compression.pair(&run.report.trials)?;
        Ok(run.report)
    }

    fn one<T: Forward>(
        &self,
        recipe: &Distill,
        taught: bool,
        teacher: &T,
        mut student: Sequential,
        run: &mut Run<'_>,
    ) -> Result<()> {
        let name = |step: &str| match (taught, step.is_empty()) {
            (true, true) => "distilled".to_owned(),
            (true, false) => format!("distilled, {step}"),
            (false, true) => NO_TEACHER.to_owned(),
            (false, false) => format!("{NO_TEACHER}, {step}"),
        };
        let again =
            |epochs: usize, part: f32| Distill { epochs, lr: recipe.lr * part, ..recipe.clone() };
        let mut start = Clock::start();
        recipe.fit(teacher, &mut student, run.train)?;
        run.tested(&name(""), &student, None, &mut start)?;
        let mut step = String::new();
        if self.prune > 0.0 {
            let few = run.typical.narrow(0, 0, run.typical.dims()[0].min(16))?.contiguous();
            prune_structured(&mut student, "**", self.prune, self.importance, &few)?;
            if self.tune > 0 {
                again(self.tune, 0.1).fit(teacher, &mut student, run.train)?;
            }
            step = "pruned".to_owned();
            run.tested(&name(&step), &student, None, &mut start)?;
        }
        let join = |step: &str, more: &str| match step {
            "" => more.to_owned(),
            step => format!("{step}, {more}"),
        };
        if self.int8 {
            let small = Int8Network::new(&student, &run.typical)?;
            run.tested(&name(&join(&step, "int8")), &small, Some(&small), &mut start)?;
        }
        if self.qat > 0 {
            let mut rounding = QatNetwork::new(&student, &run.typical)?;
            again(self.qat, 0.05).fit(teacher, &mut rounding, run.train)?;
            let small = rounding.finish()?;
            let step = join(&step, "int8 with training");
            run.tested(&name(&step), &small, Some(&small), &mut start)?;
        }
        Ok(())
    }
}

/// What all seeds share.
struct Run<'a> {
    typical: Tensor,
    labels: Indices,
    train: &'a Dataset,
    test: &'a Dataset,
    said: Tensor,
    /// The logits of the student without a teacher.
    baseline: Option<Tensor>,
    report: DistillReport,
    last: bool,
}

impl Run<'_> {
    /// Tests a network; its time is that since the last one.
    fn tested(
        &mut self,
        name: &str,
        model: &impl Forward,
        integers: Option<&Int8Network>,
        start: &mut Clock,
    ) -> Result<()> {
        let seconds = start.seconds();
        let logits = outputs(model, self.test.features())?;
        self.report.trials.push(name, accuracy(&logits, &self.labels)?, seconds);
        self.report.agreement.push(name, agreement(&logits, &self.said)?, seconds);
        if self.last {
            let mut own = Measured::of(name, model, self.test, &self.said)?;
            if let Some(net) = integers {
                own = own.sized(net.parameters(), net.bytes(), net.macs());
            }
            if let Some(baseline) = &self.baseline {
                own = own.against(&logits, baseline, self.test)?;
            }
            self.report.compression.networks.push(own);
        }
        self.baseline.get_or_insert(logits);
        *start = Clock::start();
        Ok(())
    }
}
