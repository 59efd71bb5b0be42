//! What is hidden or noisy is made whole: denoising, masked pixels, VIME.

use super::{Heads, Net, Sizes, Task, mlp};
use crate::{
    Columns, Result, Views,
    corrupt::{HidePatches, SwapColumns},
};
use rand::RngCore;
use tl_data::Batch;
use tl_nn::{
    Ctx, Forward, Linear, Losses, Reduction, Sequential, Tensor,
    loss::{bce_with_logits, mse},
};

fn decoder(sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Heads {
    let numbers = sizes.sample.iter().product();
    let decoder = Some(mlp(sizes.features, sizes.width, numbers, rng));
    Heads { decoder, ..Heads::default() }
}

/// The sample from a view.
pub(crate) struct Denoise;

impl<M: Forward> Task<M> for Denoise {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        Ok(decoder(sizes, rng))
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let x = &batch.features;
        let noisy = views.one(x, cx)?;
        let rebuilt = net.decode(&noisy, cx)?.reshape(*x.shape())?;
        Ok(Losses::new(mse(&rebuilt, x, Reduction::Mean)?))
    }
}

/// Hidden patches of a view.
pub(crate) struct Masked(pub(crate) HidePatches);

impl<M: Forward> Task<M> for Masked {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        Ok(decoder(sizes, rng))
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let x = views.one(&batch.features, cx)?;
        let (seen, mask) = self.0.blank(&x, &mut cx.fork_rng())?;
        let rebuilt = net.decode(&seen, cx)?.reshape(*x.shape())?;
        let mask = mask.broadcast_to(*x.shape())?;
        let hidden = mask.sum_all().item()?;
        let wrong = rebuilt.sub(&x)?.square().mul(&mask)?.sum_all();
        Ok(Losses::new(wrong.mul_scalar(1.0 / hidden)))
    }
}

/// Swapped columns.
pub(crate) struct Vime {
    swap: SwapColumns,
    alpha: f64,
    columns: Columns,
}

impl Vime {
    pub(crate) fn new(swap: SwapColumns, alpha: f64) -> Self {
        Self { swap, alpha, columns: Columns::numbers(0) }
    }

    /// Squared errors of columns of one feature, cross entropies of the others;
    /// a mean over columns.
    fn values(&self, rebuilt: &Tensor, x: &Tensor) -> tl_nn::Result<Tensor> {
        let mut total = Tensor::scalar(0.0);
        for column in self.columns.iter() {
            let (start, len) = (column.start, column.len());
            let (guess, truth) = (rebuilt.narrow(1, start, len)?, x.narrow(1, start, len)?);
            let loss = if len == 1 {
                mse(&guess, &truth, Reduction::Mean)?
            } else {
                // A missing category is all zeros, and adds nothing.
                truth.mul(&guess.log_softmax(-1)?)?.sum(-1, false)?.mean_all().neg()
            };
            total = total.add(&loss)?;
        }
        Ok(total.mul_scalar(1.0 / self.columns.len().max(1) as f32))
    }
}

impl<M: Forward> Task<M> for Vime {
    /// One layer for the mask, one for the values, side by side.
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        self.columns = sizes.columns.clone();
        let outputs = self.columns.len() + self.columns.features();
        let both = Sequential::new().push(Linear::new(sizes.features, outputs, rng));
        Ok(Heads { decoder: Some(both), ..Heads::default() })
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        _views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let x = &batch.features;
        let (changed, mask) = self.swap.corrupt(x, &self.columns, &mut cx.fork_rng())?;
        let both = net.decode(&changed, cx)?;
        let columns = self.columns.len();
        let swapped = bce_with_logits(&both.narrow(1, 0, columns)?, &mask, None, Reduction::Mean)?;
        let values = self.values(&both.narrow(1, columns, self.columns.features())?, x)?;
        let total = swapped.add(&values.mul_scalar(self.alpha as f32))?;
        Ok(Losses::new(total).part("mask", &swapped).part("values", &values))
    }
}
