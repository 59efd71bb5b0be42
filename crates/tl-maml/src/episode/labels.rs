//! Few-shot classification tasks from labelled data.

use super::{Task, TaskSource, class::Class, stream};
use crate::{Error, Result};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{ops::RangeInclusive, sync::Arc};
use tl_data::{Batch, Dataset, Targets, split::by_class};
use tl_nn::{Indices, Tensor};

/// `N`-way `K`-shot tasks from any labelled data (Vinyals et al. 2016): `N`
/// random classes, of each `K` samples to learn from and `Q` others to be
/// tested on. Within a task classes are numbered from 0 in random order.
///
/// Defaults: 5-way, 1-shot, 15 queries a class, classes equally likely.
///
/// ```
/// use tl_maml::{TaskSource, Tasks};
/// # fn main() -> tl_maml::Result<()> {
/// let tasks = Tasks::from_labels(&tl_data::samples::digits())?.way(3).shot(2).query(4);
/// let task = tasks.task(7, 0)?;
/// assert_eq!((task.support.len(), task.query.len()), (6, 12));
/// assert!(task.query.indices.iter().all(|i| !task.support.indices.contains(i)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tasks {
    data: Dataset,
    members: Vec<Vec<usize>>,
    ways: RangeInclusive<usize>,
    shots: RangeInclusive<usize>,
    query: usize,
    weights: Option<Vec<f64>>,
    groups: Option<Vec<usize>>,
    rotations: usize,
    mirrored: bool,
}

impl Tasks {
    /// Tasks from all classes of `data` that have samples.
    ///
    /// # Errors
    /// A set without classes.
    pub fn from_labels(data: &Dataset) -> Result<Self> {
        let members = by_class(data.labels()?, data.classes())?;
        Ok(Self {
            data: data.clone(),
            members,
            ways: 5..=5,
            shots: 1..=1,
            query: 15,
            weights: None,
            groups: None,
            rotations: 1,
            mirrored: false,
        })
    }

    /// Classes in a task.
    #[must_use]
    pub fn way(self, way: usize) -> Self {
        self.ways(way..=way)
    }

    /// Classes in a task, drawn for each task.
    #[must_use]
    pub fn ways(mut self, ways: RangeInclusive<usize>) -> Self {
        self.ways = ways;
        self
    }

    /// Support samples of each class.
    #[must_use]
    pub fn shot(self, shot: usize) -> Self {
        self.shots(shot..=shot)
    }

    /// Support samples of each class, drawn for each task.
    #[must_use]
    pub fn shots(mut self, shots: RangeInclusive<usize>) -> Self {
        self.shots = shots;
        self
    }

    /// Query samples of each class.
    #[must_use]
    pub fn query(mut self, query: usize) -> Self {
        self.query = query;
        self
    }

