//! Weights between models: WiSE-FT and soups.

use crate::{Error, Result};
use std::collections::BTreeMap;
use tl_data::Dataset;
use tl_nn::{Ctx, Dtype, Forward, Load, Module, ModuleExt, StateDict, Tensor, Weight, metric};

/// WiSE-FT (Wortsman et al. 2022b, eq. 1): the model whose weights are
/// `(1 - part) · before + part · after`; 0.5 is a good guess where the target
/// may shift. Whole numbers, such as counts, are those of `after`. Statistics of
/// batch normalisation are interpolated too:
/// [take them anew](refresh_statistics).
///
/// # Errors
/// Models with other weights; a part not in 0 to 1.
pub fn interpolate<M: Module>(before: &M, after: &M, part: f32) -> Result<M> {
    if !(0.0..=1.0).contains(&part) {
        return Err(Error::argument("interpolate", "part", part, "0 to 1"));
    }
    soup(&[(before, 1.0 - part), (after, part)])
}

/// A soup (Wortsman et al. 2022a): the weighted sum of the weights of models that
/// were fine-tuned from one start. Parts of `1/n` each make the uniform soup.
///
/// # Errors
/// No model; models with other weights.
pub fn soup<M: Module>(models: &[(&M, f32)]) -> Result<M> {
    let Some((last, _)) = models.last() else {
        return Err(Error::argument("soup", "models", "none", "at least one"));
    };
    let mut mean = (*last).clone();
    let mut dict = StateDict::new();
    let dicts: Vec<(StateDict, f32)> = models.iter().map(|(m, w)| (m.state_dict(), *w)).collect();
    for (name, weight) in last.state_dict().iter() {
        if matches!(weight.dtype(), Dtype::I64) {
            dict.insert(name, weight.clone());
            continue;
        }
        let mut sum = None;
        for (of, part) in &dicts {
            let term = of.tensor(name)?.mul_scalar(*part);
            sum = Some(match sum {
                None => term,
                Some(sum) => term.add(&sum)?,
            });
        }
        if let Some(sum) = sum {
            dict.insert(name, Weight::new(&sum));
        }
    }
    let _ = mean.load(&dict, &Load::strict())?;
    Ok(mean)
}

/// What a greedy soup is made of.
#[derive(Clone, Debug)]
pub struct GreedySoup<M> {
    /// The soup.
    pub model: M,
    /// The places of the models that are in it, the best one first.
    pub members: Vec<usize>,
    /// Its validation accuracy.
    pub accuracy: f64,
}

/// The greedy soup (Wortsman et al. 2022a, recipe 1): models from the best to the
/// worst by validation accuracy; each stays in if the uniform soup with it is no
/// worse. Models with batch normalisation need their statistics
/// [taken anew](refresh_statistics) afterwards; here they are averaged.
///
/// # Errors
/// No model; models with other weights; a set without classes.
pub fn greedy_soup<M: Forward>(models: &[&M], validation: &Dataset) -> Result<GreedySoup<M>> {
    let labels = validation.labels()?.into();
    let test = |model: &M| -> Result<f64> {
        let logits = crate::extract(validation, 64, |x, cx| model.forward(x, cx))?;
        Ok(metric::accuracy(logits.features(), &labels)?)
    };
    let alone = models.iter().map(|m| test(m)).collect::<Result<Vec<_>>>()?;
    let mut order: Vec<usize> = (0..models.len()).collect();
    order.sort_by(|&a, &b| alone[b].total_cmp(&alone[a]));
    let Some(&best) = order.first() else {
        return Err(Error::argument("greedy soup", "models", "none", "at least one"));
    };
    let mut greedy =
        GreedySoup { model: models[best].clone(), members: vec![best], accuracy: alone[best] };
    for &next in &order[1..] {
        let members: Vec<usize> = greedy.members.iter().copied().chain([next]).collect();
        let part = 1.0 / members.len() as f32;
        let parts: Vec<(&M, f32)> = members.iter().map(|&i| (models[i], part)).collect();
        let model = soup(&parts)?;
        let accuracy = test(&model)?;
        if accuracy >= greedy.accuracy {
            greedy = GreedySoup { model, members, accuracy };
        }
    }
    Ok(greedy)
}

/// Takes the running statistics of batch normalisation anew, as the mean over the
/// batches of a data set: after weights were averaged, theirs are not those of the
/// mean. Statistics that are frozen stay.
///
/// # Errors
/// Those of the model and the data; batches of one sample.
pub fn refresh_statistics<M: Forward>(model: &mut M, data: &Dataset, batch: usize) -> Result<()> {
    let names = statistics(model);
    if names.is_empty() {
        return Ok(());
    }
    let (zeros, ones) = (filled(model, &names, 0.0)?, filled(model, &names, 1.0)?);
    let mut sums: BTreeMap<String, (Tensor, f32)> = BTreeMap::new();
    let mut batches = 0;
    for part in data.batches(tl_data::Batching::new(batch))?.epoch(0) {
        let part = part?;
        if part.len() < 2 {
            continue;
        }
        // From 0 a step of the running mean leaves `momentum · batch`; what is left
        // from 1 tells the momentum.
        let step = after_pass(&zeros, &part.features, &names)?;
        if batches == 0 {
            let other = after_pass(&ones, &part.features, &names)?;
            for ((name, zero), one) in names.iter().zip(step).zip(other) {
                let kept = one.sub(&zero)?.to_vec().first().copied().unwrap_or(0.0);
                sums.insert(name.clone(), (zero, 1.0 - kept));
            }
        } else {
            for (name, zero) in names.iter().zip(step) {
                if let Some((sum, _)) = sums.get_mut(name) {
                    *sum = sum.add(&zero)?;
                }
            }
        }
        batches += 1;
    }
    if batches == 0 {
        return Err(Error::argument(
            "statistics",
            "batch",
            batch,
            "batches of two samples or more",
        ));
    }
    Ok(model.for_each_buffer(|path, buffer| match sums.get(path) {
        Some((sum, momentum)) if *momentum > 0.0 => {
            Ok(buffer.set_data(&sum.mul_scalar(1.0 / (momentum * batches as f32)))?)
        }
        _ => Ok(()),
    })?)
}

/// A copy of the model whose running statistics are all this number.
fn filled<M: Module>(model: &M, names: &[String], value: f32) -> Result<M> {
    let mut copy = model.clone();
    copy.for_each_buffer(|path, buffer| {
        if names.iter().any(|name| name == path) {
            let numbers = Tensor::full(*buffer.tensor().shape(), value);
            buffer.set_data(&numbers)?;
        }
        Ok(())
    })?;
    Ok(copy)
}

/// The statistics after a pass in training.
fn after_pass<M: Forward>(model: &M, x: &Tensor, names: &[String]) -> Result<Vec<Tensor>> {
    let mut copy = model.clone();
    let mut cx = Ctx::train(0);
    copy.forward(x, &mut cx)?;
    copy.apply(cx.take_updates())?;
    let dict = copy.state_dict();
    Ok(names.iter().map(|name| dict.tensor(name)).collect::<tl_nn::Result<_>>()?)
}

/// The names of running means and variances that may move.
fn statistics<M: Module>(model: &M) -> Vec<String> {
    let running = |path: &String| path.ends_with("running_mean") || path.ends_with("running_var");
    let free = model.buffers().into_iter().filter(|(_, b)| !b.is_frozen());
    free.map(|(path, _)| path).filter(running).collect()
}
