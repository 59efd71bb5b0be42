//! What travels with a pass through a model.

use crate::{Buffer, Glob, Result};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{fmt, sync::Arc};
use tl_tensor::Tensor;

/// Whether a pass trains or evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops; batch normalisation uses and records batch statistics.
    Train,
    /// Dropout passes; batch normalisation uses its running statistics.
    Eval,
}

/// Which statistics normalisation over the batch uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NormStats {
    /// Those of the batch in training, running ones in evaluation.
    #[default]
    ByMode,
    /// Always those of the batch; running ones are not moved in evaluation.
    Batch,
    /// Always the running ones.
    Running,
    /// In training, for each channel by chance, the running ones instead of those of
    /// the batch: StochNorm (Kou et al. 2020, section 3.2). Evaluation uses the
    /// running ones.
    Stochastic {
        /// The chance of the running ones in percent; 50 in the paper.
        percent: u8,
    },
}

type Change = Box<dyn FnOnce(&Tensor) -> Result<Tensor> + Send + Sync>;

/// A new value for a buffer, made by a pass and applied after it.
pub struct Update {
    pub(crate) key: Arc<()>,
    pub(crate) change: Change,
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Update")
    }
}

/// The context of a pass: mode, randomness, taps and recorded statistics.
///
/// Nothing is ambient: a pass with an equal context gives equal results, in
/// any thread.
///
/// ```
/// use tl_nn::{Ctx, Forward, Linear, ModuleExt};
/// use tl_tensor::Tensor;
/// # use rand::SeedableRng;
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let layer = Linear::new(4, 2, &mut rng);
/// let mut cx = Ctx::train(7);
/// let y = layer.forward(&Tensor::ones([3, 4]), &mut cx)?;
/// assert_eq!(y.dims(), [3, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ctx {
    mode: Mode,
    norm: NormStats,
    domain: usize,
    rng: ChaCha8Rng,
    scope: Vec<String>,
    wanted: Vec<Glob>,
    taps: Vec<(String, Tensor)>,
    updates: Vec<Update>,
    progress: f64,
    watch: bool,
    culprit: Option<String>,
}

impl Ctx {
    /// A context for training, with its randomness from `seed`.
    pub fn train(seed: u64) -> Self {
        Self::new(Mode::Train, seed)
    }

    /// A context for evaluation. It draws no random numbers.
    pub fn eval() -> Self {
        Self::new(Mode::Eval, 0)
    }

    fn new(mode: Mode, seed: u64) -> Self {
        Self {
            mode,
            norm: NormStats::ByMode,
            domain: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            scope: Vec::new(),
            wanted: Vec::new(),
            taps: Vec::new(),
            updates: Vec::new(),
            progress: 0.0,
            watch: false,
            culprit: None,
        }
    }

    /// Whether this pass trains or evaluates.
    #[inline]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether this pass trains.
    #[inline]
    pub fn is_train(&self) -> bool {
        self.mode == Mode::Train
    }

    /// Which statistics normalisation over the batch uses.
    pub fn norm_stats(&self) -> NormStats {
        self.norm
    }

    /// Sets which statistics normalisation over the batch uses.
    #[must_use]
    pub fn with_norm_stats(mut self, norm: NormStats) -> Self {
        self.norm = norm;
        self
    }

    /// Sets which statistics normalisation over the batch uses.
    pub fn set_norm_stats(&mut self, norm: NormStats) {
        self.norm = norm;
    }

    /// The domain that the samples of this pass are from, for layers that keep
    /// statistics of each; 0 unless set.
    pub fn domain(&self) -> usize {
        self.domain
    }

    /// Sets the domain that the samples are from.
    pub fn set_domain(&mut self, domain: usize) {
        self.domain = domain;
    }

    /// How far the training run is, 0 at its start to 1 at its end; 0 outside
    /// of a run. For weights that grow, such as that of a gradient reversal.
    pub fn progress(&self) -> f64 {
        self.progress
    }

    /// Sets how far the training run is.
    #[must_use]
    pub fn with_progress(mut self, progress: f64) -> Self {
        self.progress = progress;
        self
    }

    /// The random numbers of this pass.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }

    /// A random number generator of its own, drawn from this one: for a task
    /// that runs elsewhere.
    pub fn fork_rng(&mut self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.rng.next_u64())
    }

    /// Keeps the intermediate results whose names match a [`Glob`].
    ///
    /// # Errors
    /// The pattern is not valid.
    pub fn capture(mut self, pattern: &str) -> Result<Self> {
        self.wanted.push(Glob::new(pattern)?);
        Ok(self)
    }

    /// As [`capture`](Self::capture), for a context that is there already.
    ///
    /// # Errors
    /// The pattern is not valid.
    pub fn capture_more(&mut self, pattern: &str) -> Result<()> {
        self.wanted.push(Glob::new(pattern)?);
        Ok(())
    }

    /// Offers an intermediate result under a name. Kept only if asked for with
    /// [`capture`](Self::capture); its history is kept too.
    pub fn tap(&mut self, name: &str, x: &Tensor) {
        if self.wanted.is_empty() && !self.watch {
            return;
        }
        let path = self.path(name);
        if self.watch && self.culprit.is_none() && !x.is_finite() {
            self.culprit = Some(path.clone());
        }
        if self.wanted.iter().any(|g| g.matches(&path)) {
            self.taps.push((path, x.clone()));
        }
    }

    fn path(&self, name: &str) -> String {
        if self.scope.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.scope.join("."))
        }
    }

    /// Runs a part of a model under a name: taps inside get it as a prefix,
    /// errors name it, and its output is a tap of this name.
    ///
    /// # Errors
    /// Those of `part`, saying where.
    pub fn within(
        &mut self,
        name: &str,
        part: impl FnOnce(&mut Self) -> Result<Tensor>,
    ) -> Result<Tensor> {
        self.scope.push(name.to_owned());
        let result = part(self);
        self.scope.pop();
        let y = result.map_err(|e| e.within(name))?;
        self.tap(name, &y);
        Ok(y)
    }

    /// The results captured so far, in order, and none are left.
    pub fn take_taps(&mut self) -> Vec<(String, Tensor)> {
        std::mem::take(&mut self.taps)
    }

    /// The last result captured under this name.
    pub fn tapped(&self, name: &str) -> Option<&Tensor> {
        self.taps.iter().rev().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// Looks at every named result for NaN and infinity; see
    /// [`culprit`](Self::culprit). Slow: for finding a fault, not for training.
    #[must_use]
    pub fn watching(mut self) -> Self {
        self.watch = true;
        self
    }

    /// The name of the first result that was not finite, if
    /// [`watching`](Self::watching).
    pub fn culprit(&self) -> Option<&str> {
        self.culprit.as_deref()
    }

    /// Records a new value for a buffer, from its value at the time when it is
    /// applied. A frozen buffer is left alone.
    pub fn update(
        &mut self,
        buffer: &Buffer,
        change: impl FnOnce(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) {
        if !buffer.is_frozen() {
            self.updates.push(Update { key: buffer.key().clone(), change: Box::new(change) });
        }
    }

    /// The statistics recorded so far, for
    /// [`apply`](crate::ModuleExt::apply), and none are left.
    pub fn take_updates(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.updates)
    }
    /// Records what a pass with another context recorded there: for parts that
    /// ran elsewhere, such as in another thread.
    pub fn record(&mut self, updates: Vec<Update>) {
        self.updates.extend(updates);
    }
}
