//! Adapters on a model.

use super::{
    PeftConfig, Whole,
    bottleneck::BottleneckLayer,
    ia3::Ia3Layer,
    lora::LoraLayer,
    manage,
    stack::{self, Kind, Slot},
    vera::VeraLayer,
};
use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeSet, sync::Arc};
use tl_nn::{Glob, Module, ModuleExt, Param, Tensor};

/// What was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The paths of the parameters that are adapted.
    pub adapted: Vec<String>,
    /// The paths of those that are trained whole.
    pub whole: Vec<String>,
    /// Numbers that are trained.
    pub trainable: usize,
    /// Numbers of the model without adapters.
    pub of: usize,
}

impl Attached {
    /// The part of the numbers that is trained, 0 to 1.
    pub fn part(&self) -> f64 {
        self.trainable as f64 / self.of.max(1) as f64
    }
}

/// Freezes a model, statistics of normalisation too, and puts new adapters on
/// it, under a name. They are the active ones then, and the only ones that are
/// trained; adapters that were there stay, switched off.
///
/// A target names modules as PEFT's `target_modules` does: `query` is every module
/// whose path is `query` or ends in `.query`. With a `*` it is a [`Glob`] of module
/// paths, such as `encoder.layer.*.output.dense`. The
/// weight of a module is `weight`; other matrices, such as `in_proj_weight`, are
/// named whole.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_finetune::{LoraConfig, peft};
/// use tl_nn::{Ctx, Forward, Linear, Sequential, Tensor};
/// # fn main() -> tl_finetune::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let mut net = Sequential::new()
///     .named("body", Linear::new(16, 16, &mut rng)).named("fc", Linear::new(16, 3, &mut rng));
/// let x = Tensor::ones([2, 16]);
/// let before = net.forward(&x, &mut Ctx::eval())?;
///
/// let config = LoraConfig::new(["body"]).rank(2).train(["fc"]);
/// let attached = peft::attach(&mut net, "default", config, 0)?;
/// assert_eq!(attached.trainable, 2 * 16 * 2 + 16 * 3 + 3);
/// assert_eq!(net.forward(&x, &mut Ctx::eval())?.to_vec(), before.to_vec());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A configuration out of range; a target that matches nothing or what the method
/// cannot adapt; a name that is taken, or has a dot; a model that is merged. The
/// model is then as before.
pub fn attach<M: Module>(
    model: &mut M,
    name: &str,
    config: impl Into<PeftConfig>,
    seed: u64,
) -> Result<Attached> {
    let config: Arc<PeftConfig> = Arc::new(config.into());
    config.check()?;
    manage::check_new(model, name)?;
    let sites = sites(model);
    let of = sites.iter().map(|s| s.tensor.numel()).sum();
    let adapted = adapted(&config, &sites)?;
    let whole = whole(&config, &sites, &adapted)?;
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let shared = vera_shared(&config, &adapted);
    let mut layers: Vec<(String, Kind)> = Vec::new();
    for site in &adapted {
        let w = &site.tensor;
        let kind = match &*config {
            PeftConfig::Lora(c) => Kind::Lora(LoraLayer::new(c, w, rng)?),
            PeftConfig::Ia3(c) => {
                let input = c.feed_forward.iter().any(|t| named(t, &site.module).unwrap_or(false));
                Kind::Ia3(Ia3Layer::new(w, input))
            }
            PeftConfig::Vera(c) => match &shared {
                Some(shared) => Kind::Vera(VeraLayer::new(c, w, shared)),
                None => continue,
            },
            PeftConfig::Bottleneck(c) => Kind::Bottleneck(BottleneckLayer::new(c.width, w, rng)),
            PeftConfig::Whole(_) => continue,
        };
        layers.push((site.path.clone(), kind));
    }
    for site in &whole {
        layers.push((site.path.clone(), Kind::Whole(Param::new(site.tensor.clone()))));
    }
    put(model, name, &config, layers)?;
    let paths = |sites: &[&Place]| sites.iter().map(|s| s.path.clone()).collect();
    Ok(Attached {
        adapted: paths(&adapted),
        whole: paths(&whole),
        trainable: model.count_params().0,
        of,
    })
}

/// Freezes the model, adds the layers by path, and makes them the active ones.
pub(super) fn put<M: Module>(
    model: &mut M,
    name: &str,
    config: &Arc<PeftConfig>,
    layers: Vec<(String, Kind)>,
) -> Result<()> {
    let _ = model.freeze("**")?;
    let mut layers: std::collections::HashMap<String, Kind> = layers.into_iter().collect();
    model.for_each_param(|path, param| {
        if let Some(kind) = layers.remove(path) {
            let config = config.clone();
            stack::push(param, Slot { name: name.to_owned(), config, part: 0.0, kind });
        }
        Ok(())
    })?;
    manage::activate(model, &[(name, 1.0)])
}

/// A parameter of the model itself.
pub(super) struct Place {
    pub(super) path: String,
    /// The path of its module, or its own where it is not called `weight`.
    pub(super) module: String,
    pub(super) tensor: Tensor,
    /// Whether the module keeps running statistics.
    statistics: bool,
}

