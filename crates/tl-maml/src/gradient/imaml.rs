//! MAML with implicit gradients.

use super::{
    Order, TaskGradient, inner_gradients, mean_gradient,
    task::{Slots, cut, follow_buffers, support_loss},
};
use crate::{Episodes, Error, Predict, Protocol, Result, Task};
use serde::{Deserialize, Serialize};
use tl_data::Batch;
use tl_nn::{
    Ctx, Forward, Gradients, Losses, Module, ModuleExt, Objective, Tensor, TrainReport, Trainer,
};
use tl_tensor::{Elem, GradOptions, grad};

/// Solves `A x = b` for a symmetric positive definite `A` that is known by its
/// products (Hestenes and Stiefel 1952), over lists of tensors, from `x = 0`.
/// Ends after `iterations`, or when the residual is below `tolerance` times
/// `|b|`, or when `A` turns out not to be positive along a direction: then it
/// returns what it has.
///
/// # Errors
/// Those of `product`.
pub fn conjugate_gradient<E: Elem>(
    product: impl Fn(&[Tensor<E>]) -> Result<Vec<Tensor<E>>>,
    b: &[Tensor<E>],
    iterations: usize,
    tolerance: f64,
) -> Result<Vec<Tensor<E>>> {
    let mut x: Vec<Tensor<E>> = b.iter().map(|b| Tensor::zeros(*b.shape())).collect();
    let mut r: Vec<Tensor<E>> = b.iter().map(Tensor::detach).collect();
    let mut direction = r.clone();
    let mut rr = dot(&r, &r)?;
    let enough = rr * tolerance * tolerance;
    for _ in 0..iterations {
        if rr <= enough {
            break;
        }
        let a = product(&direction)?;
        let curvature = dot(&direction, &a)?;
        if curvature <= 0.0 || !curvature.is_finite() {
            break;
        }
        let step = rr / curvature;
        x = combine(&x, step, &direction)?;
        r = combine(&r, -step, &a)?;
        let next = dot(&r, &r)?;
        direction = combine(&r, next / rr, &direction)?;
        rr = next;
    }
    Ok(x)
}

fn dot<E: Elem>(a: &[Tensor<E>], b: &[Tensor<E>]) -> Result<f64> {
    a.iter().zip(b).try_fold(0.0, |sum, (a, b)| Ok(sum + a.mul(b)?.sum_all().item()?.to_f64()))
}

/// `a + s b`.
fn combine<E: Elem>(a: &[Tensor<E>], s: f64, b: &[Tensor<E>]) -> Result<Vec<Tensor<E>>> {
    a.iter().zip(b).map(|(a, b)| Ok(a.add(&b.mul_scalar(E::from_f64(s)))?)).collect()
}

/// The implicit meta-gradient (Rajeswaran et al. 2019, eq. 6): `(I + H/λ)⁻¹ v`
/// with the Hessian `H` of the support loss at the adapted weights, by
/// [`conjugate_gradient`]. `slopes` are the gradients of the support loss with
/// their graph, `query` those of the query loss.
pub(crate) fn implicit_gradient<E: Elem>(
    slopes: &[Tensor<E>],
    weights: &[Tensor<E>],
    query: &[Tensor<E>],
    lambda: f64,
    iterations: usize,
) -> Result<Vec<Tensor<E>>> {
    let inputs: Vec<&Tensor<E>> = weights.iter().collect();
    let product = |direction: &[Tensor<E>]| {
        let mut along = Tensor::scalar(E::ZERO);
        for (slope, d) in slopes.iter().zip(direction) {
            along = along.add(&slope.mul(&d.detach())?.sum_all())?;
        }
        if !along.is_tracked() {
            // A support loss that is linear in the weights.
            return Ok(direction.to_vec());
        }
        let hv = grad(&along, &inputs, GradOptions::new().allow_unused(true))?;
        combine(direction, 1.0 / lambda, &hv)
    };
    conjugate_gradient(product, query, iterations, 1e-10)
}

/// iMAML (Rajeswaran et al. 2019): the inner loop minimises
/// `L_S(φ) + λ/2 |φ - θ|²`; the outer gradient follows from where it ends, not
/// from the way there, so memory does not grow with the steps. All trainable
/// weights are adapted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IMaml {
    /// Inner steps.
    pub steps: usize,
    /// Inner rate.
    pub rate: f32,
    /// How strongly the weights are held at the initialisation. Default 2, the
    /// paper's for Omniglot.
    pub lambda: f32,
    /// Iterations of the conjugate gradient. Default 5.
    pub iterations: usize,
}

