//! Walks over strided operands.

use crate::{Shape, shape::MAX_RANK};

/// Joins neighbouring axes that all operands step through evenly. Returns the
/// sizes and each operand's strides of what is left.
pub(crate) fn collapse<const N: usize>(
    shape: &Shape,
    strides: [[usize; MAX_RANK]; N],
) -> (usize, [usize; MAX_RANK], [[usize; MAX_RANK]; N]) {
    let mut sizes = [1; MAX_RANK];
    let mut steps = [[0; MAX_RANK]; N];
    let mut rank = 0;
    for axis in 0..shape.rank() {
        let size = shape[axis];
        if size == 1 {
            continue;
        }
        let joins = rank > 0 && (0..N).all(|k| steps[k][rank - 1] == strides[k][axis] * size);
        if joins {
            sizes[rank - 1] *= size;
        } else {
            sizes[rank] = size;
            rank += 1;
        }
        for k in 0..N {
            steps[k][rank - 1] = strides[k][axis];
        }
    }
    (rank, sizes, steps)
}

/// Calls `f(offsets, steps, length)` for runs along the innermost axis, in
/// row-major order: element `i` of a run is at `offsets[k] + i * steps[k]` of
/// operand `k`.
#[inline(always)]
pub(crate) fn runs<const N: usize>(
    shape: &Shape,
    strides: [[usize; MAX_RANK]; N],
    f: impl FnMut([usize; N], [usize; N], usize),
) {
    if shape.numel() == 0 {
        return;
    }
    let walk = Walk::new(shape, strides);
    walk.each(0, walk.count(), f);
}

/// The runs of a walk, of which parts can be walked by themselves.
pub(crate) struct Walk<const N: usize> {
    rank: usize,
    sizes: [usize; MAX_RANK],
    steps: [[usize; MAX_RANK]; N],
}

impl<const N: usize> Walk<N> {
    pub(crate) fn new(shape: &Shape, strides: [[usize; MAX_RANK]; N]) -> Self {
        let (rank, sizes, steps) = collapse(shape, strides);
        Self { rank: rank.max(1), sizes, steps }
    }

    /// Runs in all.
    pub(crate) fn count(&self) -> usize {
        self.sizes[..self.rank - 1].iter().product()
    }

    /// Elements of a run.
    pub(crate) fn length(&self) -> usize {
        self.sizes[self.rank - 1]
    }

    /// Calls `f` as [`runs`] does, for `count` runs from `first` on.
    // Loops over `N` operands: an index names the same one in both arrays.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    pub(crate) fn each(
        &self,
        first: usize,
        count: usize,
        mut f: impl FnMut([usize; N], [usize; N], usize),
    ) {
        let inner = self.rank - 1;
        let inner_steps = std::array::from_fn(|k| self.steps[k][inner]);
        let mut index = [0; MAX_RANK];
        let mut offsets = [0; N];
        let mut rest = first;
        for axis in (0..inner).rev() {
            index[axis] = rest % self.sizes[axis];
            rest /= self.sizes[axis];
            for k in 0..N {
                offsets[k] += index[axis] * self.steps[k][axis];
            }
        }
        for _ in 0..count {
            f(offsets, inner_steps, self.sizes[inner]);
            for axis in (0..inner).rev() {
                index[axis] += 1;
                for k in 0..N {
                    offsets[k] += self.steps[k][axis];
                }
                if index[axis] < self.sizes[axis] {
                    break;
                }
                for k in 0..N {
                    offsets[k] -= self.steps[k][axis] * self.sizes[axis];
                }
                index[axis] = 0;
            }
        }
    }
}
