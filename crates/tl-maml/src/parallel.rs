//! Work on many tasks at once, in the order of the tasks.

use crate::Result;

/// How many tasks are worked on before their results are summed: memory does
/// not grow with the number of tasks beyond it.
pub(crate) const AT_ONCE: usize = 16;

/// `f` of every item, with its position; in parallel where that is enabled.
#[cfg(feature = "rayon")]
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    f: impl Fn(usize, &T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    use rayon::prelude::*;
    items.par_iter().enumerate().map(|(i, item)| f(i, item)).collect()
}

/// `f` of every item, with its position; in parallel where that is enabled.
#[cfg(not(feature = "rayon"))]
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    f: impl Fn(usize, &T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    items.iter().enumerate().map(|(i, item)| f(i, item)).collect()
}
