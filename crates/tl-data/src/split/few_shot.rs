//! A few samples of each class, as in few-shot and small-data experiments.

use super::{by_class, enough, name_class};
use crate::{Dataset, Result};
use rand::{Rng, seq::SliceRandom};

/// `k` random samples of each class, and all the others.
///
/// With generators of the same seed the choice for a smaller `k` is part of
/// that for a larger one, so that a curve over `k` compares like with like.
///
/// # Errors
/// A label out of range; a class of fewer than `k` samples.
pub fn k_shot<R: Rng + ?Sized>(
    labels: &[usize],
    classes: usize,
    k: usize,
    rng: &mut R,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let (mut few, mut rest) = (Vec::new(), Vec::new());
    for (class, mut members) in by_class(labels, classes)?.into_iter().enumerate() {
        enough(class, members.len(), k)?;
        // A whole shuffle draws the same numbers for every k.
        members.shuffle(rng);
        few.extend_from_slice(&members[..k]);
        rest.extend_from_slice(&members[k..]);
    }
    few.sort_unstable();
    rest.sort_unstable();
    Ok((few, rest))
}

impl Dataset {
    /// `k` random samples of each class, and all the others. See [`k_shot`].
    ///
    /// # Errors
    /// A set without classes; a class of fewer than `k` samples.
    /// ```
    /// use rand::SeedableRng;
    ///
    /// # fn main() -> tl_data::Result<()> {
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let (few, rest) = tl_data::samples::digits().k_shot(5, &mut rng)?;
    /// assert_eq!((few.len(), rest.len()), (50, 1747));
    /// # Ok(())
    /// # }
    /// ```
    pub fn k_shot<R: Rng + ?Sized>(&self, k: usize, rng: &mut R) -> Result<(Self, Self)> {
        let (few, rest) = k_shot(self.labels()?, self.classes(), k, rng)
            .map_err(|e| name_class(e, self.class_names()))?;
        Ok((self.select(&few)?, self.select(&rest)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn smaller_choices_are_parts_of_larger_ones() {
        let labels: Vec<usize> = (0..60).map(|i| (i * i) % 3).collect();
        let classes = 2; // i² mod 3 is 0 or 1
        let pick = |k| k_shot(&labels, classes, k, &mut ChaCha8Rng::seed_from_u64(4)).unwrap();
        let (two, rest) = pick(2);
        let (five, _) = pick(5);
        assert!(two.iter().all(|i| five.contains(i)));
        assert_eq!((two.len(), rest.len()), (4, 56));
        assert_eq!(two.iter().filter(|&&i| labels[i] == 1).count(), 2);
        assert!(k_shot(&labels, classes, 21, &mut ChaCha8Rng::seed_from_u64(4)).is_err());
        assert!(k_shot(&labels, 1, 2, &mut ChaCha8Rng::seed_from_u64(4)).is_err());
    }
}
