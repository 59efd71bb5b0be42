//! Tasks with data sets of their own: whose batch comes next.

use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which tasks a step is on, when every task has a data set of its own.
///
/// Draw tasks by size or weigh their losses, not both: fixed weights are refused
/// unless every step has all tasks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Sampling {
    /// One task a step, drawn with probability `∝ n_k`: all samples count alike.
    Proportional,
    /// One task a step, drawn `∝ n_k^(1/τ)` with the temperature `τ >= 1`
    /// (Raffel et al. 2020, section 3.5.2): 1 is proportional, infinity uniform.
    Temperature(f64),
    /// One task a step, all alike.
    Uniform,
    /// One task a step, drawn `∝ n_k^α` with `α = 1 - 0.8 e / (E - 1)` in epoch
    /// `e` of `E` (Stickland and Murray 2019, section 4.2): from proportional to
    /// nearly uniform.
    Annealed,
    /// A batch of every task in every step; balancers of gradients need that.
    Together,
}

impl Sampling {
    /// The probability of each task in epoch `epoch` of `epochs`.
    ///
    /// # Errors
    /// No task; a size of 0; a temperature below 1.
    pub fn probabilities(self, sizes: &[usize], epoch: usize, epochs: usize) -> Result<Vec<f64>> {
        if sizes.is_empty() || sizes.contains(&0) {
            let expected = "a size above 0 for each task";
            return Err(Error::argument("sampling", "sizes", format!("{sizes:?}"), expected));
        }
        let power = match self {
            Self::Proportional => 1.0,
            Self::Temperature(t) if t >= 1.0 => 1.0 / t,
            Self::Temperature(t) => {
                let expected = "1 (proportional) to infinity (uniform)";
                return Err(Error::argument("sampling", "temperature", t, expected));
            }
            Self::Uniform | Self::Together => 0.0,
            // A run that is longer than was said stays at its end.
            Self::Annealed => 1.0 - 0.8 * (epoch as f64 / (epochs.max(2) - 1) as f64).min(1.0),
        };
        let weights: Vec<f64> = sizes.iter().map(|&n| (n as f64).powf(power)).collect();
        let total: f64 = weights.iter().sum();
        Ok(weights.into_iter().map(|w| w / total).collect())
    }
}

/// Which task each of `steps` steps of an epoch is on.
///
/// # Errors
/// Those of [`Sampling::probabilities`]; [`Sampling::Together`], which has no
/// order.
pub fn task_order(
    sampling: Sampling,
    sizes: &[usize],
    (epoch, epochs): (usize, usize),
    steps: usize,
    seed: u64,
) -> Result<Vec<usize>> {
    if sampling == Sampling::Together {
        let expected = "a way to draw one task a step";
        return Err(Error::argument("task order", "sampling", "together", expected));
    }
    let parts = sampling.probabilities(sizes, epoch, epochs)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (epoch as u64).wrapping_mul(0x9e37_79b9));
    let mut draw = || {
        let mut left = rng.random::<f64>();
        let chosen = parts.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        chosen.unwrap_or(parts.len() - 1)
    };
    Ok((0..steps).map(|_| draw()).collect())
}

/// Batches, or what went wrong.
type Stream<'a, B> = Box<dyn Iterator<Item = tl_nn::Result<B>> + 'a>;

struct Source<'a, B> {
    size: usize,
    stream: Box<dyn Fn(u64) -> Stream<'a, B> + 'a>,
}

/// The data sets of several tasks, mixed: a batch of the mixture has a batch of
/// one task or of all. See
/// [`MultiTask::fit_mixed`](crate::MultiTask::fit_mixed).
///
/// An epoch has as many steps as all data sets together have batches
/// ([`steps`](Self::steps) changes that); with [`Sampling::Together`] as many as
/// the largest. A data set that ends begins again, in its next order. All is a
/// function of the seed and the epoch, so a resumed run sees the same.
pub struct TaskMix<'a, B> {
    sources: Vec<Source<'a, B>>,
    sampling: Sampling,
    epochs: usize,
    steps: Option<usize>,
    seed: u64,
}

