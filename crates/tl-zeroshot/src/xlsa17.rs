//! The benchmarks of Xian et al., as they are distributed.

use crate::{Error, Result, Seen, Signatures, Split, Test};
use std::path::Path;
use tl_data::read::mat;
use tl_nn::Tensor;

/// A data set in the layout of `xlsa17` ("Zero-shot learning, a comprehensive
/// evaluation", Xian et al. 2019): `res101.mat` with features and labels,
/// `att_splits.mat` with class attributes and the proposed split. AWA2, CUB, SUN,
/// aPY and FLO come so.
///
/// ```no_run
/// use tl_zeroshot::{Eszsl, Method, Xlsa17, zsl_accuracy};
/// # fn main() -> tl_zeroshot::Result<()> {
/// let cub = Xlsa17::open("xlsa17/data/CUB/res101.mat", "xlsa17/data/CUB/att_splits.mat")?;
/// let split = cub.split()?;
/// let model = Eszsl { gamma: 1e3, lambda: 0.1 }.fit(&split.train)?;
/// println!("{:.3}", zsl_accuracy(model.as_ref(), &split.unseen)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Xlsa17 {
    /// Features of all samples, `[n, d]`.
    pub features: Tensor,
    /// The class of each sample, a row of [`signatures`](Self::signatures).
    pub labels: Vec<usize>,
    /// `att`: attributes of length 1, as the benchmark uses them.
    pub signatures: Signatures,
    /// `original_att`: attributes as they were collected, if the file has them.
    pub original: Option<Signatures>,
    /// `trainval_loc`, counted from 0: samples to learn from.
    pub trainval: Vec<usize>,
    /// `test_seen_loc`: held-out samples of the same classes.
    pub test_seen: Vec<usize>,
    /// `test_unseen_loc`: samples of unseen classes.
    pub test_unseen: Vec<usize>,
    /// `train_loc` and `val_loc`: the part of `trainval` to learn from and the one
    /// to choose settings on, which may share classes in some releases; class
    /// folds of [`Seen`] never do.
    pub validation: Option<(Vec<usize>, Vec<usize>)>,
}

type Variables = std::collections::BTreeMap<String, mat::Variable>;

fn variable<'a>(all: &'a Variables, name: &str) -> Result<&'a mat::Variable> {
    all.get(name).ok_or_else(|| {
        let known: Vec<&str> = all.keys().map(String::as_str).collect();
        Error::argument("xlsa17", "variable", format!("no `{name}` among {known:?}"), "it")
    })
}

/// Positions, counted from 1 in the file.
fn places(all: &Variables, name: &str, below: usize) -> Result<Vec<usize>> {
    let places = variable(all, name)?.numbers()?.to_labels()?;
    match places.iter().find(|&&p| p == 0 || p > below) {
        None => Ok(places.into_iter().map(|p| p - 1).collect()),
        Some(p) => Err(Error::argument("xlsa17", "place", p, format!("1 to {below} in `{name}`"))),
    }
}

impl Xlsa17 {
    /// Reads both files.
    ///
    /// # Errors
    /// A file that cannot be read; a variable that is missing or of another shape;
    /// places or labels out of range.
    pub fn open(res101: impl AsRef<Path>, att_splits: impl AsRef<Path>) -> Result<Self> {
        let (samples, splits) = (mat::read(res101)?, mat::read(att_splits)?);
        let features = variable(&samples, "features")?.numbers()?.to_tensor()?.t()?.contiguous();
        let n = features.size(0)?;
        let names = variable(&splits, "allclasses_names")?.texts()?;
        let table = |name: &str| -> Result<Signatures> {
            let att = variable(&splits, name)?.numbers()?.to_tensor()?.t()?.contiguous();
            Signatures::new(names.clone(), att)
        };
        let labels = places(&samples, "labels", names.len())?;
        if labels.len() != n {
            let got = format!("{} labels", labels.len());
            return Err(Error::argument("xlsa17", "labels", got, format!("{n}, one a sample")));
        }
        let has = |name: &str| splits.contains_key(name);
        let validation = if has("train_loc") && has("val_loc") {
            Some((places(&splits, "train_loc", n)?, places(&splits, "val_loc", n)?))
        } else {
            None
        };
        Ok(Self {
            signatures: table("att")?,
            original: has("original_att").then(|| table("original_att")).transpose()?,
            trainval: places(&splits, "trainval_loc", n)?,
            test_seen: places(&splits, "test_seen_loc", n)?,
            test_unseen: places(&splits, "test_unseen_loc", n)?,
            validation,
            features,
            labels,
        })
    }

    /// The proposed split.
    ///
    /// # Errors
    /// A sample of an unseen class among those to learn from; a class of which
    /// nothing can be learned.
    pub fn split(&self) -> Result<Split> {
        let classes = |rows: &[usize]| {
            let mut all: Vec<usize> = rows.iter().map(|&r| self.labels[r]).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (seen, unseen) = (classes(&self.trainval), classes(&self.test_unseen));
        if let Some(both) = seen.iter().find(|c| unseen.contains(c)) {
            let name = &self.signatures.names()[*both];
            let expected = "classes that are either seen or unseen";
            return Err(Error::argument("xlsa17", "class", name, expected));
        }
        let all = self.signatures.select(&[seen.clone(), unseen.clone()].concat())?;
        let part = |rows: &[usize], among: &[usize]| -> Result<(Tensor, Vec<usize>)> {
            let label = |&row: &usize| {
                among.binary_search(&self.labels[row]).map_err(|_| {
                    let name = &self.signatures.names()[self.labels[row]];
                    Error::argument("xlsa17", "class", name, "one that is learned from")
                })
            };
            let labels = rows.iter().map(label).collect::<Result<_>>()?;
            Ok((self.features.index_select(0, &rows.into())?, labels))
        };
        let (features, labels) = part(&self.trainval, &seen)?;
        let train = Seen::new(features, labels, self.signatures.select(&seen)?)?;
        // Seen classes stand first among all, in the same order.
        let (features, labels) = part(&self.test_seen, &seen)?;
        let seen_test = Test { features, labels, classes: all.clone() };
        let (features, labels) = part(&self.test_unseen, &unseen)?;
        let unseen = Test { features, labels, classes: self.signatures.select(&unseen)? };
        Ok(Split { train, seen_test, unseen, all })
    }
}