impl IMaml {
    /// With `λ = 2` and 5 iterations.
    pub fn new(steps: usize, rate: f32) -> Self {
        Self { steps, rate, lambda: 2.0, iterations: 5 }
    }

    fn check(&self) -> Result<()> {
        if !(self.lambda.is_finite() && self.lambda > 0.0) {
            return Err(Error::argument("imaml", "lambda", self.lambda, "a number above 0"));
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(Error::argument("imaml", "rate", self.rate, "a rate above 0"));
        }
        if self.steps == 0 || self.iterations == 0 {
            let got = (self.steps, self.iterations);
            let expected = "at least 1 of each";
            return Err(Error::argument("imaml", "(steps, iterations)", got, expected));
        }
        Ok(())
    }

    /// The weights after the inner loop, and a model with them.
    fn descend<M, F>(&self, model: &M, support: &Batch, loss: &F, seed: u64) -> Result<Inner<M>>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        let slots = Slots::new(model, |_| true);
        let start: Vec<Tensor> = slots.initial(model).iter().map(Tensor::detach).collect();
        let mut weights: Vec<Tensor> = start.iter().map(Tensor::requires_grad).collect();
        let mut fast = slots.model(model, &weights)?;
        for step in 0..self.steps {
            let seed = seed.wrapping_add(step as u64);
            let (value, _) = support_loss(&fast, support, loss, seed)?;
            let gradients = inner_gradients(&value, &weights, Order::First)?;
            let mut next = Vec::with_capacity(weights.len());
            for ((w, g), from) in weights.iter().zip(&gradients).zip(&start) {
                let pull = w.sub(from)?.mul_scalar(self.lambda);
                let moved = w.sub(&g.add(&pull)?.mul_scalar(self.rate))?;
                next.push(moved.detach().requires_grad());
            }
            weights = next;
            fast = slots.model(model, &weights)?;
        }
        Ok(Inner { model: fast, weights })
    }

    /// A new model adapted to a support set.
    ///
    /// # Errors
    /// Those of the loss; a setting out of its range.
    pub fn adapted<M, F>(&self, model: &M, support: &Batch, loss: F) -> Result<M>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        self.check()?;
        cut(self.descend(model, support, &loss, 0)?.model)
    }

    /// Meta-trains `model`; see [`Maml::fit`](crate::Maml::fit).
    ///
    /// # Errors
    /// Those of the trainer, the tasks and the loss; a setting out of its range.
    pub fn fit<M, F>(
        &self,
        trainer: Trainer<'_>,
        model: &mut M,
        episodes: Episodes<'_>,
        loss: F,
    ) -> Result<TrainReport>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
    {
        self.check()?;
        let mut objective = Implicit { imaml: self, loss };
        Ok(trainer.run(model, |epoch| episodes.epoch(epoch), &mut objective)?)
    }

    /// What [`evaluate`](crate::evaluate) tests: before and after the inner loop.
    pub fn predictor<'a, M, F>(&'a self, model: &'a M, loss: F) -> IMamlPredictor<'a, M, F> {
        IMamlPredictor { imaml: self, model, loss }
    }
}

struct Inner<M> {
    model: M,
    weights: Vec<Tensor>,
}

struct Implicit<'a, F> {
    imaml: &'a IMaml,
    loss: F,
}

impl<M, F> Objective<M, Vec<Task>> for Implicit<'_, F>
where
    M: Module,
    F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
{
    fn loss(&mut self, model: &M, tasks: &Vec<Task>, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let mut sum = Tensor::scalar(0.0);
        for task in tasks {
            let inner = self.imaml.descend(model, &task.support, &self.loss, 0)?;
            sum = sum.add(&(self.loss)(&inner.model, &task.query, cx)?)?;
        }
        Ok(sum.mul_scalar(1.0 / tasks.len().max(1) as f32).into())
    }

    fn gradients(
        &mut self,
        model: &M,
        tasks: &Vec<Task>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let IMaml { lambda, iterations, .. } = *self.imaml;
        let part = 1.0 / tasks.len() as f32;
        Ok(mean_gradient(model, tasks, cx, |task, seed| {
            let Inner { model: mut fast, weights } =
                self.imaml.descend(model, &task.support, &self.loss, seed)?;
            let (value, _) = support_loss(&fast, &task.support, &self.loss, seed.wrapping_sub(1))?;
            let slopes = inner_gradients(&value, &weights, Order::Second)?;
            let mut cx = Ctx::train(seed.wrapping_sub(2));
            let query = (self.loss)(&fast, &task.query, &mut cx)?;
            let at_query = inner_gradients(&query, &weights, Order::First)?;
            let solved =
                implicit_gradient(&slopes, &weights, &at_query, f64::from(lambda), iterations)?;
            let gradients = Slots::new(model, |_| true).spread(&solved);
            fast.apply(cx.take_updates())?;
            let updates = follow_buffers(model, &fast, part)?;
            Ok(TaskGradient { loss: query.item()?, gradients, updates })
        })?)
    }
}

