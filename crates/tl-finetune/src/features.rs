//! Feature extraction: what a frozen model makes of a data set, once.

use crate::{Error, Result, hash};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use tl_data::{Batching, Dataset};
use tl_nn::{Ctx, Forward, Module, ModuleExt, StateDict, Tensor, Weight};

/// The features of all samples, in order, in batches, without gradients, in
/// evaluation mode: `extract` is a method of a model such as `Net::features`. For a
/// layer by path, several threads or a cache, see [`Extract`].
///
/// # Errors
/// Those of `extract`; features that are not `[n, ..]`; a batch size of 0.
pub fn extract(
    data: &Dataset,
    batch: usize,
    mut extract: impl FnMut(&Tensor, &mut Ctx) -> tl_nn::Result<Tensor>,
) -> Result<Dataset> {
    let mut parts = Vec::new();
    for part in data.batches(Batching::new(batch))?.epoch(0) {
        let part = part?;
        let features = extract(&part.features, &mut Ctx::eval())?.detach();
        parts.push(rows(&features, part.len())?);
    }
    let all = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?;
    Ok(data.with_features(&all)?)
}

/// Features `[n, ..]` as `[n, d]`.
fn rows(features: &Tensor, n: usize) -> Result<Tensor> {
    if features.dims().first() != Some(&n) {
        let got = format!("{:?} for {n} samples", features.dims());
        return Err(Error::argument("extract", "features", got, "[samples, ..]"));
    }
    Ok(if features.rank() > 2 { features.flatten(1, -1)? } else { features.clone() })
}

/// How the result of a layer becomes one vector a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over places: of maps `[n, c, h, w]` over `h, w`, of tokens
    /// `[n, l, d]` over `l`.
    #[default]
    Mean,
    /// The first token of `[n, l, d]`: the class token, which padding cannot touch.
    First,
    /// All numbers.
    Flatten,
}

impl Pooling {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(match (self, x.rank()) {
            (_, 0..=2) => x.clone(),
            (Self::Mean, 3) => x.mean(1, false)?,
            (Self::Mean, _) => x.flatten(2, -1)?.mean(2, false)?,
            (Self::First, 3) => x.select(1, 0)?,
            (Self::First, _) => {
                let got = format!("{:?}", x.dims());
                return Err(Error::argument("extract", "pooling", got, "tokens [n, l, d]"));
            }
            (Self::Flatten, _) => x.flatten(1, -1)?,
        })
    }
}

/// Extracts features with a model: of any layer by its path, in several threads,
/// and kept on disk.
///
/// A cache is bound to the model's numbers, the layer, and what
/// [`preprocessing`](method@Self::preprocessing) says; if one of them has changed, it is
/// refused. Its entries are found by the content of a sample: a part of the data,
/// or the same in another order, is read and not computed, and new samples are
/// added.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_finetune::Extract;
/// use tl_nn::{Act, Flatten, Linear, Sequential};
/// # fn main() -> tl_finetune::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// # let folder = tempfile::tempdir().unwrap();
/// let net = Sequential::new().push(Flatten)
///     .named("body", Linear::new(64, 32, &mut rng)).push(Act::Relu)
///     .named("fc", Linear::new(32, 10, &mut rng));
/// let data = tl_data::samples::digits();
/// let extract = Extract::new().layer("body").cache(folder.path().join("body.safetensors"));
/// let features = extract.run(&net, &data)?;
/// assert_eq!(features.features().dims(), [data.len(), 32]);
/// // Read, not computed:
/// assert_eq!(extract.run(&net, &data)?.features().to_vec(), features.features().to_vec());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Extract {
    /// The path of the layer, as its tap is called; the model's output where none
    /// is given.
    pub layer: Option<String>,
    /// How a layer's result becomes a vector.
    pub pooling: Pooling,
    /// Samples at a time. Default 32.
    pub batch: usize,
    /// What was done to the data before, in words: a part of the cache's key.
    pub preprocessing: String,
    /// The file to keep features in.
    pub cache: Option<PathBuf>,
}

impl Default for Extract {
    fn default() -> Self {
        Self {
            layer: None,
            pooling: Pooling::Mean,
            batch: 32,
            preprocessing: String::new(),
            cache: None,
        }
    }
}

