//! Methods, and what they have in common.

mod attribute;
mod cada_vae;
mod conse;
mod eszsl;
mod f_clswgan;
mod feature_vae;
mod generate;
mod gradient_penalty;
mod gram;
mod positive;
mod prototype;
mod ranking;
mod real;
mod sae;
mod scale;
mod vae;

pub use attribute::{Dap, Iap};
pub use cada_vae::CadaVae;
pub use conse::Conse;
pub use eszsl::{Eszsl, eszsl_map};
pub use f_clswgan::FClsWgan;
pub use feature_vae::FeatureVae;
pub use gradient_penalty::gradient_penalty;
pub use prototype::PrototypeRegression;
pub use ranking::{Ranking, RankingLoss, ranking_loss};
pub use sae::{Direction, Sae, sae_encoder, sylvester};

use crate::{Error, Result, Seen, Test, gzsl::per_class_accuracy};
use std::fmt::Debug;
use tl_nn::Tensor;

/// A trained model that says how well samples fit signatures, also of classes
/// that it has never seen.
pub trait Compatibility: Debug + Send + Sync {
    /// Scores `[n, classes]` of samples `[n, d]` and signatures `[classes, a]`;
    /// the highest wins.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn scores(&self, x: &Tensor, signatures: &Tensor) -> Result<Tensor>;

    /// What each attribute adds to the scores of samples for one signature
    /// `[a]`, `[n, a]`; its rows sum to the scores. None for models whose score
    /// is no sum over attributes.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn contributions(&self, x: &Tensor, signature: &Tensor) -> Result<Option<Tensor>> {
        let _ = (x, signature);
        Ok(None)
    }
}

/// A way to learn a [`Compatibility`] from seen classes.
pub trait Method: Debug + Send + Sync {
    /// The name that the literature has for it.
    fn name(&self) -> &'static str;

    /// Learns from seen classes.
    ///
    /// # Errors
    /// A setting out of its range; data that do not fit the method.
    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>>;
}

fn check_rate(what: &'static str, lr: f32) -> Result<()> {
    if lr.is_finite() && lr > 0.0 {
        return Ok(());
    }
    Err(Error::argument(what, "lr", lr, "a rate above 0"))
}

/// How samples in the space of signatures are compared with these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Similarity {
    Dot,
    Cosine,
}

/// Samples in the space of signatures, `[n, a]`, compared there.
pub(crate) trait Project: Debug + Send + Sync {
    fn project(&self, x: &Tensor) -> Result<Tensor>;
    fn similarity(&self) -> Similarity;
}

impl<P: Project> Compatibility for P {
    fn scores(&self, x: &Tensor, signatures: &Tensor) -> Result<Tensor> {
        let (mut e, mut s) = (self.project(x)?, signatures.clone());
        if self.similarity() == Similarity::Cosine {
            (e, s) = (crate::semantics::unit_rows(&e)?, crate::semantics::unit_rows(&s)?);
        }
        Ok(e.matmul(&s.t()?)?)
    }

    fn contributions(&self, x: &Tensor, signature: &Tensor) -> Result<Option<Tensor>> {
        let (mut e, mut s) = (self.project(x)?, signature.unsqueeze(0)?);
        if self.similarity() == Similarity::Cosine {
            (e, s) = (crate::semantics::unit_rows(&e)?, crate::semantics::unit_rows(&s)?);
        }
        Ok(Some(e.mul(&s)?))
    }
}

/// Chooses among several settings by how well they do on held-out *classes*
/// (per-class accuracy, a mean over folds), then learns from all seen classes
/// with the best one. Of equal ones the first wins. Returns its position too.
///
/// ```
/// use tl_zeroshot::{Eszsl, Method, Split, choose, seven_segments};
/// # fn main() -> tl_zeroshot::Result<()> {
/// let digits = tl_data::samples::digits();
/// let flat = digits.with_features(&digits.features().flatten(1, -1)?)?;
/// let split = Split::new(&flat, &seven_segments()?, &["3", "8"], 0.2, 0)?;
/// let settings: Vec<Eszsl> = [0.1, 1.0, 10.0].map(|g| Eszsl { gamma: g, lambda: 1.0 }).into();
/// let settings: Vec<&dyn Method> = settings.iter().map(|m| m as &dyn Method).collect();
/// let (best, _model) = choose(&settings, &split.train, 4, 0)?;
/// assert!(best < 3);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// No setting; those of the methods; as [`Seen::class_folds`].
pub fn choose(
    settings: &[&dyn Method],
    seen: &Seen,
    folds: usize,
    seed: u64,
) -> Result<(usize, Box<dyn Compatibility>)> {
    let parts = seen.class_folds(folds, seed)?;
    let mut best: Option<(usize, f64)> = None;
    for (at, method) in settings.iter().enumerate() {
        let mut sum = 0.0;
        for (kept, held) in &parts {
            sum += zsl_accuracy(method.fit(kept)?.as_ref(), held)?;
        }
        if best.is_none_or(|(_, b)| sum > b) {
            best = Some((at, sum));
        }
    }
    let Some((at, _)) = best else {
        return Err(Error::argument("choose", "settings", "none", "at least one"));
    };
    Ok((at, settings[at].fit(seen)?))
}

/// The mean over classes of the accuracy among the test's classes.
///
/// # Errors
/// Shapes that do not fit; a test without samples.
pub fn zsl_accuracy(model: &dyn Compatibility, test: &Test) -> Result<f64> {
    let scores = model.scores(&test.features, test.classes.table())?;
    per_class_accuracy(&tl_nn::metric::predictions(&scores)?, &test.labels)
}
