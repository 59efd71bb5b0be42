//! The teacher and two students, for pictures of 28x28.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    nn::{Act, Conv2d, Ctx, Dropout, Flatten, Forward, Linear, Result, Sequential, module},
    tensor::{Conv, Pool, Tensor},
};

/// A convolution, ReLU, and the maximum of 2x2.
#[derive(Clone, Debug)]
pub struct Block {
    conv: Conv2d,
}
module!(Block { conv });

impl Block {
    fn new(from: usize, to: usize, rng: &mut ChaCha8Rng) -> Self {
        Self { conv: Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)) }
    }
}

impl Forward for Block {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let y = cx.within("conv", |cx| self.conv.forward(x, cx))?;
        Ok(y.relu().max_pool2d(Pool::new(2))?)
    }
}

fn cnn(first: usize, second: usize, hidden: usize, seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let dropout = if hidden > 64 { 0.4 } else { 0.0 };
    Sequential::new()
        .named("block1", Block::new(1, first, rng))
        .named("block2", Block::new(first, second, rng))
        .push(Flatten)
        .push(Dropout::new(dropout))
        .named("fc1", Linear::new(second * 49, hidden, rng))
        .push(Act::Relu)
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

/// One hidden layer of 32.
pub fn perceptron(seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    Sequential::new()
        .push(Flatten)
        .named("fc1", Linear::new(784, 32, rng))
        .push(Act::Relu)
        .named("fc2", Linear::new(32, 10, rng))
}
