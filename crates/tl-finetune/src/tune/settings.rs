//! What can be set.

use crate::{Error, Penalty, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// LP-FT (Kumar et al. 2022): the head alone for the first half of the epochs,
    /// then everything from there, so that a random head does not tear the features.
    /// Better still, begin with a head from [`linear_probe`](crate::linear_probe)
    /// and [`Full`](Self::Full).
    LinearThenFull {
        /// The rate below the head.
        body_rate: f32,
    },
    /// One group after another is set free, from the last to the first (Howard and
    /// Ruder 2018), each for an equal part of the epochs. The head is always free.
    Gradual {
        /// Patterns from the input to the output, such as `layer1.**`.
        groups: Vec<String>,
    },
    /// What is trainable already: a model with [adapters](crate::peft), or one that
    /// was frozen by hand.
    AsIs,
}

/// Layer-wise decayed rates (Clark et al. 2020; Bao et al. 2022): the last group has
/// the rate times `decay`, the one before it times `decay²`, and so on; what is in no
/// group and below the head, such as embeddings, has the rate of one more. The head
/// has the full rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerDecay {
    /// Patterns from the input to the output, such as `encoder.layer.0.**`.
    pub groups: Vec<String>,
    /// 0.65 to 0.9 is usual; 1/2.6 is that of ULMFiT.
    pub decay: f32,
}

/// The statistics of batch normalisation while fine-tuning. Those of frozen parts
/// never move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistics {
    /// Those of trained parts are of the batch, and move.
    #[default]
    Move,
    /// The running ones are used everywhere and stay: better with little data.
    Keep,
    /// StochNorm (Kou et al. 2020): for each channel by chance (one half) those of
    /// the batch or the running ones.
    Stochastic,
}

/// Fine-tunes a classifier with AdamW, a short rise and a cosine.
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
///
/// As JSON, `method`, `head`, `epochs`, `batch`, `lr` and `weight_decay` have to be
/// there; the rest has the defaults of [`new`](Self::new).
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
    /// Decoupled weight decay; none on biases and other vectors, nor with L2-SP.
    /// Default 1e-2.
    pub weight_decay: f32,
    /// Patterns of what is never trained.
    #[serde(default)]
    pub frozen: Vec<String>,
    /// Lower rates for lower layers. With it the body rate of a method is not used.
    #[serde(default)]
    pub layer_decay: Option<LayerDecay>,
    /// The part of the steps in which the rate rises. Default 0.1.
    #[serde(default = "tenth")]
    pub warmup: f64,
    /// Gradients are scaled to at most this norm. Default 1.
    #[serde(default = "one")]
    pub clip_norm: Option<f32>,
    /// Batches whose gradients make one step. Default 1.
    #[serde(default = "single")]
    pub accumulate: usize,
    /// The part of a target that is spread over all classes. Default 0.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Mixup (Zhang et al. 2018) with this `alpha`. For inputs that are numbers.
    #[serde(default)]
    pub mixup: Option<f64>,
    /// Keeps the moving average of the weights with this decay a step.
    #[serde(default)]
    pub ema: Option<f32>,
    /// Keeps the mean of the weights after each epoch from this part of a stage on
    /// (SWA, Izmailov et al. 2018); statistics of normalisation are then taken anew.
    #[serde(default)]
    pub swa: Option<f64>,
    /// Statistics of batch normalisation.
    #[serde(default)]
    pub statistics: Statistics,
    /// What keeps the model near where it began.
    #[serde(default)]
    pub penalties: Vec<Penalty>,
    /// Epochs without a better validation accuracy before a stage ends.
    #[serde(default)]
    pub patience: Option<usize>,
    /// A folder for checkpoints, one file a stage, after every epoch: a run that was
    /// interrupted goes on from there, to the same bits.
    #[serde(default)]
    pub checkpoints: Option<PathBuf>,
    /// Saves a checkpoint also after every so many steps.
    #[serde(default)]
    pub checkpoint_every: Option<u64>,
    /// What all randomness is drawn from. Default 0.
    #[serde(default)]
    pub seed: u64,
}

fn tenth() -> f64 {
    0.1
}

#[allow(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn one() -> Option<f32> {
    Some(1.0)
}

