//! Reference-counted storage from a recycling pool.
//!
//! Fresh memory pages are the hidden cost of large activations: the kernel has
//! to zero and map them at the first touch. Buffers are therefore kept when
//! they are dropped and handed out again by size class. Small ones go to a
//! list of the thread, which passes what is too much to a shared list, and gets
//! from it what it lacks, many at a time: what one thread makes and another drops
//! comes back. Large ones go to the shared list at once.
#![allow(unsafe_code)]

use crate::{Elem, memory};
use std::{
    mem::{self, MaybeUninit},
    slice,
    sync::OnceLock,
};
use triomphe::Arc;

/// Elements that are stored without an allocation of their own.
const INLINE: usize = 16;
/// Buffers of at least this many lines are shared between threads.
const SHARED_FROM: usize = 1 << 12;
/// Lines of a class that a thread keeps for itself, and blocks at least and at most.
const OWN_LINES: usize = 1 << 12;
const OWN_BLOCKS: [usize; 2] = [4, 64];
/// Bytes that one pool keeps for later whatever was in use, and at most.
const LIMITS: [usize; 2] = [1 << 29, 1 << 31];
/// Elements of a line.
const LINE: usize = 16;
const CLASSES: usize = 160;

/// Sixteen elements at a cache line boundary.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line<E>([E; LINE]);

enum Storage<E: Elem> {
    Inline([E; INLINE]),
    Lines(Vec<Line<E>>),
}

/// What a kernel makes of a weight to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepared {
    /// The transform for Winograd's convolution from so many channels, by tiles of so many
    /// outputs a side, of kernels as they lie or of their phases, or for its way back.
    Winograd { from: usize, outputs: usize, of_phases: bool, back: bool },
    /// The panels of a right matrix of so many rows.
    Panels(usize),
}

/// A block of `len` initialised elements.
pub(crate) struct Buffer<E: Elem> {
    storage: Storage<E>,
    len: usize,
    /// What a kernel made of these elements, for its next use.
    prepared: OnceLock<Box<(Prepared, Arc<Buffer<E>>)>>,
}

/// Free blocks by size class.
pub struct Pools<E> {
    free: [Vec<Vec<Line<E>>>; CLASSES],
    bytes: usize,
    /// Bytes of the large blocks that are in use, and the most that ever were.
    used: usize,
    most: usize,
    limits: [usize; 2],
}

impl<E> Pools<E> {
    pub(crate) const fn new() -> Self {
        Self { free: [const { Vec::new() }; CLASSES], bytes: 0, used: 0, most: 0, limits: LIMITS }
    }

    fn take(&mut self, class: usize) -> Option<Vec<Line<E>>> {
        let block = self.free[class].pop()?;
        self.bytes -= size_of_val(&block[..]);
        Some(block)
    }

    fn put(&mut self, class: usize, block: Vec<Line<E>>) {
        let bytes = size_of_val(&block[..]);
        if self.bytes + bytes <= self.limit() {
            self.bytes += bytes;
            self.free[class].push(block);
        }
    }

    /// Bytes to keep: with what is in use no more than once was, so that a large step
    /// finds the memory of the one before it.
    fn limit(&self) -> usize {
        (self.most - self.used).clamp(self.limits[0], self.limits[1])
    }

    /// As [`take`](Self::take), of a large block of so many lines. Without one the largest
    /// free ones make room for a new one.
    fn take_large(&mut self, class: usize, lines: usize) -> Option<Vec<Line<E>>> {
        let block = self.take(class);
        self.used += lines * size_of::<Line<E>>();
        self.most = self.most.max(self.used);
        for class in (0..CLASSES).rev() {
            while self.bytes > self.limit() && self.take(class).is_some() {}
        }
        block
    }

    /// As [`put`](Self::put), of a block that was taken by [`take_large`](Self::take_large).
    fn put_large(&mut self, class: usize, block: Vec<Line<E>>) {
        self.used = self.used.saturating_sub(size_of_val(&block[..]));
        self.put(class, block);
    }

    /// Moves up to `count` blocks to another pool.
    fn pass(&mut self, class: usize, count: usize, to: &mut Self) {
        for _ in 0..count {
            let Some(block) = self.take(class) else { return };
            to.put(class, block);
        }
    }
}

