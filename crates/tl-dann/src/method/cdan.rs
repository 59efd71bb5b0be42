//! Conditional domain-adversarial training.

use super::align::{Align, Pair, Widths, adversary, discriminator, judge};
use crate::{Result, class_confusion, entropy_weights, multilinear};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Sequential, Tensor};

/// The outer product of features and classes above which the paper takes the
/// randomised map.
const LARGEST: usize = 4096;

/// CDAN, CDAN+E (Long et al. 2018): DANN whose discriminator sees features and
/// prediction together.
pub(crate) struct Cdan {
    pub(crate) entropy: bool,
    pub(crate) random: Option<usize>,
    /// The fixed random matrices of features and of classes, if drawn.
    maps: Option<(Tensor, Tensor)>,
}

impl Cdan {
    pub(crate) fn new(entropy: bool, random: Option<usize>) -> Self {
        Self { entropy, random, maps: None }
    }
}

impl Align for Cdan {
    fn adversary(&mut self, widths: Widths, rng: &mut ChaCha8Rng) -> Option<Sequential> {
        let (d, c) = (widths.features, widths.classes);
        let random = self.random.or((d * c > LARGEST).then_some(1024));
        if self.maps.is_none() {
            self.maps = random.map(|r| (Tensor::randn([d, r], rng), Tensor::randn([c, r], rng)));
        }
        Some(discriminator(random.unwrap_or(d * c), rng))
    }

    fn reversed(&self) -> bool {
        true
    }

    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        let (ps, pt) = (pair.source.logits.softmax(-1)?, pair.target.logits.softmax(-1)?);
        let maps = self.maps.as_ref().map(|(f, c)| (f, c));
        let s = multilinear(&pair.source.features, &ps, maps)?;
        let t = multilinear(&pair.target.features, &pt, maps)?;
        let (ws, wt) = (entropy_weights(&ps)?, entropy_weights(&pt)?);
        let weights = self.entropy.then_some((&ws, &wt));
        judge(adversary(pair)?, (&s, &t), weights, pair.strength, cx)
    }
}

/// CDAN+E with minimum class confusion beside it, which is weighed as much as the
/// encoder feels of the discriminator.
pub(crate) struct CdanMcc {
    cdan: Cdan,
    temperature: f64,
}

impl CdanMcc {
    pub(crate) fn new(temperature: f64) -> Self {
        Self { cdan: Cdan::new(true, None), temperature }
    }
}

impl Align for CdanMcc {
    fn adversary(&mut self, widths: Widths, rng: &mut ChaCha8Rng) -> Option<Sequential> {
        self.cdan.adversary(widths, rng)
    }

    fn reversed(&self) -> bool {
        true
    }

    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        let confusion = class_confusion(&pair.target.logits, self.temperature)?;
        let weighed = confusion.mul_scalar(pair.strength as f32);
        Ok(self.cdan.term(pair, cx)?.add(&weighed)?)
    }
}
