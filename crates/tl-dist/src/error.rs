//! What can go wrong between ranks.

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. It says what was found, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network, a loss, an optimiser or a checkpoint failed.
    #[error(transparent)]
    Nn(#[from] tl_nn::Error),
    /// The data do not fit.
    #[error(transparent)]
    Data(#[from] tl_data::Error),
    /// An operation on tensors failed.
    #[error(transparent)]
    Tensor(#[from] tl_tensor::Error),
    /// An argument makes no sense.
    #[error("{what}: {name} is {got}; expected {expected}")]
    Argument {
        /// The operation or configuration.
        what: &'static str,
        /// The argument.
        name: &'static str,
        /// Its value.
        got: String,
        /// What would have been right.
        expected: String,
    },
    /// A rank ended (an error, a panic) while others waited for it.
    #[error(
        "rank {rank} left while the others were in `{op}`; see its own error, then start the job \
         again from the last checkpoint, with any number of ranks that the plan allows"
    )]
    RankLost {
        /// The rank that is gone.
        rank: usize,
        /// What this rank was doing.
        op: &'static str,
    },
    /// A rank panicked.
    #[error("rank {rank} panicked: {message}")]
    Panicked {
        /// The rank.
        rank: usize,
        /// What it said.
        message: String,
    },
    /// Ranks are not in the same operation.
    #[error(
        "rank {rank} is in `{theirs}`, this one in `{ours}`; all ranks must make the same calls in \
         the same order"
    )]
    OutOfStep {
        /// The other rank.
        rank: usize,
        /// What it called.
        theirs: &'static str,
        /// What this one called.
        ours: &'static str,
    },
    /// A rank sent more or less than the others expect.
    #[error(
        "{op}: rank {rank} sent {got} numbers, expected {expected}; do all hold the same model?"
    )]
    Length {
        /// The operation.
        op: &'static str,
        /// Who sent it.
        rank: usize,
        /// How many there were.
        got: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The work of another rank failed.
    #[error("rank {rank} failed: {message}")]
    Elsewhere {
        /// The rank.
        rank: usize,
        /// Its error.
        message: String,
    },
    /// Models that should be the same are not.
    #[error(
        "`{path}` is not the same on rank {rank} as on rank 0; begin with `broadcast_model`, and \
         let all randomness come from the seed"
    )]
    Replicas {
        /// Path of the first parameter or buffer that differs.
        path: String,
        /// The rank that differs.
        rank: usize,
    },
    /// MPI cannot be used.
    #[error("MPI: {0}")]
    Mpi(String),
    /// A message of another rank cannot be read, or a file not written.
    #[error("{what}: {problem}")]
    Broken {
        /// What was to be read or written.
        what: &'static str,
        /// What is wrong.
        problem: String,
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

    pub(crate) fn broken(what: &'static str, problem: impl ToString) -> Self {
        Self::Broken { what, problem: problem.to_string() }
    }
}

impl From<Error> for tl_nn::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Nn(own) => own,
            other => Self::other(other),
        }
    }
}
