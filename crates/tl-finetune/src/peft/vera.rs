//! VeRA: shared random matrices and learned vectors.

use super::site::Site;
use crate::{Error, Result};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::{Ctx, Param, Tensor, init};

/// VeRA (Kopiczko et al. 2024, eq. 2): `W` counts as `W + Λ_b B Λ_d A`. `A` and
/// `B` are random, frozen and shared by all layers (the corner of one large
/// matrix that fits); only the vectors `d` `[r]` and `b` `[out]` are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VeraConfig {
    /// The rank. Default 256: it costs little here.
    pub rank: usize,
    /// The value at which `d` begins. Default 0.1.
    pub d_initial: f32,
    /// What the shared matrices are drawn from. They are saved with the vectors.
    pub projection_seed: u64,
    /// The part of the inputs that is dropped in training. Default 0.
    #[serde(default)]
    pub dropout: f64,
    /// The modules whose weights are adapted (matrices only): see
    /// [`attach`](super::attach).
    pub targets: Vec<String>,
    /// Modules that are trained whole, such as a new head.
    #[serde(default)]
    pub train: Vec<String>,
}

impl VeraConfig {
    /// The defaults for these modules.
    pub fn new<S: Into<String>>(targets: impl IntoIterator<Item = S>) -> Self {
        Self {
            rank: 256,
            d_initial: 0.1,
            projection_seed: 0,
            dropout: 0.0,
            targets: targets.into_iter().map(Into::into).collect(),
            train: Vec::new(),
        }
    }

    /// Sets the rank.
    #[must_use]
    pub fn rank(mut self, rank: usize) -> Self {
        self.rank = rank;
        self
    }

    /// Also trains these modules, whole.
    #[must_use]
    pub fn train<S: Into<String>>(mut self, modules: impl IntoIterator<Item = S>) -> Self {
        self.train = modules.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.rank == 0 || !self.d_initial.is_finite() {
            let got = format!("rank {}, d {}", self.rank, self.d_initial);
            return Err(Error::argument("VeRA", "rank, d_initial", got, "a rank of 1 or more"));
        }
        super::check_dropout("VeRA", self.dropout)
    }

    /// The shared matrices `[r, in]` and `[out, r]` for the largest layer, both
    /// Kaiming-uniform as in the authors' code.
    pub(super) fn shared(&self, out: usize, inputs: usize) -> (Tensor, Tensor) {
        let rng = &mut ChaCha8Rng::seed_from_u64(self.projection_seed);
        let draw = |shape: [usize; 2], rng: &mut dyn RngCore| {
            let bound = (3.0 / shape[1].max(1) as f32).sqrt();
            init::uniform(shape, -bound, bound, rng)
        };
        (draw([self.rank, inputs], rng), draw([out, self.rank], rng))
    }
}

/// The vectors of one layer, and its corner of the shared matrices.
#[derive(Clone, Debug)]
pub(super) struct VeraLayer {
    /// `[r]`.
    pub(super) d: Param,
    /// `[out]`.
    pub(super) b: Param,
    /// The whole shared matrices.
    pub(super) shared: (Tensor, Tensor),
    pub(super) dropout: f64,
}

impl VeraLayer {
    pub(super) fn new(config: &VeraConfig, w: &Tensor, shared: &(Tensor, Tensor)) -> Self {
        Self {
            d: Param::new(Tensor::full(config.rank, config.d_initial)),
            b: Param::new(Tensor::zeros(w.dims()[0])),
            shared: shared.clone(),
            dropout: config.dropout,
        }
    }

    /// `Λ_d A` `[r, in]` and `Λ_b B` `[out, r]`.
    fn factors(&self, w: &Tensor) -> Result<(Tensor, Tensor)> {
        let a = self.shared.0.narrow(1, 0, w.dims()[1])?;
        let b = self.shared.1.narrow(0, 0, w.dims()[0])?;
        let column = |v: &Tensor| v.reshape([v.numel(), 1]);
        Ok((a.mul(&column(self.d.tensor())?)?, b.mul(&column(self.b.tensor())?)?))
    }

    pub(super) fn change(&self, w: &Tensor) -> Result<Tensor> {
        let (a, b) = self.factors(w)?;
        Ok(b.matmul(&a)?)
    }

    /// What is added to the output of the layer.
    pub(super) fn delta(
        &self,
        site: Site<'_>,
        x: &Tensor,
        w: &Tensor,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let drops = self.dropout > 0.0 && cx.is_train();
        let x = if drops { x.dropout(self.dropout, cx.rng())? } else { x.clone() };
        let (a, b) = self.factors(w)?;
        site.up(&site.full(&x, &a, None)?, &b)
    }
}
