//! Batch normalisation.

use crate::{Buffer, Ctx, Forward, NormStats, Param, Result, module};
use rand::RngCore;
use tl_tensor::Tensor;

/// Batch normalisation of `[n, c]` or `[n, c, ..]`:
/// `(x - mean_c) / √(var_c + eps) · weight_c + bias_c`. Ioffe and Szegedy 2015.
///
/// Training uses the statistics of the batch (with the biased variance) and
/// records running ones (with the unbiased variance) in the [`Ctx`]:
/// `running ← (1 - momentum) running + momentum batch`. Evaluation uses the
/// running ones, and so does a layer whose statistics are frozen.
/// [`NormStats`] overrides that.
///
/// Defaults, as in PyTorch: eps 1e-5, momentum 0.1.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Scale `[c]`, beginning at 1.
    pub weight: Option<Param>,
    /// Shift `[c]`, beginning at 0.
    pub bias: Option<Param>,
    /// Running mean `[c]`, beginning at 0.
    pub running_mean: Buffer,
    /// Running unbiased variance `[c]`, beginning at 1.
    pub running_var: Buffer,
    /// Batches seen in training.
    pub num_batches_tracked: Buffer,
    /// Added to the variance.
    pub eps: f64,
    /// Part of the new statistics; none for the mean over all batches.
    pub momentum: Option<f32>,
}
module!(BatchNorm {
    weight, bias, running_mean, running_var, num_batches_tracked;
    skip eps, momentum
});

/// [`BatchNorm`] under the name that PyTorch uses for `[n, c]` and `[n, c, l]`.
pub type BatchNorm1d = BatchNorm;
/// [`BatchNorm`] under the name that PyTorch uses for images.
pub type BatchNorm2d = BatchNorm;

impl BatchNorm {
    /// A layer for this many channels, with scale and shift.
    pub fn new(channels: usize) -> Self {
        Self {
            weight: Some(Param::new(Tensor::ones(channels))),
            bias: Some(Param::new(Tensor::zeros(channels))),
            running_mean: Buffer::new(Tensor::zeros(channels)),
            running_var: Buffer::new(Tensor::ones(channels)),
            num_batches_tracked: Buffer::integer(Tensor::zeros(())),
            eps: 1e-5,
            momentum: Some(0.1),
        }
    }

    /// A layer without scale and shift.
    pub fn without_affine(channels: usize) -> Self {
        Self { weight: None, bias: None, ..Self::new(channels) }
    }

    fn uses_batch(&self, cx: &Ctx) -> bool {
        match cx.norm_stats() {
            NormStats::Batch => true,
            NormStats::Running => false,
            NormStats::ByMode | NormStats::Stochastic { .. } => {
                cx.is_train() && !self.running_mean.is_frozen()
            }
        }
    }

    fn record(&self, cx: &mut Ctx, mean: Tensor, variance: &Tensor, count: usize) {
        let unbiased = variance.mul_scalar(count as f32 / (count as f32 - 1.0));
        let seen = self.num_batches_tracked.tensor().to_vec();
        let part = self.momentum.unwrap_or_else(|| 1.0 / (seen.first().unwrap_or(&0.0) + 1.0));
        let blend = move |new: Tensor| {
            move |old: &Tensor| Ok(old.mul_scalar(1.0 - part).add(&new.mul_scalar(part))?)
        };
        cx.update(&self.num_batches_tracked, |n| Ok(n.add_scalar(1.0)));
        cx.update(&self.running_mean, blend(mean));
        cx.update(&self.running_var, blend(unbiased));
    }
}