/// The model's own parameters, without those of adapters.
pub(super) fn sites<M: Module>(model: &M) -> Vec<Place> {
    let running: BTreeSet<String> = model.buffers().into_iter().map(|(path, _)| path).collect();
    let mut places: Vec<Place> = Vec::new();
    let mut inside: Option<String> = None;
    for (path, param) in model.params() {
        if inside.as_ref().is_some_and(|p| path.starts_with(p.as_str())) {
            continue;
        }
        inside = param.adapter().map(|_| format!("{path}."));
        let module = path.strip_suffix(".weight").unwrap_or(&path).to_owned();
        let statistics = running.contains(&format!("{module}.running_mean"));
        places.push(Place { path, module, tensor: param.tensor().detach(), statistics });
    }
    places
}

/// Whether a target names a module.
pub(super) fn named(target: &str, module: &str) -> Result<bool> {
    if target.contains('*') {
        return Ok(Glob::new(target)?.matches(module));
    }
    Ok(module == target || module.strip_suffix(target).is_some_and(|rest| rest.ends_with('.')))
}

fn nothing(what: &'static str, field: &'static str, target: &str, known: &[&str]) -> Error {
    let shown = known.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    let more = if known.len() > 12 { ", .." } else { "" };
    Error::argument(what, field, format!("`{target}`"), format!("one of the modules {shown}{more}"))
}

fn adapted<'a>(config: &PeftConfig, places: &'a [Place]) -> Result<Vec<&'a Place>> {
    let what = config.method();
    let targets = config.targets();
    let mut found: Vec<&Place> = Vec::new();
    for target in targets {
        let before = found.len();
        let mut again = false;
        for place in places {
            if !named(target, &place.module)? {
                continue;
            }
            if found.iter().any(|p| p.path == place.path) {
                again = true;
                continue;
            }
            let axes = place.tensor.rank();
            let fits = match config {
                PeftConfig::Lora(_) => axes >= 2,
                PeftConfig::Ia3(_) => axes >= 2 && place.path != place.module,
                _ => axes == 2 && place.path != place.module,
            };
            if !fits {
                let got = format!("`{}` {:?}", place.path, place.tensor.dims());
                let expected = match config {
                    PeftConfig::Lora(_) => "weights of two axes or more",
                    PeftConfig::Ia3(_) => "weights of layers, of two axes or more",
                    _ => "weights of affine layers",
                };
                return Err(Error::argument(what, "targets", got, expected));
            }
            found.push(place);
        }
        if found.len() == before && !again {
            let known: Vec<&str> =
                places.iter().filter(|p| p.tensor.rank() >= 2).map(|p| p.module.as_str()).collect();
            return Err(nothing(what, "targets", target, &known));
        }
    }
    if found.is_empty() && !matches!(config, PeftConfig::Whole(_)) {
        return Err(Error::argument(what, "targets", "none", "at least one module"));
    }
    Ok(found)
}

/// The modules that a path is in, from the outermost.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.char_indices().filter(|(_, c)| *c == '.').map(|(i, _)| &path[..i])
}

fn whole<'a>(
    config: &PeftConfig,
    places: &'a [Place],
    adapted: &[&Place],
) -> Result<Vec<&'a Place>> {
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    let mut targets: Vec<(&'static str, &String)> =
        config.train().iter().map(|t| ("train", t)).collect();
    if let PeftConfig::Whole(whole) = config {
        match &whole.what {
            Whole::Biases => {
                let biases = |p: &&Place| p.path == "bias" || p.path.ends_with(".bias");
                paths.extend(places.iter().filter(biases).map(|p| p.path.as_str()));
            }
            Whole::LayerNorms => paths.extend(norms(places)),
            Whole::Modules(modules) => targets.extend(modules.iter().map(|t| ("modules", t))),
        }
        if paths.is_empty() && targets.iter().all(|(field, _)| *field == "train") {
            let expected = "a model that has some; choose another method";
            return Err(Error::argument("adapters", "what", format!("{:?}", whole.what), expected));
        }
    }
    for (field, target) in targets {
        let before = paths.len();
        for place in places {
            for module in ancestors(&place.path).chain([place.path.as_str()]) {
                if named(target, module)? {
                    paths.insert(&place.path);
                }
            }
        }
        if paths.len() == before {
            let known: Vec<&str> = places.iter().map(|p| p.module.as_str()).collect();
            return Err(nothing(config.method(), field, target, &known));
        }
    }
    if let Some(both) = adapted.iter().find(|p| paths.contains(p.path.as_str())) {
        let got = format!("`{}`, which is a target too", both.path);
        return Err(Error::argument(config.method(), "train", got, "modules that are no targets"));
    }
    Ok(places.iter().filter(|p| paths.contains(p.path.as_str())).collect())
}

/// Scale and shift of normalisation: vectors called weight and bias side by side,
/// without running statistics.
fn norms(places: &[Place]) -> impl Iterator<Item = &str> {
    let scale = |p: &&Place| p.tensor.rank() == 1 && p.path != p.module && !p.statistics;
    let modules: BTreeSet<&str> = places.iter().filter(scale).map(|p| p.module.as_str()).collect();
    places.iter().filter_map(move |p| {
        let module = p.path.strip_suffix(".weight").or_else(|| p.path.strip_suffix(".bias"))?;
        modules.contains(module).then_some(p.path.as_str())
    })
}

fn vera_shared(config: &PeftConfig, places: &[&Place]) -> Option<(Tensor, Tensor)> {
    let PeftConfig::Vera(config) = config else { return None };
    let most = |axis: usize| places.iter().map(|p| p.tensor.dims()[axis]).max().unwrap_or(1);
    Some(config.shared(most(0), most(1)))
}
