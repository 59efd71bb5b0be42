//! Adversarial alignment: a discriminator that features try to fool.

use crate::{Error, Result};
use rand::RngCore;
use tl_nn::{Act, BatchNorm1d, Ctx, Forward, Indices, Linear, Sequential, Tensor, module};
use tl_tensor::{CrossEntropy, Elem};

/// Gradient reversal (Ganin et al. 2016, eq. 17): the output is `x`, bit for
/// bit; the gradient is multiplied by `-strength`.
///
/// # Errors
/// None that a tensor can cause.
pub fn reverse<E: Elem>(x: &Tensor<E>, strength: f64) -> tl_tensor::Result<Tensor<E>> {
    Ok(x.gradient_reversal(E::from_f64(strength)))
}

/// How strong the reversal is at a part of the run (Ganin et al. 2016, section
/// 5.2.2): `2 / (1 + e^(-10p)) - 1`, from 0 to nearly 1.
pub fn reversal_strength(progress: f64) -> f64 {
    2.0 / (1.0 + (-10.0 * progress).exp()) - 1.0
}

/// A network that tells domains apart: two hidden layers and one logit, above 0
/// for the source.
#[derive(Clone, Debug)]
pub struct Discriminator {
    layers: Sequential,
}
module!(Discriminator { layers });

impl Discriminator {
    /// For features of length `inputs`.
    pub fn new(inputs: usize, hidden: usize, rng: &mut dyn RngCore) -> Self {
        let layers = Sequential::new()
            .push(Linear::new(inputs, hidden, rng))
            .push(BatchNorm1d::new(hidden))
            .push(Act::Relu)
            .push(Linear::new(hidden, hidden, rng))
            .push(Act::Relu)
            .push(Linear::new(hidden, 1, rng));
        Self { layers }
    }
}

impl Forward for Discriminator {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        self.layers.forward(x, cx)
    }
}

/// The binary cross entropy of a discriminator that should say 1 for `source`
/// and 0 for `target` logits `[n, 1]`, each domain with half of the weight.
/// `weights` (one for each sample, source first) are brought to mean 1 in each
/// domain.
///
/// # Errors
/// Shapes that do not fit; weights that sum to 0.
pub fn domain_loss<E: Elem>(
    source: &Tensor<E>,
    target: &Tensor<E>,
    weights: Option<(&Tensor<E>, &Tensor<E>)>,
) -> Result<Tensor<E>> {
    // ln(1 + e^-z) for the source, ln(1 + e^z) for the target.
    let (s, t) = (source.neg().softplus(), target.softplus());
    let mean = |x: &Tensor<E>, w: Option<&Tensor<E>>| -> Result<Tensor<E>> {
        let Some(w) = w else { return Ok(x.mean_all()) };
        let w = w.detach().reshape(*x.shape())?;
        Ok(x.mul(&w)?.sum_all().div(&w.sum_all())?)
    };
    let sum = mean(&s, weights.map(|w| w.0))?.add(&mean(&t, weights.map(|w| w.1))?)?;
    Ok(sum.mul_scalar(E::from_f64(0.5)))
}

/// What CDAN's discriminator sees (Long et al. 2018, eq. 5): the outer product
/// of features `[n, d]` and probabilities `[n, c]`, `[n, d·c]`; with a pair of
/// random matrices `[d, r]` and `[c, r]` the randomised map
/// `(f R_f) ⊙ (p R_p) / √r` instead, for products above some 4,000. The
/// probabilities are constants.
///
/// # Errors
/// Shapes that do not fit.
pub fn multilinear<E: Elem>(
    features: &Tensor<E>,
    probabilities: &Tensor<E>,
    random: Option<(&Tensor<E>, &Tensor<E>)>,
) -> Result<Tensor<E>> {
    let p = probabilities.detach();
    Ok(match random {
        Some((rf, rp)) => {
            let scale = E::from_f64(1.0 / (rf.size(1)? as f64).sqrt());
            features.matmul(rf)?.mul(&p.matmul(rp)?)?.mul_scalar(scale)
        }
        None => {
            let (n, d, c) = (features.size(0)?, features.size(1)?, p.size(1)?);
            p.unsqueeze(2)?.mul(&features.unsqueeze(1)?)?.reshape([n, d * c])?
        }
    })
}

