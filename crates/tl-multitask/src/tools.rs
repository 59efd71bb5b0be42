//! Small things around tasks: missing labels, sampling, comparison, affinity.

use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Module, ModuleExt, Tensor, metric::Trials};

/// The mean of the losses `[n]` of the samples that have a label (`known`), or
/// `None` if none has: never a mean over zeros.
///
/// # Errors
/// Not one mark for each loss.
pub fn masked_mean(losses: &Tensor, known: &[bool]) -> tl_nn::Result<Option<Tensor>> {
    if losses.dims() != [known.len()] {
        let expected = format!("{:?}, one for each loss", losses.dims());
        return Err(tl_nn::Error::argument("masked mean", "known", known.len(), expected));
    }
    let rows: Vec<usize> = (0..known.len()).filter(|&i| known[i]).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(losses.index_select(0, &rows.into())?.mean_all()))
}

/// Which task each step is on, when tasks have data sets of their own: drawn
/// with probability `∝ n_k^(1/temperature)`; temperature 1 is proportional to
/// the sizes, infinity uniform. Weight losses or draw by size, not both.
///
/// # Errors
/// No task; a size of 0; a temperature below 1.
pub fn task_order(
    sizes: &[usize],
    temperature: f64,
    steps: usize,
    seed: u64,
) -> Result<Vec<usize>> {
    if sizes.is_empty() || sizes.contains(&0) || temperature.is_nan() || temperature < 1.0 {
        let got = format!("{sizes:?} at temperature {temperature}");
        let expected = "a size above 0 for each task and a temperature from 1";
        return Err(Error::argument("task order", "sizes", got, expected));
    }
    let weights: Vec<f64> = sizes.iter().map(|&n| (n as f64).powf(1.0 / temperature)).collect();
    let total: f64 = weights.iter().sum();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Ok((0..steps)
        .map(|_| {
            let mut left = rng.random_range(0.0..total);
            let chosen = weights.iter().position(|w| {
                left -= w;
                left < 0.0
            });
            chosen.unwrap_or(sizes.len() - 1)
        })
        .collect())
}

/// `Δm`: the mean over tasks of the relative gain on a model of its own for each
/// task, `±(multi - single) / single` (Maninis et al. 2019, eq. 4), positive
/// where sharing helps. Each task is a [`Trials`] whose baseline is the
/// single-task model.
///
/// # Errors
/// No task; a way that is not there; a baseline of 0.
pub fn delta_m(tasks: &[Trials], way: &str) -> Result<f64> {
    let mut sum = 0.0;
    for trials in tasks {
        let base = trials.baseline().map_or("", |w| w.name.as_str());
        let (single, multi) = (trials.summary(base)?.mean, trials.summary(way)?.mean);
        if single == 0.0 {
            return Err(Error::argument("delta m", "baseline", 0, "a result other than 0"));
        }
        let gain = (multi - single) / single.abs();
        sum += if trials.higher_is_better { gain } else { -gain };
    }
    if tasks.is_empty() {
        return Err(Error::argument("delta m", "tasks", "none", "at least one"));
    }
    Ok(sum / tasks.len() as f64)
}

/// Task affinity (TAG, Fifty et al. 2021, eq. 1) on one batch: entry `[i][j]` is
/// `1 - L_j(after a step of rate lr on task i alone) / L_j`, positive where a
/// step for `i` helps `j`. Average it over batches of a run. The model stays as
/// it is.
///
/// # Errors
/// Those of the losses; a task without a loss.
pub fn task_affinity<M: Module>(
    model: &M,
    lr: f32,
    losses: impl Fn(&M, &mut Ctx) -> tl_nn::Result<Vec<Tensor>>,
) -> Result<Vec<Vec<f64>>> {
    let before = losses(model, &mut Ctx::train(0))?;
    let values = numbers(&before)?;
    let mut table = Vec::with_capacity(before.len());
    for loss in &before {
        let gradients = loss.backward().map_err(tl_nn::Error::from)?;
        let mut ahead = model.clone();
        let mut own = model.params().into_iter();
        ahead.for_each_param(|_, param| {
            let Some((_, original)) = own.next() else { return Ok(()) };
            if let Some(g) = gradients.get(original.tensor()) {
                param.set_data(&original.tensor().detach().sub(&g.mul_scalar(lr))?)?;
            }
            Ok(())
        })?;
        let after = numbers(&losses(&ahead, &mut Ctx::train(0))?)?;
        table.push(values.iter().zip(after).map(|(b, a)| 1.0 - a / b).collect());
    }
    Ok(table)
}

fn numbers(losses: &[Tensor]) -> Result<Vec<f64>> {
    losses.iter().map(|l| Ok(f64::from(l.item().map_err(tl_nn::Error::from)?))).collect()
}
