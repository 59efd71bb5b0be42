//! A data set: features, and what is to be predicted from them.

use crate::{Error, Result};
use std::sync::Arc;
use tl_tensor::{Indices, Shape, Tensor};

/// What is known about each sample.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Targets {
    /// One class for each sample.
    Classes {
        /// Class numbers, `[n]`.
        labels: Indices,
        /// The name of each class; its length is the number of classes.
        names: Arc<[String]>,
    },
    /// Numbers for each sample, `[n]` or `[n, ...]`: regression targets, or
    /// class probabilities `[n, classes]`.
    Values(Tensor),
    /// Nothing: an unlabelled set.
    None,
}

/// Samples in memory: features `[n, ...]` and [`Targets`]. Cheap to clone.
///
/// A data set is valid by construction: as many targets as samples, labels in
/// range, finite features. [`validate`](Self::validate) asks for more.
/// ```
/// use tl_data::{Dataset, Tensor};
///
/// # fn main() -> tl_data::Result<()> {
/// let features = Tensor::from_vec(vec![0.0, 0.1, 0.9, 1.0], [4, 1])?;
/// let data = Dataset::classification(features, vec![0, 0, 1, 1], ["low", "high"])?;
/// assert_eq!(data.class_counts()?, [2, 2]);
/// assert_eq!(data.select(&[3, 0])?.labels()?, [1, 0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    features: Tensor,
    targets: Targets,
    feature_names: Arc<[String]>,
}

impl Dataset {
    /// Samples with a class each. Class `i` is called `names[i]`; every class
    /// that the labels may name must be there, though not each needs a sample.
    ///
    /// # Errors
    /// Another number of labels than samples, a label out of range, features
    /// that are not finite or have no axis.
    pub fn classification<S: Into<String>>(
        features: Tensor,
        labels: Vec<usize>,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Arc<[String]> = names.into_iter().map(Into::into).collect();
        let features = checked(&features)?;
        same_count("labels", labels.len(), features.dims()[0])?;
        if let Some(sample) = labels.iter().position(|&label| label >= names.len()) {
            return Err(Error::Label { sample, label: labels[sample], classes: names.len() });
        }
        Ok(Self::build(features, Targets::Classes { labels: labels.into(), names }))
    }

    /// Samples with numbers each: `targets` is `[n]` or `[n, ...]`.
    ///
    /// # Errors
    /// Another number of targets than samples; features or targets that are
    /// not finite or have no axis.
    pub fn regression(features: Tensor, targets: Tensor) -> Result<Self> {
        let (features, targets) = (checked(&features)?, rows(&targets)?);
        finite("targets", &targets)?;
        same_count("targets", targets.dims()[0], features.dims()[0])?;
        Ok(Self::build(features, Targets::Values(targets)))
    }

    /// Samples of which nothing is known but themselves.
    ///
    /// # Errors
    /// Features that are not finite or have no axis.
    pub fn unlabelled(features: Tensor) -> Result<Self> {
        Ok(Self::build(checked(&features)?, Targets::None))
    }

    fn build(features: Tensor, targets: Targets) -> Self {
        Self { features, targets, feature_names: Arc::new([]) }
    }