/// Most blocks of so many lines that a thread keeps for itself.
fn own_blocks(lines: usize) -> usize {
    (OWN_LINES / lines).clamp(OWN_BLOCKS[0], OWN_BLOCKS[1])
}

/// The size class of `lines` and the lines that a block of this class has:
/// up to 8 exactly, above that four classes for every doubling.
fn class_of(lines: usize) -> (usize, usize) {
    if lines <= 8 {
        return (lines, lines);
    }
    let shift = lines.ilog2() - 2;
    let mantissa = (lines - 1) >> shift;
    (8 + (shift as usize) * 4 + mantissa - 3, (mantissa + 1) << shift)
}

impl<E: Elem> Buffer<E> {
    /// Elements of any (but initialised) value; the caller overwrites them.
    pub(crate) fn scratch(len: usize) -> Self {
        if len <= INLINE { Self::inline(len) } else { Self::from_pool(len) }
    }

    /// As [`scratch`](Self::scratch), but written where it is to stay: the
    /// elements within need not be moved.
    #[inline]
    pub(crate) fn scratch_at(place: &mut MaybeUninit<Self>, len: usize) -> &mut Self {
        if len <= INLINE {
            place.write(Self::inline(len))
        } else {
            place.write(Self::from_pool(len))
        }
    }

    #[inline(always)]
    fn inline(len: usize) -> Self {
        Self::new(Storage::Inline([E::ZERO; INLINE]), len)
    }

    fn from_pool(len: usize) -> Self {
        let (class, lines) = class_of(len.div_ceil(LINE));
        let shared = || E::shared_pools().lock().ok();
        let reused = if lines >= SHARED_FROM {
            shared().and_then(|mut all| all.take_large(class, lines))
        } else {
            E::with_pools(|own| {
                own.take(class).or_else(|| {
                    shared()?.pass(class, own_blocks(lines) / 2, own);
                    own.take(class)
                })
            })
            .flatten()
        };
        let block = reused.unwrap_or_else(|| vec![Line([E::ZERO; LINE]); lines]);
        memory::taken(size_of_val(&block[..]));
        Self::new(Storage::Lines(block), len)
    }

    #[inline(always)]
    fn new(storage: Storage<E>, len: usize) -> Self {
        Self { storage, len, prepared: OnceLock::new() }
    }

    /// What `make` makes of the elements, kept until they are written again; the first
    /// kind that is asked for is.
    pub(crate) fn prepared(&self, kind: Prepared, make: impl FnOnce(&[E]) -> Self) -> Arc<Self> {
        if let Some(kept) = self.prepared.get()
            && kept.0 == kind
        {
            return kept.1.clone();
        }
        // Not within the lock: `make` may use threads, and a thread that waits
        // for them may meet this buffer again.
        let made = Arc::new(make(self.as_slice()));
        let _ = self.prepared.set(Box::new((kind, made.clone())));
        made
    }

    pub(crate) fn filled(len: usize, value: E) -> Self {
        let mut buffer = Self::scratch(len);
        buffer.as_mut_slice().fill(value);
        buffer
    }

