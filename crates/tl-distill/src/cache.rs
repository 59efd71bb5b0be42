//! What teachers say of a data set, computed once, and kept on disk.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tl_data::Dataset;
use tl_nn::{Ctx, Dtype, Forward, Indices, ModuleExt, StateDict, Tensor, metric, module};

/// How outputs are stored.
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

/// The outputs of one or more teachers for every sample of a data set.
///
/// A stored cache is bound to the teachers' numbers and to the content of the
/// data: if either has changed, it is refused, not used. So several augmented
/// views of the data are simply data: `data.concat(&view)`, whose samples have
/// positions of their own.
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
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TeacherCache {
    outputs: Vec<Tensor>,
    teachers: u64,
    data: u64,
}

/// FNV-1a over 64-bit words: not against attackers, only against mistakes.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    fn tensor(&mut self, x: &Tensor) {
        x.dims().iter().for_each(|&d| self.word(d as u64));
        x.to_vec().into_iter().for_each(|v| self.word(u64::from(v.to_bits())));
    }

    fn name(&mut self, name: &str) {
        name.bytes().for_each(|b| self.word(u64::from(b)));
    }
}

fn hash_of(teachers: &[&impl Forward]) -> u64 {
    let mut hash = Hash::new();
    for teacher in teachers {
        for (path, param) in teacher.params() {
            hash.name(&path);
            hash.tensor(param.tensor());
        }
        for (path, buffer) in teacher.buffers() {
            hash.name(&path);
            hash.tensor(buffer.tensor());
        }
    }
    hash.0
}

fn hash_of_data(data: &Dataset) -> u64 {
    let mut hash = Hash::new();
    hash.tensor(data.features());
    hash.0
}

/// The model's outputs in evaluation mode, without history, 256 samples at a
/// time.
///
/// # Errors
/// Those of the model; no sample.
pub fn outputs(model: &impl Forward, x: &Tensor) -> Result<Tensor> {
    let mut model = model.clone();
    model.for_each_param(|_, p| {
        p.set_frozen(true);
        Ok(())
    })?;
    let n = x.size(0)?;
    if n == 0 {
        return Err(Error::argument("outputs", "samples", 0, "at least one"));
    }
    let mut parts = Vec::new();
    for start in (0..n).step_by(256) {
        let part = x.narrow(0, start, 256.min(n - start))?.contiguous();
        parts.push(model.forward(&part, &mut Ctx::eval())?.detach());
    }
    Ok(Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?)
}

impl TeacherCache {
    /// Asks every teacher about every sample.
    ///
    /// # Errors
    /// Those of the teachers; no teacher or no sample.
    pub fn compute(teachers: &[&impl Forward], data: &Dataset) -> Result<Self> {
        if teachers.is_empty() {
            return Err(Error::argument("teacher cache", "teachers", "none", "at least one"));
        }
        let outputs = teachers.iter().map(|t| outputs(*t, data.features()));
        let outputs = outputs.collect::<Result<_>>()?;
        Ok(Self { outputs, teachers: hash_of(teachers), data: hash_of_data(data) })
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
        let path = path.as_ref();
        if !path.exists() {
            Self::compute(teachers, data)?.save(path, storage)?;
        }
        Self::open(path, teachers, data)
    }

    /// Reads a file, which must belong to these teachers and this data.
    ///
    /// # Errors
    /// As [`open_or_compute`](Self::open_or_compute).
    pub fn open(
        path: impl AsRef<Path>,
        teachers: &[&impl Forward],
        data: &Dataset,
    ) -> Result<Self> {
        let path = path.as_ref();
        let file = StateDict::open(path)?;
        let (own, of) = (hash_of(teachers), hash_of_data(data));
        let stale = |problem: &str| Error::Stale { path: path.to_owned(), problem: problem.into() };
        let says = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
        if says("teachers") != format!("{own:016x}") {
            return Err(stale("the teachers' weights are others"));
        }
        if says("data") != format!("{of:016x}") {
            return Err(stale("the data are others"));
        }
        let exact = file.get("0/values").is_none();
        let outputs = (0..teachers.len()).map(|i| decode(&file, i)).collect::<Result<Vec<_>>>()?;
        // The same weights in another architecture: only its outputs tell.
        let few = data.features().narrow(0, 0, data.len().min(4))?.contiguous();
        for (stored, teacher) in outputs.iter().zip(teachers) {
            let live = self::outputs(*teacher, &few)?;
            if stored.dims() != [&[data.len()], &live.dims()[1..]].concat() {
                return Err(stale("the outputs have another shape"));
            }
            let stored = stored.narrow(0, 0, few.dims()[0])?;
            let scale = live.abs().max([0, 1], false)?.item()?.max(1.0);
            let off = stored.sub(&live)?.abs().max([0, 1], false)?.item()?;
            if exact && off > 0.01 * scale {
                return Err(stale("the same weights now give other outputs"));
            }
        }
        Ok(Self { outputs, teachers: own, data: of })
    }

