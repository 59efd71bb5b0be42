//! Checkpoints that rank 0 writes and all ranks go on from.

use crate::{Collective, Error, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tl_nn::Trainer;

/// The checkpoint of a job: rank 0 writes it, and when the job starts again, on
/// the same or another number of ranks, all go on from it.
///
/// Only rank 0 needs to see the file: its bytes are sent to the others, so
/// machines need not share a file system. A checkpoint is one file, replaced as a
/// whole: a rank or machine that dies while it is written leaves the one before.
///
/// With [`Reduction::Deterministic`](crate::Reduction::Deterministic), the same
/// seed, batch size and number of micro-shards, the run goes on bit for bit as
/// if it had not been interrupted, whatever the number of ranks before and after.
/// With [`Reduction::Fast`](crate::Reduction::Fast) the order of samples is the
/// same and the bits are not.
///
/// ```
/// use tl_dist::{Collective, Error, SharedCheckpoint, Threads};
/// use tl_nn::{Adam, Optimizer, Trainer};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("run.safetensors");
/// Threads::run(2, |world| {
///     let checkpoint = SharedCheckpoint::new(world, &path)?.every(100);
///     let trainer = Trainer::new(Optimizer::new(Adam::new(1e-3)), 10);
///     let trainer = checkpoint.attach(trainer);
///     # let _ = trainer;
///     Ok::<_, Error>(())
/// })?;
/// # Ok::<(), Error>(())
/// ```
///
/// Keep the value until training ends: ranks other than 0 hold a copy of the file
/// in a temporary folder, which goes when this goes. (The training loop saves
/// there after every epoch, too.)
#[derive(Debug)]
pub struct SharedCheckpoint {
    path: PathBuf,
    every: Option<u64>,
    /// The folder of a rank that keeps no checkpoint.
    copy: Option<TempDir>,
}

impl SharedCheckpoint {
    /// The checkpoint at `path` on rank 0, read if it is there.
    ///
    /// # Errors
    /// It cannot be read; a copy cannot be written; a rank is lost.
    pub fn new(world: &dyn Collective, path: impl AsRef<Path>) -> Result<Self> {
        const WHAT: &str = "the checkpoint";
        let path = path.as_ref();
        let fail = |path: &Path, e: std::io::Error| {
            Error::broken(WHAT, format!("{}: {e}", path.display()))
        };
        if world.is_root() {
            let message = match (world.size(), std::fs::read(path)) {
                (1, _) => Ok(vec![0]),
                (_, Ok(mut bytes)) => {
                    bytes.push(1);
                    Ok(bytes)
                }
                (_, Err(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(vec![0]),
                (_, Err(e)) => Err(fail(path, e)),
            };
            world.broadcast(message?, 0)?;
            return Ok(Self { path: path.to_owned(), every: None, copy: None });
        }
        let mut message = world.broadcast(Vec::new(), 0)?;
        let folder = tempfile::tempdir().map_err(|e| Error::broken(WHAT, e))?;
        let copy = folder.path().join("copy.safetensors");
        if message.pop() == Some(1) {
            std::fs::write(&copy, message).map_err(|e| fail(&copy, e))?;
        }
        Ok(Self { path: copy, every: None, copy: Some(folder) })
    }

    /// Saves also after every so many steps, not only at the end of an epoch.
    #[must_use]
    pub fn every(mut self, steps: u64) -> Self {
        self.every = Some(steps);
        self
    }

    /// Lets `trainer` go on from the checkpoint and, on rank 0, save it.
    #[must_use]
    pub fn attach<'a>(&self, trainer: Trainer<'a>) -> Trainer<'a> {
        let trainer = trainer.checkpoint(&self.path).resume();
        match self.every {
            Some(steps) if self.copy.is_none() => trainer.checkpoint_every(steps),
            _ => trainer,
        }
    }
}
