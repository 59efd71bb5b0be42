//! Generalised zero-shot learning: seen and unseen classes together.

use crate::{Compatibility, Error, Result, Split, Test};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tl_nn::{Tensor, metric::predictions};

/// The mean over the classes that occur in `truth` of the part of their samples
/// that was predicted right: what the field means by accuracy.
///
/// # Errors
/// Lists of different lengths, or empty.
pub fn per_class_accuracy(predicted: &[usize], truth: &[usize]) -> Result<f64> {
    if predicted.len() != truth.len() || truth.is_empty() {
        let got = format!("{} for {} samples", predicted.len(), truth.len());
        let expected = "a prediction for each of at least one sample";
        return Err(Error::argument("per-class accuracy", "predicted", got, expected));
    }
    // Of every class its samples that are right, and all.
    let mut classes: BTreeMap<usize, (u32, u32)> = BTreeMap::new();
    for (&p, &t) in predicted.iter().zip(truth) {
        let (right, all) = classes.entry(t).or_default();
        *right += u32::from(p == t);
        *all += 1;
    }
    let parts = classes.values().map(|&(right, all)| f64::from(right) / f64::from(all));
    Ok(parts.sum::<f64>() / classes.len() as f64)
}

/// `2us / (u + s)`, 0 if both are.
pub fn harmonic_mean(unseen: f64, seen: f64) -> f64 {
    if unseen + seen > 0.0 { 2.0 * unseen * seen / (unseen + seen) } else { 0.0 }
}

/// Per-class accuracies when all classes are to choose from (Xian et al. 2019,
/// section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gzsl {
    /// On samples of seen classes.
    pub seen: f64,
    /// On samples of unseen classes.
    pub unseen: f64,
    /// Their [`harmonic_mean`].
    pub harmonic: f64,
}

/// The seen-unseen curve: what becomes of both accuracies as more and more is
/// taken off the scores of seen classes (calibrated stacking, Chao et al. 2016).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The number taken off, ascending; results with it.
    pub points: Vec<(f64, Gzsl)>,
    /// The area under the curve of seen against unseen accuracy (AUSUC).
    pub area: f64,
}

impl Curve {
    /// The results where this much is taken off.
    pub fn at(&self, calibration: f64) -> Option<Gzsl> {
        let upto = self.points.partition_point(|(k, _)| *k <= calibration);
        self.points.get(upto.saturating_sub(1)).map(|(_, g)| *g)
    }

    /// The calibration with the best harmonic mean. Choose it on held-out
    /// *classes*, not on the test's.
    pub fn best(&self) -> Option<(f64, Gzsl)> {
        let better = |a: &(f64, Gzsl), b: &(f64, Gzsl)| a.1.harmonic.total_cmp(&b.1.harmonic);
        self.points.iter().copied().max_by(better)
    }
}

/// What decides about one sample: its best scores on both sides.
struct Sides {
    truth: usize,
    is_seen: bool,
    seen: (f32, bool),
    unseen: (f32, bool),
}

/// `seen` of `classes` come first.
fn sides(scores: &Tensor, truth: &[usize], [seen, classes]: [usize; 2]) -> Result<Vec<Sides>> {
    let wrong =
        |name, got: String, expected: String| Err(Error::argument("curve", name, got, expected));
    if scores.dims() != [truth.len(), classes] {
        let expected = format!("[{}, {classes}], samples and classes", truth.len());
        return wrong("scores", format!("{:?}", scores.dims()), expected);
    }
    if let Some(bad) = truth.iter().find(|t| **t >= classes) {
        return wrong("label", bad.to_string(), format!("below {classes}, the classes"));
    }
    if !scores.is_finite() {
        return wrong("scores", "NaN or infinite".into(), "finite numbers".into());
    }
    let values = scores.to_vec();
    Ok(truth
        .iter()
        .enumerate()
        .map(|(row, &truth)| {
            let row = &values[row * classes..][..classes];
            let best = |range: std::ops::Range<usize>| {
                let best =
                    range.clone().fold(range.start, |b, i| if row[i] > row[b] { i } else { b });
                (row[best], best == truth)
            };
            Sides { truth, is_seen: truth < seen, seen: best(0..seen), unseen: best(seen..classes) }
        })
        .collect())
}

