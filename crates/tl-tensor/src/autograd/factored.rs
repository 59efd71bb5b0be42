//! Gradients of weights as products that are not multiplied out.

use super::{
    engine::{AnyTensor, Pass, run},
    grad::single,
    graph::{Addresses, Graph, key},
    node::NodeRef,
};
use crate::{Elem, Error, Result, Tensor};

/// The gradient of a variable as the sum of `gᵀ x` over `products` and of
/// `whole`. The weight `[out, in]` of a linear layer gets a product for each
/// use: `g` `[m, out]` is the gradient of its output, `x` `[m, in]` its input.
///
/// Inner products of two such gradients need no `[out, in]` matrix:
/// `⟨gᵀx, hᵀx⟩ = ⟨x xᵀ g, h⟩`, which is cheaper where `m < in`.
#[derive(Clone, Debug)]
pub struct FactoredGradient<E: Elem = f32> {
    /// Pairs of `g` and `x`.
    pub products: Vec<(Tensor<E>, Tensor<E>)>,
    /// What came as a whole.
    pub whole: Option<Tensor<E>>,
}

impl<E: Elem> FactoredGradient<E> {
    /// The gradient, multiplied out.
    ///
    /// # Errors
    /// Nothing in it; factors of other shapes than those of one variable.
    pub fn dense(self) -> Result<Tensor<E>> {
        let mut sum = self.whole;
        for (g, x) in &self.products {
            let product = g.t()?.matmul(x)?;
            sum = Some(match sum {
                Some(sum) => sum.add(&product)?,
                None => product,
            });
        }
        sum.ok_or(Error::Untracked { op: "dense" })
    }
}

/// What a variable got: its factors and the rest.
type Got = (NodeRef, Vec<(AnyTensor, AnyTensor)>, Option<AnyTensor>);

/// The gradients of all variables that a loss depends on, those of weights as
/// products.
#[derive(Default)]
pub struct FactoredGradients {
    by_node: Addresses<Got>,
}

impl FactoredGradients {
    /// Takes the gradient of variable `x` out; none if the loss does not
    /// depend on it.
    pub fn remove<E: Elem>(&mut self, x: &Tensor<E>) -> Option<FactoredGradient<E>> {
        let node = x.node.as_ref()?;
        let (_held, products, whole) = self.by_node.remove(&key(node))?;
        let products = products
            .into_iter()
            .filter_map(|(g, x)| Some((E::unwrap(g)?, E::unwrap(x)?)))
            .collect();
        Some(FactoredGradient { products, whole: whole.and_then(E::unwrap) })
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
    /// [`backward`](Self::backward), but the gradients of linear layers'
    /// weights stay products: for balancing several losses, where only inner
    /// products of their gradients and one weighted sum are wanted.
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let x = Tensor::<f32>::ones([4, 3]);
    /// let w = Tensor::ones([2, 3]).requires_grad();
    /// let loss = x.linear(&w, None)?.sum_all();
    /// let factored = loss.backward_factored()?.remove(&w).unwrap();
    /// assert_eq!(factored.products[0].0.dims(), [4, 2]);
    /// assert_eq!(factored.dense()?.to_vec(), loss.backward()?.get(&w).unwrap().to_vec());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Not a single number, or not tracked.
    pub fn backward_factored(&self) -> Result<FactoredGradients> {
        single("backward", self)?;
        let root = self.node.as_ref().ok_or(Error::Untracked { op: "backward" })?;
        let seed = E::wrap(Self::ones(self.shape()));
        let pass = Pass { create_graph: false, products: true };
        let (graph, mut slots) = run("backward", Graph::below(root, 0, &[]), seed, None, pass)?;
        let mut products = slots.products.take().unwrap_or_default();
        let mut gradients = FactoredGradients::default();
        for (p, &node) in graph.nodes.iter().enumerate() {
            if !node.parents.is_empty() {
                continue;
            }
            let (whole, factors) = (slots.slots[p].take(), std::mem::take(&mut products[p]));
            if whole.is_some() || !factors.is_empty() {
                gradients.by_node.insert(key(node), (node.clone(), factors, whole));
            }
        }
        Ok(gradients)
    }
}
