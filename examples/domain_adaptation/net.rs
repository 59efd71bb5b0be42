//! The networks.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    dann::{Classifier, DomainBatchNorm},
    nn::{Act, BatchNorm1d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Sequential},
    tensor::{Conv, Pool},
};

/// Two convolutions and a layer of 64 features, each with batch normalisation, and
/// ten classes, for images of `side` pixels. The features are normalised before their
/// ReLU, as in the bottleneck of the papers: SAFN needs it, all gain by it.
pub fn classifier(seed: u64, channels: usize, side: usize) -> Classifier<Sequential> {
    build(seed, channels, side, false)
}

/// The same with normalisation for each of two domains.
pub fn by_domain(seed: u64, channels: usize, side: usize) -> Classifier<Sequential> {
    build(seed, channels, side, true)
}

fn build(seed: u64, channels: usize, side: usize, domains: bool) -> Classifier<Sequential> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut encoder = Sequential::new();
    for (from, to) in [(channels, 16), (16, 32)] {
        let conv = Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias();
        encoder = encoder.push(conv);
        encoder = if domains {
            encoder.push(DomainBatchNorm::new(to, 2))
        } else {
            encoder.push(BatchNorm2d::new(to))
        };
        encoder = encoder.push(Act::Relu).push(MaxPool2d::new(Pool::new(2)));
    }
    let inputs = 32 * (side / 4) * (side / 4);
    encoder = encoder.push(Flatten).push(Linear::new(inputs, 64, rng));
    encoder = if domains {
        encoder.push(DomainBatchNorm::new(64, 2))
    } else {
        encoder.push(BatchNorm1d::new(64))
    };
    Classifier { encoder: encoder.push(Act::Relu), head: Linear::new(64, 10, rng) }
}

/// One hidden layer of 64 on features of a text, two classes.
pub fn text(seed: u64, width: usize) -> Classifier<Sequential> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let encoder = Sequential::new()
        .push(Linear::new(width, 64, rng))
        .push(BatchNorm1d::new(64))
        .push(Act::Relu);
    Classifier { encoder, head: Linear::new(64, 2, rng) }
}

/// A small network for points in the plane.
pub fn planar(seed: u64) -> Classifier<Sequential> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let encoder = Sequential::new()
        .push(Linear::new(2, 32, rng))
        .push(Act::Relu)
        .push(Linear::new(32, 16, rng))
        .push(Act::Relu);
    Classifier { encoder, head: Linear::new(16, 2, rng) }
}
