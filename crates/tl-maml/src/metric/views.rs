//! Features averaged over moved copies of a sample.

use crate::episode::stream;
use std::{fmt, sync::Arc};
use tl_data::transform::Transform;
use tl_nn::{Ctx, Error, Forward, Module, Result, Tensor, module};

/// An encoder whose features are the mean over a sample and `views` changed
/// copies of it, `f̄(x) = (f(x) + Σ f(tᵥ(x))) / (views + 1)`: test-time
/// augmentation, for an encoder that is trained (Krizhevsky et al. 2012, section 4.1,
/// there of predictions). The changes tᵥ are the same for every sample and at every
/// call, so in evaluation mode features depend neither on the batch nor on the
/// sample's place in it. It takes `views + 1` times as long. Errors are those of the
/// encoder, and of a transform that does not know such samples.
///
/// Where a class has one drawing, this takes away part of what is by chance in
/// it; take the changes that the encoder practised on (see
/// [`Augmented`](crate::Augmented)). On characters 8 views gave what 16 and 32 did.
///
/// ```
/// use tl_data::{samples, transform::RandomAffine};
/// use tl_maml::{AveragedViews, FewShot, Prototypes, Protocol, Tasks, evaluate};
/// use tl_nn::Flatten;
/// # fn main() -> tl_maml::Result<()> {
/// let tasks = Tasks::from_labels(&samples::digits())?.way(5).shot(1).query(5);
/// let shifts = RandomAffine::new().translate(0.06);
/// let plain = FewShot { encoder: Flatten, head: Prototypes };
/// let averaged =
///     FewShot { encoder: AveragedViews::new(plain.encoder, shifts, 8), head: Prototypes };
/// let of = |net: &dyn tl_maml::Predict| evaluate(net, &tasks, 50, 1, Protocol::Inductive);
/// let (before, after) = (of(&plain.predictor())?, of(&averaged.predictor())?);
/// assert!(after.last().mean > before.last().mean);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AveragedViews<M> {
    encoder: M,
    transform: Arc<dyn Transform>,
    views: usize,
}
module!(impl<M: Module> AveragedViews<M> { encoder; skip transform, views });

impl<M> AveragedViews<M> {
    /// Averages over each sample and `views` copies that `transform` has changed.
    /// None leaves the features as they are.
    pub fn new(encoder: M, transform: impl Transform + 'static, views: usize) -> Self {
        Self { encoder, transform: Arc::new(transform), views }
    }
}

impl<M: fmt::Debug> fmt::Debug for AveragedViews<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AveragedViews")
            .field("encoder", &self.encoder)
            .field("views", &self.views)
            .finish_non_exhaustive()
    }
}

impl<M: Forward> Forward for AveragedViews<M> {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let mut sum = self.encoder.forward(x, cx)?;
        let samples = x.dims().first().map_or(0, |n| *n);
        if self.views == 0 || samples == 0 {
            return Ok(sum);
        }
        for view in 0..self.views as u64 {
            // One by one: a transform changes each sample of a batch otherwise.
            let moved: Vec<Tensor> = (0..samples)
                .map(|i| {
                    let sample = x.narrow(0, i, 1)?;
                    self.transform.apply(&sample, &mut stream(0, view)).map_err(Error::other)
                })
                .collect::<Result<_>>()?;
            let moved = Tensor::cat(&moved.iter().collect::<Vec<_>>(), 0)?;
            sum = sum.add(&self.encoder.forward(&moved, cx)?)?;
        }
        Ok(sum.mul_scalar(1.0 / (self.views + 1) as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tl_data::transform::RandomAffine;
    use tl_nn::Flatten;

    fn images() -> Tensor {
        tl_data::samples::digits().features().narrow(0, 0, 4).unwrap()
    }

    fn shifts() -> RandomAffine {
        RandomAffine::new().translate(0.2).degrees(10.0)
    }

    #[test]
    fn is_the_mean_over_the_sample_and_its_moved_copies() {
        let one = images().narrow(0, 2, 1).unwrap();
        let mut sum = one.flatten(1, -1).unwrap();
        for view in 0..3 {
            let moved = shifts().apply(&one, &mut stream(0, view)).unwrap();
            assert_ne!(moved.to_vec(), one.to_vec());
            sum = sum.add(&moved.flatten(1, -1).unwrap()).unwrap();
        }
        let net = AveragedViews::new(Flatten, shifts(), 3);
        let mean = net.forward(&one, &mut Ctx::eval()).unwrap();
        assert_eq!(mean.to_vec(), sum.mul_scalar(0.25).to_vec());
        let none = AveragedViews::new(Flatten, shifts(), 0);
        let plain = none.forward(&one, &mut Ctx::eval()).unwrap();
        assert_eq!(plain.to_vec(), one.to_vec());
    }

    #[test]
    fn a_sample_is_seen_alike_wherever_it_stands() {
        let net = AveragedViews::new(Flatten, shifts(), 5);
        let of = |x: &Tensor| net.forward(x, &mut Ctx::eval()).unwrap();
        let all = of(&images());
        for i in 0..4 {
            let alone = of(&images().narrow(0, i, 1).unwrap());
            assert_eq!(alone.to_vec(), all.narrow(0, i, 1).unwrap().to_vec());
        }
    }

    #[test]
    fn what_cannot_be_moved_is_an_error() {
        let rows = images().flatten(1, -1).unwrap();
        let failed = AveragedViews::new(Flatten, shifts(), 1).forward(&rows, &mut Ctx::eval());
        assert!(failed.unwrap_err().to_string().contains("images [n, channels, height, width]"));
    }
}
