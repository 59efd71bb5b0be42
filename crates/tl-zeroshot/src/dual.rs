//! Two encoders, one space: contrastive training in the manner of CLIP.

use crate::{Result, semantics::unit_rows};
use tl_nn::{CrossEntropy, Ctx, Forward, Indices, Module, Param, Tensor, module};

/// The symmetric contrastive loss of `n` pairs (Radford et al. 2021, figure 3):
/// the mean of the cross entropies over rows and columns of
/// `exp(log_scale) · cos(a_i, b_j)`, with the pairs on the diagonal. `a` and `b`
/// `[n, d]`; the scale is held to at most 100.
///
/// # Errors
/// Shapes that differ or are no matrices.
pub fn clip_loss(a: &Tensor, b: &Tensor, log_scale: &Tensor) -> tl_nn::Result<Tensor> {
    let scale = log_scale.clamp(f32::NEG_INFINITY, 100.0_f32.ln()).exp();
    let logits = unit_rows(a)?.matmul(&unit_rows(b)?.t()?)?.mul(&scale)?;
    let own: Indices = (0..logits.size(0)?).collect::<Vec<_>>().into();
    let entropy = CrossEntropy::new();
    let (rows, columns) = (entropy.loss(&logits, &own)?, entropy.loss(&logits.t()?, &own)?);
    Ok(rows.add(&columns)?.mul_scalar(0.5))
}

/// An encoder of samples and one of descriptions that are trained to agree.
/// Classes are then whatever can be described.
#[derive(Clone, Debug)]
pub struct DualEncoder<A, B> {
    /// Encodes samples to `[n, d]`.
    pub samples: A,
    /// Encodes descriptions to `[n, d]`.
    pub descriptions: B,
    /// The logarithm of what cosines are multiplied by. Begins at `ln(1/0.07)`.
    pub log_scale: Param,
}
module!(impl<A: Module, B: Module> DualEncoder<A, B> { samples, descriptions, log_scale });

impl<A: Forward, B: Forward> DualEncoder<A, B> {
    /// Two encoders whose outputs have the same length.
    pub fn new(samples: A, descriptions: B) -> Self {
        let log_scale = Param::new(Tensor::scalar((1.0_f32 / 0.07).ln()));
        Self { samples, descriptions, log_scale }
    }

    /// [`clip_loss`] of `n` samples and their descriptions: what to give a
    /// [`Trainer`](tl_nn::Trainer).
    ///
    /// # Errors
    /// Those of the encoders; outputs that differ in shape.
    pub fn loss(&self, x: &Tensor, described: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let a = self.samples.forward(x, cx)?;
        let b = self.descriptions.forward(described, cx)?;
        clip_loss(&a, &b, self.log_scale.tensor())
    }

    /// Class vectors of length 1 from descriptions, to be computed once.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn class_vectors(&self, described: &Tensor) -> Result<Tensor> {
        let encoded = self.descriptions.forward(described, &mut Ctx::eval())?;
        Ok(unit_rows(&encoded)?.detach())
    }

    /// Probabilities `[n, classes]` of classes given by their vectors.
    ///
    /// # Errors
    /// Those of the encoder; vectors of another length.
    pub fn classify(&self, x: &Tensor, class_vectors: &Tensor) -> Result<Tensor> {
        let encoded = unit_rows(&self.samples.forward(x, &mut Ctx::eval())?)?;
        let scale = self.log_scale.tensor().clamp(f32::NEG_INFINITY, 100.0_f32.ln()).exp();
        Ok(encoded.matmul(&class_vectors.t()?)?.mul(&scale)?.softmax(-1)?.detach())
    }
}
