//! Runs that do not need one another, two at a time: small networks leave one of
//! two cores without work.

use crate::shared::Outcome;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What each job gives, in the order of the jobs. After the first failure no
/// further job begins.
pub fn each<J: Sync, T: Send>(
    jobs: &[J],
    run: impl Fn(&J) -> Outcome<T> + Sync,
) -> Outcome<Vec<T>> {
    let next = AtomicUsize::new(0);
    let given = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        let take = || {
            let place = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(place).map(|job| (place, job))
        };
        while let Some((place, job)) = take() {
            // An error need not be fit for another thread; its text is.
            let result = run(job).map_err(|error| error.to_string());
            if result.is_err() {
                next.store(jobs.len(), Ordering::Relaxed);
            }
            given.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let mut given = given.into_inner().unwrap_or_else(PoisonError::into_inner);
    given.sort_by_key(|(place, _)| *place);
    Ok(given.into_iter().map(|(_, result)| result).collect::<Result<_, String>>()?)
}
