//! Fine-tuning in WebAssembly, without threads, clock, files or randomness of the
//! platform: two functions that JavaScript calls.
//!
//! ```sh
//! rustup target add wasm32-unknown-unknown
//! cargo build --release --target wasm32-unknown-unknown
//! node run.mjs
//! ```

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{Dataset, samples},
    finetune::{Extract, FineTune, Method, Probe},
    nn::{Act, Flatten, Linear, Sequential, metric},
    prelude::*,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The accuracy on UCI's digits of a network that learned them from `shots` samples
/// of each, after it had learned MNIST's. Negative if something went wrong.
#[unsafe(no_mangle)]
pub extern "C" fn fine_tune(shots: u32) -> f64 {
    accuracy(shots as usize, true).unwrap_or(-1.0)
}

/// As [`fine_tune`], with a logistic probe on the features and no training of the
/// network on the new digits.
#[unsafe(no_mangle)]
pub extern "C" fn probe(shots: u32) -> f64 {
    accuracy(shots as usize, false).unwrap_or(-1.0)
}

fn accuracy(shots: usize, tune: bool) -> Outcome<f64> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut net = Sequential::new()
        .push(Flatten)
        .named("body", Linear::new(64, 64, rng))
        .named("act", Act::Relu)
        .named("fc", Linear::new(64, 10, rng));
    let all = Method::Full { body_rate: 1.0 };
    FineTune::new(all, "fc.**").epochs(5).fit(&mut net, &samples::mnist_8x8().0)?;

    let (few, test) = samples::digits().k_shot(shots, rng)?;
    let features = Extract::new().layer("act");
    let probe = Probe::logistic().fit(&features.run(&net, &few)?, 0)?;
    if !tune {
        return Ok(probe.accuracy(&features.run(&net, &test)?)?);
    }
    if let Some(head) = probe.head() {
        net.replace("fc", head.clone());
    }
    FineTune::new(Method::Full { body_rate: 0.1 }, "fc.**").epochs(10).fit(&mut net, &few)?;
    score(&net, &test)
}

fn score(net: &Sequential, test: &Dataset) -> Outcome<f64> {
    let logits = net.forward(test.features(), &mut Ctx::eval())?;
    Ok(metric::accuracy(&logits, &test.labels()?.into())?)
}
