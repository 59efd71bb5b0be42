//! The builder.

use crate::{
    Error, Hint, Relation, Result, Soft, Storage, TeacherCache,
    hint::{self, Trainee},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tl_data::{Batch, Batching, Dataset, Targets};
use tl_nn::{
    AdamW, CrossEntropy, Ctx, Forward, Losses, ModuleExt, Objective, Optimizer, Reduction,
    Schedule, Tensor, TrainReport, Trainer, loss,
};

/// How a student learns from a teacher. Plain data; the work is done by
/// [`fit`](Self::fit) and [`compare`](Self::compare).
///
/// The loss is `hard · task + soft · teacher + Σ weight · hint`, where the task
/// is cross entropy for classes and the squared error for numbers. Defaults:
/// soft weight 0.9, hard weight 0.1, no hints, 20 epochs of batches of 64, AdamW
/// with rate 3e-3 falling as a cosine, weight decay 0.01.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// The loss between outputs.
    pub soft: Soft,
    /// Its weight.
    pub soft_weight: f64,
    /// The weight of the loss with the true targets; 0 needs no targets.
    pub hard_weight: f64,
    /// Losses between layers.
    #[serde(default)]
    pub hints: Vec<Hint>,
    /// The part of the run, 0 to 1, over which the weights of teacher and hints
    /// rise from 0 in a straight line. DKD's paper warms up.
    #[serde(default)]
    pub warmup: f64,
    /// The temperature at the end of the run, to which it goes in a straight
    /// line (annealing).
    #[serde(default)]
    pub final_temperature: Option<f64>,
    /// A file for the teacher's outputs.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// How they are stored.
    #[serde(default)]
    pub storage: Storage,
    /// Passes over the data.
    pub epochs: usize,
    /// Samples of a batch.
    pub batch: usize,
    /// The highest learning rate.
    pub lr: f32,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Of order, dropout and regressors.
    pub seed: u64,
}

impl Distill {
    /// With any loss between outputs.
    pub fn new(soft: Soft) -> Self {
        Self {
            soft,
            soft_weight: 0.9,
            hard_weight: 0.1,
            hints: Vec::new(),
            warmup: 0.0,
            final_temperature: None,
            cache: None,
            storage: Storage::F32,
            epochs: 20,
            batch: 64,
            lr: 3e-3,
            weight_decay: 0.01,
            seed: 0,
        }
    }

    /// Hinton's distillation at a temperature; see [`kd`](crate::kd).
    pub fn kd(temperature: f64) -> Self {
        Self::new(Soft::Kd { temperature })
    }

    /// The weight of the true targets; the teacher's outputs get what is left
    /// to 1.
    #[must_use]
    pub fn hard(mut self, weight: f64) -> Self {
        (self.hard_weight, self.soft_weight) = (weight, 1.0 - weight);
        self
    }

    /// Both weights.
    #[must_use]
    pub fn weights(mut self, hard: f64, soft: f64) -> Self {
        (self.hard_weight, self.soft_weight) = (hard, soft);
        self
    }

    /// Adds a loss between a student's layer and a teacher's.
    #[must_use]
    pub fn hint(mut self, student: &str, teacher: &str, relation: Relation, weight: f64) -> Self {
        let (student, teacher) = (student.to_owned(), teacher.to_owned());
        self.hints.push(Hint { student, teacher, relation, weight });
        self
    }

    /// Lets the teacher's weight rise over this part of the run.
    #[must_use]
    pub fn warmup(mut self, part: f64) -> Self {
        self.warmup = part;
        self
    }

    /// Lets the temperature go to this one.
    #[must_use]
    pub fn anneal(mut self, final_temperature: f64) -> Self {
        self.final_temperature = Some(final_temperature);
        self
    }

    /// Keeps the teacher's outputs in a file; see [`TeacherCache`].
    #[must_use]
    pub fn cache(mut self, path: impl Into<PathBuf>, storage: Storage) -> Self {
        (self.cache, self.storage) = (Some(path.into()), storage);
        self
    }

    /// Passes over the data, and samples of a batch.
    #[must_use]
    pub fn budget(mut self, epochs: usize, batch: usize) -> Self {
        (self.epochs, self.batch) = (epochs, batch);
        self
    }