/// See [`IMaml::predictor`].
#[derive(Clone, Debug)]
pub struct IMamlPredictor<'a, M, F> {
    imaml: &'a IMaml,
    model: &'a M,
    loss: F,
}

impl<M, F> Predict for IMamlPredictor<'_, M, F>
where
    M: Forward,
    F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
{
    fn predict(&self, task: &Task, protocol: Protocol) -> Result<Vec<(usize, Tensor)>> {
        let before = self.model.forward(&task.query.features, &mut protocol.context())?;
        let fast = self.imaml.adapted(self.model, &task.support, &self.loss)?;
        let after = fast.forward(&task.query.features, &mut protocol.context())?;
        Ok(vec![(0, before.detach()), (self.imaml.steps, after.detach())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::descend;

    fn random(seed: u64, dims: &[usize]) -> Tensor<f64> {
        use rand::SeedableRng;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        Tensor::randn(tl_nn::Shape::new(dims).unwrap(), &mut rng)
    }

    #[test]
    fn conjugate_gradients_solve_a_system() {
        let root = random(1, &[5, 5]);
        let a = root.matmul(&root.t().unwrap()).unwrap().add(&Tensor::eye(5)).unwrap();
        let b = random(2, &[5, 1]);
        let x = conjugate_gradient(|d| Ok(vec![a.matmul(&d[0])?]), &[b.clone()], 8, 1e-14).unwrap();
        for (got, want) in a.matmul(&x[0]).unwrap().to_vec().iter().zip(b.to_vec()) {
            approx::assert_abs_diff_eq!(*got, want, epsilon = 1e-9);
        }
        // Not positive: it gives up instead of going astray.
        let x = conjugate_gradient(|d| Ok(vec![d[0].neg()]), &[b], 8, 1e-14).unwrap();
        assert!(x[0].to_vec().iter().all(|x| *x == 0.0));
    }

    /// Logistic loss of weights `[3, 1]` on four samples: not quadratic.
    fn loss(x: &Tensor<f64>, y: &Tensor<f64>, w: &Tensor<f64>) -> Tensor<f64> {
        x.matmul(w).unwrap().mul(y).unwrap().neg().softplus().mean_all()
    }

    #[test]
    fn the_implicit_gradient_is_that_of_the_converged_inner_loop() {
        let lambda = 0.7;
        let (xs, xq) = (random(3, &[4, 3]), random(4, &[5, 3]));
        let ys = Tensor::from_slice(&[1.0, -1.0, 1.0, 1.0], [4, 1]).unwrap();
        let yq = Tensor::from_slice(&[1.0, 1.0, -1.0, 1.0, -1.0], [5, 1]).unwrap();
        let solve = |theta: &Tensor<f64>| {
            let mut w = vec![theta.detach()];
            for _ in 0..4000 {
                w[0] = w[0].detach().requires_grad();
                let pull = w[0].sub(theta).unwrap().square().sum_all().mul_scalar(lambda / 2.0);
                let total = loss(&xs, &ys, &w[0]).add(&pull).unwrap();
                let g = inner_gradients(&total, &w, Order::First).unwrap();
                w = descend(&w, &g, &[Tensor::scalar(0.5)]).unwrap();
            }
            w[0].detach().requires_grad()
        };
        let theta = random(5, &[3, 1]);
        let w = vec![solve(&theta)];
        let slopes = inner_gradients(&loss(&xs, &ys, &w[0]), &w, Order::Second).unwrap();
        let at_query = inner_gradients(&loss(&xq, &yq, &w[0]), &w, Order::First).unwrap();
        let got = implicit_gradient(&slopes, &w, &at_query, lambda, 20).unwrap()[0].to_vec();
        for (i, got) in got.iter().enumerate() {
            let nudge = |by: f64| {
                let mut moved = theta.to_vec();
                moved[i] += by;
                let w = solve(&Tensor::from_vec(moved, [3, 1]).unwrap());
                loss(&xq, &yq, &w).item().unwrap()
            };
            let want = (nudge(1e-5) - nudge(-1e-5)) / 2e-5;
            approx::assert_relative_eq!(*got, want, max_relative = 1e-5, epsilon = 1e-9);
        }
    }
}
