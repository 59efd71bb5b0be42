//! What generative methods share: samples are made for every class, and an
//! ordinary classifier learns from them.

use super::Compatibility;
use crate::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{fmt::Debug, sync::Mutex};
use tl_nn::{Ctx, Forward, Linear, Tensor, shallow::LogisticRegression};

/// Makes samples of a class from its signature.
pub(crate) trait Generator: Debug + Send + Sync {
    /// Samples in the space of the classifier, `[n, d]`. `signature` is `[1, a]`.
    fn generate(&self, signature: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor>;

    /// Real samples in the space of the classifier.
    fn embed(&self, x: &Tensor) -> Result<Tensor>;
}

/// A generator with a logistic regression on what it generates, fitted when the
/// classes are known and kept as long as they stay the same.
#[derive(Debug)]
pub(crate) struct Generated<G> {
    generator: G,
    seed: u64,
    fitted: Mutex<Option<(Vec<u32>, Linear)>>,
}

impl<G: Generator> Generated<G> {
    pub(crate) fn new(generator: G, seed: u64) -> Self {
        Self { generator, seed, fitted: Mutex::new(None) }
    }

    fn classifier(&self, signatures: &Tensor) -> Result<Linear> {
        let key: Vec<u32> = signatures.to_vec().into_iter().map(f32::to_bits).collect();
        // A panic elsewhere cannot leave half a classifier behind.
        let mut fitted = self.fitted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((of, head)) = fitted.as_ref()
            && *of == key
        {
            return Ok(head.clone());
        }
        let classes = signatures.size(0)?;
        let (mut samples, mut labels) = (Vec::new(), Vec::new());
        for class in 0..classes {
            let signature = signatures.narrow(0, class, 1)?;
            // The same samples of a class, whatever other classes there are.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ hash(&signature.to_vec()));
            let made = self.generator.generate(&signature, &mut rng)?.detach();
            labels.extend(std::iter::repeat_n(class, made.size(0)?));
            samples.push(made);
        }
        let samples = Tensor::cat(&samples.iter().collect::<Vec<_>>(), 0)?;
        let head = LogisticRegression::new().c(1.0).fit(&samples, &labels, classes)?.head;
        *fitted = Some((key, head.clone()));
        Ok(head)
    }
}

impl<G: Generator> Compatibility for Generated<G> {
    /// Logarithms of probabilities among these classes.
    fn scores(&self, x: &Tensor, signatures: &Tensor) -> Result<Tensor> {
        let head = self.classifier(signatures)?;
        let logits = head.forward(&self.generator.embed(x)?, &mut Ctx::eval())?;
        Ok(logits.log_softmax(-1)?.detach())
    }
}

/// FNV-1a over the bits of a signature.
fn hash(signature: &[f32]) -> u64 {
    let bytes = signature.iter().flat_map(|x| x.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
