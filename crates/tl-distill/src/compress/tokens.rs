//! Sentences without a network: a vector for each token.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::{Param, StateDict, Tensor, Weight, module, shallow::Pca};

/// How a [`StaticEmbedding`] is made. The defaults are model2vec's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// Principal components that are kept; `None` for all dimensions. Default
    /// 256.
    pub dimensions: Option<usize>,
    /// `a` of the weight `a / (a + p)`, where `p` is the token's chance by
    /// Zipf's law; `None` for equal weights. Default 1e-4.
    pub smoothing: Option<f64>,
    /// Tokens that are encoded at a time. Default 256.
    pub batch: usize,
}

impl Default for StaticConfig {
    fn default() -> Self {
        Self { dimensions: Some(256), smoothing: Some(1e-4), batch: 256 }
    }
}

/// A vector for each token; a text is the mean of its tokens' vectors, scaled to
/// length 1. It is made from a sentence encoder without any text (model2vec,
/// Tulkens and van Dongen 2024): each token of the vocabulary is encoded alone,
/// the vectors are reduced by PCA, and frequent tokens get less weight (smooth
/// inverse frequency, Arora, Liang and Ma 2017, eq. 3). Word order is lost, and
/// with it some quality; it is some hundred times as fast as the encoder.
///
/// The chance of a token is not counted but taken from its place in the
/// vocabulary, which tokenizers sort roughly by frequency: `p_i = (1 / i) / Σ_j
/// (1 / j)` with `i` from 2 on, as in model2vec.
///
/// Its one parameter, `weight` `[vocabulary, d]`, can be saved, trained and
/// [rounded](crate::round_weights) like that of any module.
///
/// ```
/// use tl_distill::{StaticConfig, StaticEmbedding};
/// use tl_nn::Tensor;
/// # fn main() -> tl_distill::Result<()> {
/// // Stands for an encoder: the token's number as a direction.
/// let encode = |tokens: &[usize]| {
///     let all = tokens.iter().flat_map(|&t| [(t as f32).cos(), (t as f32).sin(), 0.1]);
///     Ok(Tensor::from_vec(all.collect(), [tokens.len(), 3])?)
/// };
/// let config = StaticConfig { dimensions: Some(2), ..StaticConfig::default() };
/// let small = StaticEmbedding::distil(100, &[0], encode, &config)?;
/// let vectors = small.embed(&[vec![5, 7], vec![7, 5, 0]])?;
/// assert_eq!(vectors.dims(), [2, 2]);
/// // Order does not count, nor does token 0, which was left out.
/// assert_eq!(vectors.to_vec()[..2], vectors.to_vec()[2..]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StaticEmbedding {
    /// `[vocabulary, d]`; 0 for tokens that were left out.
    pub weight: Param,
    /// Whether a token counts.
    known: Vec<bool>,
}
module!(StaticEmbedding { weight; skip known });

impl StaticEmbedding {
    /// Makes one for the tokens 0 to `vocabulary`, without those of `left_out`
    /// (special and unused ones). `encode` gives the encoder's sentence vectors
    /// `[n, d]` of `n` tokens, each as a text of its own.
    ///
    /// # Errors
    /// Those of the encoder; vectors that are not `[n, d]` or not finite; more
    /// dimensions than there are; `smoothing` not above 0.
    pub fn distil(
        vocabulary: usize,
        left_out: &[usize],
        mut encode: impl FnMut(&[usize]) -> Result<Tensor>,
        config: &StaticConfig,
    ) -> Result<Self> {
        const WHAT: &str = "static embedding";
        let mut known = vec![true; vocabulary];
        for &token in left_out {
            if let Some(slot) = known.get_mut(token) {
                *slot = false;
            }
        }
        let tokens: Vec<usize> = (0..vocabulary).filter(|&t| known[t]).collect();
        if tokens.len() < 2 {
            return Err(Error::argument(WHAT, "tokens", tokens.len(), "at least 2"));
        }
        if let Some(a) = config.smoothing.filter(|a| !(a.is_finite() && *a > 0.0)) {
            return Err(Error::argument(WHAT, "smoothing", a, "a number above 0, such as 1e-4"));
        }
        let mut parts = Vec::new();
        for batch in tokens.chunks(config.batch.max(1)) {
            let vectors = encode(batch)?.detach();
            if vectors.rank() != 2 || vectors.dims()[0] != batch.len() {
                let got = format!("{:?}", vectors.dims());
                let expected = format!("[{}, d]", batch.len());
                return Err(Error::argument(WHAT, "vectors", got, expected));
            }
            parts.push(vectors);
        }
        let mut all = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?;
        if let Some(k) = config.dimensions {
            all = Pca::fit(&all, k)?.transform(&all)?;
        }
        if let Some(a) = config.smoothing {
            let weights = smooth_inverse_frequency(tokens.len(), a);
            all = all.mul(&Tensor::from_vec(weights, [tokens.len(), 1])?)?;
        }
        let (d, rows) = (all.dims()[1], all.to_vec());
        let mut table = vec![0.0; vocabulary * d];
        for (&token, row) in tokens.iter().zip(rows.chunks(d)) {
            table[token * d..(token + 1) * d].copy_from_slice(row);
        }
        Ok(Self { weight: Param::new(Tensor::from_vec(table, [vocabulary, d])?), known })
    }

