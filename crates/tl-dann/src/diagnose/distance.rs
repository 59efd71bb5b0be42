//! A classifier that tells the domains apart.

use crate::{Error, Result};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Tensor, metric::accuracy, shallow::LogisticRegression};

/// The proxy A-distance `2 (1 - 2 error)` (Ben-David et al. 2007) and the
/// accuracy of the classifier behind it: a logistic regression that tells the
/// domains apart, tested on a held-out half. 0: no difference that it finds; 2:
/// domains that are always told apart. Chance may put it a little below 0. Uses
/// as many samples of each domain as there are in the smaller.
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
