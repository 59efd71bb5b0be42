//! Knowledge distillation: a small network learns from a large one.
//!
//! A teacher's probabilities say more than a label: which wrong answers are
//! nearly right. A student that is trained on them often gets closer to the
//! teacher than it gets by labels alone. It helps most when the student is much
//! smaller, when there are many *unlabelled* samples for the teacher to speak
//! of, or when labels are few. It helps little when student and teacher are
//! nearly equal, when the teacher is hardly better than the student alone, or
//! when the teacher has learned its training set by heart, so that what it says
//! of it is nothing but the labels. Every report therefore has the same student
//! without a teacher beside it.
//!
//! ```
//! use rand::SeedableRng;
//! use rand_chacha::ChaCha8Rng;
//! use tl_distill::Distill;
//! use tl_nn::{Act, Flatten, Linear, Sequential};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let (train, test) = tl_data::samples::digits().split(0.5, &mut rng)?;
//! let net = |width: usize, seed: u64| {
//!     let mut rng = ChaCha8Rng::seed_from_u64(seed);
//!     let net = Sequential::new().push(Flatten).push(Linear::new(64, width, &mut rng));
//!     net.push(Act::Relu).push(Linear::new(width, 10, &mut rng))
//! };
//! let mut teacher = net(64, 0);
//! let recipe = Distill::kd(4.0).hard(0.1).budget(6, 64);
//! recipe.without_teacher().fit(&net(1, 0), &mut teacher, &train)?;
//! let report = recipe.compare("digits", &teacher, |seed| net(8, seed), [&train, &test], 2)?;
//! println!("{report}");
//! assert_eq!(report.trials.ways.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Losses
//! Plain functions, student first, no gradient to the teacher; usable in any
//! loop.
//!
//! | of | functions |
//! |---|---|
//! | logits | [`kd`] (Hinton et al. 2015), [`standardised_kd`] (Sun et al. 2024), [`dkd`] (Zhao et al. 2022), [`dist`] (Huang et al. 2022), [`logit_mse`] (Ba and Caruana 2014), [`pseudo_label`] (Lee 2013) |
//! | several teachers | [`multi_teacher_kd`], [`mean_probabilities`] |
//! | real targets | [`bounded_regression`] (Chen et al. 2017) |
//! | sequences | [`token_kd`], [`sequence_kd`] (Kim and Rush 2016) |
//! | embeddings | [`embedding_mse`], [`embedding_cosine`], [`margin_mse`], [`score_kl`], [`similarity_kl`] |
//! | features | [`hint`] (FitNets), [`attention`], [`vid`], [`nst`], [`flow`] (FSP), [`hierarchical_context`] (of ReviewKD) |
//! | relations | [`similarity_preserving`], [`pkt`], [`rkd`] |
//!
//! # Regimes
//! [`Distill::fit`], [`Distill::fit_many`] (an ensemble of teachers),
//! [`Distill::born_again`], [`Distill::mutual`], [`Distill::chain`] (teacher
//! assistants); an unlabelled transfer set with `.hard(0.0)`.
//!
//! # Afterwards
//! [`prune_magnitude`] and [`round_weights`] make weights smaller,
//! [`Int8Linear`] computes with 8-bit integers; a
//! [`CompressionReport`] measures size, multiply-adds, latency, accuracy,
//! agreement with the teacher and calibration.

mod cache;
mod check;
mod compress;
mod distill;
mod error;
mod feature;
mod hint;
mod int8;
mod logit;
mod regime;
mod report;
mod soft;

pub use cache::{Storage, TeacherCache, agreement, outputs};
pub use compress::{Precision, Pruned, prune_magnitude, round_weights};
pub use distill::Distill;
pub use error::{Error, Result};
pub use feature::*;
pub use hint::{Hint, Relation, map_layers};
pub use int8::{Int8Linear, quantise_linear};
pub use logit::*;
pub use report::{CompressionReport, DistillReport, Measured, NO_TEACHER, compare, macs};
pub use soft::Soft;
