//! Many small runs on few cores.

use crate::shared::Outcome;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Does all jobs, one on each core at a time; the results are in their order and do
/// not depend on how many cores there are.
pub fn run<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Outcome<R> + Sync,
) -> Outcome<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return Ok(done) };
            match work(job) {
                Ok(result) => done.push((at, result)),
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Result<Vec<(usize, R)>, String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|part| part.unwrap_or_else(|_| Err("a run panicked".to_owned()))).collect()
    });
    let mut all = Vec::with_capacity(jobs.len());
    for part in parts {
        all.extend(part?);
    }
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}
