//! Accuracy.

use super::same_length;
use crate::{Error, Indices, Result, Tensor};

fn check(what: &'static str, logits: &Tensor, classes: &Indices) -> Result<usize> {
    if logits.rank() != 2 || logits.dims()[1] == 0 {
        return Err(tl_tensor::Error::shape(what, logits.shape(), "[n, classes]").into());
    }
    same_length(what, "classes", classes.len(), logits.dims()[0])?;
    let count = logits.dims()[1];
    match classes.as_slice().iter().find(|&&c| c >= count) {
        Some(&index) => Err(tl_tensor::Error::Index { op: what, index, size: count }.into()),
        None => Ok(count),
    }
}

/// The class with the largest logit for each row of `[n, classes]`.
///
/// # Errors
/// The shape is not `[n, classes]`.
pub fn predictions(logits: &Tensor) -> Result<Vec<usize>> {
    if logits.rank() != 2 {
        return Err(tl_tensor::Error::shape("predictions", logits.shape(), "[n, classes]").into());
    }
    Ok(logits.argmax(1)?.as_slice().to_vec())
}

/// The part of the samples whose largest logit is that of their class, 0 to 1.
///
/// ```
/// use tl_nn::{Tensor, metric};
/// # fn main() -> tl_nn::Result<()> {
/// let logits = Tensor::from_slice(&[2.0, 1.0, 0.0, 3.0], [2, 2])?;
/// assert_eq!(metric::accuracy(&logits, &[0, 0].into())?, 0.5);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The shapes do not fit; a class is out of range; there is no sample.
pub fn accuracy(logits: &Tensor, classes: &Indices) -> Result<f64> {
    top_k_accuracy(logits, classes, 1)
}

/// The part of the samples whose class is among the `k` largest logits. Of
/// equal logits the lower class comes first; a NaN logit is never right.
///
/// # Errors
/// As [`accuracy`]; `k` is 0.
pub fn top_k_accuracy(logits: &Tensor, classes: &Indices, k: usize) -> Result<f64> {
    if k == 0 {
        return Err(Error::argument("top_k_accuracy", "k", k, "at least 1"));
    }
    let count = check("accuracy", logits, classes)?;
    let data = logits.to_vec();
    let hits = data.chunks(count).zip(classes.as_slice()).filter(|(row, class)| {
        let own = row[**class];
        let above = row
            .iter()
            .enumerate()
            .filter(|&(i, &x)| x > own || x.is_nan() || (x == own && i < **class))
            .count();
        !own.is_nan() && above < k
    });
    Ok(hits.count() as f64 / classes.len() as f64)
}
