//! Learning from a teacher that stays as it is.

use crate::{
    Ask, Crd, Distill, Error, Hint, Relation, Result, TeacherCache, Views,
    hint::{self, Trainee},
    relation::Bridge,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Batch, Dataset, Targets};
use tl_nn::{
    CrossEntropy, Ctx, Forward, Losses, ModuleExt, Objective, Reduction, Tensor, TrainReport, loss,
};

impl Distill {
    /// Trains `student` on `data` with the help of `teacher`.
    ///
    /// The teacher is asked once about every sample, in evaluation mode; only
    /// hints run it with every batch, unless [`cache_hints`](Self::cache_hints)
    /// is set.
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

    /// As [`fit`](Self::fit), with a new augmented view of the data in every
    /// epoch; the teacher is asked once about each. See [`Views`].
    ///
    /// # Errors
    /// As [`fit`](Self::fit); those of the transform.
    pub fn fit_augmented<T: Forward, S: Forward>(
        &self,
        teacher: &T,
        student: &mut S,
        data: &Dataset,
        views: &Views,
    ) -> Result<TrainReport> {
        self.fit_all(&[teacher], None, student, data, Some(views))
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
        self.fit_all(teachers, weights, student, data, None)
    }

    fn fit_all<T: Forward, S: Forward>(
        &self,
        teachers: &[&T],
        weights: Option<&[f64]>,
        student: &mut S,
        data: &Dataset,
        views: Option<&Views>,
    ) -> Result<TrainReport> {
        self.check(data)?;
        let Some(first) = teachers.first() else {
            return Err(Error::argument("distill", "teachers", "none", "at least one"));
        };
        let mut own = self.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let few = few(data)?;
        let teacher = first.frozen();
        let (hints, bridges) = hint::build(&self.hints, student, &teacher, [&few, &few], &mut rng)?;
        own.hints = hints;
        let layers: Vec<String> = if self.cache_hints {
            own.hints.iter().flat_map(|h| h.layers.iter().map(|(_, t)| t.clone())).collect()
        } else {
            Vec::new()
        };
        let ask = Ask { views, layers: &layers };
        let stored = match (&self.cache, self.soft_weight > 0.0 || !layers.is_empty()) {
            (_, false) => None,
            (Some(path), _) => {
                let storage = self.storage;
                Some(TeacherCache::open_or_compute_with(path, storage, teachers, data, ask)?)
            }
            (None, _) => Some(TeacherCache::compute_with(teachers, data, ask)?),
        };
        let job = Job { setup: &own, stored: stored.as_ref(), weights, views, bridges };
        job.train(Some(teacher), student, data)
    }

    /// As [`fit`](Self::fit), with outputs that are at hand: of a teacher that
    /// ran elsewhere, or for many students. Hints need their layers in it, and
    /// named.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); hints whose features are not stored; several
    /// views, which [`fit_augmented`](Self::fit_augmented) is for.
    pub fn fit_stored<S: Forward>(
        &self,
        stored: &TeacherCache,
        student: &mut S,
        data: &Dataset,
    ) -> Result<TrainReport> {
        self.check(data)?;
        let wrong = |name, got: String, expected: &str| {
            Err(Error::argument("distill", name, got, expected))
        };
        if stored.len() != data.len() {
            let expected = format!("outputs for the {} samples of the data", data.len());
            return wrong("stored", format!("for {}", stored.len()), &expected);
        }
        if stored.samples() != crate::cache::samples(data) {
            let expected = "those of the data, in their order";
            return wrong("stored", "outputs for other samples".into(), expected);
        }
        if stored.views() > 1 {
            return wrong("stored", format!("{} views", stored.views()), "1: use `fit_augmented`");
        }
        let known =
            |h: &Hint| !h.layers.is_empty() && h.layers.iter().all(|(_, t)| stored.has_layer(t));
        if !self.hints.iter().all(known) {
            let expected = "those of stored layers: use `compute_with`, or `fit` and a teacher";
            return wrong("hints", self.hints.len().to_string(), expected);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut bridges = Vec::new();
        if !self.hints.is_empty() {
            let few = few(data)?;
            let own = crate::layers::taps(student, &few)?;
            let at: Vec<usize> = (0..few.dims()[0]).collect();
            let theirs = stored.features_of(0, &at)?;
            for h in &self.hints {
                let pairs = hint::features(h, &own, &theirs)?;
                bridges.push(Bridge::new(h.relation, &pairs, &mut rng)?);
            }
        }
        let job = Job { setup: self, stored: Some(stored), weights: None, views: None, bridges };
        job.train(None::<S>, student, data)
    }
}

/// A sample or two, for the shapes of layers.
fn few(data: &Dataset) -> Result<Tensor> {
    Ok(data.features().narrow(0, 0, data.len().min(2))?.contiguous())
}

/// A run that is ready to begin.
struct Job<'a> {
    setup: &'a Distill,
    stored: Option<&'a TeacherCache>,
    weights: Option<&'a [f64]>,
    views: Option<&'a Views>,
    bridges: Vec<Bridge>,
}

