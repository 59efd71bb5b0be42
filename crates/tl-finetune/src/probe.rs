//! Probes: simple learners on frozen features.

use crate::{Error, Extract, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_data::{Batching, Dataset};
use tl_nn::{
    Act, AdamW, CrossEntropy, Ctx, Forward, Linear, Optimizer, Schedule, Sequential, Tensor,
    Trainer, metric,
    shallow::{Distance, KNearest, LogisticRegression, NearestCentroid, Ridge},
};

/// The strengths that [`Probe::logistic`] tries, strongest penalty first.
const STRENGTHS: [f64; 6] = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];

/// A learner on features `[n, d]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Probe {
    /// Least squares to one-hot classes, with hardly a penalty.
    Linear,
    /// Logistic regression by L-BFGS; the inverse strength `C` of the penalty is
    /// chosen of these by cross-validation (5 folds, or as many as the rarest class
    /// has samples; with a single one, the first is taken).
    Logistic {
        /// The candidates, strongest penalty first.
        c: Vec<f64>,
    },
    /// Ridge regression to one-hot classes.
    Ridge {
        /// The strength of the penalty.
        alpha: f64,
    },
    /// The `k` nearest samples by the angle, weighted as by Wu et al. (2018).
    Knn {
        /// How many.
        k: usize,
    },
    /// The nearest class mean.
    Centroid,
    /// A network with one hidden layer, trained by AdamW (rate 1e-3, decay 1e-2).
    Mlp {
        /// Hidden units.
        hidden: usize,
        /// Passes over the samples.
        epochs: usize,
    },
}

impl Probe {
    /// Logistic regression with candidates from 1e-3 to 100.
    pub fn logistic() -> Self {
        Self::Logistic { c: STRENGTHS.to_vec() }
    }

    /// A short name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Logistic { .. } => "logistic",
            Self::Ridge { .. } => "ridge",
            Self::Knn { .. } => "kNN",
            Self::Centroid => "centroid",
            Self::Mlp { .. } => "MLP",
        }
    }

    /// Fits labelled features.
    ///
    /// # Errors
    /// A set without classes; features that are no finite matrix; settings out of
    /// range.
    pub fn fit(&self, features: &Dataset, seed: u64) -> Result<FittedProbe> {
        let (x, y, classes) = (features.features(), features.labels()?, features.classes());
        Ok(FittedProbe(match self {
            Self::Linear => Fitted::Head(Ridge::new(1e-6).fit_classes(x, y, classes)?),
            Self::Ridge { alpha } => Fitted::Head(Ridge::new(*alpha).fit_classes(x, y, classes)?),
            Self::Logistic { c } => Fitted::Head(logistic(features, c, seed)?),
            Self::Knn { k } => Fitted::Knn(
                KNearest::fit(x, y, classes, *k)?
                    .distance(Distance::Cosine { temperature: 0.07 })?,
            ),
            Self::Centroid => Fitted::Centroid(NearestCentroid::fit(x, y, classes)?),
            Self::Mlp { hidden, epochs } => Fitted::Net(mlp(features, *hidden, *epochs, seed)?),
        }))
    }
}

fn logistic(features: &Dataset, c: &[f64], seed: u64) -> Result<Linear> {
    let (labels, classes) = (features.labels()?, features.classes());
    let Some(first) = c.first() else {
        return Err(Error::argument("logistic probe", "c", "none", "at least one"));
    };
    let rarest = features.class_counts()?.into_iter().filter(|n| *n > 0).min().unwrap_or(0);
    let folds = rarest.min(5);
    let fit = if folds < 2 || c.len() == 1 {
        LogisticRegression::new().c(*first).fit(features.features(), labels, classes)?
    } else {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let model = LogisticRegression::new();
        model.fit_cross_validated(features.features(), labels, classes, c, folds, rng)?
    };
    Ok(fit.head)
}

