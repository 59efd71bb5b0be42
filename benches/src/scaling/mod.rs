//! How time and memory of a step grow, on paper and measured.

mod chart;
mod cost;
mod machine;

pub use chart::{Line, draw};
pub use cost::Cost;
pub use machine::Machine;

use crate::{
    Outcome, Run,
    fill::{classes, numbers, set_weights},
    workloads::{classifier_step, sinusoid},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Act, Adam, Linear, Optimizer, Sequential};

/// A quantity that grows while all others stay.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// The name of its picture.
    pub name: &'static str,
    /// What is measured.
    pub title: &'static str,
    /// What grows.
    pub axis: &'static str,
    /// Its values.
    pub values: &'static [usize],
    /// A step at a value.
    pub step: fn(usize) -> Outcome<Run>,
    /// What it costs on paper.
    pub cost: fn(usize) -> Cost,
}

/// All of them.
pub const SWEEPS: [Sweep; 4] = [
    Sweep {
        name: "batch",
        title: "Perceptron 784-256-128-10, one step of Adam",
        axis: "batch",
        values: &[8, 32, 128, 512, 2048, 8192],
        step: |batch| perceptron(batch, &[784, 256, 128, 10]),
        cost: |batch| Cost::perceptron(batch, &[784, 256, 128, 10]),
    },
    Sweep {
        name: "width",
        title: "Perceptron 784-w-w-10, batch 64, one step of Adam",
        axis: "width w",
        values: &[32, 64, 128, 256, 512, 1024, 2048],
        step: |w| perceptron(64, &[784, w, w, 10]),
        cost: |w| Cost::perceptron(64, &[784, w, w, 10]),
    },
    Sweep {
        name: "depth",
        title: "Perceptron 64-64-..-64-10, batch 16, one step of Adam",
        axis: "hidden layers",
        values: &[1, 4, 16, 64, 256],
        step: |depth| perceptron(16, &deep(depth)),
        cost: |depth| Cost::perceptron(16, &deep(depth)),
    },
    Sweep {
        name: "tasks",
        title: "Second-order MAML 1-40-40-1, 10 + 10 points, 1 inner step",
        axis: "tasks",
        values: &[1, 4, 16, 64, 256, 1024],
        step: |tasks| sinusoid(tasks, 1),
        cost: Cost::maml,
    },
];

/// Workloads whose time is measured for every number of threads.
pub const THREADED: [&str; 5] =
    ["mlp_step", "maml_sinusoid_5", "lenet_step", "transformer_train", "resnet18_fwd_b8"];

fn deep(hidden: usize) -> Vec<usize> {
    let mut sizes = vec![64; hidden + 1];
    sizes.push(10);
    sizes
}

fn perceptron(batch: usize, sizes: &[usize]) -> Outcome<Run> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut net = Sequential::new();
    for (i, pair) in sizes.windows(2).enumerate() {
        if i > 0 {
            net = net.push(Act::Relu);
        }
        net = net.push(Linear::new(pair[0], pair[1], rng));
    }
    set_weights(10, &mut net)?;
    let optimizer = Optimizer::new(Adam::new(1e-3));
    Ok(classifier_step(net, optimizer, numbers(1, [batch, sizes[0]]), classes(batch, 10)))
}
