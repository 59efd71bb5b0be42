//! AdaBN: the target's statistics.

use crate::{Error, Result};
use tl_data::{Batching, Dataset};
use tl_nn::{Buffer, Ctx, Forward, Module, ModuleExt, Tensor};

/// The paths of layers with running statistics.
pub(super) fn normalised<M: Module>(model: &M) -> Vec<String> {
    let paths = model.buffers().into_iter().filter(|(_, b)| !b.is_frozen());
    paths.filter_map(|(p, _)| p.strip_suffix("running_mean").map(str::to_owned)).collect()
}

pub(super) fn is_statistic(path: &str) -> bool {
    path.ends_with("running_mean") || path.ends_with("running_var")
}

/// Sets all running statistics that are not frozen.
fn set<M: Module>(model: &mut M, value: impl Fn(usize, &Tensor) -> Tensor) -> Result<()> {
    let mut at = 0;
    model.for_each_buffer(|path, buffer: &mut Buffer| {
        let i = at;
        at += 1;
        if is_statistic(path) && !buffer.is_frozen() {
            buffer.set_data(&value(i, buffer.tensor()))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn values<M: Module>(model: &M) -> Vec<Tensor> {
    model.buffers().into_iter().map(|(_, b)| b.tensor().clone()).collect()
}

/// AdaBN (Li et al. 2018): replaces the running statistics of batch
/// normalisation by those of the target, with one pass over unlabelled samples:
/// the mean over batches of their means and unbiased variances. Weights stay.
/// Returns how many layers changed. Batches of one sample are left out. Each
/// batch is normalised by its own statistics on the way, so those of deeper
/// layers are of inputs that are adapted already; dropout is at work, as in
/// training.
///
/// # Errors
/// No layer with running statistics that are not frozen; no batch of two
/// samples; those of the model, which then is as before.
pub fn adapt_batch_norm<M: Forward>(
    model: &mut M,
    target: &Dataset,
    batch: usize,
) -> Result<usize> {
    let layers = normalised(model).len();
    if layers == 0 {
        let expected = "a model with batch normalisation that is not frozen";
        return Err(Error::argument("adapt_batch_norm", "model", "without any", expected));
    }
    let before = model.state_dict();
    let result = mean_statistics(model, target, batch);
    if result.is_err() {
        let _ = model.load(&before, &tl_nn::Load::strict())?;
    }
    result.map(|()| layers)
}

fn mean_statistics<M: Forward>(model: &mut M, target: &Dataset, batch: usize) -> Result<()> {
    let loader = target.batches(Batching::new(batch).shuffled(0))?;
    let mut sums: Option<Vec<Tensor>> = None;
    let mut count = 0.0_f32;
    for part in loader.epoch(0) {
        let x = part?.features.detach();
        if x.size(0)? < 2 {
            continue;
        }
        let of_batch = batch_statistics(model, &x)?;
        count += 1.0;
        sums = Some(match sums.take() {
            None => of_batch,
            Some(old) => {
                let add = |(a, b): (&Tensor, &Tensor)| Ok(a.add(b)?);
                old.iter().zip(&of_batch).map(add).collect::<Result<_>>()?
            }
        });
    }
    let Some(sums) = sums else {
        let got = format!("{} samples in batches of {batch}", target.len());
        return Err(Error::argument("adapt_batch_norm", "target", got, "a batch of two samples"));
    };
    set(model, |i, _| sums[i].mul_scalar(1.0 / count))
}

/// The statistics of a batch for every buffer that has such, in the order of
/// buffers; others as they are. The model is as before. A layer moves its
/// statistics r to `(1 - m) r + m b` for a batch's b: what it makes of 0 is
/// `m b`, and what it makes of 1 tells m.
pub(super) fn batch_statistics<M: Forward>(model: &mut M, x: &Tensor) -> Result<Vec<Tensor>> {
    let before = values(model);
    let after = |model: &mut M, start: f32| -> Result<Vec<Tensor>> {
        set(model, |_, old| Tensor::full(*old.shape(), start))?;
        let mut cx = Ctx::train(0);
        model.forward(x, &mut cx)?;
        model.apply(cx.take_updates())?;
        Ok(values(model))
    };
    let passes = after(model, 0.0).and_then(|zero| Ok((zero, after(model, 1.0)?)));
    restore(model, &before)?;
    let (zero, one) = passes?;
    let mut out = before;
    for (value, (zero, one)) in out.iter_mut().zip(zero.iter().zip(&one)) {
        let m = zero.sub(one)?.add_scalar(1.0);
        if m.is_finite() && m.to_vec().iter().all(|m| *m > 1e-6) {
            *value = zero.div(&m)?;
        }
    }
    Ok(out)
}

/// Sets every buffer back, counters of batches too.
fn restore<M: Module>(model: &mut M, before: &[Tensor]) -> Result<()> {
    let mut at = 0;
    model.for_each_buffer(|_, buffer: &mut Buffer| {
        let old = &before[at];
        at += 1;
        if !buffer.is_frozen() {
            buffer.set_data(old)?;
        }
        Ok(())
    })?;
    Ok(())
}
