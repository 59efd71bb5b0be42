//! Sentence encoders from unlabelled text: SimCSE and TSDAE.

mod simcse;
mod tsdae;

pub use simcse::SimCse;
pub use tsdae::{DeleteTokens, Tsdae};

use crate::{Error, Health, Pretrained, Result, Training, health};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Batch, Dataset};
use tl_nn::{Ctx, Losses, Metrics, Module, Objective, Tensor, module};

/// The loss of a batch of texts.
trait TextTask<M, D> {
    fn loss(
        &self,
        net: &Net<M, D>,
        texts: &[&[usize]],
        embed: &Embed<'_, M>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses>;
}

/// The encoder and what is thrown away after the run.
#[derive(Clone, Debug)]
struct Net<M, D> {
    encoder: M,
    decoder: D,
}
module!(impl<M: Module, D: Module> Net<M, D> { encoder, decoder });

type Embed<'a, M> = dyn Fn(&M, &[&[usize]], &mut Ctx) -> tl_nn::Result<Tensor> + 'a;

struct Texts<'a, M, T> {
    task: T,
    texts: &'a [Vec<usize>],
    embed: &'a Embed<'a, M>,
    /// Texts that are looked at after each epoch.
    probe: Vec<&'a [usize]>,
}

impl<M: Module, D: Module, T: TextTask<M, D>> Objective<Net<M, D>, Batch> for Texts<'_, M, T> {
    fn loss(&mut self, net: &Net<M, D>, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let texts: Vec<&[usize]> = batch.indices.iter().map(|&i| &self.texts[i][..]).collect();
        self.task.loss(net, &texts, self.embed, cx)
    }

    fn validate(&mut self, net: &Net<M, D>) -> tl_nn::Result<Option<Metrics>> {
        let now = look(&net.encoder, self.embed, &self.probe)?;
        let metrics = [("spread", now.spread), ("rank", now.rank), ("uniformity", now.uniformity)];
        Ok(Some(metrics.map(|(name, value)| (name.to_owned(), value)).into()))
    }
}

fn look<M>(encoder: &M, embed: &Embed<'_, M>, probe: &[&[usize]]) -> Result<Health> {
    health(&embed(encoder, probe, &mut Ctx::eval())?)
}

/// Trains a copy of `model` and puts it in its place.
fn run<M: Module, D: Module>(
    training: &Training,
    model: &mut M,
    texts: &[Vec<usize>],
    embed: &Embed<'_, M>,
    task: impl TextTask<M, D>,
    decoder: impl FnOnce(&M, &mut ChaCha8Rng) -> Result<D>,
) -> Result<Pretrained> {
    if let Some(at) = texts.iter().position(Vec::is_empty) {
        let got = format!("an empty one at place {at}");
        return Err(Error::argument("text", "texts", got, "one token or more in each"));
    }
    // The loader shuffles places; the tokens, of many lengths, are found by them.
    let places = Dataset::unlabelled(Tensor::zeros([texts.len(), 1]))?;
    let (loader, steps) = training.loader(&places)?;
    let probe: Vec<&[usize]> = texts.iter().take(128).map(Vec::as_slice).collect();
    let decoder = decoder(model, &mut ChaCha8Rng::seed_from_u64(training.seed))?;
    let mut net = Net { encoder: model.clone(), decoder };
    let mut objective = Texts { task, texts, embed, probe: probe.clone() };
    let train = training.run(&mut net, &loader, steps, &mut objective)?;
    let health = look(&net.encoder, embed, &probe)?;
    *model = net.encoder;
    Ok(Pretrained { train, health })
}
