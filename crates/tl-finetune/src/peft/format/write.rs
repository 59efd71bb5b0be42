//! Writing an adapter as PEFT does.

use super::{CONFIG, PREFIX, WEIGHTS, modules};
use crate::{
    Error, Result,
    peft::{
        LoraConfig, PeftConfig,
        lora::LoraLayer,
        manage,
        stack::{self, Kind, Slot},
    },
};
use serde_json::{Map, Value, json};
use std::path::Path;
use tl_nn::{Module, ModuleExt, Param, StateDict, Tensor, Weight};

/// Writes one adapter alone into a folder: `adapter_config.json` and
/// `adapter_model.safetensors`, which PEFT's `PeftModel.from_pretrained` reads for a
/// base model with the same module paths. Bottleneck adapters, which PEFT does not
/// have, are written in the same way under a type of their own.
///
/// # Errors
/// A name that the model does not have; a merged model; files that cannot be
/// written.
pub fn save<M: Module>(model: &M, name: &str, folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    let (config, dict) = (describe(model, name)?, adapter_state(model, name)?);
    std::fs::create_dir_all(folder)
        .map_err(|source| tl_nn::Error::Io { path: folder.to_owned(), source })?;
    dict.save(folder.join(WEIGHTS))?;
    let text = serde_json::to_vec_pretty(&config).map_err(tl_nn::Error::other)?;
    // The configuration last: a folder with one has its weights.
    let (path, beside) = (folder.join(CONFIG), folder.join(".adapter_config.json.new"));
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, &path))
        .map_err(|source| tl_nn::Error::Io { path, source })?;
    Ok(())
}

/// The numbers of one adapter under PEFT's names.
///
/// # Errors
/// A name that the model does not have.
pub fn adapter_state<M: Module>(model: &M, name: &str) -> Result<StateDict> {
    let mut dict = StateDict::new();
    let mut found = false;
    for (path, param) in model.params() {
        let Some(slot) = slot(param, name) else { continue };
        found = true;
        let module = path.strip_suffix(".weight").unwrap_or(&path);
        let axes = param.tensor().rank();
        for (key, tensor) in parts(&slot.kind, module, &path, axes)? {
            let key = if key.starts_with("vera_") && !key.contains('.') {
                format!("base_model.{key}")
            } else {
                format!("{PREFIX}{key}")
            };
            dict.insert(key, Weight::new(&tensor));
        }
    }
    if !found {
        let known = manage::names(model).join(", ");
        let expected = format!("one of: {known}");
        return Err(Error::argument("save", "name", format!("`{name}`"), expected));
    }
    dict.metadata_mut().insert("format".into(), "pt".into());
    Ok(dict)
}

fn slot<'a>(param: &'a Param, name: &str) -> Option<&'a Slot> {
    stack::of(param)?.slots.iter().find(|s| s.name == name)
}

/// Names below the prefix, and numbers.
fn parts(kind: &Kind, module: &str, path: &str, axes: usize) -> Result<Vec<(String, Tensor)>> {
    let ones = |n: usize| vec![1; n];
    let shaped = |t: &Tensor, dims: &[usize]| -> Result<Tensor> {
        Ok(t.detach().reshape(tl_nn::Shape::new(dims)?)?)
    };
    let mut all = Vec::new();
    match kind {
        Kind::Lora(layer) => {
            all.push((format!("{module}.lora_A.weight"), layer.a.tensor().detach()));
            let b = layer.b.tensor();
            let dims = [b.dims(), &ones(axes - 2)].concat();
            all.push((format!("{module}.lora_B.weight"), shaped(b, &dims)?));
            if let Some(m) = &layer.magnitude {
                let dims = match axes {
                    2 => vec![m.numel()],
                    _ => [&[1, m.numel()], &ones(axes - 2)[..]].concat(),
                };
                all.push((format!("{module}.lora_magnitude_vector"), shaped(m.tensor(), &dims)?));
            }
        }
        Kind::Ia3(layer) => {
            let n = layer.gain.numel();
            let dims = match (axes, layer.input) {
                (2, true) => vec![1, n],
                (2, false) => vec![n, 1],
                _ => [&[1, n], &ones(axes - 2)[..]].concat(),
            };
            all.push((format!("{module}.ia3_l"), shaped(layer.gain.tensor(), &dims)?));
        }
        Kind::Vera(layer) => {
            all.push((format!("{module}.vera_lambda_b"), layer.b.tensor().detach()));
            all.push((format!("{module}.vera_lambda_d"), layer.d.tensor().detach()));
            all.push(("vera_A".into(), layer.shared.0.clone()));
            all.push(("vera_B".into(), layer.shared.1.clone()));
        }
        Kind::Bottleneck(l) => {
            for (name, param) in [
                ("down.weight", &l.down),
                ("down.bias", &l.down_bias),
                ("up.weight", &l.up),
                ("up.bias", &l.up_bias),
            ] {
                all.push((format!("{module}.adapter_{name}"), param.tensor().detach()));
            }
        }
        Kind::Whole(param) => all.push((path.to_owned(), param.tensor().detach())),
    }
    Ok(all)
}

