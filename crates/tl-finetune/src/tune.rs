//! The builder: a pre-trained model, a small data set.

use crate::{Error, Result, StartingPoint};
use serde::{Deserialize, Serialize};
use tl_data::{Batch, Batching, Dataset};
use tl_nn::{
    AdamW, CrossEntropy, Ctx, Forward, Losses, ModuleExt, Objective, Optimizer, Schedule,
    TrainReport, Trainer,
};

/// How a pre-trained classifier meets new data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// The head alone; all else is frozen, statistics of normalisation too.
    HeadOnly,
    /// All weights; those below the head at a part of the rate.
    Full {
        /// That part; 1 for the same rate, 0.1 is usual.
        body_rate: f32,
    },
    /// The head alone for the first half of the steps, then everything from
    /// there (Kumar et al. 2022): features are not torn by a random head.
    LinearThenFull {
        /// The rate below the head.
        body_rate: f32,
    },
    /// One group after another is set free, from the last to the first (Howard
    /// and Ruder 2018), each for an equal part of the epochs. The head is always
    /// free.
    Gradual {
        /// Patterns from the input to the output, such as `layer1.**`.
        groups: Vec<String>,
    },
    /// All weights, drawn to where they began (Li et al. 2018).
    L2Sp {
        /// Of the weights that were there.
        alpha: f32,
        /// Of the new head.
        beta: f32,
    },
}

/// Fine-tunes a classifier with AdamW and a cosine schedule.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_finetune::{FineTune, Method};
/// use tl_nn::{Act, Flatten, Linear, Sequential};
/// # fn main() -> tl_finetune::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let mut net = Sequential::new().push(Flatten)
///     .named("body", Linear::new(64, 32, &mut rng)).push(Act::Relu)
///     .named("fc", Linear::new(32, 10, &mut rng));
/// let (few, _) = tl_data::samples::digits().k_shot(5, &mut rng)?;
/// let method = Method::LinearThenFull { body_rate: 0.1 };
/// let report = FineTune::new(method, "fc.**").epochs(4).fit(&mut net, &few)?;
/// assert_eq!(report.len(), 2); // two stages
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTune {
    /// What is trained, and when.
    pub method: Method,
    /// The pattern of the head's weights.
    pub head: String,
    /// Passes over the data, in all stages together. Default 30.
    pub epochs: usize,
    /// Samples of a step. Default 32.
    pub batch: usize,
    /// The rate of the head. Default 3e-3.
    pub lr: f32,
    /// Decoupled weight decay; none on biases and other vectors. Default 1e-2.
    pub weight_decay: f32,
    /// Whether statistics of normalisation stay as they are: better with little
    /// data, or batches of few samples. Default: no.
    #[serde(default)]
    pub keep_statistics: bool,
    /// What all randomness is drawn from. Default 0.
    #[serde(default)]
    pub seed: u64,
}

impl FineTune {
    /// With the defaults.
    pub fn new(method: Method, head: &str) -> Self {
        Self {
            method,
            head: head.to_owned(),
            epochs: 30,
            batch: 32,
            lr: 3e-3,
            weight_decay: 1e-2,
            keep_statistics: false,
            seed: 0,
        }
    }

    /// Sets the passes over the data.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sets the rate of the head.
    #[must_use]
    pub fn lr(mut self, lr: f32) -> Self {
        self.lr = lr;
        self
    }

    /// Sets what all randomness is drawn from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Fine-tunes, and returns how every stage went. What was frozen before is
    /// trained too, as the method says; afterwards everything is trainable.
    ///
    /// # Errors
    /// A pattern that matches nothing; a set without classes; settings out of
    /// range; those of the model.
    pub fn fit<M: Forward>(&self, model: &mut M, data: &Dataset) -> Result<Vec<TrainReport>> {
        let stages = self.stages();
        if self.epochs < stages.len() {
            let expected = format!("at least {}, one for each stage", stages.len());
            return Err(Error::argument("fine-tuning", "epochs", self.epochs, expected));
        }
        let _ = data.labels()?;
        let mut reports = Vec::new();
        for (i, stage) in stages.iter().enumerate() {
            let epochs = (i + 1) * self.epochs / stages.len() - i * self.epochs / stages.len();
            reports.push(self.stage(model, data, stage, epochs, self.seed + i as u64)?);
        }
        let _ = model.unfreeze("**")?;
        Ok(reports)
    }

