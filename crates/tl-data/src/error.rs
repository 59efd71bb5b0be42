//! What can go wrong with data.

use std::{io, path::Path, path::PathBuf};

/// The result of an operation that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was wrong with a file, a data set or an argument, and what would have
/// been right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error about one file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong with it.
        source: Box<Error>,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The bytes are not what the format asks for; the file is damaged, cut
    /// off, or of another format.
    #[error("not a valid {format} file: {problem}")]
    Malformed {
        /// The format that was expected.
        format: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A valid file that uses something that is not read here.
    #[error("{format}: {what} is not supported; expected {expected}")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// What the file uses.
        what: String,
        /// What can be read.
        expected: &'static str,
    },
    /// The content would take more memory than the [`Limits`](crate::read::Limits) allow.
    #[error(
        "{format}: the content takes {bytes} bytes, more than the limit of {limit}; raise `Limits::max_bytes` if the file can be trusted"
    )]
    TooLarge {
        /// The format.
        format: &'static str,
        /// What the content would take (at least).
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A cell of a table cannot be used.
    #[error("row {row}, column `{column}`: {problem}")]
    Cell {
        /// The row of data, counted from 1 without the header.
        row: usize,
        /// The column's name.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// A name that is not there.
    #[error("no {what} is called `{name}`; there are: {known}")]
    Unknown {
        /// What kind of thing was looked up.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Two numbers of things that must be equal are not.
    #[error("{got} {what}, but {expected} samples; expected one for each sample")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A label is not the number of a class.
    #[error(
        "sample {sample} has label {label}; expected less than {classes}, the number of classes"
    )]
    Label {
        /// The sample.
        sample: usize,
        /// Its label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A number that should be a label is negative or not whole.
    #[error("value {sample} is {value}; expected a whole number from 0 as label")]
    NotALabel {
        /// Its position.
        sample: usize,
        /// The number.
        value: f64,
    },
    /// A class has too few samples for what was asked.
    #[error(
        "class {class} (`{name}`) has {have} samples; expected at least {need}: leave the class out, or add samples"
    )]
    TooFew {
        /// The class.
        class: usize,
        /// Its name, or its number if it has none.
        name: String,
        /// Its samples.
        have: usize,
        /// The least number that would do.
        need: usize,
    },
    /// A feature or target is NaN or infinite.
    #[error(
        "{what} of sample {sample} hold {value}; expected finite numbers: drop the sample, or fill the gap"
    )]
    NotFinite {
        /// Features or targets.
        what: &'static str,
        /// The sample.
        sample: usize,
        /// The value found.
        value: f32,
    },
    /// A data set without what is needed.
    #[error("{op}: the data set has no {missing}")]
    Lacks {
        /// The operation.
        op: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// A shape that does not fit.
    #[error("{op}: shape {got:?} does not fit; expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The shape given.
        got: Vec<usize>,
        /// What would have fitted.
        expected: String,
    },
    /// An argument or a field of a configuration is out of its range.
    #[error("{op}: {name} is {got}; expected {expected}")]
    Argument {
        /// The operation or configuration.
        op: &'static str,
        /// The argument or field.
        name: &'static str,
        /// Its value.
        got: String,
        /// What is allowed.
        expected: String,
    },
    /// The thread that prepares batches ended early.
    #[error("the thread that prepares batches {problem}")]
    Worker {
        /// What happened to it.
        problem: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] tl_tensor::Error),
}

impl Error {
    /// This error, naming the file that it is about.
    pub(crate) fn at(self, path: &Path) -> Self {
        match self {
            named @ Self::File { .. } => named,
            other => Self::File { path: path.to_owned(), source: Box::new(other) },
        }
    }

    pub(crate) fn malformed(format: &'static str, problem: impl Into<String>) -> Self {
        Self::Malformed { format, problem: problem.into() }
    }

    pub(crate) fn argument(
        op: &'static str,
        name: &'static str,
        got: impl std::fmt::Debug,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { op, name, got: format!("{got:?}"), expected: expected.into() }
    }

    pub(crate) fn shape(op: &'static str, got: &[usize], expected: impl Into<String>) -> Self {
        Self::Shape { op, got: got.to_vec(), expected: expected.into() }
    }

    pub(crate) fn unknown<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Self::Unknown { what, name: name.to_owned(), known }
    }
}
