//! Fast adaptive multi-task optimisation.

use super::{LossState, There, softmax, sum};
use crate::Result;
use tl_nn::Tensor;

/// FAMO's loss (Liu et al. 2023, eq. 8 and algorithm 1), after `ξ` followed what
/// the step before did.
pub(super) fn loss(
    state: &mut LossState,
    there: &There<'_>,
    lr: f32,
    decay: f32,
) -> Result<(Tensor, Vec<f32>)> {
    let logs = there.logarithms()?;
    follow(state, there, lr, decay);
    let z = softmax(&there.tasks.iter().map(|&i| state.logits[i]).collect::<Vec<_>>());
    let c = 1.0 / z.iter().zip(&there.values).map(|(z, v)| z / v).sum::<f32>();
    let parts: Vec<Tensor> = logs.iter().zip(&z).map(|(l, z)| l.mul_scalar(c * z)).collect();
    Ok((sum(&parts)?, z.iter().zip(&there.values).map(|(z, v)| c * z / v).collect()))
}

/// How much each logarithm fell moves `ξ`, by the slope of the softmax.
fn follow(state: &mut LossState, there: &There<'_>, lr: f32, decay: f32) {
    let fell: Vec<Option<f32>> = there
        .tasks
        .iter()
        .zip(&there.values)
        .map(|(&i, v)| (state.last[i] > 0.0).then(|| state.last[i].ln() - v.ln()))
        .collect();
    let z = softmax(&there.tasks.iter().map(|&i| state.logits[i]).collect::<Vec<_>>());
    let mean: f32 = z.iter().zip(&fell).filter_map(|(z, f)| f.map(|f| z * f)).sum();
    for ((&i, fell), z) in there.tasks.iter().zip(&fell).zip(&z) {
        if let Some(fell) = fell {
            state.logits[i] -= lr * (z * (fell - mean) + decay * state.logits[i]);
        }
    }
    for (&i, value) in there.tasks.iter().zip(&there.values) {
        state.last[i] = *value;
    }
}
