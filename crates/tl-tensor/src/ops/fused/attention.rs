//! Scaled dot-product attention.

use super::{dropout::Mask, softmax::softmax_last};
use crate::{Elem, Error, Result, Tensor};
use rand::Rng;

/// Options of scaled dot-product attention (Vaswani et al. 2017, eq. 1).
///
/// `softmax(q kᵀ · scale + mask) v`, with `q` `[.., l, d]`, `k` `[.., s, d]`
/// and `v` `[.., s, e]`; the result is `[.., l, e]`. A row in which every key
/// is masked gives 0.
///
/// ```
/// use tl_tensor::{Attention, Tensor};
/// # fn main() -> tl_tensor::Result<()> {
/// let q = Tensor::<f32>::ones([2, 4, 8]);
/// let y = Attention::new().causal(true).forward(&q, &q, &q)?;
/// assert_eq!(y.dims(), [2, 4, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Attention<E: Elem = f32> {
    bias: Option<Tensor<E>>,
    keep: Option<Tensor<E>>,
    causal: bool,
    scale: Option<f64>,
    dropout: Option<Mask<E>>,
}

impl<E: Elem> Default for Attention<E> {
    fn default() -> Self {
        Self { bias: None, keep: None, causal: false, scale: None, dropout: None }
    }
}

impl<E: Elem> Attention<E> {
    /// No mask, the scale `1 / √d`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Added to the scores; broadcasts to `[.., l, s]`. Gradients flow to it.
    #[must_use]
    pub fn bias(mut self, bias: Tensor<E>) -> Self {
        self.bias = Some(bias);
        self
    }

    /// 1 where a query may see a key, 0 where not; broadcasts to `[.., l, s]`.
    #[must_use]
    pub fn keep(mut self, keep: Tensor<E>) -> Self {
        self.keep = Some(keep);
        self
    }

    /// A query sees only keys at its place and before.
    #[must_use]
    pub fn causal(mut self, yes: bool) -> Self {
        self.causal = yes;
        self
    }

    /// The factor of the scores. Default `1 / √d`.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Each attention weight is dropped with probability `p`, else divided by `1 - p`.
    /// Which ones is drawn now, and the same at every use of what this returns.
    ///
    /// # Errors
    /// `p` is not from 0 to 1.
    pub fn dropout<R: Rng + ?Sized>(mut self, p: f64, rng: &mut R) -> Result<Self> {
        self.dropout = if p == 0.0 { None } else { Some(Mask::draw(p, rng)?) };
        Ok(self)
    }

    /// The factor of the scores of keys of this width.
    pub(super) fn scale_for(&self, width: usize) -> f64 {
        self.scale.unwrap_or_else(|| 1.0 / (width as f64).sqrt())
    }

    pub(super) fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    pub(super) fn keep_mask(&self) -> Option<&Tensor<E>> {
        self.keep.as_ref()
    }

    pub(super) fn is_causal(&self) -> bool {
        self.causal
    }

    /// What [`dropout`](Self::dropout) has drawn; the weights of a head are a part.
    pub(super) fn mask(&self) -> Option<Mask<E>> {
        self.dropout
    }

    /// The result for queries, keys and values.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, q: &Tensor<E>, k: &Tensor<E>, v: &Tensor<E>) -> Result<Tensor<E>> {
        let mut weights = self.weights(q, k)?;
        if let Some(mask) = self.dropout {
            let head = weights.size(-2)? * weights.size(-1)?;
            weights = mask.tensor(&weights, head);
        }
        weights.matmul(v)
    }

    /// The attention weights `[.., l, s]`: rows that add up to 1, or 0 where
    /// every key is masked. Nothing is dropped yet.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn weights(&self, q: &Tensor<E>, k: &Tensor<E>) -> Result<Tensor<E>> {
        if q.rank() < 2 || k.rank() < 2 || q.size(-1)? != k.size(-1)? {
            return Err(Error::shapes(
                "attention",
                q.shape(),
                k.shape(),
                "queries [.., l, d] and keys [.., s, d]",
            ));
        }
        let scale = self.scale_for(q.dims()[q.rank() - 1]);
        // The smaller operand is scaled, not the scores.
        let mut scores = q.mul_scalar(E::from_f64(scale)).matmul(&k.t()?)?;
        if let Some(bias) = &self.bias {
            scores = scores.add(bias)?;
        }
        if let Some(keep) = &self.keep {
            scores = scores.masked_fill(&keep.eq_scalar(E::ZERO), -E::INFINITY)?;
        }
        if self.causal {
            let (l, s) = (scores.size(-2)?, scores.size(-1)?);
            let above: Vec<E> =
                (0..l * s).map(|i| if i % s > i / s { E::ONE } else { E::ZERO }).collect();
            scores = scores.masked_fill(&Tensor::from_vec(above, [l, s])?, -E::INFINITY)?;
        }
        Ok(softmax_last(&scores, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradcheck, gradgradcheck};
    use rand::SeedableRng;

    fn inputs() -> Vec<Tensor<f64>> {
        let x = |n: usize, phase: f64| Tensor::linspace(phase, phase + 5.0, n).sin();
        vec![
            x(12, 0.0).reshape([2, 3, 2]).unwrap(),
            x(16, 1.0).reshape([2, 4, 2]).unwrap(),
            x(24, 2.0).reshape([2, 4, 3]).unwrap(),
        ]
    }

    #[test]
    fn derivatives_of_both_orders() {
        let keep = Tensor::from_slice(&[1.0, 0.0, 1.0, 1.0], [1, 4]).unwrap();
        let masked = Attention::new().keep(keep).causal(true);
        let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let dropping = Attention::new().dropout(0.4, rng).unwrap();
        for attention in [Attention::new().scale(0.3), masked, dropping] {
            let f = |t: &[Tensor<f64>]| attention.forward(&t[0], &t[1], &t[2]);
            gradcheck(f, &inputs(), GradCheck::default()).unwrap();
            gradgradcheck(f, &inputs(), GradCheck::default()).unwrap();
        }
    }

    #[test]
    fn masked_keys_have_no_weight_and_empty_rows_are_zero() {
        let t = inputs();
        let keep = Tensor::from_slice(&[1.0, 0.0, 1.0, 0.0], [1, 4]).unwrap();
        let w = Attention::new().keep(keep).weights(&t[0], &t[1]).unwrap();
        for row in w.to_vec().chunks(4) {
            assert_eq!((row[1], row[3]), (0.0, 0.0));
            approx::assert_abs_diff_eq!(row[0] + row[2], 1.0, epsilon = 1e-12);
        }
        let none = Attention::new().keep(Tensor::zeros([1, 4]));
        let y = none.forward(&t[0], &t[1], &t[2]).unwrap();
        assert!(y.to_vec().iter().all(|&x| x == 0.0));
    }
}
