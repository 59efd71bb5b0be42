//! Nodes of the graph.
//!
//! They are counted without weak references: a count less to write for every
//! node that is made, met or dropped.

use super::vjp::{Step, Vjp};
use crate::{Elem, Error, Result};
use smallvec::SmallVec;
use std::{marker::PhantomData, mem};
use triomphe::{Arc, UniqueArc};
use unsize::{CoerceUnsize, Coercion};

/// A differentiable operation: its name and its vector-Jacobian product.
///
/// The rule is written once, in tensor operations that are differentiable
/// themselves. In a plain backward pass it gets detached tensors and records
/// nothing; with `create_graph` it gets tracked ones, and the gradient has a
/// gradient.
///
/// An operation keeps what its rule needs as [`Value`](crate::Value)s and
/// turns them into tensors with [`Vjp::input`] and [`Vjp::output`].
///
/// # Your own operation
/// `y = x³` with the rule `gx = 3 x² g`:
/// ```
/// use tl_tensor::{Elem, Op, Result, Tensor, Value, Vjp, GradOptions, grad};
///
/// struct Cube<E: Elem> { x: Value<E> }
///
/// impl<E: Elem> Op<E> for Cube<E> {
///     fn name(&self) -> &'static str { "cube" }
///     fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
///         let x = cx.input(0, &self.x);
///         cx.give(0, || x.square().mul_scalar(E::from_f64(3.0)).mul(&g))
///     }
/// }
///
/// fn cube(x: &Tensor) -> Result<Tensor> {
///     let numbers: Vec<f32> = x.to_vec().iter().map(|x| x * x * x).collect();
///     let y = Tensor::from_vec(numbers, x.shape())?;
///     Ok(Tensor::from_op(y.into_value(), &[x], || Cube { x: x.value().clone() }))
/// }
///
/// # fn main() -> Result<()> {
/// let x = Tensor::scalar(2.0_f32).requires_grad();
/// let y = cube(&x)?;
/// let first = grad(&y, &[&x], GradOptions::new().create_graph(true))?;
/// assert_eq!(first[0].item()?, 12.0);
/// let second = grad(&first[0], &[&x], GradOptions::new())?;
/// assert_eq!(second[0].item()?, 12.0);
/// # Ok(())
/// # }
/// ```
pub trait Op<E: Elem>: Send + Sync + 'static {
    /// The operation's name, for error messages.
    fn name(&self) -> &'static str;

    /// Takes `g`, the gradient of the output (of the output's shape), back to
    /// the inputs: hands each its gradient with [`Vjp::give`].
    ///
    /// # Errors
    /// Those of the operations in the rule.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()>;
}

use crate::Tensor;

/// An operation with its element type erased.
pub(crate) trait AnyOp: Send + Sync {
    fn name(&self) -> &'static str;
    /// Takes the gradient of the output back, if there is one.
    fn vjp(&self, step: &mut Step<'_>) -> Result<()>;
}

/// An operation on `E`.
struct Typed<E, O>(O, PhantomData<fn() -> E>);

impl<E: Elem, O: Op<E>> AnyOp for Typed<E, O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn vjp(&self, step: &mut Step<'_>) -> Result<()> {
        let slot = &mut step.slots.slots[step.at];
        let gradient = if step.keep { slot.clone() } else { slot.take() };
        let Some(gradient) = gradient else { return Ok(()) };
        let Some(g) = E::unwrap(gradient) else { return Err(mistyped(self.0.name(), E::NAME)) };
        self.0.vjp(&mut Vjp::new(step), g)
    }
}

#[cold]
fn mistyped(op: &'static str, expected: &str) -> Error {
    Error::Rule { op, problem: format!("got a gradient that is not {expected}") }
}

/// A variable that the user made.
struct Leaf;

impl AnyOp for Leaf {
    fn name(&self) -> &'static str {
        "leaf"
    }

    fn vjp(&self, _: &mut Step<'_>) -> Result<()> {
        Ok(())
    }
}

pub(crate) type NodeRef = Arc<Node>;
pub(crate) type Parents = SmallVec<[Option<NodeRef>; 3]>;

/// A tracked result: its operation and where its inputs came from.
pub(crate) struct Node<O: ?Sized = dyn AnyOp> {
    /// Larger than that of every parent, so descending order is a valid
    /// order for the backward pass.
    pub(crate) order: u32,
    pub(crate) parents: Parents,
    pub(crate) op: O,
}

impl<O: ?Sized> Drop for Node<O> {
    /// Drops long chains in a loop: the default would recurse once a node and
    /// overflow the stack.
    fn drop(&mut self) {
        let mut loose = mem::take(&mut self.parents);
        while let Some(parent) = loose.pop() {
            if let Some(mut parent) = parent
                && let Some(node) = Arc::get_mut(&mut parent)
            {
                for above in &mut node.parents {
                    if above.is_some() {
                        loose.push(above.take());
                    }
                }
            }
        }
    }
}

pub(crate) fn new_leaf() -> NodeRef {
    erased(UniqueArc::new(Node { order: 0, parents: Parents::new(), op: Leaf }))
}

/// A node whose operation's type is erased.
#[allow(unsafe_code)]
fn erased<O: AnyOp + 'static>(node: UniqueArc<Node<O>>) -> NodeRef {
    // SAFETY: the function does nothing but widen the pointer.
    let widen = unsafe { Coercion::new(|node: *const Node<O>| node as *const Node) };
    node.shareable().unsize(widen)
}

/// A node for an operation of these inputs, if one of them is tracked.
pub(crate) fn record<'a, E: Elem, O: Op<E>>(
    inputs: impl Iterator<Item = Option<&'a NodeRef>> + Clone,
    op: impl FnOnce() -> O,
) -> Option<NodeRef> {
    let order = inputs.clone().flatten().map(|n| n.order).max()?;
    let op = Typed(op(), PhantomData::<fn() -> E>);
    let mut node = UniqueArc::new(Node { order: order + 1, parents: Parents::new(), op });
    for parent in inputs {
        node.parents.push(parent.cloned());
    }
    Some(erased(node))
}
