//! Work on many tasks at once, with results in the order of the tasks.

use crate::Result;
use std::collections::BTreeMap;

/// Results that arrive in any order and are taken in that of the items.
struct InOrder<R, A> {
    next: usize,
    waiting: BTreeMap<usize, R>,
    sum: A,
}

impl<R, A> InOrder<R, A> {
    fn arrive(
        &mut self,
        at: usize,
        result: R,
        take: &impl Fn(&mut A, R) -> Result<()>,
    ) -> Result<()> {
        self.waiting.insert(at, result);
        while let Some(result) = self.waiting.remove(&self.next) {
            self.next += 1;
            take(&mut self.sum, result)?;
        }
        Ok(())
    }
}

/// The number of items that are worked on at the same time.
pub(crate) fn at_once(items: usize) -> usize {
    #[cfg(feature = "rayon")]
    let threads = rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    let threads = 1;
    threads.min(items)
}

/// Folds `f` of every item (with its position) into `start`, in the order of
/// the items whatever the threads do, so the same bits for any number of them.
///
/// As many items as there are threads are worked on at once and never more: a
/// plain parallel iterator would begin another item while it waits for a kernel
/// of the first, and then hold both. A result waits only for those before it.
pub(crate) fn fold<T: Sync, R: Send, A: Send>(
    items: &[T],
    start: A,
    f: impl Fn(usize, &T) -> Result<R> + Sync,
    take: impl Fn(&mut A, R) -> Result<()> + Sync,
) -> Result<A> {
    let order = InOrder { next: 0, waiting: BTreeMap::new(), sum: start };
    let lanes = at_once(items.len());
    #[cfg(feature = "rayon")]
    if lanes > 1 {
        return in_lanes(items, order, lanes, &f, &take);
    }
    let _ = lanes;
    let mut order = order;
    for (at, item) in items.iter().enumerate() {
        order.arrive(at, f(at, item)?, &take)?;
    }
    Ok(order.sum)
}

#[cfg(feature = "rayon")]
fn in_lanes<T: Sync, R: Send, A: Send>(
    items: &[T],
    order: InOrder<R, A>,
    lanes: usize,
    f: &(impl Fn(usize, &T) -> Result<R> + Sync),
    take: &(impl Fn(&mut A, R) -> Result<()> + Sync),
) -> Result<A> {
    use rayon::prelude::*;
    use std::sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    };
    let (next, order) = (AtomicUsize::new(0), Mutex::new(order));
    (0..lanes).into_par_iter().with_max_len(1).try_for_each(|_| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return Ok(()) };
            match f(at, item) {
                // A lane that panicked ends the whole; the state does not matter.
                Ok(result) => {
                    let mut order = order.lock().unwrap_or_else(PoisonError::into_inner);
                    order.arrive(at, result, take)?;
                }
                Err(error) => {
                    // The other lanes need not begin anything more.
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    })?;
    Ok(order.into_inner().unwrap_or_else(PoisonError::into_inner).sum)
}

/// `f` of every item, with its position.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    f: impl Fn(usize, &T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let results = Vec::with_capacity(items.len());
    fold(items, results, f, |results, result| {
        results.push(result);
        Ok(())
    })
}

#[cfg(all(test, feature = "rayon"))]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread::sleep,
        time::Duration,
    };

    #[test]
    fn the_order_is_that_of_the_items_and_few_are_begun_at_once() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<u64> = (0..20).collect();
        let slow_first = |at: usize, item: &u64| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // A kernel that spreads over the threads, and uneven work.
            rayon::join(|| sleep(Duration::from_micros(300)), || sleep(Duration::from_micros(300)));
            sleep(Duration::from_micros(if at.is_multiple_of(3) { 2000 } else { 50 }));
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(*item * 10)
        };
        let got = pool.install(|| map(&items, slow_first)).unwrap();
        assert_eq!(got, items.iter().map(|i| i * 10).collect::<Vec<_>>());
        assert!(most.into_inner() <= 3);
    }

    #[test]
    fn an_error_ends_the_work() {
        let items = [0, 1, 2, 3];
        let fail = |_: usize, item: &i32| match item {
            2 => Err(crate::Error::argument("test", "item", item, "another")),
            _ => Ok(()),
        };
        assert!(map(&items, fail).unwrap_err().to_string().contains("item is 2"));
    }
}
