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
    mut f: impl FnMut([usize; N], [usize; N], usize),
) {
    if shape.numel() == 0 {
        return;
    }
    let (rank, sizes, steps) = collapse(shape, strides);
    if rank == 0 {
        f([0; N], [0; N], 1);
        return;
    }
    let inner = rank - 1;
    let inner_steps = std::array::from_fn(|k| steps[k][inner]);
    let mut index = [0; MAX_RANK];
    let mut offsets = [0; N];
    loop {
        f(offsets, inner_steps, sizes[inner]);
        let mut axis = inner;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            for k in 0..N {
                offsets[k] += steps[k][axis];
            }
            if index[axis] < sizes[axis] {
                break;
            }
            for k in 0..N {
                offsets[k] -= steps[k][axis] * sizes[axis];
            }
            index[axis] = 0;
        }
    }
}
