//! Which predictions are taken as labels.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::Tensor;

/// Which predictions are sure enough to be labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Those with at least this probability (Lee 2013): easy classes may crowd out
    /// the others.
    Confidence(f64),
    /// Of each class the surest part, above 0 to 1 (CBST, Zou et al. 2018, eq. 6):
    /// the threshold of a class is the probability at that rank among the samples
    /// that are predicted as it, and a sample goes to the class that it is
    /// farthest above the threshold of, as a ratio, if there is one.
    ClassBalanced(f64),
}

/// The pseudo-label of every sample that a selection keeps, from logits `[n, c]`.
///
/// ```
/// use tl_dann::{Selection, pseudo_labels};
/// use tl_nn::Tensor;
/// # fn main() -> tl_dann::Result<()> {
/// let logits = Tensor::from_vec(vec![4.0, 0.0, 0.1, 0.0, 0.0, 1.0, 0.0, 0.3], [4, 2])?;
/// let sure = pseudo_labels(&logits, Selection::Confidence(0.9))?;
/// assert_eq!(sure, [Some(0), None, None, None]);
/// let balanced = pseudo_labels(&logits, Selection::ClassBalanced(0.5))?;
/// assert_eq!(balanced, [Some(0), None, Some(1), None]); // the better half of each
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Logits that are no matrix; a number out of range.
pub fn pseudo_labels(logits: &Tensor, selection: Selection) -> Result<Vec<Option<usize>>> {
    let c = match *logits.dims() {
        [_, c] if c > 0 => c,
        _ => {
            let got = format!("{:?}", logits.dims());
            return Err(Error::argument("pseudo-labels", "logits", got, "[n, classes]"));
        }
    };
    let ok = match selection {
        Selection::Confidence(p) => (0.0..=1.0).contains(&p),
        Selection::ClassBalanced(p) => p > 0.0 && p <= 1.0,
    };
    if !ok {
        let got = format!("{selection:?}");
        return Err(Error::argument("pseudo-labels", "selection", got, "a part of 1"));
    }
    let p = logits.detach().softmax(-1)?.to_vec();
    let best = |row: &[f32], score: &dyn Fn(usize) -> f32| {
        (0..row.len()).max_by(|&a, &b| score(a).total_cmp(&score(b)).then(b.cmp(&a))).unwrap_or(0)
    };
    let top: Vec<usize> = p.chunks(c).map(|row| best(row, &|j| row[j])).collect();
    Ok(match selection {
        Selection::Confidence(least) => p
            .chunks(c)
            .zip(&top)
            .map(|(row, &k)| (f64::from(row[k]) >= least).then_some(k))
            .collect(),
        Selection::ClassBalanced(part) => {
            let least = thresholds(&p, &top, c, part);
            let keep = |row: &[f32]| {
                let k = best(row, &|j| row[j] / least[j]);
                (row[k] >= least[k]).then_some(k)
            };
            p.chunks(c).map(keep).collect()
        }
    })
}

/// The probability at a rank among the samples of each predicted class.
fn thresholds(p: &[f32], top: &[usize], c: usize, part: f64) -> Vec<f32> {
    let mut own = vec![Vec::new(); c];
    for (row, &k) in p.chunks(c).zip(top) {
        own[k].push(row[k]);
    }
    let at = |mut probabilities: Vec<f32>| {
        probabilities.sort_by(|a, b| b.total_cmp(a));
        let rank = (part * probabilities.len() as f64).ceil() as usize;
        // Of a class that nobody is predicted as, nobody is sure.
        probabilities.get(rank.max(1) - 1).copied().unwrap_or(1.0)
    };
    own.into_iter().map(at).collect()
}
