//! Losses on what two networks say: logits, scores, embeddings.
//!
//! All take the student's output first and the teacher's second; no gradient
//! ever flows to the teacher. The mean is over distributions (PyTorch's
//! `batchmean`), never over their numbers.

mod dist;
mod dkd;
mod embedding;
mod hard;
mod kd;
mod regression;
mod several;
mod standardise;
mod token;

pub use dist::dist;
pub use dkd::dkd;
pub use embedding::{embedding_cosine, embedding_mse, margin_mse, score_kl, similarity_kl};
pub use hard::{pseudo_label, pseudo_labels};
pub use kd::{kd, logit_mse};
pub use regression::bounded_regression;
pub(crate) use several::shares;
pub use several::{mean_probabilities, multi_teacher_kd};
pub use standardise::{standardise, standardised_kd};
pub use token::{sequence_kd, token_kd};
