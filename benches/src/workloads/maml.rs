//! Second-order MAML on sinusoids (Finn et al. 2017, section 5.1).

use super::{Run, Workload};
use crate::{Outcome, fill::numbers};
use rayon::prelude::*;
use tl_nn::{
    Adam, GradOptions, Gradients, Optimizer, Param, Reduction, Result, Tensor, grad, loss, module,
};

const POINTS: usize = 10;

/// 1-40-40-1.
#[derive(Clone)]
struct Mlp {
    weights: Vec<Param>,
}
module!(Mlp { weights });

/// The network with other weights for each task: weights `[tasks, out, in]`
/// and biases `[tasks, 1, out]`, points `[tasks, n, in]`.
fn forward(weights: &[Tensor], x: &Tensor) -> Result<Tensor> {
    let mut h = x.clone();
    for (i, pair) in weights.chunks(2).enumerate() {
        h = h.matmul(&pair[0].transpose(-2, -1)?)?.add(&pair[1])?;
        if i < 2 {
            h = h.relu();
        }
    }
    Ok(h)
}

/// Groups that tasks are put into; they run side by side.
const GROUPS: usize = 2;

/// Some of the tasks: points of support and query, `[tasks, n, 1]`.
struct Group {
    tasks: usize,
    support: [Tensor; 2],
    query: [Tensor; 2],
}

impl Group {
    /// The sum of the query losses after some inner steps, and its gradients.
    fn learn(&self, model: &Mlp, inner_steps: usize) -> Result<(Tensor, Gradients)> {
        let [[xs, ys], [xq, yq]] = [&self.support, &self.query];
        let mut fast: Vec<Tensor> = Vec::new();
        for p in &model.weights {
            let (rows, columns) = (p.dims()[0], p.dims()[1]);
            fast.push(p.tensor().broadcast_to([self.tasks, rows, columns])?);
        }
        for _ in 0..inner_steps {
            // The tasks are independent: the gradient of the sum of their
            // means is, task by task, that of each one's own mean.
            let all = loss::mse(&forward(&fast, xs)?, ys, Reduction::Sum)?;
            let support = all.mul_scalar(1.0 / POINTS as f32);
            let inputs: Vec<&Tensor> = fast.iter().collect();
            let slopes = grad(&support, &inputs, GradOptions::new().create_graph(true))?;
            fast = fast
                .iter()
                .zip(slopes)
                .map(|(p, g)| Ok(p.sub(&g.mul_scalar(0.01))?))
                .collect::<Result<_>>()?;
        }
        let query = loss::mse(&forward(&fast, xq)?, yq, Reduction::Sum)?;
        Ok((query.detach(), query.backward()?))
    }
}

/// A meta-step on so many sinusoids, those of a group at once.
pub(crate) fn sinusoid(tasks: usize, inner_steps: usize) -> Outcome<Run> {
    let mut weights = Vec::new();
    for (seed, (out, into)) in [(40, 1), (40, 40), (1, 40)].into_iter().enumerate() {
        let scale = 1.0 / (into as f32).sqrt();
        weights.push(Param::new(numbers(10 + seed as u64, [out, into]).mul_scalar(scale)));
        weights.push(Param::new(Tensor::zeros([1, out])));
    }
    let mut model = Mlp { weights };
    let points = |seed: u64| numbers(seed, [tasks, POINTS, 1]).mul_scalar(2.5);
    let (xs, xq) = (points(1), points(2));
    let amplitude = numbers(3, [tasks, 1, 1]).affine(1.4, 2.5);
    let phase = numbers(4, [tasks, 1, 1]).affine(0.9, 1.6);
    let wave = |x: &Tensor| -> Result<Tensor> { Ok(x.sub(&phase)?.sin().mul(&amplitude)?) };
    let (ys, yq) = (wave(&xs)?, wave(&xq)?);
    let each = tasks.div_ceil(GROUPS);
    let mut groups = Vec::new();
    for from in (0..tasks).step_by(each) {
        let tasks = each.min(tasks - from);
        let part = |x: &Tensor| -> Result<Tensor> { Ok(x.narrow(0, from, tasks)?.contiguous()) };
        let (support, query) = ([part(&xs)?, part(&ys)?], [part(&xq)?, part(&yq)?]);
        groups.push(Group { tasks, support, query });
    }
    let mut optimizer = Optimizer::new(Adam::new(1e-3));
    Ok(Box::new(move || {
        let learn = |group: &Group| group.learn(&model, inner_steps);
        let parts = groups.par_iter().map(learn).collect::<Result<Vec<_>>>()?;
        let mean = |sum: &Tensor| sum.mul_scalar(1.0 / (tasks * POINTS) as f32);
        let mut query = Tensor::zeros(());
        let mut gradients = Gradients::default();
        for (loss, _) in &parts {
            query = query.add(loss)?;
        }
        for p in &model.weights {
            let of = parts.iter().filter_map(|(_, gradients)| gradients.get(p.tensor()));
            let mut sum = Tensor::zeros(*p.tensor().shape());
            for gradient in of {
                sum = sum.add(gradient)?;
            }
            gradients.insert(p.tensor(), mean(&sum));
        }
        optimizer.step(&mut model, &gradients)?;
        Ok(mean(&query))
    }))
}

/// One inner step.
pub(super) const MAML_SINUSOID_1: Workload = Workload {
    name: "maml_sinusoid_1",
    about: "1-40-40-1, 25 tasks of 10 + 10 points, 1 inner step, second order, one step of Adam",
    peers: &["torch", "torch_vmap"],
    setup: || sinusoid(25, 1),
    ..Workload::DEFAULT
};

/// Five inner steps.
pub(super) const MAML_SINUSOID_5: Workload = Workload {
    name: "maml_sinusoid_5",
    about: "the same with 5 inner steps",
    peers: &["torch", "torch_vmap"],
    setup: || sinusoid(25, 5),
    ..Workload::DEFAULT
};