impl Forward for BatchNorm {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let weight = self.weight.as_ref().map(Param::adapted).transpose()?;
        let bias = self.bias.as_ref().map(Param::adapted).transpose()?;
        let (weight, bias) = (weight.as_deref(), bias.as_deref());
        if !self.uses_batch(cx) {
            let (mean, variance) = (self.running_mean.tensor(), self.running_var.tensor());
            return Ok(x.batch_norm_with(mean, variance, weight, bias, self.eps)?);
        }
        let result = x.batch_norm(weight, bias, self.eps)?;
        if cx.is_train() {
            let count = x.numel() / x.dims()[1].max(1);
            self.record(cx, result.mean, &result.variance, count);
        }
        let NormStats::Stochastic { percent } = cx.norm_stats() else { return Ok(result.output) };
        let (mean, variance) = (self.running_mean.tensor(), self.running_var.tensor());
        let running = x.batch_norm_with(mean, variance, weight, bias, self.eps)?;
        let chosen: Vec<f32> = (0..mean.numel())
            .map(|_| f32::from(u8::from(cx.rng().next_u32() % 100 < u32::from(percent))))
            .collect();
        let mut shape = vec![1; x.rank()];
        shape[1] = chosen.len();
        let chosen = Tensor::from_vec(chosen, tl_tensor::Shape::new(&shape)?)?;
        Ok(Tensor::where_cond(&chosen, &running, &result.output)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModuleExt;

    #[test]
    fn statistics_move_only_when_they_should() {
        let x = Tensor::linspace(0.0, 11.0, 12).reshape([6, 2]).unwrap();
        let mut norm = BatchNorm::new(2);
        let mut cx = Ctx::train(0);
        norm.forward(&x, &mut cx).unwrap();
        norm.apply(cx.take_updates()).unwrap();
        // Mean of 0, 2, .. 10 is 5; unbiased variance 14.
        for (got, want) in norm.running_mean.tensor().to_vec().iter().zip([0.5, 0.6]) {
            approx::assert_relative_eq!(got, &want, max_relative = 1e-6);
        }
        for got in norm.running_var.tensor().to_vec() {
            approx::assert_relative_eq!(got, 0.9 + 1.4, max_relative = 1e-6);
        }
        assert_eq!(norm.num_batches_tracked.tensor().item().unwrap(), 1.0);

        let before = norm.running_mean.tensor().to_vec();
        norm.freeze("running_*|num_batches_tracked").unwrap();
        let mut cx = Ctx::train(0);
        let frozen = norm.forward(&x, &mut cx).unwrap();
        norm.apply(cx.take_updates()).unwrap();
        assert_eq!(norm.running_mean.tensor().to_vec(), before);
        let eval = norm.forward(&x, &mut Ctx::eval()).unwrap();
        assert_eq!(frozen.to_vec(), eval.to_vec());
    }

    #[test]
    fn stochastic_channels_are_of_the_batch_or_running() {
        let x = Tensor::linspace(0.0, 9.0, 160).reshape([4, 40]).unwrap();
        let norm = BatchNorm::new(40);
        let columns = |percent: Option<u8>| {
            let mut cx = Ctx::train(3);
            if let Some(percent) = percent {
                cx.set_norm_stats(NormStats::Stochastic { percent });
            }
            norm.forward(&x, &mut cx).unwrap().to_vec()
        };
        let (batch, running) = (columns(None), norm.forward(&x, &mut Ctx::eval()).unwrap());
        assert_eq!(columns(Some(0)), batch);
        assert_eq!(columns(Some(100)), running.to_vec());
        let (half, running) = (columns(Some(50)), running.to_vec());
        let of_running = (0..40).filter(|&c| half[c] == running[c]).count();
        assert!((8..32).contains(&of_running), "{of_running}");
        assert!((0..160).all(|i| half[i] == running[i] || half[i] == batch[i]));
    }

    #[test]
    fn statistics_of_a_clone_are_refused() {
        let norm = BatchNorm::new(2);
        let mut cx = Ctx::train(0);
        norm.forward(&Tensor::linspace(0.0, 1.0, 8).reshape([4, 2]).unwrap(), &mut cx).unwrap();
        let error = norm.clone().apply(cx.take_updates()).unwrap_err();
        assert!(matches!(error, crate::Error::ForeignUpdates { count: 3 }));
    }

    #[test]
    fn a_cumulative_mean_is_the_mean_over_batches() {
        let mut norm = BatchNorm { momentum: None, ..BatchNorm::new(1) };
        for value in [1.0, 2.0, 6.0] {
            let x = Tensor::from_slice(&[value - 1.0, value + 1.0], [2, 1]).unwrap();
            let mut cx = Ctx::train(0);
            norm.forward(&x, &mut cx).unwrap();
            norm.apply(cx.take_updates()).unwrap();
        }
        approx::assert_relative_eq!(
            norm.running_mean.tensor().item().unwrap(),
            3.0,
            max_relative = 1e-6
        );
    }
}