    /// Gives the entries of a feature vector (axis 1) their names.
    ///
    /// # Errors
    /// Features that are not `[n, names]`.
    pub fn with_feature_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Arc<[String]> = names.into_iter().map(Into::into).collect();
        if self.features.dims()[1..] != [names.len()] {
            let expected = format!("[n, {}], as many features as names", names.len());
            return Err(Error::shape("with_feature_names", self.features.dims(), expected));
        }
        self.feature_names = names;
        Ok(self)
    }

    /// The same targets with other features of as many samples, such as what
    /// a frozen model or [`Standardise`](crate::transform::Standardise) makes
    /// of these.
    ///
    /// # Errors
    /// Another number of samples; features that are not finite.
    pub fn with_features(&self, features: &Tensor) -> Result<Self> {
        let features = checked(features)?;
        same_count("rows of features", features.dims()[0], self.len())?;
        Ok(Self::build(features, self.targets.clone()))
    }

    /// The same samples with nothing known about them.
    pub fn without_targets(&self) -> Self {
        Self { targets: Targets::None, ..self.clone() }
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.features.dims()[0]
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The features of all samples, `[n, ...]`, row-major and not tracked.
    pub fn features(&self) -> &Tensor {
        &self.features
    }

    /// The shape of the features of one sample.
    pub fn sample_shape(&self) -> &[usize] {
        &self.features.dims()[1..]
    }

    /// What is known about the samples.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The names of the features; empty if they have none.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// The class of each sample.
    ///
    /// # Errors
    /// A set without classes.
    pub fn labels(&self) -> Result<&[usize]> {
        match &self.targets {
            Targets::Classes { labels, .. } => Ok(labels.as_slice()),
            _ => Err(Error::Lacks { op: "labels", missing: "classes" }),
        }
    }

    /// The names of the classes; empty for a set without classes.
    pub fn class_names(&self) -> &[String] {
        match &self.targets {
            Targets::Classes { names, .. } => names,
            _ => &[],
        }
    }

    /// The number of classes; 0 for a set without classes.
    pub fn classes(&self) -> usize {
        self.class_names().len()
    }

    /// The number of samples of each class.
    ///
    /// # Errors
    /// A set without classes.
    pub fn class_counts(&self) -> Result<Vec<usize>> {
        let mut counts = vec![0; self.classes()];
        for &label in self.labels()? {
            counts[label] += 1;
        }
        Ok(counts)
    }

    /// Checks that this set can be learned from: there is a sample, and of
    /// each class at least one, and at least two classes if any.
    ///
    /// # Errors
    /// An empty set, an empty class, a single class.
    pub fn validate(&self) -> Result<()> {
        if self.is_empty() {
            return Err(Error::Lacks { op: "validate", missing: "samples" });
        }
        if let Targets::Classes { names, .. } = &self.targets {
            if names.len() < 2 {
                let expected = "at least two classes to tell apart";
                return Err(Error::argument("validate", "classes", names.len(), expected));
            }
            at_least(&self.class_counts()?, names, 1)?;
        }
        Ok(())
    }

    /// The samples at `indices`, in that order; an index may come twice.
    ///
    /// # Errors
    /// An index that is not less than the number of samples.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        Ok(Self {
            features: take_rows("select", &self.features, indices)?,
            targets: self.targets.select(indices)?,
            feature_names: self.feature_names.clone(),
        })
    }

    /// These samples, then those of `other`.
    ///
    /// # Errors
    /// Sample shapes that differ; targets of another kind or other classes.
    pub fn concat(&self, other: &Self) -> Result<Self> {
        let features = Tensor::cat(&[&self.features, &other.features], 0)?;
        let targets = match (&self.targets, &other.targets) {
            (
                Targets::Classes { labels: a, names },
                Targets::Classes { labels: b, names: others },
            ) if names == others => {
                let labels = [a.as_slice(), b.as_slice()].concat();
                Targets::Classes { labels: labels.into(), names: names.clone() }
            }
            (Targets::Values(a), Targets::Values(b)) => Targets::Values(Tensor::cat(&[a, b], 0)?),
            (Targets::None, Targets::None) => Targets::None,
            _ => return Err(Error::Lacks { op: "concat", missing: "targets like the other's" }),
        };
        Ok(Self { features, targets, feature_names: self.feature_names.clone() })
    }
}

impl Targets {
    /// The targets at `indices`.
    pub(crate) fn select(&self, indices: &[usize]) -> Result<Self> {
        Ok(match self {
            Self::Classes { labels, names } => {
                let labels = labels.as_slice();
                let chosen: Option<Vec<usize>> =
                    indices.iter().map(|&i| labels.get(i).copied()).collect();
                let chosen = chosen.ok_or_else(|| out_of_range("select", indices, labels.len()))?;
                Self::Classes { labels: chosen.into(), names: names.clone() }
            }
            Self::Values(values) => Self::Values(take_rows("select", values, indices)?),
            Self::None => Self::None,
        })
    }
}

/// Checks that every class has at least `need` samples.
pub(crate) fn at_least(counts: &[usize], names: &[String], need: usize) -> Result<()> {
    match counts.iter().position(|&have| have < need) {
        Some(class) => {
            let name = names.get(class).cloned().unwrap_or_else(|| class.to_string());
            Err(Error::TooFew { class, name, have: counts[class], need })
        }
        None => Ok(()),
    }
}

/// The row-major elements of a tensor, borrowed if they lie so.
pub(crate) fn elements(tensor: &Tensor) -> std::borrow::Cow<'_, [f32]> {
    match tensor.value().as_slice() {
        Some(slice) => slice.into(),
        None => tensor.to_vec().into(),
    }
}

/// The entries `indices` of the first axis.
fn take_rows(op: &'static str, tensor: &Tensor, indices: &[usize]) -> Result<Tensor> {
    let data = elements(tensor);
    let count = tensor.dims()[0];
    if indices.iter().any(|&i| i >= count) {
        return Err(out_of_range(op, indices, count));
    }
    let mut dims = tensor.dims().to_vec();
    dims[0] = indices.len();
    let size: usize = dims[1..].iter().product();
    let mut out = Tensor::zeros(Shape::new(&dims)?);
    if size > 0 {
        out.update_in_place(|out| {
            for (row, &i) in out.chunks_exact_mut(size).zip(indices) {
                row.copy_from_slice(&data[i * size..(i + 1) * size]);
            }
        });
    }
    Ok(out)
}

