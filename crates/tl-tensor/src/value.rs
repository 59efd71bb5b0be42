//! The numbers of a tensor, without its history.

use crate::{
    Elem, Result, Shape,
    buffer::{Buffer, Prepared},
    kernel,
    shape::MAX_RANK,
};
use std::{mem::MaybeUninit, ops::Deref};
use triomphe::{Arc, UniqueArc};

/// A strided view of shared storage: the numbers of a tensor without the
/// record of where they came from. Cheap to clone.
///
/// Operations save values, never tensors, for their derivative rules; so an
/// operation that saves its own output makes no reference cycle.
#[derive(Clone)]
pub struct Value<E: Elem = f32> {
    block: Arc<Block<E>>,
    /// None if the value is all of its block, as it nearly always is: two
    /// pointers are quick to move.
    view: Option<Arc<View>>,
}

/// Storage and the shape that it was made with.
struct Block<E: Elem> {
    shape: Shape,
    buffer: Buffer<E>,
}

/// Another way to read a block.
struct View {
    shape: Shape,
    offset: usize,
    /// None if the elements are in row-major order without gaps.
    strides: Option<[usize; MAX_RANK]>,
}

/// The steps in elements from one entry to the next, axis by axis.
#[derive(Clone, Copy, Debug)]
pub struct Strides {
    steps: [usize; MAX_RANK],
    rank: usize,
}

impl Deref for Strides {
    type Target = [usize];

    #[inline]
    fn deref(&self) -> &[usize] {
        &self.steps[..self.rank]
    }
}

impl<E: Elem> Value<E> {
    /// A value that owns a whole row-major buffer of as many elements as `shape` has.
    pub(crate) fn owned(buffer: Buffer<E>, shape: Shape) -> Self {
        debug_assert_eq!(buffer.as_slice().len(), shape.numel());
        Self { block: Arc::new(Block { shape, buffer }), view: None }
    }

    /// A new row-major value whose elements `fill` writes. Before that they
    /// have any value.
    #[allow(unsafe_code)]
    pub(crate) fn build(shape: Shape, fill: impl FnOnce(&mut [E])) -> Self {
        let mut block = UniqueArc::<Block<E>>::new_uninit();
        let at = block.as_mut_ptr().cast::<Block<E>>();
        // SAFETY: a field of the new block, borrowed by no one else; bytes that
        // need not be initialised.
        let place = unsafe { &mut *(&raw mut (*at).buffer).cast::<MaybeUninit<Buffer<E>>>() };
        fill(Buffer::scratch_at(place, shape.numel()).as_mut_slice());
        // SAFETY: the same block; then both of its fields are written.
        let block = unsafe {
            (&raw mut (*at).shape).write(shape);
            UniqueArc::assume_init(block)
        };
        Self { block: block.shareable(), view: None }
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
        match &self.view {
            None => &self.block.shape,
            Some(view) => &view.shape,
        }
    }

    #[inline]
    fn offset(&self) -> usize {
        self.view.as_ref().map_or(0, |view| view.offset)
    }

    /// The steps in elements from one entry to the next, axis by axis.
    #[inline]
    pub fn strides(&self) -> Strides {
        Strides { steps: self.steps(), rank: self.shape().rank() }
    }

    #[inline]
    fn steps(&self) -> [usize; MAX_RANK] {
        let own = self.view.as_ref().and_then(|view| view.strides);
        own.unwrap_or_else(|| self.shape().strides())
    }

