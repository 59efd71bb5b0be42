//! What a model expects of an image.

use serde::{Deserialize, Serialize};
use tl_nn::{Error, Result, Tensor};

/// How an image is resized in the home's recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Linear in both directions.
    Bilinear,
    /// Cubic in both directions.
    Bicubic,
}

/// The home's preprocessing as a value: resize the short side, crop the
/// centre, then `(x - mean) / std` of each channel, for numbers from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The length of the short side after resizing.
    pub resize: usize,
    /// Height and width of the crop, the size of the model's input.
    pub crop: usize,
    /// Of each channel, for numbers from 0 to 1.
    pub mean: Vec<f32>,
    /// Of each channel, for numbers from 0 to 1.
    pub std: Vec<f32>,
    /// How to resize. [`apply`](Self::apply) is always bilinear.
    pub interpolation: Interpolation,
}

impl Preprocess {
    /// torchvision's for ImageNet: 256, centre 224, mean 0.485 0.456 0.406,
    /// standard deviation 0.229 0.224 0.225, bilinear.
    pub fn imagenet() -> Self {
        Self {
            resize: 256,
            crop: 224,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            interpolation: Interpolation::Bilinear,
        }
    }

    /// No resizing and the same mean and deviation for all channels.
    pub(crate) fn plain(size: usize, channels: usize, mean: f32, std: f32) -> Self {
        Self {
            resize: size,
            crop: size,
            mean: vec![mean; channels],
            std: vec![std; channels],
            interpolation: Interpolation::Bilinear,
        }
    }

    /// `(x - mean) / std` of images `[n, c, h, w]` with numbers from 0 to 1.
    /// Images of one channel are repeated to as many as the model has.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn standardise(&self, images: &Tensor) -> Result<Tensor> {
        let channels = self.mean.len();
        let fits = images.rank() == 4 && [1, channels].contains(&images.dims()[1]);
        if !fits || self.std.len() != channels {
            return Err(Error::argument(
                "Preprocess",
                "images",
                format!("{:?}", images.dims()),
                format!("[n, {channels}, h, w] or [n, 1, h, w]"),
            ));
        }
        let per_channel = |values: &[f32]| Tensor::from_slice(values, [channels, 1, 1]);
        Ok(images.sub(&per_channel(&self.mean)?)?.div(&per_channel(&self.std)?)?)
    }

    /// Resizes the short side (bilinear, without smoothing when it gets
    /// smaller: prepare large photographs with an image library), crops the
    /// centre and [standardises](Self::standardise).
    ///
    /// # Errors
    /// Not `[n, c, h, w]`, an empty image, another number of channels.
    pub fn apply(&self, images: &Tensor) -> Result<Tensor> {
        let &[_, _, h, w] = images.dims() else {
            return Err(Error::argument(
                "Preprocess",
                "images",
                format!("{:?}", images.dims()),
                "[n, c, h, w]",
            ));
        };
        if h == 0 || w == 0 || self.crop == 0 || self.resize < self.crop {
            let got = format!("{h} × {w}, resized to {}, cropped to {}", self.resize, self.crop);
            return Err(Error::argument(
                "Preprocess",
                "size",
                got,
                "an image, and a crop inside of it",
            ));
        }
        let long = |side: usize| (side * self.resize / h.min(w)).max(self.resize);
        let mut x = images.clone();
        if h.min(w) != self.resize {
            x = x.resize_bilinear([long(h), long(w)], false)?;
        }
        let (top, left) = ((long(h) - self.crop) / 2, (long(w) - self.crop) / 2);
        let x = x.narrow(2, top, self.crop)?.narrow(3, left, self.crop)?;
        self.standardise(&x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_the_centre_and_standardises() {
        let prep = Preprocess { resize: 4, crop: 2, ..Preprocess::plain(4, 2, 0.5, 0.25) };
        let x = Tensor::linspace(0.0, 23.0, 24).reshape([1, 1, 4, 6]).unwrap();
        let y = prep.apply(&x).unwrap();
        assert_eq!(y.dims(), [1, 2, 2, 2]);
        // Rows 1 and 2, columns 2 and 3 of a 4 × 6 image.
        let want = [8.0, 9.0, 14.0, 15.0].map(|v: f32| (v - 0.5) / 0.25);
        assert_eq!(y.to_vec(), [want, want].concat());
        assert_eq!(prep.apply(&Tensor::ones([2, 2, 8, 16])).unwrap().dims(), [2, 2, 2, 2]);
    }

    #[test]
    fn wrong_images_are_refused() {
        let prep = Preprocess::imagenet();
        assert!(prep.apply(&Tensor::ones([3, 8, 8])).is_err());
        assert!(prep.apply(&Tensor::ones([1, 2, 8, 8])).is_err());
        assert!(prep.apply(&Tensor::ones([1, 3, 0, 8])).is_err());
    }
}
