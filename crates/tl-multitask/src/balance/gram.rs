//! The matrix of inner products of task gradients.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The Gram matrix `G = J Jᵀ` of the gradients of `T` tasks: all that the
/// balancers of gradients need to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gram {
    tasks: usize,
    /// Row by row.
    values: Vec<f64>,
}

impl Gram {
    /// From the inner product of each pair of tasks; only `i <= j` is asked for.
    pub fn of(tasks: usize, mut inner: impl FnMut(usize, usize) -> f64) -> Self {
        let mut values = vec![0.0; tasks * tasks];
        for i in 0..tasks {
            for j in i..tasks {
                let value = inner(i, j);
                values[i * tasks + j] = value;
                values[j * tasks + i] = value;
            }
        }
        Self { tasks, values }
    }

    /// From gradients as rows.
    ///
    /// # Errors
    /// Rows of different lengths; none.
    pub fn from_rows(rows: &[Vec<f64>]) -> Result<Self> {
        let width = rows.first().map_or(0, Vec::len);
        if width == 0 || rows.iter().any(|r| r.len() != width) {
            let got = format!("{:?}", rows.iter().map(Vec::len).collect::<Vec<_>>());
            return Err(Error::argument("gram", "rows", got, "one or more rows of one length"));
        }
        Ok(Self::of(rows.len(), |i, j| rows[i].iter().zip(&rows[j]).map(|(a, b)| a * b).sum()))
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// The inner product of two tasks' gradients.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.tasks + j]
    }

    /// The inner products of one task's gradient with all.
    pub(super) fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.tasks..][..self.tasks]
    }

    /// The sum of two, as of the gradients of two parts of a model.
    ///
    /// # Errors
    /// Different numbers of tasks.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        if self.tasks != other.tasks {
            let expected = format!("{} tasks", self.tasks);
            return Err(Error::argument("gram", "other", other.tasks, expected));
        }
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a + b).collect();
        Ok(Self { tasks: self.tasks, values })
    }

    /// The length of a task's gradient.
    pub fn norm(&self, i: usize) -> f64 {
        self.get(i, i).max(0.0).sqrt()
    }

    /// The cosine of the angle between two tasks' gradients; 0 if one is 0.
    pub fn cosine(&self, i: usize, j: usize) -> f64 {
        let norms = self.norm(i) * self.norm(j);
        if norms > 0.0 { (self.get(i, j) / norms).clamp(-1.0, 1.0) } else { 0.0 }
    }

    /// How alike two gradients are in length, `2 |a| |b| / (|a|² + |b|²)` (Yu et
    /// al. 2020, definition 2): 1 for equal ones.
    pub fn magnitude_similarity(&self, i: usize, j: usize) -> f64 {
        let sum = self.get(i, i) + self.get(j, j);
        if sum > 0.0 { 2.0 * self.norm(i) * self.norm(j) / sum } else { 1.0 }
    }

    /// `G v`.
    pub fn times(&self, v: &[f64]) -> Vec<f64> {
        self.values
            .chunks(self.tasks.max(1))
            .map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum())
            .collect()
    }

    /// `vᵀ G w`.
    pub fn form(&self, v: &[f64], w: &[f64]) -> f64 {
        self.times(w).iter().zip(v).map(|(a, b)| a * b).sum()
    }

    pub(super) fn trace(&self) -> f64 {
        (0..self.tasks).map(|i| self.get(i, i)).sum()
    }

    pub(super) fn map(&self, f: impl Fn(usize, usize, f64) -> f64) -> Self {
        Self::of(self.tasks, |i, j| f(i, j, self.get(i, j)))
    }

    pub(super) fn tensor(&self) -> Result<tl_nn::Tensor<f64>> {
        let t = self.tasks;
        Ok(tl_nn::Tensor::from_slice(&self.values, [t, t]).map_err(tl_nn::Error::from)?)
    }
}
