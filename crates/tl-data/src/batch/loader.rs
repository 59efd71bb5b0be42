//! From a data set to batches, epoch by epoch.

use super::{Batch, Order, prefetch::Prefetch};
use crate::{Dataset, Error, Result, rng::stream, transform::Transform};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// How batches are made. Build it from [`new`](Self::new), or read it with
/// serde; unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Batching {
    /// Samples in a batch; the last one of an epoch may have fewer.
    pub batch_size: usize,
    /// The order of the samples. Default: as stored.
    #[serde(default)]
    pub order: Order,
    /// What all randomness of order and transforms is derived from. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Whether a last batch of fewer samples is left out. Default: no.
    #[serde(default)]
    pub drop_last: bool,
    /// How many batches a background thread prepares ahead; 0 (the default)
    /// prepares each when it is asked for. The batches are the same.
    #[serde(default)]
    pub prefetch: usize,
}

impl Batching {
    /// Batches of `batch_size` samples in the order in which they are stored.
    pub fn new(batch_size: usize) -> Self {
        Self { batch_size, order: Order::Sequential, seed: 0, drop_last: false, prefetch: 0 }
    }

    /// A new random order every epoch, derived from `seed`.
    pub fn shuffled(self, seed: u64) -> Self {
        self.order(Order::Shuffled).seed(seed)
    }

    /// Classes equally often, drawn from `seed`. See [`Order::Balanced`].
    pub fn balanced(self, seed: u64) -> Self {
        self.order(Order::Balanced).seed(seed)
    }

    /// Sets the order.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets whether a last batch of fewer samples is left out.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.drop_last = drop;
        self
    }

    /// Sets how many batches are prepared ahead.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = batches;
        self
    }
}

type Step = dyn Fn(Batch, &mut ChaCha8Rng) -> Result<Batch> + Send + Sync;

/// Gives the batches of a data set, as often as wanted.
///
/// What epoch 7 holds depends on the data, the options and the number 7 alone,
/// not on what was asked before, nor on the number of threads. So training can
/// stop anywhere and go on with [`epoch_from`](Self::epoch_from).
/// ```
/// use tl_data::{Batching, Loader, samples, transform::RandomFlip};
///
/// # fn main() -> tl_data::Result<()> {
/// let (train, _) = samples::fashion_mnist();
/// let loader = Loader::new(&train, Batching::new(64).shuffled(7).prefetch(2))?
///     .transform(RandomFlip::horizontal());
/// assert_eq!(loader.len(), 24);
/// for batch in loader.epoch(0) {
///     let batch = batch?;
///     assert_eq!(batch.features.dims()[1..], [1, 28, 28]);
///     assert_eq!(batch.labels()?.len(), batch.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Loader {
    data: Dataset,
    options: Batching,
    steps: Vec<Arc<Step>>,
}

impl Loader {
    /// Batches of `data`.
    ///
    /// # Errors
    /// A batch size of 0; no samples; not one whole batch though the last is
    /// dropped; an order that `data` does not allow.
    pub fn new(data: &Dataset, options: Batching) -> Result<Self> {
        let size = options.batch_size;
        if size == 0 {
            return Err(Error::argument("loader", "batch_size", size, "at least 1"));
        }
        if data.is_empty() {
            return Err(Error::Lacks { op: "loader", missing: "samples" });
        }
        if options.drop_last && data.len() < size {
            let most = format!("at most {}, the samples, as the last batch is dropped", data.len());
            return Err(Error::argument("loader", "batch_size", size, most));
        }
        options.order.check(data)?;
        Ok(Self { data: data.clone(), options, steps: Vec::new() })
    }

    /// Changes the features of every batch. Steps run in the order in which
    /// they are added.
    pub fn transform(self, transform: impl Transform + 'static) -> Self {
        self.map(move |mut batch, rng| {
            batch.features = transform.apply(&batch.features, rng)?;
            Ok(batch)
        })
    }

    /// Changes every batch, targets too, as [`Mixup`](crate::transform::Mixup)
    /// does. The generator depends on seed, epoch, batch and step alone.
    pub fn map(
        mut self,
        step: impl Fn(Batch, &mut ChaCha8Rng) -> Result<Batch> + Send + Sync + 'static,
    ) -> Self {
        self.steps.push(Arc::new(step));
        self
    }

    /// The data set.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// How the batches are made.
    pub fn options(&self) -> &Batching {
        &self.options
    }

    /// The number of batches in an epoch.
    #[expect(clippy::len_without_is_empty, reason = "there is always a batch")]
    pub fn len(&self) -> usize {
        let (n, size) = (self.data.len(), self.options.batch_size);
        if self.options.drop_last { n / size } else { n.div_ceil(size) }
    }