fn single() -> usize {
    1
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $Type:ty => |$s:ident| $set:expr;)*) => {
        impl FineTune {
            $($(#[$doc])* #[must_use]
            pub fn $name(mut self, $name: $Type) -> Self {
                let $s = &mut self;
                $set;
                self
            })*
        }
    };
}
setters! {
    /// Sets the passes over the data.
    epochs: usize => |s| s.epochs = epochs;
    /// Sets the samples of a step.
    batch: usize => |s| s.batch = batch;
    /// Sets the rate of the head.
    lr: f32 => |s| s.lr = lr;
    /// Sets what all randomness is drawn from.
    seed: u64 => |s| s.seed = seed;
    /// Sets the weight decay.
    weight_decay: f32 => |s| s.weight_decay = weight_decay;
    /// Sets the part of the steps in which the rate rises.
    warmup: f64 => |s| s.warmup = warmup;
    /// Sets how many batches make one step.
    accumulate: usize => |s| s.accumulate = accumulate;
    /// Spreads a part of each target over all classes.
    label_smoothing: f64 => |s| s.label_smoothing = label_smoothing;
    /// Mixes samples, with this `alpha`.
    mixup: f64 => |s| s.mixup = Some(mixup);
    /// Keeps the moving average of the weights.
    ema: f32 => |s| s.ema = Some(ema);
    /// Keeps the mean of the weights from this part of a stage on.
    swa: f64 => |s| s.swa = Some(swa);
    /// Sets what statistics of batch normalisation do.
    statistics: Statistics => |s| s.statistics = statistics;
    /// Adds a penalty.
    penalty: Penalty => |s| s.penalties.push(penalty);
    /// Ends a stage after so many epochs without a better validation accuracy.
    patience: usize => |s| s.patience = Some(patience);
    /// Keeps checkpoints in this folder, and goes on from them.
    checkpoints: PathBuf => |s| s.checkpoints = Some(checkpoints);
}

impl FineTune {
    /// With the defaults. `head` is the pattern of the head's weights, such as
    /// `fc.**`.
    pub fn new(method: Method, head: &str) -> Self {
        Self {
            method,
            head: head.to_owned(),
            epochs: 30,
            batch: 32,
            lr: 3e-3,
            weight_decay: 1e-2,
            frozen: Vec::new(),
            layer_decay: None,
            warmup: tenth(),
            clip_norm: one(),
            accumulate: 1,
            label_smoothing: 0.0,
            mixup: None,
            ema: None,
            swa: None,
            statistics: Statistics::Move,
            penalties: Vec::new(),
            patience: None,
            checkpoints: None,
            checkpoint_every: None,
            seed: 0,
        }
    }

    /// Never trains what the pattern names.
    #[must_use]
    pub fn freeze(mut self, pattern: &str) -> Self {
        self.frozen.push(pattern.to_owned());
        self
    }

    /// Lowers the rates of lower layers; `groups` go from the input to the output.
    #[must_use]
    pub fn layer_decay<S: Into<String>>(
        mut self,
        groups: impl IntoIterator<Item = S>,
        decay: f32,
    ) -> Self {
        let groups = groups.into_iter().map(Into::into).collect();
        self.layer_decay = Some(LayerDecay { groups, decay });
        self
    }

    pub(super) fn is_l2_sp(&self) -> bool {
        self.penalties.iter().any(|p| matches!(p, Penalty::L2Sp { .. }))
    }

    pub(super) fn needs_source(&self) -> bool {
        self.penalties.iter().any(|p| matches!(p, Penalty::L2Sp { .. } | Penalty::Delta { .. }))
    }

    pub(super) fn check(&self, validated: bool) -> Result<()> {
        let wrong = |name, got: String, expected: &str| {
            Err(Error::argument("fine-tuning", name, got, expected))
        };
        let stages = self.stages().len();
        if self.epochs < stages {
            let expected = format!("at least {stages}, one for each stage");
            return wrong("epochs", self.epochs.to_string(), &expected);
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return wrong("lr", self.lr.to_string(), "a rate above 0");
        }
        if !(0.0..1.0).contains(&self.warmup) {
            return wrong("warmup", self.warmup.to_string(), "a part of the steps, 0 to below 1");
        }
        if self.accumulate == 0 {
            return wrong("accumulate", "0".into(), "at least 1 batch");
        }
        if self.clip_norm.is_some_and(|most| most.is_nan() || most <= 0.0) {
            return wrong("clip_norm", format!("{:?}", self.clip_norm), "a norm above 0, or none");
        }
        if self.swa.is_some_and(|from| !(0.0..1.0).contains(&from)) {
            return wrong("swa", format!("{:?}", self.swa), "a part of the epochs, 0 to below 1");
        }
        if self.swa.is_some() && (self.ema.is_some() || self.patience.is_some()) {
            let expected = "one way to choose the weights: `ema`, `swa` or `patience`";
            return wrong("swa", "set beside another".into(), expected);
        }
        if self.patience.is_some() && !validated {
            return wrong("patience", "set".into(), "a validation set: `fit_validated`");
        }
        if let Some(layers) = &self.layer_decay
            && !(layers.decay > 0.0 && layers.decay <= 1.0 && !layers.groups.is_empty())
        {
            let got = format!("{} over {} groups", layers.decay, layers.groups.len());
            return wrong("layer_decay", got, "a decay above 0 to 1 and at least one group");
        }
        if self.checkpoint_every.is_some() && self.checkpoints.is_none() {
            return wrong("checkpoint_every", "set".into(), "a folder: `checkpoints`");
        }
        Ok(())
    }
}
