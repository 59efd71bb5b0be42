//! What is saved: a network with all that a row needs to become its input.

use crate::shared::Outcome;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};
use std::path::Path;
use transfer_learning::{
    data::{Batching, Dataset, transform::Standardise},
    nn::{
        Act, AdamW, CrossEntropy, Error, Linear, Load, Optimizer, Schedule, Sequential, StateDict,
        Trainer, shallow::LogisticRegression,
    },
    prelude::*,
};

/// The two kinds of models that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Logistic regression, its strength chosen by cross-validation.
    Logistic,
    /// A hidden layer of 64.
    Network,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Logistic, Self::Network];

    /// As the table and the file call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic regression",
            Self::Network => "network",
        }
    }

    /// An untrained one.
    fn empty(self, features: usize, classes: usize, rng: &mut ChaCha8Rng) -> Sequential {
        match self {
            Self::Logistic => Sequential::new().push(Linear::new(features, classes, rng)),
            Self::Network => Sequential::new()
                .push(Linear::new(features, 64, rng))
                .push(Act::Relu)
                .push(Linear::new(64, classes, rng)),
        }
    }
}

/// A trained model with the names and scales of its inputs.
pub struct Trained {
    kind: Kind,
    net: Sequential,
    scale: Standardise,
    features: Vec<String>,
    /// The names of the classes.
    pub classes: Vec<String>,
}

impl Trained {
    /// Trains on all samples of `data`; what the scales are is learned here too.
    pub fn fit(kind: Kind, data: &Dataset, seed: u64) -> Outcome<Self> {
        let scale = Standardise::fit(data.features())?;
        let scaled = data.with_features(&scale.transform(data.features())?)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let net = match kind {
            Kind::Logistic => {
                let (x, y) = (scaled.features(), scaled.labels()?);
                let strengths = [1e-3, 1e-2, 0.1, 1.0, 10.0];
                let fit = LogisticRegression::new().fit_cross_validated(
                    x,
                    y,
                    data.classes(),
                    &strengths,
                    5,
                    rng,
                )?;
                Sequential::new().push(fit.head)
            }
            Kind::Network => {
                let mut net = kind.empty(data.sample_shape()[0], data.classes(), rng);
                train(&mut net, &scaled, seed)?;
                net
            }
        };
        let (features, classes) = (data.feature_names().to_vec(), data.class_names().to_vec());
        Ok(Self { kind, net, scale, features, classes })
    }

    /// Logits of features as the table has them, `[n, features]`.
    pub fn logits_of(&self, features: &Tensor) -> Outcome<Tensor> {
        Ok(self.net.forward(&self.scale.transform(features)?, &mut Ctx::eval())?)
    }

    /// Logits of one row. A column that is missing counts as its mean, a category
    /// that is not known as none; a column that the model does not know is an
    /// error, since it is more likely misspelt than meant to be ignored.
    pub fn logits(&self, row: &Map<String, Value>) -> Outcome<Vec<f32>> {
        let name = |feature: &str| feature.split_once('=').map_or(feature, |(c, _)| c).to_owned();
        if let Some(unknown) = row.keys().find(|k| !self.features.iter().any(|f| name(f) == **k)) {
            let mut known: Vec<String> = self.features.iter().map(|f| name(f)).collect();
            known.dedup();
            return Err(format!("no column `{unknown}`; there are: {}", known.join(", ")).into());
        }
        let mut input = Vec::with_capacity(self.features.len());
        for (feature, &mean) in self.features.iter().zip(&self.scale.mean) {
            let value = row.get(&name(feature)).filter(|v| !v.is_null());
            input.push(match (value, feature.split_once('=')) {
                (None, None) => mean,
                (None, Some(_)) => 0.0,
                (Some(value), Some((_, category))) => {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    if text == category { 1.0 } else { 0.0 }
                }
                (Some(value), None) => {
                    value.as_f64().filter(|x| x.is_finite()).ok_or_else(|| {
                        format!("column `{feature}` is {value}; expected a number")
                    })? as f32
                }
            });
        }
        let input = Tensor::from_vec(input, [1, self.features.len()])?;
        Ok(self.logits_of(&input)?.to_vec())
    }

    /// One safetensors file: weights, scales, names.
    pub fn save(&self, path: &Path) -> Outcome {
        let mut dict = self.net.state_dict();
        for (key, value) in [
            ("kind", self.kind.name().to_owned()),
            ("scale", serde_json::to_string(&self.scale)?),
            ("features", serde_json::to_string(&self.features)?),
            ("classes", serde_json::to_string(&self.classes)?),
        ] {
            dict.metadata_mut().insert(key.to_owned(), value);
        }
        Ok(dict.save(path)?)
    }

    /// What [`save`](Self::save) wrote.
    pub fn open(path: &Path) -> Outcome<Self> {
        let dict = StateDict::open(path)?;
        let entry = |key: &str| {
            let problem = || format!("{}: no `{key}`; was it saved by this?", path.display());
            dict.metadata().get(key).ok_or_else(problem)
        };
        let names = |key: &str| -> Outcome<Vec<String>> { Ok(serde_json::from_str(entry(key)?)?) };
        let (features, classes) = (names("features")?, names("classes")?);
        let kind = entry("kind")?;
        let kind = Kind::ALL
            .into_iter()
            .find(|k| k.name() == kind)
            .ok_or_else(|| format!("{}: `{kind}` is no kind of model", path.display()))?;
        let scale: Standardise = serde_json::from_str(entry("scale")?)?;
        let mut net = kind.empty(features.len(), classes.len(), &mut ChaCha8Rng::seed_from_u64(0));
        // Strict: whatever is missing or of another shape is an error.
        let _report = net.load(&dict, &Load::strict())?;
        Ok(Self { kind, net, scale, features, classes })
    }
}

fn train(net: &mut Sequential, data: &Dataset, seed: u64) -> Outcome {
    let loader = data.batches(Batching::new(32).shuffled(seed))?;
    let epochs = 30;
    let steps = (epochs * loader.len()) as u64;
    let optimizer =
        Optimizer::new(AdamW::new(3e-3).weight_decay(0.05)).schedule(Schedule::cosine(steps, 0.0));
    Trainer::new(optimizer, epochs).seed(seed).fit(
        net,
        |epoch| loader.epoch(epoch as u64),
        |net, batch, cx| {
            let labels = batch.labels().map_err(Error::other)?;
            Ok(CrossEntropy::new().loss(&net.forward(&batch.features, cx)?, labels)?)
        },
    )?;
    Ok(())
}
