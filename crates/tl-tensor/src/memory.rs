//! How much memory tensors take, measured.

use std::sync::{
    Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};

static MEASURING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A block of so many bytes came into use.
#[inline]
pub(crate) fn taken(bytes: usize) {
    if MEASURING.load(Relaxed) {
        count(bytes as i64);
    }
}

/// A block of so many bytes is no longer in use.
#[inline]
pub(crate) fn given_back(bytes: usize) {
    if MEASURING.load(Relaxed) {
        count(-(bytes as i64));
    }
}

#[cold]
fn count(bytes: i64) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

/// Runs `work` and says how many bytes of tensor storage, beyond what was in use
/// before, were in use at the same time at the most.
///
/// Blocks count as they are allotted, rounded up to their size class; tensors of
/// up to 16 elements live in their header and do not count, nor do the headers,
/// nor what the pool keeps for later, nor the packing space inside a kernel. All
/// threads of the process count, so nothing else should compute meanwhile; a
/// second measurement waits for the first, and one within `work` would wait
/// forever.
///
/// ```
/// use tl_tensor::{Tensor, peak_bytes};
///
/// let (sum, bytes) = peak_bytes(|| {
///     let x = Tensor::<f32>::ones([1024]);
///     let y = x.exp();
///     y.sum_all()
/// });
/// assert_eq!(bytes, 2 * 1024 * 4);
/// # let _ = sum;
/// ```
pub fn peak_bytes<R>(work: impl FnOnce() -> R) -> (R, usize) {
    // The lock guards no data.
    let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    measure(work, one)
}

/// As [`peak_bytes`], but where another measurement is under way `work` runs unmeasured
/// instead of waiting: for libraries, whose callers may measure too, or call them from
/// several threads of one pool.
///
/// ```
/// use tl_tensor::{Tensor, peak_bytes, try_peak_bytes};
///
/// let (inner, bytes) = peak_bytes(|| try_peak_bytes(|| Tensor::<f32>::ones([1024])).1);
/// assert_eq!((inner, bytes), (None, 1024 * 4));
/// ```
pub fn try_peak_bytes<R>(work: impl FnOnce() -> R) -> (R, Option<usize>) {
    match ONE_AT_A_TIME.try_lock() {
        Ok(one) => some(measure(work, one)),
        Err(TryLockError::Poisoned(one)) => some(measure(work, one.into_inner())),
        Err(TryLockError::WouldBlock) => (work(), None),
    }
}

fn some<R>((result, bytes): (R, usize)) -> (R, Option<usize>) {
    (result, Some(bytes))
}

fn measure<R>(work: impl FnOnce() -> R, _one: MutexGuard<'static, ()>) -> (R, usize) {
    /// Ends the measurement also when `work` panics.
    struct Measuring;
    impl Drop for Measuring {
        fn drop(&mut self) {
            MEASURING.store(false, Relaxed);
        }
    }
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    let measuring = Measuring;
    MEASURING.store(true, Relaxed);
    let result = work();
    drop(measuring);
    (result, PEAK.load(Relaxed).max(0) as usize)
}
