//! Losses of the projections of all views at once: SimCLR, SupCon, VICReg,
//! Barlow Twins.

use super::{Heads, Net, Sizes, Task};
use crate::{Method, Result, Views, barlow_twins, nt_xent_views, sup_con, vicreg};
use rand::RngCore;
use tl_data::Batch;
use tl_nn::{Ctx, Forward, Losses, Tensor};

/// A loss of projections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joint {
    method: Method,
}

impl Joint {
    pub(crate) fn new(method: Method) -> Self {
        Self { method }
    }

    /// The loss of the views' projections `[n, d]`. Losses of two views are the
    /// mean over all pairs of views.
    pub(crate) fn of(&self, z: &[Tensor], batch: &Batch) -> Result<Tensor> {
        match self.method {
            Method::SupCon { temperature } => {
                let one = batch.labels()?.as_slice().to_vec();
                let all: Vec<&Tensor> = z.iter().collect();
                sup_con(&Tensor::cat(&all, 0)?, &one.repeat(z.len()), temperature)
            }
            Method::VicReg(weights) => pairs(z, |a, b| vicreg(a, b, &weights)),
            Method::BarlowTwins { lambda } => pairs(z, |a, b| barlow_twins(a, b, lambda)),
            Method::SimClr { temperature } => nt_xent_views(z, temperature),
            _ => nt_xent_views(z, 0.5),
        }
    }
}

fn pairs(z: &[Tensor], loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let mut all = Vec::new();
    for (i, a) in z.iter().enumerate() {
        for b in &z[i + 1..] {
            all.push(loss(a, b)?);
        }
    }
    let all: Vec<&Tensor> = all.iter().collect();
    Ok(Tensor::stack(&all, 0)?.mean_all())
}

impl<M: Forward> Task<M> for Joint {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        Ok(Heads::projector(sizes.projector(rng)))
    }

    /// The views pass the network one after the other, each with the statistics
    /// of its own batch.
    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let views = views.whole(&batch.features, cx)?;
        let z: Vec<Tensor> =
            views.iter().map(|x| net.project(x, cx)).collect::<tl_nn::Result<_>>()?;
        Ok(Losses::new(self.of(&z, batch)?))
    }

    fn joint(&self) -> Option<&Joint> {
        Some(self)
    }
}
