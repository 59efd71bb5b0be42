//! What a task is.

use serde::{Deserialize, Serialize};

/// What kind of loss a task has: it decides the form of
/// [uncertainty weighting](crate::uncertainty).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A squared error.
    Regression,
    /// An absolute error.
    Absolute,
    /// A cross entropy, of two classes or more.
    Classification,
}

impl Kind {
    /// What multiplies `e^(-s) L`, and what multiplies `s`.
    pub(crate) fn uncertainty(self) -> (f32, f32) {
        match self {
            Self::Regression => (0.5, 0.5),
            Self::Absolute => (1.0, 1.0),
            Self::Classification => (1.0, 0.5),
        }
    }
}

/// A task: its name, for histories and reports, and the kind of its loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// No two tasks have the same.
    pub name: String,
    /// The kind of its loss.
    pub kind: Kind,
}

impl Task {
    /// A task with a cross entropy.
    pub fn classification(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Classification }
    }

    /// A task with a squared error.
    pub fn regression(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Regression }
    }

    /// A task with an absolute error.
    pub fn absolute(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Absolute }
    }
}
