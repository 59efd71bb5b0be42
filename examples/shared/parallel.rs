//! Many small runs on few cores.

use super::Outcome;
use rayon::ThreadPoolBuilder;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Does all jobs, one on each core at a time, each with a pool of one thread: small
/// networks gain nothing from more. The results are in the order of the jobs and do not
/// depend on how many cores there are.
pub fn run<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Outcome<R> + Sync,
) -> Outcome<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        let pool = ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| e.to_string())?;
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return Ok(done) };
            // An error need not be fit for another thread; its text is.
            done.push((at, pool.install(|| work(job).map_err(|error| error.to_string()))?));
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
