//! Images.

use super::embedded;
use crate::{
    Dataset, Error, Result,
    read::{Limits, idx},
};
use tl_tensor::Tensor;

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const GARMENTS: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

macro_rules! part {
    ($name:literal, $white:expr, $classes:expr) => {
        embedded(unpack(
            include_bytes!(concat!("../../data/", $name, "-images.idx.gz")),
            include_bytes!(concat!("../../data/", $name, "-labels.idx.gz")),
            $white,
            $classes,
        ))
    };
}

fn unpack(images: &[u8], labels: &[u8], white: f32, classes: [&str; 10]) -> Result<Dataset> {
    let images = idx::parse(images, Limits::default())?;
    let labels = idx::parse(labels, Limits::default())?;
    idx::combine(&images, &labels, white, classes)
}

/// 1,797 handwritten digits of 13 writers, `[n, 1, 8, 8]`, 0 to 1 (Alpaydin and
/// Kaynak 1998; the test part of the UCI set, as in scikit-learn). There is no
/// split of its own: use [`Dataset::split`].
pub fn digits() -> Dataset {
    part!("digits", 16.0, DIGITS)
}

/// Handwritten digits, `[n, 1, 28, 28]`, 0 to 1 (LeCun and Cortes): 200 of each
/// from MNIST's training part, 100 of each from its test part.
pub fn mnist() -> (Dataset, Dataset) {
    (part!("mnist-train", 255.0, DIGITS), part!("mnist-test", 255.0, DIGITS))
}

/// [`mnist`] in the form of [`digits`]: the central 20x20 pixels, which hold
/// the digit, averaged over areas of 2.5x2.5 pixels to `[n, 1, 8, 8]`. Another
/// domain with the same classes: other writers, another process.
pub fn mnist_8x8() -> (Dataset, Dataset) {
    let (train, test) = mnist();
    (embedded(to_8x8(&train)), embedded(to_8x8(&test)))
}

/// Garments, `[n, 1, 28, 28]`, 0 to 1 (Xiao, Rasul and Vollgraf 2017): 150 of
/// each kind from the training part of Fashion-MNIST, 50 of each from its test
/// part.
pub fn fashion_mnist() -> (Dataset, Dataset) {
    (part!("fashion-train", 255.0, GARMENTS), part!("fashion-test", 255.0, GARMENTS))
}

/// The weights of the 20 central pixels of 28 in each of 8 equal areas, `[8, 28]`.
fn areas() -> Result<Tensor> {
    let mut weights = vec![0.0_f32; 8 * 28];
    for area in 0..8 {
        let (from, to) = (4.0 + 2.5 * area as f32, 4.0 + 2.5 * (area + 1) as f32);
        for pixel in 0..28 {
            let (low, high) = (pixel as f32, pixel as f32 + 1.0);
            weights[area * 28 + pixel] = (high.min(to) - low.max(from)).max(0.0) / 2.5;
        }
    }
    Ok(Tensor::from_vec(weights, [8, 28])?)
}

fn to_8x8(data: &Dataset) -> Result<Dataset> {
    if data.sample_shape() != [1, 28, 28] {
        return Err(Error::shape("mnist_8x8", data.features().dims(), "[n, 1, 28, 28]"));
    }
    let areas = areas()?;
    let rows = areas.matmul(data.features())?;
    data.with_features(&rows.matmul(&areas.t()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_the_documentation_says() {
        let all =
            [digits(), mnist().0, mnist().1, mnist_8x8().0, fashion_mnist().0, fashion_mnist().1];
        let sizes: Vec<usize> = all.iter().map(Dataset::len).collect();
        assert_eq!(sizes, [1797, 2000, 1000, 2000, 1500, 500]);
        for data in &all {
            data.validate().unwrap();
            let pixels = data.features().to_vec();
            assert!(pixels.iter().all(|p| (0.0..=1.0).contains(p)));
            assert!(pixels.contains(&1.0));
        }
        for data in &all[1..] {
            let counts = data.class_counts().unwrap();
            assert!(counts.iter().all(|&c| c == data.len() / 10), "{counts:?}");
        }
        // The first digit of the UCI test part is a 0; its top row is known.
        assert_eq!(all[0].labels().unwrap()[..4], [0, 1, 2, 3]);
        let top: Vec<f32> = all[0].features().to_vec()[..8].iter().map(|p| p * 16.0).collect();
        assert_eq!(top, [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn areas_keep_the_mean_of_the_centre() {
        let big = mnist().1;
        let small = mnist_8x8().1;
        let centre = big.features().narrow(2, 4, 20).unwrap().narrow(3, 4, 20).unwrap();
        let (a, b) = (centre.mean_all(), small.features().mean_all());
        assert!((a.item().unwrap() - b.item().unwrap()).abs() < 1e-5);
        assert_eq!(small.labels().unwrap(), big.labels().unwrap());
    }
}
