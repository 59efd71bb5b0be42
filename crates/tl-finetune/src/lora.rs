//! Low-rank adaptation of any model.

use crate::{Error, Result};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::{
    Ctx, Forward, Glob, Module, ModuleExt, Param, StateDict, Tensor, Visit, VisitMut, Weight,
};

/// How weights are adapted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// The rank `r`. Default 8.
    pub rank: usize,
    /// `s = alpha / r`, or `alpha / √r` with [`rank_stabilised`](Self::rank_stabilised).
    /// Default 8.
    pub alpha: f32,
    /// rsLoRA (Kalajdzievski 2023): `s = alpha / √r`.
    #[serde(default)]
    pub rank_stabilised: bool,
    /// The weights, as [`Glob`]s of their paths, such as `**.q_proj.weight`. A
    /// weight of a convolution `[out, in, h, w]` counts as `[out, in·h·w]`.
    pub targets: Vec<String>,
    /// What else is trained as it is, such as a new head.
    #[serde(default)]
    pub train: Vec<String>,
}

impl LoraConfig {
    /// Rank and alpha of 8 for these weights.
    pub fn new<S: Into<String>>(targets: impl IntoIterator<Item = S>) -> Self {
        let targets = targets.into_iter().map(Into::into).collect();
        Self { rank: 8, alpha: 8.0, rank_stabilised: false, targets, train: Vec::new() }
    }

    /// Sets the rank, and alpha to the same.
    #[must_use]
    pub fn rank(mut self, rank: usize) -> Self {
        (self.rank, self.alpha) = (rank, rank as f32);
        self
    }

    /// Also trains what these patterns name.
    #[must_use]
    pub fn train<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.train = patterns.into_iter().map(Into::into).collect();
        self
    }

    fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        self.alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }
}

/// The two matrices of one weight.
#[derive(Clone, Debug)]
struct Adapter {
    path: String,
    /// `[r, in]`, Kaiming-uniform with `a = √5`.
    a: Param,
    /// `[out, r]`, zeros: the model begins as it was.
    b: Param,
}

/// LoRA (Hu et al. 2022, eq. 3): a frozen model whose weights `W` count as
/// `W + s B A` with trained `A` `[r, in]` and `B` `[out, r]`. Works on any
/// [`Module`] by the paths of its weights, whatever its layers are.
///
/// The sum is formed in every pass, so a pass costs the frozen one plus `B A`;
/// merged, there is no cost at all. There is no dropout on the adapters: it could
/// not be merged.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_finetune::{Lora, LoraConfig};
/// use tl_nn::{Ctx, Forward, Linear, ModuleExt, Sequential, Tensor};
/// # fn main() -> tl_finetune::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let base = Sequential::new()
///     .named("body", Linear::new(16, 16, &mut rng)).named("fc", Linear::new(16, 3, &mut rng));
/// let x = Tensor::ones([2, 16]);
/// let before = base.forward(&x, &mut Ctx::eval())?;
///
/// let config = LoraConfig::new(["body.weight"]).rank(2).train(["fc.**"]);
/// let lora = Lora::new(base, config, 0)?;
/// assert_eq!(lora.count_params().0, 2 * 16 * 2 + 16 * 3 + 3); // trained numbers
/// assert_eq!(lora.forward(&x, &mut Ctx::eval())?.to_vec(), before.to_vec());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Lora<M> {
    base: M,
    adapters: Vec<Adapter>,
    config: LoraConfig,
}

impl<M: Module> Module for Lora<M> {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        v.enter("base");
        self.base.visit(v);
        v.leave();
        for adapter in &self.adapters {
            v.enter(&adapter.path);
            v.enter("lora_A");
            v.param(&adapter.a);
            v.leave();
            v.enter("lora_B");
            v.param(&adapter.b);
            v.leave();
            v.leave();
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        v.enter("base");
        self.base.visit_mut(v);
        v.leave();
        for adapter in &mut self.adapters {
            v.enter(&adapter.path);
            v.enter("lora_A");
            v.param(&mut adapter.a);
            v.leave();
            v.enter("lora_B");
            v.param(&mut adapter.b);
            v.leave();
            v.leave();
        }
    }
}

impl<M: Module> Lora<M> {
    /// Freezes `base` but for what is to be trained as it is, and adds adapters.
    ///
    /// # Errors
    /// A rank of 0; a pattern that is not valid or matches no weight; a weight
    /// that is no matrix or convolution.
    pub fn new(mut base: M, config: LoraConfig, seed: u64) -> Result<Self> {
        if config.rank == 0 || !config.alpha.is_finite() {
            let got = format!("rank {}, alpha {}", config.rank, config.alpha);
            return Err(Error::argument("lora", "rank, alpha", got, "a rank of 1 or more"));
        }
        let _ = base.freeze("**")?;
        for pattern in &config.train {
            let _ = base.unfreeze(pattern)?;
        }
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut adapters: Vec<Adapter> = Vec::new();
        for pattern in &config.targets {
            let glob = Glob::new(pattern)?;
            let mut found = 0;
            for (path, param) in base.params() {
                if !glob.matches(&path) {
                    continue;
                }
                found += 1;
                if !adapters.iter().any(|a| a.path == path) {
                    adapters.push(adapter(&path, param, config.rank, rng)?);
                }
            }
            if found == 0 {
                let known: Vec<String> =
                    base.params().into_iter().map(|(p, _)| p).take(12).collect();
                let expected = format!("a pattern of weights, among: {}", known.join(", "));
                return Err(Error::argument("lora", "targets", pattern, expected));
            }
        }
        Ok(Self { base, adapters, config })
    }

