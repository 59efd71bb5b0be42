//! Gradients of a loss with respect to all its variables.

use super::{
    engine::{AnyTensor, Pass, run},
    grad::single,
    graph::{Addresses, Graph, key},
    node::NodeRef,
};
use crate::{Elem, Error, Result, Tensor};

/// The gradients of all variables that a loss depends on.
///
/// Holds the graph's variables, so an address is never used twice.
#[derive(Default)]
pub struct Gradients {
    by_node: Addresses<(NodeRef, AnyTensor)>,
}

impl Gradients {
    /// The gradient of variable `x`; none if the loss does not depend on it.
    pub fn get<E: Elem>(&self, x: &Tensor<E>) -> Option<&Tensor<E>> {
        let node = x.node.as_ref()?;
        self.by_node.get(&key(node)).and_then(|(_, g)| E::peek(g))
    }

    /// Takes the gradient of variable `x` out.
    pub fn remove<E: Elem>(&mut self, x: &Tensor<E>) -> Option<Tensor<E>> {
        let node = x.node.as_ref()?;
        let (node, gradient) = self.by_node.remove(&key(node))?;
        match E::unwrap(gradient) {
            Some(gradient) => Some(gradient),
            None => {
                drop(node);
                None
            }
        }
    }

    /// Sets the gradient of variable `x`, as clipping or balancing do. Without
    /// effect on a tensor that is not tracked.
    pub fn insert<E: Elem>(&mut self, x: &Tensor<E>, gradient: Tensor<E>) {
        if let Some(node) = &x.node {
            self.by_node.insert(key(node), (node.clone(), E::wrap(gradient)));
        }
    }

    /// The number of variables.
    pub fn len(&self) -> usize {
        self.by_node.len()
    }

    /// Whether no variable was reached.
    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }
}

impl<E: Elem> Tensor<E> {
    /// The gradients of this single number with respect to all variables
    /// (tensors made with [`requires_grad`](Self::requires_grad)) that went
    /// into it.
    ///
    /// # Errors
    /// Not a single number, or not tracked.
    pub fn backward(&self) -> Result<Gradients> {
        single("backward", self)?;
        let root = self.node.as_ref().ok_or(Error::Untracked { op: "backward" })?;
        let seed = E::wrap(Self::ones(self.shape()));
        let graph = Graph::below(root, 0, &[]);
        let (graph, mut slots) =
            run("backward", graph, seed, None, Pass { create_graph: false, products: false })?;
        let mut gradients = Gradients::default();
        for (p, &node) in graph.nodes.iter().enumerate() {
            if node.parents.is_empty()
                && let Some(gradient) = slots.slots[p].take()
            {
                gradients.by_node.insert(key(node), (node.clone(), gradient));
            }
        }
        Ok(gradients)
    }
}
