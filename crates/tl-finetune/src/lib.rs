//! Feature extraction and fine-tuning: a pre-trained model, made good at a small
//! data set.
//!
//! Begin with [`Extract`] and a [`Probe`]: seconds, and hard to beat with few labels.
//! With more labels, or data unlike the model's own, fine-tune: [`FineTune`], best
//! from the probe's head. [`peft`] trains a few numbers and saves a small file, which
//! Hugging Face's PEFT reads, as this crate reads PEFT's. Not sure? [`Suggest`] tries
//! the methods on held-out parts of the training data within a time budget, and
//! [`rank_checkpoints`] compares checkpoints without training.
//!
//! When not: with labels in plenty and data unlike anything the model has seen,
//! training from scratch may be as good. [`FineTuneReport`] has it beside every result.
//!
//! ```
//! # use rand::SeedableRng;
//! use tl_finetune::{Extract, FineTune, Method, Probe};
//! use tl_nn::{Act, Flatten, Linear, Sequential};
//! # fn main() -> tl_finetune::Result<()> {
//! # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! // Stands for a pre-trained network; `body` is what is kept of it.
//! let mut net = Sequential::new().push(Flatten)
//!     .named("body", Linear::new(64, 128, &mut rng)).named("act", Act::Relu)
//!     .named("fc", Linear::new(128, 10, &mut rng));
//! let (few, test) = tl_data::samples::digits().k_shot(5, &mut rng)?;
//!
//! let body = Extract::new().layer("body");
//! let probe = Probe::logistic().fit(&body.run(&net, &few)?, 0)?;
//! assert!(probe.accuracy(&body.run(&net, &test)?)? > 0.75);
//!
//! // Fine-tuning begins with the probe's head.
//! if let Some(head) = probe.head() {
//!     net.replace("fc", head.clone());
//! }
//! FineTune::new(Method::Full { body_rate: 0.1 }, "fc.**").epochs(5).fit(&mut net, &few)?;
//! # Ok(())
//! # }
//! ```
//!
//! | method | here | source |
//! |---|---|---|
//! | features of any layer, cached on disk | [`Extract`] | |
//! | linear, logistic, ridge, kNN, centroid, MLP probes | [`Probe`] | |
//! | which layer transfers best | [`probe_by_layer`] | |
//! | fine-tuning, discriminative rates | [`Method::Full`] | |
//! | layer-wise decayed rates | [`LayerDecay`] | Clark et al. 2020; Bao et al. 2022 |
//! | LP-FT | [`Method::LinearThenFull`] | Kumar et al. 2022 |
//! | gradual unfreezing | [`Method::Gradual`] | Howard and Ruder 2018 |
//! | L2-SP | [`StartingPoint`] | Li et al. 2018 |
//! | DELTA | [`Delta`] | Li et al. 2019 |
//! | BSS | [`spectral_shrinkage`] | Chen et al. 2019 |
//! | StochNorm | [`Statistics::Stochastic`] | Kou et al. 2020 |
//! | Co-Tuning | [`CoTuning`] | You et al. 2020 |
//! | R3F | [`r3f`] | Aghajanyan et al. 2021 |
//! | LoRA, rsLoRA, DoRA, VeRA, IA3, bottleneck adapters, BitFit | [`peft`] | see there |
//! | WiSE-FT, uniform and greedy soups | [`interpolate`], [`soup`], [`greedy_soup`] | Wortsman et al. 2022 |
//! | SWA, EMA, mixup, label smoothing | [`FineTune`] | see there |
//! | LogME, LEEP, H-score | [`log_me`], [`leep`], [`h_score`] | You 2021, Nguyen 2020, Bao 2019 |

mod average;
mod error;
mod features;
mod hash;
pub mod peft;
mod penalty;
mod probe;
mod report;
mod suggest;
mod transferability;
mod tune;

pub use average::{GreedySoup, greedy_soup, interpolate, refresh_statistics, soup};
pub use error::{Error, Result};
pub use features::{Extract, Pooling, extract};
pub use peft::{
    BottleneckConfig, Ia3Config, LoraConfig, LoraInit, PeftConfig, VeraConfig, Whole, WholeConfig,
};
pub use penalty::{
    CoTuning, Delta, Penalty, R3fNoise, StartingPoint, channel_importance, r3f, spectral_shrinkage,
};
pub use probe::{FittedProbe, LayerReport, LayerScore, Probe, linear_probe, probe_by_layer};
pub use report::{ClassScore, FineTuneReport, Measured, Peak};
pub use suggest::{Lead, Suggest, Suggestion};
pub use transferability::{Promise, h_score, leep, log_me, rank_checkpoints};
pub use tune::{FineTune, LayerDecay, Method, Statistics};
