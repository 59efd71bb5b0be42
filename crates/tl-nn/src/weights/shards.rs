//! A model in several files, with an index.

use super::state_dict::StateDict;
use crate::{Error, Result};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

/// The `model.safetensors.index.json` of the Hugging Face hub.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Opens every shard that an index names.
pub(super) fn open(path: &Path) -> Result<StateDict> {
    let format = |problem: String| Error::Format { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|e| format(format!("{e}; expected an index with a `weight_map`")))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut all = StateDict::new();
    for shard in index.weight_map.values().collect::<BTreeSet<_>>() {
        // An index may come from anywhere: it names files beside it, no others.
        let plain = Path::new(shard).components().all(|c| matches!(c, Component::Normal(_)));
        if !plain || shard.is_empty() || shard.ends_with(".json") {
            return Err(format(format!(
                "shard `{shard}` is not the name of a file beside the index"
            )));
        }
        all.merge(StateDict::open(folder.join(shard))?).map_err(format)?;
    }
    match index.weight_map.keys().find(|name| all.get(name).is_none()) {
        Some(name) => Err(format(format!("no shard holds `{name}`, which the index names"))),
        None => Ok(all),
    }
}
