//! Loading a state dict into a model.

use super::state_dict::StateDict;
use crate::{Error, Glob, Module, ModuleExt, Result};
use std::{collections::BTreeMap, fmt};
use tl_tensor::Tensor;

type Rename = Box<dyn Fn(&str) -> String + Send + Sync>;

/// How a state dict is loaded.
///
/// ```
/// use tl_nn::Load;
/// # fn main() -> tl_nn::Result<()> {
/// // A back-bone from a classifier of other classes:
/// let load = Load::strict().ignore("fc.**")?.keep("head.**")?;
/// // A model that was saved inside of another:
/// let load = Load::strict().rename(|name| name.trim_start_matches("module.").to_owned());
/// # let _ = load;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Load {
    partial: bool,
    ignore: Vec<Glob>,
    keep: Vec<Glob>,
    rename: Option<Rename>,
}

impl Load {
    /// Everything has to fit: a name that only one side has, or another shape,
    /// is an error, and the model stays as it was.
    ///
    /// Counters of batches (`num_batches_tracked`), which old checkpoints lack,
    /// may be missing.
    pub fn strict() -> Self {
        Self::default()
    }

    /// What fits is loaded; the rest is in the report.
    pub fn partial() -> Self {
        Self { partial: true, ..Self::default() }
    }

    /// Leaves out what the pattern names in the state dict (after renaming).
    ///
    /// # Errors
    /// The pattern is not valid. That it matches nothing shows when loading.
    pub fn ignore(mut self, pattern: &str) -> Result<Self> {
        self.ignore.push(Glob::new(pattern)?);
        Ok(self)
    }

    /// Leaves alone what the pattern names in the model, such as a new head.
    ///
    /// # Errors
    /// The pattern is not valid. That it matches nothing shows when loading.
    pub fn keep(mut self, pattern: &str) -> Result<Self> {
        self.keep.push(Glob::new(pattern)?);
        Ok(self)
    }

    /// Gives each name of the state dict the name that the model has for it.
    #[must_use]
    pub fn rename(mut self, f: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.rename = Some(Box::new(f));
        self
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("partial", &self.partial)
            .field("ignore", &self.ignore)
            .field("keep", &self.keep)
            .field("rename", &self.rename.is_some())
            .finish()
    }
}

/// Two shapes under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The path.
    pub path: String,
    /// The sizes in the model.
    pub model: Vec<usize>,
    /// The sizes in the state dict.
    pub file: Vec<usize>,
}

/// What was loaded, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it says what was not loaded; with `Load::strict()` nothing can be, so drop it there with `let _ =`"]
pub struct LoadReport {
    /// Paths that were loaded.
    pub loaded: Vec<String>,
    /// Paths of the model that the state dict lacks.
    pub missing: Vec<String>,
    /// Names of the state dict that the model lacks.
    pub unexpected: Vec<String>,
    /// Paths whose shapes differ.
    pub mismatched: Vec<Mismatch>,
    /// Names that were left out on request.
    pub ignored: Vec<String>,
}

impl LoadReport {
    /// Whether both sides had the same names with the same shapes.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        fn list(f: &mut fmt::Formatter<'_>, title: &str, names: &[String]) -> fmt::Result {
            if names.is_empty() {
                return Ok(());
            }
            write!(f, "; {} {title}: {}", names.len(), names[..names.len().min(SHOWN)].join(", "))?;
            if names.len() > SHOWN { write!(f, ", ..") } else { Ok(()) }
        }
        write!(f, "{} loaded", self.loaded.len())?;
        list(f, "missing in the file", &self.missing)?;
        list(f, "unexpected in the file", &self.unexpected)?;
        let shapes: Vec<String> = self
            .mismatched
            .iter()
            .map(|m| format!("{} (model {:?}, file {:?})", m.path, m.model, m.file))
            .collect();
        list(f, "of another shape", &shapes)?;
        list(f, "left out", &self.ignored)
    }
}

