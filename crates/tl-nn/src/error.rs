//! What can go wrong in a network.

use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. It says what was found, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] tl_tensor::Error),
    /// An operation failed inside of a named part of a model.
    #[error("in `{path}`: {source}")]
    In {
        /// Path of the module.
        path: String,
        /// What failed there.
        source: Box<Error>,
    },
    /// A pattern of paths matches nothing: nearly always a misspelling.
    #[error("the pattern `{pattern}` matches no {what}; there are: {known}")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// What was searched, such as "parameter".
        what: &'static str,
        /// Some of the paths that exist.
        known: String,
    },
    /// A pattern of paths cannot be read.
    #[error("the pattern `{pattern}` is not valid: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An argument or configuration value makes no sense.
    #[error("{what}: {name} is {got}; expected {expected}")]
    Argument {
        /// The layer, loss, optimiser or function.
        what: &'static str,
        /// The argument.
        name: &'static str,
        /// Its value.
        got: String,
        /// What would have been right.
        expected: String,
    },
    /// A trainable parameter got no gradient.
    #[error(
        "parameter `{path}` is trainable but got no gradient; \
         use it in the loss, or freeze it with `freeze(\"{path}\")`"
    )]
    NoGradient {
        /// Path of the parameter.
        path: String,
    },
    /// A statistic was recorded for a buffer that the model does not have.
    #[error(
        "{count} recorded statistics belong to no buffer of this model; \
         apply them to the very model that ran, not to a clone"
    )]
    ForeignUpdates {
        /// How many.
        count: usize,
    },
    /// A state dict does not fit the model.
    #[error("the weights do not fit the model: {0}")]
    Weights(String),
    /// A file of weights is damaged or not what it says.
    #[error("{path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The loss is no longer a finite number.
    #[error(
        "the loss is {value} at step {step} (epoch {epoch}, batch {batch}); the first value that \
         is not finite came from {origin}; lower the learning rate, clip gradients, or check the inputs"
    )]
    NonFiniteLoss {
        /// The loss.
        value: f32,
        /// Optimiser steps taken before.
        step: u64,
        /// The epoch, from 0.
        epoch: usize,
        /// The batch in the epoch, from 0.
        batch: usize,
        /// Where it showed first, such as "the output of `fc1`" or "the loss itself".
        origin: String,
    },
    /// The loss is finite, but a gradient is not.
    #[error(
        "the gradient of `{path}` is not finite at step {step} (epoch {epoch}, batch {batch}), \
         though the loss is; look for a division by zero, a square root or a logarithm of 0"
    )]
    NonFiniteGradient {
        /// Path of the parameter.
        path: String,
        /// Optimiser steps taken before.
        step: u64,
        /// The epoch, from 0.
        epoch: usize,
        /// The batch in the epoch, from 0.
        batch: usize,
    },
    /// Anything that code of a user (an objective, a data source) reports.
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An argument that makes no sense.
    pub fn argument(
        what: &'static str,
        name: &'static str,
        got: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { what, name, got: got.to_string(), expected: expected.into() }
    }

    /// An error of other code, such as that of a data set, for use with
    /// `map_err`. One of this crate stays what it is.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::Other(other),
        }
    }

    /// This error, said to have happened inside of module `path`.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        match self {
            Self::In { path: inner, source } => {
                Self::In { path: format!("{path}.{inner}"), source }
            }
            other => Self::In { path: path.to_owned(), source: Box::new(other) },
        }
    }
}

/// Adds the name of a module to the errors from inside of it.
pub trait Within<T> {
    /// The result, whose error names module `path`.
    ///
    /// # Errors
    /// As the result.
    fn within(self, path: &str) -> Result<T>;
}

impl<T, E: Into<Error>> Within<T> for Result<T, E> {
    fn within(self, path: &str) -> Result<T> {
        self.map_err(|e| e.into().within(path))
    }
}
