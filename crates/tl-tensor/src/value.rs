//! The numbers of a tensor, without its history.

use crate::{Elem, Result, Shape, buffer::Buffer, kernel, shape::MAX_RANK};
use std::sync::Arc;

/// A strided view of shared storage: the numbers of a tensor without the
/// record of where they came from. Cheap to clone.
///
/// Operations save values, never tensors, for their derivative rules; so an
/// operation that saves its own output makes no reference cycle.
#[derive(Clone)]
pub struct Value<E: Elem = f32> {
    buffer: Arc<Buffer<E>>,
    offset: usize,
    shape: Shape,
    strides: [usize; MAX_RANK],
}

impl<E: Elem> Value<E> {
    /// A value that owns a whole row-major buffer of as many elements as `shape` has.
    pub(crate) fn owned(buffer: Buffer<E>, shape: Shape) -> Self {
        debug_assert_eq!(buffer.as_slice().len(), shape.numel());
        Self { buffer: Arc::new(buffer), offset: 0, shape, strides: shape.strides() }
    }

    /// A new row-major value whose elements `fill` writes. Before that they
    /// have any value.
    pub(crate) fn build(shape: Shape, fill: impl FnOnce(&mut [E])) -> Self {
        let mut buffer = Buffer::scratch(shape.numel());
        fill(buffer.as_mut_slice());
        Self::owned(buffer, shape)
    }

    /// As [`build`](Self::build), beginning with zeros.
    pub(crate) fn build_zeroed(shape: Shape, fill: impl FnOnce(&mut [E])) -> Self {
        Self::build(shape, |out| {
            out.fill(E::ZERO);
            fill(out);
        })
    }

    /// A new value from row-major data.
    pub(crate) fn from_slice(data: &[E], shape: Shape) -> Self {
        debug_assert_eq!(data.len(), shape.numel());
        Self::owned(Buffer::copied(data), shape)
    }

    /// The shape.
    #[inline]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The steps in elements from one entry to the next, axis by axis.
    #[inline]
    pub fn strides(&self) -> &[usize] {
        &self.strides[..self.shape.rank()]
    }

    /// The number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// Whether the elements are in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for axis in (0..self.shape.rank()).rev() {
            let size = self.shape[axis];
            if size == 0 {
                return true;
            }
            if size != 1 && self.strides[axis] != step {
                return false;
            }
            step *= size;
        }
        true
    }

    /// The elements in row-major order, if they lie so.
    #[inline]
    pub fn as_slice(&self) -> Option<&[E]> {
        self.is_contiguous().then(|| &self.raw()[..self.numel()])
    }

    /// All storage from the first element on.
    #[inline]
    pub(crate) fn raw(&self) -> &[E] {
        &self.buffer.as_slice()[self.offset..]
    }

    /// The elements for writing, if no one else holds this storage.
    pub(crate) fn unique_mut(&mut self) -> Option<&mut [E]> {
        if !self.is_contiguous() {
            return None;
        }
        let (from, count) = (self.offset, self.numel());
        Some(&mut Arc::get_mut(&mut self.buffer)?.as_mut_slice()[from..from + count])
    }

    /// The elements for writing; copied first if someone else holds them.
    pub(crate) fn make_mut(&mut self) -> &mut [E] {
        if !self.is_contiguous() || Arc::get_mut(&mut self.buffer).is_none() {
            *self = kernel::copy::packed(self);
        }
        let (from, count) = (self.offset, self.numel());
        // The copy above is held by `self` alone; `make_mut` of `Arc` would
        // want a clone of the buffer, which is never needed here.
        match Arc::get_mut(&mut self.buffer) {
            Some(buffer) => &mut buffer.as_mut_slice()[from..from + count],
            None => &mut [],
        }
    }

    /// This value in row-major order: itself if it is so already.
    pub(crate) fn contiguous(&self) -> Self {
        if self.is_contiguous() { self.clone() } else { kernel::copy::packed(self) }
    }

    /// Another view of the same storage. The caller answers for its bounds.
    pub(crate) fn view(&self, offset: usize, shape: Shape, strides: [usize; MAX_RANK]) -> Self {
        Self { buffer: self.buffer.clone(), offset: self.offset + offset, shape, strides }
    }

    /// The same elements under another shape of as many elements; a copy only
    /// if they are not in row-major order.
    pub(crate) fn reshaped(&self, shape: Shape) -> Self {
        debug_assert_eq!(self.numel(), shape.numel());
        self.contiguous().view(0, shape, shape.strides())
    }

    /// The steps to read this value as if it had the larger `shape`.
    pub(crate) fn broadcast_strides(&self, shape: &Shape) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let lead = shape.rank() - self.shape.rank();
        for axis in 0..self.shape.rank() {
            if self.shape[axis] == shape[lead + axis] {
                strides[lead + axis] = self.strides[axis];
            }
        }
        strides
    }

    /// This value read as if it had the larger `shape`, without a copy.
    pub(crate) fn broadcast_to(&self, op: &'static str, shape: Shape) -> Result<Self> {
        let fits = Shape::broadcast(op, &self.shape, &shape)? == shape;
        if !fits {
            return Err(crate::Error::shapes(
                op,
                &self.shape,
                &shape,
                "a target whose sizes are at least those of the first shape",
            ));
        }
        Ok(self.view(0, shape, self.broadcast_strides(&shape)))
    }

    /// All elements in row-major order.
    pub fn to_vec(&self) -> Vec<E> {
        match self.as_slice() {
            Some(slice) => slice.to_vec(),
            None => kernel::copy::packed(self).raw().to_vec(),
        }
    }
}
