//! CADA-VAE: two autoencoders that share a latent space.

use super::{
    Compatibility, Method,
    generate::{Generated, Generator},
    real::RealClasses,
    scale::Scale,
    vae::{Normal, Ramp, TwoLayers, l1},
};
use crate::{Error, Result, Seen, semantics::unit_rows, split::matrix};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batching, Dataset};
use tl_nn::{AdamW, Ctx, Error as NnError, Optimizer, Tensor, Trainer, module};

/// Cross- and distribution-aligned variational autoencoders (Schönfeld et al.
/// 2019), one of features, one of signatures, and a logistic regression in
/// their shared latent space.
///
/// Loss of a sample, with L1 norms `|·|`, latents `z_x`, `z_s` and decoders `x̂`,
/// `ŝ`:
/// ```text
/// |x - x̂(z_x)| + |s - ŝ(z_s)| + β (KL_x + KL_s)
///   + γ (|x - x̂(z_s)| + |s - ŝ(z_x)|)          eq. 5, cross alignment
///   + δ √(|μ_x - μ_s|² + |σ_x - σ_s|²)          eq. 8, distribution alignment
/// ```
/// β, γ and δ rise linearly as in the authors' code, scaled to the number of
/// epochs: β to 0.25 over epochs 0 to 93 of 100, γ to 2.37 over 21 to 75, δ to
/// 8.13 over 6 to 22. Latents of seen classes come from their features, of other
/// classes from their signatures. Features are standardised by the seen classes,
/// signatures have length 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CadaVae {
    /// Numbers of the latent. Default 64.
    pub latent: usize,
    /// Units of the hidden layers. Default 256 (the authors have 1,560 to 665
    /// for 2,048 features).
    pub hidden: usize,
    /// Latents of each seen class. Default 200.
    pub seen_samples: usize,
    /// Latents of each other class. Default 400.
    pub unseen_samples: usize,
    /// Passes over the data. Default 100.
    pub epochs: usize,
    /// Samples of a step. Default 50.
    pub batch: usize,
    /// The rate of Adam (AdamW without decay). Default 1.5e-4.
    pub lr: f32,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
}

impl Default for CadaVae {
    fn default() -> Self {
        Self {
            latent: 64,
            hidden: 256,
            seen_samples: 200,
            unseen_samples: 400,
            epochs: 100,
            batch: 50,
            lr: 1.5e-4,
            seed: 0,
        }
    }
}

const BETA: Ramp = Ramp { from: 0.0, to: 93.0, height: 0.25 };
const CROSS: Ramp = Ramp { from: 21.0, to: 75.0, height: 2.37 };
const DISTANCE: Ramp = Ramp { from: 6.0, to: 22.0, height: 8.13 };

#[derive(Clone, Debug)]
struct Net {
    x_encoder: TwoLayers,
    x_decoder: TwoLayers,
    s_encoder: TwoLayers,
    s_decoder: TwoLayers,
}
module!(Net { x_encoder, x_decoder, s_encoder, s_decoder });

impl Net {
    fn of_features(&self, x: &Tensor) -> tl_nn::Result<Normal> {
        Normal::from_halves(&self.x_encoder.apply(x)?)
    }

    fn of_signature(&self, s: &Tensor) -> tl_nn::Result<Normal> {
        Normal::from_halves(&self.s_encoder.apply(s)?)
    }