/// CDAN+E's weight of each sample, `1 + e^(-H(p))`, `[n]`: what is predicted
/// with confidence counts more. Constants.
///
/// # Errors
/// Probabilities that are no matrix.
pub fn entropy_weights<E: Elem>(probabilities: &Tensor<E>) -> Result<Tensor<E>> {
    let p = probabilities.detach();
    let h = p.mul(&p.add_scalar(E::from_f64(1e-12)).log())?.sum(-1, false)?;
    Ok(h.exp().add_scalar(E::ONE))
}

/// The discrepancy of two classifiers on target samples (Saito et al. 2018, eq.
/// 2): the mean absolute difference of their probabilities, from logits.
///
/// # Errors
/// Shapes that differ.
pub fn mcd_discrepancy<E: Elem>(a: &Tensor<E>, b: &Tensor<E>) -> Result<Tensor<E>> {
    if a.shape() != b.shape() {
        let got = format!("{:?} and {:?}", a.dims(), b.dims());
        return Err(Error::argument("mcd", "logits", got, "one shape for both"));
    }
    Ok(a.softmax(-1)?.sub(&b.softmax(-1)?)?.abs().mean_all())
}

/// Margin disparity discrepancy (Zhang et al. 2019, eq. 28 and 29) as the
/// adversarial classifier minimises it: `γ · CE(f'(x_s), f(x_s))` on the source
/// plus `-ln(1 - p'_{f(x_t)})` on the target, with the main classifier's
/// predictions as labels. Feed `f'` features that are [reversed](reverse), so
/// that the encoder maximises it. `γ` is `e^margin`; the paper takes 4.
///
/// # Errors
/// Shapes that differ; `gamma` not above 0.
pub fn mdd_loss<E: Elem>(
    source: (&Tensor<E>, &Tensor<E>),
    target: (&Tensor<E>, &Tensor<E>),
    gamma: f64,
) -> Result<Tensor<E>> {
    if !(gamma.is_finite() && gamma > 0.0) {
        return Err(Error::argument("mdd", "gamma", gamma, "a number above 0"));
    }
    let (main_s, adversary_s) = source;
    let (main_t, adversary_t) = target;
    let labels = |x: &Tensor<E>| -> Result<Indices> { Ok(x.argmax(-1)?) };
    let on_source = CrossEntropy::new().loss(adversary_s, &labels(main_s)?)?;
    // ln(1 - p_y) is the log-sum-exp of the others minus that of all.
    let own = Tensor::<E>::one_hot(&labels(main_t)?, main_t.size(1)?)?;
    let others = adversary_t.masked_fill(&own, E::from_f64(-1e30))?;
    let log_rest = others.logsumexp(-1, false)?.sub(&adversary_t.logsumexp(-1, false)?)?;
    let on_target = log_rest.mean_all().neg();
    Ok(on_source.mul_scalar(E::from_f64(gamma)).add(&on_target)?)
}

/// OSBP's loss on target logits `[n, c + 1]`, the last for what is unknown (Saito
/// et al. 2018b, eq. 2): the binary cross entropy of `p_unknown` with `boundary`
/// (0.5 in the paper): `-t ln p_u - (1 - t) ln(1 - p_u)`. The head minimises it;
/// feed it features that are [reversed](reverse), so that the encoder maximises
/// it and takes each sample to one side.
///
/// # Errors
/// Fewer than two logits; a boundary that is not between 0 and 1.
pub fn open_set_loss<E: Elem>(logits: &Tensor<E>, boundary: f64) -> Result<Tensor<E>> {
    if !(boundary > 0.0 && boundary < 1.0) {
        return Err(Error::argument("osbp", "boundary", boundary, "between 0 and 1"));
    }
    let &[_, c] = logits.dims() else {
        let got = format!("{:?}", logits.dims());
        return Err(Error::argument("osbp", "logits", got, "[n, classes + 1]"));
    };
    if c < 2 {
        return Err(Error::argument("osbp", "logits", c, "a class and one for what is unknown"));
    }
    let all = logits.logsumexp(-1, false)?;
    let unknown = logits.select(1, c - 1)?.sub(&all)?;
    let known = logits.narrow(1, 0, c - 1)?.logsumexp(-1, false)?.sub(&all)?;
    let (t, rest) = (E::from_f64(-boundary), E::from_f64(boundary - 1.0));
    Ok(unknown.mul_scalar(t).add(&known.mul_scalar(rest))?.mean_all())
}