impl Extract {
    /// The model's output, 32 samples at a time, without a cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the layer.
    #[must_use]
    pub fn layer(mut self, path: &str) -> Self {
        self.layer = Some(path.to_owned());
        self
    }

    /// Sets how a layer's result becomes a vector.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// Sets how many samples are taken at a time.
    #[must_use]
    pub fn batch(mut self, samples: usize) -> Self {
        self.batch = samples;
        self
    }

    /// Says what was done to the data before, such as "64x64, (x-127)/128".
    #[must_use]
    pub fn preprocessing(mut self, words: &str) -> Self {
        self.preprocessing = words.to_owned();
        self
    }

    /// Keeps features in this file.
    #[must_use]
    pub fn cache(mut self, file: impl Into<PathBuf>) -> Self {
        self.cache = Some(file.into());
        self
    }

    /// The features of every sample, `[n, d]`, in evaluation mode.
    ///
    /// # Errors
    /// A layer that the model does not name (the error lists some that it does);
    /// [`Error::Stale`] for a cache of something else; those of the model and of
    /// files.
    pub fn run<M: Forward>(&self, model: &M, data: &Dataset) -> Result<Dataset> {
        self.run_with(model, data, M::forward)
    }

    /// As [`run`](Self::run), of a method of the model such as
    /// `|net, x, cx| net.features(x, cx)`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with<M: Module>(
        &self,
        model: &M,
        data: &Dataset,
        forward: impl Fn(&M, &Tensor, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
    ) -> Result<Dataset> {
        let Some(path) = &self.cache else {
            return Ok(data.with_features(&self.compute(model, data, &forward)?)?);
        };
        let key = self.key(model);
        let mut stored = if path.exists() { Stored::open(path, &key)? } else { Stored::default() };
        let samples = fingerprints(data);
        let missing: Vec<usize> =
            (0..data.len()).filter(|&i| !stored.rows.contains_key(&samples[i])).collect();
        if !missing.is_empty() {
            let new = self.compute(model, &data.select(&missing)?, &forward)?;
            let width = new.size(1)?;
            if stored.width != 0 && stored.width != width {
                let problem = format!("its vectors have {} numbers, not {width}", stored.width);
                return Err(Error::Stale { path: path.clone(), problem });
            }
            for (i, row) in missing.iter().zip(new.to_vec().chunks_exact(width.max(1))) {
                stored.add(samples[*i], row);
            }
            stored.save(path, &key)?;
        }
        let mut all = Vec::with_capacity(data.len() * stored.width);
        for sample in &samples {
            let at = stored.rows[sample] * stored.width;
            all.extend_from_slice(&stored.numbers[at..at + stored.width]);
        }
        Ok(data.with_features(&Tensor::from_vec(all, [data.len(), stored.width])?)?)
    }

    fn compute<M: Module>(
        &self,
        model: &M,
        data: &Dataset,
        forward: &(impl Fn(&M, &Tensor, &mut Ctx) -> tl_nn::Result<Tensor> + Sync),
    ) -> Result<Tensor> {
        let model = model.frozen();
        if self.batch == 0 || data.is_empty() {
            let got = format!("{} of {} samples", self.batch, data.len());
            return Err(Error::argument("extract", "batch", got, "at least one sample"));
        }
        let one = |start: usize| -> Result<Tensor> {
            let count = self.batch.min(data.len() - start);
            let x = data.features().narrow(0, start, count)?.contiguous();
            let mut cx = Ctx::eval();
            if let Some(layer) = &self.layer {
                cx = cx.capture(layer)?;
            }
            let output = forward(&model, &x, &mut cx)?;
            let features = match &self.layer {
                None => output,
                Some(layer) => match cx.take_taps().pop() {
                    Some((_, tap)) => tap,
                    None => return Err(no_tap(&model, &x, layer, forward)),
                },
            };
            rows(&self.pooling.apply(&features.detach())?, count)
        };
        let starts: Vec<usize> = (0..data.len()).step_by(self.batch).collect();
        #[cfg(feature = "rayon")]
        let parts: Vec<Result<Tensor>> = {
            use rayon::prelude::*;
            starts.into_par_iter().map(one).collect()
        };
        #[cfg(not(feature = "rayon"))]
        let parts: Vec<Result<Tensor>> = starts.into_iter().map(one).collect();
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?)
    }

    /// What a cache has to agree with, by name.
    fn key<M: Module>(&self, model: &M) -> Vec<(&'static str, String)> {
        vec![
            ("weights", format!("{:016x}", hash::of_model(model))),
            ("layer", format!("{} {:?}", self.layer.as_deref().unwrap_or("output"), self.pooling)),
            ("preprocessing", self.preprocessing.clone()),
        ]
    }
}

