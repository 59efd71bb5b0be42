//! Heads that compare: prototypes, attention, a learned relation, neighbours.

use super::Head;
use crate::{Error, Result};
use rand::RngCore;
use tl_nn::{Activation, Indices, Linear, Tensor, module, shallow::KNearest};
use tl_tensor::Elem;

/// The mean of each class, `[ways, d]`, from features `[n, d]` (Snell et al.
/// 2017, eq. 1).
///
/// # Errors
/// Shapes that do not fit; a label that is not below `ways`; a class without
/// samples.
pub fn prototypes<E: Elem>(
    features: &Tensor<E>,
    labels: &Indices,
    ways: usize,
) -> Result<Tensor<E>> {
    let mut counts = vec![0_usize; ways];
    for &label in labels.as_slice() {
        if let Some(count) = counts.get_mut(label) {
            *count += 1;
        }
    }
    if let Some(empty) = counts.iter().position(|&n| n == 0) {
        let got = format!("no sample of class {empty}");
        return Err(Error::argument("prototypes", "labels", got, "a sample of every class"));
    }
    let members = Tensor::<E>::one_hot(labels, ways)?;
    let counts: Vec<E> = counts.into_iter().map(|n| E::from_f64(1.0 / n as f64)).collect();
    let part = Tensor::from_vec(counts, [ways, 1])?;
    Ok(members.t()?.matmul(features)?.mul(&part)?)
}

/// `|a_i - b_j|²`, `[n, m]`, of rows `[n, d]` and `[m, d]`.
///
/// # Errors
/// Rows of different lengths.
pub fn squared_distances<E: Elem>(a: &Tensor<E>, b: &Tensor<E>) -> Result<Tensor<E>> {
    let cross = a.matmul(&b.t()?)?.mul_scalar(E::from_f64(-2.0));
    let (a2, b2) = (a.square().sum(-1, true)?, b.square().sum(-1, false)?);
    Ok(cross.add(&a2)?.add(&b2)?)
}

/// Minus the squared Euclidean distance of every query to every prototype (Snell
/// et al. 2017, eq. 2): no root, no cosine.
///
/// # Errors
/// As [`prototypes`] and [`squared_distances`].
pub fn prototype_logits<E: Elem>(
    support: &Tensor<E>,
    labels: &Indices,
    ways: usize,
    queries: &Tensor<E>,
) -> Result<Tensor<E>> {
    Ok(squared_distances(queries, &prototypes(support, labels, ways)?)?.neg())
}

/// The attention of matching networks (Vinyals et al. 2016, eq. 1 and section
/// 2.1.1): `p_c(q) = Σ_i a(q, s_i) [y_i = c]`, `a` the softmax over the support
/// of `scale · cos(q, s_i)`. Returns `[q, ways]`.
///
/// # Errors
/// Shapes that do not fit; a label out of range.
pub fn matching_probabilities<E: Elem>(
    support: &Tensor<E>,
    labels: &Indices,
    ways: usize,
    queries: &Tensor<E>,
    scale: f64,
) -> Result<Tensor<E>> {
    let cosines = unit(queries)?.matmul(&unit(support)?.t()?)?;
    let attention = cosines.mul_scalar(E::from_f64(scale)).softmax(-1)?;
    Ok(attention.matmul(&Tensor::<E>::one_hot(labels, ways)?)?)
}

/// Rows of length 1; a row of zeros stays.
pub(super) fn unit<E: Elem>(x: &Tensor<E>) -> Result<Tensor<E>> {
    let floor = E::from_f64(1e-24);
    Ok(x.mul(&x.square().sum(-1, true)?.add_scalar(floor).rsqrt())?)
}

/// Prototypical networks (Snell et al. 2017): the nearest class mean, by
/// [`prototype_logits`]. Nothing to learn but the features. The paper trains
/// with more ways (60 on Omniglot) than it tests with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prototypes;
module!(Prototypes {});

impl Head for Prototypes {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        prototype_logits(support, labels, ways, queries)
    }
}

/// Matching networks without the full-context embeddings: the logarithm of
/// [`matching_probabilities`].
#[derive(Clone, Copy, Debug)]
pub struct Matching {
    /// What the cosine is multiplied by. The paper has 1; a larger number (10
    /// is the default) lets the softmax be sure.
    pub scale: f64,
}
module!(Matching {; skip scale });

impl Default for Matching {
    fn default() -> Self {
        Self { scale: 10.0 }
    }
}

impl Head for Matching {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        let p = matching_probabilities(support, labels, ways, queries, self.scale)?;
        Ok(p.add_scalar(1e-12).log())
    }
}

/// Relation networks (Sung et al. 2018): a small network that looks at a class
/// sum and a query together and says how well they match. The paper regresses
/// on 0 and 1; here the scores are logits for cross entropy, which trains
/// better and ranks alike.
#[derive(Clone, Debug)]
pub struct Relation {
    /// `[hidden, 2d]`.
    pub fc1: Linear,
    /// `[1, hidden]`.
    pub fc2: Linear,
}
module!(Relation { fc1, fc2 });

impl Relation {
    /// For features of length `features`; the paper has 8 hidden units.
    pub fn new(features: usize, hidden: usize, rng: &mut dyn RngCore) -> Self {
        Self { fc1: Linear::new(2 * features, hidden, rng), fc2: Linear::new(hidden, 1, rng) }
    }
}

/// The scores of [`Relation`] by the weight and bias of each of its two layers:
/// for every query and the sum of every class, both side by side, a hidden layer
/// of rectifiers and one number. Returns `[q, ways]`.
///
/// # Errors
/// Shapes that do not fit; a label out of range.
pub fn relation_logits<E: Elem>(
    support: &Tensor<E>,
    labels: &Indices,
    ways: usize,
    queries: &Tensor<E>,
    [(w1, b1), (w2, b2)]: [(&Tensor<E>, &Tensor<E>); 2],
) -> Result<Tensor<E>> {
    let hidden = pairs(support, labels, ways, queries)?.linear(w1, Some(b1))?.relu();
    Ok(hidden.linear(w2, Some(b2))?.squeeze(-1)?)
}

/// The sum of every class beside every query, `[q, ways, 2d]`.
fn pairs<E: Elem>(
    support: &Tensor<E>,
    labels: &Indices,
    ways: usize,
    queries: &Tensor<E>,
) -> Result<Tensor<E>> {
    let members = Tensor::<E>::one_hot(labels, ways)?;
    let classes = members.t()?.matmul(support)?;
    let (q, d) = (queries.size(0)?, queries.size(-1)?);
    Ok(Tensor::cat(
        &[
            &classes.unsqueeze(0)?.broadcast_to([q, ways, d])?,
            &queries.unsqueeze(1)?.broadcast_to([q, ways, d])?,
        ],
        -1,
    )?)
}

impl Head for Relation {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        let hidden =
            self.fc1.forward_act(&pairs(support, labels, ways, queries)?, Activation::Relu)?;
        Ok(self.fc2.forward_act(&hidden, Activation::Identity)?.squeeze(-1)?)
    }
}

/// The nearest support sample, or the vote of the nearest few: the baseline
/// without learning, on pixels or on any features. Not differentiable.
#[derive(Clone, Copy, Debug)]
pub struct Nearest {
    /// Neighbours that vote; fewer if the support is smaller.
    pub k: usize,
}
module!(Nearest {; skip k });

impl Default for Nearest {
    fn default() -> Self {
        Self { k: 1 }
    }
}

impl Head for Nearest {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        let k = self.k.min(labels.len());
        Ok(KNearest::fit(support, labels.as_slice(), ways, k)?.votes(queries)?)
    }
}
