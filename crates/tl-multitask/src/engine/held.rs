//! The gradients of all tasks on one shared parameter.

use super::cost::LinearSize;
use crate::{Gram, Result};
use tl_nn::Tensor;
use tl_tensor::FactoredGradient;

/// The gradients of `T` tasks on one parameter, one row a task.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// `gᵀ x` with one `x` `[rows, inputs]` for all tasks and `g` `[T, rows,
    /// outputs]`.
    Products { x: Tensor, g: Tensor },
    /// `[T, numel]`, and the shape of the parameter.
    Whole { all: Tensor, dims: Vec<usize> },
}

impl Held {
    /// `None` is a task that does not reach the parameter: 0.
    pub(super) fn new(
        of_tasks: Vec<Option<FactoredGradient>>,
        parameter: &Tensor,
        whole: bool,
    ) -> Result<Self> {
        if !whole && let Some(products) = products(&of_tasks)? {
            return Ok(products);
        }
        let n = parameter.numel();
        let mut rows = Vec::with_capacity(of_tasks.len());
        for gradient in of_tasks {
            rows.push(match gradient {
                Some(gradient) => gradient.dense()?.reshape(n)?,
                None => Tensor::zeros(n),
            });
        }
        let all = Tensor::stack(&rows.iter().collect::<Vec<_>>(), 0)?;
        Ok(Self::Whole { all, dims: parameter.dims().to_vec() })
    }

    /// The inner products of all pairs of gradients.
    pub(super) fn gram(&self) -> Result<Gram> {
        let products = match self {
            Self::Products { x, g } => {
                // ⟨gᵢᵀx, gⱼᵀx⟩ = ⟨x xᵀ gᵢ, gⱼ⟩
                let (tasks, flat) = (g.dims()[0], g.numel() / g.dims()[0].max(1));
                let left = x.matmul(&x.t()?)?.matmul(g)?.reshape([tasks, flat])?;
                left.matmul(&g.reshape([tasks, flat])?.t()?)?
            }
            Self::Whole { all, .. } => all.matmul(&all.t()?)?,
        };
        let (t, values) = (products.dims()[0], products.to_vec());
        Ok(Gram::of(t, |i, j| f64::midpoint(values[i * t + j].into(), values[j * t + i].into())))
    }

    /// The sum of the gradients with these weights.
    pub(super) fn combine(&self, weights: &[f64]) -> Result<Tensor> {
        let row: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        let row = Tensor::from_slice(&row, [1, row.len()])?;
        Ok(match self {
            Self::Products { x, g } => {
                let [tasks, rows, outputs] = [g.dims()[0], g.dims()[1], g.dims()[2]];
                let sum = row.matmul(&g.reshape([tasks, rows * outputs])?)?;
                sum.reshape([rows, outputs])?.t()?.matmul(x)?
            }
            Self::Whole { all, dims } => row.matmul(all)?.reshape(tl_nn::Shape::new(dims)?)?,
        })
    }

    pub(super) fn is_factored(&self) -> bool {
        matches!(self, Self::Products { .. })
    }
}

/// Products, if every task used the weight on the same inputs and they are
/// cheaper than whole gradients.
fn products(of_tasks: &[Option<FactoredGradient>]) -> Result<Option<Held>> {
    let mut there = of_tasks.iter().flatten();
    let Some(first) = there.next() else { return Ok(None) };
    let pure = |f: &FactoredGradient| f.whole.is_none() && !f.products.is_empty();
    if !pure(first) || !there.all(|f| pure(f) && same_inputs(f, first)) {
        return Ok(None);
    }
    let rows = first.products.iter().map(|(_, x)| x.dims()[0]).sum();
    let (inputs, outputs) = (first.products[0].1.dims()[1], first.products[0].0.dims()[1]);
    if !(LinearSize { rows, inputs, outputs }).is_factored(of_tasks.len()) {
        return Ok(None);
    }
    let joined = |parts: Vec<&Tensor>| match parts[..] {
        [one] => Ok(one.clone()),
        _ => Tensor::cat(&parts, 0),
    };
    let x = joined(first.products.iter().map(|(_, x)| x).collect())?;
    let mut all = Vec::with_capacity(of_tasks.len());
    for gradient in of_tasks {
        all.push(match gradient {
            Some(f) => joined(f.products.iter().map(|(g, _)| g).collect())?,
            None => Tensor::zeros([rows, outputs]),
        });
    }
    let g = Tensor::stack(&all.iter().collect::<Vec<_>>(), 0)?;
    Ok(Some(Held::Products { x, g }))
}

/// Whether two gradients came from uses on the same numbers, not on equal ones.
fn same_inputs(a: &FactoredGradient, b: &FactoredGradient) -> bool {
    let place =
        |x: &Tensor| x.value().as_slice().map(|numbers| (numbers.as_ptr() as usize, numbers.len()));
    let pairs = a.products.iter().zip(&b.products);
    a.products.len() == b.products.len()
        && pairs.into_iter().all(|((_, x), (_, y))| {
            x.dims() == y.dims() && place(x).is_some() && place(x) == place(y)
        })
}
