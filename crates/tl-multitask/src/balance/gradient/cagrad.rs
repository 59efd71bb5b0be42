//! Conflict-averse gradients.

use super::Gram;

/// CAGrad's weights (Liu et al. 2021, eq. 3), by Frank-Wolfe with pairwise steps
/// on the simplex: each step moves weight from the worst task to the best, as
/// much as is best along that line.
pub(super) fn cagrad(gram: &Gram, c: f64) -> Vec<f64> {
    let t = gram.tasks();
    let mean = vec![1.0 / t as f64; t];
    let g0 = gram.times(&mean);
    let length = gram.form(&mean, &mean).max(0.0).sqrt();
    let reach = c * length;
    let mut w = mean.clone();
    let mut gw = g0.clone();
    for _ in 0..5_000 {
        let square: f64 = w.iter().zip(&gw).map(|(w, g)| w * g).sum();
        let norm = square.max(0.0).sqrt().max(1e-300);
        let slope = |i: usize| g0[i] + reach * gw[i] / norm;
        let best = (0..t).min_by(|&a, &b| slope(a).total_cmp(&slope(b))).unwrap_or(0);
        let active = (0..t).filter(|&i| w[i] > 0.0);
        let worst = active.max_by(|&a, &b| slope(a).total_cmp(&slope(b))).unwrap_or(0);
        if slope(worst) - slope(best) < 1e-12 * (length * length).max(1e-300) {
            break;
        }
        let line = Line {
            linear: g0[best] - g0[worst],
            reach,
            square,
            cross: gw[best] - gw[worst],
            bend: gram.get(best, best) + gram.get(worst, worst) - 2.0 * gram.get(best, worst),
        };
        let by = line.minimum(w[worst]);
        w[worst] -= by;
        w[best] += by;
        // What is left by rounding is no weight.
        w.iter_mut().filter(|w| **w < 1e-12).for_each(|w| *w = 0.0);
        gw = gram.times(&w);
    }
    let norm = gram.form(&w, &w).max(0.0).sqrt();
    let factor = if norm > 0.0 { reach / norm } else { 0.0 };
    mean.iter().zip(&w).map(|(m, w)| m + factor * w).collect()
}

/// `linear s + reach √(square + 2 cross s + bend s²)`, convex in `s`.
struct Line {
    linear: f64,
    reach: f64,
    square: f64,
    cross: f64,
    bend: f64,
}

impl Line {
    fn slope(&self, s: f64) -> f64 {
        let norm = (self.square + 2.0 * self.cross * s + self.bend * s * s).max(0.0).sqrt();
        self.linear + self.reach * (self.cross + self.bend * s) / norm.max(1e-300)
    }

    /// Where it is least in `0..=most`.
    fn minimum(&self, most: f64) -> f64 {
        if self.slope(most) <= 0.0 {
            return most;
        }
        let (mut low, mut high) = (0.0, most);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if self.slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }
}