fn out_of_range(op: &'static str, indices: &[usize], size: usize) -> Error {
    let index = indices.iter().copied().find(|&i| i >= size).unwrap_or(size);
    tl_tensor::Error::Index { op, index, size }.into()
}

fn same_count(what: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Count { what, got, expected }) }
}

fn checked(features: &Tensor) -> Result<Tensor> {
    let features = rows(features)?;
    finite("features", &features)?;
    Ok(features)
}

fn rows(tensor: &Tensor) -> Result<Tensor> {
    if tensor.rank() == 0 {
        return Err(Error::shape("data set", &[], "[n, ...], one entry for each sample"));
    }
    Ok(tensor.detach().contiguous())
}

fn finite(what: &'static str, tensor: &Tensor) -> Result<()> {
    let data = elements(tensor);
    match data.iter().position(|x| !x.is_finite()) {
        Some(at) => {
            let size = (tensor.numel() / tensor.dims()[0].max(1)).max(1);
            Err(Error::NotFinite { what, sample: at / size, value: data[at] })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data: &[f32]) -> Tensor {
        Tensor::from_slice(data, [data.len(), 1]).unwrap()
    }

    #[test]
    fn wrong_labels_and_features_are_named() {
        let x = column(&[0.0, 1.0, 2.0]);
        let e = Dataset::classification(x.clone(), vec![0, 2, 1], ["a", "b"]).unwrap_err();
        assert!(matches!(e, Error::Label { sample: 1, label: 2, classes: 2 }), "{e}");
        let e = Dataset::classification(x.clone(), vec![0], ["a"]).unwrap_err();
        assert!(matches!(e, Error::Count { got: 1, expected: 3, .. }), "{e}");
        let e =
            Dataset::unlabelled(Tensor::from_vec(vec![0.0, 1.0, f32::NAN, 3.0], [2, 2]).unwrap());
        assert!(matches!(e, Err(Error::NotFinite { sample: 1, .. })));
        assert!(Dataset::regression(x.clone(), column(&[1.0, f32::INFINITY, 0.0])).is_err());
        assert!(Dataset::unlabelled(Tensor::scalar(1.0)).is_err());

        let empty = Dataset::classification(x.clone(), vec![0, 0, 2], ["a", "b", "c"]).unwrap();
        let e = empty.validate().unwrap_err();
        assert!(matches!(e, Error::TooFew { class: 1, have: 0, .. }), "{e}");
        let one = Dataset::classification(x, vec![0, 0, 0], ["a"]).unwrap();
        assert!(matches!(one.validate(), Err(Error::Argument { .. })));
        let none = Dataset::unlabelled(Tensor::zeros([0, 3])).unwrap();
        assert!(matches!(none.validate(), Err(Error::Lacks { .. })));
        assert!(none.labels().is_err() && none.select(&[]).unwrap().is_empty());
    }

    #[test]
    fn selection_keeps_rows_and_targets_together() {
        let x = Tensor::from_vec((0..12).map(|x| x as f32).collect(), [3, 2, 2]).unwrap();
        let data = Dataset::regression(x, column(&[0.0, 10.0, 20.0])).unwrap();
        let some = data.select(&[2, 0, 2]).unwrap();
        assert_eq!(some.features().dims(), [3, 2, 2]);
        assert_eq!(some.features().to_vec()[..5], [8.0, 9.0, 10.0, 11.0, 0.0]);
        let Targets::Values(values) = some.targets() else { panic!("no values") };
        assert_eq!(values.to_vec(), [20.0, 0.0, 20.0]);
        assert!(data.select(&[3]).is_err());
        assert_eq!(data.concat(&some).unwrap().len(), 6);
        assert!(data.concat(&data.without_targets()).is_err());
    }

    #[test]
    fn strided_features_are_stored_row_by_row() {
        let x = Tensor::from_vec((0..6).map(|x| x as f32).collect(), [2, 3]).unwrap();
        let data = Dataset::unlabelled(x.t().unwrap().requires_grad()).unwrap();
        assert!(!data.features().is_tracked());
        assert_eq!(data.select(&[1]).unwrap().features().to_vec(), [1.0, 4.0]);
    }

    #[test]
    fn names_fit_the_features() {
        let data = Dataset::unlabelled(Tensor::zeros([2, 3])).unwrap();
        assert!(data.clone().with_feature_names(["a", "b"]).is_err());
        assert_eq!(data.with_feature_names(["a", "b", "c"]).unwrap().feature_names()[2], "c");
    }
}
