//! Every method on one seed.

use crate::{
    PROTOCOLS,
    data::Source,
    net::{Classifier, encoder},
    shared::Outcome,
    shown,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{Batch, Batching},
    maml::{
        Adapt, Episodes, FewShot, Fitted, Head, Logistic, Maml, Nearest, Predict, Protocol,
        Prototypes, Report, Reptile, RidgeHead, Task, cross_entropy, evaluate,
    },
    nn::{
        Adam, AdamW, Flatten, Optimizer, Schedule, Sequential, Sgd, Trainer, metric::predictions,
    },
};

/// How long everything trains.
pub struct Budget {
    pretrain: usize,
    metric: usize,
    maml: usize,
    reptile: usize,
    episodes: usize,
}

impl Budget {
    pub fn new(quick: bool, full: bool) -> Self {
        match (quick, full) {
            (true, _) => Self { pretrain: 2, metric: 20, maml: 4, reptile: 4, episodes: 30 },
            (false, false) => {
                Self { pretrain: 8, metric: 120, maml: 40, reptile: 50, episodes: 60 }
            }
            (false, true) => {
                Self { pretrain: 15, metric: 3000, maml: 800, reptile: 1000, episodes: 600 }
            }
        }
    }
}

/// The task that is drawn, and what ProtoNet said of it.
pub type Shown = Option<(Task, Vec<usize>)>;

/// Adds a result of every method to the report of each protocol.
pub fn run(
    source: &Source,
    budget: &Budget,
    seed: u64,
    reports: &mut [Report; 2],
    episode: &mut Shown,
) -> Outcome {
    let bench = Bench { source, budget, seed };
    let pixels = FewShot { encoder: Flatten, head: Nearest::default() };
    bench.test("nearest on pixels", &pixels.predictor(), Instant::now(), reports)?;

    let start = Instant::now();
    let pretrained = bench.pretrain()?;
    let cosine = FewShot { encoder: pretrained.clone(), head: Fitted::default() };
    bench.test("pre-trained, cosine head (baseline++)", &cosine.predictor(), start, reports)?;
    let logistic = FewShot { encoder: pretrained, head: Logistic::default() };
    bench.test("pre-trained, logistic head", &logistic.predictor(), start, reports)?;

    let start = Instant::now();
    let proto = bench.metric(Prototypes)?;
    bench.test("ProtoNet", &proto.predictor(), start, reports)?;
    if episode.is_none() {
        let task = shown(&source.test)?;
        let outputs = proto.predictor().predict(&task, Protocol::Inductive)?;
        let predicted = outputs.last().map(|(_, logits)| predictions(logits)).transpose()?;
        *episode = Some((task, predicted.unwrap_or_default()));
    }
    let start = Instant::now();
    let ridge = bench.metric(RidgeHead::default())?;
    bench.test("R2D2", &ridge.predictor(), start, reports)?;

    let variants = [
        ("MAML", Maml::new(3, 0.1)),
        ("FOMAML", Maml::new(3, 0.1).first_order()),
        ("ANIL", Maml::new(3, 0.1).adapt(Adapt::Only("fc.**".to_owned()))),
    ];
    for (name, maml) in variants {
        let start = Instant::now();
        let mut learner = maml.learner(Classifier::new(source.way, &mut bench.rng()))?;
        let episodes = Episodes::new(&source.train, 4, budget.maml).seed(seed);
        maml.fit(bench.trainer(3e-3, budget.maml), &mut learner, episodes, cross_entropy)?;
        bench.test(name, &maml.predictor(&learner, cross_entropy), start, reports)?;
    }

    let start = Instant::now();
    let reptile = Reptile { test_steps: 20, ..Reptile::new() };
    let mut model = Classifier::new(source.way, &mut bench.rng());
    let steps = budget.reptile as u64;
    let outer =
        Optimizer::new(Sgd::new(1.0)).schedule(Schedule::Linear { start: 1.0, end: 0.0, steps });
    let episodes = Episodes::new(&source.train, 5, budget.reptile).seed(seed);
    reptile.fit(Trainer::new(outer, 1), &mut model, episodes, cross_entropy)?;
    bench.test("Reptile", &reptile.predictor(&model, cross_entropy), start, reports)
}

struct Bench<'a> {
    source: &'a Source,
    budget: &'a Budget,
    seed: u64,
}

impl Bench<'_> {
    fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }

    fn trainer<'t>(&self, lr: f32, steps: usize) -> Trainer<'t> {
        let schedule = Schedule::cosine(steps as u64, 0.0);
        Trainer::new(Optimizer::new(Adam::new(lr)).schedule(schedule), 1).seed(self.seed)
    }

    /// An encoder that learned to tell the classes to practise on apart.
    fn pretrain(&self) -> Outcome<Sequential> {
        let data = &self.source.practice;
        let mut net = Classifier::new(data.classes(), &mut self.rng());
        let loader = data.batches(Batching::new(64).shuffled(self.seed))?;
        let steps = (self.budget.pretrain * loader.len()) as u64;
        let optimizer = Optimizer::new(AdamW::new(3e-3)).schedule(Schedule::cosine(steps, 0.0));
        Trainer::new(optimizer, self.budget.pretrain).seed(self.seed).fit(
            &mut net,
            |epoch| loader.epoch(epoch as u64),
            |net, batch: &Batch, cx| cross_entropy(net, batch, cx),
        )?;
        Ok(net.encoder)
    }

    fn metric<H: Head>(&self, head: H) -> Outcome<FewShot<Sequential, H>> {
        let mut net = FewShot { encoder: encoder(&mut self.rng()), head };
        let episodes = Episodes::new(&self.source.train, 1, self.budget.metric).seed(self.seed);
        net.fit(self.trainer(2e-3, self.budget.metric), episodes)?;
        Ok(net)
    }

    fn test(
        &self,
        name: &str,
        method: &dyn Predict,
        start: Instant,
        reports: &mut [Report; 2],
    ) -> Outcome {
        let seconds = start.elapsed().as_secs_f64();
        for (protocol, report) in PROTOCOLS.into_iter().zip(reports) {
            // The same tasks for all methods; others than in training.
            let tasks = 1_000_000 + self.seed;
            let result =
                evaluate(method, &self.source.test, self.budget.episodes, tasks, protocol)?;
            report.add(name, result, seconds);
        }
        Ok(())
    }
}