/// `adapter_config.json`.
fn describe<M: Module>(model: &M, name: &str) -> Result<Value> {
    let (mut targets, mut inputs, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut config = None;
    let (mut ranks, mut alphas) = (Map::new(), Map::new());
    for (path, param) in model.params() {
        let Some(slot) = slot(param, name) else { continue };
        config = Some(slot.config.clone());
        let module = path.strip_suffix(".weight").unwrap_or(&path).to_owned();
        match &slot.kind {
            Kind::Whole(_) => whole.push(path),
            Kind::Lora(layer) => {
                if let PeftConfig::Lora(common) = &*slot.config {
                    own_rank(layer, common, &module, &mut ranks, &mut alphas);
                }
                targets.push(module);
            }
            Kind::Ia3(layer) if layer.input => {
                inputs.push(module.clone());
                targets.push(module);
            }
            _ => targets.push(module),
        }
    }
    let Some(config) = config else {
        let expected = format!("one of: {}", manage::names(model).join(", "));
        return Err(Error::argument("save", "name", format!("`{name}`"), expected));
    };
    let saved = modules(&whole);
    let mut all = json!({
        "base_model_name_or_path": null, "task_type": null, "inference_mode": true,
        "target_modules": targets,
        "modules_to_save": if saved.is_empty() { Value::Null } else { json!(saved) },
    });
    let own = match &*config {
        PeftConfig::Lora(c) => json!({
            "peft_type": "LORA", "r": c.rank, "lora_alpha": c.alpha,
            "lora_dropout": c.dropout, "use_rslora": c.rank_stabilised, "use_dora": c.dora,
            "bias": "none", "fan_in_fan_out": false, "init_lora_weights": true,
            "rank_pattern": ranks, "alpha_pattern": alphas,
        }),
        PeftConfig::Ia3(_) => json!({
            "peft_type": "IA3", "feedforward_modules": inputs, "fan_in_fan_out": false,
            "init_ia3_weights": true,
        }),
        PeftConfig::Vera(c) => json!({
            "peft_type": "VERA", "r": c.rank, "d_initial": c.d_initial, "vera_dropout": c.dropout,
            "projection_prng_key": c.projection_seed, "save_projection": true, "bias": "none",
            "fan_in_fan_out": false, "init_weights": true,
        }),
        PeftConfig::Bottleneck(c) => json!({ "peft_type": "BOTTLENECK", "width": c.width }),
        PeftConfig::Whole(_) => json!({ "peft_type": "WHOLE" }),
    };
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(own);
    }
    Ok(all)
}

/// Rank and alpha of a module where they are not those of the configuration, as in
/// a combination of adapters of different modules.
fn own_rank(
    layer: &LoraLayer,
    common: &LoraConfig,
    module: &str,
    ranks: &mut Map<String, Value>,
    alphas: &mut Map<String, Value>,
) {
    let rank = layer.b.dims()[1];
    // Without the `^` it would be any module that ends so.
    let key = format!("^{module}$");
    if rank != common.rank {
        ranks.insert(key.clone(), json!(rank));
    }
    if layer.scale != common.scale(rank, common.alpha) {
        let root = if common.rank_stabilised { (rank as f64).sqrt() } else { rank as f64 };
        alphas.insert(key, json!(f64::from(layer.scale) * root));
    }
}
