//! When and how a loop is spread over threads, and over vector lanes.
//!
//! The split of the work never depends on the number of threads, so results
//! are the same bits for any.

use pulp::Arch;

/// Elements from which on a cheap loop is worth a second thread.
#[cfg(feature = "rayon")]
const THRESHOLD: usize = 1 << 18;
/// Elements that one task takes.
pub(crate) const CHUNK: usize = 1 << 14;

/// Runs `f` compiled for the best instruction set of this machine.
#[inline(always)]
pub(crate) fn simd<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// The number of threads that a kernel may use here.
pub(crate) fn threads() -> usize {
    #[cfg(feature = "rayon")]
    {
        rayon::current_num_threads()
    }
    #[cfg(not(feature = "rayon"))]
    {
        1
    }
}

/// Calls `f(index, chunk)` for consecutive chunks of `out`, in parallel if
/// `work` (elements touched in all) is worth it.
pub(crate) fn chunks<E: Send>(
    out: &mut [E],
    chunk: usize,
    work: usize,
    f: impl Fn(usize, &mut [E]) + Sync + Send,
) {
    let chunk = chunk.max(1);
    #[cfg(feature = "rayon")]
    if work >= THRESHOLD && out.len() > chunk && threads() > 1 {
        use rayon::prelude::*;
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, part)| f(i, part));
        return;
    }
    let _ = work;
    for (i, part) in out.chunks_mut(chunk).enumerate() {
        f(i, part);
    }
}

/// Calls `f(index)` for every index below `count`, in parallel if `work` is
/// worth it, and collects the results in order.
pub(crate) fn collect<R: Send>(
    count: usize,
    work: usize,
    f: impl Fn(usize) -> R + Sync + Send,
) -> Vec<R> {
    #[cfg(feature = "rayon")]
    if work >= THRESHOLD && count > 1 && threads() > 1 {
        use rayon::prelude::*;
        return (0..count).into_par_iter().map(f).collect();
    }
    let _ = work;
    (0..count).map(f).collect()
}

/// As [`chunks`], and collects what `f` returns, in order.
pub(crate) fn chunks_collect<E: Send, R: Send>(
    out: &mut [E],
    chunk: usize,
    work: usize,
    f: impl Fn(usize, &mut [E]) -> R + Sync + Send,
) -> Vec<R> {
    let chunk = chunk.max(1);
    #[cfg(feature = "rayon")]
    if work >= THRESHOLD && out.len() > chunk && threads() > 1 {
        use rayon::prelude::*;
        return out.par_chunks_mut(chunk).enumerate().map(|(i, part)| f(i, part)).collect();
    }
    let _ = work;
    out.chunks_mut(chunk).enumerate().map(|(i, part)| f(i, part)).collect()
}
