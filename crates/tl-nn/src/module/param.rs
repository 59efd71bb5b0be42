//! Parameters and buffers.

use super::{
    adapt::Adapt,
    traits::{Module, Visit, VisitMut},
};
use std::{borrow::Cow, sync::Arc};
use tl_tensor::{Result, Tensor};

/// A tensor that training changes.
///
/// While it is trainable it is a variable of the graph; frozen it is a
/// constant, for which no gradient is computed at all.
///
/// A clone is a parameter of its own: it shares the numbers until one of the
/// two changes, but a gradient of one is not a gradient of the other, so
/// `vec![layer; 6]` is six layers. To use one parameter in two places on
/// purpose, see [`tied`](Self::tied).
#[derive(Debug)]
pub struct Param {
    tensor: Tensor,
    frozen: bool,
    adapter: Option<Box<dyn Adapt>>,
}

impl Param {
    /// A trainable parameter with these numbers.
    pub fn new(data: Tensor) -> Self {
        Self { tensor: data.requires_grad(), frozen: false, adapter: None }
    }

    /// The parameter's own numbers: what is trained and saved. A layer computes
    /// with [`adapted`](Self::adapted).
    #[inline]
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The numbers that a layer computes with: the parameter's own, changed by
    /// its adapter if it has one.
    ///
    /// # Errors
    /// An adapter that is no change of these numbers.
    #[inline]
    pub fn adapted(&self) -> crate::Result<Cow<'_, Tensor>> {
        Ok(match &self.adapter {
            None => Cow::Borrowed(&self.tensor),
            Some(adapter) => Cow::Owned(adapter.weight(&self.tensor)?),
        })
    }

    /// What changes these numbers, if anything does.
    #[inline]
    pub fn adapter(&self) -> Option<&dyn Adapt> {
        self.adapter.as_deref()
    }

    /// What changes these numbers, for changing.
    pub fn adapter_mut(&mut self) -> Option<&mut (dyn Adapt + 'static)> {
        self.adapter.as_deref_mut()
    }

    /// Puts a change of these numbers in place, or takes it away.
    pub fn set_adapter(&mut self, adapter: Option<Box<dyn Adapt>>) {
        self.adapter = adapter;
    }

    /// The sizes of the dimensions.
    pub fn dims(&self) -> &[usize] {
        self.tensor.dims()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.tensor.numel()
    }

    /// Whether training leaves it as it is.
    #[inline]
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Freezes (`true`) or makes trainable (`false`).
    pub fn set_frozen(&mut self, frozen: bool) {
        if frozen != self.frozen {
            self.frozen = frozen;
            self.tensor = if frozen { self.tensor.detach() } else { self.tensor.requires_grad() };
        }
    }

    /// Replaces the numbers, keeping the variable: gradients of losses that
    /// were computed before still belong to it.
    ///
    /// # Errors
    /// The shape differs.
    pub fn set_data(&mut self, data: &Tensor) -> Result<()> {
        self.tensor = self.tensor.with_data(data)?;
        Ok(())
    }

    /// Lets `change` write the numbers in row-major order. Graphs that still
    /// hold the old ones keep them.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32])) {
        self.tensor.update_in_place(change);
    }

    /// As [`update`](Self::update), from old numbers that may lie elsewhere; see
    /// [`Tensor::update_from`].
    pub(crate) fn update_from(&mut self, change: impl FnOnce(Option<&[f32]>, &mut [f32])) {
        self.tensor.update_from(change);
    }

    /// Puts any tensor in this parameter's place, with its history: the fast
    /// weights of meta-learning. Its shape may differ, as for a new head.
    pub fn replace(&mut self, tensor: Tensor) {
        self.tensor = tensor;
    }

    /// The same parameter for use in a second place: one variable, one
    /// gradient. State dicts list it under both paths, as PyTorch does. An adapter
    /// stays behind.
    #[must_use]
    pub fn tied(&self) -> Self {
        Self { tensor: self.tensor.clone(), frozen: self.frozen, adapter: None }
    }
}

impl Clone for Param {
    fn clone(&self) -> Self {
        // A fast weight is a result in a graph, not a variable; its copy is
        // the same result.
        let tensor =
            if self.tensor.is_leaf() { self.tensor.requires_grad() } else { self.tensor.clone() };
        Self { tensor, frozen: self.frozen, adapter: self.adapter.as_ref().map(|a| a.boxed()) }
    }
}

impl Module for Param {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        v.param(self);
        if let Some(adapter) = &self.adapter {
            adapter.visit(v);
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        v.param(self);
        if let Some(adapter) = &mut self.adapter {
            adapter.visit_mut(v);
        }
    }
}

/// A tensor that belongs to a module's state but is not trained, such as the
/// running mean of batch normalisation.
///
/// Modules do not change while they run: a layer records a new value in the
/// [`Ctx`](crate::Ctx), and the training loop applies it. A clone is a buffer
/// of its own.
#[derive(Debug)]
pub struct Buffer {
    tensor: Tensor,
    key: Arc<()>,
    frozen: bool,
    integer: bool,
}

impl Buffer {
    /// A buffer with these numbers.
    pub fn new(data: Tensor) -> Self {
        Self { tensor: data.detach(), key: Arc::new(()), frozen: false, integer: false }
    }

    /// A buffer of whole numbers: saved as 64-bit integers, as PyTorch does.
    /// Exact up to 2²⁴.
    pub fn integer(data: Tensor) -> Self {
        Self { integer: true, ..Self::new(data) }
    }

    /// The numbers.
    #[inline]
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether it is saved as 64-bit integers.
    pub fn is_integer(&self) -> bool {
        self.integer
    }

    /// Whether training leaves it as it is.
    #[inline]
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Freezes or releases it.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Replaces the numbers.
    ///
    /// # Errors
    /// The shape differs.
    pub fn set_data(&mut self, data: &Tensor) -> Result<()> {
        self.tensor = self.tensor.with_data(&data.detach())?;
        Ok(())
    }

    /// What tells this buffer from all others.
    pub(crate) fn key(&self) -> &Arc<()> {
        &self.key
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self { tensor: self.tensor.clone(), key: Arc::new(()), ..*self }
    }
}

impl Module for Buffer {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        v.buffer(self);
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        v.buffer(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_has_a_gradient_of_its_own() {
        let a = Param::new(Tensor::scalar(2.0));
        let (b, c) = (a.clone(), a.tied());
        let loss = a.tensor().mul(b.tensor()).unwrap().mul(c.tensor()).unwrap();
        let grads = loss.backward().unwrap();
        assert_eq!(grads.get(a.tensor()).unwrap().item().unwrap(), 8.0);
        assert_eq!(grads.get(b.tensor()).unwrap().item().unwrap(), 4.0);
        assert!(a.tensor().same_variable(c.tensor()));
    }

    #[test]
    fn changes_do_not_reach_clones_or_graphs() {
        let mut a = Param::new(Tensor::scalar(2.0));
        let b = a.clone();
        let loss = a.tensor().square();
        a.update(|x| x[0] = 5.0);
        assert_eq!(b.tensor().item().unwrap(), 2.0);
        assert_eq!(loss.backward().unwrap().get(a.tensor()).unwrap().item().unwrap(), 4.0);
    }

    #[test]
    fn frozen_is_not_tracked() {
        let mut a = Param::new(Tensor::scalar(2.0));
        a.set_frozen(true);
        assert!(!a.tensor().is_tracked() && !a.clone().tensor().is_tracked());
        a.set_frozen(false);
        assert!(a.tensor().is_tracked());
    }
}
