//! Dynamic weight average.

use super::{There, scaled_softmax};

/// `T softmax(L(t-1) / L(t-2) / τ)` (Liu et al. 2019, eq. 7). A task without
/// two epochs counts as one whose loss stays.
pub(super) fn weights(epochs: &[Vec<f32>], there: &There<'_>, temperature: f32) -> Vec<f32> {
    let [.., before, last] = epochs else { return vec![1.0; there.len()] };
    let ratio = |&i: &usize| {
        let r = last[i] / before[i];
        if r.is_finite() { r / temperature } else { 1.0 / temperature }
    };
    scaled_softmax(&there.tasks.iter().map(ratio).collect::<Vec<_>>())
}
