//! One seed of the experiment: a source model, then three ways to learn the
//! target from a few labels.

use crate::{
    learn::{self, loss, train, uci_halves},
    net::Net,
    shared::Outcome,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{Batching, Dataset, samples},
    nn::{AdamW, Linear, Load, Optimizer, Result, Schedule, StateDict, Trainer},
    prelude::*,
};

/// Where a model comes from and where it goes.
pub struct Domains {
    /// "from -> to".
    pub name: String,
    source: Dataset,
    /// What labels are drawn from.
    pool: Dataset,
    /// What is tested on, and nothing else.
    pub test: Dataset,
}

/// The ways of learning, in order.
pub const WAYS: [&str; 3] = ["from scratch", "frozen features + linear head", "fine-tuned"];

/// The result of one way with so many labels a class.
pub struct Run {
    pub accuracy: f64,
    pub seconds: f64,
    /// The predicted classes of the test set.
    pub predicted: Vec<usize>,
}

/// Both directions between the two sets of digits.
pub fn domains() -> Outcome<Vec<Domains>> {
    let (mnist, mnist_test) = samples::mnist_8x8();
    let (pool, test) = uci_halves()?;
    Ok(vec![
        Domains {
            name: "UCI digits -> MNIST 8x8".to_owned(),
            source: samples::digits(),
            pool: mnist.clone(),
            test: mnist_test,
        },
        Domains { name: "MNIST 8x8 -> UCI digits".to_owned(), source: mnist, pool, test },
    ])
}

/// How long each way trains: the same number of steps for all.
struct Budget {
    source_epochs: usize,
    steps: usize,
}

/// All ways for every number of labels: `[shots][ways]`.
pub fn run(domains: &Domains, shots: &[usize], seed: u64, quick: bool) -> Outcome<Vec<[Run; 3]>> {
    let budget = if quick {
        Budget { source_epochs: 4, steps: 60 }
    } else {
        Budget { source_epochs: 12, steps: 200 }
    };
    let classes = domains.source.classes();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);

    let mut source = Net::new(classes, &mut rng);
    let loader = domains.source.batches(Batching::new(64).shuffled(seed))?;
    let steps = (budget.source_epochs * loader.len()) as u64;
    let optimizer = Optimizer::new(AdamW::new(3e-3)).schedule(Schedule::cosine(steps, 0.0));
    Trainer::new(optimizer, budget.source_epochs).seed(seed).fit(
        &mut source,
        |epoch| loader.epoch(epoch as u64),
        loss,
    )?;
    // As it would come from elsewhere: a file in safetensors format.
    let checkpoint = source.state_dict().to_bytes()?;

    let mut results = Vec::new();
    for &k in shots {
        let (few, _) = domains.pool.k_shot(k, &mut ChaCha8Rng::seed_from_u64(seed))?;

        let start = Instant::now();
        let mut scratch = Net::new(classes, &mut rng);
        train(&mut scratch, &few, AdamW::new(3e-3), budget.steps, seed)?;
        let scratch = run_of(&scratch, &domains.test, start)?;

        let start = Instant::now();
        let pretrained = load(&checkpoint, classes, &mut rng)?;
        let frozen = probe(&pretrained, &few, &domains.test, budget.steps, seed, start)?;

        let start = Instant::now();
        let mut tuned = pretrained;
        train(&mut tuned, &few, AdamW::new(1e-3), budget.steps, seed)?;
        let tuned = run_of(&tuned, &domains.test, start)?;
        results.push([scratch, frozen, tuned]);
    }
    Ok(results)
}

/// The source model with a new head.
fn load(checkpoint: &[u8], classes: usize, rng: &mut ChaCha8Rng) -> Result<Net> {
    let mut net = Net::new(classes, rng);
    let weights = StateDict::from_bytes(checkpoint.to_vec())?;
    let _ = net.load(&weights, &Load::strict().ignore("fc.**")?.keep("fc.**")?)?;
    Ok(net)
}

/// A linear head on features that are computed once.
fn probe(
    net: &Net,
    few: &Dataset,
    test_set: &Dataset,
    steps: usize,
    seed: u64,
    start: Instant,
) -> Outcome<Run> {
    let features = |data: &Dataset| -> Outcome<Dataset> {
        Ok(data.with_features(&net.features(data.features(), &mut Ctx::eval())?)?)
    };
    let mut head: Linear = net.fc.clone();
    train(&mut head, &features(few)?, AdamW::new(1e-2), steps, seed)?;
    run_of(&head, &features(test_set)?, start)
}

fn run_of<M: Forward>(model: &M, data: &Dataset, start: Instant) -> Outcome<Run> {
    let (accuracy, predicted) = learn::test(model, data)?;
    Ok(Run { accuracy, seconds: start.elapsed().as_secs_f64(), predicted })
}
