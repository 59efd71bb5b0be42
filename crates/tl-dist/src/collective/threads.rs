//! Ranks as threads of one process.

use super::{Collective, is_length, is_rank, one_each};
use crate::{Error, Result};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A rank that is a thread: for tests of a distributed program without MPI, and
/// for machines where one model does not fill all cores.
///
/// ```
/// use tl_dist::{Collective, Threads};
/// let sums = Threads::run(3, |world| world.all_reduce(vec![world.rank() as f32]))?;
/// assert_eq!(sums, [[3.0], [3.0], [3.0]]);
/// # Ok::<(), tl_dist::Error>(())
/// ```
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    hub: Arc<Hub>,
    /// One operation at a time, whoever in this rank asks.
    turn: Mutex<()>,
}

/// What a rank hands to the others.
#[derive(Debug)]
enum Payload {
    Nothing,
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
    Parts(Vec<Vec<f32>>),
}

type Message = (&'static str, Arc<Payload>);

/// Where ranks meet.
#[derive(Debug)]
struct Hub {
    size: usize,
    meeting: Mutex<Meeting>,
    changed: Condvar,
}

#[derive(Debug)]
struct Meeting {
    messages: Vec<Option<Message>>,
    /// Ranks that have not yet read a complete set of messages; 0 while it
    /// fills.
    readers: usize,
    /// The rank that left first.
    gone: Option<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is never left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    fn wait<'a>(&self, meeting: MutexGuard<'a, Meeting>) -> MutexGuard<'a, Meeting> {
        self.changed.wait(meeting).unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `payload` to all ranks and gets theirs.
    fn exchange(&self, rank: usize, op: &'static str, payload: Payload) -> Result<Vec<Message>> {
        let lost = |meeting: &Meeting| meeting.gone.map(|rank| Error::RankLost { rank, op });
        let mut meeting = lock(&self.meeting);
        while meeting.readers > 0 {
            meeting = self.wait(meeting);
        }
        if let Some(error) = lost(&meeting) {
            return Err(error);
        }
        meeting.messages[rank] = Some((op, Arc::new(payload)));
        if meeting.messages.iter().all(Option::is_some) {
            meeting.readers = self.size;
            self.changed.notify_all();
        }
        while meeting.readers == 0 {
            if let Some(error) = lost(&meeting) {
                return Err(error);
            }
            meeting = self.wait(meeting);
        }
        let all: Vec<Message> = meeting.messages.iter().flatten().cloned().collect();
        meeting.readers -= 1;
        if meeting.readers == 0 {
            meeting.messages.fill(None);
            self.changed.notify_all();
        }
        Ok(all)
    }

    fn leave(&self, rank: usize) {
        lock(&self.meeting).gone.get_or_insert(rank);
        self.changed.notify_all();
    }
}

impl Threads {
    /// Runs `body` on `size` ranks, each in a thread of its own, and returns
    /// what they return, by rank. Kernels of all ranks share the current rayon
    /// pool of their thread, which is the global one.
    ///
    /// # Errors
    /// No rank; the error of the rank that failed first. Ranks that wait for it
    /// get [`Error::RankLost`].
    pub fn run<T, E>(
        size: usize,
        body: impl Fn(&Self) -> std::result::Result<T, E> + Sync,
    ) -> std::result::Result<Vec<T>, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        if size == 0 {
            return Err(Error::argument("Threads::run", "size", 0, "at least 1 rank").into());
        }
        let meeting = Meeting { messages: vec![None; size], readers: 0, gone: None };
        let hub = Arc::new(Hub { size, meeting: Mutex::new(meeting), changed: Condvar::new() });
        let mut results: Vec<std::result::Result<T, E>> = thread::scope(|scope| {
            let ranks: Vec<_> = (0..size)
                .map(|rank| {
                    let world = Self { rank, hub: hub.clone(), turn: Mutex::new(()) };
                    let body = &body;
                    scope.spawn(move || {
                        let result = catch_unwind(AssertUnwindSafe(|| body(&world)));
                        world.hub.leave(rank);
                        result.unwrap_or_else(|panic| Err(panicked(rank, &*panic).into()))
                    })
                })
                .collect();
            let joined = ranks.into_iter().enumerate();
            joined
                .map(|(rank, t)| t.join().unwrap_or_else(|p| Err(panicked(rank, &*p).into())))
                .collect()
        });
        let first = lock(&hub.meeting).gone.filter(|&rank| results[rank].is_err());
        match first.or_else(|| results.iter().position(std::result::Result::is_err)) {
            Some(failed) => results.swap_remove(failed).map(|_| Vec::new()),
            None => results.into_iter().collect(),
        }
    }

    fn exchange(&self, op: &'static str, payload: Payload) -> Result<Vec<Arc<Payload>>> {
        let _turn = lock(&self.turn);
        let messages = self.hub.exchange(self.rank, op, payload)?;
        if let Some(rank) = messages.iter().position(|(theirs, _)| *theirs != op) {
            return Err(Error::OutOfStep { rank, theirs: messages[rank].0, ours: op });
        }
        Ok(messages.into_iter().map(|(_, payload)| payload).collect())
    }

    fn numbers(&self, op: &'static str, own: Vec<f32>) -> Result<Vec<Arc<Payload>>> {
        self.exchange(op, Payload::Numbers(own))
    }
}

fn panicked(rank: usize, panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Error::Panicked { rank, message: text.unwrap_or_else(|| "no message".to_owned()) }
}

