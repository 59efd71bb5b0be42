//! A random part of an image, brought to one size.

use super::{Planes, Transform, per_sample};
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// A random rectangle of each image, brought to `height` x `width` pixels
/// between the four nearest ones (Szegedy et al. 2015; the view that contrastive
/// learning lives on, Chen et al. 2020). Area and proportions are drawn as in
/// torchvision: the area evenly, the logarithm of width over height evenly, ten
/// tries, then the largest part in the middle that has the proportions. Pixel
/// centres lie at halves; what is smaller than its output is interpolated, what
/// is larger is sampled without smoothing.
///
/// Defaults: area 0.08 to 1 of the image, proportions 3/4 to 4/3.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{samples, transform::{RandomResizedCrop, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let crop = RandomResizedCrop::new(8, 8).area(0.3, 1.0);
/// assert_eq!(crop.apply(samples::digits().features(), &mut rng)?.dims(), [1797, 1, 8, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    height: usize,
    width: usize,
    #[serde(default = "area")]
    area: [f64; 2],
    #[serde(default = "proportions")]
    proportions: [f64; 2],
}

fn area() -> [f64; 2] {
    [0.08, 1.0]
}

fn proportions() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

impl RandomResizedCrop {
    /// Parts brought to this size.
    pub fn new(height: usize, width: usize) -> Self {
        Self { height, width, area: area(), proportions: proportions() }
    }

    /// The part of the image's area, from `low` to `high`.
    #[must_use]
    pub fn area(mut self, low: f64, high: f64) -> Self {
        self.area = [low, high];
        self
    }

    /// Width over height, from `low` to `high`.
    #[must_use]
    pub fn proportions(mut self, low: f64, high: f64) -> Self {
        self.proportions = [low, high];
        self
    }

    /// Top, left, height and width of a part, in pixels.
    fn draw(&self, image: Planes, rng: &mut ChaCha8Rng) -> [usize; 4] {
        let (rows, columns) = (image.height, image.width);
        let [least, most] = self.proportions.map(f64::ln);
        for _ in 0..10 {
            let share = self.area[0] + (self.area[1] - self.area[0]) * rng.random::<f64>();
            let proportion = (least + (most - least) * rng.random::<f64>()).exp();
            let all = share * (rows * columns) as f64;
            let width = (all * proportion).sqrt().round() as usize;
            let height = (all / proportion).sqrt().round() as usize;
            if (1..=columns).contains(&width) && (1..=rows).contains(&height) {
                let top = rng.random_range(0..=rows - height);
                return [top, rng.random_range(0..=columns - width), height, width];
            }
        }
        let own = columns as f64 / rows as f64;
        let [low, high] = self.proportions;
        let height = ((columns as f64 / low).round() as usize).clamp(1, rows);
        let width = ((rows as f64 * high).round() as usize).clamp(1, columns);
        let (height, width) = match own {
            own if own < low => (height, columns),
            own if own > high => (rows, width),
            _ => (rows, columns),
        };
        [(rows - height) / 2, (columns - width) / 2, height, width]
    }
}

/// Where the `outputs` pixels of a line come from, of `length` pixels from
/// `start` on: the pixel before, the pixel after, and the weight of the latter.
fn places(start: usize, length: usize, outputs: usize) -> Vec<(usize, usize, f32)> {
    let step = length as f32 / outputs as f32;
    let place = |i: usize| {
        let at = ((i as f32 + 0.5) * step - 0.5).clamp(0.0, (length - 1) as f32);
        let before = at as usize;
        (start + before, start + (before + 1).min(length - 1), at - before as f32)
    };
    (0..outputs).map(place).collect()
}

impl Transform for RandomResizedCrop {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        const OP: &str = "random resized crop";
        let image = Planes::of(OP, features)?;
        let Self { height, width, area: [low, high], proportions: [narrow, wide] } = *self;
        if height == 0 || width == 0 {
            return Err(Error::argument(OP, "size", [height, width], "1x1 or more"));
        }
        if !(low > 0.0 && low <= high && high <= 1.0) {
            return Err(Error::argument(OP, "area", self.area, "0 < low <= high <= 1"));
        }
        if !(narrow > 0.0 && narrow <= wide && wide.is_finite()) {
            return Err(Error::argument(OP, "proportions", self.proportions, "0 < low <= high"));
        }
        per_sample(features, &[image.channels, height, width], rng, |from, to, rng| {
            let [top, left, rows, columns] = self.draw(image, rng);
            let (ys, xs) = (places(top, rows, height), places(left, columns, width));
            for (line, out) in to.chunks_exact_mut(width).enumerate() {
                let (channel, (above, below, dy)) = (line / height, ys[line % height]);
                let row =
                    |y: usize| &from[(channel * image.height + y) * image.width..][..image.width];
                let (above, below) = (row(above), row(below));
                for (pixel, &(before, after, dx)) in out.iter_mut().zip(&xs) {
                    let upper = above[before] + (above[after] - above[before]) * dx;
                    let lower = below[before] + (below[after] - below[before]) * dx;
                    *pixel = upper + (lower - upper) * dy;
                }
            }
        })
    }
}