    /// What is free in each stage, and the rate of the body.
    fn stages(&self) -> Vec<Stage<'_>> {
        let head = || Stage { free: vec![&self.head], body_rate: 1.0 };
        let all = |body_rate| Stage { free: vec!["**"], body_rate };
        match &self.method {
            Method::HeadOnly => vec![head()],
            Method::Full { body_rate } => vec![all(*body_rate)],
            Method::LinearThenFull { body_rate } => vec![head(), all(*body_rate)],
            Method::L2Sp { .. } => vec![all(1.0)],
            Method::Gradual { groups } => {
                let mut stages = vec![head()];
                for first in (0..groups.len()).rev() {
                    let mut free = vec![self.head.as_str()];
                    free.extend(groups[first..].iter().map(String::as_str));
                    stages.push(Stage { free, body_rate: 1.0 });
                }
                stages
            }
        }
    }

    fn stage<M: Forward>(
        &self,
        model: &mut M,
        data: &Dataset,
        stage: &Stage<'_>,
        epochs: usize,
        seed: u64,
    ) -> Result<TrainReport> {
        let _ = model.freeze("**")?;
        for pattern in &stage.free {
            let _ = model.unfreeze(pattern)?;
        }
        if self.keep_statistics {
            let keep: Vec<String> = model.buffers().into_iter().map(|(path, _)| path).collect();
            for path in keep {
                let _ = model.freeze(&path)?;
            }
        }
        let loader = data.batches(Batching::new(self.batch).shuffled(seed))?;
        let steps = (epochs * loader.len()) as u64;
        let mut optimizer =
            Optimizer::new(AdamW { weight_decay: self.weight_decay, ..AdamW::new(self.lr) })
                .schedule(Schedule::cosine(steps, 0.0));
        // Groups are by path: the body first, the head after it wins.
        let names = |inside: bool| -> Result<Vec<String>> {
            let glob = tl_nn::Glob::new(&self.head)?;
            let free = model.params().into_iter().filter(|(_, p)| !p.is_frozen());
            Ok(free.map(|(path, _)| path).filter(|p| glob.matches(p) == inside).collect())
        };
        if names(true)?.is_empty() {
            let expected = "a pattern that matches the weights of the head";
            return Err(Error::argument("fine-tuning", "head", &self.head, expected));
        }
        if stage.body_rate != 1.0 {
            for path in names(false)? {
                optimizer = optimizer.group(&path, |g| g.lr_factor(stage.body_rate))?;
            }
        }
        let mut objective = Step {
            pull: match self.method {
                Method::L2Sp { alpha, beta } => {
                    Some((StartingPoint::of(model, &self.head)?, alpha, beta))
                }
                _ => None,
            },
        };
        Ok(Trainer::new(optimizer, epochs).seed(seed).run(
            model,
            |epoch| loader.epoch(epoch as u64),
            &mut objective,
        )?)
    }
}

struct Stage<'a> {
    free: Vec<&'a str>,
    body_rate: f32,
}

struct Step {
    pull: Option<(StartingPoint, f32, f32)>,
}

impl<M: Forward> Objective<M, Batch> for Step {
    fn loss(&mut self, model: &M, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let labels = batch.labels().map_err(tl_nn::Error::other)?;
        let task = CrossEntropy::new().loss(&model.forward(&batch.features, cx)?, labels)?;
        let Some((start, alpha, beta)) = &self.pull else { return Ok(Losses::new(task)) };
        let pull = start.l2_sp(model, *alpha, *beta)?;
        Ok(Losses::new(task.add(&pull)?).part("task", &task).part("l2_sp", &pull))
    }
}
