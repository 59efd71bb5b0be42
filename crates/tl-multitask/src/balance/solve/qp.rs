//! A quadratic program with lower bounds.

use super::{Gram, cholesky::solve_part, finite};
use crate::{Error, Result};

/// Sweeps of coordinate descent between two attempts to finish exactly.
const SWEEPS: usize = 24;
/// What counts as no movement and as no slope, for a matrix of trace 1.
const CLOSE: f64 = 1e-12;

/// `argmin vᵀ G v` over `v >= lower`. `G` is divided by its trace and gets
/// `regularisation` on its diagonal, for a unique solution.
///
/// Coordinate descent finds which bounds hold, each step exact in one
/// coordinate; if that is slow, the system of the free coordinates is solved and
/// taken if it meets the optimality conditions.
///
/// # Errors
/// Not a bound for each task; numbers that are not finite.
pub fn lower_bounded_qp(gram: &Gram, lower: &[f64], regularisation: f64) -> Result<Vec<f64>> {
    let qp = Qp::new(gram, regularisation)?;
    if lower.len() != gram.tasks() {
        let expected = format!("{} bounds", gram.tasks());
        return Err(Error::argument("qp", "lower", lower.len(), expected));
    }
    Ok(qp.solve(lower))
}

/// The matrix of several problems that differ in their bounds.
pub(in crate::balance) struct Qp {
    tasks: usize,
    /// Empty if all gradients are 0: then every point is a solution.
    a: Vec<f64>,
}

impl Qp {
    pub(in crate::balance) fn new(gram: &Gram, regularisation: f64) -> Result<Self> {
        finite(gram)?;
        let (tasks, trace) = (gram.tasks(), gram.trace());
        if trace <= 0.0 {
            return Ok(Self { tasks, a: Vec::new() });
        }
        let shifted =
            |i: usize, j: usize| gram.get(i, j) / trace + if i == j { regularisation } else { 0.0 };
        let a = (0..tasks * tasks).map(|at| shifted(at / tasks, at % tasks)).collect();
        Ok(Self { tasks, a })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.a[i * self.tasks..][..self.tasks]
    }

    pub(in crate::balance) fn solve(&self, lower: &[f64]) -> Vec<f64> {
        let mut v = lower.to_vec();
        if self.a.is_empty() {
            return v;
        }
        let mut slope = vec![0.0; self.tasks];
        for (i, &x) in v.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            slope.iter_mut().zip(self.row(i)).for_each(|(s, a)| *s += x * a);
        }
        for _ in 0..100 {
            if self.descend(&mut v, &mut slope, lower) {
                break;
            }
            if let Some(exact) = self.finish(&v, lower) {
                return exact;
            }
        }
        v
    }

    /// Some sweeps; whether they came to rest.
    fn descend(&self, v: &mut [f64], slope: &mut [f64], lower: &[f64]) -> bool {
        for _ in 0..SWEEPS {
            let mut moved = 0.0_f64;
            for (i, &least) in lower.iter().enumerate() {
                let row = self.row(i);
                if row[i] <= 0.0 || (v[i] <= least && slope[i] >= 0.0) {
                    continue;
                }
                let by = (v[i] - slope[i] / row[i]).max(least) - v[i];
                if by == 0.0 {
                    continue;
                }
                v[i] += by;
                slope.iter_mut().zip(row).for_each(|(s, a)| *s += by * a);
                // By how much the slope of this coordinate was off.
                moved = moved.max((by * row[i]).abs());
            }
            if moved < CLOSE {
                return true;
            }
        }
        false
    }

    /// The minimum over the coordinates that are off their bounds, if that is
    /// the solution.
    fn finish(&self, v: &[f64], lower: &[f64]) -> Option<Vec<f64>> {
        let n = self.tasks;
        let free: Vec<usize> = (0..n).filter(|&i| v[i] > lower[i]).collect();
        let bound: Vec<usize> = (0..n).filter(|&i| v[i] <= lower[i]).collect();
        let target: Vec<f64> = free
            .iter()
            .map(|&i| -bound.iter().map(|&j| self.row(i)[j] * lower[j]).sum::<f64>())
            .collect();
        let z = solve_part(&self.a, n, &free, &target)?;
        let mut exact = lower.to_vec();
        for (&i, z) in free.iter().zip(z) {
            if z < lower[i] - CLOSE {
                return None;
            }
            exact[i] = z.max(lower[i]);
        }
        let slope = |i: usize| self.row(i).iter().zip(&exact).map(|(a, x)| a * x).sum::<f64>();
        bound.iter().all(|&i| slope(i) >= -CLOSE).then_some(exact)
    }
}
