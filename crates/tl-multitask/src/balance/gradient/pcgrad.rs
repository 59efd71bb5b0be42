//! Gradients that are turned one by one.

use super::{GradientState, Gram};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// PCGrad (Yu et al. 2020, algorithm 1): where `ĝ_i · g_j < 0`, `ĝ_i` loses its
/// part along the original `g_j`.
pub(super) fn pcgrad(gram: &Gram, rng: &mut ChaCha8Rng) -> Vec<f64> {
    projected(gram, rng, |_, j, turned| {
        let (inner, square) = (turned.along[j], gram.get(j, j));
        (inner < 0.0 && square > 0.0).then(|| -inner / square)
    })
}

/// GradVac (Wang et al. 2021, eq. 5 and 6): where the cosine of `ĝ_i` and `g_j`
/// is below the moving average of that pair, `g_j` is added until it is that.
pub(super) fn gradvac(
    gram: &Gram,
    present: &[usize],
    tasks: usize,
    state: &mut GradientState,
    beta: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<f64> {
    state.cosines.resize(tasks * tasks, 0.0);
    let goals = state.cosines.clone();
    let cosines = &mut state.cosines;
    projected(gram, rng, |i, j, turned| {
        let (norm_v, norm_j) = (turned.norm(), gram.norm(j));
        if norm_v <= 0.0 || norm_j <= 0.0 {
            return None;
        }
        let cosine = (turned.along[j] / (norm_v * norm_j)).clamp(-1.0, 1.0);
        let at = present[i] * tasks + present[j];
        let goal = goals[at];
        cosines[at] = (1.0 - beta) * goal + beta * cosine;
        let sine = |cosine: f64| (1.0 - cosine * cosine).max(0.0).sqrt();
        (cosine < goal && sine(goal) > 1e-12)
            .then(|| norm_v * (goal * sine(cosine) - cosine * sine(goal)) / (norm_j * sine(goal)))
    })
}

/// A gradient under change, `Σ v_j g_j`.
struct Turned {
    v: Vec<f64>,
    /// Its inner products with all original gradients.
    along: Vec<f64>,
}

impl Turned {
    fn norm(&self) -> f64 {
        self.v.iter().zip(&self.along).map(|(v, a)| v * a).sum::<f64>().max(0.0).sqrt()
    }
}

/// Every task's gradient, changed by what `turn(i, j, ..)` adds of the others in
/// random order; then the sum, as weights.
fn projected(
    gram: &Gram,
    rng: &mut ChaCha8Rng,
    mut turn: impl FnMut(usize, usize, &Turned) -> Option<f64>,
) -> Vec<f64> {
    let t = gram.tasks();
    let mut sum = vec![0.0; t];
    let mut order: Vec<usize> = Vec::with_capacity(t);
    for i in 0..t {
        let mut turned = Turned { v: vec![0.0; t], along: gram.row(i).to_vec() };
        turned.v[i] = 1.0;
        order.clear();
        order.extend((0..t).filter(|&j| j != i));
        order.shuffle(rng);
        for &j in &order {
            if let Some(by) = turn(i, j, &turned) {
                turned.v[j] += by;
                turned.along.iter_mut().zip(gram.row(j)).for_each(|(a, g)| *a += by * g);
            }
        }
        sum.iter_mut().zip(turned.v).for_each(|(s, v)| *s += v);
    }
    sum
}
