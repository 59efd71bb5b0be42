//! The tensor: a value and, if it is tracked, its place in the graph.

use crate::{
    Elem, Error, Result, Shape, Value,
    autograd::{NodeRef, Op, new_leaf, record},
    kernel::reduce,
};
use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};

/// An immutable array of up to [`MAX_RANK`](crate::MAX_RANK) dimensions, with
/// automatic differentiation.
///
/// A clone shares storage and graph. A tensor is *tracked* if and only if it
/// was made with [`requires_grad`](Self::requires_grad) or a tracked tensor
/// went into it: there is no global switch, so work that moves to another
/// thread records just the same.
///
/// ```
/// use tl_tensor::Tensor;
/// # fn main() -> tl_tensor::Result<()> {
/// let x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0], 3)?.requires_grad();
/// let y = x.square().sum_all();
/// let gradients = y.backward()?;
/// assert_eq!(gradients.get(&x).unwrap().to_vec(), [2.0, 4.0, 6.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tensor<E: Elem = f32> {
    pub(crate) value: Value<E>,
    pub(crate) node: Option<NodeRef>,
}

impl<E: Elem> Tensor<E> {
    /// A tensor without history.
    pub(crate) fn constant(value: Value<E>) -> Self {
        Self { value, node: None }
    }

    /// The result of an operation: `value`, computed from `inputs`. If one of
    /// these is tracked, so is the result, and `op` gives the rule that takes
    /// its gradient back. See [`Op`] for an example.
    pub fn from_op<O: Op<E>>(value: Value<E>, inputs: &[&Self], op: impl FnOnce() -> O) -> Self {
        let node = record::<E, O>(inputs.iter().map(|t| t.node.as_ref()), op);
        Self { value, node }
    }

    /// The numbers without the history.
    #[inline]
    pub fn value(&self) -> &Value<E> {
        &self.value
    }

    /// The numbers without the history; takes over the storage.
    pub fn into_value(self) -> Value<E> {
        self.value
    }

    /// The sizes of the dimensions.
    #[inline]
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The sizes of the dimensions as a slice.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        self.value.shape().dims()
    }

    /// The number of dimensions.
    #[inline]
    pub fn rank(&self) -> usize {
        self.shape().rank()
    }

    /// The number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.value.numel()
    }

    /// The size of one axis; negative ones count from the end.
    ///
    /// # Errors
    /// The axis is outside of the shape.
    pub fn size(&self, axis: isize) -> Result<usize> {
        Ok(self.dims()[self.shape().axis("size", axis)?])
    }

    /// All elements in row-major order.
    pub fn to_vec(&self) -> Vec<E> {
        self.value.to_vec()
    }

    /// The only element.
    ///
    /// # Errors
    /// The tensor has none or several elements.
    pub fn item(&self) -> Result<E> {
        if self.numel() == 1 {
            Ok(self.value.raw()[0])
        } else {
            Err(Error::shape("item", self.shape(), "a single element"))
        }
    }

    /// Whether the elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        self.value.is_contiguous()
    }

    /// Whether every element is neither NaN nor infinite.
    pub fn is_finite(&self) -> bool {
        let value = self.value.contiguous();
        reduce::all_finite(&value.raw()[..value.numel()])
    }

    /// A new variable with these numbers: gradients can be asked for it.
    ///
    /// It is a leaf of the graph; a history that `self` may have is left behind.
    pub fn requires_grad(&self) -> Self {
        Self { value: self.value.clone(), node: Some(new_leaf()) }
    }

    /// Whether gradients flow through this tensor.
    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.node.is_some()
    }

    /// Whether this is a variable, made with
    /// [`requires_grad`](Self::requires_grad), and not a result.
    pub fn is_leaf(&self) -> bool {
        self.node.as_ref().is_some_and(|n| n.parents.is_empty())
    }

    /// The same numbers without history: a constant (stop-gradient).
    pub fn detach(&self) -> Self {
        Self::constant(self.value.clone())
    }

    /// Whether both are the same variable or result: gradients asked for one
    /// are those of the other.
    pub fn same_variable(&self, other: &Self) -> bool {
        match (&self.node, &other.node) {
            (Some(a), Some(b)) => NodeRef::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The same variable with new numbers of the same shape, as an optimiser
    /// step makes. Graphs made before keep the old ones.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn with_data(&self, data: &Self) -> Result<Self> {
        if self.shape() != data.shape() {
            return Err(Error::shapes("with_data", self.shape(), data.shape(), "equal shapes"));
        }
        Ok(Self { value: data.value.clone(), node: self.node.clone() })
    }

    /// Lets `change` write the elements in row-major order. Storage that
    /// something else holds (a graph, a clone) is copied first, so no one sees
    /// the change but this tensor. For optimisers: the history is kept as it is.
    pub fn update_in_place(&mut self, change: impl FnOnce(&mut [E])) {
        change(self.value.make_mut());
    }

    /// As [`update_in_place`](Self::update_in_place), for a change that can read the old
    /// numbers in one place and write the new ones in another: `change(old, new)` gets
    /// `Some(old)` where the storage is shared, and must then write all of `new`; without
    /// `old`, `new` holds the numbers. That spares a pass over large tensors.
    pub fn update_from(&mut self, change: impl FnOnce(Option<&[E]>, &mut [E])) {
        if let Some(own) = self.value.unique_mut() {
            return change(None, own);
        }
        let old = self.value.contiguous();
        let old = &old.raw()[..self.numel()];
        self.value = Value::build(*self.shape(), |new| change(Some(old), new));
    }
}

/// No one sees a tensor half changed: what others hold is never written.
impl<E: Elem> UnwindSafe for Tensor<E> {}
impl<E: Elem> RefUnwindSafe for Tensor<E> {}

impl<E: Elem> fmt::Debug for Tensor<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "Tensor<{}>{} ", E::NAME, self.shape())?;
        let all = self.to_vec();
        if all.len() <= SHOWN {
            write!(f, "{all:?}")?;
        } else {
            let head: Vec<String> = all[..SHOWN].iter().map(|x| format!("{x:?}")).collect();
            write!(f, "[{}, ..]", head.join(", "))?;
        }
        if self.is_tracked() { write!(f, " tracked") } else { Ok(()) }
    }
}
