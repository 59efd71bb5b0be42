//! TSDAE: a sentence from the vector of what is left of it.

use super::{Embed, Net, TextTask, run};
use crate::{Error, Pretrained, Result, Training, training::training_setters};
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::{
    Act, AttentionMask, CrossEntropy, Ctx, Embedding, Forward, Indices, LayerNorm, Linear, Losses,
    Module, Param, Tensor, TransformerEncoderLayer, init::normal, module,
};

/// TSDAE's noise (Wang et al. 2021, section 3): tokens are deleted, each with a
/// probability. Where none but special ones would be left one stays, as in the
/// authors' code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteTokens {
    /// The probability. The paper has 0.6.
    pub part: f64,
    /// Never deleted: beginning and end.
    pub special: Vec<usize>,
}

impl DeleteTokens {
    /// The paper's 0.6.
    pub fn new(special: impl Into<Vec<usize>>) -> Self {
        Self { part: 0.6, special: special.into() }
    }

    /// What is left of a text, in its order.
    ///
    /// # Errors
    /// A part not in 0 to 1.
    pub fn apply(&self, text: &[usize], rng: &mut dyn RngCore) -> Result<Vec<usize>> {
        if !(0.0..=1.0).contains(&self.part) {
            return Err(Error::argument("delete tokens", "part", self.part, "0 to 1"));
        }
        let free = |token: &usize| !self.special.contains(token);
        let words: Vec<usize> = (0..text.len()).filter(|&at| free(&text[at])).collect();
        let mut gone: Vec<usize> =
            words.iter().copied().filter(|_| rng.random_bool(self.part)).collect();
        if !words.is_empty() && gone.len() == words.len() {
            gone.remove(rng.random_range(0..words.len()));
        }
        let mut gone = gone.into_iter().peekable();
        let stays = |at: &usize| gone.next_if_eq(at).is_none();
        Ok((0..text.len()).filter(stays).map(|at| text[at]).collect())
    }
}

/// A denoising autoencoder of sentences (TSDAE, Wang et al. 2021): from the one
/// vector of a text with deleted tokens a small transformer writes the whole
/// text, token by token; the loss is the cross entropy of each next token. The
/// decoder sees nothing of the text but this vector and its own beginning.
///
/// As in the paper attention to a single vector is a linear map of it, which is
/// here added to each token. Unlike there the decoder is small and has a table
/// of its own instead of sharing all weights with the encoder.
///
/// `embed` is as for [`SimCse`](crate::SimCse).
///
/// ```
/// # use rand::SeedableRng;
/// use tl_models::{Bert, BertConfig, TextBatch, TextModel};
/// use tl_nn::{Ctx, ModuleExt};
/// use tl_ssl::Tsdae;
/// # fn main() -> tl_ssl::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// # let config = BertConfig { vocab_size: 40, hidden_size: 16, num_hidden_layers: 1,
/// #     num_attention_heads: 2, intermediate_size: 32, ..BertConfig::default() };
/// # let mut bert = Bert::new(&config, &mut rng)?;
/// # let texts: Vec<Vec<usize>> = (0..12).map(|i| vec![1, 3 + i, 4 + 2 * i, 2]).collect();
/// bert.freeze("pooler.**")?; // the mean over tokens does not use it
/// let embed = |bert: &Bert, texts: &[&[usize]], cx: &mut Ctx| {
///     bert.features(&TextBatch::padded(texts, 0)?, cx)
/// };
/// let tsdae = Tsdae::new(40, [1, 2]); // words in all; the tokens of beginning and end
/// tsdae.batch(6).epochs(1).fit(&mut bert, &texts, embed)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tsdae {
    /// What is deleted.
    pub delete: DeleteTokens,
    /// Tokens are below this.
    pub vocabulary: usize,
    /// Width of the decoder. Default 128.
    pub width: usize,
    /// Layers of the decoder. Default 1.
    pub depth: usize,
    /// Attention heads of the decoder. Default 4.
    pub heads: usize,
    /// Passes, batches, rates, the seed, a checkpoint. Default: one epoch of 8
    /// texts a step at a rate of 3e-5, as in the paper.
    pub training: Training,
}

training_setters!(Tsdae);

impl Tsdae {
    /// For a vocabulary of this size and its tokens of beginning and end.
    pub fn new(vocabulary: usize, special: impl Into<Vec<usize>>) -> Self {
        let training = Training { epochs: 1, batch: 8, lr: 3e-5, ..Training::default() };
        let delete = DeleteTokens::new(special);
        Self { delete, vocabulary, width: 128, depth: 1, heads: 4, training }
    }

