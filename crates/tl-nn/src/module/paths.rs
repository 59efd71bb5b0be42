//! What every module can do by the paths of its parameters.

use super::{
    param::{Buffer, Param},
    traits::{Module, Visit, VisitMut},
};
use crate::{Error, Glob, Load, LoadReport, Result, StateDict};
use std::sync::Arc;
use tl_tensor::Tensor;

/// The names of the parts that were entered, joined by dots.
#[derive(Default)]
struct Path {
    text: String,
    starts: Vec<usize>,
}

impl Path {
    fn enter(&mut self, name: &str) {
        self.starts.push(self.text.len());
        if !self.text.is_empty() {
            self.text.push('.');
        }
        self.text.push_str(name);
    }

    fn leave(&mut self) {
        if let Some(start) = self.starts.pop() {
            self.text.truncate(start);
        }
    }
}

#[derive(Default)]
struct Collect<'a> {
    path: Path,
    params: Vec<(String, &'a Param)>,
    buffers: Vec<(String, &'a Buffer)>,
}

impl<'a> Visit<'a> for Collect<'a> {
    fn enter(&mut self, name: &str) {
        self.path.enter(name);
    }
    fn leave(&mut self) {
        self.path.leave();
    }
    fn param(&mut self, param: &'a Param) {
        self.params.push((self.path.text.clone(), param));
    }
    fn buffer(&mut self, buffer: &'a Buffer) {
        self.buffers.push((self.path.text.clone(), buffer));
    }
}

/// Calls a function for every parameter and one for every buffer; stops at the
/// first error.
struct Each<P, B> {
    path: Path,
    param: P,
    buffer: B,
    result: Result<()>,
}

impl<P, B> VisitMut for Each<P, B>
where
    P: FnMut(&str, &mut Param) -> Result<()>,
    B: FnMut(&str, &mut Buffer) -> Result<()>,
{
    fn enter(&mut self, name: &str) {
        self.path.enter(name);
    }
    fn leave(&mut self) {
        self.path.leave();
    }
    fn param(&mut self, param: &mut Param) {
        if self.result.is_ok() {
            self.result = (self.param)(&self.path.text, param);
        }
    }
    fn buffer(&mut self, buffer: &mut Buffer) {
        if self.result.is_ok() {
            self.result = (self.buffer)(&self.path.text, buffer);
        }
    }
}

/// What every [`Module`] can do.
pub trait ModuleExt: Module {
    /// Every parameter with its path, in order of declaration. A parameter
    /// that is itself the module has an empty path.
    fn params(&self) -> Vec<(String, &Param)> {
        let mut all = Collect::default();
        self.visit(&mut all);
        all.params
    }

    /// Every buffer with its path, in order of declaration.
    fn buffers(&self) -> Vec<(String, &Buffer)> {
        let mut all = Collect::default();
        self.visit(&mut all);
        all.buffers
    }

    /// The tensors of all trainable parameters, in order of declaration: what
    /// to hand to [`grad`](tl_tensor::grad).
    fn trainable(&self) -> Vec<&Tensor> {
        self.params().into_iter().filter(|(_, p)| !p.is_frozen()).map(|(_, p)| p.tensor()).collect()
    }

    /// The number of trainable numbers and of all numbers in parameters.
    fn count_params(&self) -> (usize, usize) {
        self.params().iter().fold((0, 0), |(trainable, all), (_, p)| {
            let n = p.numel();
            (trainable + if p.is_frozen() { 0 } else { n }, all + n)
        })
    }

    /// Calls `f` with every parameter and its path.
    ///
    /// # Errors
    /// The first of `f`; the parameters after it are left alone.
    fn for_each_param(&mut self, f: impl FnMut(&str, &mut Param) -> Result<()>) -> Result<()> {
        let mut each = Each {
            path: Path::default(),
            param: f,
            buffer: |_: &str, _: &mut Buffer| Ok(()),
            result: Ok(()),
        };
        self.visit_mut(&mut each);
        each.result
    }

    /// Calls `f` with every buffer and its path.
    ///
    /// # Errors
    /// The first of `f`; the buffers after it are left alone.
    fn for_each_buffer(&mut self, f: impl FnMut(&str, &mut Buffer) -> Result<()>) -> Result<()> {
        let mut each = Each {
            path: Path::default(),
            param: |_: &str, _: &mut Param| Ok(()),
            buffer: f,
            result: Ok(()),
        };
        self.visit_mut(&mut each);
        each.result
    }

    /// Freezes what a [`Glob`] names: parameters get no gradient, no optimiser
    /// state and no weight decay; buffers, such as running statistics, do not
    /// move any more. Returns how many parameters and buffers it names.
    ///
    /// # Errors
    /// The pattern is not valid or matches nothing.
    fn freeze(&mut self, pattern: &str) -> Result<usize> {
        set_frozen(self, pattern, true)
    }

    /// Makes what a [`Glob`] names trainable again. Returns how many.
    ///
    /// # Errors
    /// The pattern is not valid or matches nothing.
    fn unfreeze(&mut self, pattern: &str) -> Result<usize> {
        set_frozen(self, pattern, false)
    }

