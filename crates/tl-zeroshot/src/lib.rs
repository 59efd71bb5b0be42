//! Zero-shot learning: classes that training never saw.
//!
//! Use it where classes keep coming, or where some have no labelled sample at
//! all, but every class can be *described*: by attributes, by its name, by a
//! sentence. It does not help where descriptions say nothing that can be seen
//! in a sample; and a few labelled samples of a class beat any description.
//!
//! ```
//! use tl_zeroshot::{Eszsl, Method, PrototypeRegression, Split, ZeroShot};
//! use tl_zeroshot::{choose, seven_segments, zsl_accuracy};
//! # fn main() -> tl_zeroshot::Result<()> {
//! // Handwritten digits, described by the segments that a display lights.
//! let digits = tl_data::samples::digits();
//! let flat = digits.with_features(&digits.features().flatten(1, -1)?)?;
//! let split = Split::new(&flat, &seven_segments()?.unit()?, &["0", "7"], 0.2, 0)?;
//!
//! // Settings are chosen on held-out classes among the seen ones.
//! let grid = [0.1, 1.0, 10.0].map(|alpha| PrototypeRegression { alpha });
//! let settings: Vec<&dyn Method> = grid.iter().map(|m| m as &dyn Method).collect();
//! let (_, model) = choose(&settings, &split.train, 4, 0)?;
//! assert!(zsl_accuracy(model.as_ref(), &split.unseen)? > 0.6); // chance is 0.5
//!
//! // Methods that score by attributes say why.
//! let model = Eszsl { gamma: 10.0, lambda: 1.0 }.fit(&split.train)?;
//! let classifier = ZeroShot::new(model, split.all.clone());
//! let why = classifier.explain(&split.unseen.features.select(0, 0)?, "0")?;
//! println!("{:?}", why.parts);
//! # Ok(())
//! # }
//! ```
//!
//! | method | here | source |
//! |---|---|---|
//! | DAP, IAP | [`Dap`], [`Iap`] | Lampert et al. 2014 |
//! | ConSE | [`Conse`] | Norouzi et al. 2014 |
//! | ESZSL | [`Eszsl`], [`eszsl_map`] | Romera-Paredes and Torr 2015 |
//! | SAE | [`Sae`], [`sae_encoder`] | Kodirov et al. 2017 |
//! | prototype regression | [`PrototypeRegression`] | Shigeto et al. 2015 |
//! | DeViSE, SJE, ALE | [`Ranking`] | Frome et al. 2013, Akata et al. 2015, 2016 |
//! | LatEm | [`Ranking::latem`] | Xian et al. 2016 |
//! | deep compatibility | [`Ranking::deep`] | |
//! | CADA-VAE | [`CadaVae`] | Schönfeld et al. 2019 |
//! | generated features | [`FeatureVae`] | Mishra et al. 2018 |
//! | f-CLSWGAN | [`FClsWgan`], [`gradient_penalty`] | Xian et al. 2018, Gulrajani et al. 2017 |
//! | texts by class names | [`TextClassifier`] | Radford et al. 2021, section 3.1 |
//! | two encoders | [`DualEncoder`] | Radford et al. 2021 |
//! | "unknown", split conformal | [`ZeroShot::reject_unknown`] | Vovk et al. 2005 |
//! | calibrated stacking | [`seen_unseen_curve`], [`ZeroShot::handicap`] | Chao et al. 2016 |
//!
//! Classes are described by attributes ([`Signatures::from_table`]), by vectors of
//! their names or descriptions ([`template_ensemble`]), by their place in a
//! [`Hierarchy`], or by several of these ([`Signatures::mixed`]). [`Xlsa17`] reads
//! the benchmarks of Xian et al.
//!
//! Labels of unseen classes cannot reach training: a [`Method`] gets a [`Seen`],
//! which holds nothing of them.

mod classifier;
mod dual;
mod error;
mod gzsl;
mod hierarchy;
mod method;
mod rejection;
mod report;
mod semantics;
mod split;
mod text;
mod xlsa17;

pub use classifier::{Explanation, ZeroShot};
pub use dual::{DualEncoder, clip_loss};
pub use error::{Error, Result};
pub use gzsl::{Curve, Gzsl, harmonic_mean, per_class_accuracy, seen_unseen_curve};
pub use hierarchy::Hierarchy;
pub use method::{
    CadaVae, Compatibility, Conse, Dap, Direction, Eszsl, FClsWgan, FeatureVae, Iap, Method,
    PrototypeRegression, Ranking, RankingLoss, Sae, choose, eszsl_map, gradient_penalty,
    ranking_loss, sae_encoder, sylvester, zsl_accuracy,
};
pub use report::{Outcome, Report};
pub use semantics::{Signatures, fill_templates, template_ensemble};
pub use split::{Seen, Split, Test, seven_segments};
pub use text::{Cosine, Embed, TextClassifier};
pub use xlsa17::Xlsa17;