    /// All batches of an epoch.
    pub fn epoch(&self, epoch: u64) -> Batches {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch without the first `skip`.
    pub fn epoch_from(&self, epoch: u64, skip: usize) -> Batches {
        let direct = Direct { loader: self.clone(), epoch, next: skip, order: None };
        Batches(match self.options.prefetch {
            0 => Source::Direct(Box::new(direct)),
            ahead => Source::Prefetch(Prefetch::new(direct, ahead)),
        })
    }

    fn batch(&self, order: &[usize], epoch: u64, number: usize) -> Result<Batch> {
        let size = self.options.batch_size;
        let from = number * size;
        let to = (from + size).min(order.len());
        let mut batch = Batch::gather(&self.data, order[from..to].to_vec())?;
        for (i, step) in self.steps.iter().enumerate() {
            let mut rng = stream(self.options.seed, &[1, epoch, number as u64, i as u64]);
            batch = step(batch, &mut rng)?;
        }
        Ok(batch)
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("samples", &self.data.len())
            .field("options", &self.options)
            .field("steps", &self.steps.len())
            .finish()
    }
}

impl Dataset {
    /// Batches of this set. See [`Loader::new`].
    ///
    /// # Errors
    /// As there.
    pub fn batches(&self, options: Batching) -> Result<Loader> {
        Loader::new(self, options)
    }
}

/// The batches of one epoch. After an error there are no more.
#[derive(Debug)]
pub struct Batches(Source);

#[derive(Debug)]
enum Source {
    Direct(Box<Direct>),
    Prefetch(Prefetch),
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        match &mut self.0 {
            Source::Direct(direct) => direct.next(),
            Source::Prefetch(ahead) => ahead.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error ends an epoch early.
        let most = match &self.0 {
            Source::Direct(direct) => direct.left(),
            Source::Prefetch(ahead) => ahead.left(),
        };
        (0, Some(most))
    }
}

/// Makes each batch when it is asked for.
#[derive(Debug)]
pub(super) struct Direct {
    loader: Loader,
    epoch: u64,
    next: usize,
    order: Option<Vec<usize>>,
}

impl Iterator for Direct {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let number = self.next;
        if number >= self.loader.len() {
            return None;
        }
        self.next += 1;
        let made = self.make(number);
        if made.is_err() {
            self.next = usize::MAX;
        }
        Some(made)
    }
}

impl Direct {
    /// Batches to come.
    pub(super) fn left(&self) -> usize {
        self.loader.len().saturating_sub(self.next)
    }

    /// Another one at the same place.
    pub(super) fn clone_start(&self) -> Self {
        Self { loader: self.loader.clone(), epoch: self.epoch, next: self.next, order: None }
    }

    fn make(&mut self, number: usize) -> Result<Batch> {
        let Loader { data, options, .. } = &self.loader;
        let order = match self.order.take() {
            Some(order) => order,
            None => options.order.indices(data, options.seed, self.epoch)?,
        };
        let batch = self.loader.batch(&order, self.epoch, number);
        self.order = Some(order);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tl_tensor::Tensor;

    fn ten() -> Dataset {
        let x = Tensor::arange(0.0, 10.0, 1.0).unwrap().reshape([10, 1]).unwrap();
        Dataset::classification(x, (0..10).map(|i| i % 2).collect(), ["even", "odd"]).unwrap()
    }

    fn contents(loader: &Loader, epoch: u64, skip: usize) -> Vec<Vec<f32>> {
        loader.epoch_from(epoch, skip).map(|b| b.unwrap().features.to_vec()).collect()
    }

    #[test]
    fn an_epoch_has_every_sample_once() {
        let loader = ten().batches(Batching::new(4).shuffled(1)).unwrap();
        let epoch = contents(&loader, 0, 0);
        assert_eq!(epoch.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let mut all = epoch.concat();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..10).map(|x| x as f32).collect::<Vec<_>>());
        let dropped = ten().batches(Batching::new(4).shuffled(1).drop_last(true)).unwrap();
        assert_eq!(contents(&dropped, 0, 0), epoch[..2]);
        for batch in loader.epoch(3) {
            let batch = batch.unwrap();
            for (x, &y) in batch.features.to_vec().iter().zip(batch.labels().unwrap().as_slice()) {
                assert_eq!(*x as usize % 2, y);
            }
        }
    }

    #[test]
    fn an_epoch_resumes_in_its_middle_with_the_same_noise() {
        let noisy = |prefetch| {
            ten().batches(Batching::new(3).shuffled(9).prefetch(prefetch)).unwrap().map(
                |mut batch, rng| {
                    let noise = Tensor::randn(*batch.features.shape(), rng);
                    batch.features = &batch.features + noise;
                    Ok(batch)
                },
            )
        };
        let whole = contents(&noisy(0), 5, 0);
        assert_eq!(contents(&noisy(0), 5, 2), whole[2..]);
        assert_eq!(contents(&noisy(2), 5, 0), whole);
        assert_ne!(contents(&noisy(0), 6, 0), whole);
    }

    #[test]
    fn impossible_options_are_refused() {
        let refused = |options| ten().batches(options).unwrap_err().to_string();
        assert!(refused(Batching::new(0)).contains("at least 1"));
        assert!(refused(Batching::new(11).drop_last(true)).contains("at most 10"));
        let none = Dataset::unlabelled(Tensor::zeros([0, 1])).unwrap();
        assert!(none.batches(Batching::new(1)).is_err());
        assert!(ten().without_targets().batches(Batching::new(2).balanced(0)).is_err());
        let json = r#"{"batch_size": 8, "shufle": true}"#;
        assert!(serde_json::from_str::<Batching>(json).is_err());
        let json = r#"{"batch_size": 8, "order": "shuffled"}"#;
        let read: Batching = serde_json::from_str(json).unwrap();
        assert_eq!(read, Batching::new(8).shuffled(0));
    }

    #[test]
    fn an_epoch_ends_with_the_first_error() {
        for prefetch in [0, 3] {
            let loader =
                ten().batches(Batching::new(2).prefetch(prefetch)).unwrap().map(|batch, _| {
                    match batch.indices[0] {
                        4 => Err(Error::Lacks { op: "test", missing: "luck" }),
                        _ => Ok(batch),
                    }
                });
            let results: Vec<bool> = loader.epoch(0).map(|b| b.is_ok()).collect();
            assert_eq!(results, [true, true, false]);
        }
    }
}
