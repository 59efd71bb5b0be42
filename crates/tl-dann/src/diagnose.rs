//! How far two domains are apart.

use crate::{Error, Kernels, MmdForm, Result, mmd};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::{Tensor, metric::accuracy, shallow::LogisticRegression};

/// The proxy A-distance `2 (1 - 2 error)` (Ben-David et al. 2007) and the
/// accuracy of the classifier behind it: a logistic regression that tells the
/// domains apart, tested on a held-out half. 0: no difference that it finds; 2:
/// domains that are always told apart. Uses as many samples of each domain as
/// there are in the smaller.
///
/// # Errors
/// Features that are no matrices of one width; fewer than four samples.
pub fn proxy_a_distance(source: &Tensor, target: &Tensor, seed: u64) -> Result<(f64, f64)> {
    let n = source.size(0)?.min(target.size(0)?);
    if n < 4 {
        return Err(Error::argument("proxy A-distance", "samples", n, "at least 4 of each domain"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let half = n / 2;
    let mut parts = [Vec::new(), Vec::new()];
    for x in [source, target] {
        let mut order: Vec<usize> = (0..x.size(0)?).collect();
        order.shuffle(&mut rng);
        parts[0].push(x.index_select(0, &order[..half].into())?);
        parts[1].push(x.index_select(0, &order[half..2 * half].into())?);
    }
    let of = |part: &[Tensor]| Tensor::cat(&part.iter().collect::<Vec<_>>(), 0);
    let labels: Vec<usize> = (0..2 * half).map(|i| usize::from(i >= half)).collect();
    let fit = LogisticRegression::new().fit(&of(&parts[0])?.detach(), &labels, 2)?;
    let right = accuracy(&fit.logits(&of(&parts[1])?.detach())?, &labels[..].into())?;
    Ok((2.0 * (1.0 - 2.0 * (1.0 - right)), right))
}

/// A test of whether two samples have one distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShiftTest {
    /// The unbiased squared discrepancy.
    pub mmd: f64,
    /// The part of permutations with one as large, this one counted.
    pub p: f64,
}

/// The permutation test of [`mmd`] (Gretton et al. 2012): how often a random
/// split of all samples is as far apart as the domains are. At most 300 samples
/// of each domain are used.
///
/// # Errors
/// As [`mmd`]; no permutation.
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
    let both = Tensor::cat(&[&s, &t], 0)?;
    let total = both.size(0)?;
    let distance = |order: &[usize]| -> Result<f64> {
        let (a, b) =
            (both.index_select(0, &order[..n].into())?, both.index_select(0, &order[n..].into())?);
        Ok(f64::from(mmd(&a, &b, &Kernels::default(), MmdForm::Unbiased)?.item()?))
    };
    let mut order: Vec<usize> = (0..total).collect();
    let observed = distance(&order)?;
    let mut as_large = 1;
    for _ in 0..permutations {
        order.shuffle(&mut rng);
        as_large += usize::from(distance(&order)? >= observed);
    }
    Ok(ShiftTest { mmd: observed, p: as_large as f64 / (permutations + 1) as f64 })
}