/// The results of a model on seen and unseen classes together, for every
/// calibration that makes a difference. `all` holds the seen classes first,
/// `seen` of them; labels are among `all`.
///
/// # Errors
/// No sample or class on one side; shapes that do not fit; a label that is no
/// class; scores that are not finite.
pub fn seen_unseen_curve(
    model: &dyn Compatibility,
    seen_test: &Test,
    unseen_test: &Test,
    seen: usize,
) -> Result<Curve> {
    let all = &seen_test.classes;
    if seen == 0
        || seen >= all.len()
        || seen_test.labels.is_empty()
        || unseen_test.labels.is_empty()
    {
        let got = format!(
            "{seen} seen of {} classes, {} and {} samples",
            all.len(),
            seen_test.labels.len(),
            unseen_test.labels.len()
        );
        return Err(Error::argument("curve", "tests", got, "classes and samples of both sides"));
    }
    let mut samples = Vec::new();
    for test in [seen_test, unseen_test] {
        samples.extend(sides(
            &model.scores(&test.features, all.table())?,
            &test.labels,
            [seen, all.len()],
        )?);
    }
    // A sample changes sides where the calibration passes the difference.
    let mut order: Vec<usize> = (0..samples.len()).collect();
    let gap = |i: usize| f64::from(samples[i].seen.0) - f64::from(samples[i].unseen.0);
    order.sort_by(|&a, &b| gap(a).total_cmp(&gap(b)));

    let mut counts = vec![0.0_f64; all.len()];
    for sample in &samples {
        counts[sample.truth] += 1.0;
    }
    let part = |n: usize| 1.0 / n.max(1) as f64;
    let occurring =
        |range: std::ops::Range<usize>| counts[range].iter().filter(|c| **c > 0.0).count();
    let (seen_part, unseen_part) = (part(occurring(0..seen)), part(occurring(seen..all.len())));
    let weight =
        |s: &Sides| (1.0 / counts[s.truth]) * if s.is_seen { seen_part } else { unseen_part };
    let mut now = Gzsl { seen: 0.0, unseen: 0.0, harmonic: 0.0 };
    let add = |now: &mut Gzsl, sample: &Sides, by: f64| {
        let side = if sample.is_seen { &mut now.seen } else { &mut now.unseen };
        *side += by * weight(sample);
    };
    // With nothing unseen in reach, all are taken for seen ones.
    for sample in samples.iter().filter(|s| s.seen.1) {
        add(&mut now, sample, 1.0);
    }
    let finish = |mut g: Gzsl| {
        (g.seen, g.unseen) = (g.seen.max(0.0), g.unseen.max(0.0));
        g.harmonic = harmonic_mean(g.unseen, g.seen);
        g
    };
    let mut points = vec![(f64::NEG_INFINITY, finish(now))];
    let mut area = 0.0;
    let mut at = 0;
    while at < order.len() {
        let (threshold, before) = (gap(order[at]), now);
        while at < order.len() && gap(order[at]) == threshold {
            let sample = &samples[order[at]];
            if sample.seen.1 {
                add(&mut now, sample, -1.0);
            }
            if sample.unseen.1 {
                add(&mut now, sample, 1.0);
            }
            at += 1;
        }
        // Trapezoids over the unseen accuracy.
        area += (now.unseen - before.unseen) * (now.seen + before.seen) / 2.0;
        // Just above the difference: a tie goes to the seen class.
        points.push((threshold + threshold.abs().max(1e-6) * 1e-6, finish(now)));
    }
    Ok(Curve { points, area })
}

impl Split {
    /// [`seen_unseen_curve`] on this split's tests.
    ///
    /// # Errors
    /// No sample held out of the seen classes.
    pub fn curve(&self, model: &dyn Compatibility) -> Result<Curve> {
        let unseen = self.unseen_among_all();
        seen_unseen_curve(model, &self.seen_test, &unseen, self.train.classes())
    }

    /// Accuracies with so much taken off the scores of seen classes.
    ///
    /// # Errors
    /// As [`curve`](Self::curve).
    pub fn gzsl(&self, model: &dyn Compatibility, calibration: f64) -> Result<Gzsl> {
        let of = |test: &Test| -> Result<f64> {
            let scores = model.scores(&test.features, self.all.table())?;
            let scores = calibrated(&scores, self.train.classes(), calibration)?;
            per_class_accuracy(&predictions(&scores)?, &test.labels)
        };
        let (seen, unseen) = (of(&self.seen_test)?, of(&self.unseen_among_all())?);
        Ok(Gzsl { seen, unseen, harmonic: harmonic_mean(unseen, seen) })
    }
}

/// Scores with `calibration` taken off those of the first `seen` classes.
fn calibrated(scores: &Tensor, seen: usize, calibration: f64) -> Result<Tensor> {
    let classes = scores.size(1)?;
    let off: Vec<f32> =
        (0..classes).map(|c| if c < seen { calibration as f32 } else { 0.0 }).collect();
    Ok(scores.sub(&Tensor::from_vec(off, [1, classes])?)?)
}
