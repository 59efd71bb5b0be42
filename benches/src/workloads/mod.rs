//! The workloads: each says what it does, and makes the function to be timed.

mod chain;
mod contrastive;
mod image;
mod maml;
mod mlp;
mod transformer;

use tl_nn::{CrossEntropy, Ctx, Forward, Indices, ModuleExt, Optimizer, Result, Tensor};

/// The function to be timed.
pub type Run = Box<dyn FnMut() -> Result<()> + Send>;

/// A workload and the twins that it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The twins that PyTorch has.
    pub peers: &'static [&'static str],
    /// Makes it.
    pub setup: fn() -> Result<Run>,
}

/// One step of a classifier on a batch: forward, backward, optimiser.
fn classifier_step(
    mut net: impl Forward + 'static,
    mut optimizer: Optimizer,
    x: Tensor,
    y: Indices,
) -> Run {
    let mut step = 0;
    Box::new(move || {
        step += 1;
        let mut cx = Ctx::train(step);
        let logits = net.forward(&x, &mut cx)?;
        let gradients = CrossEntropy::new().loss(&logits, &y)?.backward()?;
        optimizer.step(&mut net, &gradients)?;
        net.apply(cx.take_updates())
    })
}

/// The classes of `n` samples, one after another.
fn classes(n: usize, of: usize) -> Indices {
    (0..n).map(|i| i % of).collect::<Vec<_>>().into()
}

/// All workloads, in the order of the tables.
pub fn all() -> Vec<Workload> {
    vec![
        chain::CHAIN1000,
        mlp::MLP_STEP,
        image::LENET_STEP,
        maml::MAML_SINUSOID_1,
        maml::MAML_SINUSOID_5,
        image::PROTONET_CONV4,
        transformer::FORWARD,
        transformer::TRAIN,
        contrastive::NTXENT,
    ]
}
