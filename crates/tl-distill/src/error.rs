//! What can go wrong in distillation.

use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was found, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network or its training failed.
    #[error(transparent)]
    Nn(#[from] tl_nn::Error),
    /// Data failed.
    #[error(transparent)]
    Data(#[from] tl_data::Error),
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] tl_tensor::Error),
    /// A setting makes no sense.
    #[error("{what}: {name} is {got}; expected {expected}")]
    Argument {
        /// The method or function.
        what: &'static str,
        /// The setting.
        name: &'static str,
        /// Its value.
        got: String,
        /// What would have been right.
        expected: String,
    },
    /// A layer that was named is not among the intermediate results.
    #[error("the {who} has no intermediate result called `{path}`; there are: {known}")]
    NoTap {
        /// Teacher or student.
        who: &'static str,
        /// The path asked for.
        path: String,
        /// The paths that exist.
        known: String,
    },
    /// A file of teacher outputs that was made with something else.
    #[error(
        "{path}: the stored outputs are stale: {problem}; delete the file to compute them anew"
    )]
    Stale {
        /// The file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
}

impl Error {
    /// A setting that makes no sense.
    pub fn argument(
        what: &'static str,
        name: &'static str,
        got: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { what, name, got: got.to_string(), expected: expected.into() }
    }
}

/// For objectives and models, whose errors are those of `tl-nn`.
impl From<Error> for tl_nn::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Nn(own) => own,
            Error::Tensor(own) => own.into(),
            other => Self::other(other),
        }
    }
}