    /// Vectors `[n, d]` of length 1 of texts as token ids. Tokens that were left
    /// out do not count; a text of nothing else is 0.
    ///
    /// # Errors
    /// No text; a token that is not in the vocabulary.
    pub fn embed<S: AsRef<[usize]>>(&self, texts: &[S]) -> Result<Tensor> {
        const WHAT: &str = "static embedding";
        if texts.is_empty() {
            return Err(Error::argument(WHAT, "texts", "none", "at least one"));
        }
        let d = self.weight.dims()[1];
        let value = self.weight.tensor().detach().contiguous();
        let owned;
        let table = if let Some(table) = value.value().as_slice() {
            table
        } else {
            owned = value.to_vec();
            &owned
        };
        let mut all = vec![0.0_f32; texts.len() * d];
        for (text, sum) in texts.iter().zip(all.chunks_mut(d)) {
            for &token in text.as_ref() {
                match self.known.get(token) {
                    Some(true) => {
                        let row = &table[token * d..(token + 1) * d];
                        sum.iter_mut().zip(row).for_each(|(s, x)| *s += x);
                    }
                    Some(false) => {}
                    None => {
                        let expected = format!("below {}", self.known.len());
                        return Err(Error::argument(WHAT, "token", token, expected));
                    }
                }
            }
            let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 {
                sum.iter_mut().for_each(|x| *x /= length);
            }
        }
        Ok(Tensor::from_vec(all, [texts.len(), d])?)
    }

    /// Everything in one file: `weight`, as model2vec calls it `embeddings`, and
    /// which tokens count.
    pub fn to_state_dict(&self) -> Result<StateDict> {
        let mut file = StateDict::new();
        let known = self.known.iter().map(|k| f32::from(u8::from(*k))).collect();
        file.insert("embeddings", Weight::new(self.weight.tensor()));
        file.insert("known", Weight::new(&Tensor::from_vec(known, [self.known.len()])?));
        Ok(file)
    }

    /// From such a file, or from one of model2vec, where all tokens count.
    ///
    /// # Errors
    /// No `embeddings` `[vocabulary, d]`.
    pub fn from_state_dict(file: &StateDict) -> Result<Self> {
        let weight = file.tensor("embeddings")?;
        if weight.rank() != 2 {
            let got = format!("{:?}", weight.dims());
            return Err(Error::argument("static embedding", "embeddings", got, "[vocabulary, d]"));
        }
        let mut known = vec![true; weight.dims()[0]];
        if file.get("known").is_some() {
            for (slot, k) in known.iter_mut().zip(file.tensor("known")?.to_vec()) {
                *slot = k != 0.0;
            }
        }
        Ok(Self { weight: Param::new(weight), known })
    }
}

/// `a / (a + p_i)` for the `n` most frequent tokens, in order.
fn smooth_inverse_frequency(n: usize, a: f64) -> Vec<f32> {
    let inverse: Vec<f64> = (2..n + 2).map(|rank| 1.0 / rank as f64).collect();
    let total: f64 = inverse.iter().sum();
    inverse.iter().map(|p| (a / (a + p / total)) as f32).collect()
}