impl<B> fmt::Debug for TaskMix<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<usize> = self.sources.iter().map(|s| s.size).collect();
        f.debug_struct("TaskMix").field("sizes", &sizes).field("sampling", &self.sampling).finish()
    }
}

/// More often than this no data set begins again within an epoch.
const REPEATS: u64 = 1 << 20;

impl<'a, B: 'a> TaskMix<'a, B> {
    /// No data set yet; for a run of this many epochs.
    pub fn new(sampling: Sampling, epochs: usize, seed: u64) -> Self {
        Self { sources: Vec::new(), sampling, epochs, steps: None, seed }
    }

    /// The next task has `size` batches a pass; `stream(pass)` gives them, in an
    /// order of its own for each pass (`|pass| loader.epoch(pass)` with a
    /// [`tl_data::Loader`]).
    #[must_use]
    pub fn task<I, E>(mut self, size: usize, stream: impl Fn(u64) -> I + 'a) -> Self
    where
        I: IntoIterator<Item = Result<B, E>> + 'a,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let boxed = move |pass| -> Stream<'a, B> {
            let wrap = |batch: Result<B, E>| batch.map_err(|e| tl_nn::Error::Other(e.into()));
            Box::new(stream(pass).into_iter().map(wrap))
        };
        self.sources.push(Source { size, stream: Box::new(boxed) });
        self
    }

    /// Sets the steps of an epoch.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = Some(steps);
        self
    }

    /// How the tasks are mixed.
    pub fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.sources.len()
    }

    fn sizes(&self) -> Vec<usize> {
        self.sources.iter().map(|s| s.size).collect()
    }

    /// # Errors
    /// Those of [`Sampling::probabilities`].
    pub(crate) fn check(&self) -> Result<()> {
        self.sampling.probabilities(&self.sizes(), 0, self.epochs).map(drop)
    }

    /// The steps of an epoch: for each task a batch or none.
    pub fn epoch(
        &self,
        epoch: usize,
    ) -> impl Iterator<Item = tl_nn::Result<Vec<Option<B>>>> + use<'_, 'a, B> {
        let sizes = self.sizes();
        let together = self.sampling == Sampling::Together;
        let natural = if together { sizes.iter().max().copied() } else { Some(sizes.iter().sum()) };
        let steps = self.steps.or(natural).unwrap_or(0);
        let at = (epoch, self.epochs);
        let order = if together {
            Ok(Vec::new())
        } else {
            task_order(self.sampling, &sizes, at, steps, self.seed)
        };
        let mut cursors: Vec<Cursor<'_, 'a, B>> =
            self.sources.iter().map(|s| Cursor::new(s, epoch as u64 * REPEATS)).collect();
        (0..steps).map(move |step| {
            let order = order.as_ref().map_err(|e| tl_nn::Error::Other(e.to_string().into()))?;
            let mut batches: Vec<Option<B>> = cursors.iter().map(|_| None).collect();
            let there = if together { 0..cursors.len() } else { order[step]..order[step] + 1 };
            for task in there {
                batches[task] = Some(cursors[task].next()?);
            }
            Ok(batches)
        })
    }
}

/// A place in a data set.
struct Cursor<'s, 'a, B> {
    source: &'s Source<'a, B>,
    pass: u64,
    stream: Option<Stream<'a, B>>,
}

impl<'s, 'a, B> Cursor<'s, 'a, B> {
    fn new(source: &'s Source<'a, B>, pass: u64) -> Self {
        Self { source, pass, stream: None }
    }

    fn next(&mut self) -> tl_nn::Result<B> {
        if let Some(batch) = self.stream.as_mut().and_then(Iterator::next) {
            return batch;
        }
        let mut stream = (self.source.stream)(self.pass);
        self.pass += 1;
        let first = stream.next();
        self.stream = Some(stream);
        first.unwrap_or_else(|| {
            let expected = "at least one batch a pass";
            Err(tl_nn::Error::argument("task mix", "data", "no batch", expected))
        })
    }
}
