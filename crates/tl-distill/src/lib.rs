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
//! | features | [`hint`] (FitNets), [`attention`], [`vid`], [`nst`], [`flow`] (FSP), [`Review`] (knowledge review, Chen et al. 2021) with its [`hierarchical_context`], [`Crd`] (Tian et al. 2020) with its [`contrast`] |
//! | relations | [`similarity_preserving`], [`pkt`], [`rkd`] |
//!
//! In the builder a [`Hint`] names pairs of layers by path, or none, and
//! [`map_layers`] finds them; a projector is made where shapes differ and is
//! dropped afterwards. [`Ramp`]s move weights and temperature during the run.
//!
//! # Regimes
//! [`Distill::fit`], [`Distill::fit_many`] (an ensemble of teachers),
//! [`Distill::fit_augmented`] (augmented [`Views`]), [`Distill::fit_stored`]
//! (outputs of elsewhere), [`Distill::born_again`], [`Distill::mutual`],
//! [`Distill::chain`] (teacher assistants); an unlabelled transfer set with
//! `.hard(0.0)`, or one made of nothing but the teacher with [`Synthesis`].
//!
//! A [`TeacherCache`] keeps what teachers say on disk, keyed by the teachers'
//! numbers, the content of each sample and the augmentation; a stale one is
//! refused.
//!
//! # Afterwards
//! | what | with |
//! |---|---|
//! | single weights to 0 | [`prune_magnitude`] (Han et al. 2015) |
//! | neurons and channels out | [`prune_structured`] (Li et al. 2017; Liu et al. 2017) |
//! | weights in half precision or bytes | [`round_weights`] |
//! | 8-bit integers from end to end | [`Int8Network`], [`Int8Linear`] (Jacob et al. 2018) |
//! | training for them | [`QatNetwork`] |
//! | a vector for each token | [`StaticEmbedding`] (model2vec) |
//! | all in one chain, with its report | [`Compress`], [`DistillReport`], [`CompressionReport`] |

mod cache;
mod chain;
mod check;
mod compress;
mod distill;
mod error;
mod feature;
mod hint;
mod int8;
mod layers;
mod logit;
mod offline;
mod ramp;
mod regime;
mod relation;
mod report;
mod soft;
mod synthesis;

pub use cache::{Ask, Storage, TeacherCache, Views, agreement, outputs};
pub use chain::Compress;
pub use compress::{
    Cut, Importance, Precision, Pruned, StaticConfig, StaticEmbedding, prune_magnitude,
    prune_structured, round_weights,
};
pub use distill::Distill;
pub use error::{Error, Result};
pub use feature::*;
pub use hint::Hint;
pub use int8::{Int8Linear, Int8Network, QatNetwork, Range, fold_batch_norm, quantise_linear};
pub use layers::map_layers;
pub use logit::*;
pub use ramp::{Curve, Ramp};
pub use relation::Relation;
pub use report::{CompressionReport, DistillReport, Measured, NO_TEACHER, Paired, compare, macs};
pub use soft::Soft;
pub use synthesis::Synthesis;