/// Loads `dict` into `model`: looks first, writes after, so that an error
/// leaves the model as it was.
pub(crate) fn load<M: Module>(model: &mut M, dict: &StateDict, how: &Load) -> Result<LoadReport> {
    let mut report = LoadReport::default();
    let mut offered = renamed(dict, how, &mut report)?;
    let known: Vec<String> = paths(model).into_iter().map(|(path, ..)| path).collect();
    for glob in &how.keep {
        if !known.iter().any(|path| glob.matches(path)) {
            return Err(crate::module::no_match(glob.as_str(), "parameter or buffer", &known));
        }
    }
    let mut found: BTreeMap<String, Tensor> = BTreeMap::new();
    for (path, dims, optional) in paths(model) {
        let offer = offered.remove(&path);
        if how.keep.iter().any(|g| g.matches(&path)) {
            report.ignored.push(path);
            continue;
        }
        match offer.and_then(|name| dict.get(name)) {
            None if optional => {}
            None => report.missing.push(path),
            // Some writers give scalars the shape [1].
            Some(w) if w.dims() == dims || (dims.is_empty() && w.dims() == [1]) => {
                let tensor = w.to_tensor().map_err(|e| e.within(&path))?;
                let shape = tl_tensor::Shape::new(&dims)?;
                found.insert(path, tensor.reshape(shape)?);
            }
            Some(w) => {
                let file = w.dims().to_vec();
                report.mismatched.push(Mismatch { path, model: dims, file });
            }
        }
    }
    report.unexpected = offered.into_keys().collect();
    if !how.partial && !report.is_complete() {
        return Err(Error::Weights(format!(
            "{report}; name what may differ with `ignore` and `keep`, or use `Load::partial()`"
        )));
    }
    if found.is_empty() {
        return Err(Error::Weights(format!("no name fits: {report}; see `Load::rename`")));
    }
    model.for_each_param(|path, param| match found.get(path) {
        Some(tensor) => Ok(param.set_data(tensor)?),
        None => Ok(()),
    })?;
    model.for_each_buffer(|path, buffer| match found.get(path) {
        Some(tensor) => Ok(buffer.set_data(tensor)?),
        None => Ok(()),
    })?;
    report.loaded = found.into_keys().collect();
    Ok(report)
}

/// The model's name for each name of the dict that takes part.
fn renamed<'a>(
    dict: &'a StateDict,
    how: &Load,
    report: &mut LoadReport,
) -> Result<BTreeMap<String, &'a str>> {
    let mut offered = BTreeMap::new();
    let mut used = vec![false; how.ignore.len()];
    for (name, _) in dict.iter() {
        let path = how.rename.as_ref().map_or_else(|| name.to_owned(), |f| f(name));
        let mut out = false;
        for (glob, used) in how.ignore.iter().zip(&mut used) {
            if glob.matches(&path) {
                (out, *used) = (true, true);
            }
        }
        if out {
            report.ignored.push(path);
        } else if let Some(other) = offered.insert(path.clone(), name) {
            return Err(Error::Weights(format!(
                "`{other}` and `{name}` are both renamed to `{path}`"
            )));
        }
    }
    match used.iter().position(|used| !used) {
        Some(at) => {
            let known: Vec<String> = offered.into_keys().collect();
            Err(crate::module::no_match(how.ignore[at].as_str(), "name of the state dict", &known))
        }
        None => Ok(offered),
    }
}

/// Path, sizes and whether it may be missing, of all parameters and buffers.
fn paths<M: Module>(model: &M) -> Vec<(String, Vec<usize>, bool)> {
    let params = model.params().into_iter().map(|(path, p)| (path, p.dims().to_vec(), false));
    let buffers = model.buffers().into_iter();
    let buffers = buffers.map(|(path, b)| (path, b.tensor().dims().to_vec(), b.is_integer()));
    params.chain(buffers).collect()
}