impl Job<'_> {
    fn train<T: Forward, S: Forward>(
        self,
        teacher: Option<T>,
        student: &mut S,
        data: &Dataset,
    ) -> Result<TrainReport> {
        let setup = self.setup;
        let loader = setup.loader(data)?;
        let mut rng = ChaCha8Rng::seed_from_u64(setup.seed ^ 0x6372_6400);
        let memory = |h: &Hint| match h.relation {
            Relation::Crd { dimension, negatives } => {
                Crd::new(data.len(), dimension, negatives, &mut rng).map(Some)
            }
            _ => Ok(None),
        };
        let memories = setup.hints.iter().map(memory).collect::<tl_tensor::Result<_>>()?;
        let mut trainee = Trainee { student: student.clone(), bridges: self.bridges };
        let hashes = self.views.map(|_| match self.stored {
            Some(stored) => stored.samples().to_vec(),
            None => crate::cache::samples(data),
        });
        let mut objective =
            Offline { setup, teacher, stored: self.stored, weights: self.weights, memories };
        let seen = |epoch: usize| {
            let (views, hashes) = (self.views, hashes.as_deref());
            loader.epoch(epoch as u64).map(move |batch| -> Result<Seen> {
                let mut batch = batch?;
                if let (Some(views), Some(hashes)) = (views, hashes) {
                    let own: Vec<u64> = batch.indices.iter().map(|&i| hashes[i]).collect();
                    batch.features = views.apply(&batch.features, &own, epoch)?;
                }
                Ok(Seen { batch, view: epoch })
            })
        };
        let report = setup.trainer(loader.len()).run(&mut trainee, seen, &mut objective)?;
        *student = trainee.student;
        Ok(report)
    }
}

/// A batch, and in which view.
struct Seen {
    batch: Batch,
    view: usize,
}

/// The loss with the true targets.
pub(crate) fn task_loss(outputs: &Tensor, batch: &Batch) -> Result<Tensor> {
    Ok(match &batch.targets {
        Targets::Classes { labels, .. } => CrossEntropy::new().loss(outputs, labels)?,
        _ => loss::mse(outputs, batch.values()?, Reduction::Mean)?,
    })
}

/// The objective.
struct Offline<'a, T> {
    setup: &'a Distill,
    teacher: Option<T>,
    stored: Option<&'a TeacherCache>,
    weights: Option<&'a [f64]>,
    memories: Vec<Option<Crd>>,
}

impl<T: Forward> Offline<'_, T> {
    /// The teacher's features for the hints.
    fn features(&self, seen: &Seen) -> Result<Vec<(String, Tensor)>> {
        let hints = &self.setup.hints;
        let mut layers = hints.iter().flat_map(|h| &h.layers);
        match (self.stored, &self.teacher) {
            (Some(stored), _) if layers.all(|(_, t)| stored.has_layer(t)) => {
                stored.features_of(seen.view, &seen.batch.indices)
            }
            (_, Some(teacher)) => {
                let mut live = hint::capture(Ctx::eval(), hints, false)?;
                teacher.forward(&seen.batch.features, &mut live)?;
                Ok(live.take_taps())
            }
            _ => Err(Error::argument("distill", "hints", "no teacher", "a teacher or a cache")),
        }
    }

    fn hints<S: Forward>(
        &mut self,
        model: &Trainee<S>,
        seen: &Seen,
        own: &[(String, Tensor)],
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let theirs = self.features(seen)?;
        let mut sum = Tensor::scalar(0.0);
        let all = self.setup.hints.iter().zip(&model.bridges).zip(&mut self.memories);
        for ((h, bridge), memory) in all {
            let pairs: Vec<[&Tensor; 2]> = hint::features(h, own, &theirs)?;
            let detached: Vec<Tensor> = pairs.iter().map(|p| p[1].detach()).collect();
            let pairs: Vec<[&Tensor; 2]> =
                pairs.iter().zip(&detached).map(|(p, t)| [p[0], t]).collect();
            let samples = &seen.batch.indices;
            let part = bridge.loss(h.relation, &pairs, memory.as_mut(), samples, cx)?;
            sum = sum.add(&part.mul_scalar(h.weight as f32))?;
        }
        Ok(sum)
    }

    fn parts<S: Forward>(
        &mut self,
        model: &Trainee<S>,
        seen: &Seen,
        cx: &mut Ctx,
    ) -> Result<Losses> {
        let (setup, batch) = (self.setup, &seen.batch);
        if !setup.hints.is_empty() {
            *cx = hint::capture(std::mem::replace(cx, Ctx::eval()), &setup.hints, true)?;
        }
        let outputs = model.student.forward(&batch.features, cx)?;
        let progress = cx.progress();
        let ramp = |ramp: Option<crate::Ramp>| ramp.map_or(1.0, |r| r.at(progress));
        let mut total = Tensor::scalar(0.0);
        let mut named = Vec::new();
        let mut add = |name: &'static str, part: Tensor, weight: f64| -> Result<()> {
            total = total.add(&part.mul_scalar(weight as f32))?;
            named.push((name, part));
            Ok(())
        };
        if setup.hard_weight > 0.0 {
            let weight = setup.hard_weight * ramp(setup.hard_ramp);
            add("hard", task_loss(&outputs, batch)?, weight)?;
        }
        if let Some(stored) = self.stored.filter(|_| setup.soft_weight > 0.0) {
            let soft = setup.temperature.map_or(setup.soft, |t| setup.soft.at(t.at(progress)));
            let said = stored.rows_of(seen.view, &batch.indices)?;
            let part = soft.loss(&outputs, &said, self.weights, batch.labels().ok())?;
            add("soft", part, setup.soft_weight * ramp(setup.soft_ramp))?;
        }
        if !setup.hints.is_empty() {
            let own = cx.take_taps();
            let part = self.hints(model, seen, &own, cx)?;
            add("hints", part, ramp(setup.hint_ramp))?;
        }
        Ok(named.into_iter().fold(Losses::new(total), |l, (name, part)| l.part(name, &part)))
    }
}

impl<S: Forward, T: Forward> Objective<Trainee<S>, Seen> for Offline<'_, T> {
    fn loss(&mut self, model: &Trainee<S>, seen: &Seen, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        Ok(self.parts(model, seen, cx)?)
    }
}