impl Payload {
    fn as_numbers(&self) -> &[f32] {
        if let Self::Numbers(x) = self { x } else { &[] }
    }

    fn as_bytes(&self) -> &[u8] {
        if let Self::Bytes(x) = self { x } else { &[] }
    }

    fn part(&self, to: usize) -> &[f32] {
        if let Self::Parts(x) = self { x.get(to).map_or(&[], Vec::as_slice) } else { &[] }
    }
}

impl Collective for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.hub.size
    }

    fn all_reduce(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        let length = numbers.len();
        let all = self.numbers("all_reduce", numbers)?;
        for (rank, own) in all.iter().enumerate() {
            is_length("all_reduce", rank, own.as_numbers().len(), length)?;
        }
        let mut sum = vec![0.0; length];
        for own in &all {
            for (sum, x) in sum.iter_mut().zip(own.as_numbers()) {
                *sum += x;
            }
        }
        Ok(sum)
    }

    fn all_to_all(&self, send: Vec<Vec<f32>>, lengths: &[usize]) -> Result<Vec<Vec<f32>>> {
        one_each("all_to_all", send.len(), self.size())?;
        one_each("all_to_all", lengths.len(), self.size())?;
        let all = self.exchange("all_to_all", Payload::Parts(send))?;
        let received = all.iter().zip(lengths).enumerate().map(|(rank, (sent, &length))| {
            let part = sent.part(self.rank);
            is_length("all_to_all", rank, part.len(), length)?;
            Ok(part.to_vec())
        });
        received.collect()
    }

    fn all_gather(&self, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>> {
        one_each("all_gather", lengths.len(), self.size())?;
        let all = self.numbers("all_gather", own)?;
        let mut joined = Vec::with_capacity(lengths.iter().sum());
        for (rank, (own, &length)) in all.iter().zip(lengths).enumerate() {
            is_length("all_gather", rank, own.as_numbers().len(), length)?;
            joined.extend(own.as_numbers());
        }
        Ok(joined)
    }

    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<u8>> {
        is_rank("broadcast", root, self.size())?;
        let own = if self.rank == root { Payload::Bytes(bytes) } else { Payload::Nothing };
        Ok(self.exchange("broadcast", own)?[root].as_bytes().to_vec())
    }

    fn gather(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<Vec<u8>>> {
        is_rank("gather", root, self.size())?;
        let all = self.exchange("gather", Payload::Bytes(bytes))?;
        if self.rank != root {
            return Ok(Vec::new());
        }
        Ok(all.iter().map(|own| own.as_bytes().to_vec()).collect())
    }

    fn barrier(&self) -> Result<()> {
        self.exchange("barrier", Payload::Nothing).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_gets_what_was_sent_to_them() {
        for size in [1, 2, 4, 5] {
            Threads::run::<_, Error>(size, |world| {
                let me = world.rank();
                for round in 0..50 {
                    let send: Vec<Vec<f32>> =
                        (0..size).map(|to| vec![(10 * me + to) as f32; me + 1]).collect();
                    let lengths: Vec<usize> = (1..=size).collect();
                    for (from, got) in world.all_to_all(send, &lengths)?.iter().enumerate() {
                        assert_eq!(*got, vec![(10 * from + me) as f32; from + 1]);
                    }
                    let root = round % size;
                    let told = world.broadcast(vec![me as u8; me + 1], root)?;
                    assert_eq!(told, vec![root as u8; root + 1]);
                    let gathered = world.gather_everywhere(vec![me as u8; me])?;
                    assert_eq!(gathered.len(), size);
                    assert!(gathered.iter().enumerate().all(|(r, g)| *g == vec![r as u8; r]));
                    let joined =
                        world.all_gather(vec![me as f32; me], &(0..size).collect::<Vec<_>>())?;
                    assert_eq!(joined.len(), size * (size - 1) / 2);
                    world.barrier()?;
                }
                Ok(())
            })
            .unwrap();
        }
    }

    #[test]
    fn the_first_failure_is_told_and_no_one_waits_for_ever() {
        let error = Threads::run::<(), Error>(3, |world| {
            world.barrier()?;
            if world.rank() == 1 {
                return Err(Error::Mpi("the cable".to_owned()));
            }
            world.all_reduce(vec![1.0]).map(drop)
        })
        .unwrap_err();
        assert!(matches!(error, Error::Mpi(_)), "{error}");
        let error = Threads::run::<(), Error>(2, |world| {
            assert!(world.rank() == 0, "rank 1 is out");
            world.barrier()
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "rank 1 panicked: rank 1 is out");
    }

    #[test]
    fn a_rank_that_waits_is_told_who_left() {
        let told = Threads::run::<_, Error>(2, |world| match world.rank() {
            0 => Ok(None),
            _ => Ok(Some(world.barrier().unwrap_err())),
        });
        assert!(matches!(told.unwrap()[1], Some(Error::RankLost { rank: 0, op: "barrier" })));
    }

    #[test]
    fn other_operations_and_lengths_are_named() {
        let error = Threads::run::<(), Error>(2, |world| match world.rank() {
            0 => world.barrier(),
            _ => world.all_reduce(vec![]).map(drop),
        });
        assert!(matches!(error, Err(Error::OutOfStep { .. })));
        let error = Threads::run::<(), Error>(2, |world| {
            world.all_reduce(vec![0.0; world.rank() + 1]).map(drop)
        });
        assert!(matches!(error, Err(Error::Length { op: "all_reduce", .. })));
        assert!(Threads::run::<(), Error>(0, |_| Ok(())).is_err());
    }
}
