//! Reading and writing at indices; order.

mod choose;
mod gather;
mod order;
mod rows;

use crate::Shape;

/// An axis of a row-major array: `outer` blocks of `size` entries of `inner`
/// elements.
#[derive(Clone, Copy)]
struct Blocks {
    outer: usize,
    size: usize,
    inner: usize,
}

impl Blocks {
    fn new(shape: &Shape, axis: usize) -> Self {
        Self {
            outer: shape[..axis].iter().product(),
            size: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }
}
