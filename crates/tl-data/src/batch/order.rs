//! The order in which an epoch visits the samples.

use crate::{Dataset, Result, dataset::at_least, rng::stream, split::by_class};
use rand::{Rng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

/// How the samples of an epoch are ordered, or drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Order {
    /// As they are stored.
    #[default]
    Sequential,
    /// Each once, in a new random order every epoch.
    Shuffled,
    /// As many draws as there are samples, all classes equally often: any run
    /// of `classes` draws that begins at a multiple of `classes` has one of
    /// each. Within a class no sample comes again before all have come.
    Balanced,
}

impl Order {
    /// Checks that `data` can be visited so.
    pub(super) fn check(self, data: &Dataset) -> Result<()> {
        match self {
            Self::Balanced => at_least(&data.class_counts()?, data.class_names(), 1),
            Self::Sequential | Self::Shuffled => Ok(()),
        }
    }

    /// The samples of one epoch; it depends on nothing but the arguments.
    pub(super) fn indices(self, data: &Dataset, seed: u64, epoch: u64) -> Result<Vec<usize>> {
        let mut rng = stream(seed, &[0, epoch]);
        Ok(match self {
            Self::Sequential => (0..data.len()).collect(),
            Self::Shuffled => {
                let mut all: Vec<usize> = (0..data.len()).collect();
                all.shuffle(&mut rng);
                all
            }
            Self::Balanced => balanced(data, &mut rng)?,
        })
    }
}

fn balanced<R: Rng>(data: &Dataset, rng: &mut R) -> Result<Vec<usize>> {
    let mut members = by_class(data.labels()?, data.classes())?;
    let mut next = vec![0; members.len()];
    let mut round: Vec<usize> = (0..members.len()).collect();
    let mut drawn = Vec::with_capacity(data.len() + round.len());
    while drawn.len() < data.len() {
        round.shuffle(rng);
        for &class in &round {
            if next[class] % members[class].len() == 0 {
                members[class].shuffle(rng);
                next[class] = 0;
            }
            drawn.push(members[class][next[class]]);
            next[class] += 1;
        }
    }
    drawn.truncate(data.len());
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use tl_tensor::Tensor;

    fn lopsided() -> Dataset {
        let labels = [vec![0; 90], vec![1; 7], vec![2; 3]].concat();
        Dataset::classification(Tensor::zeros([100, 1]), labels, ["a", "b", "c"]).unwrap()
    }

    #[test]
    fn a_balanced_epoch_has_every_class_equally_often() {
        let data = lopsided();
        let order = Order::Balanced.indices(&data, 5, 0).unwrap();
        assert_eq!(order.len(), 100);
        for round in order.chunks_exact(3) {
            let mut classes: Vec<usize> =
                round.iter().map(|&i| data.labels().unwrap()[i]).collect();
            classes.sort_unstable();
            assert_eq!(classes, [0, 1, 2]);
        }
        let b: Vec<usize> = order.iter().copied().filter(|i| (90..97).contains(i)).collect();
        let mut first: Vec<usize> = b[..7].to_vec();
        first.sort_unstable();
        assert_eq!(first, (90..97).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_class_cannot_be_balanced() {
        let data = Dataset::classification(Tensor::zeros([1, 1]), vec![0], ["a", "b"]).unwrap();
        assert!(matches!(Order::Balanced.check(&data), Err(Error::TooFew { class: 1, .. })));
        assert!(Order::Balanced.check(&data.without_targets()).is_err());
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let data = lopsided();
        for order in [Order::Shuffled, Order::Balanced] {
            let a = order.indices(&data, 5, 0).unwrap();
            assert_eq!(a, order.indices(&data, 5, 0).unwrap());
            assert_ne!(a, order.indices(&data, 5, 1).unwrap());
            assert_ne!(a, order.indices(&data, 6, 0).unwrap());
        }
    }
}
