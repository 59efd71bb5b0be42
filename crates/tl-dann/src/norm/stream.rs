//! Statistics that follow a stream of unlabelled batches.

use super::ada_bn::{is_statistic, normalised};
use crate::{Error, Result};
use tl_nn::{Buffer, Ctx, Forward, ModuleExt, StateDict, Tensor};

/// Online AdaBN: before it predicts a batch, the running statistics of batch
/// normalisation move towards those of the batch, `r ← (1 - rate) r + rate b`;
/// weights stay. Unlike [`Tent`](crate::Tent) it has no loss to collapse, and
/// unlike [`adapt_batch_norm`](crate::adapt_batch_norm) it needs no target set
/// in advance. A rate of 1 forgets everything but the batch (Nado et al. 2020);
/// small ones keep the source as a prior (Schneider et al. 2020). Batches of one
/// sample are predicted without a move.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_dann::StreamNorm;
/// use tl_nn::{BatchNorm1d, Linear, Sequential, Tensor};
/// # fn main() -> tl_dann::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let model = Sequential::new().push(BatchNorm1d::new(4)).push(Linear::new(4, 2, &mut rng));
/// let mut stream = StreamNorm::new(model, 0.3)?;
/// let logits = stream.predict(&Tensor::ones([16, 4]))?;
/// # assert_eq!(logits.dims(), [16, 2]);
/// stream.reset()?; // the source model again
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StreamNorm<M> {
    model: M,
    source: StateDict,
    rate: f64,
}

impl<M: Forward> StreamNorm<M> {
    /// Follows a stream with this model.
    ///
    /// # Errors
    /// A model without batch normalisation that is not frozen; a rate that is not
    /// above 0 and at most 1.
    pub fn new(model: M, rate: f64) -> Result<Self> {
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(Error::argument("stream", "rate", rate, "above 0, at most 1"));
        }
        if normalised(&model).is_empty() {
            let expected = "a model with batch normalisation that is not frozen";
            return Err(Error::argument("stream", "model", "without any", expected));
        }
        let source = model.state_dict();
        Ok(Self { model, source, rate })
    }

    /// Logits of a batch, after the statistics have moved.
    ///
    /// # Errors
    /// Those of the model.
    pub fn predict(&mut self, x: &Tensor) -> Result<Tensor> {
        if x.dims().first().is_some_and(|n| *n > 1) {
            self.follow(x)?;
        }
        Ok(self.model.forward(x, &mut Ctx::eval())?.detach())
    }

    /// A layer moves by its own momentum, so what it makes of a batch is brought
    /// to the rate of the stream: with `r' = (1 - m) r + m b`, `b` follows from a
    /// pass with `r = 0` and one with `r = 1`, as in AdaBN.
    fn follow(&mut self, x: &Tensor) -> Result<()> {
        let batch = super::ada_bn::batch_statistics(&mut self.model, x)?;
        let rate = self.rate as f32;
        let mut at = 0;
        self.model.for_each_buffer(|path, buffer: &mut Buffer| {
            let new = &batch[at];
            at += 1;
            if is_statistic(path) && !buffer.is_frozen() {
                let old = buffer.tensor().mul_scalar(1.0 - rate);
                buffer.set_data(&old.add(&new.mul_scalar(rate))?)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Puts the statistics back to the source's.
    ///
    /// # Errors
    /// None that a valid model can cause.
    pub fn reset(&mut self) -> Result<()> {
        let _ = self.model.load(&self.source, &tl_nn::Load::strict())?;
        Ok(())
    }

    /// The model as it is now.
    pub fn model(&self) -> &M {
        &self.model
    }
}
