//! Ranks as processes that MPI starts.

use super::{Collective, is_rank, one_each};
use crate::{Error, Result};
use mpi::{
    Count, Threading,
    collective::SystemOperation,
    datatype::{Partition, PartitionMut},
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Root},
};
use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

/// What the thread of MPI is asked to do.
type Job = Box<dyn FnOnce(&SimpleCommunicator) + Send>;

/// A rank of a job that `mpirun` (or Slurm) started, on any number of machines.
/// Without it, a job of one rank.
///
/// MPI runs in a thread of its own, the only one that calls it, so that the
/// library need not be built for several (`MPI_THREAD_FUNNELED` will do) and
/// messages go on while other threads compute.
#[derive(Debug)]
pub struct Mpi {
    rank: usize,
    size: usize,
    jobs: Sender<Job>,
}

/// Takes the whole job down unless the body ended well.
struct Watch<'a>(Option<&'a Mpi>);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(mpi) = self.0 {
            mpi.abort();
        }
    }
}

impl Mpi {
    /// Starts MPI, runs `body` as this rank, and ends MPI.
    ///
    /// If `body` fails, `report` gets the error (print it: there is no later
    /// chance) and the whole job is aborted with `MPI_Abort`, since the others
    /// would wait for this rank for ever; so does a panic. A job of one rank
    /// gets its error back instead.
    ///
    /// A program may call this once: MPI cannot be started twice.
    ///
    /// # Errors
    /// MPI does not start; the error of `body` in a job of one rank.
    pub fn run<T, E: From<Error>>(
        body: impl FnOnce(&Self) -> std::result::Result<T, E>,
        report: impl FnOnce(&E),
    ) -> std::result::Result<T, E> {
        let (jobs, queue) = channel();
        let (hello, started) = channel();
        let server = thread::Builder::new().name("mpi".to_owned());
        let server = server
            .spawn(move || serve(&hello, &queue))
            .map_err(|e| Error::Mpi(format!("its thread does not start: {e}")))?;
        let stopped = || Error::Mpi("its thread stopped".to_owned());
        let (rank, size) = started.recv().map_err(|_| stopped())??;
        let mpi = Self { rank, size, jobs };
        let mut watch = Watch((size > 1).then_some(&mpi));
        let result = body(&mpi);
        if let Err(error) = &result {
            report(error);
            drop(watch);
        } else {
            watch.0 = None;
            drop(watch);
        }
        // No more jobs: the thread ends MPI, once all ranks are there.
        drop(mpi);
        server.join().map_err(|_| stopped())?;
        result
    }

    /// Ends the job on all ranks.
    fn abort(&self) {
        let _: Result<()> = self.ask(|world| world.abort(1));
    }

    fn ask<R: Send + 'static>(
        &self,
        job: impl FnOnce(&SimpleCommunicator) -> R + Send + 'static,
    ) -> Result<R> {
        let (reply, answer) = channel();
        let stopped = || Error::Mpi("its thread stopped".to_owned());
        let job: Job = Box::new(move |world| {
            // Whoever asked may be gone.
            let _ = reply.send(job(world));
        });
        self.jobs.send(job).map_err(|_| stopped())?;
        answer.recv().map_err(|_| stopped())
    }
}

/// The thread of MPI.
fn serve(hello: &Sender<Result<(usize, usize)>>, queue: &Receiver<Job>) {
    let Some((universe, level)) = mpi::initialize_with_threading(Threading::Funneled) else {
        let problem = "it was started before in this process".to_owned();
        let _ = hello.send(Err(Error::Mpi(problem)));
        return;
    };
    let world = universe.world();
    let (rank, size) = (world.rank(), world.size());
    let told = if level < Threading::Funneled {
        Err(Error::Mpi("the library allows no threads at all; use one that does".to_owned()))
    } else {
        Ok((usize::try_from(rank).unwrap_or(0), usize::try_from(size).unwrap_or(1)))
    };
    if hello.send(told).is_ok() {
        while let Ok(job) = queue.recv() {
            job(&world);
        }
    }
    drop(universe);
}

/// Counts and where each part begins, in MPI's numbers.
fn places(
    op: &'static str,
    lengths: impl Iterator<Item = usize>,
) -> Result<(Vec<Count>, Vec<Count>)> {
    let (mut counts, mut starts, mut sum) = (Vec::new(), Vec::new(), 0_usize);
    for length in lengths {
        starts.push(count(op, sum)?);
        counts.push(count(op, length)?);
        sum = sum.saturating_add(length);
    }
    count(op, sum)?;
    Ok((counts, starts))
}

