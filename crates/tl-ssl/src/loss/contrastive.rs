//! Pulling views together, pushing others apart.

use super::{
    pair,
    pairs::{Positives, contrast},
    temperature, unit,
};
use crate::{Error, Result};
use std::collections::BTreeMap;
use tl_tensor::{CrossEntropy, Elem, Tensor};

/// NT-Xent (Chen et al. 2020, eq. 1) of two views `[n, d]`: the mean over all 2n
/// of `-ln exp(s_ij/τ) / Σ_{k≠i} exp(s_ik/τ)`, with cosines `s`, `j` the other
/// view of `i`; the positive stays in the denominator. SimCLR's `τ` is 0.5 for
/// small images, 0.1 for ImageNet.
///
/// # Errors
/// Views of different shapes, or of one sample; a temperature not above 0.
pub fn nt_xent<E: Elem>(a: &Tensor<E>, b: &Tensor<E>, tau: f64) -> Result<Tensor<E>> {
    let [n, _] = pair("nt-xent", a, b)?;
    temperature("nt-xent", tau)?;
    let others = (0..2 * n).map(|i| vec![(i + n) % (2 * n)]);
    let Some(positives) = Positives::new(others) else { return Err(no_pair("nt-xent")) };
    contrast(&Tensor::cat(&[a, b], 0)?, tau, positives)
}

/// [`nt_xent`] of two views or more of the same samples: for every view the mean
/// of `-ln p` over the other views of its sample, which all stay in the
/// denominator. With more than two this is [`sup_con`] with the sample as the
/// class; solo-learn sums the positives inside the logarithm instead.
///
/// # Errors
/// As [`nt_xent`]; fewer than two views.
pub fn nt_xent_views<E: Elem>(views: &[Tensor<E>], tau: f64) -> Result<Tensor<E>> {
    match views {
        [a, b] => nt_xent(a, b, tau),
        [a, .., b] => {
            let [n, _] = pair("nt-xent", a, b)?;
            let all: Vec<&Tensor<E>> = views.iter().collect();
            let sample: Vec<usize> = (0..views.len() * n).map(|i| i % n).collect();
            sup_con(&Tensor::cat(&all, 0)?, &sample, tau)
        }
        _ => Err(Error::argument("nt-xent", "views", views.len(), "two views or more")),
    }
}

/// InfoNCE with a queue (He et al. 2020, eq. 1): `-ln` of the softmax of
/// `q·k⁺/τ` among itself and all `q·queue/τ`, with vectors brought to length 1.
/// Keys and queue are constants. MoCo's `τ` is 0.07, that of v2 0.2. `queue`
/// `[m, d]`.
///
/// # Errors
/// Shapes that do not fit; a temperature not above 0.
pub fn info_nce<E: Elem>(
    queries: &Tensor<E>,
    keys: &Tensor<E>,
    queue: &Tensor<E>,
    tau: f64,
) -> Result<Tensor<E>> {
    let [n, _] = pair("info-nce", queries, keys)?;
    temperature("info-nce", tau)?;
    let (q, k) = (unit(queries)?, unit(&keys.detach())?);
    let own = q.mul(&k)?.sum(-1, true)?;
    let others = q.matmul(&unit(&queue.detach())?.t()?)?;
    let logits = Tensor::cat(&[&own, &others], 1)?.mul_scalar(E::from_f64(1.0 / tau));
    Ok(CrossEntropy::new().loss(&logits, &vec![0; n].into())?)
}

/// SimCSE's loss of two views `[n, d]` of texts (Gao et al. 2021, eq. 1): `-ln` of
/// the softmax of `cos(a_i, b_j)/τ` at `j = i`, over the *other* view alone and in
/// one direction, a mean over `i`, as in the authors' code. The same as
/// sentence-transformers' multiple negatives ranking with a scale of `1/τ`. The
/// paper's `τ` is 0.05.
///
/// # Errors
/// As [`nt_xent`].
pub fn simcse<E: Elem>(a: &Tensor<E>, b: &Tensor<E>, tau: f64) -> Result<Tensor<E>> {
    let [n, _] = pair("simcse", a, b)?;
    temperature("simcse", tau)?;
    let logits = unit(a)?.mul_scalar(E::from_f64(1.0 / tau)).matmul(&unit(b)?.t()?)?;
    Ok(CrossEntropy::new().loss(&logits, &(0..n).collect::<Vec<_>>().into())?)
}

/// Supervised contrastive loss (Khosla et al. 2020, eq. 2, "out"): for every
/// sample the mean of `-ln p` over the others of its class, a mean over the
/// samples that have one. `z` `[n, d]` with a label for each; give views of one
/// sample the same label.
///
/// # Errors
/// Shapes that do not fit; no two samples of one class; a temperature not above
/// 0.
pub fn sup_con<E: Elem>(z: &Tensor<E>, labels: &[usize], tau: f64) -> Result<Tensor<E>> {
    temperature("sup-con", tau)?;
    let n = labels.len();
    if z.rank() != 2 || z.dims()[0] != n {
        let got = format!("{:?} for {n} labels", z.dims());
        return Err(Error::argument("sup-con", "z", got, "[n, d] and a label for each"));
    }
    let mut of_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, label) in labels.iter().enumerate() {
        of_class.entry(*label).or_default().push(i);
    }
    let others = |i: usize| of_class[&labels[i]].iter().copied().filter(|j| *j != i).collect();
    let Some(positives) = Positives::new((0..n).map(others)) else {
        return Err(no_pair("sup-con"));
    };
    contrast(z, tau, positives)
}

fn no_pair(what: &'static str) -> Error {
    Error::argument(what, "labels", "no pair", "two samples of one class at least")
}

/// `2 - 2 cos(p, z)`, a mean over samples, with `z` as a constant: what BYOL
/// (Grill et al. 2020, eq. 2) minimises, and SimSiam up to a factor. Sum it over
/// both directions.
///
/// # Errors
/// Views of different shapes, or of one sample.
pub fn negative_cosine<E: Elem>(predicted: &Tensor<E>, target: &Tensor<E>) -> Result<Tensor<E>> {
    pair("negative cosine", predicted, target)?;
    let cosine = unit(predicted)?.mul(&unit(&target.detach())?)?.sum(-1, false)?;
    let two = E::from_f64(2.0);
    Ok(cosine.mean_all().mul_scalar(E::ZERO - two).add_scalar(two))
}
