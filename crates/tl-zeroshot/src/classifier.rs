//! A classifier whose classes come and go.

use crate::{Compatibility, Error, Result, Signatures, rejection::Rejection, split::matrix};
use tl_nn::{Tensor, metric::predictions};

/// A trained model with the classes of the day. Adding, removing and renaming
/// classes costs a row of their table, no training, and gives what a rebuild
/// with the same classes gives. (After [`reject_unknown`](Self::reject_unknown)
/// the first answer that follows scores its known samples once more.)
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
    rejection: Option<Rejection>,
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
        Self { model, classes, handicaps, rejection: None }
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
        self.changed();
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
        self.changed();
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
        self.changed();
        Ok(())
    }

    /// A threshold that was right for the scores of before.
    fn changed(&mut self) {
        if let Some(rejection) = &mut self.rejection {
            rejection.forget();
        }
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
        let threshold = self.threshold()?;
        let name = |(class, best): (usize, f32)| match threshold {
            Some(threshold) if best < threshold => "unknown",
            _ => self.classes.names()[class].as_str(),
        };
        Ok(predictions(&scores)?.into_iter().zip(best).map(name).collect())
    }

    /// From now on answers "unknown" where even the best score is below the split
    /// conformal threshold (Vovk et al. 2005): the `⌊(n + 1)(1 - coverage)⌋`-th
    /// smallest of the best scores of `n` known samples. Returns the threshold.
    ///
    /// `known` `[n, d]` are samples of the classes that are to be kept, which
    /// training has not seen. Coverage: a new sample that comes from where they
    /// come from is kept with probability of at least `coverage`, and of at most
    /// `coverage + 1/(n + 1)` if no two scores are the same. That is a mean over
    /// draws of the known samples and the new one; for one draw the part that is
    /// kept varies with a deviation of about `√(coverage (1 - coverage) / n)`. It
    /// is a mean over classes too: a hard class may be kept less often. Nothing is
    /// promised on how many samples of *other* classes are found unknown.
    ///
    /// Where classes come or go or a handicap changes, the threshold is found anew
    /// from the same samples when it is next needed, so coverage stays. After a
    /// [`remove`](Self::remove) these still have the samples of the class that is
    /// gone: call this again with samples of those that are left.
    ///
    /// # Errors
    /// `coverage` not between 0 and 1; fewer samples than it takes, about
    /// `coverage / (1 - coverage)`; features that do not fit.
    pub fn reject_unknown(&mut self, known: &Tensor, coverage: f64) -> Result<f32> {
        matrix("reject", known)?;
        let rejection = Rejection::new(known, coverage)?;
        let threshold = rejection.threshold(|x| self.best(x))?;
        self.rejection = Some(rejection);
        Ok(threshold)
    }

    /// Scores below it are unknown; none without
    /// [`reject_unknown`](Self::reject_unknown).
    ///
    /// # Errors
    /// Those of the model.
    pub fn threshold(&self) -> Result<Option<f32>> {
        self.rejection.as_ref().map(|r| r.threshold(|x| self.best(x))).transpose()
    }

    fn best(&self, x: &Tensor) -> Result<Vec<f32>> {
        Ok(self.scores(x)?.max(-1, false)?.to_vec())
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
