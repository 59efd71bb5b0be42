//! SimCSE: the same sentence, twice, under dropout.

use super::{Embed, Net, TextTask, run};
use crate::{Pretrained, Result, Training, simcse, training::training_setters};
use serde::{Deserialize, Serialize};
use tl_nn::{Ctx, Losses, Module, Sequential, Tensor};

/// Unsupervised SimCSE (Gao et al. 2021): each text passes the encoder twice,
/// each time with other dropout; [`simcse`] of both results. The encoder needs
/// dropout, or both views are the same and nothing is learned.
///
/// `embed` says how the encoder makes vectors `[n, d]` of token numbers, for any
/// encoder; for `tl_models::Bert`, mean over tokens:
///
/// ```
/// # use rand::SeedableRng;
/// use tl_models::{Bert, BertConfig, TextBatch, TextModel};
/// use tl_nn::{Ctx, ModuleExt};
/// use tl_ssl::SimCse;
/// # fn main() -> tl_ssl::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// # let config = BertConfig { vocab_size: 40, hidden_size: 16, num_hidden_layers: 1,
/// #     num_attention_heads: 2, intermediate_size: 32, ..BertConfig::default() };
/// # let mut bert = Bert::new(&config, &mut rng)?;
/// # let texts: Vec<Vec<usize>> = (0..12).map(|i| vec![1, 3 + i, 4 + 2 * i, 2]).collect();
/// // let mut bert = Bert::from_folder("target/models/all-MiniLM-L6-v2")?;
/// // let texts = ...; // WordPiece::encode of each text
/// bert.freeze("pooler.**")?; // the mean over tokens does not use it
/// let embed = |bert: &Bert, texts: &[&[usize]], cx: &mut Ctx| {
///     bert.features(&TextBatch::padded(texts, 0)?, cx)
/// };
/// let report = SimCse::new().batch(6).epochs(1).fit(&mut bert, &texts, embed)?;
/// assert!(report.health.spread > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimCse {
    /// The temperature. Default 0.05, the paper's.
    pub temperature: f64,
    /// Passes, batches, rates, the seed, a checkpoint. Default: one epoch of 64
    /// texts a step at a rate of 3e-5, as in the paper.
    pub training: Training,
}

impl Default for SimCse {
    fn default() -> Self {
        let training = Training { epochs: 1, batch: 64, lr: 3e-5, ..Training::default() };
        Self { temperature: 0.05, training }
    }
}

training_setters!(SimCse);

impl SimCse {
    /// With the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trains `model` on texts as token numbers. What is frozen stays as it is.
    ///
    /// # Errors
    /// Settings out of range; fewer than two texts, or one without tokens; those
    /// of `embed`. The encoder is then as it was.
    pub fn fit<M: Module>(
        &self,
        model: &mut M,
        texts: &[Vec<usize>],
        embed: impl Fn(&M, &[&[usize]], &mut Ctx) -> tl_nn::Result<Tensor>,
    ) -> Result<Pretrained> {
        let nothing = |_: &M, _: &mut _| Ok(Sequential::new());
        run(&self.training, model, texts, &embed, Twice(self.temperature), nothing)
    }
}

/// The temperature.
struct Twice(f64);

impl<M: Module> TextTask<M, Sequential> for Twice {
    fn loss(
        &self,
        net: &Net<M, Sequential>,
        texts: &[&[usize]],
        embed: &Embed<'_, M>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let a = embed(&net.encoder, texts, cx)?;
        let b = embed(&net.encoder, texts, cx)?;
        Ok(Losses::new(simcse(&a, &b, self.0)?))
    }
}
