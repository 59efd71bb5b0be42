//! Names of checkpoints that were saved inside of something else.

use std::collections::HashSet;
use tl_nn::{Load, LoadReport, Module, ModuleExt, Result, StateDict};

/// What training frameworks put before the names of a model.
const PREFIXES: [&str; 6] =
    ["model.", "module.", "backbone.", "_orig_mod.", "bert.", "distilbert."];

fn paths<M: Module>(model: &M) -> HashSet<String> {
    let params = model.params().into_iter().map(|(path, _)| path);
    params.chain(model.buffers().into_iter().map(|(path, _)| path)).collect()
}

/// The model's name for a name of a checkpoint: known prefixes are taken off
/// until the model has it. A name that fits nothing stays what it was.
fn own_name(known: &HashSet<String>, name: &str) -> String {
    let mut rest = name;
    loop {
        let modern = modern(rest);
        if known.contains(&modern) {
            return modern;
        }
        match PREFIXES.iter().find_map(|p| rest.strip_prefix(p)) {
            Some(inner) => rest = inner,
            None => return name.to_owned(),
        }
    }
}

/// Old BERT checkpoints, converted from TensorFlow, call the scale and shift
/// of a normalisation gamma and beta.
fn modern(name: &str) -> String {
    for (old, new) in
        [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")]
    {
        if let Some(stem) = name.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    name.to_owned()
}

/// The rows of the weight that the model calls `path`.
pub(crate) fn rows<M: Module>(model: &M, dict: &StateDict, path: &str) -> Option<usize> {
    let known = paths(model);
    dict.iter().find(|(name, _)| own_name(&known, name) == path)?.1.dims().first().copied()
}

/// Whether the weights hold the tensor that the model calls `path`.
pub(crate) fn holds<M: Module>(model: &M, dict: &StateDict, path: &str) -> bool {
    rows(model, dict, path).is_some()
}

/// Loads a checkpoint of the model's home. Prefixes (`model.`, `module.`,
/// `backbone.`, `_orig_mod.`, `bert.`, `distilbert.`) are taken off where the
/// model has the rest of the name; F16, BF16 and F64 numbers become F32.
/// `position_ids` and pre-training heads (`cls.**`, `vocab_*`) are left out
/// and stand in the report.
///
/// If the checkpoint has nothing of the part `head`, that part keeps its
/// values; everything else has to fit exactly.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_models::{Backbone, LeNet, load_pretrained};
/// use tl_nn::{ModuleExt, StateDict};
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let trained = LeNet::new(&10, &mut rng)?;
/// let mut wrapped = StateDict::new();
/// wrapped.add_part("module.backbone", trained.state_dict());
/// let mut net = LeNet::new(&10, &mut rng)?;
/// let report = load_pretrained(&mut net, &wrapped, None)?;
/// assert!(report.is_complete());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Names or shapes that do not fit; the model stays as it was.
pub fn load_pretrained<M: Module>(
    model: &mut M,
    dict: &StateDict,
    head: Option<&str>,
) -> Result<LoadReport> {
    const LEFT_OUT: [(&str, &str); 4] = [
        ("position_ids", "**.position_ids"),
        ("cls.", "cls.**"),
        ("vocab_", "vocab_*.**"),
        ("n_averaged", "n_averaged"),
    ];
    let known = paths(model);
    let names: Vec<String> = dict.iter().map(|(name, _)| own_name(&known, name)).collect();
    let mut how = Load::strict();
    for (mark, pattern) in LEFT_OUT {
        let there = |name: &String| {
            !known.contains(name)
                && if mark == "position_ids" {
                    name.ends_with(mark)
                } else {
                    name.starts_with(mark)
                }
        };
        if names.iter().any(there) {
            how = how.ignore(pattern)?;
        }
    }
    if let Some(head) = head {
        let inside = format!("{head}.");
        let mut has_part = known.iter().filter(|path| path.starts_with(&inside)).peekable();
        if has_part.peek().is_some() && !names.iter().any(|name| name.starts_with(&inside)) {
            how = how.keep(&format!("{head}.**"))?;
        }
    }
    model.load(dict, &how.rename(move |name| own_name(&known, name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use tl_nn::{Linear, Weight};

    #[test]
    fn only_prefixes_in_the_way_are_taken_off() {
        let known = HashSet::from(["model.fc.weight".to_owned(), "fc.bias".to_owned()]);
        assert_eq!(own_name(&known, "module.model.fc.weight"), "model.fc.weight");
        assert_eq!(own_name(&known, "module.model.fc.bias"), "fc.bias");
        assert_eq!(own_name(&known, "module.other"), "module.other");
        let known = HashSet::from(["a.LayerNorm.weight".to_owned()]);
        assert_eq!(own_name(&known, "bert.a.LayerNorm.gamma"), "a.LayerNorm.weight");
    }

    #[test]
    fn a_name_too_many_is_an_error_that_names_it() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let mut model = Linear::new(2, 2, &mut rng);
        let mut dict = StateDict::new();
        dict.add_part("module", model.state_dict());
        dict.insert("module.extra", Weight::new(&tl_nn::Tensor::ones(1)));
        let error = load_pretrained(&mut model, &dict, None).unwrap_err().to_string();
        assert!(error.contains("module.extra"), "{error}");
    }
}
