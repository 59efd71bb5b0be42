//! Views agree on prototypes: SwAV and DINO.

use super::{Heads, Net, Sizes, Slow, Task, byol_decay};
use crate::{Result, Views, dino, sinkhorn_assign};
use rand::RngCore;
use tl_data::Batch;
use tl_nn::{Ctx, Forward, Linear, Losses, Module, StateDict, Tensor, Weight};

/// SwAV's temperature and entropy, and DINO's temperature of the student.
const TEMPERATURE: f64 = 0.1;
const EPSILON: f64 = 0.05;
/// What of DINO's centre stays at a step.
const KEEP: f32 = 0.9;

fn heads(sizes: &Sizes<'_>, prototypes: usize, rng: &mut dyn RngCore) -> Heads {
    let projector = sizes.projector(rng);
    let prototypes = Some(Linear::without_bias(sizes.width, prototypes, rng));
    Heads { prototypes, ..Heads::projector(projector) }
}

/// The scores of all views, whole ones first, and how many are whole.
fn scores<M: Forward>(
    net: &Net<M>,
    whole: &[Tensor],
    locals: &[Tensor],
    cx: &mut Ctx,
) -> tl_nn::Result<Vec<Tensor>> {
    whole.iter().chain(locals).map(|x| net.scores(&net.project(x, cx)?)).collect()
}

/// The mean of `loss(view, target)` over every view and every whole other one.
fn swapped(
    views: &[Tensor],
    targets: &[Tensor],
    loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> tl_nn::Result<Losses> {
    let (mut total, mut count) = (Tensor::scalar(0.0), 0_usize);
    for (i, view) in views.iter().enumerate() {
        for (_, target) in targets.iter().enumerate().filter(|(j, _)| *j != i) {
            total = total.add(&loss(view, target)?)?;
            count += 1;
        }
    }
    Ok(Losses::new(total.mul_scalar(1.0 / count.max(1) as f32)))
}

/// SwAV; local views are assigned nothing, they only predict.
pub(crate) struct Swapped {
    pub(crate) prototypes: usize,
}

impl<M: Forward> Task<M> for Swapped {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        Ok(heads(sizes, self.prototypes, rng))
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let whole = views.whole(&batch.features, cx)?;
        let locals = views.locals(&batch.features, cx)?;
        let scores = scores(net, &whole, &locals, cx)?;
        let assigned = |s: &Tensor| sinkhorn_assign(s, EPSILON, 3);
        let targets: Vec<Tensor> =
            scores[..whole.len()].iter().map(assigned).collect::<Result<_>>()?;
        swapped(&scores, &targets, |scores, target| {
            let log_p = scores.mul_scalar((1.0 / TEMPERATURE) as f32).log_softmax(-1)?;
            Ok(target.mul(&log_p)?.sum(-1, false)?.mean_all().neg())
        })
    }
}

/// DINO.
pub(crate) struct Teacher<M: Module> {
    prototypes: usize,
    decay: f64,
    temperature: f64,
    slow: Slow<M>,
    centre: Option<Tensor>,
    /// The mean of the teacher's scores in this step.
    fresh: Option<Tensor>,
}

impl<M: Forward> Teacher<M> {
    pub(crate) fn new(prototypes: usize, decay: f64, temperature: f64) -> Self {
        Self { prototypes, decay, temperature, slow: Slow::new(), centre: None, fresh: None }
    }
}

impl<M: Forward> Task<M> for Teacher<M> {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        self.centre = Some(Tensor::zeros([1, self.prototypes]));
        Ok(heads(sizes, self.prototypes, rng))
    }

    fn begin(&mut self, net: &Net<M>) {
        self.slow.begin(net);
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let whole = views.whole(&batch.features, cx)?;
        let locals = views.locals(&batch.features, cx)?;
        let student = scores(net, &whole, &locals, cx)?;
        let mut teacher = Vec::with_capacity(whole.len());
        for (x, own) in whole.iter().zip(&student) {
            teacher.push(match self.slow.scores(x, cx)? {
                Some(scores) => scores,
                None => own.detach(),
            });
        }
        let all: Vec<&Tensor> = teacher.iter().collect();
        self.fresh = Some(Tensor::cat(&all, 0)?.mean(0, true)?);
        let centre = self.centre.get_or_insert_with(|| Tensor::zeros([1, self.prototypes]));
        swapped(&student, &teacher, |student, teacher| {
            dino(student, teacher, centre, TEMPERATURE, self.temperature)
        })
    }

    fn after_step(&mut self, net: &Net<M>, progress: f64) -> tl_nn::Result<()> {
        if let (Some(centre), Some(fresh)) = (&self.centre, self.fresh.take()) {
            let moved = centre.mul_scalar(KEEP).add(&fresh.mul_scalar(1.0 - KEEP))?;
            self.centre = Some(moved.detach());
        }
        self.slow.follow(net, byol_decay(self.decay, progress))
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.add_part("slow.", self.slow.state());
        if let Some(centre) = &self.centre {
            state.insert("centre", Weight::new(centre));
        }
        state
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        self.centre = Some(state.tensor("centre")?);
        self.slow.load(&state.part("slow."))
    }
}
