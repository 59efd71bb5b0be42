//! What VICReg asks of each view by itself, in one step.

use crate::Result;
use tl_tensor::{Elem, Op, Tensor, Value, Vjp};

/// What the two terms weigh.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) variance: f64,
    pub(super) covariance: f64,
}

/// Keeps the root of the variance differentiable at 0.
const SMALL: f64 = 1e-4;

impl Side {
    /// `ν mean_j [1 - √(C_jj + 1e-4)]₊ + μ Σ_{i≠j} C_ij² / d` with the unbiased
    /// covariance `C` of `x` `[n, d]`: the variances are its diagonal.
    ///
    /// One product forward and one backward: the gradient of `C` is symmetric, so
    /// that of the centred `x` is `2 x G / (n - 1)`, whose columns have mean 0.
    pub(super) fn of<E: Elem>(self, x: &Tensor<E>) -> Result<Tensor<E>> {
        let centred = x.detach().sub(&x.detach().mean(0, true)?)?;
        let mut off = self.covariance(&centred)?;
        let d = off.dims()[0];
        let mut variances = vec![0.0; d];
        off.update_in_place(|c| {
            for (own, variance) in c.iter_mut().step_by(d + 1).zip(&mut variances) {
                *variance = std::mem::replace(own, E::ZERO).to_f64();
            }
        });
        let hinge: f64 = variances.iter().map(|v| (1.0 - (v + SMALL).sqrt()).max(0.0)).sum();
        let squares = off.square().sum_all().item()?.to_f64();
        let total = (self.variance * hinge + self.covariance * squares) / d as f64;
        let value = Tensor::scalar(E::from_f64(total)).into_value();
        let x_value = || x.value().clone();
        Ok(Tensor::from_op(value, &[x], || Spread {
            x: x_value(),
            centred,
            off,
            variances,
            side: self,
        }))
    }

    fn covariance<E: Elem>(self, centred: &Tensor<E>) -> tl_tensor::Result<Tensor<E>> {
        let rest = centred.dims()[0] as f64 - 1.0;
        Ok(centred.t()?.matmul(centred)?.mul_scalar(E::from_f64(1.0 / rest)))
    }

    /// The same in plain operations.
    fn composite<E: Elem>(self, x: &Tensor<E>) -> tl_tensor::Result<Tensor<E>> {
        let centred = x.sub(&x.mean(0, true)?)?;
        let c = self.covariance(&centred)?;
        let d = c.dims()[0];
        let eye = Tensor::<E>::eye(d);
        let root = c.mul(&eye)?.sum(0, false)?.add_scalar(E::from_f64(SMALL)).sqrt();
        let hinge = root.neg().add_scalar(E::ONE).relu().sum_all();
        let off = c.masked_fill(&eye, E::ZERO)?.square().sum_all();
        let weigh = |term: Tensor<E>, by: f64| term.mul_scalar(E::from_f64(by / d as f64));
        weigh(hinge, self.variance).add(&weigh(off, self.covariance))
    }
}

struct Spread<E: Elem> {
    x: Value<E>,
    /// Untracked.
    centred: Tensor<E>,
    /// The covariances of different columns, 0 on the diagonal; untracked.
    off: Tensor<E>,
    variances: Vec<f64>,
    side: Side,
}

impl<E: Elem> Op<E> for Spread<E> {
    fn name(&self) -> &'static str {
        "variance and covariance"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> tl_tensor::Result<()> {
        if cx.create_graph() {
            return cx.composite(&[&self.x], &g, |x| self.side.composite(&x[0]));
        }
        let (side, d) = (self.side, self.variances.len());
        cx.give(0, || {
            let rest = self.centred.dims()[0] as f64 - 1.0;
            let by = 2.0 * g.item()?.to_f64() / (rest * d as f64);
            let mut slope = self.off.mul_scalar(E::from_f64(2.0 * side.covariance * by));
            slope.update_in_place(|slope| {
                for (slope, variance) in slope.iter_mut().step_by(d + 1).zip(&self.variances) {
                    let root = (variance + SMALL).sqrt();
                    let hinge = if root < 1.0 { -0.5 * side.variance / root } else { 0.0 };
                    *slope = E::from_f64(hinge * by);
                }
            });
            self.centred.matmul(&slope)
        })
    }
}
