//! Whether confidence is deserved.

use crate::{Error, Indices, Result, Tensor};

/// The expected calibration error (Guo et al. 2017, eq. 3):
/// `Σ_b |B_b|/n · |accuracy(B_b) - confidence(B_b)|` over `bins` bins of equal
/// width of the largest probability. 15 bins are usual.
///
/// # Errors
/// `probabilities` is not `[n, classes]` with rows that sum to 1; the classes
/// do not fit; no bin.
pub fn expected_calibration_error(
    probabilities: &Tensor,
    classes: &Indices,
    bins: usize,
) -> Result<f64> {
    const WHAT: &str = "expected_calibration_error";
    if probabilities.rank() != 2 || probabilities.dims()[0] != classes.len() || classes.is_empty() {
        let (p, c) = (probabilities.shape(), classes.shape());
        return Err(tl_tensor::Error::shapes(WHAT, p, c, "[n, classes] and [n], n > 0").into());
    }
    if bins == 0 {
        return Err(Error::argument(WHAT, "bins", bins, "at least 1"));
    }
    let (count, data) = (probabilities.dims()[1], probabilities.to_vec());
    let mut sums = vec![(0.0_f64, 0.0_f64); bins];
    for (row, &class) in data.chunks(count.max(1)).zip(classes.as_slice()) {
        let total: f32 = row.iter().sum();
        if (total - 1.0).abs() > 1e-3 || row.iter().any(|p| p.is_nan() || *p < 0.0) {
            let got = format!("a row that sums to {total}");
            return Err(Error::argument(WHAT, "probabilities", got, "rows of a softmax"));
        }
        let best = (0..count).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        let confidence = f64::from(row[best]);
        let bin = ((confidence * bins as f64) as usize).min(bins - 1);
        sums[bin].0 += confidence;
        sums[bin].1 += f64::from(u8::from(best == class));
    }
    Ok(sums.iter().map(|(sure, right)| (sure - right).abs()).sum::<f64>() / classes.len() as f64)
}