    /// A copy that shares all numbers and whose parameters are frozen: a pass
    /// through it keeps nothing for derivatives, which saves memory and time where
    /// none are asked for. Buffers stay as they are.
    ///
    /// ```
    /// use rand::SeedableRng;
    /// use tl_nn::{Ctx, Forward, Linear, ModuleExt, Tensor};
    ///
    /// # fn main() -> tl_nn::Result<()> {
    /// let layer = Linear::new(3, 2, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0));
    /// let y = layer.frozen().forward(&Tensor::ones([1, 3]), &mut Ctx::eval())?;
    /// assert!(!y.is_tracked());
    /// # Ok(())
    /// # }
    /// ```
    fn frozen(&self) -> Self {
        let mut copy = self.clone();
        // Nothing can go wrong in it.
        let _ = copy.for_each_param(|_, param| {
            param.set_frozen(true);
            Ok(())
        });
        copy
    }

    /// A copy in which every trainable parameter is `f(path, tensor)`: with
    /// its history, so that gradients flow through. The inner step of
    /// meta-learning is `p - lr · g`.
    ///
    /// # Errors
    /// Those of `f`.
    fn map_params(&self, mut f: impl FnMut(&str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let mut copy = self.clone();
        let mut originals = self.params().into_iter();
        copy.for_each_param(|path, param| {
            let Some((_, original)) = originals.next() else { return Ok(()) };
            if !original.is_frozen() {
                param.replace(f(path, original.tensor())?);
            }
            Ok(())
        })?;
        Ok(copy)
    }

    /// A copy whose trainable parameters are `tensors`, in order of
    /// declaration, with their history.
    ///
    /// # Errors
    /// Not as many tensors as trainable parameters.
    fn with_params(&self, tensors: &[Tensor]) -> Result<Self> {
        let expected = self.trainable().len();
        if tensors.len() != expected {
            return Err(Error::argument(
                "with_params",
                "tensors",
                format!("a list of {}", tensors.len()),
                format!("{expected}, one for each trainable parameter"),
            ));
        }
        let mut next = tensors.iter();
        self.map_params(|_, own| Ok(next.next().unwrap_or(own).clone()))
    }

    /// The numbers of all parameters and buffers by path.
    fn state_dict(&self) -> StateDict {
        StateDict::of(self)
    }

    /// Loads parameters and buffers by path. What is frozen stays frozen, but
    /// gets the numbers.
    ///
    /// # Errors
    /// With [`Load::strict`] a missing, unexpected or mismatched name; a
    /// pattern that matches nothing; no name that fits. The model stays as it
    /// was then.
    fn load(&mut self, dict: &StateDict, how: &Load) -> Result<LoadReport> {
        crate::weights::load(self, dict, how)
    }

    /// Applies the statistics that a pass recorded in its
    /// [`Ctx`](crate::Ctx), in their order.
    ///
    /// # Errors
    /// A statistic belongs to no buffer of this model, or its shape differs.
    fn apply(&mut self, updates: Vec<crate::ctx::Update>) -> Result<()> {
        let mut left: Vec<Option<crate::ctx::Update>> = updates.into_iter().map(Some).collect();
        if left.is_empty() {
            return Ok(());
        }
        self.for_each_buffer(|_, buffer| {
            for slot in &mut left {
                if slot.as_ref().is_some_and(|u| Arc::ptr_eq(&u.key, buffer.key()))
                    && let Some(update) = slot.take()
                {
                    buffer.set_data(&(update.change)(buffer.tensor())?)?;
                }
            }
            Ok(())
        })?;
        match left.iter().flatten().count() {
            0 => Ok(()),
            count => Err(Error::ForeignUpdates { count }),
        }
    }
}

impl<M: Module> ModuleExt for M {}

fn set_frozen<M: Module>(module: &mut M, pattern: &str, frozen: bool) -> Result<usize> {
    let glob = Glob::new(pattern)?;
    let mut known = Vec::new();
    let mut count = 0;
    let mut each = Each {
        path: Path::default(),
        param: |path: &str, param: &mut Param| {
            known.push(path.to_owned());
            if glob.matches(path) {
                param.set_frozen(frozen);
                count += 1;
            }
            Ok(())
        },
        buffer: |_: &str, _: &mut Buffer| Ok(()),
        result: Ok(()),
    };
    module.visit_mut(&mut each);
    let mut buffers = 0;
    let mut each = Each {
        path: Path::default(),
        param: |_: &str, _: &mut Param| Ok(()),
        buffer: |path: &str, buffer: &mut Buffer| {
            if glob.matches(path) {
                buffer.set_frozen(frozen);
                buffers += 1;
            }
            Ok(())
        },
        result: Ok(()),
    };
    module.visit_mut(&mut each);
    match count + buffers {
        0 => Err(no_match(pattern, "parameter or buffer", &known)),
        all => Ok(all),
    }
}

/// The error for a pattern that matches nothing, with some paths that exist.
pub(crate) fn no_match(pattern: &str, what: &'static str, known: &[String]) -> Error {
    const SHOWN: usize = 8;
    let mut list = known.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if known.len() > SHOWN {
        list.push_str(&format!(", .. ({} in all)", known.len()));
    }
    Error::NoMatch { pattern: pattern.to_owned(), what, known: list }
}
