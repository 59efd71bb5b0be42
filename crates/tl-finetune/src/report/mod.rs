//! What fine-tuning gave, beside training from scratch.

mod page;

use crate::{Error, Result, extract};
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};
use tl_data::Dataset;
use tl_nn::{
    Clock, Forward, Indices, ModuleExt, Tensor,
    metric::{Confusion, Trials, expected_calibration_error, predictions},
};
use tl_tensor::try_peak_bytes;

/// The most memory that a way needed beyond what was there when it began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peak {
    /// Bytes of tensors, as [`try_peak_bytes`] counts them. Weights that are shared with a
    /// model from before do not count until they change.
    Measured(u64),
    /// Bytes of weights, of gradients and of AdamW's two numbers for each trained
    /// one; activations are not in it. For what was not run here, or ran while something
    /// else was being measured.
    Estimated(u64),
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, how) = match self {
            Self::Measured(bytes) => (bytes, "measured"),
            Self::Estimated(bytes) => (bytes, "estimated, without activations"),
        };
        write!(f, "{:.0} MB {how}", *bytes as f64 / 1e6)
    }
}

/// One class on the test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub class: String,
    /// The part of its samples that were recognised; NaN without samples.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
}

/// One way, in numbers beside its accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was done.
    pub way: String,
    /// Numbers that were trained.
    pub trainable: usize,
    /// Numbers in all parameters.
    pub parameters: usize,
    /// Expected calibration error with 15 bins, the mean over seeds.
    pub calibration: f64,
    /// The most memory of any seed.
    pub peak: Peak,
    /// Every class, the mean over seeds.
    pub classes: Vec<ClassScore>,
}

/// Several ways on the same data and seeds; the first is the baseline.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_finetune::{FineTune, FineTuneReport, Method};
/// use tl_nn::{Flatten, Linear, Sequential};
/// # fn main() -> tl_finetune::Result<()> {
/// # let rng = |seed| rand_chacha::ChaCha8Rng::seed_from_u64(seed);
/// let mut report = FineTuneReport::new("digits, 3 labels a class");
/// for seed in 0..2 {
///     let (few, test) = tl_data::samples::digits().k_shot(3, &mut rng(seed))?;
///     let (_, test) = test.k_shot(20, &mut rng(seed))?;
///     report.run("from scratch", &test, || {
///         let mut net = Sequential::new().push(Flatten)
///             .named("fc", Linear::new(64, 10, &mut rng(seed)));
///         let trained = FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**").epochs(2);
///         trained.seed(seed).fit(&mut net, &few)?;
///         Ok(net)
///     })?;
/// }
/// println!("{report}");
/// assert!(report.to_html().contains("from scratch"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FineTuneReport {
    /// Test accuracy and seconds by way and seed.
    pub trials: Trials,
    /// The rest, in the order of the ways.
    pub ways: Vec<Measured>,
}

impl FineTuneReport {
    /// Nothing yet. `data` says what was learned.
    pub fn new(data: &str) -> Self {
        Self { trials: Trials::new(data, "accuracy"), ways: Vec::new() }
    }

    /// Trains a model for the next seed of a way, and tests it. Its seconds and
    /// memory are those of `train`, the latter as [`try_peak_bytes`] measures it, of
    /// the whole process. What is trainable in the model that
    /// comes back counts as trained: for a head or adapters alone, leave the rest frozen.
    ///
    /// # Errors
    /// Those of `train` and of the model; a test set without classes.
    pub fn run<M: Forward>(
        &mut self,
        way: &str,
        test: &Dataset,
        train: impl FnOnce() -> Result<M>,
    ) -> Result<M> {
        let start = Clock::start();
        let (model, peak) = try_peak_bytes(train);
        let (model, seconds) = (model?, start.seconds());
        let (trainable, parameters) = model.count_params();
        let estimate = Peak::Estimated(4 * (parameters + 3 * trainable) as u64);
        let peak = peak.map_or(estimate, |bytes| Peak::Measured(bytes as u64));
        let logits = extract(test, 64, |x, cx| model.forward(x, cx))?;
        self.add(way, logits.features(), test, seconds, [trainable, parameters], peak)?;
        Ok(model)
    }

    /// Adds the next seed of a way from its logits `[n, classes]`: for learners that
    /// are no model, such as a probe.
    ///
    /// # Errors
    /// Logits and test set that do not fit.
    pub fn add(
        &mut self,
        way: &str,
        logits: &Tensor,
        test: &Dataset,
        seconds: f64,
        [trainable, parameters]: [usize; 2],
        peak: Peak,
    ) -> Result<()> {
        let labels = Indices::from(test.labels()?);
        let confusion = Confusion::new(&predictions(logits)?, labels.as_slice(), test.classes())?;
        let calibration = expected_calibration_error(&logits.softmax(-1)?, &labels, 15)?;
        self.trials.push(way, confusion.accuracy(), seconds);
        let recall = confusion.per_class_accuracy();
        let classes = test.class_names().iter().enumerate().map(|(i, name)| ClassScore {
            class: name.clone(),
            recall: recall[i],
            f1: confusion.class_f1(i),
        });
        let new = Measured {
            way: way.to_owned(),
            trainable,
            parameters,
            calibration,
            peak,
            classes: classes.collect(),
        };
        match self.ways.iter_mut().find(|w| w.way == way) {
            None => self.ways.push(new),
            Some(old) => old.take_in(new, self.trials.way(way)?.results.len()),
        }
        Ok(())
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// None that a report can cause.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self).map_err(tl_nn::Error::other)?)
    }

    /// The report as a page that needs nothing else.
    pub fn to_html(&self) -> String {
        page::html(self)
    }

    /// Writes the page, or JSON if the file ends in `.json`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let text = if json { self.to_json()? } else { self.to_html() };
        let io = |source| Error::Nn(tl_nn::Error::Io { path: path.to_owned(), source });
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        std::fs::write(path, text).map_err(io)
    }
}

impl Measured {
    /// The mean with one more seed, the `n`-th.
    fn take_in(&mut self, new: Self, n: usize) {
        let part = 1.0 / n.max(1) as f64;
        let blend = |old: &mut f64, new: f64| *old += (new - *old) * part;
        blend(&mut self.calibration, new.calibration);
        for (old, new) in self.classes.iter_mut().zip(new.classes) {
            blend(&mut old.recall, new.recall);
            blend(&mut old.f1, new.f1);
        }
        let bytes = |peak: Peak| match peak {
            Peak::Measured(b) | Peak::Estimated(b) => b,
        };
        if bytes(new.peak) > bytes(self.peak) {
            self.peak = new.peak;
        }
        (self.trainable, self.parameters) = (new.trainable, new.parameters);
    }
}

impl fmt::Display for FineTuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.trials)?;
        let width = self.ways.iter().map(|w| w.way.chars().count()).max().unwrap_or(0);
        for w in &self.ways {
            let part = 100.0 * w.trainable as f64 / w.parameters.max(1) as f64;
            writeln!(
                f,
                "  {:width$}  trains {} of {} ({part:.2}%), ECE {:.3}, peak {}",
                w.way, w.trainable, w.parameters, w.calibration, w.peak
            )?;
        }
        Ok(())
    }
}
