//! Layers one after another, and around.

use crate::{Ctx, Forward, Module, Result, Visit, VisitMut, module};
use std::any::Any;
use tl_tensor::Tensor;

/// Any layer, behind a pointer. Every [`Forward`] is one.
pub trait Layer: Send + Sync {
    /// As [`Forward::forward`].
    ///
    /// # Errors
    /// As [`Forward::forward`].
    fn run(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor>;
    /// As [`Module::visit`].
    fn show<'a>(&'a self, v: &mut dyn Visit<'a>);
    /// As [`Module::visit_mut`].
    fn show_mut(&mut self, v: &mut dyn VisitMut);
    /// A copy.
    fn boxed(&self) -> Box<dyn Layer>;
    /// The layer itself, to ask what it is: `as_any().downcast_ref::<Linear>()`.
    fn as_any(&self) -> &dyn Any;
}

impl<F: Forward + 'static> Layer for F {
    fn run(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        self.forward(x, cx)
    }
    fn show<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.visit(v);
    }
    fn show_mut(&mut self, v: &mut dyn VisitMut) {
        self.visit_mut(v);
    }
    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Layers one after another. Their names, which are part of the paths, are
/// 0, 1, 2, .. or given.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{Act, Ctx, Forward, Linear, ModuleExt, Sequential};
/// use tl_tensor::Tensor;
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let net = Sequential::new()
///     .push(Linear::new(4, 8, &mut rng))
///     .push(Act::Relu)
///     .named("head", Linear::new(8, 3, &mut rng));
/// assert_eq!(net.forward(&Tensor::zeros([2, 4]), &mut Ctx::eval())?.dims(), [2, 3]);
/// assert_eq!(net.params()[2].0, "head.weight");
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<(String, Box<dyn Layer>)>,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer, named by its place.
    #[must_use]
    pub fn push(self, layer: impl Forward + 'static) -> Self {
        let name = self.layers.len().to_string();
        self.named(&name, layer)
    }

    /// Adds a layer under a name.
    #[must_use]
    pub fn named(mut self, name: &str, layer: impl Forward + 'static) -> Self {
        self.layers.push((name.to_owned(), Box::new(layer)));
        self
    }

    /// Adds a layer that is behind a pointer already, such as a copy of one of
    /// [`layers`](Self::layers).
    #[must_use]
    pub fn boxed(mut self, name: &str, layer: Box<dyn Layer>) -> Self {
        self.layers.push((name.to_owned(), layer));
        self
    }

    /// Puts another layer in the place of the one of this name: a new head.
    /// Returns whether there was one.
    pub fn replace(&mut self, name: &str, layer: impl Forward + 'static) -> bool {
        match self.layers.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => {
                slot.1 = Box::new(layer);
                true
            }
            None => false,
        }
    }

    /// The layers with their names, in order: for those who have to know what a
    /// network is made of, such as a compiler to integers.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.layers.iter().map(|(name, layer)| (name.as_str(), layer.as_ref()))
    }

    /// The layer of this name, if it is of this type.
    pub fn get<L: Forward + 'static>(&self, name: &str) -> Option<&L> {
        self.layers().find(|(n, _)| *n == name).and_then(|(_, l)| l.as_any().downcast_ref())
    }

    /// The number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl Clone for Sequential {
    fn clone(&self) -> Self {
        Self { layers: self.layers.iter().map(|(n, l)| (n.clone(), l.boxed())).collect() }
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|(n, _)| n)).finish()
    }
}

impl Module for Sequential {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        for (name, layer) in &self.layers {
            v.enter(name);
            layer.show(v);
            v.leave();
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        for (name, layer) in &mut self.layers {
            v.enter(name);
            layer.show_mut(v);
            v.leave();
        }
    }
}

impl Forward for Sequential {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let mut x = x.clone();
        for (name, layer) in &self.layers {
            x = cx.within(name, |cx| layer.run(&x, cx))?;
        }
        Ok(x)
    }
}

/// `x + inner(x)`.
#[derive(Clone, Debug)]
pub struct Residual<M: Forward> {
    /// The branch.
    pub inner: M,
}
module!(impl<M: Forward> Residual<M> { inner });

impl<M: Forward> Forward for Residual<M> {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        Ok(x.add(&self.inner.forward(x, cx)?)?)
    }
}
