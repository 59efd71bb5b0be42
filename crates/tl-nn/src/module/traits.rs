//! The module trait and its visitors.

use super::param::{Buffer, Param};
use crate::{Ctx, Result};
use tl_tensor::Tensor;

/// A model or a part of one: a plain value that can show its parameters and
/// buffers.
///
/// Implement it with [`module!`](crate::module), which names every field; a
/// forgotten one does not compile.
pub trait Module: Clone + Send + Sync {
    /// Shows every parameter and buffer, in order of declaration.
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>);

    /// Shows every parameter and buffer for changing, in the same order.
    fn visit_mut(&mut self, v: &mut dyn VisitMut);
}

/// Sees the parameters and buffers of a module.
pub trait Visit<'a> {
    /// A part named `name` begins.
    fn enter(&mut self, name: &str);
    /// The part that began last ends.
    fn leave(&mut self);
    /// A parameter, at the path entered.
    fn param(&mut self, param: &'a Param);
    /// A buffer, at the path entered.
    fn buffer(&mut self, buffer: &'a Buffer);
}

/// Sees the parameters and buffers of a module and may change them.
pub trait VisitMut {
    /// A part named `name` begins.
    fn enter(&mut self, name: &str);
    /// The part that began last ends.
    fn leave(&mut self);
    /// A parameter, at the path entered.
    fn param(&mut self, param: &mut Param);
    /// A buffer, at the path entered.
    fn buffer(&mut self, buffer: &mut Buffer);
}

/// A module that takes one tensor to another.
pub trait Forward: Module {
    /// The output for `x`. Mode, randomness and statistics are in `cx`.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor>;
}

/// An encoder that takes samples apart into tokens and can work on some of them:
/// what pre-training by hiding tokens needs.
pub trait TokenEncoder: Module {
    /// The tokens of samples with their positions, `[n, l, d]`, without a class
    /// token.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn tokens(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor>;

    /// Encodes tokens `[n, k, d]`, all or some, to the same shape. A class token
    /// joins in and is taken off again.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn encode(&self, tokens: &Tensor, cx: &mut Ctx) -> Result<Tensor>;

    /// The parameters that [`encode`](Self::encode) does not use, as a path glob.
    fn unused(&self) -> Option<&'static str> {
        None
    }
}

impl<M: Module> Module for Option<M> {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        if let Some(inner) = self {
            inner.visit(v);
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        if let Some(inner) = self {
            inner.visit_mut(v);
        }
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        for (i, inner) in self.iter().enumerate() {
            v.enter(&i.to_string());
            inner.visit(v);
            v.leave();
        }
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        for (i, inner) in self.iter_mut().enumerate() {
            v.enter(&i.to_string());
            inner.visit_mut(v);
            v.leave();
        }
    }
}

impl<M: Module> Module for Box<M> {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.as_ref().visit(v);
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        self.as_mut().visit_mut(v);
    }
}
