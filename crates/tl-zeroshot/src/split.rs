//! Seen and unseen classes, kept apart by type.

use crate::{Error, Result, Signatures};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tl_data::{Dataset, split::by_class};
use tl_nn::Tensor;

/// What a method may learn from: samples of seen classes, their labels, and the
/// signatures of these classes. Nothing of an unseen class can be in it.
#[derive(Clone, Debug)]
pub struct Seen {
    features: Tensor,
    labels: Vec<usize>,
    signatures: Signatures,
}

impl Seen {
    /// Features `[n, d]` and for each sample a row of `signatures`. Every class
    /// of `signatures` counts as seen and needs a sample.
    ///
    /// # Errors
    /// Features that are not a finite matrix; not one label for each sample; a
    /// label without signature; a class without sample.
    pub fn new(features: Tensor, labels: Vec<usize>, signatures: Signatures) -> Result<Self> {
        matrix("seen", &features)?;
        if labels.len() != features.dims()[0] {
            let expected = format!("{}, one for each sample", features.dims()[0]);
            return Err(Error::argument("seen", "labels", labels.len(), expected));
        }
        let members = by_class(&labels, signatures.len())?;
        if let Some(empty) = members.iter().position(Vec::is_empty) {
            let got = format!("no sample of `{}`", signatures.names()[empty]);
            return Err(Error::argument("seen", "labels", got, "a sample of every seen class"));
        }
        Ok(Self { features: features.detach(), labels, signatures })
    }

    /// `[n, d]`.
    pub fn features(&self) -> &Tensor {
        &self.features
    }

    /// The class of each sample, a row of [`signatures`](Self::signatures).
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The signatures of the seen classes.
    pub fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// The number of seen classes.
    pub fn classes(&self) -> usize {
        self.signatures.len()
    }

    /// The signature of every sample's class, `[n, a]`.
    ///
    /// # Errors
    /// None that a valid set can cause.
    pub fn targets(&self) -> Result<Tensor> {
        Ok(self.signatures.table().index_select(0, &self.labels[..].into())?)
    }

    /// The mean of each class, `[classes, d]`.
    ///
    /// # Errors
    /// None that a valid set can cause.
    pub fn means(&self) -> Result<Tensor> {
        let members = Tensor::one_hot(&self.labels[..].into(), self.classes())?;
        let counts = members.sum(0, true)?.t()?;
        Ok(members.t()?.matmul(&self.features)?.div(&counts)?)
    }

    /// Parts of which every class is held out once: to learn from, and to test
    /// on as if its classes were unseen. For choosing settings.
    ///
    /// # Errors
    /// Fewer classes than folds; fewer than 2 folds.
    pub fn class_folds(&self, folds: usize, seed: u64) -> Result<Vec<(Self, Test)>> {
        if folds < 2 || folds > self.classes() {
            let expected = format!("2 to {}, the seen classes", self.classes());
            return Err(Error::argument("class folds", "folds", folds, expected));
        }
        let mut order: Vec<usize> = (0..self.classes()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        (0..folds)
            .map(|fold| {
                let held: Vec<usize> = order.iter().copied().skip(fold).step_by(folds).collect();
                let kept: Vec<usize> = (0..self.classes()).filter(|c| !held.contains(c)).collect();
                let (features, labels) = self.rows(&kept)?;
                let seen = Self::new(features, labels, self.signatures.select(&kept)?)?;
                let (features, labels) = self.rows(&held)?;
                Ok((seen, Test { features, labels, classes: self.signatures.select(&held)? }))
            })
            .collect()
    }

    /// The samples of some classes, labelled by their position in `classes`.
    fn rows(&self, classes: &[usize]) -> Result<(Tensor, Vec<usize>)> {
        let at = |label: usize| classes.iter().position(|&c| c == label);
        let rows: Vec<usize> =
            (0..self.labels.len()).filter(|&i| at(self.labels[i]).is_some()).collect();
        let labels = rows.iter().filter_map(|&i| at(self.labels[i])).collect();
        Ok((self.features.index_select(0, &rows.into())?, labels))
    }
}

/// What a method is tested on.
#[derive(Clone, Debug)]
pub struct Test {
    /// `[n, d]`.
    pub features: Tensor,
    /// The class of each sample, a row of [`classes`](Self::classes).
    pub labels: Vec<usize>,
    /// The classes to choose among.
    pub classes: Signatures,
}

/// A data set in three: samples of seen classes to learn from, others of seen
/// classes to test on, and all samples of unseen classes.
///
/// ```
/// use tl_zeroshot::{Signatures, Split, seven_segments};
/// # fn main() -> tl_zeroshot::Result<()> {
/// let digits = tl_data::samples::digits();
/// let flat = digits.with_features(&digits.features().flatten(1, -1)?)?;
/// let split = Split::new(&flat, &seven_segments()?, &["3", "8"], 0.2, 0)?;
/// assert_eq!(split.train.classes(), 8);
/// assert_eq!(split.unseen.classes.names(), ["3", "8"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Split {
    /// To learn from.
    pub train: Seen,
    /// Held-out samples of seen classes, labelled among *all* classes: the seen
    /// ones first, then the unseen, as in [`all`](Self::all).
    pub seen_test: Test,
    /// Samples of unseen classes, labelled among the unseen classes.
    pub unseen: Test,
    /// All classes, the seen ones first.
    pub all: Signatures,
}

