//! Cross-validation: every sample is tested once.

use super::{by_class, enough, name_class};
use crate::{Dataset, Error, Result};
use rand::{Rng, seq::SliceRandom};

/// One round of cross-validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The samples to train on.
    pub train: Vec<usize>,
    /// The samples to test on: in no other fold's `test`.
    pub test: Vec<usize>,
}

/// Divides `0..n` at random into `k` folds whose test parts differ in size by
/// at most one.
///
/// # Errors
/// `k` less than 2 or greater than `n`.
pub fn k_fold<R: Rng + ?Sized>(n: usize, k: usize, rng: &mut R) -> Result<Vec<Fold>> {
    if k > n {
        return Err(Error::argument("k_fold", "k", k, format!("at most {n}, the samples")));
    }
    stratified_k_fold(&vec![0; n], 1, k, rng)
}

/// As [`k_fold`], with the samples of each class spread evenly over the folds:
/// their numbers differ by at most one, for each class and in all.
///
/// # Errors
/// `k` less than 2; a label out of range; a class of fewer than `k` samples.
pub fn stratified_k_fold<R: Rng + ?Sized>(
    labels: &[usize],
    classes: usize,
    k: usize,
    rng: &mut R,
) -> Result<Vec<Fold>> {
    if k < 2 {
        return Err(Error::argument("k_fold", "k", k, "at least 2"));
    }
    let mut fold_of = vec![0; labels.len()];
    // One class begins where the last one ended, so that the sizes of folds
    // stay equal too.
    let mut next = 0;
    for (class, mut members) in by_class(labels, classes)?.into_iter().enumerate() {
        enough(class, members.len(), k)?;
        members.shuffle(rng);
        for sample in members {
            fold_of[sample] = next;
            next = (next + 1) % k;
        }
    }
    let all = 0..labels.len();
    Ok((0..k)
        .map(|fold| {
            let (test, train) = all.clone().partition(|&sample| fold_of[sample] == fold);
            Fold { train, test }
        })
        .collect())
}

impl Dataset {
    /// The training and the test set of each of `k` rounds, stratified if
    /// there are classes. See [`k_fold`] and [`stratified_k_fold`].
    ///
    /// # Errors
    /// As those.
    pub fn k_fold<R: Rng + ?Sized>(&self, k: usize, rng: &mut R) -> Result<Vec<(Self, Self)>> {
        let folds = match self.labels() {
            Ok(labels) => stratified_k_fold(labels, self.classes(), k, rng)
                .map_err(|e| name_class(e, self.class_names()))?,
            Err(_) => k_fold(self.len(), k, rng)?,
        };
        folds.iter().map(|f| Ok((self.select(&f.train)?, self.select(&f.test)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    proptest! {
        #[test]
        fn every_sample_is_tested_once(
            labels in prop::collection::vec(0usize..3, 0..100), k in 2usize..6, seed: u64,
        ) {
            let labels = [labels, [0, 1, 2].repeat(k)].concat();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let folds = stratified_k_fold(&labels, 3, k, &mut rng).unwrap();
            let mut tested: Vec<usize> = folds.iter().flat_map(|f| f.test.clone()).collect();
            tested.sort_unstable();
            prop_assert_eq!(tested, (0..labels.len()).collect::<Vec<_>>());
            for class in 0..4 {
                let sizes: Vec<usize> = folds
                    .iter()
                    .map(|f| f.test.iter().filter(|&&i| class == 3 || labels[i] == class).count())
                    .collect();
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            }
            for f in &folds {
                prop_assert_eq!(f.train.len() + f.test.len(), labels.len());
                prop_assert!(f.train.iter().all(|i| !f.test.contains(i)));
            }
        }
    }

    #[test]
    fn impossible_folds_are_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert!(k_fold(5, 1, &mut rng).is_err());
        assert!(k_fold(5, 6, &mut rng).is_err());
        assert!(k_fold(5, 5, &mut rng).is_ok());
        let e = stratified_k_fold(&[0, 0, 1, 0], 2, 2, &mut rng).unwrap_err();
        assert!(matches!(e, Error::TooFew { class: 1, have: 1, need: 2, .. }));
        assert!(stratified_k_fold(&[0, 5], 2, 2, &mut rng).is_err());
    }
}
