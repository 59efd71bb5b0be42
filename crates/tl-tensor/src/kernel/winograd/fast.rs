//! The transforms of tiles, in the way that is best on this machine.

use super::{PLACES, Plan, transform};
use crate::{Elem, kernel::disjoint::Disjoint};
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::{avx, avx512};
#[cfg(target_arch = "x86_64")]
use crate::kernel::disjoint::{cast, cast_mut};

/// Whether transforms of `f32` cost little beside the products.
pub(super) fn available(plan: &Plan) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        avx512::available() || avx::available(plan.tiles[1])
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = plan;
        false
    }
}

macro_rules! tiles {
    ($name:ident) => {
        /// [`transform`]'s function of this name.
        pub(super) fn $name<E: Elem>(
            plan: &Plan,
            maps: &[E],
            channel: usize,
            rows: Range<usize>,
            places: [&mut [E]; PLACES],
        ) {
            #[cfg(target_arch = "x86_64")]
            if available(plan)
                && let Some(maps) = cast(maps)
            {
                let places = places.map(|place| cast_mut(place).unwrap_or_default());
                // SAFETY: the machine has the instructions.
                unsafe {
                    if avx512::available() {
                        avx512::$name(plan, maps, channel, rows, places);
                    } else {
                        avx::$name(plan, maps, channel, rows, places);
                    }
                }
                return;
            }
            transform::$name(plan, maps, channel, rows, places);
        }
    };
}

tiles!(input_tiles);
tiles!(gradient_tiles);

/// [`transform::output_maps`].
///
/// # Safety
/// No one else has these lines of the maps of this channel.
pub(super) unsafe fn output_maps<E: Elem>(
    plan: &Plan,
    m: [&[E]; PLACES],
    channel: usize,
    rows: Range<usize>,
    bias: E,
    out: &Disjoint<'_, E>,
) {
    #[cfg(target_arch = "x86_64")]
    if available(plan)
        && let Some(out) = out.cast()
        && let Some(&[bias]) = cast(&[bias])
    {
        let m = m.map(|place| cast(place).unwrap_or_default());
        // SAFETY: the machine has the instructions; the lines are ours.
        unsafe {
            if avx512::available() {
                avx512::output_maps(plan, m, channel, rows, bias, &out);
            } else {
                avx::output_maps(plan, m, channel, rows, bias, &out);
            }
        }
        return;
    }
    // SAFETY: handed on.
    unsafe { transform::output_maps(plan, m, channel, rows, bias, out) };
}
