//! A classifier whose classes come and go.

use crate::{Compatibility, Error, Result, Signatures, split::matrix};
use tl_nn::{Tensor, metric::predictions};

/// A trained model with the classes of the day. Adding, removing and renaming
/// classes costs a row of their table, no training, and gives what a rebuild
/// with the same classes gives.
///
/// ```
/// use tl_zeroshot::{Method, PrototypeRegression, Split, ZeroShot, seven_segments};
/// # fn main() -> tl_zeroshot::Result<()> {
/// let digits = tl_data::samples::digits();
/// let flat = digits.with_features(&digits.features().flatten(1, -1)?)?;
/// let split = Split::new(&flat, &seven_segments()?.unit()?, &["8"], 0.2, 0)?;
/// let model = PrototypeRegression::default().fit(&split.train)?;
///
/// let mut classifier = ZeroShot::new(model, split.train.signatures().clone());
/// let lit = 1.0 / 7.0_f32.sqrt(); // all segments, at length 1
/// classifier.add("8", &[lit; 7])?;
/// let names = classifier.classify(&split.unseen.features)?;
/// assert!(names.contains(&"8"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ZeroShot {
    model: Box<dyn Compatibility>,
    classes: Signatures,
    handicaps: Vec<f32>,
    reject_below: Option<f32>,
}

/// Why a sample got a score for a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Attribute and what it adds, the largest first (by absolute value). They
    /// sum to the score.
    pub parts: Vec<(String, f32)>,
    /// The score, without a handicap.
    pub score: f32,
}

impl ZeroShot {
    /// A classifier over these classes.
    pub fn new(model: Box<dyn Compatibility>, classes: Signatures) -> Self {
        let handicaps = vec![0.0; classes.len()];
        Self { model, classes, handicaps, reject_below: None }
    }

    /// The classes there are now.
    pub fn classes(&self) -> &Signatures {
        &self.classes
    }

    /// Adds a class.
    ///
    /// # Errors
    /// A name that is there; not a finite number for each attribute.
    pub fn add(&mut self, name: &str, signature: &[f32]) -> Result<()> {
        self.classes.push(name, signature)?;
        self.handicaps.push(0.0);
        Ok(())
    }

    /// Removes a class.
    ///
    /// # Errors
    /// There is none of that name, or no other.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let at = self.classes.position(name)?;
        if self.classes.len() == 1 {
            return Err(Error::argument(
                "remove",
                "name",
                name,
                "a class that is not the last one",
            ));
        }
        self.classes.remove(at)?;
        self.handicaps.remove(at);
        Ok(())
    }

    /// Gives a class another name.
    ///
    /// # Errors
    /// There is none of that name, or the new name is there.
    pub fn rename(&mut self, name: &str, new: &str) -> Result<()> {
        let at = self.classes.position(name)?;
        self.classes.rename(at, new)
    }

    /// Takes so much off the scores of these classes: calibrated stacking (Chao
    /// et al. 2016) for those that were seen in training.
    ///
    /// # Errors
    /// A class that is not there; a number that is not finite.
    pub fn handicap(&mut self, names: &[String], by: f32) -> Result<()> {
        if !by.is_finite() {
            return Err(Error::argument("handicap", "by", by, "a finite number"));
        }
        let places = names.iter().map(|name| self.classes.position(name));
        for at in places.collect::<Result<Vec<_>>>()? {
            self.handicaps[at] = by;
        }
        Ok(())
    }

    /// Scores `[n, classes]`, with handicaps.
    ///
    /// # Errors
    /// Features that are not a finite matrix of the right width.
    pub fn scores(&self, x: &Tensor) -> Result<Tensor> {
        matrix("zero-shot", x)?;
        let scores = self.model.scores(x, self.classes.table())?;
        let off = Tensor::from_slice(&self.handicaps, [1, self.handicaps.len()])?;
        Ok(scores.sub(&off)?)
    }

    /// The class of every sample, by position.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn predict(&self, x: &Tensor) -> Result<Vec<usize>> {
        Ok(predictions(&self.scores(x)?)?)
    }

    /// The class of every sample, by name; "unknown" where the classifier
    /// [rejects](Self::reject_unknown).
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn classify(&self, x: &Tensor) -> Result<Vec<&str>> {
        let scores = self.scores(x)?;
        let best = scores.max(-1, false)?.to_vec();
        let name = |(class, best): (usize, f32)| match self.reject_below {
            Some(threshold) if best < threshold => "unknown",
            _ => self.classes.names()[class].as_str(),
        };
        Ok(predictions(&scores)?.into_iter().zip(best).map(name).collect())
    }

    /// From now on answers "unknown" where even the best score is so low that
    /// at most a part `1 - coverage` of known samples has a lower one: the split
    /// conformal threshold (Vovk et al. 2005), the `⌊(n + 1)(1 - coverage)⌋`-th
    /// smallest of the best scores of `n` samples of known classes that training
    /// has not seen. Over draws of these, a new known sample is kept with
    /// probability of at least `coverage`. Returns the threshold.
    ///
    /// # Errors
    /// `coverage` not between 0 and 1; features that do not fit.
    pub fn reject_unknown(&mut self, known: &Tensor, coverage: f64) -> Result<f32> {
        if !(coverage > 0.0 && coverage < 1.0) {
            return Err(Error::argument("reject", "coverage", coverage, "between 0 and 1"));
        }
        let mut best = self.scores(known)?.max(-1, false)?.to_vec();
        best.sort_by(f32::total_cmp);
        let rank = ((best.len() + 1) as f64 * (1.0 - coverage)) as usize;
        let threshold = if rank == 0 { f32::NEG_INFINITY } else { best[rank.min(best.len()) - 1] };
        self.reject_below = Some(threshold);
        Ok(threshold)
    }

    /// What each attribute adds to the score of one sample `[d]` for a class.
    ///
    /// # Errors
    /// No such class; a model whose score is no sum over attributes.
    pub fn explain(&self, x: &Tensor, class: &str) -> Result<Explanation> {
        let at = self.classes.position(class)?;
        let signature = self.classes.table().select(0, at)?;
        let x = x.reshape([1, x.numel()])?;
        let Some(parts) = self.model.contributions(&x, &signature)? else {
            let expected = "a method that scores by attributes, such as ESZSL or DAP";
            return Err(Error::argument("explain", "model", format!("{:?}", self.model), expected));
        };
        let parts = parts.to_vec();
        let score = parts.iter().sum();
        let mut parts: Vec<(String, f32)> =
            self.classes.attributes().iter().cloned().zip(parts).collect();
        parts.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        Ok(Explanation { parts, score })
    }
}