    pub(crate) fn copied(data: &[E]) -> Self {
        let mut buffer = Self::scratch(data.len());
        buffer.as_mut_slice().copy_from_slice(data);
        buffer
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[E] {
        match &self.storage {
            Storage::Inline(data) => &data[..self.len],
            // SAFETY: `Line` is `repr(C)` over an array of `E`, its size is a
            // multiple of its alignment, so the lines are `LINE * lines`
            // elements without gaps, all initialised, and `len` is at most that.
            Storage::Lines(lines) => unsafe {
                slice::from_raw_parts(lines.as_ptr().cast::<E>(), self.len)
            },
        }
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [E] {
        self.prepared.take();
        match &mut self.storage {
            Storage::Inline(data) => &mut data[..self.len],
            // SAFETY: as in `as_slice`; the borrow is unique.
            Storage::Lines(lines) => unsafe {
                slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<E>(), self.len)
            },
        }
    }
}

impl<E: Elem> Drop for Buffer<E> {
    fn drop(&mut self) {
        if let Storage::Lines(lines) = &mut self.storage {
            let block = mem::take(lines);
            memory::given_back(size_of_val(&block[..]));
            let (lines, (class, _)) = (block.len(), class_of(block.len()));
            let shared = || E::shared_pools().lock();
            if lines >= SHARED_FROM {
                if let Ok(mut all) = shared() {
                    all.put_large(class, block);
                }
                return;
            }
            E::with_pools(|own| {
                own.put(class, block);
                let (kept, most) = (own.free[class].len(), own_blocks(lines));
                if kept > most
                    && let Ok(mut all) = shared()
                {
                    own.pass(class, kept - most / 2, &mut all);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_is_asked_and_keep_their_class() {
        let mut last = 0;
        for lines in 1..100_000 {
            let (class, size) = class_of(lines);
            assert!(size >= lines && size <= lines + lines / 3, "{lines} lines got {size}");
            assert_eq!(class_of(size), (class, size));
            assert!(class >= last);
            last = class;
        }
        assert!(class_of(1 << 38).0 < CLASSES);
    }

    #[test]
    fn what_was_prepared_goes_when_the_elements_are_written() {
        let mut buffer = Buffer::<f64>::filled(40, 1.0);
        let twice = |x: &[f64]| Buffer::copied(&x.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
        let kind = Prepared::Panels(1);
        let first = buffer.prepared(kind, twice);
        assert!(Arc::ptr_eq(&first, &buffer.prepared(kind, twice)));
        let other = buffer.prepared(Prepared::Panels(2), Buffer::copied);
        assert_eq!(other.as_slice()[0], 1.0);
        buffer.as_mut_slice()[0] = 5.0;
        assert_eq!(buffer.prepared(kind, twice).as_slice()[..2], [10.0, 2.0]);
        assert_eq!(first.as_slice()[0], 2.0);
    }

    #[test]
    fn what_another_thread_drops_comes_back() {
        let make = || (0..200).map(|_| Buffer::<f64>::scratch(5000)).collect::<Vec<_>>();
        let place = |buffer: &Buffer<f64>| buffer.as_slice().as_ptr() as usize;
        let first = make();
        let places: std::collections::HashSet<usize> = first.iter().map(place).collect();
        std::thread::spawn(move || drop(first)).join().unwrap();
        let again = make().iter().filter(|buffer| places.contains(&place(buffer))).count();
        // The other thread took a few with it.
        assert!(again >= 200 - OWN_BLOCKS[1], "{again} of 200");
    }

    #[test]
    fn as_much_is_kept_as_was_in_use_and_new_blocks_push_out_others() {
        let lines = 1 << 12;
        let size = lines * size_of::<Line<f32>>();
        let of = |count: usize| class_of(count).0;
        let mut pool = Pools::<f32>::new();
        pool.limits = [size, 8 * size];
        let fresh = |pool: &mut Pools<f32>, lines: usize| {
            assert!(pool.take_large(of(lines), lines).is_none());
            vec![Line([0.0; LINE]); lines]
        };
        let blocks: Vec<_> = (0..4).map(|_| fresh(&mut pool, lines)).collect();
        blocks.into_iter().for_each(|block| pool.put_large(of(lines), block));
        assert_eq!((pool.bytes, pool.used), (4 * size, 0));
        // Another size: with what is kept no more than there once was.
        let other = fresh(&mut pool, lines / 2);
        assert_eq!((pool.bytes, pool.used), (3 * size, size / 2));
        pool.put_large(of(lines / 2), other);
        assert_eq!((pool.bytes, pool.used), (3 * size + size / 2, 0));
        // The least and the most that are kept.
        pool.limits = [size, 3 * size];
        let blocks: Vec<_> = (0..3).map(|_| pool.take_large(of(lines), lines).unwrap()).collect();
        assert_eq!(pool.bytes, size / 2);
        blocks.into_iter().for_each(|block| pool.put_large(of(lines), block));
        assert_eq!(pool.bytes, 2 * size + size / 2);
    }

    #[test]
    fn dropped_blocks_are_used_again() {
        let first = Buffer::<f64>::filled(1000, 7.0);
        let at = first.as_slice().as_ptr();
        drop(first);
        let again = Buffer::<f64>::scratch(1000);
        assert_eq!(again.as_slice().as_ptr(), at);
        assert_eq!(at as usize % 64, 0);
    }
}
