//! The encoder and the views of each kind of picture.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::transform::{ColourJitter, Compose, RandomAffine, RandomFlip, RandomResizedCrop},
    nn::{Act, AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Sequential},
    tensor::Conv,
};

/// Width of the first layer.
const WIDTH: usize = 16;
/// Features of a picture.
pub const FEATURES: usize = 4 * WIDTH * 4;

/// Three strided convolutions, 23,000 weights.
pub fn encoder(seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = Sequential::new();
    for (from, to, side) in [(1, WIDTH, 5), (WIDTH, 2 * WIDTH, 3), (2 * WIDTH, 4 * WIDTH, 3)] {
        let options = Conv::new().stride(2).padding(side / 2);
        net = net
            .push(Conv2d::new(from, to, side, rng).options(options).without_bias())
            .push(BatchNorm2d::new(to))
            .push(Act::Relu);
    }
    net.push(AdaptiveAvgPool2d::new([2, 2])).push(Flatten)
}

/// What does not change a garment: a part of it is the same garment, as is its
/// mirror image, and cloth can be darker or have less contrast. The last matters:
/// grey levels alone tell two pictures apart, and a network that may use them
/// learns nothing else (Chen et al. 2020, section 3.1).
pub fn garment_views() -> Compose {
    Compose::new()
        .then(RandomResizedCrop::new(28, 28).area(0.3, 1.0))
        .then(RandomFlip::horizontal())
        .then(ColourJitter::new().brightness(0.6).contrast(0.6))
}

/// Less of it, for training on labels: strong views ask more of a network than a
/// few labels teach.
pub fn gentle_garments() -> Compose {
    Compose::new().then(gentle()).then(RandomFlip::horizontal())
}

/// As [`gentle_garments`], for digits.
pub fn gentle_digits() -> Compose {
    Compose::new().then(gentle())
}

fn gentle() -> RandomAffine {
    RandomAffine::new().degrees(8.0).translate(0.08).scale(0.9, 1.1)
}

/// What does not change a digit: size, place, slant. A mirror image is another.
pub fn digit_views() -> Compose {
    Compose::new()
        .then(RandomAffine::new().degrees(15.0).shear(15.0).translate(0.15).scale(0.7, 1.3))
        .then(RandomResizedCrop::new(28, 28).area(0.5, 1.0))
}
