//! How well groups of points are separated.

use super::same_length;
use crate::{Error, Result, Tensor};

/// The mean silhouette coefficient `(b - a) / max(a, b)` (Rousseeuw 1987):
/// `a` is a point's mean Euclidean distance to its own cluster, `b` the least
/// mean distance to another one. From -1 to 1; a point alone in its cluster
/// counts 0. Points `[n, d]`; time and memory grow with `n²`.
///
/// # Errors
/// Not `[n, d]` points with `n` labels; fewer than two clusters.
pub fn silhouette(points: &Tensor, labels: &[usize]) -> Result<f64> {
    const WHAT: &str = "silhouette";
    if points.rank() != 2 {
        return Err(tl_tensor::Error::shape(WHAT, points.shape(), "[n, d]").into());
    }
    same_length(WHAT, "labels", labels.len(), points.dims()[0])?;
    let mut names = labels.to_vec();
    names.sort_unstable();
    names.dedup();
    if names.len() < 2 {
        return Err(Error::argument(WHAT, "labels", "one cluster", "at least two"));
    }
    let index: Vec<usize> = labels.iter().map(|l| names.partition_point(|name| name < l)).collect();
    let mut sizes = vec![0.0_f64; names.len()];
    for &c in &index {
        sizes[c] += 1.0;
    }
    let (d, data) = (points.dims()[1], points.to_vec());
    let point = |i: usize| &data[i * d..(i + 1) * d];
    let distance = |a: &[f32], b: &[f32]| {
        let square = |(x, y): (&f32, &f32)| f64::from(x - y) * f64::from(x - y);
        a.iter().zip(b).map(square).sum::<f64>().sqrt()
    };
    let mut sum = 0.0;
    for (i, &own) in index.iter().enumerate() {
        let mut to = vec![0.0_f64; names.len()];
        for (j, &c) in index.iter().enumerate() {
            to[c] += distance(point(i), point(j));
        }
        if sizes[own] > 1.0 {
            let a = to[own] / (sizes[own] - 1.0);
            let others = (0..names.len()).filter(|&c| c != own).map(|c| to[c] / sizes[c]);
            let b = others.fold(f64::INFINITY, f64::min);
            let most = a.max(b);
            sum += if most == 0.0 { 0.0 } else { (b - a) / most };
        }
    }
    Ok(sum / labels.len() as f64)
}
