//! Optimal transport with entropy regularisation.

use crate::{Error, Result};
use tl_tensor::{Elem, Tensor};

/// The transport plan `[n, m]` between uniform weights for a cost `[n, m]`
/// (Cuturi 2013): rows sum to `1/n`, columns to `1/m`. `regularisation` is in units
/// of the cost. At most so many of Sinkhorn's iterations, fewer if they no longer
/// change anything. A constant.
///
/// The first iteration is on logarithms; those that follow scale the kernel that it
/// leaves (Schmitzer 2019, section 3.1), which costs two products of a matrix and a
/// vector, until a factor would leave the range of the numbers: then it begins
/// again. So a small regularisation is slower, not wrong.
///
/// # Errors
/// A cost that is no finite matrix; a regularisation not above 0.
pub fn sinkhorn<E: Elem>(
    cost: &Tensor<E>,
    regularisation: f64,
    iterations: usize,
) -> Result<Tensor<E>> {
    if !(regularisation.is_finite() && regularisation > 0.0) {
        let expected = "a number above 0, such as a twentieth of the mean cost";
        return Err(Error::argument("sinkhorn", "regularisation", regularisation, expected));
    }
    if cost.rank() != 2 || cost.numel() == 0 || !cost.is_finite() {
        let got = format!("{:?}", cost.dims());
        return Err(Error::argument("sinkhorn", "cost", got, "a finite matrix"));
    }
    let (n, m) = (cost.size(0)?, cost.size(1)?);
    let k = cost.detach().mul_scalar(E::from_f64(-1.0 / regularisation));
    let mut at = Potentials { f: Tensor::zeros([n, 1]), g: Tensor::zeros([1, m]) };
    let mut left = iterations.max(1);
    while left > 0 {
        at.in_logarithms(&k)?;
        left -= 1;
        left -= at.by_scaling(&k, left)?;
    }
    at.plan(&k)
}

/// The logarithms of the factors of rows `[n, 1]` and columns `[1, m]`.
struct Potentials<E: Elem> {
    f: Tensor<E>,
    g: Tensor<E>,
}

impl<E: Elem> Potentials<E> {
    fn plan(&self, k: &Tensor<E>) -> Result<Tensor<E>> {
        Ok(k.add(&self.f)?.add(&self.g)?.exp())
    }

    fn in_logarithms(&mut self, k: &Tensor<E>) -> Result<()> {
        let share = |axis| -> Result<E> { Ok(E::from_f64(-(k.size(axis)? as f64).ln())) };
        self.f = k.add(&self.g)?.logsumexp(1, true)?.neg().add_scalar(share(0)?);
        self.g = k.add(&self.f)?.logsumexp(0, true)?.neg().add_scalar(share(1)?);
        Ok(())
    }

    /// Up to `most` iterations on the kernel as it is now. Returns how many count
    /// as done: all, if nothing changes any more.
    fn by_scaling(&mut self, k: &Tensor<E>, most: usize) -> Result<usize> {
        let (kernel, n, m) = (self.plan(k)?, k.size(0)?, k.size(1)?);
        let turned = kernel.t()?;
        let (mut u, mut v) = (Tensor::<E>::ones([n, 1]), Tensor::<E>::ones([m, 1]));
        let (a, b) = (Tensor::full([n, 1], E::from_f64(1.0 / n as f64)), 1.0 / m as f64);
        let b = Tensor::full([m, 1], E::from_f64(b));
        let mut done = 0;
        while done < most {
            let new_u = a.div(&kernel.matmul(&v)?)?;
            let new_v = b.div(&turned.matmul(&new_u)?)?;
            if !(in_range(&new_u) && in_range(&new_v)) {
                break;
            }
            let still = change(&u, &new_u) < 4.0 * E::EPSILON.to_f64();
            (u, v) = (new_u, new_v);
            done += 1;
            if still {
                done = most;
            }
        }
        self.f = self.f.add(&u.log())?;
        self.g = self.g.add(&v.log().t()?)?;
        Ok(done)
    }
}

/// Whether factors are far from the ends of single precision.
fn in_range<E: Elem>(x: &Tensor<E>) -> bool {
    x.to_vec().iter().all(|x| (1e-12..=1e12).contains(&x.to_f64()))
}

/// The largest change of a factor, as a part of it.
fn change<E: Elem>(old: &Tensor<E>, new: &Tensor<E>) -> f64 {
    let pairs = old.to_vec().into_iter().zip(new.to_vec());
    pairs.map(|(a, b)| (b.to_f64() / a.to_f64() - 1.0).abs()).fold(0.0, f64::max)
}

/// `Σ plan · cost`, with the plan as a constant.
///
/// # Errors
/// Shapes that differ.
pub fn transport_cost<E: Elem>(plan: &Tensor<E>, cost: &Tensor<E>) -> Result<Tensor<E>> {
    Ok(plan.detach().mul(cost)?.sum_all())
}

/// DeepJDOT's cost of each pair (Damodaran et al. 2018, eq. 6):
/// `a |f_s - f_t|² + b · CE(y_s, p_t)`, `[n, m]`, from features, one-hot source
/// labels `[n, c]` and target logits `[m, c]`.
///
/// # Errors
/// Shapes that do not fit.
pub fn joint_cost<E: Elem>(
    features: (&Tensor<E>, &Tensor<E>),
    labels: &Tensor<E>,
    logits: &Tensor<E>,
    weights: (f64, f64),
) -> Result<Tensor<E>> {
    let (s, t) = features;
    let cross = s.matmul(&t.t()?)?.mul_scalar(E::from_f64(-2.0));
    let apart = cross.add(&s.square().sum(-1, true)?)?.add(&t.square().sum(-1, false)?)?;
    let entropy = labels.matmul(&logits.log_softmax(-1)?.t()?)?.neg();
    let (a, b) = (E::from_f64(weights.0), E::from_f64(weights.1));
    Ok(apart.mul_scalar(a).add(&entropy.mul_scalar(b))?)
}