    /// Trains `model` on texts as token numbers.
    ///
    /// # Errors
    /// Settings out of range; fewer than two texts, one of a single token, or
    /// with a token outside of the vocabulary; those of `embed`. The encoder is
    /// then as it was.
    pub fn fit<M: Module>(
        &self,
        model: &mut M,
        texts: &[Vec<usize>],
        embed: impl Fn(&M, &[&[usize]], &mut Ctx) -> tl_nn::Result<Tensor>,
    ) -> Result<Pretrained> {
        let wrong =
            |name, got: String, expected: &str| Err(Error::argument("tsdae", name, got, expected));
        if let Some(at) = texts.iter().position(|text| text.len() < 2) {
            return wrong(
                "texts",
                format!("one of {} at place {at}", texts[at].len()),
                "two tokens",
            );
        }
        if let Some(token) = texts.iter().flatten().find(|t| **t >= self.vocabulary) {
            return wrong("token", token.to_string(), "a number below the vocabulary's size");
        }
        if self.depth == 0 {
            return wrong("depth", "0".to_owned(), "one layer or more");
        }
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        let decoder = |model: &M, rng: &mut ChaCha8Rng| {
            let one = embed(model, &[&texts[0]], &mut Ctx::eval())?;
            self.decoder(one.size(-1)?, longest, rng)
        };
        run(&self.training, model, texts, &embed, self, decoder)
    }

    fn decoder(&self, features: usize, longest: usize, rng: &mut ChaCha8Rng) -> Result<Decoder> {
        let mut words = Embedding::new(1, 1, rng);
        words.weight = Param::new(normal([self.vocabulary, self.width], 0.0, 0.02, rng));
        let layer = |rng: &mut ChaCha8Rng| -> Result<TransformerEncoderLayer> {
            let layer = TransformerEncoderLayer::new(self.width, self.heads, 4 * self.width, rng)?;
            Ok(layer.norm_first().dropout(0.0).activation(Act::Gelu))
        };
        Ok(Decoder {
            words,
            places: Param::new(normal([longest, self.width], 0.0, 0.02, rng)),
            sentence: Linear::new(features, self.width, rng),
            blocks: (0..self.depth).map(|_| layer(rng)).collect::<Result<_>>()?,
            norm: LayerNorm::new(self.width),
        })
    }
}

/// Writes a text. The table of words is also that of the logits.
#[derive(Clone, Debug)]
struct Decoder {
    words: Embedding,
    places: Param,
    sentence: Linear,
    blocks: Vec<TransformerEncoderLayer>,
    norm: LayerNorm,
}
module!(Decoder { words, places, sentence, blocks, norm });

impl Decoder {
    /// The logits of the next token at each place of `before` `[n, l]`.
    fn logits(&self, before: &Indices, sentence: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let l = before.dims()[1];
        let told = self.sentence.forward(sentence, cx)?.unsqueeze(1)?;
        let places = self.places.tensor().narrow(0, 0, l)?;
        let mut x = self.words.forward(before)?.add(&places)?.add(&told)?;
        let causal = AttentionMask { causal: true, ..AttentionMask::default() };
        for block in &self.blocks {
            x = block.forward_masked(&x, &causal, cx)?;
        }
        let x = self.norm.forward(&x, cx)?.flatten(0, 1)?;
        Ok(x.matmul(&self.words.weight.tensor().t()?)?)
    }
}

impl<M: Module> TextTask<M, Decoder> for &Tsdae {
    fn loss(
        &self,
        net: &Net<M, Decoder>,
        texts: &[&[usize]],
        embed: &Embed<'_, M>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let left: Vec<Vec<usize>> =
            texts.iter().map(|text| self.delete.apply(text, cx.rng())).collect::<Result<_>>()?;
        let left: Vec<&[usize]> = left.iter().map(Vec::as_slice).collect();
        let sentence = embed(&net.encoder, &left, cx)?;
        let longest = texts.iter().map(|text| text.len() - 1).max().unwrap_or(0);
        // Beyond the end: any token goes in, and what comes out does not count.
        let none = self.vocabulary;
        let (mut before, mut next) = (Vec::new(), Vec::new());
        for text in texts {
            let fill = longest + 1 - text.len();
            before
                .extend(text[..text.len() - 1].iter().copied().chain(std::iter::repeat_n(0, fill)));
            next.extend(text[1..].iter().copied().chain(std::iter::repeat_n(none, fill)));
        }
        let before = Indices::from_vec(before, [texts.len(), longest])?;
        let logits = net.decoder.logits(&before, &sentence, cx)?;
        Ok(Losses::new(CrossEntropy::new().ignore_index(none).loss(&logits, &next.into())?))
    }
}
