//! What the methods do with a batch: heads of their own, a loss, and what
//! follows the encoder.

mod cluster;
mod colour;
mod follow;
mod joint;
mod net;
mod queue;
mod rebuild;
mod turn;

pub(crate) use follow::Follow;
pub(crate) use joint::Joint;
pub use net::projector;
pub(crate) use net::{Heads, Net, flat, mlp};

use crate::{Columns, Method, Result, Views};
use rand::RngCore;
use tl_data::Batch;
use tl_nn::{Ctx, Forward, Load, Losses, Module, ModuleExt, Sequential, StateDict, Tensor};

/// What is known of the samples and the encoder when heads are made.
pub(crate) struct Sizes<'a> {
    /// Features of a sample.
    pub(crate) features: usize,
    /// Width of the heads.
    pub(crate) width: usize,
    /// Layers of a projector.
    pub(crate) layers: usize,
    /// The sample's own shape.
    pub(crate) sample: &'a [usize],
    /// Its columns, if it is a row.
    pub(crate) columns: Columns,
}

impl Sizes<'_> {
    /// A projector of these sizes.
    fn projector(&self, rng: &mut dyn RngCore) -> Sequential {
        projector(self.features, self.width, self.width, self.layers, rng)
    }
}

/// What a method adds to an encoder.
pub(crate) trait Task<M: Module> {
    /// The heads, thrown away after the run.
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads>;

    /// The network with its heads, before the first step.
    fn begin(&mut self, net: &Net<M>) {
        let _ = net;
    }

    /// The loss of a batch.
    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses>;

    /// The loss as a function of the projections of all whole views, if it is one.
    fn joint(&self) -> Option<&Joint> {
        None
    }

    /// After a step, at a part of the run.
    fn after_step(&mut self, net: &Net<M>, progress: f64) -> tl_nn::Result<()> {
        let _ = (net, progress);
        Ok(())
    }

    /// What a resumed run needs.
    fn state(&self) -> StateDict {
        StateDict::new()
    }

    /// Goes on from it.
    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        let _ = state;
        Ok(())
    }
}

impl Method {
    /// The method at work.
    pub(crate) fn task<M: Forward + 'static>(self) -> Result<Box<dyn Task<M>>> {
        self.check()?;
        Ok(match self {
            Self::SimClr { .. }
            | Self::SupCon { .. }
            | Self::VicReg(_)
            | Self::BarlowTwins { .. } => Box::new(Joint::new(self)),
            Self::MoCo { temperature, momentum, queue } => {
                Box::new(queue::Queue::new(temperature, momentum, queue)?)
            }
            Self::Byol { decay } => Box::new(Follow::slow(decay)),
            Self::SimSiam => Box::new(Follow::twin()),
            Self::SwAv { prototypes } => Box::new(cluster::Swapped { prototypes }),
            Self::Dino { prototypes, decay, temperature } => {
                Box::new(cluster::Teacher::new(prototypes, decay, temperature))
            }
            Self::Rotation => Box::new(turn::Rotation),
            Self::Jigsaw { grid, orders } => Box::new(turn::Jigsaw::new(grid, orders)?),
            Self::Colour => Box::new(colour::Colour),
            Self::Denoise => Box::new(rebuild::Denoise),
            Self::Masked(hide) => Box::new(rebuild::Masked(hide)),
            Self::Vime { swap, alpha } => Box::new(rebuild::Vime::new(swap, alpha)),
        })
    }
}

/// BYOL's decay at a part of the run (Grill et al. 2020, section 3.3):
/// `1 - (1 - start) (cos(πp) + 1) / 2`, from `start` to 1.
pub fn byol_decay(start: f64, progress: f64) -> f64 {
    1.0 - (1.0 - start) * ((std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos() + 1.0) / 2.0
}

/// A slow copy of the network, frozen.
pub(crate) struct Slow<M: Module>(Option<tl_nn::Ema<Net<M>>>);

impl<M: Forward> Slow<M> {
    pub(crate) fn new() -> Self {
        Self(None)
    }

    fn begin(&mut self, net: &Net<M>) {
        self.0 = Some(tl_nn::Ema::new(net, 0.0));
    }

    /// Its projections: with statistics of the batch, without gradient. `None`
    /// before [`begin`](Self::begin).
    fn project(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Option<Tensor>> {
        let Some(slow) = &self.0 else { return Ok(None) };
        let seed = cx.rng().next_u64();
        let mut own = Ctx::train(seed).with_norm_stats(tl_nn::NormStats::Batch);
        Ok(Some(slow.model().project(x, &mut own)?.detach()))
    }

    /// As [`project`](Self::project), as scores of the copy's prototypes.
    fn scores(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Option<Tensor>> {
        let (Some(slow), Some(z)) = (&self.0, self.project(x, cx)?) else { return Ok(None) };
        Ok(Some(slow.model().scores(&z)?.detach()))
    }

    fn follow(&mut self, net: &Net<M>, decay: f64) -> tl_nn::Result<()> {
        match &mut self.0 {
            Some(slow) => slow.update_with(net, decay as f32),
            None => Ok(()),
        }
    }

    fn state(&self) -> StateDict {
        self.0.as_ref().map(|slow| slow.model().state_dict()).unwrap_or_default()
    }

    fn load(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        if let Some(slow) = &mut self.0 {
            let _ = slow.model_mut().load(state, &Load::strict())?;
        }
        Ok(())
    }
}
