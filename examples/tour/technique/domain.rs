//! Domain adaptation: labels in one domain, none in the other.

use super::{Section, snippet};
use crate::{
    learn,
    net::{FEATURES, encoder},
    shared::{Outcome, page::cards},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    dann::{Adaptation, Classifier, Method},
    data::samples,
    nn::{Linear, metric::Trials},
};

pub fn run(seeds: u64, quick: bool) -> Outcome<Section> {
    let (source, (target, test)) = (samples::digits(), samples::mnist_8x8());
    let target = target.without_targets();
    let epochs = if quick { 2 } else { 10 };
    let mut trials = Trials::new("UCI digits -> MNIST 8x8, no target labels", "accuracy");
    let mut shown = Vec::new();
    let ways = [("source only", Method::SourceOnly), ("SHOT", Method::Shot)];
    for seed in 0..seeds {
        for (name, method) in &ways {
            let (start, rng) = (Instant::now(), &mut ChaCha8Rng::seed_from_u64(seed));
            // The technique:
            let mut model =
                Classifier { encoder: encoder(rng), head: Linear::new(FEATURES, 10, rng) };
            let adaptation = Adaptation::new(*method).epochs(epochs).seed(seed);
            adaptation.fit(&mut model, &source, &target)?;
            // Until here.
            let (accuracy, predicted) = learn::test(&model, &test)?;
            trials.push(name, accuracy, start.elapsed().as_secs_f64());
            shown = predicted;
        }
    }
    Ok(Section {
        name: "domain adaptation",
        story: "UCI's digits have labels, MNIST's have none. The baseline learns from UCI's \
                alone; SHOT also sees MNIST's pictures.",
        trials,
        way: "SHOT",
        code: snippet(include_str!("domain.rs")),
        cards: cards(&test, &shown, 12)?,
    })
}
