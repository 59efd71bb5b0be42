//! Squares of numbers turned over, and whole matrices by them.
#![allow(unsafe_code)]

use super::disjoint::{Disjoint, cast};
use crate::Elem;

/// Lines that are turned together: so many numbers are a line of the cache.
pub(super) const SIDE: usize = 16;

/// `SIDE` by `SIDE` numbers, row by row.
pub(super) type Square = [f32; SIDE * SIDE];

/// `to[c][r] = from[r][c]`.
pub(super) fn turned(from: &Square) -> Square {
    let mut to = [0.0; SIDE * SIDE];
    // SAFETY: both are squares, and `to` is ours.
    if !unsafe { turn((from.as_ptr(), SIDE), (to.as_mut_ptr(), SIDE), false) } {
        to = std::array::from_fn(|i| from[i % SIDE * SIDE + i / SIDE]);
    }
    to
}

/// `to[c][r] = from[r][c]`, or `+=` if `add`, in registers, of squares whose rows are so
/// many numbers apart; or false, where this machine has no such way.
///
/// # Safety
/// Both squares are there, and nobody else has that of `to`.
#[inline]
unsafe fn turn(from: (*const f32, usize), to: (*mut f32, usize), add: bool) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has the instructions; the rest is the caller's.
        unsafe { avx512(from, to, add) };
        return true;
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: as above.
        unsafe { avx(from, to, add) };
        return true;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, to, add);
    false
}

