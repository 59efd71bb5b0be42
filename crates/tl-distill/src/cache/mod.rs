//! What teachers say of a data set, computed once, and kept on disk.

mod file;
mod hash;
mod views;

pub use views::Views;

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, path::Path};
use tl_data::Dataset;
use tl_nn::{Ctx, Forward, Indices, ModuleExt, StateDict, Tensor, metric};

/// How outputs are stored. Features of layers are stored in half precision by
/// all but [`Storage::F32`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Storage {
    /// Exactly.
    #[default]
    F32,
    /// In half the space, to three digits.
    F16,
    /// The `k` largest logits of each sample in half precision. The others
    /// share equally what probability is left at temperature 1.
    TopK(usize),
}

/// The outputs of one or more teachers for every sample of a data set, and for
/// each of its augmented [`Views`] if there are any.
///
/// A stored cache is keyed by the teachers' numbers, by the content of each
/// sample, and by the augmentation. Samples may come in another order or be a
/// part of those stored; if teacher or augmentation have changed, or a sample
/// is not there, the cache is refused, not used.
///
/// ```
/// use tl_data::samples;
/// use tl_distill::{Storage, TeacherCache};
/// use tl_nn::{Flatten, Linear, Sequential};
/// # use rand::SeedableRng;
/// # fn main() -> tl_distill::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// # let folder = tempfile::tempdir().unwrap();
/// let data = samples::digits();
/// let teacher = Sequential::new().push(Flatten).push(Linear::new(64, 10, &mut rng));
/// let path = folder.path().join("teacher.safetensors");
/// let cache = TeacherCache::open_or_compute(&path, Storage::F16, &[&teacher], &data)?;
/// assert_eq!(cache.rows(&[5, 3])?[0].dims(), [2, 10]);
/// // The same file serves a part of the data, in any order.
/// let few = TeacherCache::open(&path, &[&teacher], &data.select(&[5, 3])?)?;
/// assert_eq!(few.outputs()[0].to_vec(), cache.rows(&[5, 3])?[0].to_vec());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TeacherCache {
    /// For each teacher `[views · n, ..]`, view after view.
    outputs: Vec<Tensor>,
    /// The first teacher's layers by path, likewise.
    features: Vec<(String, Tensor)>,
    teachers: u64,
    samples: Vec<u64>,
    views: usize,
    augmentation: u64,
}

/// What of the teachers is asked, beside their outputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Augmented views.
    pub views: Option<&'a Views>,
    /// Layers of the first teacher whose features are stored too.
    pub layers: &'a [String],
}

/// The hashes of samples, for views without a cache.
pub(crate) fn samples(data: &Dataset) -> Vec<u64> {
    hash::of_samples(data)
}

/// The model's outputs in evaluation mode, without history, 256 samples at a
/// time.
///
/// # Errors
/// Those of the model; no sample.
pub fn outputs(model: &impl Forward, x: &Tensor) -> Result<Tensor> {
    Ok(outputs_and(model, x, &[])?.remove(0))
}

/// The outputs, then the features of layers.
fn outputs_and(model: &impl Forward, x: &Tensor, layers: &[String]) -> Result<Vec<Tensor>> {
    let model = model.frozen();
    let n = x.size(0)?;
    if n == 0 {
        return Err(Error::argument("outputs", "samples", 0, "at least one"));
    }
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); 1 + layers.len()];
    for start in (0..n).step_by(256) {
        let part = x.narrow(0, start, 256.min(n - start))?.contiguous();
        let mut cx = Ctx::eval();
        for layer in layers {
            cx = cx.capture(layer)?;
        }
        parts[0].push(model.forward(&part, &mut cx)?.detach());
        for (layer, parts) in layers.iter().zip(&mut parts[1..]) {
            let Some(x) = cx.tapped(layer) else {
                let own = crate::layers::taps(&model, &part.narrow(0, 0, 1)?.contiguous())?;
                let known: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
                let known = known.join(", ");
                return Err(Error::NoTap { who: "teacher", path: layer.clone(), known });
            };
            parts.push(x.detach().contiguous());
        }
    }
    let joined = parts.iter().map(|p| Ok(Tensor::cat(&p.iter().collect::<Vec<_>>(), 0)?));
    joined.collect()
}

impl TeacherCache {
    /// Asks every teacher about every sample.
    ///
    /// # Errors
    /// Those of the teachers; no teacher or no sample.
    pub fn compute(teachers: &[&impl Forward], data: &Dataset) -> Result<Self> {
        Self::compute_with(teachers, data, Ask::default())
    }