fn no_tap<M: Module>(
    model: &M,
    x: &Tensor,
    layer: &str,
    forward: &impl Fn(&M, &Tensor, &mut Ctx) -> tl_nn::Result<Tensor>,
) -> Error {
    let known = Ctx::eval().capture("**").and_then(|mut cx| {
        forward(model, x, &mut cx)?;
        Ok(cx.take_taps().into_iter().map(|(name, _)| name).collect::<Vec<_>>())
    });
    let known = known.unwrap_or_default();
    let shown = known.iter().take(16).cloned().collect::<Vec<_>>().join(", ");
    let more = if known.len() > 16 { ", .." } else { "" };
    Error::argument("extract", "layer", format!("`{layer}`"), format!("one of {shown}{more}"))
}

/// A fingerprint of each sample.
fn fingerprints(data: &Dataset) -> Vec<u64> {
    let size = data.sample_shape().iter().product::<usize>().max(1);
    let numbers = data.features().to_vec();
    let one = |sample: &[f32]| {
        let mut hash = hash::Hash::new();
        hash.numbers(sample);
        hash.finish()
    };
    numbers.chunks_exact(size).map(one).collect()
}

/// Vectors by the fingerprints of their samples.
#[derive(Default)]
struct Stored {
    width: usize,
    numbers: Vec<f32>,
    order: Vec<u64>,
    rows: HashMap<u64, usize>,
}

impl Stored {
    fn add(&mut self, sample: u64, row: &[f32]) {
        self.width = row.len();
        if !self.rows.contains_key(&sample) {
            self.rows.insert(sample, self.order.len());
            self.order.push(sample);
            self.numbers.extend_from_slice(row);
        }
    }

    fn open(path: &Path, key: &[(&'static str, String)]) -> Result<Self> {
        let file = StateDict::open(path)?;
        for (name, own) in key {
            let theirs = file.metadata().get(*name);
            if theirs != Some(own) {
                let theirs = theirs.map_or("nothing", String::as_str);
                let problem = format!("its {name}: {theirs}; now: {own}");
                return Err(Error::Stale { path: path.to_owned(), problem });
            }
        }
        let vectors = file.tensor("features")?;
        let samples = file.tensor("samples")?.to_vec();
        let problem = || tl_nn::Error::Format {
            path: path.to_owned(),
            problem: "its samples and features do not fit; delete it".into(),
        };
        let &[n, width] = vectors.dims() else { return Err(problem().into()) };
        if samples.len() != 4 * n {
            return Err(problem().into());
        }
        let mut stored = Self::default();
        let numbers = vectors.to_vec();
        for (id, row) in samples.chunks_exact(4).zip(numbers.chunks_exact(width.max(1))) {
            // Four numbers of 16 bits: exact in single precision.
            let id = id.iter().fold(0_u64, |all, &part| (all << 16) | part as u64);
            stored.add(id, row);
        }
        Ok(stored)
    }

    fn save(&self, path: &Path, key: &[(&'static str, String)]) -> Result<()> {
        let n = self.order.len();
        let ids: Vec<f32> = self
            .order
            .iter()
            .flat_map(|id| [48, 32, 16, 0].map(|shift| ((id >> shift) & 0xffff) as f32))
            .collect();
        let mut file = StateDict::new();
        file.insert("samples", Weight::new(&Tensor::from_vec(ids, [n, 4])?));
        let numbers = Tensor::from_vec(self.numbers.clone(), [n, self.width])?;
        file.insert("features", Weight::new(&numbers));
        for (name, value) in key {
            file.metadata_mut().insert((*name).to_owned(), value.clone());
        }
        Ok(file.save(path)?)
    }
}