/// [`turn`] by four rounds of pairs: neighbours, pairs of neighbours, quarters of
/// a register, halves of it.
///
/// # Safety
/// That of [`turn`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(from: (*const f32, usize), to: (*mut f32, usize), add: bool) {
    use std::arch::x86_64::*;
    let mut a = [_mm512_setzero_ps(); SIDE];
    for (r, a) in a.iter_mut().enumerate() {
        // SAFETY: row `r` of 16 numbers; the load needs no alignment.
        *a = unsafe { _mm512_loadu_ps(from.0.add(from.1 * r)) };
    }
    let mut b = a;
    for r in (0..SIDE).step_by(2) {
        b[r] = _mm512_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm512_unpackhi_ps(a[r], a[r + 1]);
    }
    // Quarter `q` of `c[4 i + j]` is column `4 q + j` of rows `4 i..4 i + 4`.
    let mut c = a;
    for i in (0..SIDE).step_by(4) {
        for half in 0..2 {
            let x = _mm512_castps_pd(b[i + half]);
            let y = _mm512_castps_pd(b[i + 2 + half]);
            c[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            c[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    }
    for j in 0..4 {
        let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(c[j], c[4 + j]);
        let high = _mm512_shuffle_f32x4::<0b11_10_11_10>(c[j], c[4 + j]);
        let low_of_rest = _mm512_shuffle_f32x4::<0b01_00_01_00>(c[8 + j], c[12 + j]);
        let high_of_rest = _mm512_shuffle_f32x4::<0b11_10_11_10>(c[8 + j], c[12 + j]);
        let columns = [
            _mm512_shuffle_f32x4::<0b10_00_10_00>(low, low_of_rest),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(low, low_of_rest),
            _mm512_shuffle_f32x4::<0b10_00_10_00>(high, high_of_rest),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(high, high_of_rest),
        ];
        for (q, mut column) in columns.into_iter().enumerate() {
            // SAFETY: row `4 q + j` of 16 numbers, which needs no alignment.
            unsafe {
                let out = to.0.add(to.1 * (4 * q + j));
                if add {
                    column = _mm512_add_ps(_mm512_loadu_ps(out), column);
                }
                _mm512_storeu_ps(out, column);
            }
        }
    }
}

/// [`turn`] by quarters of eight by eight, in three rounds of pairs.
///
/// # Safety
/// That of [`turn`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn avx(from: (*const f32, usize), to: (*mut f32, usize), add: bool) {
    use std::arch::x86_64::*;
    const HALF: usize = SIDE / 2;
    for (top, left) in [(0, 0), (0, HALF), (HALF, 0), (HALF, HALF)] {
        let mut a = [_mm256_setzero_ps(); HALF];
        for (r, a) in a.iter_mut().enumerate() {
            // SAFETY: half of a row of 16 numbers; the load needs no alignment.
            *a = unsafe { _mm256_loadu_ps(from.0.add(from.1 * (top + r) + left)) };
        }
        let mut b = a;
        for r in (0..HALF).step_by(2) {
            b[r] = _mm256_unpacklo_ps(a[r], a[r + 1]);
            b[r + 1] = _mm256_unpackhi_ps(a[r], a[r + 1]);
        }
        // Half `h` of `c[4 i + j]` is column `4 h + j` of rows `4 i..4 i + 4`.
        let mut c = a;
        for i in (0..HALF).step_by(4) {
            for j in 0..2 {
                c[i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(b[i + j], b[i + 2 + j]);
                c[i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(b[i + j], b[i + 2 + j]);
            }
        }
        for j in 0..4 {
            let low = _mm256_permute2f128_ps::<0b10_00_00>(c[j], c[4 + j]);
            let high = _mm256_permute2f128_ps::<0b11_00_01>(c[j], c[4 + j]);
            for (column, mut numbers) in [(j, low), (4 + j, high)] {
                // SAFETY: half of a row, which needs no alignment.
                unsafe {
                    let out = to.0.add(to.1 * (left + column) + top);
                    if add {
                        numbers = _mm256_add_ps(_mm256_loadu_ps(out), numbers);
                    }
                    _mm256_storeu_ps(out, numbers);
                }
            }
        }
    }
}

/// `to[r * columns + c] = from[c * from_step + r]` for so many rows and columns of `to`.
pub(super) fn transpose_into<E: Elem>(size: (usize, usize), from: (&[E], usize), to: &mut [E]) {
    let to = Disjoint::new(to);
    // SAFETY: nobody else has it.
    unsafe { transpose(size, from, (&to, 0, size.1), false) };
}

/// `to[at + r * step + c] = from[c * from_step + r]`, or `+=` if `add`, for so many rows
/// and columns of `to`.
///
/// # Safety
/// No one else has these elements of `to`.
///
/// # Panics
/// One of the matrices reaches beyond its slice.
pub(super) unsafe fn transpose<E: Elem>(
    (rows, columns): (usize, usize),
    (from, from_step): (&[E], usize),
    (to, at, step): (&Disjoint<'_, E>, usize, usize),
    add: bool,
) {
    for left in (0..columns).step_by(SIDE) {
        let width = SIDE.min(columns - left);
        for top in (0..rows).step_by(SIDE) {
            let height = SIDE.min(rows - top);
            let source = &from[left * from_step + top..][..(width - 1) * from_step + height];
            let to_at = at + top * step + left;
            if (width, height) == (SIDE, SIDE)
                // SAFETY: a whole square of `from`, as asserted by the slice above; the
                // caller's promise for the rest.
                && unsafe { in_registers((source, from_step), to, (to_at, step), add) }
            {
                continue;
            }
            for r in 0..height {
                // SAFETY: the caller's, and only one line of it at a time.
                let line = unsafe { to.part(to_at + r * step, width) };
                for (c, out) in line.iter_mut().enumerate() {
                    let x = source[c * from_step + r];
                    *out = if add { *out + x } else { x };
                }
            }
        }
    }
}

/// A whole square, or false where this machine has no way in registers for its numbers.
///
/// # Safety
/// `from` holds a square of this step; nobody else has that of `to`.
///
/// # Panics
/// The square reaches beyond `to`.
#[inline]
unsafe fn in_registers<E: Elem>(
    (from, from_step): (&[E], usize),
    to: &Disjoint<'_, E>,
    (at, step): (usize, usize),
    add: bool,
) -> bool {
    if let (Some(from), Some(to)) = (cast::<E, f32>(from), to.square::<f32>(at, step, SIDE)) {
        // SAFETY: the caller's, and `square` has found the whole of it inside.
        return unsafe { turn((from.as_ptr(), from_step), (to, step), add) };
    }
    #[cfg(target_arch = "x86_64")]
    if let (Some(from), Some(to)) = (cast::<E, f64>(from), to.square::<f64>(at, step, SIDE))
        && is_x86_feature_detected!("avx")
    {
        // SAFETY: as above, and the machine has the instructions.
        unsafe { doubles((from.as_ptr(), from_step), (to, step), add) };
        return true;
    }
    false
}

/// [`turn`] of double precision, by sixteenths of four by four, in two rounds of pairs.
///
/// # Safety
/// That of [`turn`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn doubles(from: (*const f64, usize), to: (*mut f64, usize), add: bool) {
    use std::arch::x86_64::*;
    const PART: usize = SIDE / 4;
    for i in 0..PART * PART {
        let (top, left) = (i / PART * PART, i % PART * PART);
        let mut a = [_mm256_setzero_pd(); PART];
        for (r, a) in a.iter_mut().enumerate() {
            // SAFETY: a quarter of a row of 16 numbers; the load needs no alignment.
            *a = unsafe { _mm256_loadu_pd(from.0.add(from.1 * (top + r) + left)) };
        }
        let pairs = [
            [_mm256_unpacklo_pd(a[0], a[1]), _mm256_unpacklo_pd(a[2], a[3])],
            [_mm256_unpackhi_pd(a[0], a[1]), _mm256_unpackhi_pd(a[2], a[3])],
        ];
        for (j, [upper, lower]) in pairs.into_iter().enumerate() {
            let low = _mm256_permute2f128_pd::<0b10_00_00>(upper, lower);
            let high = _mm256_permute2f128_pd::<0b11_00_01>(upper, lower);
            for (column, mut numbers) in [(j, low), (2 + j, high)] {
                // SAFETY: a quarter of a row, which needs no alignment.
                unsafe {
                    let out = to.0.add(to.1 * (left + column) + top);
                    if add {
                        numbers = _mm256_add_pd(_mm256_loadu_pd(out), numbers);
                    }
                    _mm256_storeu_pd(out, numbers);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_turned_as_the_definition_says() {
        let from: Square = std::array::from_fn(|i| i as f32);
        let to = turned(&from);
        // Also where there is a wider way.
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx") {
            let mut narrow = [0.0; SIDE * SIDE];
            // SAFETY: the machine has the instructions; two squares.
            unsafe { avx((from.as_ptr(), SIDE), (narrow.as_mut_ptr(), SIDE), false) };
            assert_eq!(narrow, to);
        }
        for r in 0..SIDE {
            for c in 0..SIDE {
                assert_eq!(to[c * SIDE + r], from[r * SIDE + c]);
            }
        }
    }

    #[test]
    fn matrices_of_any_size_are_transposed_and_added() {
        fn check<E: Elem + PartialEq>(of: impl Fn(usize) -> E) {
            let sizes = [(1, 1), (16, 16), (5, 40), (33, 17), (48, 32)];
            // Also one line that stands for all.
            for ((rows, columns), all) in sizes.into_iter().flat_map(|s| [(s, 1), (s, 0)]) {
                let (from_step, to_step) = (all * (rows + 3), columns + 2);
                let from: Vec<E> = (0..columns * (rows + 3)).map(&of).collect();
                let mut to = vec![E::ONE; rows * to_step];
                for add in [false, true] {
                    let to = Disjoint::new(&mut to);
                    // SAFETY: nobody else has it.
                    unsafe {
                        transpose((rows, columns), (&from, from_step), (&to, 1, to_step), add);
                    }
                }
                for r in 0..rows {
                    for c in 0..columns {
                        let x = from[c * from_step + r];
                        assert!(to[r * to_step + 1 + c] == x + x, "{r}, {c} of {rows}x{columns}");
                    }
                    // What lies between the rows stays.
                    assert!(to[r * to_step] == E::ONE && to[(r + 1) * to_step - 1] == E::ONE);
                }
            }
        }
        check(|i| i as f32);
        check(|i| i as f64);
    }
}