    /// As [`compute`](Self::compute), about every view, and for layers too.
    ///
    /// # Errors
    /// As [`compute`](Self::compute); a layer that does not exist.
    pub fn compute_with(teachers: &[&impl Forward], data: &Dataset, ask: Ask<'_>) -> Result<Self> {
        if teachers.is_empty() {
            return Err(Error::argument("teacher cache", "teachers", "none", "at least one"));
        }
        let samples = hash::of_samples(data);
        let count = ask.views.map_or(1, Views::count);
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); teachers.len() + ask.layers.len()];
        for view in 0..count {
            let x = match ask.views {
                Some(views) => views.apply(data.features(), &samples, view)?,
                None => data.features().clone(),
            };
            for (i, teacher) in teachers.iter().enumerate() {
                let layers = if i == 0 { ask.layers } else { &[] };
                let mut own = outputs_and(*teacher, &x, layers)?.into_iter();
                parts[i].extend(own.next());
                for (slot, x) in parts[teachers.len()..].iter_mut().zip(own) {
                    slot.push(x);
                }
            }
        }
        let joined = parts.iter().map(|p| Ok(Tensor::cat(&p.iter().collect::<Vec<_>>(), 0)?));
        let mut joined = joined.collect::<Result<Vec<Tensor>>>()?;
        let features = joined.split_off(teachers.len());
        Ok(Self {
            outputs: joined,
            features: ask.layers.iter().cloned().zip(features).collect(),
            teachers: hash::of_teachers(teachers),
            samples,
            views: count,
            augmentation: ask.views.map_or(Ok(0), |v| v.hash(data.sample_shape()))?,
        })
    }

    /// Reads the file if there is one, else computes and writes it. What is
    /// returned is what the file holds, so that the first run and the second
    /// are equal.
    ///
    /// # Errors
    /// [`Error::Stale`] if the file belongs to other teachers or other data;
    /// those of reading, computing and writing.
    pub fn open_or_compute(
        path: impl AsRef<Path>,
        storage: Storage,
        teachers: &[&impl Forward],
        data: &Dataset,
    ) -> Result<Self> {
        Self::open_or_compute_with(path, storage, teachers, data, Ask::default())
    }

    /// As [`open_or_compute`](Self::open_or_compute), with views and layers.
    ///
    /// # Errors
    /// As [`open_or_compute`](Self::open_or_compute); other views.
    pub fn open_or_compute_with(
        path: impl AsRef<Path>,
        storage: Storage,
        teachers: &[&impl Forward],
        data: &Dataset,
        ask: Ask<'_>,
    ) -> Result<Self> {
        let path = path.as_ref();
        if !path.exists() {
            Self::compute_with(teachers, data, ask)?.save(path, storage)?;
        }
        Self::open_with(path, teachers, data, ask)
    }

    /// Reads a file, which must belong to these teachers and hold this data.
    ///
    /// # Errors
    /// As [`open_or_compute`](Self::open_or_compute).
    pub fn open(
        path: impl AsRef<Path>,
        teachers: &[&impl Forward],
        data: &Dataset,
    ) -> Result<Self> {
        Self::open_with(path, teachers, data, Ask::default())
    }

    /// As [`open`](Self::open), with views and layers.
    ///
    /// # Errors
    /// As [`open_or_compute_with`](Self::open_or_compute_with).
    pub fn open_with(
        path: impl AsRef<Path>,
        teachers: &[&impl Forward],
        data: &Dataset,
        ask: Ask<'_>,
    ) -> Result<Self> {
        let path = path.as_ref();
        let file = StateDict::open(path)?;
        let stale = |problem: &str| Error::Stale { path: path.to_owned(), problem: problem.into() };
        let says = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
        let own = hash::of_teachers(teachers);
        if says("teachers") != format!("{own:016x}") {
            return Err(stale("the teachers' weights are others"));
        }
        let augmentation = ask.views.map_or(Ok(0), |v| v.hash(data.sample_shape()))?;
        if says("augmentation") != format!("{augmentation:016x}") {
            return Err(stale("the augmentation is another"));
        }
        let stored = file::words(&file, "samples")?;
        let place: HashMap<u64, usize> = stored.iter().enumerate().map(|(i, h)| (*h, i)).collect();
        let samples = hash::of_samples(data);
        let places: Vec<usize> = samples.iter().filter_map(|h| place.get(h).copied()).collect();
        let missing = samples.len() - places.len();
        if missing > 0 {
            let all = samples.len();
            return Err(stale(&format!(
                "{missing} of the {all} samples of the data are not in it"
            )));
        }
        let views = ask.views.map_or(1, Views::count);
        let rows = (0..views).flat_map(|v| places.iter().map(move |p| (v, *p)));
        let rows = Indices::from(rows.map(|(v, p)| v * stored.len() + p).collect::<Vec<_>>());
        let read = |key: &str| -> Result<Tensor> {
            let all = file::decode(&file, key)?;
            if all.size(0)? != views * stored.len() {
                return Err(stale("it holds another number of outputs than of samples"));
            }
            Ok(all.index_select(0, &rows)?)
        };
        let outputs = (0..teachers.len()).map(|i| read(&i.to_string()));
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let features = ask.layers.iter().map(|layer| {
            let key = format!("layer/{layer}");
            if file.get(&format!("{key}/all")).is_none() {
                return Err(stale(&format!("it has no features of the layer `{layer}`")));
            }
            Ok((layer.clone(), read(&key)?))
        });
        let features = features.collect::<Result<Vec<_>>>()?;
        let cache = Self { outputs, features, teachers: own, samples, views, augmentation };
        if file.get("0/all").is_some() {
            cache.compare(teachers, data, ask, &stale)?;
        }
        Ok(cache)
    }

    /// Asks the teachers about a few samples: equal weights may compute
    /// something else.
    fn compare(
        &self,
        teachers: &[&impl Forward],
        data: &Dataset,
        ask: Ask<'_>,
        stale: &dyn Fn(&str) -> Error,
    ) -> Result<()> {
        let few = data.len().min(8);
        let mut x = data.features().narrow(0, 0, few)?.contiguous();
        if let Some(views) = ask.views {
            x = views.apply(&x, &self.samples[..few], 0)?;
        }
        for (stored, teacher) in self.outputs.iter().zip(teachers) {
            let live = outputs(*teacher, &x)?;
            if stored.dims()[1..] != live.dims()[1..] {
                return Err(stale("the outputs have another shape"));
            }
            let stored = stored.narrow(0, 0, few)?;
            let scale = live.abs().max(.., false)?.item()?.max(1.0);
            let off = stored.sub(&live)?.abs().max(.., false)?.item()?;
            if off > 0.01 * scale {
                return Err(stale("the same weights now give other outputs"));
            }
        }
        Ok(())
    }

    /// Writes the file. A crash leaves what was there before.
    ///
    /// # Errors
    /// It cannot be written; `k` of [`Storage::TopK`] is not 1 to the number of
    /// classes; outputs that are not `[n, classes]`.
    pub fn save(&self, path: impl AsRef<Path>, storage: Storage) -> Result<()> {
        let mut file = StateDict::new();
        for (i, output) in self.outputs.iter().enumerate() {
            file::encode(&mut file, &i.to_string(), output, storage)?;
        }
        let half = if storage == Storage::F32 { Storage::F32 } else { Storage::F16 };
        for (layer, x) in &self.features {
            file::encode(&mut file, &format!("layer/{layer}"), x, half)?;
        }
        file::put_words(&mut file, "samples", &self.samples)?;
        let about = file.metadata_mut();
        about.insert("teachers".to_owned(), format!("{:016x}", self.teachers));
        about.insert("augmentation".to_owned(), format!("{:016x}", self.augmentation));
        Ok(file.save(path)?)
    }

    /// The outputs for samples by their positions in the data, `[size, ..]` for
    /// each teacher; of the first view.
    ///
    /// # Errors
    /// A position that does not exist.
    pub fn rows(&self, samples: &[usize]) -> Result<Vec<Tensor>> {
        self.rows_of(0, samples)
    }

    /// As [`rows`](Self::rows), of one view; views repeat after the last.
    ///
    /// # Errors
    /// A position that does not exist.
    pub fn rows_of(&self, view: usize, samples: &[usize]) -> Result<Vec<Tensor>> {
        let at = self.places(view, samples)?;
        Ok(self.outputs.iter().map(|o| o.index_select(0, &at)).collect::<Result<_, _>>()?)
    }

    /// The features of the stored layers, with their paths.
    ///
    /// # Errors
    /// A position that does not exist.
    pub fn features_of(&self, view: usize, samples: &[usize]) -> Result<Vec<(String, Tensor)>> {
        let at = self.places(view, samples)?;
        let rows = self.features.iter().map(|(l, x)| Ok((l.clone(), x.index_select(0, &at)?)));
        rows.collect()
    }

    fn places(&self, view: usize, samples: &[usize]) -> Result<Indices> {
        let n = self.samples.len();
        if let Some(bad) = samples.iter().find(|&&i| i >= n) {
            return Err(Error::argument("teacher cache", "sample", bad, format!("below {n}")));
        }
        let start = view % self.views * n;
        Ok(samples.iter().map(|i| start + i).collect::<Vec<_>>().into())
    }

    /// The outputs for all samples, one tensor for each teacher: `[n, ..]`, or
    /// `[views · n, ..]`, view after view.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// The number of samples.
    #[expect(clippy::len_without_is_empty, reason = "there is always a sample")]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// The number of views of each; 1 if there is no augmentation.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Whether the features of a layer are stored.
    pub(crate) fn has_layer(&self, path: &str) -> bool {
        self.features.iter().any(|(layer, _)| layer == path)
    }

    /// The samples' hashes, in their order.
    pub(crate) fn samples(&self) -> &[u64] {
        &self.samples
    }
}

/// The part of samples for which two models name the same class.
///
/// # Errors
/// Not two lists of `[n, classes]` with equal `n`.
pub fn agreement(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(metric::accuracy(a, &metric::predictions(b)?.into())?)
}
