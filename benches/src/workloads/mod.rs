//! The workloads: each says what it does, and makes the function to be timed.
//! The twins of
//! `FILE.rs` are in `peers/twins/FILE.py` (those of `ssl.rs` in `ssl_twins.py`).

mod adapt;
mod chain;
mod contrastive;
mod conv;
mod distill;
mod image;
mod lora;
mod maml;
mod meta;
mod mlp;
mod multi_task;
mod resnet;
mod shallow;
mod ssl;
mod transformer;
mod zero_shot;

pub(crate) use maml::sinusoid;

use crate::Outcome;
use tl_nn::{CrossEntropy, Ctx, Forward, Indices, ModuleExt, Optimizer, Tensor};

/// The function to be timed. What it returns is compared with the twin's.
pub type Run = Box<dyn FnMut() -> Outcome<Tensor> + Send>;

/// A workload and the twins that it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The twins: `torch..` and other libraries of Python; `candle`, `burn`.
    pub peers: &'static [&'static str],
    /// How far the results of two sides may differ, as a part of their size.
    /// `None` where a run draws random numbers of its own.
    pub tolerance: Option<f64>,
    /// Steps of a run: times are those of one step.
    pub steps: usize,
    /// Makes it.
    pub setup: fn() -> Outcome<Run>,
}

impl Workload {
    /// What most workloads have.
    const DEFAULT: Self = Self {
        name: "",
        about: "",
        peers: &["torch"],
        tolerance: Some(2e-3),
        steps: 1,
        setup: || Err("no workload".into()),
    };
}

/// One step of a classifier on a batch: forward, backward, optimiser.
pub(crate) fn classifier_step(
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
        let loss = CrossEntropy::new().loss(&logits, &y)?;
        optimizer.step(&mut net, &loss.backward()?)?;
        net.apply(cx.take_updates())?;
        Ok(loss.detach())
    })
}

/// All workloads, in the order of the tables.
pub fn all() -> Vec<Workload> {
    let mut all = vec![
        chain::CHAIN1000,
        mlp::MLP_STEP,
        maml::MAML_SINUSOID_1,
        maml::MAML_SINUSOID_5,
        image::PROTONET_CONV4,
        image::LENET_STEP,
        resnet::FORWARD_1,
        resnet::FORWARD_8,
        resnet::TRAIN,
        transformer::FORWARD,
        transformer::TRAIN,
        contrastive::NTXENT,
        lora::TRAIN,
        shallow::KNN,
        shallow::KMEANS,
        shallow::LOGREG,
        meta::MAML_CONV4,
        adapt::DANN_STEP,
        adapt::SINKHORN,
        distill::KD_STEP,
        distill::KD_CACHED,
        distill::KD_NONE,
        ssl::AUGMENT,
        ssl::SIMCLR_STEP,
        ssl::SIMCLR_PLAIN,
        ssl::VICREG_LOSS,
        zero_shot::ESZSL,
        zero_shot::SENTENCES,
        zero_shot::TEXTS,
    ];
    all.extend(multi_task::ALL);
    all.extend(conv::ALL);
    all
}
