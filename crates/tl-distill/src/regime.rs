//! Who teaches whom: generations, peers, assistants.

use crate::{Distill, Error, Ramp, Result, kd, offline::task_loss};
use tl_data::Dataset;
use tl_nn::{Forward, Losses, Module, Tensor, TrainReport, Visit, VisitMut};

impl Distill {
    /// Born-again networks (Furlanello et al. 2018): the first generation learns
    /// without a teacher, each later one, of the same size, from the one before.
    /// Returns all generations; their [mean](crate::mean_probabilities) is often
    /// better than the last.
    ///
    /// # Errors
    /// No generation; as [`fit`](Self::fit).
    pub fn born_again<S: Forward>(
        &self,
        generations: usize,
        mut make: impl FnMut(usize) -> S,
        data: &Dataset,
    ) -> Result<Vec<S>> {
        if generations == 0 {
            return Err(Error::argument("born_again", "generations", 0, "at least 1"));
        }
        let mut all: Vec<S> = Vec::new();
        for generation in 0..generations {
            let mut student = make(generation);
            let seed = self.seed.wrapping_add(generation as u64);
            match all.last() {
                None => {
                    let nobody = student.clone();
                    self.without_teacher().seed(seed).fit(&nobody, &mut student, data)?;
                }
                Some(teacher) => {
                    self.clone().seed(seed).fit(teacher, &mut student, data)?;
                }
            }
            all.push(student);
        }
        Ok(all)
    }

    /// Teacher assistants (Mirzadeh et al. 2020): each student learns from the
    /// one before it, the first from the teacher. Order them from large to
    /// small; the last is the one to ship. For networks of different kinds, wrap
    /// each in a [`Sequential`](tl_nn::Sequential).
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn chain<M: Forward>(
        &self,
        teacher: &M,
        students: &mut [M],
        data: &Dataset,
    ) -> Result<Vec<TrainReport>> {
        let mut reports = Vec::new();
        let mut teacher = teacher.clone();
        for student in students {
            reports.push(self.fit(&teacher, student, data)?);
            teacher = student.clone();
        }
        Ok(reports)
    }

    /// Deep mutual learning (Zhang et al. 2018, eq. 7): peers that learn
    /// together, each from the labels and from what the others say at the
    /// moment:
    ///
    /// `L_k = hard · task + soft · mean over others of KL(p_l ‖ p_k)`
    ///
    /// at temperature `T`, with `T²`. The paper has both weights and `T` at 1:
    /// `Distill::kd(1.0).weights(1.0, 1.0)`. All peers step at once, on the same
    /// batch, while the paper updates them in turns. Ramps of weights and
    /// temperature count; hints and cache are not used.
    ///
    /// # Errors
    /// Fewer than two peers; a loss other than [`Soft::Kd`](crate::Soft::Kd);
    /// as [`fit`](Self::fit).
    pub fn mutual<S: Forward>(&self, peers: &mut [S], data: &Dataset) -> Result<TrainReport> {
        self.check(data)?;
        if peers.len() < 2 {
            return Err(Error::argument("mutual", "peers", peers.len(), "at least 2"));
        }
        let crate::Soft::Kd { temperature } = self.soft else {
            let got = format!("{:?}", self.soft);
            return Err(Error::argument("mutual", "soft", got, "`Soft::Kd`"));
        };
        let loader = self.loader(data)?;
        let mut cohort = Cohort(peers.to_vec());
        let others = (peers.len() - 1) as f64;
        let report = self.trainer(loader.len()).fit(
            &mut cohort,
            |epoch| loader.epoch(epoch as u64),
            |model: &Cohort<S>, batch, cx| {
                let progress = cx.progress();
                let ramp = |ramp: Option<Ramp>| ramp.map_or(1.0, |r| r.at(progress));
                let hard = self.hard_weight * ramp(self.hard_ramp);
                let soft = self.soft_weight * ramp(self.soft_ramp);
                let temperature = self.temperature.map_or(temperature, |t| t.at(progress));
                let outputs = model.0.iter().map(|p| p.forward(&batch.features, cx));
                let outputs = outputs.collect::<tl_nn::Result<Vec<_>>>()?;
                let (mut task, mut teach) = (Tensor::scalar(0.0), Tensor::scalar(0.0));
                for (k, own) in outputs.iter().enumerate() {
                    if self.hard_weight > 0.0 {
                        task = task.add(&task_loss(own, batch)?)?;
                    }
                    for (_, other) in outputs.iter().enumerate().filter(|(l, _)| *l != k) {
                        let part = kd(own, other, temperature)?;
                        teach = teach.add(&part.mul_scalar((1.0 / others) as f32))?;
                    }
                }
                let total = task.mul_scalar(hard as f32).add(&teach.mul_scalar(soft as f32))?;
                Ok(Losses::new(total).part("hard", &task).part("soft", &teach))
            },
        )?;
        for (peer, trained) in peers.iter_mut().zip(cohort.0) {
            *peer = trained;
        }
        Ok(report)
    }
}

/// Peers as one model.
#[derive(Clone)]
struct Cohort<S>(Vec<S>);

impl<S: Module> Module for Cohort<S> {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.0.visit(v);
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        self.0.visit_mut(v);
    }
}
