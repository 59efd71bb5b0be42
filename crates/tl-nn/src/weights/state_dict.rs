//! The numbers of a model by path.

use super::{
    bytes::Bytes,
    shards,
    weight::{Dtype, Weight},
};
use crate::{Error, Module, ModuleExt, Result, fs};
use safetensors::{SafeTensors, tensor::TensorView};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};
use tl_tensor::Tensor;

/// The parameters and buffers of a model by path, as PyTorch's `state_dict`,
/// and what a safetensors file holds.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{Linear, Load, ModuleExt, StateDict};
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("model.safetensors");
/// let model = Linear::new(4, 2, &mut rng);
/// model.state_dict().save(&path)?;
///
/// let mut other = Linear::new(4, 2, &mut rng);
/// let report = other.load(&StateDict::open(&path)?, &Load::strict())?;
/// assert_eq!(report.loaded, ["bias", "weight"]);
/// assert_eq!(other.weight.tensor().to_vec(), model.weight.tensor().to_vec());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateDict {
    weights: BTreeMap<String, Weight>,
    metadata: BTreeMap<String, String>,
}

impl StateDict {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// That of a model.
    pub fn of<M: Module>(model: &M) -> Self {
        let mut dict = Self::new();
        for (path, param) in model.params() {
            dict.insert(path, Weight::new(param.tensor()));
        }
        for (path, buffer) in model.buffers() {
            let t = buffer.tensor();
            let weight = if buffer.is_integer() { Weight::integer(t) } else { Weight::new(t) };
            dict.insert(path, weight);
        }
        dict
    }

    /// Opens a safetensors file, or the `.index.json` of several. The file is
    /// mapped into memory: only what is used is read.
    ///
    /// # Errors
    /// The file cannot be read, is truncated, or is not what it says; a shard
    /// of an index is missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.extension().is_some_and(|e| e == "json") {
            return shards::open(path);
        }
        Self::parse(Bytes::map(path)?)
            .map_err(|problem| Error::Format { path: path.to_owned(), problem })
    }

    /// Reads the bytes of a safetensors file.
    ///
    /// # Errors
    /// They are truncated or not what they say.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::parse(Bytes::Memory(bytes))
            .map_err(|problem| Error::Format { path: "<bytes>".into(), problem })
    }

    fn parse(bytes: Bytes) -> Result<Self, String> {
        const HINT: &str = "it is truncated or not a safetensors file; fetch or save it again";
        let bytes = Arc::new(bytes);
        let fail = |e: safetensors::SafeTensorError| format!("{e}; {HINT}");
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(fail)?;
        let file = SafeTensors::deserialize(&bytes).map_err(fail)?;
        let base = bytes.as_ptr() as usize;
        let mut dict = Self::new();
        for (name, view) in file.iter() {
            let start = view.data().as_ptr() as usize - base;
            let range = start..start + view.data().len();
            let weight = Weight::shared(view.dtype(), view.shape().to_vec(), bytes.clone(), range);
            dict.weights.insert(name.to_owned(), weight);
        }
        dict.metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(dict)
    }

    /// The bytes of a safetensors file with everything in here.
    ///
    /// # Errors
    /// The names are too long for the format's header.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let fail = |e: safetensors::SafeTensorError| Error::Weights(e.to_string());
        let views = self
            .weights
            .iter()
            .map(|(name, w)| {
                Ok((name.as_str(), TensorView::new(w.dtype(), w.dims().to_vec(), w.bytes())?))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        let metadata: Option<HashMap<String, String>> = (!self.metadata.is_empty())
            .then(|| self.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
        safetensors::serialize(views, metadata).map_err(fail)
    }

    /// Saves a safetensors file. It is written beside `path` and then renamed,
    /// so that a crash leaves what was there before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        fs::write_atomically(path.as_ref(), &self.to_bytes()?)
    }

    /// The tensor under a name.
    pub fn get(&self, name: &str) -> Option<&Weight> {
        self.weights.get(name)
    }

    /// The numbers under a name.
    ///
    /// # Errors
    /// There are none; those of [`Weight::to_tensor`].
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let Some(weight) = self.get(name) else {
            let known: Vec<String> = self.weights.keys().cloned().collect();
            return Err(crate::module::no_match(name, "weight", &known));
        };
        weight.to_tensor()
    }

    /// Sets what is under a name.
    pub fn insert(&mut self, name: impl Into<String>, weight: Weight) {
        self.weights.insert(name.into(), weight);
    }

    /// Takes out what is under a name.
    pub fn remove(&mut self, name: &str) -> Option<Weight> {
        self.weights.remove(name)
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Weight)> {
        self.weights.iter().map(|(name, w)| (name.as_str(), w))
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Texts that belong to the file.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Texts that belong to the file, for changing.
    pub fn metadata_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.metadata
    }

    /// The part under `prefix.`, without the prefix.
    #[must_use]
    pub fn part(&self, prefix: &str) -> Self {
        let inside = |name: &str| {
            name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned)
        };
        let weights = self.weights.iter().filter_map(|(n, w)| Some((inside(n)?, w.clone())));
        Self { weights: weights.collect(), metadata: BTreeMap::new() }
    }

    /// Adds everything of `other` under `prefix.`.
    pub fn add_part(&mut self, prefix: &str, other: Self) {
        for (name, weight) in other.weights {
            self.insert(format!("{prefix}.{name}"), weight);
        }
    }

    /// Everything with floating-point numbers stored as another type, such as
    /// `BF16` to halve a file.
    ///
    /// # Errors
    /// Those of [`Weight::cast`].
    pub fn cast(&self, dtype: Dtype) -> Result<Self> {
        let float = |d: Dtype| matches!(d, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64);
        let mut all = self.clone();
        for weight in all.weights.values_mut().filter(|w| float(w.dtype())) {
            *weight = weight.cast(dtype)?;
        }
        Ok(all)
    }

    /// Adds everything of `other`; a name that both have is an error.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), String> {
        for (name, weight) in other.weights {
            if self.weights.insert(name.clone(), weight).is_some() {
                return Err(format!("two shards hold `{name}`"));
            }
        }
        self.metadata.extend(other.metadata);
        Ok(())
    }
}
