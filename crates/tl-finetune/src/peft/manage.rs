//! Several adapters on one model.

use super::{
    PeftConfig,
    attach::{put, sites},
    ia3::Ia3Layer,
    lora::LoraLayer,
    stack::{self, Kind, Slot},
};
use crate::{Error, Result};
use std::{collections::HashMap, sync::Arc};
use tl_nn::{Adapt, Module, ModuleExt, Param, Tensor};

/// The names of the adapters on a model, in the order in which they came.
pub fn names<M: Module>(model: &M) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (_, param) in model.params() {
        for slot in stack::of(param).into_iter().flat_map(|s| s.slots.iter()) {
            if !names.contains(&slot.name) {
                names.push(slot.name.clone());
            }
        }
    }
    names
}

/// The names of the active adapters and how much of each counts.
pub fn active<M: Module>(model: &M) -> Vec<(String, f32)> {
    let mut names: Vec<(String, f32)> = Vec::new();
    for (_, param) in model.params() {
        for slot in stack::of(param).into_iter().flat_map(|s| s.slots.iter()) {
            if slot.part != 0.0 && !names.iter().any(|(n, _)| *n == slot.name) {
                names.push((slot.name.clone(), slot.part));
            }
        }
    }
    names
}

fn merged<M: Module>(model: &M) -> bool {
    model.params().iter().any(|(_, p)| stack::of(p).is_some_and(|s| s.before.is_some()))
}

fn refuse_merged<M: Module>(what: &'static str, model: &M) -> Result<()> {
    if merged(model) {
        return Err(Error::argument(what, "model", "merged", "`peft::unmerge` first"));
    }
    Ok(())
}

pub(super) fn check_new<M: Module>(model: &M, name: &str) -> Result<()> {
    refuse_merged("attach", model)?;
    if name.is_empty() || name.contains('.') {
        return Err(Error::argument(
            "adapters",
            "name",
            format!("`{name}`"),
            "a name without dots",
        ));
    }
    if names(model).iter().any(|n| n == name) {
        let expected = "a name that is free; `peft::detach` takes an adapter off";
        return Err(Error::argument("adapters", "name", format!("`{name}`"), expected));
    }
    Ok(())
}

fn check_known<M: Module>(model: &M, name: &str) -> Result<()> {
    let known = names(model);
    if known.iter().any(|n| n == name) {
        return Ok(());
    }
    let expected = match &known[..] {
        [] => "an adapter; the model has none".to_owned(),
        known => format!("one of: {}", known.join(", ")),
    };
    Err(Error::argument("adapters", "name", format!("`{name}`"), expected))
}

/// Lets these adapters count, each with its part, and no others. They are trained,
/// the others are frozen. With several, the changes add up,
/// `W + Σ part_i ΔW_i`; the gains of IA3, each moved its part of the way from 1,
/// multiply.
///
/// # Errors
/// A name that the model does not have; a part that is not finite; a merged model.
pub fn activate<M: Module>(model: &mut M, adapters: &[(&str, f32)]) -> Result<()> {
    refuse_merged("activate", model)?;
    for (name, part) in adapters {
        check_known(model, name)?;
        if !part.is_finite() {
            return Err(Error::argument("adapters", "part", part, "a finite number"));
        }
    }
    Ok(model.for_each_param(|_, param| {
        for slot in stack::of_mut(param).into_iter().flat_map(|s| s.slots.iter_mut()) {
            slot.part = adapters.iter().find(|(n, _)| *n == slot.name).map_or(0.0, |(_, p)| *p);
            slot.kind.set_frozen(slot.part == 0.0);
        }
        Ok(())
    })?)
}

/// Switches all adapters off: the model computes as it did before any.
///
/// # Errors
/// A merged model.
pub fn disable<M: Module>(model: &mut M) -> Result<()> {
    activate(model, &[])
}

/// Takes an adapter off. The model's own parameters stay frozen.
///
/// # Errors
/// A name that the model does not have; a merged model.
pub fn detach<M: Module>(model: &mut M, name: &str) -> Result<()> {
    refuse_merged("detach", model)?;
    check_known(model, name)?;
    Ok(model.for_each_param(|_, param| {
        let empty = stack::of_mut(param).is_some_and(|stack| {
            stack.slots.retain(|slot| slot.name != name);
            stack.slots.is_empty()
        });
        if empty {
            param.set_adapter(None);
        }
        Ok(())
    })?)
}

/// Folds the active adapters into the weights, in single precision: the model is
/// then as fast as without them, and [`unmerge`] brings the old weights back bit
/// for bit. For a model without a trace of adapters use the result of
/// [`into_merged`].
///
/// # Errors
/// Bottleneck adapters, which are no change of a weight; a model that is merged.
pub fn merge<M: Module>(model: &mut M) -> Result<()> {
    refuse_merged("merge", model)?;
    let mut next: HashMap<String, Tensor> = HashMap::new();
    let mut gains: Vec<(String, Tensor)> = Vec::new();
    for (path, param) in model.params() {
        let Some(stack) = stack::of(param) else { continue };
        next.insert(path.clone(), stack.weight(param.tensor())?.detach());
        if let (Some(gain), Some(module)) = (stack.bias_gain()?, path.strip_suffix(".weight")) {
            gains.push((format!("{module}.bias"), gain.detach()));
        }
    }
    for (path, param) in model.params() {
        if let Some((_, gain)) = gains.iter().find(|(p, _)| *p == path) {
            let bias = next.get(&path).unwrap_or(param.tensor()).mul(gain)?.detach();
            next.insert(path, bias);
        }
    }
    Ok(model.for_each_param(|path, param| {
        let Some(new) = next.remove(path) else { return Ok(()) };
        let before = param.tensor().detach();
        param.set_data(&new)?;
        match stack::of_mut(param) {
            Some(stack) => stack.before = Some(before),
            // A bias that IA3 multiplies through its weight.
            None => param.set_adapter(Some(Box::new(stack::Stack {
                slots: Vec::new(),
                before: Some(before),
            }))),
        }
        Ok(())
    })?)
}

