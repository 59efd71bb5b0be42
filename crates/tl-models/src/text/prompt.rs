//! Prompt and prefix tuning.

use super::sentence_classifier::extend_mask;
use rand::RngCore;
use tl_nn::{Error, ModuleExt, Param, Result, Tensor, init, module};

/// Trained vectors before the tokens of a text: prompt tuning (Lester et al. 2021,
/// section 2).
#[derive(Clone, Debug)]
pub struct Prompt {
    /// `[tokens, d]`.
    pub embeddings: Param,
}
module!(Prompt { embeddings });

/// Trained keys and values before those of the tokens, in every layer: prefix
/// tuning (Li and Liang 2021, eq. 3), without the network that makes them.
#[derive(Clone, Debug)]
pub struct Prefix {
    /// `[tokens, layers · 2 · d]`: keys then values, layer by layer, as PEFT keeps
    /// them.
    pub embeddings: Param,
}
module!(Prefix { embeddings });

impl Prefix {
    /// Keys and values of a layer, each `[n, tokens, d]`.
    pub(super) fn layer(&self, at: usize, n: usize, d: usize) -> Result<[Tensor; 2]> {
        let all = self.embeddings.adapted()?;
        let tokens = all.size(0)?;
        let part = |i: usize| -> Result<Tensor> {
            Ok(all.narrow(1, (2 * at + i) * d, d)?.unsqueeze(0)?.broadcast_to([n, tokens, d])?)
        };
        Ok([part(0)?, part(1)?])
    }

    /// The mask `[n, l]` with places for the prefix.
    pub(super) fn mask(&self, mask: &Tensor) -> Result<Tensor> {
        extend_mask(mask, self.embeddings.dims()[0])
    }
}

impl super::Bert {
    /// Freezes the model and puts `tokens` trained vectors before every text: they
    /// begin as the vectors of random words. The mean over the tokens leaves them
    /// out. The head stays as it is: unfreeze it.
    ///
    /// # Errors
    /// No token, or so many that no place is left for a text.
    pub fn add_prompt(&mut self, tokens: usize, rng: &mut dyn RngCore) -> Result<()> {
        let [words, longest, d] = self.sizes();
        if tokens == 0 || tokens >= longest {
            let expected = format!("1 to below the {longest} positions");
            return Err(Error::argument("add_prompt", "tokens", tokens, expected));
        }
        let _ = self.freeze("**")?;
        let table = self.word_table();
        let rows: Vec<usize> =
            (0..tokens).map(|_| (rng.next_u64() % words.max(1) as u64) as usize).collect();
        let begin = table.index_select(0, &rows.as_slice().into())?.detach();
        debug_assert_eq!(begin.dims(), [tokens, d]);
        self.prompt = Some(Prompt { embeddings: Param::new(begin) });
        Ok(())
    }

    /// Freezes the model and puts `tokens` trained keys and values into every
    /// layer; they begin normal with deviation 0.02. The head stays as it is:
    /// unfreeze it.
    ///
    /// # Errors
    /// No token.
    pub fn add_prefix(&mut self, tokens: usize, rng: &mut dyn RngCore) -> Result<()> {
        if tokens == 0 {
            return Err(Error::argument("add_prefix", "tokens", tokens, "at least 1"));
        }
        let [.., d] = self.sizes();
        let width = 2 * d * self.layers();
        let _ = self.freeze("**")?;
        let embeddings = Param::new(init::normal([tokens, width], 0.0, 0.02, rng));
        self.prefix = Some(Prefix { embeddings });
        Ok(())
    }
}
