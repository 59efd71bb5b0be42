//! Shapes, axes and broadcasting.

use crate::{Error, Result};
use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

/// The most dimensions that a tensor may have.
pub const MAX_RANK: usize = 6;

/// The sizes of a tensor's dimensions, at most [`MAX_RANK`] of them.
///
/// Dereferences to `[usize]`. An array of sizes converts (`[2, 3]`; too long
/// a one does not compile), and so do a single `usize` for one dimension and
/// `()` for none (a scalar); a slice goes through [`Shape::new`].
#[derive(Clone, Copy, Eq)]
pub struct Shape {
    /// Those beyond the rank are 1.
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl PartialEq for Shape {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let differ = self.dims.iter().zip(&other.dims).fold(0, |d, (a, b)| d | (a ^ b));
        differ == 0 && self.rank == other.rank
    }
}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dims().hash(state);
    }
}

impl Shape {
    /// The shape with these sizes.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] dimensions, or more elements than memory can
    /// address.
    pub fn new(list: &[usize]) -> Result<Self> {
        if list.len() > MAX_RANK {
            return Err(Error::Rank { op: "shape", most: MAX_RANK });
        }
        let count = list.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count.is_none_or(|n| n > isize::MAX as usize / 8) {
            return Err(Error::argument("shape", "sizes", format!("{list:?}"), "fewer elements"));
        }
        let mut dims = [1; MAX_RANK];
        dims[..list.len()].copy_from_slice(list);
        Ok(Self { dims, rank: list.len() as u8 })
    }

    /// The sizes.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// The number of dimensions.
    #[inline]
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The number of elements: the product of the sizes, 1 for a scalar.
    #[inline]
    pub fn numel(&self) -> usize {
        self.dims().iter().fold(1, |n: usize, &d| n.saturating_mul(d))
    }

    /// Row-major strides in elements.
    #[inline]
    pub(crate) fn strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step *= self.dims[axis];
        }
        strides
    }

    /// This shape with the size of one axis replaced.
    pub(crate) fn with(mut self, axis: usize, size: usize) -> Self {
        self.dims[axis] = size;
        self
    }

    /// This shape without one axis.
    pub(crate) fn without(&self, axis: usize) -> Self {
        let mut dims = self.dims;
        dims.copy_within(axis + 1.., axis);
        dims[MAX_RANK - 1] = 1;
        Self { dims, rank: self.rank - 1 }
    }

    /// The axis that `axis` names; negative ones count from the end.
    pub(crate) fn axis(&self, op: &'static str, axis: isize) -> Result<usize> {
        let rank = self.rank() as isize;
        let at = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&at) {
            Ok(at as usize)
        } else {
            Err(Error::Axis { op, axis, shape: *self })
        }
    }

    /// The shape that two shapes broadcast to, NumPy's rule: aligned at the
    /// last axis, sizes equal or one of them 1.
    pub(crate) fn broadcast(op: &'static str, a: &Self, b: &Self) -> Result<Self> {
        if a == b {
            return Ok(*a);
        }
        let rank = a.rank().max(b.rank());
        let mut dims = [1; MAX_RANK];
        for back in 1..=rank {
            let pick = |s: &Self| if back <= s.rank() { s.dims[s.rank() - back] } else { 1 };
            let (x, y) = (pick(a), pick(b));
            dims[rank - back] = match (x, y) {
                _ if x == y => x,
                (1, _) => y,
                (_, 1) => x,
                _ => {
                    return Err(Error::shapes(
                        op,
                        a,
                        b,
                        "sizes that are equal or 1, aligned at the last axis",
                    ));
                }
            };
        }
        Ok(Self { dims, rank: rank as u8 })
    }
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        *shape
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(list: [usize; N]) -> Self {
        const { assert!(N <= MAX_RANK, "a tensor has at most 6 dimensions") };
        let mut dims = [1; MAX_RANK];
        dims[..N].copy_from_slice(&list);
        Self { dims, rank: N as u8 }
    }
}

impl From<usize> for Shape {
    fn from(size: usize) -> Self {
        [size].into()
    }
}

impl From<()> for Shape {
    fn from((): ()) -> Self {
        [].into()
    }
}

/// The axes that an operation works over: one (`-1`), several (`[2, 3]`), or
/// all (`..`). Negative axes count from the end.
#[derive(Clone, Debug)]
pub struct Axes(Option<smallvec::SmallVec<[isize; MAX_RANK]>>);

impl Axes {
    /// A flag for each axis of `shape`.
    pub(crate) fn resolve(&self, op: &'static str, shape: &Shape) -> Result<[bool; MAX_RANK]> {
        let mut chosen = [false; MAX_RANK];
        let Some(list) = &self.0 else {
            chosen[..shape.rank()].fill(true);
            return Ok(chosen);
        };
        for &axis in list {
            let at = shape.axis(op, axis)?;
            if chosen[at] {
                return Err(Error::argument(
                    op,
                    "axes",
                    format!("{list:?}"),
                    "each axis named once",
                ));
            }
            chosen[at] = true;
        }
        Ok(chosen)
    }
}

impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Self(Some(smallvec::smallvec![axis]))
    }
}

impl<const N: usize> From<[isize; N]> for Axes {
    fn from(axes: [isize; N]) -> Self {
        Self(Some(smallvec::SmallVec::from_slice(&axes)))
    }
}

impl From<&[isize]> for Axes {
    fn from(axes: &[isize]) -> Self {
        Self(Some(smallvec::SmallVec::from_slice(axes)))
    }
}

impl From<std::ops::RangeFull> for Axes {
    fn from(_: std::ops::RangeFull) -> Self {
        Self(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let b = |a: &[usize], b: &[usize]| {
            Shape::broadcast("add", &Shape::new(a).unwrap(), &Shape::new(b).unwrap())
                .map(|s| s.dims().to_vec())
                .ok()
        };
        assert_eq!(b(&[2, 3], &[3]), Some(vec![2, 3]));
        assert_eq!(b(&[2, 1], &[1, 4]), Some(vec![2, 4]));
        assert_eq!(b(&[], &[5]), Some(vec![5]));
        assert_eq!(b(&[0, 3], &[1, 3]), Some(vec![0, 3]));
        assert_eq!(b(&[2], &[3]), None);
    }

    #[test]
    fn long_shapes_are_refused_where_they_are_used() {
        assert!(Shape::new(&[1; 7]).is_err());
        assert!(Shape::new(&[usize::MAX, 2]).is_err());
        assert!(Shape::new(&[1; 6]).is_ok());
    }

    #[test]
    fn axes_count_from_both_ends() {
        let shape = Shape::from([2, 3, 4]);
        assert_eq!(shape.axis("sum", -1).unwrap(), 2);
        assert!(shape.axis("sum", 3).is_err());
        assert!(Axes::from([0, -3]).resolve("sum", &shape).is_err());
    }
}
