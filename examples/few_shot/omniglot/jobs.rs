//! What is trained, and how.

use super::{Setting, Tested, World};
use crate::{
    net::{Classifier, conv},
    shared::Outcome,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{
        Batch, Batching, Dataset,
        transform::{RandomAffine, Transform},
    },
    finetune::Extract,
    maml::{
        Adapt, Augmented, AveragedViews, CosineClassifier, Episodes, FewShot, Fitted, Head, Maml,
        Nearest, Predict, Protocol, Prototypes, Reptile, RidgeHead, SvmHead, Tasks, cross_entropy,
        evaluate, evaluate_both,
    },
    nn::{
        Adam, AdamW, CrossEntropy, Error, Event, Flatten, Forward, Optimizer, Schedule, Sequential,
        Sgd, Trainer, module,
    },
};

/// Filters of the convolutions; the papers have 32 for initialisations that are learned
/// and 64 for distances.
const FILTERS: usize = 32;
const METRIC_FILTERS: usize = 64;
const BLOCKS: u32 = 4;
/// Tasks that ProtoNet practises on.
const PROTONET_TASKS: usize = 12_000;
/// Moved copies of a drawing whose features are averaged, where they are.
const VIEWS: usize = 16;
/// What Conv-4 makes of a 28x28 image: one place for each filter.
const FEATURES: usize = FILTERS;

/// Every method practises on drawings that are slightly moved: there are few.
fn moved() -> RandomAffine {
    RandomAffine::new().degrees(10.0).shear(5.0).translate(0.1).scale(0.9, 1.1)
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    Pixels,
    Protonet,
    ProtonetViews,
    R2d2,
    Metaoptnet,
    BaselinePlusPlus,
    MamlDense,
    Maml,
    Anil,
    Reptile,
}

impl Method {
    pub const ALL: [Self; 10] = [
        Self::Pixels,
        Self::Protonet,
        Self::ProtonetViews,
        Self::BaselinePlusPlus,
        Self::R2d2,
        Self::MamlDense,
        Self::Maml,
        Self::Anil,
        Self::Reptile,
        Self::Metaoptnet,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "nearest on pixels",
            Self::Protonet => "ProtoNet",
            Self::ProtonetViews => "ProtoNet, 16 moved views averaged",
            Self::R2d2 => "R2D2",
            Self::Metaoptnet => "MetaOptNet (SVM)",
            Self::BaselinePlusPlus => "pre-trained, cosine head (baseline++)",
            Self::MamlDense => "MAML, dense net",
            Self::Maml => "MAML, Conv-4",
            Self::Anil => "ANIL, Conv-4",
            Self::Reptile => "Reptile, Conv-4",
        }
    }

    /// The name of its files; views are of an encoder that is trained without them.
    fn file(self, setting: Option<Setting>) -> String {
        let trained = if self == Self::ProtonetViews { Self::Protonet } else { self };
        let name = format!("{trained:?}").to_lowercase();
        setting.map_or_else(|| name.clone(), |s| format!("{name}_{}w{}s", s.way, s.shot))
    }
}

/// An encoder with an angular head, which is thrown away after pre-training.
#[derive(Clone, Debug)]
struct Angular {
    encoder: Sequential,
    head: CosineClassifier,
}
module!(Angular { encoder, head });

/// One method in one setting.
pub struct Job<'a> {
    pub world: &'a World,
    pub method: Method,
    pub setting: Setting,
    pub seed: u64,
}

