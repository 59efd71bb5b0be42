//! Reading an adapter that PEFT or this crate wrote.

use super::{CONFIG, PREFIX, WEIGHTS, fields::Fields, modules};
use crate::{
    Error, Result,
    peft::{
        BottleneckConfig, Ia3Config, LoraConfig, PeftConfig, VeraConfig, Whole, WholeConfig,
        attach::{Place, put, sites},
        bottleneck::BottleneckLayer,
        ia3::Ia3Layer,
        lora::LoraLayer,
        manage,
        stack::Kind,
        vera::VeraLayer,
    },
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tl_nn::{Module, Param, StateDict, Tensor};

/// Loads an adapter that [`save`](super::save) or PEFT wrote, under a name, and makes it the
/// active one. LoRA with rsLoRA, DoRA, `rank_pattern`, `alpha_pattern`, biases and
/// `modules_to_save`; IA3; VeRA with its projections; LN tuning. Fields that change
/// nothing in inference are skipped: the file is the home's, not ours.
///
/// # Errors
/// Files that cannot be read or are not what they say; a method or an option that
/// is not known here; modules that the model does not have or whose shapes differ; a
/// name that is taken. The model is then as before.
pub fn load<M: Module>(model: &mut M, name: &str, folder: impl AsRef<Path>) -> Result<()> {
    manage::check_new(model, name)?;
    let folder = folder.as_ref();
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| tl_nn::Error::Io { path: path.clone(), source })?;
    let fail = |problem: String| tl_nn::Error::Format { path: path.clone(), problem };
    let value: Value = serde_json::from_str(&text).map_err(|e| fail(format!("is no JSON: {e}")))?;
    let Value::Object(fields) = value else {
        return Err(fail("is no JSON object".into()).into());
    };
    let file = Fields { fields: &fields, path: &path };
    let dict = StateDict::open(folder.join(WEIGHTS))?;
    let places = sites(model);
    let loaded = Reader { file, dict: &dict, places: &places }.read()?;
    put(model, name, &Arc::new(loaded.0), loaded.1)
}

struct Reader<'a> {
    file: Fields<'a>,
    dict: &'a StateDict,
    places: &'a [Place],
}