    /// The highest learning rate.
    #[must_use]
    pub fn lr(mut self, lr: f32) -> Self {
        self.lr = lr;
        self
    }

    /// The seed of order, dropout and regressors.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same run without a teacher: the honest baseline.
    #[must_use]
    pub fn without_teacher(&self) -> Self {
        let mut own = self.clone();
        own.hints.clear();
        (own.soft_weight, own.hard_weight) = (0.0, 1.0);
        own
    }

    /// Trains `student` on `data` with the help of `teacher`.
    ///
    /// The teacher is asked once about every sample, in evaluation mode; only
    /// hints run it with every batch.
    ///
    /// # Errors
    /// Settings that make no sense; a hint's layer that does not exist; a stale
    /// cache; those of the networks and of training.
    pub fn fit<T: Forward, S: Forward>(
        &self,
        teacher: &T,
        student: &mut S,
        data: &Dataset,
    ) -> Result<TrainReport> {
        self.fit_many(&[teacher], None, student, data)
    }

    /// As [`fit`](Self::fit), with several teachers, weighted or alike. Hints
    /// are those of the first. For teachers of different kinds, wrap each in a
    /// [`Sequential`](tl_nn::Sequential).
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_many<T: Forward, S: Forward>(
        &self,
        teachers: &[&T],
        weights: Option<&[f64]>,
        student: &mut S,
        data: &Dataset,
    ) -> Result<TrainReport> {
        self.check(data)?;
        let stored = match (&self.cache, self.soft_weight > 0.0) {
            (_, false) => None,
            (Some(path), _) => {
                Some(TeacherCache::open_or_compute(path, self.storage, teachers, data)?)
            }
            (None, _) => Some(TeacherCache::compute(teachers, data)?),
        };
        let Some(first) = teachers.first() else {
            return Err(Error::argument("distill", "teachers", "none", "at least one"));
        };
        self.train(*first, stored.as_ref(), weights, student, data)
    }

    /// As [`fit`](Self::fit), with outputs that are at hand: of a teacher that
    /// ran elsewhere, or for many students.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); hints, which need the teacher itself.
    pub fn fit_stored<S: Forward>(
        &self,
        stored: &TeacherCache,
        student: &mut S,
        data: &Dataset,
    ) -> Result<TrainReport> {
        self.check(data)?;
        if !self.hints.is_empty() {
            let expected = "none without a live teacher: use `fit`";
            return Err(Error::argument("distill", "hints", self.hints.len(), expected));
        }
        let nobody = student.clone();
        self.train(&nobody, Some(stored), None, student, data)
    }

    fn train<T: Forward, S: Forward>(
        &self,
        teacher: &T,
        stored: Option<&TeacherCache>,
        weights: Option<&[f64]>,
        student: &mut S,
        data: &Dataset,
    ) -> Result<TrainReport> {
        if let Some(first) = stored.and_then(|s| s.outputs().first())
            && first.dims().first() != Some(&data.len())
        {
            let got = format!("{:?}", first.dims());
            let expected = format!("outputs for the {} samples of the data", data.len());
            return Err(Error::argument("distill", "stored", got, expected));
        }
        let loader = data.batches(Batching::new(self.batch).shuffled(self.seed))?;
        let mut teacher = teacher.clone();
        teacher.for_each_param(|_, p| {
            p.set_frozen(true);
            Ok(())
        })?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let few = data.features().narrow(0, 0, data.len().min(2))?.contiguous();
        let regressors = hint::regressors(&self.hints, student, &teacher, &few, &mut rng)?;
        let mut trainee = Trainee { student: student.clone(), regressors };
        let mut objective = Offline { setup: self, teacher, stored, weights };
        let report = self.trainer(loader.len()).run(
            &mut trainee,
            |epoch| loader.epoch(epoch as u64),
            &mut objective,
        )?;
        *student = trainee.student;
        Ok(report)
    }