impl Job<'_> {
    /// Trains it, or goes on, or reads what was trained; and tests it.
    pub fn run(&self) -> Outcome<Tested> {
        match self.method {
            Method::Pixels => {
                self.test(&FewShot { encoder: Flatten, head: Nearest::default() }.predictor())
            }
            Method::Protonet => self.test(&self.metric(Prototypes, PROTONET_TASKS)?.predictor()),
            Method::ProtonetViews => self.views(),
            Method::R2d2 => self.test(&self.metric(RidgeHead::default(), 1000)?.predictor()),
            Method::Metaoptnet => self.test(&self.metric(SvmHead::default(), 1000)?.predictor()),
            Method::BaselinePlusPlus => self.baseline(),
            Method::MamlDense | Method::Maml | Method::Anil => self.maml(),
            Method::Reptile => self.reptile(),
        }
    }

    fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }

    fn test(&self, method: &dyn Predict) -> Outcome<Tested> {
        let tasks = self.tests(&self.world.unseen)?;
        Ok(evaluate_both(method, &tasks, self.world.episodes, self.test_seed())?.into())
    }

    fn tests(&self, unseen: &Dataset) -> Outcome<Tasks> {
        let Setting { way, shot } = self.setting;
        let query = if way == 5 { 15 } else { 5 };
        Ok(Tasks::from_labels(unseen)?.way(way).shot(shot).query(query))
    }

    /// Other tasks than in training, the same for all methods.
    fn test_seed(&self) -> u64 {
        1_000_000 + self.seed
    }

    /// Tasks of turned characters to practise on.
    fn practice(&self, way: usize, shot: usize, query: usize) -> Outcome<Tasks> {
        let tasks = Tasks::from_labels(&self.world.practice)?;
        Ok(tasks.way(way).shot(shot).query(query).rotated()?)
    }

    /// A trainer that saves what it has and goes on from there.
    fn trainer(&self, optimizer: Optimizer, epochs: usize, file: &str) -> Trainer<'static> {
        let file_name = file.to_owned();
        Trainer::new(optimizer, epochs)
            .seed(self.seed)
            .checkpoint(self.world.folder.join(format!("{file}_{}.safetensors", self.seed)))
            .checkpoint_every(100)
            .resume()
            .on_event(move |event| {
                if let Event::Step { step, of, loss, .. } = event
                    && step.is_multiple_of(200)
                {
                    eprintln!("{file_name}: step {step} of {}, loss {loss:.3}", of.unwrap_or(0));
                }
            })
    }

    fn adam(&self, lr: f32, steps: usize) -> Optimizer {
        Optimizer::new(Adam::new(lr)).schedule(Schedule::cosine(steps as u64, 0.01))
    }

    /// 20-way 1-shot practice, one encoder for all settings.
    fn metric<H: Head>(&self, head: H, tasks: usize) -> Outcome<FewShot<Sequential, H>> {
        let steps = self.world.steps(tasks);
        let mut net = FewShot { encoder: conv(BLOCKS, METRIC_FILTERS, &mut self.rng()), head };
        let tasks = self.practice(20, 1, 5)?;
        let trainer = self.trainer(self.adam(2e-3, steps), 1, &self.method.file(None));
        let tasks = Augmented::new(&tasks, moved());
        net.fit(trainer, Episodes::new(&tasks, 1, steps).seed(self.seed))?;
        Ok(net)
    }

    /// ProtoNet, tested on features that are averaged over views. A drawing is in
    /// many tasks, so its features are made once, which only the inductive protocol
    /// allows.
    fn views(&self) -> Outcome<Tested> {
        let encoder = self.metric(Prototypes, PROTONET_TASKS)?.encoder;
        let encoder = AveragedViews::new(encoder, moved(), VIEWS);
        let features = Extract::new().run(&encoder, &self.world.unseen)?;
        let net = FewShot { encoder: Flatten, head: Prototypes };
        let (tasks, episodes) = (self.tests(&features)?, self.world.episodes);
        let method = net.predictor();
        Ok(evaluate(&method, &tasks, episodes, self.test_seed(), Protocol::Inductive)?.into())
    }

    /// A classifier of all turned characters; then an angular head on its
    /// features for every task.
    fn baseline(&self) -> Outcome<Tested> {
        let tasks = self.practice(2, 1, 1)?;
        let data = tasks.dataset()?;
        let loader = data.batches(Batching::new(64).shuffled(self.seed))?;
        let epochs = self.world.steps(8);
        let steps = (epochs * loader.len()) as u64;
        let mut net = Angular {
            encoder: conv(BLOCKS, FILTERS, &mut self.rng()),
            head: CosineClassifier::new(FEATURES, data.classes(), &mut self.rng()),
        };
        let optimizer = Optimizer::new(AdamW::new(3e-3)).schedule(Schedule::cosine(steps, 0.01));
        let trainer = Trainer::new(optimizer, epochs)
            .seed(self.seed)
            .checkpoint(self.world.folder.join(format!(
                "{}_{}.safetensors",
                self.method.file(None),
                self.seed
            )))
            .checkpoint_every(100)
            .resume();
        trainer.fit(
            &mut net,
            |epoch| loader.epoch(epoch as u64),
            |net, batch: &Batch, cx| {
                let x = moved().apply(&batch.features, cx.rng()).map_err(Error::other)?;
                let features = net.encoder.forward(&x, cx)?;
                let labels = batch.labels().map_err(Error::other)?;
                Ok(CrossEntropy::new().loss(&net.head.forward(&features, cx)?, labels)?)
            },
        )?;
        self.test(&FewShot { encoder: net.encoder, head: Fitted::default() }.predictor())
    }

    /// The paper's inner rates, with fewer tasks in a meta-batch (32 and 16 there).
    fn maml(&self) -> Outcome<Tested> {
        let Setting { way, shot } = self.setting;
        let (mut maml, tasks_a_batch, steps) = match way {
            5 => (Maml::new(1, 0.4), 4, 800),
            _ => (Maml::new(3, 0.1), 2, 300),
        };
        if self.method == Method::Anil {
            maml = maml.adapt(Adapt::Only("fc.**".to_owned()));
        }
        let longer = if self.method == Method::MamlDense { 3 } else { 1 };
        let steps = self.world.steps(longer * steps);
        let net = match self.method {
            Method::MamlDense => Classifier::dense(way, &mut self.rng()),
            _ => Classifier::conv(BLOCKS, FILTERS, way, &mut self.rng()),
        };
        let mut learner = maml.learner(net)?;
        let tasks = self.practice(way, shot, 5)?;
        let trainer =
            self.trainer(self.adam(2e-3, steps), 1, &self.method.file(Some(self.setting)));
        let tasks = Augmented::new(&tasks, moved());
        let episodes = Episodes::new(&tasks, tasks_a_batch, steps).seed(self.seed);
        maml.fit(trainer, &mut learner, episodes, cross_entropy)?;
        // The paper tests with 3 steps where it trained with 1.
        let at_test = maml.with_steps(if way == 5 { 3 } else { 5 });
        self.test(&at_test.predictor(&learner, cross_entropy))
    }

    /// The paper's: 10 samples of each class to train on, of 5 tasks.
    fn reptile(&self) -> Outcome<Tested> {
        let steps = self.world.steps(800);
        let way = self.setting.way;
        let batch = if way == 5 { 10 } else { 20 };
        let mut reptile = Reptile { batch, ..Reptile::new() };
        reptile.steps = if way == 5 { 5 } else { 10 };
        let mut model = Classifier::conv(BLOCKS, FILTERS, way, &mut self.rng());
        let tasks = self.practice(way, 5, 5)?;
        let schedule = Schedule::Linear { start: 1.0, end: 0.0, steps: steps as u64 };
        let outer = Optimizer::new(Sgd::new(1.0)).schedule(schedule);
        let setting = Setting { way, shot: 0 };
        let trainer = self.trainer(outer, 1, &self.method.file(Some(setting)));
        let tasks = Augmented::new(&tasks, moved());
        let episodes = Episodes::new(&tasks, 5, steps).seed(self.seed);
        reptile.fit(trainer, &mut model, episodes, cross_entropy)?;
        self.test(&reptile.predictor(&model, cross_entropy))
    }
}
