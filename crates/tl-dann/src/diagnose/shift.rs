//! Whether two samples have one distribution.

use super::distance::proxy_a_distance;
use crate::{Classifier, Error, Kernels, Result};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_data::Dataset;
use tl_nn::{Forward, Tensor};

/// A test of whether two samples have one distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftTest {
    /// The unbiased squared discrepancy.
    pub mmd: f64,
    /// The part of permutations with one as large, this one counted.
    pub p: f64,
}

/// The permutation test of [`mmd`](crate::mmd) in its unbiased form (Gretton et
/// al. 2012): how often a random split of all samples is as far apart as the
/// domains are. At most 300 samples of each domain are used.
///
/// # Errors
/// As [`mmd`](crate::mmd); no permutation.
pub fn shift_test(
    source: &Tensor,
    target: &Tensor,
    permutations: usize,
    seed: u64,
) -> Result<ShiftTest> {
    if permutations == 0 {
        return Err(Error::argument("shift test", "permutations", 0, "at least 1, better 200"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut some = |x: &Tensor| -> Result<Tensor> {
        let mut order: Vec<usize> = (0..x.size(0)?).collect();
        order.shuffle(&mut rng);
        order.truncate(300);
        Ok(x.detach().index_select(0, &order.into())?)
    };
    let (s, t) = (some(source)?, some(target)?);
    let n = s.size(0)?;
    // The bandwidth is that of all samples, so one kernel serves every split.
    let kernel = Kernels::default().matrix(&s.cast::<f64>(), &t.cast::<f64>())?.to_vec();
    let total = n + t.size(0)?;
    let mut order: Vec<usize> = (0..total).collect();
    let observed = distance(&kernel, &order, n);
    let mut as_large = 1;
    for _ in 0..permutations {
        order.shuffle(&mut rng);
        as_large += usize::from(distance(&kernel, &order, n) >= observed);
    }
    Ok(ShiftTest { mmd: observed, p: as_large as f64 / (permutations + 1) as f64 })
}

/// The unbiased discrepancy of the first `n` of an order and the rest.
fn distance(kernel: &[f64], order: &[usize], n: usize) -> f64 {
    let total = order.len();
    let mut first = vec![false; total];
    order[..n].iter().for_each(|&i| first[i] = true);
    let [mut ss, mut tt, mut st] = [0.0; 3];
    for (i, row) in kernel.chunks(total).enumerate() {
        for (j, k) in row.iter().enumerate().skip(i + 1) {
            match (first[i], first[j]) {
                (true, true) => ss += k,
                (false, false) => tt += k,
                _ => st += k,
            }
        }
    }
    let (n, m) = (n as f64, (total - n) as f64);
    2.0 * (ss / (n * (n - 1.0)) + tt / (m * (m - 1.0)) - st / (n * m))
}

/// How far the domains are apart in the features of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The discrepancy and its p-value, from 200 permutations.
    pub shift: ShiftTest,
    /// The proxy A-distance.
    pub a_distance: f64,
    /// The accuracy of the classifier that tells the domains apart; chance is 0.5.
    pub domain_accuracy: f64,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "squared discrepancy {:.4} (p = {:.3}), proxy A-distance {:.2}, domains told apart \
             in {:.1}%",
            self.shift.mmd,
            self.shift.p,
            self.a_distance,
            100.0 * self.domain_accuracy
        )
    }
}

/// Diagnoses a model before or after its adaptation, from at most 500 samples of
/// each domain. `domain` is the target's for layers with one state each: 1 with
/// one source.
///
/// # Errors
/// Fewer than four samples of a domain; those of the model.
pub fn diagnose<M: Forward>(
    model: &Classifier<M>,
    source: &Dataset,
    target: &Dataset,
    domain: usize,
    seed: u64,
) -> Result<Diagnosis> {
    let some = |data: &Dataset| -> Result<Dataset> {
        let step = data.len().div_ceil(500).max(1);
        Ok(data.select(&(0..data.len()).step_by(step).collect::<Vec<_>>())?)
    };
    let s = model.see_source(&some(source)?)?.features;
    let t = model.see(&some(target)?, domain)?.features;
    let (a_distance, domain_accuracy) = proxy_a_distance(&s, &t, seed)?;
    Ok(Diagnosis { shift: shift_test(&s, &t, 200, seed)?, a_distance, domain_accuracy })
}
