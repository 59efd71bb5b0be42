//! Features generated from signatures by a conditional autoencoder.

use super::{
    Compatibility, Method,
    generate::{Generated, Generator},
    scale::Scale,
    vae::{Normal, TwoLayers},
};
use crate::{Error, Result, Seen, semantics::unit_rows, split::matrix};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batching, Dataset};
use tl_nn::{AdamW, Ctx, Error as NnError, Optimizer, Tensor, Trainer, module};

/// A conditional variational autoencoder of features given signatures, and a
/// logistic regression on what it generates for every class (Mishra et al.
/// 2018; the generator of f-VAEGAN-D2 without its critic, Xian et al. 2019).
///
/// Loss of a sample: `½ |x - dec(z, s)|² + β KL(q(z | x, s) ‖ N(0, 1))`, with
/// features standardised by the seen classes and signatures of length 1. Seen
/// classes are generated too, so the classifier sees all classes alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureVae {
    /// Numbers of the latent. Default 16.
    pub latent: usize,
    /// Units of the hidden layers. Default 256.
    pub hidden: usize,
    /// The weight of the divergence. Default 1, the variational bound.
    pub beta: f32,
    /// Samples generated for each class. Default 200.
    pub samples: usize,
    /// Passes over the data. Default 50.
    pub epochs: usize,
    /// The rate of AdamW. Default 1e-3.
    pub lr: f32,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
}

impl Default for FeatureVae {
    fn default() -> Self {
        Self { latent: 16, hidden: 256, beta: 1.0, samples: 200, epochs: 50, lr: 1e-3, seed: 0 }
    }
}

#[derive(Clone, Debug)]
struct Net {
    encoder: TwoLayers,
    decoder: TwoLayers,
}
module!(Net { encoder, decoder });

impl Net {
    /// The loss of standardised features `x` of classes with signatures `s`.
    fn loss(
        &self,
        x: &Tensor,
        s: &Tensor,
        beta: f32,
        rng: &mut dyn RngCore,
    ) -> tl_nn::Result<Tensor> {
        let q = Normal::from_halves(&self.encoder.apply(&Tensor::cat(&[x, s], 1)?)?)?;
        let z = q.sample(rng)?;
        let rebuilt = self.decoder.apply(&Tensor::cat(&[&z, s], 1)?)?;
        let misfit = rebuilt.sub(x)?.square().sum(-1, false)?.mean_all().mul_scalar(0.5);
        Ok(misfit.add(&q.divergence()?.mul_scalar(beta))?)
    }
}

#[derive(Debug)]
struct Features {
    net: Net,
    scale: Scale,
    latent: usize,
    samples: usize,
}

impl Generator for Features {
    fn generate(&self, signature: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let s = unit_rows(signature)?;
        let s = s.broadcast_to([self.samples, s.size(1)?])?;
        let z = Tensor::randn([self.samples, self.latent], rng);
        Ok(self.net.decoder.apply(&Tensor::cat(&[&z, &s], 1)?)?)
    }

    fn embed(&self, x: &Tensor) -> Result<Tensor> {
        self.scale.apply(x)
    }
}

impl Method for FeatureVae {
    fn name(&self) -> &'static str {
        "feature VAE"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        matrix("feature VAE", seen.features())?;
        for (name, value) in [
            ("latent", self.latent),
            ("hidden", self.hidden),
            ("samples", self.samples),
            ("epochs", self.epochs),
        ] {
            if value == 0 {
                return Err(Error::argument("feature VAE", name, 0, "at least 1"));
            }
        }
        if !(self.beta.is_finite() && self.beta >= 0.0) {
            return Err(Error::argument("feature VAE", "beta", self.beta, "a number from 0"));
        }
        super::check_rate("feature VAE", self.lr)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(self.seed);
        let scale = Scale::of(seen.features())?;
        let signatures = unit_rows(seen.signatures().table())?;
        let (d, a) = (seen.features().size(1)?, signatures.size(1)?);
        let mut net = Net {
            encoder: TwoLayers::new(d + a, self.hidden, 2 * self.latent, rng),
            decoder: TwoLayers::new(self.latent + a, self.hidden, d, rng),
        };
        let names = seen.signatures().names().to_vec();
        let x = scale.apply(seen.features())?;
        let data = Dataset::classification(x, seen.labels().to_vec(), names)?;
        let loader = data.batches(Batching::new(64).shuffled(self.seed))?;
        Trainer::new(Optimizer::new(AdamW::new(self.lr)), self.epochs).seed(self.seed).fit(
            &mut net,
            |epoch| loader.epoch(epoch as u64),
            |net, batch, cx: &mut Ctx| {
                let s = signatures.index_select(0, batch.labels().map_err(NnError::other)?)?;
                net.loss(&batch.features, &s, self.beta, cx.rng())
            },
        )?;
        let generator = Features { net, scale, latent: self.latent, samples: self.samples };
        Ok(Box::new(Generated::new(generator, self.seed)))
    }
}