    /// The number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape().numel()
    }

    /// Whether the elements are in row-major order without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.view.as_ref().is_none_or(|view| view.strides.is_none())
    }

    /// The elements in row-major order, if they lie so.
    #[inline]
    pub fn as_slice(&self) -> Option<&[E]> {
        self.is_contiguous().then(|| &self.raw()[..self.numel()])
    }

    /// All storage from the first element on.
    #[inline]
    pub(crate) fn raw(&self) -> &[E] {
        // A view without elements may begin beyond what there is.
        self.block.buffer.as_slice().get(self.offset()..).unwrap_or_default()
    }

    /// What `make` makes of the elements in row-major order, kept with them
    /// where they are all of their storage.
    pub(crate) fn prepared(
        &self,
        kind: Prepared,
        make: impl FnOnce(&[E]) -> Buffer<E>,
    ) -> Arc<Buffer<E>> {
        if self.is_contiguous() && self.numel() == self.block.buffer.as_slice().len() {
            return self.block.buffer.prepared(kind, make);
        }
        Arc::new(make(&self.contiguous().raw()[..self.numel()]))
    }

    /// The elements for writing, if no one else holds this storage.
    pub(crate) fn unique_mut(&mut self) -> Option<&mut [E]> {
        if !self.is_contiguous() {
            return None;
        }
        let (from, count) = (self.offset(), self.numel());
        Some(&mut Arc::get_mut(&mut self.block)?.buffer.as_mut_slice()[from..from + count])
    }

    /// The elements for writing; copied first if someone else holds them.
    pub(crate) fn make_mut(&mut self) -> &mut [E] {
        if !self.is_contiguous() || Arc::get_mut(&mut self.block).is_none() {
            *self = kernel::copy::packed(self);
        }
        let (from, count) = (self.offset(), self.numel());
        // The copy above is held by `self` alone; `make_mut` of `Arc` would
        // want a clone of the buffer, which is never needed here.
        match Arc::get_mut(&mut self.block) {
            Some(block) => &mut block.buffer.as_mut_slice()[from..from + count],
            None => &mut [],
        }
    }

    /// This value in row-major order: itself if it is so already.
    pub(crate) fn contiguous(&self) -> Self {
        if self.is_contiguous() { self.clone() } else { kernel::copy::packed(self) }
    }

    /// Another view of the same storage. The caller answers for its bounds.
    pub(crate) fn view(&self, offset: usize, shape: Shape, strides: [usize; MAX_RANK]) -> Self {
        let strides = (!row_major(&shape, &strides)).then_some(strides);
        self.seen_as(View { shape, offset: self.offset() + offset, strides })
    }

    fn seen_as(&self, view: View) -> Self {
        Self { block: self.block.clone(), view: Some(Arc::new(view)) }
    }

    /// The same elements under another shape of as many elements; a copy only
    /// if no steps through the storage lead to them in this order.
    pub(crate) fn reshaped(&self, shape: Shape) -> Self {
        debug_assert_eq!(self.numel(), shape.numel());
        if *self.shape() == shape {
            return self.clone();
        }
        if self.is_contiguous() {
            return self.seen_as(View { shape, offset: self.offset(), strides: None });
        }
        match self.steps_for(&shape) {
            Some(steps) => self.view(0, shape, steps),
            None => kernel::copy::packed(self).reshaped(shape),
        }
    }

    /// The steps that lead through these elements, in order, under another
    /// shape: axes that are evenly spaced are joined, then split again.
    fn steps_for(&self, shape: &Shape) -> Option<[usize; MAX_RANK]> {
        if self.numel() == 0 {
            return None;
        }
        let (rank, sizes, [from]) = kernel::walk::collapse(self.shape(), [self.steps()]);
        let mut steps = [0; MAX_RANK];
        // From the innermost axis outwards: `left` entries of the joined axis
        // `old` are still to be named, `step` apart.
        let mut old = rank;
        let (mut left, mut step) = (1, 0);
        for axis in (0..shape.rank()).rev() {
            if shape[axis] == 1 {
                continue;
            }
            if left == 1 {
                old = old.checked_sub(1)?;
                (left, step) = (sizes[old], from[old]);
            }
            if left % shape[axis] != 0 {
                return None;
            }
            steps[axis] = step;
            step *= shape[axis];
            left /= shape[axis];
        }
        Some(steps)
    }

    /// The steps to read this value as if it had the larger `shape`.
    pub(crate) fn broadcast_strides(&self, shape: &Shape) -> [usize; MAX_RANK] {
        let (mut strides, own) = ([0; MAX_RANK], self.steps());
        let seen = self.shape();
        let lead = shape.rank() - seen.rank();
        for axis in 0..seen.rank() {
            if seen[axis] == shape[lead + axis] {
                strides[lead + axis] = own[axis];
            }
        }
        strides
    }

    /// This value read as if it had the larger `shape`, without a copy.
    pub(crate) fn broadcast_to(&self, op: &'static str, shape: Shape) -> Result<Self> {
        let fits = Shape::broadcast(op, self.shape(), &shape)? == shape;
        if !fits {
            return Err(crate::Error::shapes(
                op,
                self.shape(),
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

/// Whether these steps lead through the elements in order, without gaps.
fn row_major(shape: &Shape, strides: &[usize; MAX_RANK]) -> bool {
    let mut step = 1;
    for axis in (0..shape.rank()).rev() {
        let size = shape[axis];
        if size == 0 {
            return true;
        }
        if size != 1 && strides[axis] != step {
            return false;
        }
        step *= size;
    }
    true
}
