//! Second-order MAML of a convolutional network.

use super::Workload;
use crate::fill::{classes, numbers, set_weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Batch, Targets};
use tl_maml::{Episodes, Maml, Task, TaskSource, cross_entropy};
use tl_models::{Backbone, Conv4, Conv4Config};
use tl_nn::{Adam, Optimizer, Trainer};

const WAYS: usize = 5;

/// The same tasks again and again.
struct Fixed(Vec<Task>);

impl TaskSource for Fixed {
    fn task(&self, _: u64, number: u64) -> tl_maml::Result<Task> {
        Ok(self.0[number as usize % self.0.len()].clone())
    }
}

fn batch(seed: u64, n: usize) -> Batch {
    let names: Vec<String> = (0..WAYS).map(|i| i.to_string()).collect();
    let targets = Targets::Classes { labels: classes(n, WAYS), names: names.into() };
    Batch { features: numbers(seed, [n, 1, 28, 28]), targets, indices: (0..n).collect() }
}

/// Outer steps of a run.
const STEPS: usize = 2;

/// 5-way 1-shot with 15 queries of each class (Finn et al. 2017, section 5.2).
pub(super) const MAML_CONV4: Workload = Workload {
    name: "maml_conv4_5w1s",
    about: "Conv-4 of 32 channels, 4 tasks of 5 + 75 images of 28x28, 1 inner step, second order, \
            one step of Adam",
    peers: &["torch", "torch_vmap"],
    // Adam's first steps are the signs of gradients, whatever their size.
    tolerance: Some(0.1),
    steps: STEPS,
    setup: || {
        let config = Conv4Config { width: 32, ..Conv4Config::default() };
        let mut net = Conv4::new(&config, &mut ChaCha8Rng::seed_from_u64(0))?;
        set_weights(10, &mut net)?;
        let tasks = (0..4)
            .map(|t| Task { support: batch(100 + t, WAYS), query: batch(200 + t, 15 * WAYS) });
        let source = Fixed(tasks.collect());
        let maml = Maml::new(1, 0.4);
        let mut learner = maml.learner(net)?;
        Ok(Box::new(move || {
            let before = learner.model.classifier.weight.tensor().detach();
            let trainer = Trainer::new(Optimizer::new(Adam::new(1e-3)), 1);
            let episodes = Episodes::new(&source, 4, STEPS);
            maml.fit(trainer, &mut learner, episodes, cross_entropy)?;
            Ok(learner.model.classifier.weight.tensor().detach().sub(&before)?)
        }))
    },
};