    /// How likely each class of the data is to be drawn, in relation to the
    /// others; a class of weight 0 never is.
    ///
    /// # Errors
    /// Not one weight for each class, or one that is negative or not finite.
    pub fn weighted(mut self, weights: Vec<f64>) -> Result<Self> {
        if weights.len() != self.members.len() {
            return Err(Error::argument(
                "tasks",
                "weights",
                format!("a list of {} for {} classes", weights.len(), self.members.len()),
                "a weight for each class",
            ));
        }
        if let Some(bad) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
            return Err(Error::argument("tasks", "weights", bad, "finite numbers from 0"));
        }
        self.weights = Some(weights);
        Ok(self)
    }

    /// Draws all classes of a task from one group, such as the alphabet of a
    /// character (Triantafillou et al. 2020): `groups[class]` names the group.
    /// Each group with enough classes is equally likely.
    ///
    /// # Errors
    /// Not one group for each class.
    pub fn grouped(mut self, groups: Vec<usize>) -> Result<Self> {
        if groups.len() != self.members.len() {
            return Err(Error::argument(
                "tasks",
                "groups",
                format!("a list of {} for {} classes", groups.len(), self.members.len()),
                "a group for each class",
            ));
        }
        self.groups = Some(groups);
        Ok(self)
    }

    /// Makes four classes of each, by quarter turns of its square images
    /// `[c, h, w]` (Santoro et al. 2016, for Omniglot). Only where a turned
    /// image is another thing: not for digits (6 and 9).
    ///
    /// # Errors
    /// Samples that are not square images.
    pub fn rotated(mut self) -> Result<Self> {
        match self.data.sample_shape() {
            [_, h, w] if h == w => self.rotations = 4,
            other => return Err(not_images(other, "square images [c, h, h]")),
        }
        Ok(self)
    }

    /// Makes two classes of each, its images `[c, h, w]` and what a mirror shows
    /// of them; with [`Tasks::rotated`] eight. Only where that is another thing:
    /// letters seldom are their own mirror image, faces are.
    ///
    /// # Errors
    /// Samples that are not images.
    pub fn mirrored(mut self) -> Result<Self> {
        match self.data.sample_shape() {
            [_, _, _] => self.mirrored = true,
            other => return Err(not_images(other, "images [c, h, w]")),
        }
        Ok(self)
    }

    /// All samples of all classes of the tasks, turned ones too, as one set with
    /// a label for each class: for plain pre-training on just what the episodes
    /// are drawn from.
    ///
    /// # Errors
    /// No class that may be drawn.
    pub fn dataset(&self) -> Result<Dataset> {
        let classes = self.eligible(1);
        let parts: Vec<(Class, Vec<usize>)> =
            classes.into_iter().map(|class| (class, self.members[class.label].clone())).collect();
        let Batch { features, targets, .. } = self.batch(&parts)?;
        match targets {
            Targets::Classes { labels, names } => Ok(Dataset::classification(
                features,
                labels.as_slice().to_vec(),
                names.iter().cloned(),
            )?),
            _ => Ok(Dataset::unlabelled(features)?),
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |name, got: &RangeInclusive<usize>, expected| {
            Err(Error::argument("tasks", name, got, expected))
        };
        if self.ways.is_empty() || *self.ways.start() < 2 {
            return wrong("way", &self.ways, "at least 2 classes");
        }
        if self.shots.is_empty() || *self.shots.start() < 1 {
            return wrong("shot", &self.shots, "at least 1 sample of each class");
        }
        if self.query == 0 {
            return wrong("query", &(0..=0), "at least 1 sample of each class");
        }
        Ok(())
    }

    /// The classes that can be in a task of so many samples each.
    fn eligible(&self, samples: usize) -> Vec<Class> {
        let weight = |label: usize| self.weights.as_ref().map_or(1.0, |w| w[label]);
        (0..self.members.len())
            .filter(|&label| self.members[label].len() >= samples && weight(label) > 0.0)
            .flat_map(|label| {
                let turns = 0..self.rotations * (1 + usize::from(self.mirrored));
                turns.map(move |i| Class {
                    label,
                    mirrored: i >= self.rotations,
                    turns: i % self.rotations,
                })
            })
            .collect()
    }

    /// The classes of one group, if there are groups.
    fn one_group(
        &self,
        classes: Vec<Class>,
        way: usize,
        samples: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Class>> {
        let Some(groups) = &self.groups else { return Ok(classes) };
        let mut sizes = std::collections::BTreeMap::new();
        for class in &classes {
            *sizes.entry(groups[class.label]).or_insert(0_usize) += 1;
        }
        let large: Vec<usize> =
            sizes.iter().filter(|(_, n)| **n >= way).map(|(group, _)| *group).collect();
        if large.is_empty() {
            let have = sizes.values().copied().max().unwrap_or(0);
            return Err(Error::TooFewClasses { have, need: way, samples });
        }
        let chosen = large[rng.random_range(0..large.len())];
        Ok(classes.into_iter().filter(|c| groups[c.label] == chosen).collect())
    }

    /// `way` different classes, each drawn by its weight among those left.
    fn draw(&self, mut classes: Vec<Class>, way: usize, rng: &mut ChaCha8Rng) -> Vec<Class> {
        let Some(weights) = &self.weights else {
            classes.partial_shuffle(rng, way);
            // The shuffled part is at the end.
            return classes.split_off(classes.len() - way);
        };
        let mut drawn = Vec::with_capacity(way);
        while drawn.len() < way {
            let total: f64 = classes.iter().map(|c| weights[c.label]).sum();
            let mut left = rng.random_range(0.0..1.0) * total;
            let at = classes.iter().position(|c| {
                left -= weights[c.label];
                left < 0.0
            });
            drawn.push(classes.swap_remove(at.unwrap_or(classes.len() - 1)));
        }
        drawn
    }

    /// The samples of these classes, class by class.
    fn batch(&self, parts: &[(Class, Vec<usize>)]) -> Result<Batch> {
        let (mut features, mut labels, mut indices) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (class, samples)) in parts.iter().enumerate() {
            let rows = self.data.select(samples)?;
            features.push(class.seen(rows.features())?);
            labels.extend(std::iter::repeat_n(number, samples.len()));
            indices.extend_from_slice(samples);
        }
        let names: Arc<[String]> = parts
            .iter()
            .map(|(class, _)| {
                let name = self.data.class_names().get(class.label).cloned().unwrap_or_default();
                class.named(name)
            })
            .collect();
        let features = Tensor::cat(&features.iter().collect::<Vec<_>>(), 0)?;
        let targets = Targets::Classes { labels: Indices::from(labels), names };
        Ok(Batch { features, targets, indices })
    }
}