fn mlp(features: &Dataset, hidden: usize, epochs: usize, seed: u64) -> Result<Sequential> {
    let &[_, d] = features.features().dims() else {
        let got = format!("{:?}", features.features().dims());
        return Err(Error::argument("MLP probe", "features", got, "[n, d]"));
    };
    if hidden == 0 || epochs == 0 {
        let got = format!("{hidden} and {epochs}");
        return Err(Error::argument("MLP probe", "hidden, epochs", got, "at least 1 of each"));
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = Sequential::new()
        .named("fc1", Linear::new(d, hidden, rng))
        .push(Act::Relu)
        .named("fc2", Linear::new(hidden, features.classes(), rng));
    let loader = features.batches(Batching::new(32).shuffled(seed))?;
    let steps = (epochs * loader.len()) as u64;
    let optimizer = Optimizer::new(AdamW::new(1e-3)).schedule(Schedule::cosine(steps, 0.0));
    Trainer::new(optimizer, epochs).seed(seed).fit(
        &mut net,
        |epoch| loader.epoch(epoch as u64),
        |net, batch: &tl_data::Batch, cx| {
            let labels = batch.labels().map_err(tl_nn::Error::other)?;
            Ok(CrossEntropy::new().loss(&net.forward(&batch.features, cx)?, labels)?)
        },
    )?;
    Ok(net)
}

/// A probe that was fitted.
#[derive(Clone, Debug)]
pub struct FittedProbe(Fitted);

#[derive(Clone, Debug)]
enum Fitted {
    Head(Linear),
    Knn(KNearest),
    Centroid(NearestCentroid),
    Net(Sequential),
}

impl FittedProbe {
    /// A score for each class, `[m, classes]`: logits, or votes of neighbours.
    ///
    /// # Errors
    /// Features of another width.
    pub fn scores(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match &self.0 {
            Fitted::Head(head) => head.forward(x, &mut Ctx::eval())?.detach(),
            Fitted::Knn(knn) => knn.votes(x)?,
            Fitted::Centroid(centroid) => centroid.logits(x)?,
            Fitted::Net(net) => net.forward(x, &mut Ctx::eval())?.detach(),
        })
    }

    /// The most likely classes.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn predict(&self, x: &Tensor) -> Result<Vec<usize>> {
        Ok(metric::predictions(&self.scores(x)?)?)
    }

    /// The part of labelled features that it gets right.
    ///
    /// # Errors
    /// As [`scores`](Self::scores); a set without classes.
    pub fn accuracy(&self, features: &Dataset) -> Result<f64> {
        let labels = features.labels()?.into();
        Ok(metric::accuracy(&self.scores(features.features())?, &labels)?)
    }

    /// The affine layer of a linear, logistic or ridge probe: the head to begin
    /// fine-tuning with.
    pub fn head(&self) -> Option<&Linear> {
        match &self.0 {
            Fitted::Head(head) => Some(head),
            _ => None,
        }
    }
}

/// A linear probe: [`Probe::logistic`], as a head.
///
/// # Errors
/// As [`Probe::fit`].
pub fn linear_probe(features: &Dataset, seed: u64) -> Result<Linear> {
    logistic(features, if rarest_is_one(features)? { &[1.0] } else { &STRENGTHS }, seed)
}

fn rarest_is_one(features: &Dataset) -> Result<bool> {
    Ok(features.class_counts()?.into_iter().filter(|n| *n > 0).min() == Some(1))
}

/// How well a layer's features do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerScore {
    /// The path of the layer.
    pub layer: String,
    /// Numbers of a feature vector.
    pub size: usize,
    /// The probe's accuracy on the validation set.
    pub accuracy: f64,
}

/// Which layer transfers best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// The probe.
    pub probe: Probe,
    /// In the order in which the layers were given.
    pub layers: Vec<LayerScore>,
}

impl LayerReport {
    /// The best layer; of equal ones the first.
    pub fn best(&self) -> Option<&LayerScore> {
        let better = |a: &&LayerScore, b: &&LayerScore| a.accuracy.total_cmp(&b.accuracy);
        self.layers.iter().rev().max_by(better)
    }
}

impl fmt::Display for LayerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.layers.iter().map(|l| l.layer.len()).max().unwrap_or(0).max(5);
        writeln!(f, "{:width$}   size  accuracy ({} probe)", "layer", self.probe.name())?;
        for l in &self.layers {
            let best = if self.best() == Some(l) { "  best" } else { "" };
            writeln!(f, "{:width$}  {:5}  {:.4}{best}", l.layer, l.size, l.accuracy)?;
        }
        Ok(())
    }
}

/// A probe on each of several layers, tested on a validation set: which layer
/// transfers best? `extract` says how layers become vectors; its own layer and
/// cache are not used. Do not choose by the test set.
///
/// # Errors
/// No layer; those of [`Extract::run`] and [`Probe::fit`].
pub fn probe_by_layer<M: Forward>(
    model: &M,
    [train, validation]: [&Dataset; 2],
    layers: &[&str],
    probe: &Probe,
    extract: &Extract,
    seed: u64,
) -> Result<LayerReport> {
    if layers.is_empty() {
        return Err(Error::argument("probe by layer", "layers", "none", "at least one path"));
    }
    let mut report = LayerReport { probe: probe.clone(), layers: Vec::new() };
    for layer in layers {
        let extract = Extract { cache: None, ..extract.clone().layer(layer) };
        let (train, validation) = (extract.run(model, train)?, extract.run(model, validation)?);
        let accuracy = probe.fit(&train, seed)?.accuracy(&validation)?;
        let size = train.features().size(1)?;
        report.layers.push(LayerScore { layer: (*layer).to_owned(), size, accuracy });
    }
    Ok(report)
}
