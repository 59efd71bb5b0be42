//! What a derivative rule sees of the backward pass.

use super::{
    engine::{AnyTensor, Pass, run},
    graph::{Graph, NOWHERE, key},
    node::NodeRef,
};
use crate::{Elem, Error, Result, Tensor, Value};
use std::marker::PhantomData;

/// The gradients that are under way.
pub(super) struct Slots {
    pub(super) slots: Vec<Option<AnyTensor>>,
    /// Whether a gradient at this position leads to something asked for.
    pub(super) needed: Vec<bool>,
    pub(super) create_graph: bool,
    /// In a pass that keeps products: for each position of a variable the
    /// factors `g` and `x` of what it got as `gᵀ x`.
    pub(super) products: Option<Vec<Vec<(AnyTensor, AnyTensor)>>>,
}

/// One node's turn in the backward pass.
pub(crate) struct Step<'a> {
    pub(super) node: &'a NodeRef,
    pub(super) parents: &'a [u32],
    /// Where the node's own gradient is, and whether it stays there.
    pub(super) at: usize,
    pub(super) keep: bool,
    pub(super) slots: &'a mut Slots,
}

/// What a derivative rule sees of the backward pass: its inputs, its output,
/// and where gradients go. See [`Op`](crate::Op).
pub struct Vjp<'a, E: Elem> {
    node: &'a NodeRef,
    parents: &'a [u32],
    slots: &'a mut Slots,
    elem: PhantomData<fn() -> E>,
}

impl<'a, E: Elem> Vjp<'a, E> {
    #[inline]
    pub(crate) fn new(step: &'a mut Step<'_>) -> Self {
        Self { node: step.node, parents: step.parents, slots: step.slots, elem: PhantomData }
    }

    /// Whether the gradients are to have gradients. A fused kernel that is not
    /// differentiable itself may be used only if this is false.
    #[inline]
    pub fn create_graph(&self) -> bool {
        self.slots.create_graph
    }

    /// Whether input `i` needs a gradient.
    #[inline]
    pub fn needs(&self, i: usize) -> bool {
        self.parents.get(i).is_some_and(|&p| p != NOWHERE && self.slots.needed[p as usize])
    }

    /// Input `i`, whose numbers the operation saved; tracked if gradients are
    /// to have gradients.
    #[inline]
    pub fn input(&self, i: usize, saved: &Value<E>) -> Tensor<E> {
        let node = if self.slots.create_graph { self.node.parents[i].clone() } else { None };
        Tensor { value: saved.clone(), node }
    }

    /// The output, whose numbers the operation saved; tracked if gradients are
    /// to have gradients.
    #[inline]
    pub fn output(&self, saved: &Value<E>) -> Tensor<E> {
        let node = self.slots.create_graph.then(|| self.node.clone());
        Tensor { value: saved.clone(), node }
    }

    /// Gives input `i` its gradient. `gradient` runs only if it is needed.
    ///
    /// # Errors
    /// Those of `gradient`; and [`Error::Rule`] if the input got a gradient
    /// before whose shape is another.
    #[inline]
    pub fn give(&mut self, i: usize, gradient: impl FnOnce() -> Result<Tensor<E>>) -> Result<()> {
        self.give_as(i, gradient)
    }

    /// [`give`](Self::give) for an input of another element type.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    #[inline]
    pub fn give_as<F: Elem>(
        &mut self,
        i: usize,
        gradient: impl FnOnce() -> Result<Tensor<F>>,
    ) -> Result<()> {
        if !self.needs(i) {
            return Ok(());
        }
        let more = gradient()?;
        let slot = &mut self.slots.slots[self.parents[i] as usize];
        match slot {
            None => *slot = Some(F::wrap(more)),
            Some(_) => give_more(slot, &more, self.node, i)?,
        }
        Ok(())
    }

