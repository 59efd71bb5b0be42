//! One of several settings, without target labels.

use super::Validator;
use crate::{Adaptation, Adapted, Classifier, Domains, Error, Result};
use tl_nn::Forward;

/// What a validator chose of several settings.
#[derive(Clone, Debug)]
pub struct Chosen<M> {
    /// Which of the candidates.
    pub index: usize,
    /// Its model.
    pub model: Classifier<M>,
    /// Its run.
    pub run: Adapted,
    /// What the validator said of each candidate, in their order.
    pub scores: Vec<f64>,
}

/// Trains a model with each of several settings (methods, weights, rates) and
/// keeps the one of which the validator says most. No target label is looked at;
/// `model` makes the same untrained model every time.
///
/// A validator compares settings of one method better than different methods,
/// since some methods maximise what some validators measure:
/// [`InformationMaximisation`](Validator::InformationMaximisation) flatters SHOT.
///
/// # Errors
/// No candidate; those of [`Adaptation::fit_domains`]; scores that are all NaN.
pub fn choose<M: Forward>(
    candidates: &[Adaptation],
    validator: Validator,
    domains: &Domains,
    mut model: impl FnMut() -> Classifier<M>,
) -> Result<Chosen<M>> {
    let mut best: Option<Chosen<M>> = None;
    let (mut scores, mut most) = (Vec::new(), f64::NEG_INFINITY);
    for (index, candidate) in candidates.iter().enumerate() {
        let mut model = model();
        let run = candidate.fit_domains(&mut model, domains)?;
        let score = run.score(validator);
        scores.push(score);
        if score > most || (best.is_none() && !score.is_nan()) {
            most = score;
            best = Some(Chosen { index, model, run, scores: Vec::new() });
        }
    }
    let Some(mut chosen) = best else {
        let got = format!("{scores:?}");
        return Err(Error::argument("choose", "candidates", got, "one or more with a score"));
    };
    chosen.scores = scores;
    Ok(chosen)
}
