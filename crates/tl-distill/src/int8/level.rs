//! From numbers to bytes and back.

use super::kernel::LANES;
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
    let mut most = [0.0_f32; LANES];
    wide(|| {
        let (blocks, rest) = numbers.as_chunks::<LANES>();
        for block in blocks {
            most.iter_mut().zip(block).for_each(|(m, x)| *m = m.max(x.abs()));
        }
        most.iter_mut().zip(rest).for_each(|(m, x)| *m = m.max(x.abs()));
    });
    let most = most.into_iter().fold(0.0, f32::max);
    if most > 0.0 { (most / 127.0).max(f32::MIN_POSITIVE) } else { 1.0 }
}

/// The nearest level of a weight, halves to even; it saturates, and NaN becomes
/// 0.
#[inline]
pub(super) fn level(x: f32, per_unit: f32) -> i8 {
    ((x * per_unit).clamp(-127.0, 127.0) + SHIFT - SHIFT) as i8
}

/// Adding 1.5 · 2²³ rounds in the addition itself, halves to even, and leaves the integer
/// in the lowest bits. That vectorises; a call of `round_ties_even` does not on every
/// machine.
const SHIFT: f32 = 12_582_912.0;

/// Bytes of numbers that are finite: `round(x · per_unit) + zero`, from `low` to 255.
pub(super) fn to_bytes(numbers: &[f32], per_unit: f32, [zero, low]: [f32; 2], bytes: &mut [u8]) {
    wide(|| {
        for (x, to) in numbers.iter().zip(bytes.iter_mut()) {
            *to = ((x * per_unit + zero).clamp(low, 255.0) + SHIFT).to_bits() as u8;
        }
    });
}

/// What turns rows of sums into the next layer's bytes or into numbers.
#[derive(Debug)]
pub(super) struct Epilogue {
    blocks: Vec<Block>,
    outputs: usize,
    /// The smallest and the largest level.
    clip: [f32; 2],
}

/// Sixteen outputs; those that there are not have zeros.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// Subtracted from each sum: the zero point times the row's weights.
    shift: [i32; LANES],
    /// The factor of each output.
    scale: [f32; LANES],
    /// Added to each output.
    bias: [f32; LANES],
}

impl Epilogue {
    /// `(sum - shift) · scale + bias` for each output.
    pub(super) fn new(outputs: impl Iterator<Item = (i32, f32, f32)>, clip: [f32; 2]) -> Self {
        let (mut blocks, mut count) = (Vec::new(), 0);
        for (shift, scale, bias) in outputs {
            if count % LANES == 0 {
                blocks.push(Block::default());
            }
            if let Some(block) = blocks.last_mut() {
                let i = count % LANES;
                (block.shift[i], block.scale[i], block.bias[i]) = (shift, scale, bias);
            }
            count += 1;
        }
        Self { blocks, outputs: count, clip }
    }

    /// Rows of sums, each of whole blocks, to rows of bytes.
    pub(super) fn bytes(&self, sums: &[i32], to: &mut [u8]) {
        let [low, high] = self.clip;
        self.rows(sums, to, |_| 1.0, |y| (y.clamp(low, high) + SHIFT).to_bits() as u8);
    }

    /// Rows of sums, each of whole blocks, to rows of numbers; the scales of each row are
    /// times `factor`.
    pub(super) fn numbers(&self, sums: &[i32], to: &mut [f32], factor: impl Fn(usize) -> f32) {
        self.rows(sums, to, factor, |y| y);
    }

    #[inline(always)]
    fn rows<T: Copy + Default>(
        &self,
        sums: &[i32],
        to: &mut [T],
        factor: impl Fn(usize) -> f32,
        finish: impl Fn(f32) -> T,
    ) {
        wide(|| {
            for (row, sums) in sums.chunks_exact(self.blocks.len() * LANES).enumerate() {
                let factor = factor(row);
                for (b, (sums, block)) in
                    sums.as_chunks::<LANES>().0.iter().zip(&self.blocks).enumerate()
                {
                    let mut all = [T::default(); LANES];
                    for i in 0..LANES {
                        let sum = (sums[i] - block.shift[i]) as f32;
                        all[i] = finish(sum * (block.scale[i] * factor) + block.bias[i]);
                    }
                    // What is too much of a row is written over by the next row.
                    let to = &mut to[row * self.outputs + b * LANES..];
                    match to.first_chunk_mut() {
                        Some(to) => *to = all,
                        None => to.copy_from_slice(&all[..to.len()]),
                    }
                }
            }
        });
    }
}

/// Runs a plain loop with the widest vectors of this machine.
#[inline(always)]
pub(super) fn wide(work: impl FnOnce()) {
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
        to_bytes(&x.to_vec(), 1.0 / range.scale(), [f32::from(range.zero()), 0.0], &mut bytes);
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