    /// Gives input `i`, a matrix `[out, in]`, the gradient `gᵀ x` with `g`
    /// `[m, out]` and `x` `[m, in]`. A pass that keeps products
    /// ([`Tensor::backward_factored`]) gets the two as they are if the input
    /// is a variable; any other gets their product.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    pub fn give_product(&mut self, i: usize, g: &Tensor<E>, x: &Tensor<E>) -> Result<()> {
        if !self.needs(i) {
            return Ok(());
        }
        let position = self.parents[i] as usize;
        let variable = self.node.parents[i].as_ref().is_some_and(|p| p.parents.is_empty());
        match &mut self.slots.products {
            Some(products) if variable => {
                products[position].push((E::wrap(g.clone()), E::wrap(x.clone())));
                Ok(())
            }
            _ => self.give(i, || g.t()?.matmul(x)),
        }
    }

    /// The gradients of a fused operation from `forward`, the same formula in
    /// plain tensor operations, differentiated with its graph kept. For the
    /// `create_graph` pass of operations whose rule is a kernel.
    ///
    /// `saved` are the inputs; `forward` gets them in the same order.
    ///
    /// # Errors
    /// Those of `forward` and its rules.
    pub fn composite(
        &mut self,
        saved: &[&Value<E>],
        g: &Tensor<E>,
        forward: impl FnOnce(&[Tensor<E>]) -> Result<Tensor<E>>,
    ) -> Result<()> {
        // An alias has its input's numbers but a node of its own, at which
        // the inner pass stops: it does not walk the outer graph.
        let inputs: Vec<Tensor<E>> =
            saved.iter().enumerate().map(|(i, v)| self.input(i, v).alias()).collect();
        let wanted: Vec<usize> =
            (0..inputs.len()).filter(|&i| self.needs(i) && inputs[i].is_tracked()).collect();
        let y = forward(&inputs)?;
        let Some(root) = &y.node else { return Ok(()) };
        let cut: Vec<&NodeRef> = inputs.iter().filter_map(|t| t.node.as_ref()).collect();
        let graph = Graph::below(root, 0, &cut);
        let nodes: Vec<&NodeRef> = wanted
            .iter()
            .filter_map(|&i| inputs[i].node.as_ref())
            .filter(|n| graph.at.contains_key(&key(n)))
            .collect();
        let pass = Pass { create_graph: true, products: false };
        let (graph, slots) = run("composite", graph, E::wrap(g.clone()), Some(&nodes), pass)?;
        for i in wanted {
            let found = inputs[i]
                .node
                .as_ref()
                .and_then(|n| graph.at.get(&key(n)))
                .and_then(|&p| slots.slots[p as usize].as_ref())
                .and_then(E::peek);
            if let Some(gradient) = found {
                self.give(i, || Ok(gradient.clone()))?;
            }
        }
        Ok(())
    }
}

/// Adds `more`, the gradient of input `i` of `node`, to what the slot has.
#[inline(never)]
fn give_more<E: Elem>(
    slot: &mut Option<AnyTensor>,
    more: &Tensor<E>,
    node: &NodeRef,
    i: usize,
) -> Result<()> {
    match slot.take().and_then(E::unwrap) {
        Some(sum) if sum.shape() == more.shape() => {
            *slot = Some(E::wrap(accumulate(sum, more)?));
            Ok(())
        }
        _ => Err(Error::Rule {
            op: node.op.name(),
            problem: format!(
                "gives input {i} a gradient of shape {}, which is not the input's",
                more.shape()
            ),
        }),
    }
}

/// `sum + more`; into the storage of `sum` if no one else holds it.
fn accumulate<E: Elem>(mut sum: Tensor<E>, more: &Tensor<E>) -> Result<Tensor<E>> {
    if sum.node.is_none()
        && more.node.is_none()
        && let Some(more) = more.value.as_slice()
        && let Some(into) = sum.value.unique_mut()
    {
        crate::kernel::map::add_into(into, more);
        return Ok(sum);
    }
    sum.add(more)
}
