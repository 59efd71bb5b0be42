//! The confusion matrix and what follows from it.

use super::same_length;
use crate::{Error, Result};

/// How numbers per class become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The mean over classes: every class counts alike.
    Macro,
    /// Over all samples: for single labels this is the accuracy.
    Micro,
    /// The mean over classes, weighted by how often they occur.
    Weighted,
}

/// How often each class was taken for each other.
///
/// ```
/// use tl_nn::metric::{Average, Confusion};
/// # fn main() -> tl_nn::Result<()> {
/// let confusion = Confusion::new(&[0, 0, 1, 1], &[0, 0, 0, 1], 2)?;
/// assert_eq!(confusion.count(0, 1), 1); // a 0 taken for a 1
/// assert_eq!(confusion.accuracy(), 0.75);
/// assert!((confusion.f1(Average::Macro) - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<u64>,
    classes: usize,
}

impl Confusion {
    /// From predicted and true classes.
    ///
    /// # Errors
    /// The lists differ in length or are empty; a class is out of range.
    pub fn new(predicted: &[usize], truth: &[usize], classes: usize) -> Result<Self> {
        same_length("confusion", "truth", truth.len(), predicted.len())?;
        if let Some(&index) = predicted.iter().chain(truth).find(|&&c| c >= classes) {
            let error = tl_tensor::Error::Index { op: "confusion", index, size: classes };
            return Err(error.into());
        }
        let size = classes.checked_mul(classes).ok_or_else(|| {
            Error::argument("confusion", "classes", classes, "a number that fits a matrix")
        })?;
        let mut counts = vec![0; size];
        for (&p, &t) in predicted.iter().zip(truth) {
            counts[t * classes + p] += 1;
        }
        Ok(Self { counts, classes })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many samples of class `truth` were taken for `predicted`; 0 for a
    /// class that does not exist.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        let inside = truth < self.classes && predicted < self.classes;
        if inside { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    fn right(&self, class: usize) -> f64 {
        self.count(class, class) as f64
    }

    fn truths(&self, class: usize) -> f64 {
        (0..self.classes).map(|p| self.count(class, p)).sum::<u64>() as f64
    }

    fn predictions(&self, class: usize) -> f64 {
        (0..self.classes).map(|t| self.count(t, class)).sum::<u64>() as f64
    }

    fn total(&self) -> f64 {
        self.counts.iter().sum::<u64>() as f64
    }

    /// The part of the samples that are right.
    pub fn accuracy(&self) -> f64 {
        (0..self.classes).map(|c| self.right(c)).sum::<f64>() / self.total()
    }

    /// The accuracy within each true class, its recall; NaN for a class that
    /// does not occur.
    pub fn per_class_accuracy(&self) -> Vec<f64> {
        (0..self.classes).map(|c| self.right(c) / self.truths(c)).collect()
    }

    /// The mean of [`per_class_accuracy`](Self::per_class_accuracy) over the
    /// classes that occur.
    pub fn balanced_accuracy(&self) -> f64 {
        let list: Vec<f64> =
            self.per_class_accuracy().into_iter().filter(|a| !a.is_nan()).collect();
        list.iter().sum::<f64>() / list.len() as f64
    }

    /// The part of what was taken for a class that is of it; 0 if nothing was.
    pub fn precision(&self, class: usize) -> f64 {
        let predicted = self.predictions(class);
        if predicted == 0.0 { 0.0 } else { self.right(class) / predicted }
    }

    /// `2 · precision · recall / (precision + recall)` of one class; 0 if it
    /// neither occurs nor was predicted.
    pub fn class_f1(&self, class: usize) -> f64 {
        let both = self.truths(class) + self.predictions(class);
        if both == 0.0 { 0.0 } else { 2.0 * self.right(class) / both }
    }

    /// F1 over all classes. The macro mean is of the classes' F1 (not the F1
    /// of mean precision and recall) and leaves out classes that neither occur
    /// nor were predicted.
    pub fn f1(&self, average: Average) -> f64 {
        let all = 0..self.classes;
        match average {
            Average::Micro => self.accuracy(),
            Average::Macro => {
                let seen: Vec<usize> =
                    all.filter(|&c| self.truths(c) + self.predictions(c) > 0.0).collect();
                seen.iter().map(|&c| self.class_f1(c)).sum::<f64>() / seen.len() as f64
            }
            Average::Weighted => {
                all.map(|c| self.class_f1(c) * self.truths(c)).sum::<f64>() / self.total()
            }
        }
    }
}
