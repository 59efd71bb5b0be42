//! What is free in each stage, and at what rate.

use super::{FineTune, Method, Statistics};
use crate::{Error, Result};
use std::collections::HashMap;
use tl_nn::{Forward, Glob, ModuleExt};

/// A stage of training.
pub(super) struct Stage<'a> {
    /// Patterns of what is trained; none: what is trainable already.
    free: Option<Vec<&'a str>>,
    /// The part of the rate below the head.
    body_rate: f32,
}

impl FineTune {
    pub(super) fn stages(&self) -> Vec<Stage<'_>> {
        let head = || Stage { free: Some(vec![&self.head]), body_rate: 1.0 };
        let all = |body_rate| Stage { free: Some(vec!["**"]), body_rate };
        match &self.method {
            Method::HeadOnly => vec![head()],
            Method::Full { body_rate } => vec![all(*body_rate)],
            Method::LinearThenFull { body_rate } => vec![head(), all(*body_rate)],
            Method::Gradual { groups } => {
                let mut stages = vec![head()];
                for first in (0..groups.len()).rev() {
                    let mut free = vec![self.head.as_str()];
                    free.extend(groups[first..].iter().map(String::as_str));
                    stages.push(Stage { free: Some(free), body_rate: 1.0 });
                }
                stages
            }
            Method::AsIs => vec![Stage { free: None, body_rate: 1.0 }],
        }
    }
}

impl Stage<'_> {
    /// Freezes the model but for what this stage trains.
    pub(super) fn set_free<M: Forward>(&self, tune: &FineTune, model: &mut M) -> Result<()> {
        if let Some(free) = &self.free {
            let _ = model.freeze("**")?;
            for pattern in free {
                let _ = model.unfreeze(pattern)?;
            }
            let head = Glob::new(&tune.head)?;
            if !model.params().iter().any(|(path, p)| head.matches(path) && !p.is_frozen()) {
                let expected = "a pattern that matches the weights of the head";
                return Err(Error::argument("fine-tuning", "head", &tune.head, expected));
            }
        }
        for pattern in &tune.frozen {
            let _ = model.freeze(pattern)?;
        }
        if tune.statistics == Statistics::Keep {
            let keep: Vec<String> = model.buffers().into_iter().map(|(path, _)| path).collect();
            for path in keep {
                let _ = model.freeze(&path)?;
            }
        }
        if model.trainable().is_empty() {
            let expected = "something to train: adapters, or less that is frozen";
            return Err(Error::argument("fine-tuning", "model", "all frozen", expected));
        }
        Ok(())
    }
}

/// The factor of the rate for each trainable parameter whose factor is not 1.
pub(super) fn factors<M: Forward>(
    tune: &FineTune,
    model: &M,
    stage: &Stage<'_>,
) -> Result<HashMap<String, f32>> {
    let head = Glob::new(&tune.head)?;
    let mut factors = HashMap::new();
    let free = || model.params().into_iter().filter(|(_, p)| !p.is_frozen()).map(|(path, _)| path);
    let Some(layers) = &tune.layer_decay else {
        if stage.body_rate != 1.0 {
            factors.extend(free().filter(|p| !head.matches(p)).map(|p| (p, stage.body_rate)));
        }
        return Ok(factors);
    };
    let count = layers.groups.len();
    for (at, pattern) in layers.groups.iter().enumerate() {
        let glob = Glob::new(pattern)?;
        if !model.params().iter().any(|(path, _)| glob.matches(path)) {
            let expected = "patterns that match parameters of the model";
            return Err(Error::argument("fine-tuning", "layer_decay", pattern, expected));
        }
        let factor = layers.decay.powi((count - at) as i32);
        factors.extend(free().filter(|p| glob.matches(p)).map(|p| (p, factor)));
    }
    let lowest = layers.decay.powi(count as i32 + 1);
    for path in free() {
        if head.matches(&path) {
            factors.remove(&path);
        } else {
            factors.entry(path).or_insert(lowest);
        }
    }
    Ok(factors)
}
