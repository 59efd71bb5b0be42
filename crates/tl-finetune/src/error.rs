//! What can go wrong in fine-tuning.

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. It says what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network, a loss or an optimiser failed.
    #[error(transparent)]
    Nn(#[from] tl_nn::Error),
    /// The data do not fit.
    #[error(transparent)]
    Data(#[from] tl_data::Error),
    /// A cache belongs to something else.
    #[error("{} is stale: {problem}; delete it, or name another file", path.display())]
    Stale {
        /// The file.
        path: std::path::PathBuf,
        /// What differs.
        problem: String,
    },
    /// An argument or a field of a configuration is out of its range.
    #[error("{what}: {name} is {got}; expected {expected}")]
    Argument {
        /// The operation or configuration.
        what: &'static str,
        /// The argument or field.
        name: &'static str,
        /// Its value.
        got: String,
        /// What is allowed.
        expected: String,
    },
}

impl Error {
    pub(crate) fn argument(
        what: &'static str,
        name: &'static str,
        got: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { what, name, got: got.to_string(), expected: expected.into() }
    }
}

impl From<tl_tensor::Error> for Error {
    fn from(error: tl_tensor::Error) -> Self {
        Self::Nn(error.into())
    }
}

impl From<Error> for tl_nn::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Nn(error) => error,
            other => Self::Other(Box::new(other)),
        }
    }
}
