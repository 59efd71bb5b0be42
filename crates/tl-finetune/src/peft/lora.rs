//! Low-rank changes: LoRA, rsLoRA and DoRA.

use super::site::Site;
use crate::{Error, Result};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{Ctx, Module, Param, Tensor, Visit, VisitMut, init};
use tl_tensor::Activation;

/// How `A` and `B` begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraInit {
    /// `A` Kaiming-uniform with `a = √5`, so uniform in `±1/√in`; `B` zero: the
    /// model begins as it was.
    #[default]
    Kaiming,
    /// `A` normal with deviation `1/r`, `B` zero.
    Gaussian,
    /// Both Kaiming-uniform: the model begins as another one. For tests.
    Random,
}

/// LoRA (Hu et al. 2022, eq. 3): `W` counts as `W + s B A` with trained `A`
/// `[r, in]` and `B` `[out, r]`.
///
/// A layer's output is `x Wᵀ + b + s (drop(x) Aᵀ) Bᵀ`: no product of the size of
/// `W` is spent on the change, and none on a gradient of `W`. A convolution
/// `[out, in, h, w]` has an `A` `[r, in, h, w]` of the same stride and a `B` of
/// 1×1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// The rank `r`. Default 8.
    pub rank: usize,
    /// `s = alpha / r`, or `alpha / √r` with
    /// [`rank_stabilised`](Self::rank_stabilised). Default 8.
    pub alpha: f32,
    /// rsLoRA (Kalajdzievski 2023): `s = alpha / √r`.
    #[serde(default)]
    pub rank_stabilised: bool,
    /// The part of the inputs of `A` that is dropped in training. Default 0.
    #[serde(default)]
    pub dropout: f64,
    /// How `A` and `B` begin.
    #[serde(default)]
    pub init: LoraInit,
    /// DoRA (Liu et al. 2024, eq. 5): `W` counts as `m V / ‖V‖` with
    /// `V = W + s B A` and the norm of each row; `m`, which begins at `‖W‖`, is
    /// trained too. The norm is a constant in the backward pass (section 4.3).
    #[serde(default)]
    pub dora: bool,
    /// The modules whose weights are adapted: see [`attach`](super::attach).
    pub targets: Vec<String>,
    /// Modules that are trained whole, such as a new head.
    #[serde(default)]
    pub train: Vec<String>,
}

impl LoraConfig {
    /// Rank and alpha of 8 for these modules.
    pub fn new<S: Into<String>>(targets: impl IntoIterator<Item = S>) -> Self {
        Self {
            rank: 8,
            alpha: 8.0,
            rank_stabilised: false,
            dropout: 0.0,
            init: LoraInit::Kaiming,
            dora: false,
            targets: targets.into_iter().map(Into::into).collect(),
            train: Vec::new(),
        }
    }

    /// Sets the rank, and alpha to the same.
    #[must_use]
    pub fn rank(mut self, rank: usize) -> Self {
        (self.rank, self.alpha) = (rank, rank as f32);
        self
    }

    /// Sets alpha.
    #[must_use]
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the dropout.
    #[must_use]
    pub fn dropout(mut self, part: f64) -> Self {
        self.dropout = part;
        self
    }

    /// Also trains these modules, whole.
    #[must_use]
    pub fn train<S: Into<String>>(mut self, modules: impl IntoIterator<Item = S>) -> Self {
        self.train = modules.into_iter().map(Into::into).collect();
        self
    }

    /// Learns magnitudes apart from directions.
    #[must_use]
    pub fn dora(mut self) -> Self {
        self.dora = true;
        self
    }

    /// `s` for this rank.
    pub(super) fn scale(&self, rank: usize, alpha: f32) -> f32 {
        alpha / if self.rank_stabilised { (rank as f32).sqrt() } else { rank as f32 }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.rank == 0 || !self.alpha.is_finite() {
            let got = format!("rank {}, alpha {}", self.rank, self.alpha);
            return Err(Error::argument("LoRA", "rank, alpha", got, "a rank of 1 or more"));
        }
        super::check_dropout("LoRA", self.dropout)
    }
}

/// The two matrices of one weight, and the magnitudes of DoRA.
#[derive(Clone, Debug)]
pub(super) struct LoraLayer {
    /// `[r, in]` or `[r, in, h, w]`.
    pub(super) a: Param,
    /// `[out, r]`.
    pub(super) b: Param,
    /// `[out]`.
    pub(super) magnitude: Option<Param>,
    pub(super) scale: f32,
    pub(super) dropout: f64,
}

