//! Small convex problems, solved to double precision.

use super::Gram;
use crate::{Error, Result};

/// `argmin vᵀ G v` over `v >= lower`, by coordinate descent: each step solves one
/// coordinate exactly, so the result is bounded at every moment. `G` gets
/// `regularisation · trace/T` on its diagonal, for a unique solution.
///
/// # Errors
/// Not a bound for each task; numbers that are not finite.
pub fn lower_bounded_qp(gram: &Gram, lower: &[f64], regularisation: f64) -> Result<Vec<f64>> {
    finite(gram)?;
    let t = gram.tasks();
    if lower.len() != t {
        return Err(Error::argument("qp", "lower", lower.len(), format!("{t} bounds")));
    }
    let trace = gram.trace();
    if trace <= 0.0 {
        return Ok(lower.to_vec());
    }
    let a = gram.map(|i, j, g| g / trace + if i == j { regularisation } else { 0.0 });
    let mut v = lower.to_vec();
    let mut slope = a.times(&v);
    for _ in 0..20_000 {
        let mut moved = 0.0_f64;
        for i in 0..t {
            let aii = a.get(i, i);
            if aii <= 0.0 {
                continue;
            }
            let new = (v[i] - slope[i] / aii).max(lower[i]);
            let by = new - v[i];
            if by != 0.0 {
                v[i] = new;
                for (j, s) in slope.iter_mut().enumerate() {
                    *s += by * a.get(j, i);
                }
                moved = moved.max(by.abs());
            }
        }
        if moved < 1e-13 {
            break;
        }
    }
    Ok(v)
}

/// The point of least norm in the convex hull of the gradients: `argmin αᵀGα`
/// over the simplex (Désidéri 2012; Sener and Koltun 2018), by Frank-Wolfe with
/// away steps and exact line search, until the duality gap is below `1e-12` of
/// the largest squared norm.
///
/// # Errors
/// Numbers that are not finite; no task.
pub fn min_norm(gram: &Gram) -> Result<Vec<f64>> {
    finite(gram)?;
    let t = gram.tasks();
    let scale = (0..t).map(|i| gram.get(i, i)).fold(0.0, f64::max);
    let mut alpha = vec![1.0 / t as f64; t];
    if scale <= 0.0 {
        return Ok(alpha);
    }
    for _ in 0..50_000 {
        let slope = gram.times(&alpha);
        let now: f64 = slope.iter().zip(&alpha).map(|(s, a)| s * a).sum();
        let best = (0..t).min_by(|&a, &b| slope[a].total_cmp(&slope[b])).unwrap_or(0);
        let active = (0..t).filter(|&i| alpha[i] > 0.0);
        let worst = active.max_by(|&a, &b| slope[a].total_cmp(&slope[b])).unwrap_or(0);
        let (gap, away) = (now - slope[best], slope[worst] - now);
        if gap.max(away) < 1e-12 * scale {
            break;
        }
        let towards = gap >= away;
        let (corner, sign) = if towards { (best, 1.0) } else { (worst, -1.0) };
        // d = sign (e_corner - α).
        let bend = gram.get(corner, corner) - 2.0 * slope[corner] + now;
        let most = if towards { 1.0 } else { alpha[corner] / (1.0 - alpha[corner]).max(1e-300) };
        let step =
            if bend > 0.0 { ((now - slope[corner]) * sign / bend).clamp(0.0, most) } else { most };
        for (i, a) in alpha.iter_mut().enumerate() {
            let unit = if i == corner { 1.0 } else { 0.0 };
            *a = (*a + sign * step * (unit - *a)).max(0.0);
        }
        if !towards && step == most {
            alpha[corner] = 0.0;
        }
    }
    Ok(alpha)
}

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

fn finite(gram: &Gram) -> Result<()> {
    let t = gram.tasks();
    let fine = (0..t).all(|i| (0..t).all(|j| gram.get(i, j).is_finite()));
    if t == 0 || !fine {
        let got = if t == 0 { "no task" } else { "NaN or infinite" };
        return Err(Error::argument("balance", "gram", got, "finite numbers for a task or more"));
    }
    Ok(())
}
