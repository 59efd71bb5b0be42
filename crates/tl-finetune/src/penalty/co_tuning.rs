//! Co-Tuning: the source classes are taught too.

use crate::{Error, Result};
use tl_nn::{CrossEntropy, Indices, Tensor};

/// Co-Tuning (You et al. 2020, eq. 4): beside the new head, the *source* head of the
/// model goes on learning, with the source classes that go with a target class as
/// its targets: `CE(source logits, p(y_s | y_t))`. Usual weight: 2.3.
///
/// The relationship is learned from the source probabilities of held-out target
/// samples, best calibrated by temperature before.
#[derive(Clone, Debug)]
pub struct CoTuning {
    relationship: Tensor,
}

impl CoTuning {
    /// The direct relationship (section 3.2): `p(y_s | y_t)` is the mean of the
    /// source probabilities `[n, source classes]` over the samples of a target
    /// class.
    ///
    /// # Errors
    /// Probabilities that are no rows of sum 1; labels that do not fit; a class
    /// without a sample.
    pub fn direct(probabilities: &Tensor, labels: &[usize], classes: usize) -> Result<Self> {
        let &[n, source] = probabilities.dims() else {
            let got = format!("{:?}", probabilities.dims());
            return Err(Error::argument("Co-Tuning", "probabilities", got, "[n, source classes]"));
        };
        if n != labels.len() || labels.iter().any(|&y| y >= classes) {
            let got = format!("{} labels for {n} samples", labels.len());
            return Err(Error::argument(
                "Co-Tuning",
                "labels",
                got,
                "one below `classes` for each",
            ));
        }
        let p = probabilities.to_vec();
        let (mut sums, mut counts) = (vec![0.0_f64; classes * source], vec![0_usize; classes]);
        for (row, &y) in p.chunks_exact(source.max(1)).zip(labels) {
            let total: f32 = row.iter().sum();
            if (total - 1.0).abs() > 1e-3 || row.iter().any(|x| *x < 0.0) {
                let got = format!("a row of sum {total}");
                return Err(Error::argument("Co-Tuning", "probabilities", got, "rows of sum 1"));
            }
            counts[y] += 1;
            let to = &mut sums[y * source..(y + 1) * source];
            to.iter_mut().zip(row).for_each(|(to, x)| *to += f64::from(*x));
        }
        if let Some(empty) = counts.iter().position(|&n| n == 0) {
            let got = format!("none of class {empty}");
            return Err(Error::argument("Co-Tuning", "labels", got, "a sample of every class"));
        }
        let rows = sums.chunks_exact(source.max(1)).zip(&counts);
        let means = rows.flat_map(|(row, &n)| row.iter().map(move |x| (x / n as f64) as f32));
        Ok(Self { relationship: Tensor::from_vec(means.collect(), [classes, source])? })
    }

    /// `p(y_s | y_t)`, `[classes, source classes]`.
    pub fn relationship(&self) -> &Tensor {
        &self.relationship
    }

    /// The loss of the source logits `[n, source classes]` for target labels.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn loss(&self, source_logits: &Tensor, labels: &Indices) -> Result<Tensor> {
        let targets = self.relationship.index_select(0, labels)?;
        Ok(CrossEntropy::new().soft_loss(source_logits, &targets)?)
    }
}