    /// The training loop of this budget.
    pub(crate) fn trainer(&self, batches: usize) -> Trainer<'static> {
        let steps = (self.epochs * batches) as u64;
        let rule = AdamW::new(self.lr).weight_decay(self.weight_decay);
        let optimizer = Optimizer::new(rule).schedule(Schedule::cosine(steps, 0.0));
        Trainer::new(optimizer, self.epochs).seed(self.seed)
    }

    pub(crate) fn check(&self, data: &Dataset) -> Result<()> {
        let wrong =
            |name, got: f64, expected: &str| Err(Error::argument("distill", name, got, expected));
        for (name, weight) in [("hard_weight", self.hard_weight), ("soft_weight", self.soft_weight)]
            .into_iter()
            .chain(self.hints.iter().map(|h| ("weight of a hint", h.weight)))
        {
            if !weight.is_finite() || weight < 0.0 {
                return wrong(name, weight, "a finite number from 0 on");
            }
        }
        if self.hard_weight + self.soft_weight == 0.0 {
            return wrong("soft_weight", 0.0, "above 0, as the hard weight is 0 too");
        }
        if !(0.0..=1.0).contains(&self.warmup) {
            return wrong("warmup", self.warmup, "a part of the run, 0 to 1");
        }
        if let Some(t) = self.final_temperature
            && !(t.is_finite() && t > 0.0 && self.soft.temperature().is_some())
        {
            return wrong("final_temperature", t, "above 0, with a loss that has a temperature");
        }
        if self.hard_weight > 0.0 && matches!(data.targets(), Targets::None) {
            return wrong("hard_weight", self.hard_weight, "0 for unlabelled data: `.hard(0.0)`");
        }
        Ok(())
    }
}

/// The loss with the true targets.
pub(crate) fn task_loss(outputs: &Tensor, batch: &Batch) -> Result<Tensor> {
    Ok(match &batch.targets {
        Targets::Classes { labels, .. } => CrossEntropy::new().loss(outputs, labels)?,
        _ => loss::mse(outputs, batch.values()?, Reduction::Mean)?,
    })
}

/// The objective of learning from a teacher that stays as it is.
struct Offline<'a, T> {
    setup: &'a Distill,
    teacher: T,
    stored: Option<&'a TeacherCache>,
    weights: Option<&'a [f64]>,
}

impl<T: Forward> Offline<'_, T> {
    fn parts<S: Forward>(&self, model: &Trainee<S>, batch: &Batch, cx: &mut Ctx) -> Result<Losses> {
        let setup = self.setup;
        let mut live = Ctx::eval();
        for h in &setup.hints {
            *cx = std::mem::replace(cx, Ctx::eval()).capture(&h.student)?;
            live = live.capture(&h.teacher)?;
        }
        let outputs = model.student.forward(&batch.features, cx)?;
        let progress = cx.progress();
        let ramp = if setup.warmup > 0.0 { (progress / setup.warmup).min(1.0) } else { 1.0 };
        let mut total = Tensor::scalar(0.0);
        let mut named = Vec::new();
        let mut add = |name: &'static str, part: Tensor, weight: f64| -> Result<()> {
            total = total.add(&part.mul_scalar(weight as f32))?;
            named.push((name, part));
            Ok(())
        };
        if setup.hard_weight > 0.0 {
            add("hard", task_loss(&outputs, batch)?, setup.hard_weight)?;
        }
        if let Some(stored) = self.stored.filter(|_| setup.soft_weight > 0.0) {
            let soft = match (setup.soft.temperature(), setup.final_temperature) {
                (Some(from), Some(to)) => setup.soft.at(from + (to - from) * progress),
                _ => setup.soft,
            };
            let labels = batch.labels().ok();
            let part = soft.loss(&outputs, &stored.rows(&batch.indices)?, self.weights, labels)?;
            add("soft", part, setup.soft_weight * ramp)?;
        }
        if !setup.hints.is_empty() {
            let own = cx.take_taps();
            self.teacher.forward(&batch.features, &mut live)?;
            let part = hint::loss(&setup.hints, &model.regressors, &own, &live.take_taps(), cx)?;
            add("hints", part, ramp)?;
        }
        Ok(named.into_iter().fold(Losses::new(total), |l, (name, part)| l.part(name, &part)))
    }
}

impl<S: Forward, T: Forward> Objective<Trainee<S>, Batch> for Offline<'_, T> {
    fn loss(&mut self, model: &Trainee<S>, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        Ok(self.parts(model, batch, cx)?)
    }
}
