//! The shortest vector in a convex hull.

use super::{Gram, finite};
use crate::Result;

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
