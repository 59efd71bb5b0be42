//! The bargaining equation.

use super::{Gram, finite};
use crate::{Error, Result};

/// `α > 0` with `G α = α^(-p)`, element by element: `p = 1` is the Nash
/// bargaining solution (Navon et al. 2022, eq. 2), `p = 1/a` that of a-fairness
/// (Ban and Ji 2024). The solution is the minimum of a convex function, found by
/// damped Newton steps on `ln α`. A little is added to the diagonal of `G`
/// (1e-10 of its trace), so that a solution exists where gradients oppose each
/// other exactly.
///
/// # Errors
/// Numbers that are not finite; `p` not above 0; a task whose gradient is 0.
pub fn power_balance(gram: &Gram, p: f64) -> Result<Vec<f64>> {
    finite(gram)?;
    let t = gram.tasks();
    if !(p.is_finite() && p > 0.0) {
        return Err(Error::argument("balance", "power", p, "a number above 0"));
    }
    if let Some(zero) = (0..t).find(|&i| gram.get(i, i) <= 0.0) {
        let got = format!("a gradient of 0 for task {zero}");
        return Err(Error::argument("balance", "gradients", got, "no task at its minimum"));
    }
    let scale = gram.trace() / t as f64;
    let g = gram.map(|i, j, x| x / scale + if i == j { 1e-10 } else { 0.0 });
    // One coordinate at a time, the others fixed: g_ii a + r = a^(-p) has one
    // positive root. The function is convex in each, so it descends.
    let mut a: Vec<f64> = (0..t).map(|i| g.get(i, i).powf(-1.0 / (1.0 + p))).collect();
    for _ in 0..20_000 {
        let mut moved = 0.0_f64;
        for i in 0..t {
            let rest: f64 = (0..t).filter(|&j| j != i).map(|j| g.get(i, j) * a[j]).sum();
            let new = root(g.get(i, i), rest, p, a[i]);
            moved = moved.max((new / a[i]).ln().abs());
            a[i] = new;
        }
        if moved < 1e-13 {
            break;
        }
    }
    // G' = G / s: (G/s) a = a^-p, so with α = c a: s c^(1+p) = 1.
    let c = scale.powf(-1.0 / (1.0 + p));
    Ok(a.into_iter().map(|a| a * c).collect())
}

/// The positive root of `g a + r = a^(-p)`, by Newton's method on `ln a`, which
/// is kept in a bracket.
fn root(g: f64, r: f64, p: f64, start: f64) -> f64 {
    let f = |a: f64| g * a + r - a.powf(-p);
    let (mut low, mut high) = (start, start);
    while f(low) > 0.0 {
        low *= 0.5;
    }
    while f(high) < 0.0 {
        high *= 2.0;
    }
    let mut a = start;
    for _ in 0..200 {
        let value = f(a);
        if value > 0.0 {
            high = a;
        } else {
            low = a;
        }
        let slope = a * g + p * a.powf(-p);
        let mut next = a * (-value / slope).clamp(-1.0, 1.0).exp();
        if !(next > low && next < high) {
            next = (low * high).sqrt();
        }
        if (next / a - 1.0).abs() < 1e-15 {
            return next;
        }
        a = next;
    }
    a
}
