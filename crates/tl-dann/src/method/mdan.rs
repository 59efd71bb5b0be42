//! Several sources.

use super::{
    align::{Align, Pair, Widths},
    dann::Dann,
};
use crate::Result;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Sequential, Tensor};

/// MDAN (Zhao et al. 2018, eq. 5, the soft form): DANN with one discriminator for
/// each source, combined by `1/γ ln(1/k Σ exp(γ (task + domain)))`, so that the
/// source that is worst off counts most.
pub(crate) struct Mdan {
    pub(crate) gamma: f64,
}

impl Align for Mdan {
    fn adversary(&mut self, widths: Widths, rng: &mut ChaCha8Rng) -> Option<Sequential> {
        Dann { spectral: 0.0 }.adversary(widths, rng)
    }

    fn reversed(&self) -> bool {
        true
    }

    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        Dann { spectral: 0.0 }.term(pair, cx)
    }

    fn combine(&self, each: &[(Tensor, Tensor)], factor: f64) -> Result<Tensor> {
        let gamma = self.gamma as f32;
        let sums = each
            .iter()
            .map(|(task, term)| {
                Ok(task.add(&term.mul_scalar(factor as f32))?.mul_scalar(gamma).reshape([1])?)
            })
            .collect::<Result<Vec<_>>>()?;
        let all = Tensor::cat(&sums.iter().collect::<Vec<_>>(), 0)?;
        let mean = all.logsumexp(0, false)?.add_scalar(-(each.len() as f32).ln());
        Ok(mean.mul_scalar(1.0 / gamma))
    }
}
