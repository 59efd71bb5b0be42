//! A run as one safetensors file.

use super::{
    objective::Objective,
    run::{Position, Run},
};
use crate::{
    Error, Load, Module, ModuleExt, OptimizerState, ParamState, Plateau, Result, StateDict, Tensor,
    Weight,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// The name of the text with everything that is not a tensor.
const KEY: &str = "tl_nn.training_run";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    position: Position,
    optimizer_step: u64,
    /// Updates of each parameter.
    updates: BTreeMap<String, u64>,
    plateau: Option<Plateau>,
}

pub(super) fn save<M: Module, B, O: Objective<M, B>>(
    run: &Run<'_, '_, M, B, O>,
    path: &Path,
) -> Result<()> {
    let mut file = StateDict::new();
    file.add_part("model", run.model.state_dict());
    if let Some(ema) = &run.ema {
        file.add_part("ema", ema.model().state_dict());
    }
    file.add_part("best", run.at.best.model.clone());
    file.add_part("objective", run.objective.state());
    let state = run.trainer.optimizer.state();
    let mut updates = BTreeMap::new();
    for (name, param) in state.params {
        for (slot, numbers) in param.slots.into_iter().enumerate() {
            let numbers = Tensor::from_slice(&numbers, numbers.len())?;
            file.insert(format!("optimizer.{slot}.{name}"), Weight::new(&numbers));
        }
        updates.insert(name, param.steps);
    }
    let header = Header {
        version: VERSION,
        position: run.at.clone(),
        optimizer_step: state.step,
        updates,
        plateau: state.plateau,
    };
    let text = serde_json::to_string(&header).map_err(|e| Error::Other(Box::new(e)))?;
    file.metadata_mut().insert(KEY.to_owned(), text);
    file.save(path)
}

/// Goes on from the file, if there is one.
pub(super) fn load<M: Module, B, O: Objective<M, B>>(run: &mut Run<'_, '_, M, B, O>) -> Result<()> {
    let Some(path) = run.trainer.checkpoint.clone().filter(|path| path.exists()) else {
        return Ok(());
    };
    let wrong = |problem: String| Error::Format { path: path.clone(), problem };
    let file = StateDict::open(&path)?;
    let text = file.metadata().get(KEY).ok_or_else(|| {
        wrong("holds weights but no training run; load it with `ModuleExt::load`".to_owned())
    })?;
    let header: Header = serde_json::from_str(text)
        .map_err(|e| wrong(format!("its training run cannot be read: {e}")))?;
    if header.version != VERSION {
        return Err(wrong(format!("is of version {}, this is {VERSION}", header.version)));
    }
    if header.position.seed != run.trainer.seed {
        let (theirs, ours) = (header.position.seed, run.trainer.seed);
        return Err(wrong(format!("is of a run with seed {theirs}, this one has seed {ours}")));
    }
    let averaged = !file.part("ema").is_empty();
    if averaged != run.ema.is_some() {
        let has = if averaged { "an average" } else { "no average" };
        return Err(wrong(format!("is of a run with {has} of the model; set `ema` as there")));
    }
    let mut params = Vec::new();
    for (name, steps) in header.updates {
        let mut slots = Vec::new();
        while let Some(w) = file.get(&format!("optimizer.{}.{name}", slots.len())) {
            slots.push(w.to_tensor()?.to_vec());
        }
        params.push((name, ParamState { steps, slots }));
    }
    let (step, plateau) = (header.optimizer_step, header.plateau);
    run.trainer.optimizer.load_state(OptimizerState { step, params, plateau })?;
    let _ = run.model.load(&file.part("model"), &Load::strict())?;
    if let Some(ema) = &mut run.ema {
        let _ = ema.model_mut().load(&file.part("ema"), &Load::strict())?;
    }
    run.objective.load_state(&file.part("objective"))?;
    run.at = header.position;
    run.at.best.model = file.part("best");
    Ok(())
}
