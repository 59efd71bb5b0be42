//! The files of Hugging Face's PEFT: `adapter_config.json` and
//! `adapter_model.safetensors`.

mod fields;
mod read;
mod write;

pub use read::load;
pub use write::{adapter_state, save};

use std::collections::BTreeSet;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

/// The modules of the paths, each once.
fn modules(paths: &[String]) -> Vec<String> {
    let module = |p: &String| p.rsplit_once('.').map_or(p.clone(), |(module, _)| module.to_owned());
    paths.iter().map(module).collect::<BTreeSet<_>>().into_iter().collect()
}