fn count(op: &'static str, length: usize) -> Result<Count> {
    let most = format!("at most {}; use smaller buckets", Count::MAX);
    Count::try_from(length).map_err(|_| Error::argument(op, "length", length, most))
}

/// Parts of these lengths, one after the other.
fn split<T: Clone>(mut all: &[T], lengths: &[usize]) -> Vec<Vec<T>> {
    let parts = lengths.iter().map(|&length| {
        let (part, rest) = all.split_at(length.min(all.len()));
        all = rest;
        part.to_vec()
    });
    parts.collect()
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_reduce(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        count("all_reduce", numbers.len())?;
        self.ask(move |world| {
            let mut sum = vec![0.0_f32; numbers.len()];
            world.all_reduce_into(&numbers[..], &mut sum[..], SystemOperation::sum());
            sum
        })
    }

    fn all_to_all(&self, send: Vec<Vec<f32>>, lengths: &[usize]) -> Result<Vec<Vec<f32>>> {
        const OP: &str = "all_to_all";
        one_each(OP, send.len(), self.size)?;
        one_each(OP, lengths.len(), self.size)?;
        let (counts, starts) = places(OP, send.iter().map(Vec::len))?;
        let (their_counts, their_starts) = places(OP, lengths.iter().copied())?;
        let mut received = vec![0.0_f32; lengths.iter().sum()];
        let received = self.ask(move |world| {
            let send = send.concat();
            let from = Partition::new(&send[..], counts, starts);
            let mut to = PartitionMut::new(&mut received[..], their_counts, their_starts);
            world.all_to_all_varcount_into(&from, &mut to);
            received
        })?;
        Ok(split(&received, lengths))
    }

    fn all_gather(&self, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>> {
        const OP: &str = "all_gather";
        one_each(OP, lengths.len(), self.size)?;
        super::is_length(OP, self.rank, own.len(), lengths[self.rank])?;
        let (counts, starts) = places(OP, lengths.iter().copied())?;
        let mut joined = vec![0.0_f32; lengths.iter().sum()];
        self.ask(move |world| {
            let mut to = PartitionMut::new(&mut joined[..], counts, starts);
            world.all_gather_varcount_into(&own[..], &mut to);
            joined
        })
    }

    fn broadcast(&self, mut bytes: Vec<u8>, root: usize) -> Result<Vec<u8>> {
        const OP: &str = "broadcast";
        is_rank(OP, root, self.size)?;
        let (mine, root) = (root == self.rank, count(OP, root)?);
        if mine {
            count(OP, bytes.len())?;
        }
        self.ask(move |world| {
            let root = world.process_at_rank(root);
            let mut length = bytes.len() as u64;
            root.broadcast_into(&mut length);
            bytes.resize(length as usize, 0);
            root.broadcast_into(&mut bytes[..]);
            bytes
        })
    }

    fn gather(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<Vec<u8>>> {
        const OP: &str = "gather";
        is_rank(OP, root, self.size)?;
        let length = bytes.len() as u64;
        let lengths = self.ask({
            let size = self.size;
            move |world| {
                let mut lengths = vec![0_u64; size];
                world.all_gather_into(&length, &mut lengths[..]);
                lengths
            }
        })?;
        let lengths: Vec<usize> = lengths.into_iter().map(|l| l as usize).collect();
        // The same on all ranks: all fail or none.
        let (counts, starts) = places(OP, lengths.iter().copied())?;
        let (mine, root) = (root == self.rank, count(OP, root)?);
        let mut joined = vec![0_u8; if mine { lengths.iter().sum() } else { 0 }];
        let joined = self.ask(move |world| {
            let root = world.process_at_rank(root);
            if mine {
                let mut to = PartitionMut::new(&mut joined[..], counts, starts);
                root.gather_varcount_into_root(&bytes[..], &mut to);
            } else {
                root.gather_varcount_into(&bytes[..]);
            }
            joined
        })?;
        Ok(if mine { split(&joined, &lengths) } else { Vec::new() })
    }

    fn barrier(&self) -> Result<()> {
        self.ask(CommunicatorCollectives::barrier)
    }
}