    /// The settings.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The frozen model below.
    pub fn base(&self) -> &M {
        &self.base
    }

    /// The model with `W + s B A` in the place of every adapted `W`, in double
    /// precision, without adapters: as fast as the base, loadable wherever the
    /// base was.
    ///
    /// # Errors
    /// None that a valid model can cause.
    pub fn merge(&self) -> Result<M> {
        let mut merged = self.base.clone();
        let scale = f64::from(self.config.scale());
        merged.for_each_param(|path, param| {
            if let Some(adapter) = self.adapters.iter().find(|a| a.path == path) {
                let w = param.tensor().detach().cast::<f64>();
                let (a, b) = (adapter.a.tensor().detach(), adapter.b.tensor().detach());
                let change = b.cast::<f64>().matmul(&a.cast::<f64>())?.mul_scalar(scale);
                param.set_data(&w.add(&change.reshape(*w.shape())?)?.cast::<f32>())?;
            }
            Ok(())
        })?;
        Ok(merged)
    }

    /// The adapters, and what else was trained, under the names that PEFT gives
    /// them in `adapter_model.safetensors`: a small file. Weights that are not
    /// called `weight` keep their whole path.
    pub fn adapter_state(&self) -> StateDict {
        let mut dict = StateDict::new();
        for adapter in &self.adapters {
            let (a, b) = names(&adapter.path);
            dict.insert(a, Weight::new(adapter.a.tensor()));
            dict.insert(b, Weight::new(adapter.b.tensor()));
        }
        for (path, param) in self.base.params() {
            if !param.is_frozen() {
                dict.insert(format!("base_model.model.{path}"), Weight::new(param.tensor()));
            }
        }
        dict
    }

    /// Loads what [`adapter_state`](Self::adapter_state) or PEFT saved.
    ///
    /// # Errors
    /// A name that is missing; a shape that differs. The model is then as before.
    pub fn load_adapter(&mut self, dict: &StateDict) -> Result<()> {
        let mut next = self.clone();
        for adapter in &mut next.adapters {
            let (a, b) = names(&adapter.path);
            adapter.a.set_data(&dict.tensor(&a)?)?;
            adapter.b.set_data(&dict.tensor(&b)?)?;
        }
        next.base.for_each_param(|path, param| {
            if !param.is_frozen() {
                param.set_data(&dict.tensor(&format!("base_model.model.{path}"))?)?;
            }
            Ok(())
        })?;
        *self = next;
        Ok(())
    }
}

/// PEFT's names for the adapters of a weight.
fn names(path: &str) -> (String, String) {
    let module = path.strip_suffix(".weight").unwrap_or(path);
    let name = |part| format!("base_model.model.{module}.{part}.weight");
    (name("lora_A"), name("lora_B"))
}

fn adapter(path: &str, param: &Param, rank: usize, rng: &mut dyn RngCore) -> Result<Adapter> {
    let (out, inputs) = match param.dims() {
        [out, rest @ ..] if !rest.is_empty() => (*out, rest.iter().product::<usize>()),
        other => {
            let got = format!("`{path}` {other:?}");
            return Err(Error::argument("lora", "targets", got, "weights of two axes or more"));
        }
    };
    // Kaiming-uniform with a = √5 is uniform in ±1/√in.
    let bound = 1.0 / (inputs.max(1) as f32).sqrt();
    let a = tl_nn::init::uniform([rank, inputs], -bound, bound, rng);
    let b = Tensor::zeros([out, rank]);
    Ok(Adapter { path: path.to_owned(), a: Param::new(a), b: Param::new(b) })
}

impl<M: Forward> Forward for Lora<M> {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let mut model = self.base.clone();
        let scale = self.config.scale();
        let mut originals = self.base.params().into_iter();
        model.for_each_param(|path, param| {
            let Some((_, own)) = originals.next() else { return Ok(()) };
            let Some(adapter) = self.adapters.iter().find(|a| a.path == path) else {
                // The variable itself, so that its gradient is this model's.
                param.replace(own.tensor().clone());
                return Ok(());
            };
            let change = adapter.b.tensor().matmul(adapter.a.tensor())?.mul_scalar(scale);
            param.replace(own.tensor().add(&change.reshape(*own.tensor().shape())?)?);
            Ok(())
        })?;
        // The statistics of the base are frozen, so the copy records none.
        model.forward(x, cx)
    }
}
