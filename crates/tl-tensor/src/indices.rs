//! Whole numbers that name positions: classes, tokens, rows.

use crate::{Error, Result, Shape};
use std::sync::Arc;

/// A shaped array of indices, cheap to clone. Constants: no gradient flows
/// through an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indices {
    data: Arc<[usize]>,
    shape: Shape,
}

impl Indices {
    /// Row-major indices under a shape.
    ///
    /// # Errors
    /// The number of indices is not the shape's.
    pub fn from_vec(data: Vec<usize>, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if data.len() != shape.numel() {
            return Err(Error::shape(
                "indices",
                &shape,
                format!("a shape of {} elements, as the data", data.len()),
            ));
        }
        Ok(Self { data: data.into(), shape })
    }

    /// A random order of `0..n` (Fisher and Yates).
    pub fn permutation<R: rand::Rng + ?Sized>(n: usize, rng: &mut R) -> Self {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, rng.random_range(0..=i));
        }
        Self { data: order.into(), shape: n.into() }
    }

    /// The indices in row-major order.
    pub fn as_slice(&self) -> &[usize] {
        &self.data
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The sizes of the dimensions.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The number of indices.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The same indices under another shape.
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.numel() != self.len() {
            return Err(Error::shapes("reshape", &self.shape, &shape, "as many elements"));
        }
        Ok(Self { data: self.data.clone(), shape })
    }

    /// Checks that every index is less than `size`.
    pub(crate) fn check(&self, op: &'static str, size: usize) -> Result<()> {
        match self.data.iter().find(|&&i| i >= size) {
            Some(&index) => Err(Error::Index { op, index, size }),
            None => Ok(()),
        }
    }
}

impl From<&[usize]> for Indices {
    /// Indices of one dimension.
    fn from(data: &[usize]) -> Self {
        Self { data: data.into(), shape: data.len().into() }
    }
}

impl From<Vec<usize>> for Indices {
    /// Indices of one dimension.
    fn from(data: Vec<usize>) -> Self {
        let shape = data.len().into();
        Self { data: data.into(), shape }
    }
}

impl<const N: usize> From<[usize; N]> for Indices {
    /// Indices of one dimension.
    fn from(data: [usize; N]) -> Self {
        Self::from(data.as_slice())
    }
}

impl From<&Indices> for Indices {
    fn from(indices: &Indices) -> Self {
        indices.clone()
    }
}
