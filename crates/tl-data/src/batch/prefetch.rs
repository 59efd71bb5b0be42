//! A background thread that prepares batches ahead.

use super::{Batch, loader::Direct};
use crate::{Error, Result};
use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::{Builder, JoinHandle},
};

/// Batches that come from a thread of their own. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Prefetch {
    state: State,
    left: usize,
}

#[derive(Debug)]
enum State {
    Running {
        batches: Receiver<Result<Batch>>,
        worker: JoinHandle<()>,
    },
    /// The thread could not be started: prepare each batch when asked.
    Direct(Box<Direct>),
    Ended,
}

impl Prefetch {
    pub(super) fn new(source: Direct, ahead: usize) -> Self {
        // The thread itself holds one batch besides those in the channel.
        let (sender, batches) = sync_channel(ahead.saturating_sub(1));
        let (own, left) = (source.clone_start(), source.left());
        let worker = Builder::new().name("tl-data batches".to_owned()).spawn(move || {
            for batch in source {
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        let state = match worker {
            Ok(worker) => State::Running { batches, worker },
            Err(_) => State::Direct(Box::new(own)),
        };
        Self { state, left }
    }

    /// Batches to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }
}

impl Iterator for Prefetch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        self.left = self.left.saturating_sub(1);
        match &mut self.state {
            State::Running { batches, .. } => {
                if let Ok(batch) = batches.recv() {
                    return Some(batch);
                }
            }
            State::Direct(direct) => return direct.next(),
            State::Ended => return None,
        }
        let State::Running { worker, .. } = std::mem::replace(&mut self.state, State::Ended) else {
            return None;
        };
        let panicked = worker.join().is_err();
        let problem = "panicked in a transform or a step".to_owned();
        panicked.then_some(Err(Error::Worker { problem }))
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        if let State::Running { batches, worker } = std::mem::replace(&mut self.state, State::Ended)
        {
            drop(batches);
            // A panic of a step that nobody waits for has nobody to tell.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Batching, Dataset, Error, Loader};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use tl_tensor::Tensor;

    fn loader(prefetch: usize) -> Loader {
        let data = Dataset::unlabelled(Tensor::zeros([100, 1])).unwrap();
        data.batches(Batching::new(1).prefetch(prefetch)).unwrap()
    }

    #[test]
    fn leaving_early_ends_the_thread() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let loader = loader(3).map(move |batch, _| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(batch)
        });
        let mut epoch = loader.epoch(0);
        epoch.next().unwrap().unwrap();
        drop(epoch);
        // One was taken, at most three were ahead of it.
        assert!(made.load(Ordering::SeqCst) <= 4);
        assert_eq!(Arc::strong_count(&made), 2);
    }

    #[test]
    fn a_panic_in_a_step_becomes_an_error() {
        let loader = loader(2).map(|batch, _| {
            assert!(batch.indices[0] < 3, "a step that fails");
            Ok(batch)
        });
        let all: Vec<_> = loader.epoch(0).collect();
        assert_eq!(all.len(), 4);
        assert!(matches!(all[3], Err(Error::Worker { .. })));
    }
}
