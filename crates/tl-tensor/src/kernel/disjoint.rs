//! A slice that several tasks write at places of their own.
#![allow(unsafe_code)]

use std::{any::TypeId, marker::PhantomData, slice};

/// A borrowed slice of which tasks take parts that do not overlap, where these
/// are no chunks of it: rows of one channel of every image, say.
pub(crate) struct Disjoint<'a, E> {
    data: *mut E,
    len: usize,
    borrow: PhantomData<&'a mut [E]>,
}

// SAFETY: it hands out parts of one uniquely borrowed slice; who takes them
// promises that parts in use at the same time do not overlap, so sharing it is
// as sending these parts, which needs `E: Send` alone.
unsafe impl<E: Send> Sync for Disjoint<'_, E> {}

impl<'a, E> Disjoint<'a, E> {
    pub(crate) fn new(data: &'a mut [E]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), borrow: PhantomData }
    }

    /// `count` elements from `from` on.
    ///
    /// # Safety
    /// No other part that is alive holds one of these elements.
    ///
    /// # Panics
    /// The part reaches beyond the slice.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, from: usize, count: usize) -> &'a mut [E] {
        assert!(from <= self.len && count <= self.len - from, "a part beyond the slice");
        // SAFETY: inside of the borrowed slice, as asserted; unique by the
        // caller's promise.
        unsafe { slice::from_raw_parts_mut(self.data.add(from), count) }
    }

    /// Where an element is.
    ///
    /// # Panics
    /// It is beyond the slice.
    #[inline(always)]
    pub(crate) fn at(&self, element: usize) -> *mut E {
        assert!(element < self.len, "an element beyond the slice");
        // SAFETY: inside of the slice, as asserted.
        unsafe { self.data.add(element) }
    }

    /// Where `side` rows of `side` elements lie, `step` apart from `from` on, as a type
    /// that `E` is.
    ///
    /// # Panics
    /// They reach beyond the slice.
    #[inline(always)]
    pub(crate) fn square<F: 'static>(&self, from: usize, step: usize, side: usize) -> Option<*mut F>
    where
        E: 'static,
    {
        let count = (side - 1) * step + side;
        assert!(count <= self.len - from, "a square beyond the slice");
        (TypeId::of::<E>() == TypeId::of::<F>()).then_some(self.at(from).cast())
    }
}

/// A slice as one of a type that `E` is.
pub(crate) fn cast<E: 'static, F: 'static>(slice: &[E]) -> Option<&[F]> {
    (TypeId::of::<E>() == TypeId::of::<F>()).then(|| {
        // SAFETY: the two are one type.
        unsafe { slice::from_raw_parts(slice.as_ptr().cast(), slice.len()) }
    })
}

/// As [`cast`], for writing.
pub(crate) fn cast_mut<E: 'static, F: 'static>(slice: &mut [E]) -> Option<&mut [F]> {
    (TypeId::of::<E>() == TypeId::of::<F>()).then(|| {
        // SAFETY: the two are one type; the borrow is handed on.
        unsafe { slice::from_raw_parts_mut(slice.as_mut_ptr().cast(), slice.len()) }
    })
}
