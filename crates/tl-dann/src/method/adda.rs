//! Adversarial discriminative adaptation.

use crate::{Classifier, Discriminator, Result, domain_loss, objective::Watch};
use tl_data::Batch;
use tl_nn::{
    Ctx, Forward, Load, Losses, Metrics, Module, ModuleExt, Objective, StateDict, Tensor, module,
};

/// The second stage of ADDA (Tzeng et al. 2017, eq. 9): a discriminator tells
/// features of the frozen source encoder from those of the target encoder, which
/// learns to be taken for the source.
#[derive(Clone, Debug)]
pub(crate) struct Players<M> {
    pub(crate) model: Classifier<M>,
    pub(crate) discriminator: Discriminator,
}
module!(impl<M: Module> Players<M> { model, discriminator });

pub(crate) struct Adda<M> {
    /// The source encoder; it stays as it is.
    source: M,
    watch: Watch,
}

impl<M: Forward> Adda<M> {
    pub(crate) fn new(source: &M, watch: Watch) -> Self {
        Self { source: source.clone(), watch }
    }

    fn step(
        &self,
        players: &Players<M>,
        (source, target): (&Batch, &Batch),
        cx: &mut Ctx,
    ) -> Result<Losses> {
        let fs = self.source.forward(&source.features, &mut Ctx::eval())?.detach();
        // The target is normalised by its own batches, as by AdaBN: with the
        // source's statistics the encoder had to make up for their shift first.
        cx.set_domain(self.watch.domain);
        let ft = players.model.encoder.forward(&target.features, cx)?;
        let n = fs.size(0)?;
        let both = Tensor::cat(&[&fs, &ft.detach()], 0)?;
        let said = players.discriminator.forward(&both, cx)?;
        let domain = domain_loss(&said.narrow(0, 0, n)?, &said.narrow(0, n, ft.size(0)?)?, None)?;
        // The same discriminator as a constant, so that this trains the encoder
        // alone; inverted labels, not a reversed gradient.
        let judge = players.discriminator.map_params(|_, p| Ok(p.detach()))?;
        let all = Tensor::cat(&[&fs, &ft], 0)?;
        let fooled = judge.forward(&all, &mut Ctx::train(0))?.narrow(0, n, ft.size(0)?)?;
        let fooling = fooled.neg().softplus().mean_all();
        let total = domain.add(&fooling)?;
        Ok(Losses::new(total).part("domain", &domain).part("fooling", &fooling))
    }
}

impl<M: Forward> Objective<Players<M>, Vec<Batch>> for Adda<M> {
    fn loss(
        &mut self,
        players: &Players<M>,
        batches: &Vec<Batch>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let (source, target) = (&batches[0], &batches[batches.len() - 1]);
        Ok(self.step(players, (source, target), cx)?)
    }

    fn validate(&mut self, players: &Players<M>) -> tl_nn::Result<Option<Metrics>> {
        Ok(self.watch.metrics(&players.model)?)
    }

    fn state(&self) -> StateDict {
        self.source.state_dict()
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        let _ = self.source.load(state, &Load::strict())?;
        Ok(())
    }
}