impl Reader<'_> {
    fn read(&self) -> Result<(PeftConfig, Vec<(String, Kind)>)> {
        if self.file.flag("fan_in_fan_out")? {
            let problem =
                "`fan_in_fan_out` is true; weights stored as [in, out] are not known here";
            return Err(self.file.fail(problem.into()));
        }
        let mut layers = BTreeMap::new();
        let config = match self.file.text("peft_type", "")? {
            "LORA" => self.lora(&mut layers)?,
            "IA3" => self.ia3(&mut layers)?,
            "VERA" => self.vera(&mut layers)?,
            "BOTTLENECK" => self.bottleneck(&mut layers)?,
            "LN_TUNING" | "WHOLE" => PeftConfig::Whole(WholeConfig {
                what: Whole::Modules(Vec::new()),
                train: Vec::new(),
            }),
            _ => {
                let expected = "LORA, IA3, VERA, LN_TUNING, BOTTLENECK or WHOLE";
                return Err(self.file.wrong("peft_type", expected));
            }
        };
        let whole = self.whole(&mut layers)?;
        let config = match config {
            PeftConfig::Whole(_) => {
                PeftConfig::Whole(WholeConfig { what: Whole::Modules(whole), train: Vec::new() })
            }
            other => other,
        };
        if layers.is_empty() {
            return Err(self.file.fail(format!("its {WEIGHTS} holds nothing of the method")));
        }
        Ok((config, layers.into_iter().collect()))
    }

    fn weights(&self, problem: String) -> Error {
        let path = self.file.path.with_file_name(WEIGHTS);
        Error::Nn(tl_nn::Error::Format { path, problem })
    }

    /// The modules for which the file has this part, with their own parameters.
    fn having(&self, part: &str) -> Result<Vec<(&str, &Place)>> {
        let mut all = Vec::new();
        for (name, _) in self.dict.iter() {
            let Some(module) = name.strip_prefix(PREFIX).and_then(|n| n.strip_suffix(part)) else {
                continue;
            };
            let Some(place) = self.places.iter().find(|p| p.module == module) else {
                return Err(self.weights(format!("`{name}`: the model has no `{module}`")));
            };
            all.push((module, place));
        }
        Ok(all)
    }

    /// A tensor of the file as another shape of the same size.
    fn tensor(&self, module: &str, part: &str, dims: &[usize]) -> Result<Param> {
        let name = format!("{PREFIX}{module}{part}");
        let Some(weight) = self.dict.get(&name) else {
            return Err(self.weights(format!("`{name}` is missing")));
        };
        let squeezed = |d: &[usize]| d.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        if squeezed(weight.dims()) != squeezed(dims) {
            let got = weight.dims();
            return Err(self.weights(format!("`{name}` is {got:?}; the model needs {dims:?}")));
        }
        let tensor = weight.to_tensor()?;
        if !tensor.is_finite() {
            return Err(self.weights(format!("`{name}` holds numbers that are not finite")));
        }
        Ok(Param::new(tensor.reshape(tl_nn::Shape::new(dims)?)?))
    }

    fn lora(&self, layers: &mut BTreeMap<String, Kind>) -> Result<PeftConfig> {
        let file = self.file;
        let config = LoraConfig {
            rank: file.rank()?,
            alpha: file.number("lora_alpha", 8.0)? as f32,
            rank_stabilised: file.flag("use_rslora")?,
            dropout: file.number("lora_dropout", 0.0)?,
            dora: file.flag("use_dora")?,
            ..LoraConfig::new(Vec::<String>::new())
        };
        config.check()?;
        for unknown in ["layer_replication", "target_parameters", "use_qalora", "use_bdlora"] {
            if file.get(unknown).is_some_and(|v| *v != json!(false) && *v != json!([])) {
                return Err(file.wrong(unknown, "nothing: it is not known here"));
            }
        }
        for (module, place) in self.having(".lora_A.weight")? {
            let (w, dims) = (&place.tensor, place.tensor.dims());
            if w.rank() < 2 {
                return Err(self.weights(format!("`{module}` has no matrix to adapt")));
            }
            let rank = match file.of_module("rank_pattern", module)? {
                Some(rank) => file.fits_rank("rank_pattern", rank)?,
                None => config.rank,
            };
            let alpha = file.of_module("alpha_pattern", module)?.map_or(config.alpha, |a| a as f32);
            let a = self.tensor(module, ".lora_A.weight", &[&[rank], &dims[1..]].concat())?;
            let b = self.tensor(module, ".lora_B.weight", &[dims[0], rank])?;
            let magnitude = match config.dora {
                true => Some(self.tensor(module, ".lora_magnitude_vector", &[dims[0]])?),
                false => None,
            };
            let (scale, dropout) = (config.scale(rank, alpha), config.dropout);
            layers.insert(
                place.path.clone(),
                Kind::Lora(LoraLayer { a, b, magnitude, scale, dropout }),
            );
        }
        Ok(PeftConfig::Lora(config))
    }

    fn ia3(&self, layers: &mut BTreeMap<String, Kind>) -> Result<PeftConfig> {
        let listed = |name: &str| -> Result<Vec<String>> {
            let Some(value) = self.file.get(name) else { return Ok(Vec::new()) };
            let all = value.as_array().and_then(|all| {
                all.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            });
            all.ok_or_else(|| self.file.wrong(name, "a list of modules"))
        };
        let inputs = listed("feedforward_modules")?;
        for (module, place) in self.having(".ia3_l")? {
            let input = inputs.iter().any(|t| module == t || module.ends_with(&format!(".{t}")));
            if place.tensor.rank() < 2 {
                return Err(self.weights(format!("`{module}` has no matrix to adapt")));
            }
            let size = place.tensor.dims()[usize::from(input)];
            let gain = self.tensor(module, ".ia3_l", &[size])?;
            layers.insert(place.path.clone(), Kind::Ia3(Ia3Layer { gain, input }));
        }
        Ok(PeftConfig::Ia3(Ia3Config::new(Vec::<String>::new(), inputs)))
    }

    fn vera(&self, layers: &mut BTreeMap<String, Kind>) -> Result<PeftConfig> {
        let config = VeraConfig {
            rank: self.file.rank()?,
            d_initial: self.file.number("d_initial", 0.1)? as f32,
            dropout: self.file.number("vera_dropout", 0.0)?,
            ..VeraConfig::new(Vec::<String>::new())
        };
        config.check()?;
        let shared = |name: &str, axis: usize| -> Result<Tensor> {
            let Some(weight) = self.dict.get(name) else {
                let problem = format!("`{name}` is missing; save with `save_projection=True`");
                return Err(self.weights(problem));
            };
            if weight.dims().len() != 2 || weight.dims()[axis] != config.rank {
                let (got, rank) = (weight.dims(), config.rank);
                return Err(self.weights(format!("`{name}` is {got:?} for a rank of {rank}")));
            }
            let tensor = weight.to_tensor()?;
            if !tensor.is_finite() {
                return Err(self.weights(format!("`{name}` holds numbers that are not finite")));
            }
            Ok(tensor)
        };
        let shared = (shared("base_model.vera_A", 0)?, shared("base_model.vera_B", 1)?);
        for (module, place) in self.having(".vera_lambda_b")? {
            let dims = place.tensor.dims();
            if dims.len() != 2 || dims[1] > shared.0.dims()[1] || dims[0] > shared.1.dims()[0] {
                let problem = format!("`{module}` {dims:?} is larger than the shared matrices");
                return Err(self.weights(problem));
            }
            let layer = VeraLayer {
                d: self.tensor(module, ".vera_lambda_d", &[config.rank])?,
                b: self.tensor(module, ".vera_lambda_b", &[dims[0]])?,
                shared: shared.clone(),
                dropout: config.dropout,
            };
            layers.insert(place.path.clone(), Kind::Vera(layer));
        }
        Ok(PeftConfig::Vera(config))
    }

    fn bottleneck(&self, layers: &mut BTreeMap<String, Kind>) -> Result<PeftConfig> {
        let width = self.file.get("width").and_then(Value::as_u64).filter(|w| *w > 0);
        let width = width.ok_or_else(|| self.file.wrong("width", "at least 1"))? as usize;
        for (module, place) in self.having(".adapter_down.weight")? {
            let &[out, _] = place.tensor.dims() else {
                return Err(self.weights(format!("`{module}` is no affine layer")));
            };
            let layer = BottleneckLayer {
                down: self.tensor(module, ".adapter_down.weight", &[width, out])?,
                down_bias: self.tensor(module, ".adapter_down.bias", &[width])?,
                up: self.tensor(module, ".adapter_up.weight", &[out, width])?,
                up_bias: self.tensor(module, ".adapter_up.bias", &[out])?,
            };
            layers.insert(place.path.clone(), Kind::Bottleneck(layer));
        }
        Ok(PeftConfig::Bottleneck(BottleneckConfig { width, ..BottleneckConfig::new([""; 0]) }))
    }

    /// What the file holds of the model's own parameters: heads, biases,
    /// normalisation. Returns their modules. A name that is nothing is an error.
    fn whole(&self, layers: &mut BTreeMap<String, Kind>) -> Result<Vec<String>> {
        const PARTS: [&str; 11] = [
            ".lora_A.weight",
            ".lora_B.weight",
            ".lora_magnitude_vector",
            ".ia3_l",
            ".vera_lambda_b",
            ".vera_lambda_d",
            ".adapter_down.weight",
            ".adapter_down.bias",
            ".adapter_up.weight",
            ".adapter_up.bias",
            ".lora_magnitude_vector.weight",
        ];
        let mut paths = Vec::new();
        for (name, _) in self.dict.iter() {
            if PARTS.iter().any(|part| name.ends_with(part)) || name.starts_with("base_model.vera_")
            {
                continue;
            }
            let inside = name.strip_prefix(PREFIX).unwrap_or(name);
            let path = inside.replace(".base_layer.", ".").replace(".ln_tuning_layers.", ".");
            let Some(place) = self.places.iter().find(|p| p.path == path) else {
                return Err(self.weights(format!("`{name}`: the model has no `{path}`")));
            };
            let param = self.tensor("", inside, place.tensor.dims())?;
            if layers.insert(path.clone(), Kind::Whole(param)).is_some() {
                return Err(self.weights(format!("`{path}` is adapted and saved whole")));
            }
            paths.push(path);
        }
        Ok(modules(&paths))
    }
}
