//! From numbers to bytes and back.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::Tensor;

/// The range of an activation, and so how it becomes a byte: `q = round(x /
/// scale) + zero`, 0 to 255; beyond the range it saturates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The smallest number, at most 0.
    pub low: f32,
    /// The largest number, at least 0.
    pub high: f32,
}

impl Range {
    /// The range of numbers that are typical; it always includes 0, which
    /// padding and ReLU need to be exact. With `outliers` above 0, this part of
    /// the numbers is left out at each end, as a few large ones would make all
    /// others coarse.
    ///
    /// # Errors
    /// No number; NaN or infinity; `outliers` is not from 0 to below ½.
    pub fn of(x: &Tensor, outliers: f64) -> Result<Self> {
        if x.numel() == 0 || !x.is_finite() {
            return Err(Error::argument("int8", "inputs", "none or not finite", "typical inputs"));
        }
        if !(0.0..0.5).contains(&outliers) {
            return Err(Error::argument("int8", "outliers", outliers, "from 0 to below 0.5"));
        }
        let mut all = x.to_vec();
        let cut = (all.len() as f64 * outliers) as usize;
        let last = all.len() - 1;
        let low = *all.select_nth_unstable_by(cut, f32::total_cmp).1;
        let high = *all.select_nth_unstable_by(last - cut, f32::total_cmp).1;
        Ok(Self { low: low.min(0.0), high: high.max(0.0) })
    }

    /// What one level stands for; 1 if there is nothing but 0.
    pub fn scale(self) -> f32 {
        let size = self.high - self.low;
        if size > 0.0 { (size / 255.0).max(f32::MIN_POSITIVE) } else { 1.0 }
    }

    /// The level that stands for 0.
    pub fn zero(self) -> u8 {
        (-self.low / self.scale()).round_ties_even().clamp(0.0, 255.0) as u8
    }

    /// What is left of numbers after they were bytes: in `f32`, with the
    /// derivative 1 inside of the range and 0 outside (the straight-through
    /// estimator, Bengio, Léonard and Courville 2013).
    ///
    /// # Errors
    /// None that a finite range could cause.
    pub fn fake(self, x: &Tensor) -> tl_nn::Result<Tensor> {
        let (scale, zero) = (self.scale(), f32::from(self.zero()));
        let (low, high) = (-zero * scale, (255.0 - zero) * scale);
        let inside = x.clamp(low, high);
        let seen = inside.detach();
        let rounded = seen.map_constant(move |x| {
            (x / scale).round_ties_even().clamp(-zero, 255.0 - zero) * scale
        });
        Ok(inside.add(&rounded.sub(&seen)?)?)
    }
}

/// What one level of a weight stands for, `max |w| / 127`; 1 if all are 0.
pub(super) fn scale_of(numbers: &[f32]) -> f32 {
    let most = numbers.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    if most > 0.0 { (most / 127.0).max(f32::MIN_POSITIVE) } else { 1.0 }
}

/// The nearest level of a weight, halves to even; it saturates, and NaN becomes
/// 0.
#[inline]
pub(super) fn level(x: f32, per_unit: f32) -> i8 {
    ((x * per_unit).clamp(-127.0, 127.0) + SHIFT - SHIFT) as i8
}

/// Adding 1.5 · 2²³ rounds in the addition itself, which vectorises; a call of
/// `round_ties_even` does not on every machine.
const SHIFT: f32 = 12_582_912.0;

/// Bytes of numbers: `round(x · per_unit) + zero`, from 0 to 255.
pub(super) fn to_bytes(numbers: &[f32], per_unit: f32, zero: f32, bytes: &mut [u8]) {
    wide(|| {
        for (x, to) in numbers.iter().zip(bytes.iter_mut()) {
            *to = ((x * per_unit + zero).clamp(0.0, 255.0) + SHIFT - SHIFT) as u8;
        }
    });
}

/// What turns a row of sums into the next layer's bytes or into numbers.
#[derive(Debug)]
pub(super) struct Epilogue {
    /// Subtracted from each sum: the zero point times the row's weights.
    pub(super) shift: Vec<i32>,
    /// The factor of each output.
    pub(super) scale: Vec<f32>,
    /// Added to each output.
    pub(super) bias: Vec<f32>,
    /// The smallest and the largest level.
    pub(super) clip: [f32; 2],
}

impl Epilogue {
    pub(super) fn bytes(&self, sums: &[i32], to: &mut [u8]) {
        let [low, high] = self.clip;
        wide(|| {
            let all = self.shift.iter().zip(&self.scale).zip(&self.bias);
            for ((sum, to), ((shift, scale), bias)) in sums.iter().zip(to.iter_mut()).zip(all) {
                let y = (sum - shift) as f32 * scale + bias;
                *to = (y.clamp(low, high) + SHIFT - SHIFT) as u8;
            }
        });
    }

    pub(super) fn numbers(&self, sums: &[i32], to: &mut [f32]) {
        wide(|| {
            let all = self.shift.iter().zip(&self.scale).zip(&self.bias);
            for ((sum, to), ((shift, scale), bias)) in sums.iter().zip(to.iter_mut()).zip(all) {
                *to = (sum - shift) as f32 * scale + bias;
            }
        });
    }
}

/// Runs a plain loop with the widest vectors of this machine.
#[inline(always)]
fn wide(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn compiled(work: impl FnOnce()) {
            work();
        }
        if super::kernel::has_vnni() && std::arch::is_x86_feature_detected!("avx512vl") {
            // SAFETY: this machine has the instructions.
            #[allow(unsafe_code)]
            unsafe {
                compiled(work);
            }
            return;
        }
        #[target_feature(enable = "avx2")]
        fn compiled_for_less(work: impl FnOnce()) {
            work();
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            unsafe {
                compiled_for_less(work);
            }
            return;
        }
    }
    work();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_near_and_zero_is_exact() -> Result<()> {
        let x = Tensor::linspace(-0.7, 2.0, 100);
        let range = Range::of(&x, 0.0)?;
        assert_eq!((range.low, range.high), (-0.7, 2.0));
        let fake = range.fake(&x)?;
        let off = fake.sub(&x)?.abs().max(.., false)?.item()?;
        assert!(off <= range.scale() * 0.51, "{off}");
        assert_eq!(range.fake(&Tensor::scalar(0.0))?.item()?, 0.0);
        let mut bytes = vec![0; 100];
        to_bytes(&x.to_vec(), 1.0 / range.scale(), f32::from(range.zero()), &mut bytes);
        for (byte, fake) in bytes.iter().zip(fake.to_vec()) {
            let back = (f32::from(*byte) - f32::from(range.zero())) * range.scale();
            assert!((back - fake).abs() <= range.scale() * 1.01);
        }
        assert_eq!(Range::of(&x.add_scalar(1.0), 0.0)?.zero(), 0);
        assert!(Range::of(&x, 0.1)?.high < 1.8);
        assert!(Range::of(&Tensor::full(2, f32::NAN), 0.0).is_err());
        assert!(Range::of(&x, 0.5).is_err());
        Ok(())
    }

    #[test]
    fn a_gradient_passes_inside_of_the_range_only() -> Result<()> {
        let x = Tensor::from_slice(&[-5.0, 0.3, 5.0], [3])?.requires_grad();
        let y = Range { low: -1.0, high: 1.0 }.fake(&x)?.sum_all();
        assert_eq!(y.backward()?.get(&x).unwrap().to_vec(), [0.0, 1.0, 0.0]);
        Ok(())
    }
}
