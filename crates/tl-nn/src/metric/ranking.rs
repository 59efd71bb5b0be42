//! How well scores rank positives above negatives.

use super::{numbers, same_length};
use crate::{Error, Indices, Result, Tensor};

fn check(what: &'static str, scores: &[f64], positive: &[bool]) -> Result<(usize, usize)> {
    same_length(what, "positive", positive.len(), scores.len())?;
    numbers(what, "scores", scores)?;
    let positives = positive.iter().filter(|&&p| p).count();
    let negatives = positive.len() - positives;
    if positives == 0 || negatives == 0 {
        let got = if positives == 0 { "all negative" } else { "all positive" };
        return Err(Error::argument(what, "positive", got, "at least one of each"));
    }
    Ok((positives, negatives))
}

/// Groups of equal scores, the largest first: positives and negatives in each.
fn groups(scores: &[f64], positive: &[bool]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut last = None;
    for i in order {
        if last != Some(scores[i]) {
            groups.push((0, 0));
            last = Some(scores[i]);
        }
        if let Some(group) = groups.last_mut() {
            if positive[i] { group.0 += 1 } else { group.1 += 1 }
        }
    }
    groups
}

/// The area under the receiver operating characteristic: the chance that a
/// positive scores above a negative, equal scores counting a half.
///
/// ```
/// use tl_nn::metric::auroc;
/// # fn main() -> tl_nn::Result<()> {
/// assert_eq!(auroc(&[0.9, 0.8, 0.8, 0.1], &[true, true, false, false])?, 0.875);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Lists of different lengths; NaN; only one kind.
pub fn auroc(scores: &[f64], positive: &[bool]) -> Result<f64> {
    let (positives, negatives) = check("auroc", scores, positive)?;
    let (mut area, mut above) = (0.0, 0.0);
    for (p, n) in groups(scores, positive) {
        area += n as f64 * (above + 0.5 * p as f64);
        above += p as f64;
    }
    Ok(area / (positives as f64 * negatives as f64))
}

/// The mean over classes of [`auroc`] of each class against the rest, from
/// probabilities or logits `[n, classes]`.
///
/// # Errors
/// As [`auroc`]; a class does not occur.
pub fn auroc_one_vs_rest(scores: &Tensor, classes: &Indices) -> Result<f64> {
    if scores.rank() != 2 || scores.dims()[0] != classes.len() {
        let error = tl_tensor::Error::shapes(
            "auroc_one_vs_rest",
            scores.shape(),
            classes.shape(),
            "[n, classes] and [n]",
        );
        return Err(error.into());
    }
    let (count, data) = (scores.dims()[1], scores.to_vec());
    let mut sum = 0.0;
    for class in 0..count {
        let own: Vec<f64> = data.iter().skip(class).step_by(count).map(|&x| x.into()).collect();
        let positive: Vec<bool> = classes.as_slice().iter().map(|&c| c == class).collect();
        sum += auroc(&own, &positive)?;
    }
    Ok(sum / count as f64)
}

/// `Σ (R_k - R_{k-1}) P_k` over the thresholds: the area under the steps of
/// precision over recall, without interpolation.
///
/// # Errors
/// As [`auroc`].
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Result<f64> {
    let (positives, _) = check("average_precision", scores, positive)?;
    let (mut right, mut seen, mut area) = (0.0, 0.0, 0.0);
    for (p, n) in groups(scores, positive) {
        right += p as f64;
        seen += (p + n) as f64;
        area += p as f64 * right / seen;
    }
    Ok(area / positives as f64)
}