impl TaskSource for Tasks {
    fn task(&self, seed: u64, number: u64) -> Result<Task> {
        self.check()?;
        let rng = &mut stream(seed, number);
        let way = rng.random_range(self.ways.clone());
        let shot = rng.random_range(self.shots.clone());
        let samples = shot + self.query;
        let classes = self.eligible(samples);
        if classes.len() < way {
            return Err(Error::TooFewClasses { have: classes.len(), need: way, samples });
        }
        let classes = self.one_group(classes, way, samples, rng)?;
        let (mut support, mut query) = (Vec::new(), Vec::new());
        for class in self.draw(classes, way, rng) {
            let mut members = self.members[class.label].clone();
            let (drawn, _) = members.partial_shuffle(rng, samples);
            support.push((class, drawn[..shot].to_vec()));
            query.push((class, drawn[shot..].to_vec()));
        }
        Ok(Task { support: self.batch(&support)?, query: self.batch(&query)? })
    }
}

fn not_images(shape: &[usize], expected: &'static str) -> Error {
    Error::argument("tasks", "samples", shape.to_vec(), expected)
}

/// Parts of a data set with disjoint classes, of `counts` classes each: classes
/// to meta-train on, to choose on, to test on. Which goes where is random; all
/// samples of a class stay together. Class numbers and names are those of
/// `data`; classes that are left over are in no part.
///
/// # Errors
/// A set without classes; fewer classes with samples than asked for.
pub fn split_classes(data: &Dataset, counts: &[usize], seed: u64) -> Result<Vec<Dataset>> {
    let members = by_class(data.labels()?, data.classes())?;
    let mut classes: Vec<usize> =
        (0..members.len()).filter(|&class| !members[class].is_empty()).collect();
    let need: usize = counts.iter().sum();
    if classes.len() < need {
        return Err(Error::TooFewClasses { have: classes.len(), need, samples: 1 });
    }
    classes.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut left = classes.into_iter();
    let mut parts = Vec::with_capacity(counts.len());
    for &count in counts {
        let mut samples: Vec<usize> =
            left.by_ref().take(count).flat_map(|class| members[class].clone()).collect();
        samples.sort_unstable();
        parts.push(data.select(&samples)?);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes of 4 samples each; sample `i` holds the number `i`, as an image.
    fn data(classes: usize) -> Dataset {
        let n = classes * 4;
        let pixels: Vec<f32> = (0..n * 4).map(|i| i as f32).collect();
        let features = Tensor::from_vec(pixels, [n, 1, 2, 2]).unwrap();
        let names = (0..classes).map(|c| format!("class {c}"));
        Dataset::classification(features, (0..n).map(|i| i / 4).collect(), names).unwrap()
    }

    #[test]
    fn episodes_are_disjoint_and_labelled_right() {
        let tasks = Tasks::from_labels(&data(6)).unwrap().way(3).shot(1).query(2);
        for number in 0..50 {
            let task = tasks.task(3, number).unwrap();
            let labels = task.query.labels().unwrap().as_slice();
            for (&index, &label) in task.query.indices.iter().zip(labels) {
                assert!(!task.support.indices.contains(&index));
                // The same class as the support sample of that label.
                assert_eq!(index / 4, task.support.indices[label] / 4);
            }
            let mut classes: Vec<usize> = task.support.indices.iter().map(|i| i / 4).collect();
            classes.sort_unstable();
            classes.dedup();
            assert_eq!(classes.len(), 3);
        }
        let again = |n| tasks.task(3, n).unwrap().support.indices;
        assert_eq!(again(5), again(5));
        assert!((0..10).any(|n| again(n) != again(n + 1)));
    }

    #[test]
    fn way_and_shot_vary_in_their_ranges() {
        let tasks = Tasks::from_labels(&data(8)).unwrap().ways(2..=4).shots(1..=3).query(1);
        let drawn: Vec<(usize, usize)> = (0..60)
            .map(|n| {
                let task = tasks.task(0, n).unwrap();
                (task.ways(), task.support.len() / task.ways())
            })
            .collect();
        for way in 2..=4 {
            for shot in 1..=3 {
                assert!(drawn.contains(&(way, shot)), "{way}-way {shot}-shot");
            }
        }
    }

    #[test]
    fn groups_and_weights_decide_which_classes_meet() {
        let groups = vec![0, 0, 0, 1, 1, 1, 2, 2];
        let base = Tasks::from_labels(&data(8)).unwrap().way(3).query(1);
        let grouped = base.clone().grouped(groups.clone()).unwrap();
        for n in 0..40 {
            let of = |i: usize| groups[i / 4];
            let support = grouped.task(1, n).unwrap().support.indices;
            assert!(of(support[0]) != 2 && support.iter().all(|&i| of(i) == of(support[0])));
        }
        let mut weights = vec![1.0; 8];
        weights[0] = 0.0;
        weights[1] = 50.0;
        let weighted = base.weighted(weights).unwrap();
        let mut heavy = 0;
        for n in 0..100 {
            let support = weighted.task(1, n).unwrap().support.indices;
            assert!(support.iter().all(|&i| i / 4 != 0));
            heavy += usize::from(support.iter().any(|&i| i / 4 == 1));
        }
        assert!(heavy > 95, "{heavy}");
    }

    #[test]
    fn turns_and_mirrors_make_classes() {
        let tasks = Tasks::from_labels(&data(1)).unwrap().way(8).query(1);
        let tasks = tasks.rotated().unwrap().mirrored().unwrap();
        let task = tasks.task(0, 0).unwrap();
        let mut seen = Vec::new();
        for (row, name) in (0..8).zip(match &task.support.targets {
            Targets::Classes { names, .. } => names.to_vec(),
            _ => Vec::new(),
        }) {
            let image = task.support.features.select(0, row).unwrap().to_vec();
            let first = (task.support.indices[row] * 4) as f32;
            let relative: Vec<f32> = image.iter().map(|x| x - first).collect();
            // The image 0 1 / 2 3, turned anticlockwise.
            let expected = match name.as_str() {
                "class 0" => [0.0, 1.0, 2.0, 3.0],
                "class 0, turned by 90°" => [1.0, 3.0, 0.0, 2.0],
                "class 0, turned by 180°" => [3.0, 2.0, 1.0, 0.0],
                "class 0, turned by 270°" => [2.0, 0.0, 3.0, 1.0],
                // The image 1 0 / 3 2, turned anticlockwise.
                "class 0, mirrored" => [1.0, 0.0, 3.0, 2.0],
                "class 0, mirrored, turned by 90°" => [0.0, 2.0, 1.0, 3.0],
                "class 0, mirrored, turned by 180°" => [2.0, 3.0, 0.0, 1.0],
                "class 0, mirrored, turned by 270°" => [3.0, 1.0, 2.0, 0.0],
                other => panic!("{other}"),
            };
            assert_eq!(relative, expected, "{name}");
            seen.push(name);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn what_cannot_be_says_why() {
        let base = Tasks::from_labels(&data(3)).unwrap().query(1);
        let say = |tasks: Tasks| tasks.task(0, 0).unwrap_err().to_string();
        assert!(say(base.clone()).starts_with("3 classes have at least 2 samples"));
        assert!(say(base.clone().way(3).shot(4)).starts_with("0 classes have at least 5 samples"));
        assert!(say(base.clone().way(1)).contains("way is 1..=1; expected at least 2 classes"));
        assert!(base.clone().grouped(vec![0]).is_err());
        let rows = Dataset::classification(Tensor::zeros([4, 3]), vec![0, 0, 1, 1], ["a", "b"]);
        let rows = Tasks::from_labels(&rows.unwrap()).unwrap();
        let why = rows.clone().rotated().unwrap_err().to_string();
        assert!(why.contains("square images [c, h, h]"), "{why}");
        assert!(rows.mirrored().unwrap_err().to_string().contains("images [c, h, w]"));
        assert!(base.clone().weighted(vec![1.0, -1.0, 1.0]).is_err());
        assert!(Tasks::from_labels(&data(3).without_targets()).is_err());
    }

    #[test]
    fn classes_are_split_without_overlap() {
        let parts = split_classes(&data(7), &[4, 2], 9).unwrap();
        let classes = |part: &Dataset| -> Vec<usize> {
            let counts = part.class_counts().unwrap();
            assert!(counts.iter().all(|&n| n == 0 || n == 4));
            (0..7).filter(|&c| counts[c] > 0).collect()
        };
        let (train, test) = (classes(&parts[0]), classes(&parts[1]));
        assert_eq!((train.len(), test.len()), (4, 2));
        assert!(test.iter().all(|c| !train.contains(c)));
        assert!(split_classes(&data(3), &[2, 2], 0).is_err());
    }
}
