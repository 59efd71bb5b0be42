//! Transforms of features: values without state, applied to whole batches.
//!
//! A transform takes its random numbers from the generator that it is given.
//! Each sample has a stream of its own, so a result does not depend on how
//! many threads there are.
//!
//! | transform | of |
//! |---|---|
//! | [`Standardise`] | features or channels, to mean 0 and deviation 1 |
//! | [`Resize`], [`RandomCrop`], [`RandomResizedCrop`], [`RandomFlip`], [`RandomAffine`] | places of pixels |
//! | [`ColourJitter`], [`GaussianNoise`], [`GaussianBlur`], [`RandomErase`] | values of pixels |
//! | [`Mixup`], [`CutMix`] | whole batches, with their targets |
//! | [`Compose`] | several, one after the other |

mod affine;
mod blur;
mod colour;
mod compose;
mod crop;
mod erase;
mod flip;
mod mix;
mod noise;
mod resize;
mod resized_crop;
mod standardise;

pub use affine::RandomAffine;
pub use blur::GaussianBlur;
pub use colour::ColourJitter;
pub use compose::Compose;
pub use crop::RandomCrop;
pub use erase::RandomErase;
pub use flip::RandomFlip;
pub use mix::{CutMix, Mixup};
pub use noise::GaussianNoise;
pub use resize::Resize;
pub use resized_crop::RandomResizedCrop;
pub use standardise::Standardise;

use crate::{Error, Result, dataset::elements, rng::stream};
use rand::RngCore;
use rand_chacha::ChaCha8Rng;
use tl_tensor::{Shape, Tensor};

/// Changes the features of a batch, `[n, ...]`.
pub trait Transform: Send + Sync {
    /// The features of the changed samples.
    ///
    /// # Errors
    /// Features of a shape that this transform does not know; settings that
    /// make no sense.
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor>;
}

impl<T: Transform + ?Sized> Transform for Box<T> {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        (**self).apply(features, rng)
    }
}

/// One image of a batch: channels, each of `height` rows of `width`.
#[derive(Clone, Copy)]
struct Planes {
    channels: usize,
    height: usize,
    width: usize,
}

impl Planes {
    fn of(op: &'static str, features: &Tensor) -> Result<Self> {
        match *features.dims() {
            [_, channels, height, width] if height > 0 && width > 0 => {
                Ok(Self { channels, height, width })
            }
            _ => Err(Error::shape(op, features.dims(), "images [n, channels, height, width]")),
        }
    }

    fn numel(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Makes each sample of the output, `dims` large, from that of the input, with
/// a generator of its own.
fn per_sample(
    features: &Tensor,
    dims: &[usize],
    rng: &mut ChaCha8Rng,
    make: impl Fn(&[f32], &mut [f32], &mut ChaCha8Rng) + Sync,
) -> Result<Tensor> {
    let n = features.dims()[0];
    let mut all = vec![n];
    all.extend_from_slice(dims);
    let mut out = Tensor::zeros(Shape::new(&all)?);
    let (from, to) = (features.numel() / n.max(1), out.numel() / n.max(1));
    let seed = rng.next_u64();
    let data = elements(features);
    if from == 0 || to == 0 {
        return Ok(out);
    }
    let one = |i: usize, sample: &mut [f32]| {
        make(&data[i * from..(i + 1) * from], sample, &mut stream(seed, &[i as u64]));
    };
    out.update_in_place(|out| {
        #[cfg(feature = "rayon")]
        {
            use rayon::prelude::*;
            out.par_chunks_exact_mut(to).enumerate().for_each(|(i, sample)| one(i, sample));
        }
        #[cfg(not(feature = "rayon"))]
        out.chunks_exact_mut(to).enumerate().for_each(|(i, sample)| one(i, sample));
    });
    Ok(out)
}

/// A number from 0 to 1.
fn part(op: &'static str, name: &'static str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::argument(op, name, value, "a number from 0 to 1"))
}

/// A finite number from 0 on.
fn size(op: &'static str, name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(op, name, value, "a finite number from 0 on"))
}

#[cfg(test)]
mod tests;