impl Split {
    /// With the classes called `unseen` unseen, and `held_out` of the samples of
    /// every seen class kept for testing. Signatures are found by class name.
    ///
    /// # Errors
    /// A set without classes or features that are not a matrix; a class without
    /// signature; no seen or no unseen class; `held_out` not in 0 to below 1.
    pub fn new(
        data: &Dataset,
        signatures: &Signatures,
        unseen: &[&str],
        held_out: f64,
        seed: u64,
    ) -> Result<Self> {
        matrix("split", data.features())?;
        if !(0.0..1.0).contains(&held_out) {
            return Err(Error::argument("split", "held_out", held_out, "0 to below 1"));
        }
        let members = by_class(data.labels()?, data.classes())?;
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (class, name) in data.class_names().iter().enumerate() {
            if members[class].is_empty() {
                continue;
            }
            let side = if unseen.contains(&name.as_str()) { &mut new } else { &mut old };
            side.push((class, signatures.position(name)?));
        }
        if new.len() != unseen.len() || old.len() < 2 {
            let got = format!("{unseen:?}");
            let expected =
                format!("classes with samples among {:?}, two others left", data.class_names());
            return Err(Error::argument("split", "unseen", got, expected));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut train, mut test) = (Rows::default(), Rows::default());
        for (label, (class, _)) in old.iter().enumerate() {
            let mut own = members[*class].clone();
            own.shuffle(&mut rng);
            // At least one sample is left to learn from.
            let held = ((own.len() as f64 * held_out) as usize).min(own.len() - 1);
            test.extend(&own[..held], label);
            train.extend(&own[held..], label);
        }
        let mut apart = Rows::default();
        for (label, (class, _)) in new.iter().enumerate() {
            apart.extend(&members[*class], label);
        }
        let of = |side: &[(usize, usize)]| {
            signatures.select(&side.iter().map(|(_, row)| *row).collect::<Vec<_>>())
        };
        let all = of(&[old.clone(), new.clone()].concat())?;
        let features = |rows: &Rows| data.features().index_select(0, &rows.at[..].into());
        Ok(Self {
            seen_test: Test {
                features: features(&test)?,
                labels: test.labels,
                classes: all.clone(),
            },
            train: Seen::new(features(&train)?, train.labels, of(&old)?)?,
            unseen: Test { features: features(&apart)?, labels: apart.labels, classes: of(&new)? },
            all,
        })
    }

    /// With `count` random classes unseen.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn random(
        data: &Dataset,
        signatures: &Signatures,
        count: usize,
        held_out: f64,
        seed: u64,
    ) -> Result<Self> {
        let counts = data.class_counts()?;
        let mut names: Vec<&str> = data
            .class_names()
            .iter()
            .zip(counts)
            .filter(|(_, n)| *n > 0)
            .map(|(name, _)| name.as_str())
            .collect();
        names.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        names.truncate(count);
        Self::new(data, signatures, &names, held_out, seed)
    }

    /// The test samples of unseen classes, labelled among all classes.
    pub fn unseen_among_all(&self) -> Test {
        let seen = self.train.classes();
        Test {
            features: self.unseen.features.clone(),
            labels: self.unseen.labels.iter().map(|label| label + seen).collect(),
            classes: self.all.clone(),
        }
    }
}

#[derive(Default)]
struct Rows {
    at: Vec<usize>,
    labels: Vec<usize>,
}

impl Rows {
    fn extend(&mut self, rows: &[usize], label: usize) {
        self.at.extend_from_slice(rows);
        self.labels.extend(std::iter::repeat_n(label, rows.len()));
    }
}

pub(crate) fn matrix(what: &'static str, x: &Tensor) -> Result<()> {
    if x.rank() != 2 || !x.is_finite() {
        let got = format!("{:?}", x.dims());
        let expected = "a finite matrix [samples, features]; flatten images, or extract features";
        return Err(Error::argument(what, "features", got, expected));
    }
    Ok(())
}

/// The digits 0 to 9 as they are lit on a seven-segment display: top, upper
/// left, upper right, middle, lower left, lower right, bottom.
///
/// # Errors
/// None.
pub fn seven_segments() -> Result<Signatures> {
    const LIT: [&str; 10] = [
        "1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010",
        "1111111", "1111011",
    ];
    let table = LIT.concat().bytes().map(|b| f32::from(b - b'0')).collect();
    Signatures::new((0..10).map(|d| d.to_string()), Tensor::from_vec(table, [10, 7])?)?
        .with_attributes([
            "top",
            "upper left",
            "upper right",
            "middle",
            "lower left",
            "lower right",
            "bottom",
        ])
}