    /// `progress` is from 0 to 1.
    fn loss(
        &self,
        x: &Tensor,
        s: &Tensor,
        progress: f64,
        rng: &mut dyn RngCore,
    ) -> tl_nn::Result<Tensor> {
        let (q_x, q_s) = (self.of_features(x)?, self.of_signature(s)?);
        let (z_x, z_s) = (q_x.sample(rng)?, q_s.sample(rng)?);
        let both = |a: &Tensor, b: &Tensor| -> tl_nn::Result<Tensor> {
            Ok(l1(x, &self.x_decoder.apply(a)?)?.add(&l1(s, &self.s_decoder.apply(b)?)?)?)
        };
        let own = both(&z_x, &z_s)?;
        let crossed = both(&z_s, &z_x)?;
        let divergence = q_x.divergence()?.add(&q_s.divergence()?)?;
        let epoch = 100.0 * progress;
        let parts = [
            (divergence, BETA.at(epoch)),
            (crossed, CROSS.at(epoch)),
            (q_x.distance(&q_s)?, DISTANCE.at(epoch)),
        ];
        let mut total = own;
        for (part, weight) in parts {
            total = total.add(&part.mul_scalar(weight))?;
        }
        Ok(total)
    }
}

#[derive(Debug)]
struct Latents {
    net: Net,
    scale: Scale,
    /// Standardised.
    real: RealClasses,
    seen_samples: usize,
    unseen_samples: usize,
}

impl Generator for Latents {
    fn generate(&self, signature: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let q = match self.real.find(signature) {
            Some(own) => {
                let n = own.size(0)?;
                let rows: Vec<usize> =
                    (0..self.seen_samples).map(|_| rng.random_range(0..n)).collect();
                self.net.of_features(&own.index_select(0, &rows.into())?)?
            }
            None => {
                let s = unit_rows(signature)?;
                let width = s.size(1)?;
                self.net.of_signature(&s.broadcast_to([self.unseen_samples, width])?)?
            }
        };
        Ok(q.sample(rng)?)
    }

    fn embed(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.net.of_features(&self.scale.apply(x)?)?.mean)
    }
}

impl CadaVae {
    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("latent", self.latent),
            ("hidden", self.hidden),
            ("seen_samples", self.seen_samples),
            ("unseen_samples", self.unseen_samples),
            ("epochs", self.epochs),
        ] {
            if value == 0 {
                return Err(Error::argument("CADA-VAE", name, 0, "at least 1"));
            }
        }
        super::check_rate("CADA-VAE", self.lr)
    }
}

impl Method for CadaVae {
    fn name(&self) -> &'static str {
        "CADA-VAE"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        self.check()?;
        matrix("CADA-VAE", seen.features())?;
        let rng = &mut ChaCha8Rng::seed_from_u64(self.seed);
        let scale = Scale::of(seen.features())?;
        let x = scale.apply(seen.features())?;
        let signatures = unit_rows(seen.signatures().table())?;
        let (d, a) = (x.size(1)?, signatures.size(1)?);
        let (h, z) = (self.hidden, self.latent);
        let mut net = Net {
            x_encoder: TwoLayers::new(d, h, 2 * z, rng),
            x_decoder: TwoLayers::new(z, h, d, rng),
            s_encoder: TwoLayers::new(a, h, 2 * z, rng),
            s_decoder: TwoLayers::new(z, h, a, rng),
        };
        let names = seen.signatures().names().to_vec();
        let data = Dataset::classification(x.clone(), seen.labels().to_vec(), names)?;
        let loader = data.batches(Batching::new(self.batch).shuffled(self.seed))?;
        let optimizer = Optimizer::new(AdamW { weight_decay: 0.0, ..AdamW::new(self.lr) });
        Trainer::new(optimizer, self.epochs).seed(self.seed).fit(
            &mut net,
            |epoch| loader.epoch(epoch as u64),
            |net, batch, cx: &mut Ctx| {
                let labels = batch.labels().map_err(NnError::other)?;
                let s = signatures.index_select(0, labels)?;
                let progress = cx.progress();
                net.loss(&batch.features, &s, progress, cx.rng())
            },
        )?;
        let generator = Latents {
            net,
            scale,
            real: RealClasses::of(seen, &x)?,
            seen_samples: self.seen_samples,
            unseen_samples: self.unseen_samples,
        };
        Ok(Box::new(Generated::new(generator, self.seed)))
    }
}
