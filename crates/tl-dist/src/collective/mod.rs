//! What ranks do together.

#[cfg(feature = "mpi")]
mod mpi;
mod solo;
mod threads;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
pub use solo::Solo;
pub use threads::Threads;

use crate::{Error, Result};

/// The ranks of a job, as one of them sees them.
///
/// Every method but [`rank`](Self::rank) and [`size`](Self::size) is collective:
/// all ranks call it, in the same order, and each waits for the others. A rank
/// that cannot go on returns its error from the body of
/// [`Threads::run`] or `Mpi::run`; the others then do not wait for ever.
pub trait Collective: Send + Sync {
    /// The number of this rank, below [`size`](Self::size).
    fn rank(&self) -> usize;

    /// The number of ranks, at least 1.
    fn size(&self) -> usize;

    /// The sum over ranks, element by element, in an order that the
    /// implementation chooses: the bits may depend on the number of ranks.
    ///
    /// # Errors
    /// A rank is lost, or sent another length.
    fn all_reduce(&self, numbers: Vec<f32>) -> Result<Vec<f32>>;

    /// Sends `send[j]` to rank `j` and returns what each rank sent here, of
    /// which rank `j` must send `lengths[j]` numbers.
    ///
    /// # Errors
    /// Not one part for each rank; a rank is lost, or sent another length.
    fn all_to_all(&self, send: Vec<Vec<f32>>, lengths: &[usize]) -> Result<Vec<Vec<f32>>>;

    /// The numbers of all ranks one after the other, on every rank; those of
    /// rank `j` must be `lengths[j]`.
    ///
    /// # Errors
    /// A rank is lost, or sent another length.
    fn all_gather(&self, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>>;

    /// The bytes of rank `root`, on every rank. What others pass is ignored.
    ///
    /// # Errors
    /// No such rank; a rank is lost.
    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<u8>>;

    /// The bytes of all ranks, by rank, on rank `root`; nothing on the others.
    ///
    /// # Errors
    /// No such rank; a rank is lost.
    fn gather(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<Vec<u8>>>;

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// A rank is lost.
    fn barrier(&self) -> Result<()>;

    /// Whether this is rank 0, which writes files and tells the user.
    fn is_root(&self) -> bool {
        self.rank() == 0
    }

    /// The bytes of all ranks, by rank, on every rank: for small messages.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    fn gather_everywhere(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let all = self.gather(bytes, 0)?;
        let mut packed = Vec::new();
        for part in &all {
            packed.extend((part.len() as u64).to_le_bytes());
            packed.extend(part);
        }
        unpack(&self.broadcast(packed, 0)?, self.size())
    }
}

fn unpack(mut bytes: &[u8], parts: usize) -> Result<Vec<Vec<u8>>> {
    let short = || Error::broken("a message of rank 0", "it ends early");
    (0..parts)
        .map(|_| {
            let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
            let (part, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            bytes = rest;
            Ok(part.to_vec())
        })
        .collect()
}

/// Checks that there is something for, or from, each rank.
fn one_each(op: &'static str, got: usize, size: usize) -> Result<()> {
    if got == size {
        return Ok(());
    }
    Err(Error::argument(op, "parts", got, format!("{size}, one for each rank")))
}

fn is_rank(op: &'static str, root: usize, size: usize) -> Result<()> {
    if root < size {
        return Ok(());
    }
    Err(Error::argument(op, "root", root, format!("a rank below {size}")))
}

fn is_length(op: &'static str, rank: usize, got: usize, expected: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Length { op, rank, got, expected }) }
}