    /// Writes the file. A crash leaves what was there before.
    ///
    /// # Errors
    /// It cannot be written; `k` of [`Storage::TopK`] is not 1 to the number of
    /// classes; outputs that are not `[n, classes]`.
    pub fn save(&self, path: impl AsRef<Path>, storage: Storage) -> Result<()> {
        let mut file = StateDict::new();
        for (i, output) in self.outputs.iter().enumerate() {
            encode(&mut file, i, output, storage)?;
        }
        let about = file.metadata_mut();
        about.insert("teachers".to_owned(), format!("{:016x}", self.teachers));
        about.insert("data".to_owned(), format!("{:016x}", self.data));
        Ok(file.save(path)?)
    }

    /// The outputs for samples by their positions, `[size, classes]` for each
    /// teacher.
    ///
    /// # Errors
    /// A position that does not exist.
    pub fn rows(&self, samples: &[usize]) -> Result<Vec<Tensor>> {
        let at = Indices::from(samples);
        Ok(self.outputs.iter().map(|o| o.index_select(0, &at)).collect::<Result<_, _>>()?)
    }

    /// The outputs for all samples, one tensor for each teacher.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }
}

/// A tensor as a module, for its entry in a file.
#[derive(Clone)]
struct Entry {
    x: tl_nn::Buffer,
}
module!(Entry { x });

fn put(file: &mut StateDict, name: &str, x: &Tensor, integer: bool, dtype: Dtype) -> Result<()> {
    let x = if integer { tl_nn::Buffer::integer(x.clone()) } else { tl_nn::Buffer::new(x.clone()) };
    if let Some(weight) = (Entry { x }).state_dict().remove("x") {
        file.insert(name, if integer { weight } else { weight.cast(dtype)? });
    }
    Ok(())
}

fn encode(file: &mut StateDict, i: usize, x: &Tensor, storage: Storage) -> Result<()> {
    match storage {
        Storage::F32 => put(file, &format!("{i}/all"), x, false, Dtype::F32),
        Storage::F16 => put(file, &format!("{i}/all"), x, false, Dtype::F16),
        Storage::TopK(k) => {
            let [_, classes] = *x.dims() else {
                let got = format!("{:?}", x.dims());
                return Err(Error::argument("top-k", "outputs", got, "[n, classes]"));
            };
            if k == 0 || k > classes {
                let expected = format!("1 to {classes}, the number of classes");
                return Err(Error::argument("top-k", "k", k, expected));
            }
            let (values, at) = x.topk(k, 1, true)?;
            let (all, top) = (x.logsumexp([1], true)?, values.logsumexp([1], true)?);
            // ln of the probability that is left, each of the others' share.
            let left = top.sub(&all)?.expm1().neg().clamp(1e-12, 1.0).log();
            let others = (classes - k).max(1) as f32;
            let rest = all.add(&left)?.add_scalar(-others.ln());
            let at: Vec<f32> = at.as_slice().iter().map(|&c| c as f32).collect();
            let at = Tensor::from_vec(at, *values.shape())?;
            put(file, &format!("{i}/values"), &values, false, Dtype::F16)?;
            put(file, &format!("{i}/rest"), &rest, false, Dtype::F32)?;
            put(file, &format!("{i}/classes"), &Tensor::scalar(classes as f32), true, Dtype::F32)?;
            put(file, &format!("{i}/at"), &at, true, Dtype::F32)
        }
    }
}

fn decode(file: &StateDict, i: usize) -> Result<Tensor> {
    if file.get(&format!("{i}/all")).is_some() {
        return Ok(file.tensor(&format!("{i}/all"))?);
    }
    let read = |key: &str| file.tensor(&format!("{i}/{key}"));
    let (values, rest, at) = (read("values")?, read("rest")?, read("at")?);
    let classes = read("classes")?.item()? as usize;
    let k = values.size(1)?;
    let mut all = Vec::with_capacity(values.size(0)? * classes);
    for ((values, at), rest) in
        values.to_vec().chunks(k).zip(at.to_vec().chunks(k)).zip(rest.to_vec())
    {
        let start = all.len();
        all.resize(start + classes, rest);
        for (&value, &at) in values.iter().zip(at) {
            match all.get_mut(start + at as usize) {
                Some(slot) => *slot = value,
                None => {
                    return Err(Error::argument("top-k", "class", at, format!("below {classes}")));
                }
            }
        }
    }
    Ok(Tensor::from_vec(all, [values.size(0)?, classes])?)
}

/// The part of samples for which two models name the same class.
///
/// # Errors
/// Not two lists of `[n, classes]` with equal `n`.
pub fn agreement(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(metric::accuracy(a, &metric::predictions(b)?.into())?)
}
