//! Limited-memory BFGS.

use crate::{Module, ModuleExt, Result};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tl_tensor::{Gradients, Tensor};

/// L-BFGS with a line search that meets the strong Wolfe conditions (Nocedal
/// and Wright 2006, algorithms 7.4, 7.5, 3.5 and 3.6), for smooth problems
/// that fit in one batch, such as a linear probe.
///
/// Defaults: 100 iterations, 10 pairs, gradient tolerance 1e-5 (largest
/// number), relative change of the loss 1e-9.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lbfgs {
    /// The most iterations.
    pub iterations: usize,
    /// Pairs of steps and gradient changes that are remembered.
    pub memory: usize,
    /// Stops when no number of the gradient is larger.
    pub gradient_tolerance: f64,
    /// Stops when the loss changes by less, relative to its size.
    pub loss_tolerance: f64,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Self { iterations: 100, memory: 10, gradient_tolerance: 1e-5, loss_tolerance: 1e-9 }
    }
}

/// How a minimisation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minimized {
    /// The last loss.
    pub loss: f64,
    /// Iterations taken.
    pub iterations: usize,
    /// Whether a tolerance was met, rather than the limit of iterations.
    pub converged: bool,
}

struct Point {
    x: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn read<M: Module>(model: &M) -> Vec<f64> {
    model.trainable().iter().flat_map(|t| t.to_vec()).map(f64::from).collect()
}

fn write<M: Module>(model: &mut M, x: &[f64]) -> Result<()> {
    let mut rest = x;
    model.for_each_param(|_, param| {
        if !param.is_frozen() {
            let (own, after) = rest.split_at(param.numel());
            rest = after;
            let data: Vec<f32> = own.iter().map(|&x| x as f32).collect();
            param.set_data(&Tensor::from_vec(data, *param.tensor().shape())?)?;
        }
        Ok(())
    })
}

impl Lbfgs {
    /// Minimises `loss(model)`, the loss and its gradients, over the trainable
    /// parameters. The model ends at the best point found.
    ///
    /// # Errors
    /// Those of `loss`; a trainable parameter has no gradient.
    pub fn minimize<M: Module>(
        &self,
        model: &mut M,
        mut loss: impl FnMut(&M) -> Result<(f64, Gradients)>,
    ) -> Result<Minimized> {
        let mut evaluate = |model: &mut M, x: Vec<f64>| -> Result<Point> {
            write(model, &x)?;
            let (value, gradients) = loss(model)?;
            let mut gradient = Vec::with_capacity(x.len());
            for (path, param) in model.params() {
                if !param.is_frozen() {
                    let g =
                        gradients.get(param.tensor()).ok_or(crate::Error::NoGradient { path })?;
                    gradient.extend(g.to_vec().into_iter().map(f64::from));
                }
            }
            Ok(Point { x, loss: value, gradient })
        };
        let start = read(model);
        let mut here = evaluate(model, start)?;
        let mut pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
        for iteration in 0..self.iterations {
            if here.gradient.iter().all(|g| g.abs() <= self.gradient_tolerance) {
                return Ok(Minimized { loss: here.loss, iterations: iteration, converged: true });
            }
            let direction = direction(&here.gradient, &pairs);
            let first = if pairs.is_empty() {
                1.0_f64.min(1.0 / here.gradient.iter().map(|g| g.abs()).sum::<f64>())
            } else {
                1.0
            };
            let step = wolfe(&here, &direction, first, |x| evaluate(model, x))?;
            let Some(next) = step else {
                write(model, &here.x)?;
                return Ok(Minimized { loss: here.loss, iterations: iteration, converged: true });
            };
            let s: Vec<f64> = next.x.iter().zip(&here.x).map(|(a, b)| a - b).collect();
            let y: Vec<f64> =
                next.gradient.iter().zip(&here.gradient).map(|(a, b)| a - b).collect();
            let curvature = dot(&s, &y);
            if curvature > 1e-10 * dot(&y, &y).max(f64::MIN_POSITIVE) {
                if pairs.len() == self.memory {
                    pairs.pop_front();
                }
                pairs.push_back((s, y, 1.0 / curvature));
            }
            let change = (here.loss - next.loss).abs();
            let flat = change <= self.loss_tolerance * here.loss.abs().max(1e-12);
            here = next;
            if flat {
                write(model, &here.x)?;
                return Ok(Minimized {
                    loss: here.loss,
                    iterations: iteration + 1,
                    converged: true,
                });
            }
        }
        write(model, &here.x)?;
        Ok(Minimized { loss: here.loss, iterations: self.iterations, converged: false })
    }
}

/// `-H g` by the two loops of algorithm 7.4.
fn direction(gradient: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(pairs.len());
    for (s, y, rho) in pairs.iter().rev() {
        let alpha = rho * dot(s, &q);
        q.iter_mut().zip(y).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    if let Some((s, y, _)) = pairs.back() {
        let scale = dot(s, y) / dot(y, y);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((s, y, rho), alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = rho * dot(y, &q);
        q.iter_mut().zip(s).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q
}

/// A point along the direction that meets the strong Wolfe conditions, or at
/// least lowers the loss; none if the direction does not go down.
fn wolfe(
    from: &Point,
    direction: &[f64],
    first: f64,
    mut evaluate: impl FnMut(Vec<f64>) -> Result<Point>,
) -> Result<Option<Point>> {
    const DECREASE: f64 = 1e-4;
    const CURVATURE: f64 = 0.9;
    let slope = dot(&from.gradient, direction);
    if slope >= 0.0 {
        return Ok(None);
    }
    let mut at = |t: f64| -> Result<(Point, f64)> {
        let x = from.x.iter().zip(direction).map(|(x, d)| x + t * d).collect();
        let point = evaluate(x)?;
        let slope = dot(&point.gradient, direction);
        Ok((point, slope))
    };
    let mut best: Option<Point> = None;
    let (mut low, mut low_loss, mut high) = (0.0, from.loss, f64::INFINITY);
    let mut t = first;
    for _ in 0..25 {
        let (point, now) = at(t)?;
        let fine = point.loss <= from.loss + DECREASE * t * slope;
        if !fine || !point.loss.is_finite() || point.loss >= low_loss && low > 0.0 {
            high = t;
        } else {
            let done = now.abs() <= -CURVATURE * slope;
            if now < 0.0 {
                (low, low_loss) = (t, point.loss);
            } else {
                high = t;
            }
            if best.as_ref().is_none_or(|b| point.loss < b.loss) {
                best = Some(point);
            }
            if done {
                break;
            }
        }
        t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * t };
        if high - low < 1e-12 * high.max(1.0) {
            break;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Param;

    #[test]
    fn finds_the_minimum_of_rosenbrock() {
        let mut model = Param::new(Tensor::from_slice(&[-1.2, 1.0], 2).unwrap());
        let lbfgs = Lbfgs { gradient_tolerance: 1e-4, ..Lbfgs::default() };
        let end = lbfgs
            .minimize(&mut model, |m| {
                let x = m.tensor().select(0, 0)?;
                let y = m.tensor().select(0, 1)?;
                let a = x.affine(-1.0, 1.0).square();
                let b = y.sub(&x.square())?.square().mul_scalar(100.0);
                let loss = a.add(&b)?;
                Ok((f64::from(loss.item()?), loss.backward()?))
            })
            .unwrap();
        assert!(end.converged && end.iterations < 60, "{end:?}");
        for x in model.tensor().to_vec() {
            approx::assert_abs_diff_eq!(x, 1.0, epsilon = 1e-2);
        }
    }
}
