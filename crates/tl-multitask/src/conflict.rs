//! Where tasks pull against each other.

use crate::{Gram, TaskGradients};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What was seen of all pairs of tasks: sums over the steps in which both were
/// there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairs {
    pub(crate) tasks: usize,
    /// Steps, sums of cosines, steps in conflict and sums of magnitude
    /// similarities, pair by pair.
    pub(crate) sums: [Vec<f64>; 4],
}

impl Pairs {
    pub(crate) fn new(tasks: usize) -> Self {
        Self { tasks, sums: std::array::from_fn(|_| vec![0.0; tasks * tasks]) }
    }

    fn see(&mut self, gram: &Gram, present: &[usize]) {
        for (a, &i) in present.iter().enumerate() {
            for (b, &j) in present.iter().enumerate() {
                // A gradient of 0 has no direction.
                if gram.norm(a) > 0.0 && gram.norm(b) > 0.0 {
                    let cosine = gram.cosine(a, b);
                    let conflict = f64::from(u8::from(cosine < 0.0));
                    let similarity = gram.magnitude_similarity(a, b);
                    let at = i * self.tasks + j;
                    for (sums, x) in self.sums.iter_mut().zip([1.0, cosine, conflict, similarity]) {
                        sums[at] += x;
                    }
                }
            }
        }
    }

    fn add(&mut self, other: &Self) {
        for (sums, more) in self.sums.iter_mut().zip(&other.sums) {
            sums.iter_mut().zip(more).for_each(|(s, m)| *s += m);
        }
    }

    fn table(&self, of: usize) -> Vec<Vec<f64>> {
        let mean = |at: usize| self.sums[of][at] / self.sums[0][at];
        (0..self.tasks)
            .map(|i| (0..self.tasks).map(|j| mean(i * self.tasks + j)).collect())
            .collect()
    }

    /// The mean cosine of the angle between the gradients of each pair; NaN for
    /// tasks that were never together.
    pub fn cosines(&self) -> Vec<Vec<f64>> {
        self.table(1)
    }

    /// The part of the steps in which each pair was in conflict (cosine below 0).
    pub fn conflicts(&self) -> Vec<Vec<f64>> {
        self.table(2)
    }

    /// The mean [magnitude similarity](Gram::magnitude_similarity) of each pair.
    pub fn magnitudes(&self) -> Vec<Vec<f64>> {
        self.table(3)
    }

    /// The steps in which each pair was seen.
    pub fn steps(&self, i: usize, j: usize) -> usize {
        self.sums[0][i * self.tasks + j] as usize
    }
}

/// The conflicts of an epoch, on the whole of the shared parameters and layer by
/// layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochConflicts {
    /// On all shared parameters.
    pub whole: Pairs,
    /// By the path of the module that holds the parameters.
    pub layers: BTreeMap<String, Pairs>,
}

impl EpochConflicts {
    pub(crate) fn new(tasks: usize) -> Self {
        Self { whole: Pairs::new(tasks), layers: BTreeMap::new() }
    }
}

/// Conflicts between tasks over a run.
///
/// Prints as a table: of every layer the mean cosine and the part of steps in
/// conflict of the pair that is worst there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflicts {
    /// The names of the tasks.
    pub tasks: Vec<String>,
    /// One for each epoch.
    pub epochs: Vec<EpochConflicts>,
}

impl Conflicts {
    pub(crate) fn see(epoch: &mut EpochConflicts, gradients: &TaskGradients) {
        let (tasks, present) = (epoch.whole.tasks, gradients.present());
        epoch.whole.see(&gradients.gram(), present);
        let mut layers: BTreeMap<&str, Gram> = BTreeMap::new();
        for (path, gram) in gradients.by_parameter() {
            let layer = path.rsplit_once('.').map_or(path, |(layer, _)| layer);
            let sum = match layers.get(layer) {
                Some(sum) => Gram::of(present.len(), |i, j| sum.get(i, j) + gram.get(i, j)),
                None => gram.clone(),
            };
            layers.insert(layer, sum);
        }
        for (layer, gram) in layers {
            let pairs = epoch.layers.entry(layer.to_owned()).or_insert_with(|| Pairs::new(tasks));
            pairs.see(&gram, present);
        }
    }

    /// Over all epochs, on all shared parameters.
    pub fn whole(&self) -> Pairs {
        let mut sum = Pairs::new(self.tasks.len());
        self.epochs.iter().for_each(|epoch| sum.add(&epoch.whole));
        sum
    }

    /// Over all epochs, layer by layer.
    pub fn layers(&self) -> BTreeMap<String, Pairs> {
        let mut all: BTreeMap<String, Pairs> = BTreeMap::new();
        for (layer, pairs) in self.epochs.iter().flat_map(|epoch| &epoch.layers) {
            let sum = all.entry(layer.clone()).or_insert_with(|| Pairs::new(self.tasks.len()));
            sum.add(pairs);
        }
        all
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.tasks.len();
        let mut line = |name: &str, pairs: &Pairs| {
            let cosines = pairs.cosines();
            let all = (0..t).flat_map(|i| (i + 1..t).map(move |j| (i, j)));
            let seen = all.filter(|&(i, j)| pairs.steps(i, j) > 0);
            match seen.min_by(|a, b| cosines[a.0][a.1].total_cmp(&cosines[b.0][b.1])) {
                Some((i, j)) => writeln!(
                    f,
                    "{name:<28} {} / {}: cosine {:+.3}, in conflict {:.0}%, magnitudes {:.2}",
                    self.tasks[i],
                    self.tasks[j],
                    cosines[i][j],
                    100.0 * pairs.conflicts()[i][j],
                    pairs.magnitudes()[i][j]
                ),
                None => writeln!(f, "{name:<28} no two tasks together"),
            }
        };
        line("all shared", &self.whole())?;
        self.layers().iter().try_for_each(|(layer, pairs)| line(layer, pairs))
    }
}