/// Brings back the weights from before [`merge`], bit for bit.
///
/// # Errors
/// A model that is not merged.
pub fn unmerge<M: Module>(model: &mut M) -> Result<()> {
    if !merged(model) {
        return Err(Error::argument("unmerge", "model", "not merged", "`peft::merge` first"));
    }
    Ok(model.for_each_param(|_, param| {
        let Some(stack) = stack::of_mut(param) else { return Ok(()) };
        let (before, empty) = (stack.before.take(), stack.slots.is_empty());
        if let Some(before) = before {
            param.set_data(&before)?;
        }
        if empty {
            param.set_adapter(None);
        }
        Ok(())
    })?)
}

/// A copy of the model with the active adapters in its weights and no adapters
/// left: loadable wherever the model was.
///
/// # Errors
/// As [`merge`].
pub fn into_merged<M: Module>(model: &M) -> Result<M> {
    let mut copy = model.clone();
    if !merged(&copy) {
        merge(&mut copy)?;
    }
    copy.for_each_param(|_, param| {
        if stack::of(param).is_some() {
            param.set_adapter(None);
        }
        Ok(())
    })?;
    Ok(copy)
}

/// Makes one adapter of several LoRA adapters (without DoRA), of IA3 or of
/// parameters trained whole: its change is `Σ part_i ΔW_i`, for IA3 too, whose
/// active ones multiply (both as in PEFT). Ranks add up (PEFT's combination `cat`),
/// so nothing is lost. The new one is the active one then.
///
/// # Errors
/// Names that the model does not have or that are taken; methods that differ or
/// have no sum; a merged model.
pub fn combine<M: Module>(model: &mut M, adapters: &[(&str, f32)], name: &str) -> Result<()> {
    check_new(model, name)?;
    let Some((first, _)) = adapters.first() else {
        return Err(Error::argument("combine", "adapters", "none", "at least one"));
    };
    for (name, _) in adapters {
        check_known(model, name)?;
    }
    let mut config: Option<Arc<PeftConfig>> = None;
    let mut layers = Vec::new();
    let places: HashMap<String, Tensor> =
        sites(model).into_iter().map(|p| (p.path, p.tensor)).collect();
    let mut rank = 0;
    for (path, param) in model.params() {
        let (Some(stack), Some(w)) = (stack::of(param), places.get(&path)) else { continue };
        let parts: Vec<(f32, &Slot)> = adapters
            .iter()
            .filter_map(|(n, p)| Some((*p, stack.slots.iter().find(|s| s.name == *n)?)))
            .collect();
        let Some((_, one)) = parts.first() else { continue };
        if config.is_none() && one.name == *first {
            config = Some(one.config.clone());
        }
        let kind = sum(&path, w, &parts)?;
        if let Kind::Lora(layer) = &kind {
            rank = rank.max(layer.b.dims()[1]);
        }
        layers.push((path, kind));
    }
    let Some(config) = config else {
        return Err(Error::argument("combine", "adapters", *first, "adapters with parameters"));
    };
    let mut config = (*config).clone();
    if let PeftConfig::Lora(lora) = &mut config {
        // The scales are in the matrices.
        (lora.rank, lora.alpha, lora.rank_stabilised) = (rank, rank as f32, false);
    }
    put(model, name, &Arc::new(config), layers)
}

/// The sum of what several adapters do to one parameter.
fn sum(path: &str, w: &Tensor, parts: &[(f32, &Slot)]) -> Result<Kind> {
    let refuse = |got: &str| {
        let expected = "LoRA without DoRA, IA3 or whole parameters, one method for all";
        Err(Error::argument("combine", "adapters", format!("{got} at `{path}`"), expected))
    };
    let Some((_, first)) = parts.first() else { return refuse("nothing") };
    match &first.kind {
        Kind::Lora(of) => {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for (part, slot) in parts {
                let Kind::Lora(layer) = &slot.kind else { return refuse("two methods") };
                if layer.magnitude.is_some() {
                    return refuse("DoRA");
                }
                a.push(layer.a.tensor().detach());
                b.push(layer.b.tensor().detach().mul_scalar(part * layer.scale));
            }
            let join = |all: &[Tensor], axis| Tensor::cat(&all.iter().collect::<Vec<_>>(), axis);
            let (a, b) = (Param::new(join(&a, 0)?), Param::new(join(&b, 1)?));
            Ok(Kind::Lora(LoraLayer { a, b, magnitude: None, scale: 1.0, dropout: of.dropout }))
        }
        Kind::Ia3(of) => {
            let mut gain = Tensor::ones(of.gain.numel());
            for (part, slot) in parts {
                let Kind::Ia3(layer) = &slot.kind else { return refuse("two methods") };
                let change = layer.gain.tensor().detach().add_scalar(-1.0).mul_scalar(*part);
                gain = gain.add(&change)?;
            }
            Ok(Kind::Ia3(Ia3Layer { gain: Param::new(gain), input: of.input }))
        }
        Kind::Whole(_) => {
            let mut value = w.clone();
            for (part, slot) in parts {
                let Kind::Whole(param) = &slot.kind else { return refuse("two methods") };
                let change = param.tensor().detach().sub(w)?.mul_scalar(*part);
                value = value.add(&change)?;
            }
            Ok(Kind::Whole(Param::new(value)))
        }
        Kind::Vera(_) => refuse("VeRA"),
        Kind::Bottleneck(_) => refuse("bottleneck adapters"),
    }
}
