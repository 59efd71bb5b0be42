//! Teachers and students, for pictures of 28x28.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    nn::{Act, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Sequential},
    tensor::{Conv, Pool},
};

fn cnn(first: usize, second: usize, hidden: usize, seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let dropout = if hidden > 64 { 0.4 } else { 0.0 };
    let conv = |from, to, rng: &mut ChaCha8Rng| {
        Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1))
    };
    Sequential::new()
        .named("conv1", conv(1, first, rng))
        .named("act1", Act::Relu)
        .named("block1", MaxPool2d::new(Pool::new(2)))
        .named("conv2", conv(first, second, rng))
        .named("act2", Act::Relu)
        .named("block2", MaxPool2d::new(Pool::new(2)))
        .push(Flatten)
        .push(Dropout::new(dropout))
        .named("fc1", Linear::new(second * 49, hidden, rng))
        .named("hidden", Act::Relu)
        .push(Dropout::new(dropout))
        .named("fc2", Linear::new(hidden, 10, rng))
}

/// 16 and 32 channels, 128 features, dropout.
pub fn teacher(seed: u64) -> Sequential {
    cnn(16, 32, 128, seed)
}

/// 4 and 8 channels, 16 features.
pub fn tiny(seed: u64) -> Sequential {
    cnn(4, 8, 16, seed)
}

/// 8 and 16 channels, 32 features.
pub fn small(seed: u64) -> Sequential {
    cnn(8, 16, 32, seed)
}

/// One hidden layer of 32.
pub fn perceptron(seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    Sequential::new()
        .push(Flatten)
        .named("fc1", Linear::new(784, 32, rng))
        .push(Act::Relu)
        .named("fc2", Linear::new(32, 10, rng))
}

/// Two hidden layers, with dropout of inputs and of hidden units or without.
pub fn wide(width: usize, dropout: [f64; 2], seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    Sequential::new()
        .push(Flatten)
        .push(Dropout::new(dropout[0]))
        .named("fc1", Linear::new(784, width, rng))
        .push(Act::Relu)
        .push(Dropout::new(dropout[1]))
        .named("fc2", Linear::new(width, width, rng))
        .push(Act::Relu)
        .push(Dropout::new(dropout[1]))
        .named("fc3", Linear::new(width, 10, rng))
}
