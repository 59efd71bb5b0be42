//! Every method on one seed.

use crate::{
    data::Source,
    draw::Shown,
    net::{Classifier, conv},
    shared::Outcome,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{Batch, Batching},
    maml::{
        Adapt, Episodes, FewShot, Fitted, Head, Logistic, Maml, Nearest, Predict, Protocol,
        Prototypes, Report, Reptile, RidgeHead, TaskSource, cross_entropy, evaluate_across,
        peak_bytes,
    },
    nn::{
        Adam, AdamW, Flatten, Optimizer, Schedule, Sequential, Sgd, Trainer, metric::predictions,
    },
};

/// The convolution blocks and filters of all methods.
const BLOCKS: u32 = 3;
const FILTERS: usize = 16;

/// How long everything trains.
pub struct Budget {
    pretrain: usize,
    metric: usize,
    maml: usize,
    reptile: usize,
    episodes: usize,
}

impl Budget {
    pub fn new(quick: bool) -> Self {
        if quick {
            Self { pretrain: 2, metric: 20, maml: 4, reptile: 4, episodes: 30 }
        } else {
            Self { pretrain: 8, metric: 120, maml: 40, reptile: 50, episodes: 60 }
        }
    }
}

/// Unseen garments inductively and transductively, and digits inductively.
pub type Reports = [Report; 3];

/// Empty ones.
pub fn reports(shot: usize) -> Reports {
    let of = |what: &str| Report::new(&format!("{what}, 5-way {shot}-shot"));
    [
        of("unseen garments (Fashion-MNIST), inductive"),
        of("unseen garments (Fashion-MNIST), transductive"),
        of("practised on garments, tested on digits (MNIST), inductive"),
    ]
}

/// What the page shows beside the results, of the first seed.
#[derive(Default)]
pub struct Extras {
    pub shown: Option<Shown>,
    pub memory: Option<String>,
}

/// Adds a result of every method to the report of each protocol.
pub fn run(
    source: &Source,
    budget: &Budget,
    seed: u64,
    reports: &mut Reports,
    extras: &mut Extras,
) -> Outcome {
    let bench = Bench { source, budget, seed };
    bench.baselines(reports)?;
    bench.metric_methods(reports, extras)?;
    bench.gradient_methods(reports, extras)?;
    bench.reptile(reports)
}

struct Bench<'a> {
    source: &'a Source,
    budget: &'a Budget,
    seed: u64,
}

impl Bench<'_> {
    fn baselines(&self, reports: &mut Reports) -> Outcome {
        let pixels = FewShot { encoder: Flatten, head: Nearest::default() };
        self.test("nearest on pixels", &pixels.predictor(), Instant::now(), reports)?;
        let start = Instant::now();
        let pretrained = self.pretrain()?;
        let cosine = FewShot { encoder: pretrained.clone(), head: Fitted::default() };
        self.test("pre-trained, cosine head (baseline++)", &cosine.predictor(), start, reports)?;
        let logistic = FewShot { encoder: pretrained, head: Logistic::default() };
        self.test("pre-trained, logistic head", &logistic.predictor(), start, reports)
    }

    fn metric_methods(&self, reports: &mut Reports, extras: &mut Extras) -> Outcome {
        let start = Instant::now();
        let proto = self.metric(Prototypes)?;
        self.test("ProtoNet", &proto.predictor(), start, reports)?;
        if extras.shown.is_none() {
            let task = self.source.test.task(2026, 0)?;
            let outputs = proto.predictor().predict(&task, Protocol::Inductive)?;
            let said = outputs.last().map(|(_, logits)| predictions(logits)).transpose()?;
            let said = said.unwrap_or_default();
            extras.shown = Some(Shown { method: "ProtoNet", task, said });
        }
        let start = Instant::now();
        let ridge = self.metric(RidgeHead::default())?;
        self.test("R2D2", &ridge.predictor(), start, reports)
    }

    fn gradient_methods(&self, reports: &mut Reports, extras: &mut Extras) -> Outcome {
        let variants = [
            ("MAML", Maml::new(3, 0.1)),
            ("FOMAML", Maml::new(3, 0.1).first_order()),
            ("ANIL", Maml::new(3, 0.1).adapt(Adapt::Only("fc.**".to_owned()))),
        ];
        for (name, maml) in variants {
            let start = Instant::now();
            let net = Classifier::conv(BLOCKS, FILTERS, self.source.way, &mut self.rng());
            let mut learner = maml.learner(net)?;
            let steps = self.budget.maml;
            let episodes = Episodes::new(&self.source.train, 4, steps).seed(self.seed);
            let trainer = self.trainer(3e-3, steps);
            let fit = || maml.fit(trainer, &mut learner, episodes, cross_entropy);
            if extras.memory.is_none() {
                let (done, bytes) = peak_bytes(fit);
                done?;
                let task = self.source.train.task(2026, 0)?;
                let forecast = maml.forecast_memory(&learner, &task, cross_entropy, 4)?;
                extras.memory = Some(format!(
                    "Memory of {name}: forecast {forecast}; measured {:.1} MB, with the tasks \
                     and the state of the optimiser.",
                    bytes as f64 / 1e6
                ));
            } else {
                fit()?;
            }
            self.test(name, &maml.predictor(&learner, cross_entropy), start, reports)?;
        }
        Ok(())
    }

    fn reptile(&self, reports: &mut Reports) -> Outcome {
        let start = Instant::now();
        let reptile = Reptile { test_steps: 20, ..Reptile::new() };
        let mut model = Classifier::conv(BLOCKS, FILTERS, self.source.way, &mut self.rng());
        let steps = self.budget.reptile;
        let schedule = Schedule::Linear { start: 1.0, end: 0.0, steps: steps as u64 };
        let outer = Optimizer::new(Sgd::new(1.0)).schedule(schedule);
        let episodes = Episodes::new(&self.source.train, 5, steps).seed(self.seed);
        reptile.fit(Trainer::new(outer, 1), &mut model, episodes, cross_entropy)?;
        self.test("Reptile", &reptile.predictor(&model, cross_entropy), start, reports)
    }

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
        let mut net = Classifier::conv(BLOCKS, FILTERS, data.classes(), &mut self.rng());
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
        let mut net = FewShot { encoder: conv(BLOCKS, FILTERS, &mut self.rng()), head };
        let episodes = Episodes::new(&self.source.train, 1, self.budget.metric).seed(self.seed);
        net.fit(self.trainer(2e-3, self.budget.metric), episodes)?;
        Ok(net)
    }

    fn test(
        &self,
        name: &str,
        method: &dyn Predict,
        start: Instant,
        reports: &mut Reports,
    ) -> Outcome {
        let seconds = start.elapsed().as_secs_f64();
        let Source { test, elsewhere, .. } = self.source;
        // The same tasks for all methods; others than in training.
        let tasks = 1_000_000 + self.seed;
        let domains: [(&str, &dyn TaskSource); 2] = [("garments", test), ("digits", elsewhere)];
        let across = evaluate_across(method, &domains, self.budget.episodes, tasks)?;
        let [own, other] = across.domains.try_into().map_err(|_| "two domains were tested")?;
        let of_report = [own.1.inductive, own.1.transductive, other.1.inductive];
        for (report, result) in reports.iter_mut().zip(of_report) {
            report.add(name, result, seconds);
        }
        Ok(())
    }
}
