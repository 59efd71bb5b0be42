//! Maximum classifier discrepancy.

use crate::{
    Classifier, Result, mcd_discrepancy,
    objective::{Watch, by_domain},
};
use tl_data::Batch;
use tl_nn::{
    CrossEntropy, Ctx, Forward, Linear, Losses, Metrics, Module, ModuleExt, Objective, Optimizer,
    Param, Tensor, module,
};

/// A model with a second head.
#[derive(Clone, Debug)]
pub(crate) struct Players<M> {
    pub(crate) model: Classifier<M>,
    pub(crate) second: Linear,
}
module!(impl<M: Module> Players<M> { model, second });

/// The two heads alone.
#[derive(Clone, Debug)]
struct Heads {
    first: Linear,
    second: Linear,
}
module!(Heads { first, second });

/// The same parameters under another name: a clone has variables of its own.
fn tied(head: &Linear) -> Linear {
    Linear { weight: head.weight.tied(), bias: head.bias.as_ref().map(Param::tied) }
}

/// MCD (Saito et al. 2018, section 3.4): on every batch (A) all learn the source;
/// (B) the heads learn the source and to differ on the target; (C) the encoder
/// learns, in several steps, that they do not. A is the step of the training
/// loop, B and C follow it, each with a pass and an optimiser of its own.
pub(crate) struct Mcd {
    steps: usize,
    batches: Vec<Batch>,
    heads: Optimizer,
    encoder: Optimizer,
    watch: Watch,
}

impl Mcd {
    /// With the optimisers of the heads in B and of the encoder in C.
    pub(crate) fn new(
        steps: usize,
        watch: Watch,
        (heads, encoder): (Optimizer, Optimizer),
    ) -> Self {
        Self { steps, batches: Vec::new(), heads, encoder, watch }
    }

    /// Cross entropy of both heads on the source.
    fn source<M: Forward>(
        players: &Players<M>,
        sources: &[Batch],
        detached: bool,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let mut sum = Tensor::scalar(0.0);
        for (domain, batch) in sources.iter().enumerate() {
            cx.set_domain(domain);
            let mut f = players.model.encoder.forward(&batch.features, cx)?;
            if detached {
                f = f.detach();
            }
            for head in [&players.model.head, &players.second] {
                sum =
                    sum.add(&CrossEntropy::new().loss(&head.forward(&f, cx)?, batch.labels()?)?)?;
            }
        }
        Ok(sum.mul_scalar(1.0 / sources.len() as f32))
    }

    /// How far the heads differ on target features.
    fn apart<M: Forward>(players: &Players<M>, f: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        mcd_discrepancy(&players.model.head.forward(f, cx)?, &players.second.forward(f, cx)?)
    }

    /// Running statistics are to be the target's, unless each domain has its own.
    fn forget<M: Forward>(&self, players: &Players<M>, cx: &mut Ctx) {
        if !by_domain(&players.model) {
            let _ = cx.take_updates();
        }
    }

    fn play<M: Forward>(&mut self, players: &mut Players<M>, step: u64) -> Result<()> {
        let batches = std::mem::take(&mut self.batches);
        let Some((target, sources)) = batches.split_last() else { return Ok(()) };
        let mut cx = Ctx::train(step);
        let task = Self::source(players, sources, true, &mut cx)?;
        self.forget(players, &mut cx);
        cx.set_domain(self.watch.domain);
        let f = players.model.encoder.forward(&target.features, &mut cx)?.detach();
        let loss = task.sub(&Self::apart(players, &f, &mut cx)?)?;
        let gradients = loss.backward()?;
        let mut heads = Heads { first: tied(&players.model.head), second: tied(&players.second) };
        let _ = self.heads.step(&mut heads, &gradients)?;
        (players.model.head, players.second) = (heads.first, heads.second);
        players.apply(cx.take_updates())?;
        for _ in 0..self.steps {
            let mut cx = Ctx::train(step);
            cx.set_domain(self.watch.domain);
            let f = players.model.encoder.forward(&target.features, &mut cx)?;
            let gradients = Self::apart(players, &f, &mut cx)?.backward()?;
            let _ = self.encoder.step(&mut players.model.encoder, &gradients)?;
        }
        Ok(())
    }
}

impl<M: Forward> Objective<Players<M>, Vec<Batch>> for Mcd {
    fn loss(
        &mut self,
        players: &Players<M>,
        batches: &Vec<Batch>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        self.batches.clone_from(batches);
        let sources = &batches[..batches.len() - 1];
        let loss = Self::source(players, sources, false, cx)?;
        self.forget(players, cx);
        Ok(Losses::new(loss))
    }

    fn after_step(&mut self, players: &mut Players<M>, step: u64) -> tl_nn::Result<()> {
        Ok(self.play(players, step)?)
    }

    fn validate(&mut self, players: &Players<M>) -> tl_nn::Result<Option<Metrics>> {
        Ok(self.watch.metrics(&players.model)?)
    }
}
