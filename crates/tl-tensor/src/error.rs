//! What can go wrong in a tensor operation.

use crate::Shape;

/// The result of a fallible tensor operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a tensor operation. It names the operation, what it got and
/// what would have been right.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two operands do not fit together.
    #[error("{op}: shapes {lhs} and {rhs} do not fit together; expected {expected}")]
    Shapes {
        /// The operation.
        op: &'static str,
        /// Shape of the first operand.
        lhs: Box<Shape>,
        /// Shape of the second operand.
        rhs: Box<Shape>,
        /// What would have been right.
        expected: String,
    },
    /// One operand has the wrong shape.
    #[error("{op}: shape {got} does not fit; expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The shape it got.
        got: Box<Shape>,
        /// What would have been right.
        expected: String,
    },
    /// An axis is outside of the shape.
    #[error("{op}: axis {axis} is outside of shape {shape}; expected -{n}..{n}", n = shape.rank())]
    Axis {
        /// The operation.
        op: &'static str,
        /// The axis it got.
        axis: isize,
        /// The operand's shape.
        shape: Shape,
    },
    /// More dimensions than a tensor may have.
    #[error("{op}: too many dimensions; expected at most {most}: merge some with `reshape`")]
    Rank {
        /// The operation.
        op: &'static str,
        /// The most that are possible.
        most: usize,
    },
    /// An index is outside of its axis.
    #[error("{op}: index {index} is out of range; expected less than {size}")]
    Index {
        /// The operation.
        op: &'static str,
        /// The index it got.
        index: usize,
        /// The size of the axis.
        size: usize,
    },
    /// An argument that is not a tensor has a value that makes no sense.
    #[error("{op}: {name} is {got}; expected {expected}")]
    Argument {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        name: &'static str,
        /// The value it got.
        got: String,
        /// What would have been right.
        expected: String,
    },
    /// A gradient was asked of a tensor that no tracked tensor went into.
    #[error(
        "{op}: the output is not tracked, so it has no gradient; \
         expected a result of tensors made with `requires_grad()`"
    )]
    Untracked {
        /// The operation.
        op: &'static str,
    },
    /// A gradient was asked for something that the output does not depend on.
    #[error(
        "{op}: the output does not depend on tensor {position} of those asked for; \
         remove it, or set `allow_unused` to get zeros"
    )]
    Unreached {
        /// The operation.
        op: &'static str,
        /// The position of the tensor in the list that was asked for.
        position: usize,
    },
    /// A matrix that has to be positive definite or regular is not.
    #[error("{op}: the matrix is not {property} (row {row}); {hint}")]
    Singular {
        /// The operation.
        op: &'static str,
        /// What the matrix should be.
        property: &'static str,
        /// The row at which it showed.
        row: usize,
        /// What to do.
        hint: &'static str,
    },
    /// A derivative rule gave something that does not fit.
    #[error("{op}: its derivative rule {problem}")]
    Rule {
        /// The operation.
        op: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// Two shapes that do not fit together.
    pub fn shapes(op: &'static str, lhs: &Shape, rhs: &Shape, expected: impl Into<String>) -> Self {
        Self::Shapes { op, lhs: Box::new(*lhs), rhs: Box::new(*rhs), expected: expected.into() }
    }

    /// A shape that does not fit.
    pub fn shape(op: &'static str, got: &Shape, expected: impl Into<String>) -> Self {
        Self::Shape { op, got: Box::new(*got), expected: expected.into() }
    }

    /// An argument that makes no sense.
    pub fn argument(
        op: &'static str,
        name: &'static str,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { op, name, got: got.into(), expected: expected.into() }
    }
}