impl LoraLayer {
    pub(super) fn new(config: &LoraConfig, w: &Tensor, rng: &mut dyn RngCore) -> Result<Self> {
        let (out, rest, rank) = (w.dims()[0], &w.dims()[1..], config.rank);
        let shape = tl_nn::Shape::new(&[&[rank], rest].concat())?;
        let bound = |fan: usize| 1.0 / (fan.max(1) as f32).sqrt();
        let fan = bound(rest.iter().product());
        let a = match config.init {
            LoraInit::Gaussian => init::normal(shape, 0.0, 1.0 / rank as f32, rng),
            _ => init::uniform(shape, -fan, fan, rng),
        };
        let b = match config.init {
            LoraInit::Random => init::uniform([out, rank], -bound(rank), bound(rank), rng),
            _ => Tensor::zeros([out, rank]),
        };
        let mut layer = Self {
            a: Param::new(a),
            b: Param::new(b),
            magnitude: None,
            scale: config.scale(rank, config.alpha),
            dropout: config.dropout,
        };
        if config.dora {
            layer.magnitude = Some(Param::new(row_norms(&layer.direction(w)?)?));
        }
        Ok(layer)
    }

    /// `s B A`, in the shape of the weight.
    pub(super) fn change(&self, w: &Tensor) -> Result<Tensor> {
        let a = self.a.tensor();
        let a = if a.rank() > 2 { a.flatten(1, -1)? } else { a.clone() };
        let change = self.b.tensor().matmul(&a)?.mul_scalar(self.scale);
        Ok(change.reshape(*w.shape())?)
    }

    /// `V = W + s B A`.
    fn direction(&self, w: &Tensor) -> Result<Tensor> {
        Ok(w.add(&self.change(w)?)?)
    }

    /// `m / ‖V‖`, for each output.
    fn gain(&self, magnitude: &Param, w: &Tensor) -> Result<Tensor> {
        // A row of zeros has no direction, and its magnitude nothing to stretch.
        let norms = row_norms(&self.direction(w)?.detach())?.clamp(1e-12, f32::INFINITY);
        Ok(magnitude.tensor().div(&norms)?)
    }

    /// What counts in the place of `W`, minus `W`.
    pub(super) fn weight_change(&self, w: &Tensor) -> Result<Tensor> {
        let Some(magnitude) = &self.magnitude else { return self.change(w) };
        let gain = self.gain(magnitude, w)?;
        let shape = [&[gain.numel()], &vec![1; w.rank() - 1][..]].concat();
        let gain = gain.reshape(tl_nn::Shape::new(&shape)?)?;
        Ok(self.direction(w)?.mul(&gain)?.sub(w)?)
    }

    /// Whether [`linear`](Self::linear) says what this does: inputs are not dropped, and
    /// outputs not stretched.
    pub(super) fn fits_in(&self, train: bool) -> bool {
        self.magnitude.is_none() && !(train && self.dropout > 0.0)
    }

    /// The output of an affine layer with `part` of this change, and a function after it.
    pub(super) fn linear(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: Option<&Tensor>,
        part: f32,
        act: Activation,
    ) -> Result<Tensor> {
        let factors = [self.a.tensor(), self.b.tensor()];
        Ok(x.linear_low_rank(w, factors, part * self.scale, bias, act)?)
    }

    /// What is added to the output of the layer; `plain` is `x Wᵀ` without bias.
    pub(super) fn delta(
        &self,
        site: Site<'_>,
        x: &Tensor,
        w: &Tensor,
        plain: impl FnOnce() -> Result<Tensor>,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let drops = self.dropout > 0.0 && cx.is_train();
        let x = if drops { x.dropout(self.dropout, cx.rng())? } else { x.clone() };
        let hidden = site.full(&x, self.a.tensor(), None)?;
        let change = site.up(&hidden, self.b.tensor())?.mul_scalar(self.scale);
        let Some(magnitude) = &self.magnitude else { return Ok(change) };
        let gain = self.gain(magnitude, w)?;
        let plain = if drops { site.full(&x, w, None)? } else { plain()? };
        let less = site.channels(&gain.add_scalar(-1.0))?;
        Ok(plain.mul(&less)?.add(&change.mul(&site.channels(&gain)?)?)?)
    }

    pub(super) fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        for (name, param) in [("lora_A", &self.a), ("lora_B", &self.b)] {
            v.enter(name);
            param.visit(v);
            v.leave();
        }
        if let Some(magnitude) = &self.magnitude {
            v.enter("lora_magnitude_vector");
            magnitude.visit(v);
            v.leave();
        }
    }

    pub(super) fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        for (name, param) in [("lora_A", &mut self.a), ("lora_B", &mut self.b)] {
            v.enter(name);
            param.visit_mut(v);
            v.leave();
        }
        if let Some(magnitude) = &mut self.magnitude {
            v.enter("lora_magnitude_vector");
            magnitude.visit_mut(v);
            v.leave();
        }
    }
}

/// The Euclidean norm of each row of `[out, ..]`, `[out]`.
fn row_norms(w: &Tensor) -> Result<Tensor> {
    let w = if w.rank() > 2 { w.flatten(1, -1)? } else { w.clone() };
    Ok(w.norm(1, false)?.detach())
}
