//! Parts of given sizes: training, validation, test.

use super::{by_class, enough, name_class};
use crate::{Dataset, Error, Result};
use rand::{Rng, seq::SliceRandom};

/// Divides `0..n` at random into parts of the given fractions (each positive,
/// summing to 1), whose sizes are right to within one sample and at least 1.
///
/// # Errors
/// Fractions that are not positive or do not sum to 1; fewer samples than parts.
pub fn random_split<R: Rng + ?Sized>(
    n: usize,
    fractions: &[f64],
    rng: &mut R,
) -> Result<Vec<Vec<usize>>> {
    stratified_split(&vec![0; n], 1, fractions, rng).map_err(|error| match error {
        Error::TooFew { have, need, .. } => Error::argument(
            "random_split",
            "n",
            have,
            format!("at least {need}, one sample for each part"),
        ),
        other => other,
    })
}

/// Divides samples into parts of the given fractions (each positive, summing
/// to 1), in each of which the classes have the proportions of the whole: of
/// every class, each part gets its share rounded up or down, and at least 1.
/// Sizes of whole parts are right to within one sample, unless that minimum
/// moves them.
///
/// # Errors
/// Fractions that are not positive or do not sum to 1; a label out of range; a
/// class with fewer samples than parts.
/// ```
/// use rand::SeedableRng;
///
/// # fn main() -> tl_data::Result<()> {
/// let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1];
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
/// let parts = tl_data::split::stratified_split(&labels, 2, &[2.0 / 3.0, 1.0 / 3.0], &mut rng)?;
/// assert_eq!(parts[1].iter().filter(|&&i| labels[i] == 0).count(), 2);
/// assert_eq!(parts[1].iter().filter(|&&i| labels[i] == 1).count(), 1);
/// # Ok(())
/// # }
/// ```
pub fn stratified_split<R: Rng + ?Sized>(
    labels: &[usize],
    classes: usize,
    fractions: &[f64],
    rng: &mut R,
) -> Result<Vec<Vec<usize>>> {
    check_fractions(fractions)?;
    let mut parts = vec![Vec::new(); fractions.len()];
    // How much each part is behind its share of all classes so far. It goes
    // first when the shares of a class are rounded.
    let mut behind = vec![0.0; fractions.len()];
    for (class, mut members) in by_class(labels, classes)?.into_iter().enumerate() {
        enough(class, members.len(), fractions.len())?;
        members.shuffle(rng);
        let counts = shares(members.len(), fractions, &mut behind);
        let mut rest = members.as_slice();
        for (part, count) in parts.iter_mut().zip(counts) {
            let (taken, left) = rest.split_at(count);
            part.extend_from_slice(taken);
            rest = left;
        }
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    Ok(parts)
}

/// Whole numbers that sum to `n`, each its fraction of `n` rounded up or down,
/// then raised to at least 1. There are at most `n` fractions.
fn shares(n: usize, fractions: &[f64], behind: &mut [f64]) -> Vec<usize> {
    // The small term keeps a product such as 0.1 · 30 from falling below 3.
    let mut counts: Vec<usize> =
        fractions.iter().map(|f| (f * n as f64 + 1e-9).floor() as usize).collect();
    for i in 0..counts.len() {
        behind[i] += fractions[i] * n as f64 - counts[i] as f64;
    }
    let mut raised = vec![false; counts.len()];
    for _ in counts.iter().sum::<usize>()..n {
        let open = (0..counts.len()).filter(|&i| !raised[i]);
        let Some(i) = open.max_by(|&a, &b| behind[a].total_cmp(&behind[b])) else { break };
        counts[i] += 1;
        behind[i] -= 1.0;
        raised[i] = true;
    }
    while let Some(empty) = counts.iter().position(|&c| c == 0) {
        let Some(largest) = (0..counts.len()).max_by_key(|&i| counts[i]) else { break };
        counts[largest] -= 1;
        counts[empty] += 1;
        behind[largest] += 1.0;
        behind[empty] -= 1.0;
    }
    counts
}

fn check_fractions(fractions: &[f64]) -> Result<()> {
    let sum: f64 = fractions.iter().sum();
    if fractions.iter().all(|&f| f > 0.0) && (sum - 1.0).abs() < 1e-6 {
        return Ok(());
    }
    Err(Error::argument("split", "fractions", fractions, "positive numbers that sum to 1"))
}

impl Dataset {
    /// A random part with `fraction` of the samples, and the rest. With classes
    /// the parts are stratified; see [`stratified_split`] and [`random_split`].
    ///
    /// # Errors
    /// A fraction outside of 0..1; a class (or a set) of fewer than two samples.
    /// ```
    /// use rand::SeedableRng;
    ///
    /// # fn main() -> tl_data::Result<()> {
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let (train, test) = tl_data::samples::iris().split(0.8, &mut rng)?;
    /// assert_eq!(test.class_counts()?, [10, 10, 10]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn split<R: Rng + ?Sized>(&self, fraction: f64, rng: &mut R) -> Result<(Self, Self)> {
        let parts = self.split_into(&[fraction, 1.0 - fraction], rng)?;
        match <[Self; 2]>::try_from(parts) {
            Ok([first, second]) => Ok((first, second)),
            Err(parts) => Err(Error::argument("split", "parts", parts.len(), "two")),
        }
    }

    /// As many parts as fractions, for training, validation and test.
    ///
    /// # Errors
    /// As [`stratified_split`] and [`random_split`].
    pub fn split_into<R: Rng + ?Sized>(&self, fractions: &[f64], rng: &mut R) -> Result<Vec<Self>> {
        let parts = match self.labels() {
            Ok(labels) => stratified_split(labels, self.classes(), fractions, rng)
                .map_err(|e| name_class(e, self.class_names()))?,
            Err(_) => random_split(self.len(), fractions, rng)?,
        };
        parts.iter().map(|part| self.select(part)).collect()
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
        fn parts_cover_everything_once_in_proportion(
            labels in prop::collection::vec(0usize..3, 0..200),
            cut in 0.05f64..0.95,
            seed: u64,
        ) {
            let labels = [labels, vec![0, 1, 2, 0, 1, 2]].concat();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let parts = stratified_split(&labels, 3, &[cut, 1.0 - cut], &mut rng).unwrap();
            let mut all = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            for class in 0..3 {
                let whole = labels.iter().filter(|&&l| l == class).count() as f64;
                let part = parts[0].iter().filter(|&&i| labels[i] == class).count() as f64;
                prop_assert!((part - cut * whole).abs() <= 1.0 + 1e-9);
                prop_assert!(part >= 1.0 && part < whole);
            }
        }

        #[test]
        fn sizes_of_parts_are_right(n in 20usize..300, cut in 0.1f64..0.8, seed: u64) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let parts = random_split(n, &[cut, 0.9 - cut, 0.1], &mut rng).unwrap();
            prop_assert!((parts[0].len() as f64 - cut * n as f64).abs() < 1.0 + 1e-6);
            prop_assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), n);
        }
    }

    #[test]
    fn one_sample_short_is_an_error_with_the_name_of_the_class() {
        let data = Dataset::classification(
            tl_tensor::Tensor::zeros([4, 1]),
            vec![0, 0, 0, 1],
            ["cat", "dog"],
        )
        .unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let e = data.split(0.5, &mut rng).unwrap_err();
        assert!(e.to_string().contains("`dog`"), "{e}");
        assert!(data.split(1.5, &mut rng).is_err());
        assert!(data.split(f64::NAN, &mut rng).is_err());
        assert!(random_split(1, &[0.5, 0.5], &mut rng).is_err());
        assert!(data.without_targets().split(0.5, &mut rng).is_ok());
    }
}
