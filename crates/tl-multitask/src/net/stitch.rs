//! Networks side by side that exchange features.

use tl_nn::{Ctx, Forward, Module, Param, Result, Tensor, module};

/// Cross-stitch networks (Misra et al. 2016, eq. 1): a network for each task; at
/// every stage task `k` goes on with `Σ_j A_kj h_j`, with learned `A`.
#[derive(Clone, Debug)]
pub struct CrossStitch<S> {
    /// `[stages][tasks]`; the outputs of all tasks at a stage have one shape,
    /// but for the last stage, after which nothing is mixed.
    pub stages: Vec<Vec<S>>,
    /// `A` after each stage but the last, `[tasks, tasks]`.
    pub stitches: Vec<Param>,
}
module!(impl<S: Module> CrossStitch<S> { stages, stitches });

impl<S: Forward> CrossStitch<S> {
    /// With 0.9 of the own features and the rest in equal parts of the others',
    /// about what the paper begins with.
    pub fn new(stages: Vec<Vec<S>>) -> Self {
        let tasks = stages.first().map_or(0, Vec::len);
        let other = if tasks > 1 { 0.1 / (tasks - 1) as f32 } else { 0.0 };
        let own = Tensor::eye(tasks).mul_scalar(0.9 - other);
        let stitches = (1..stages.len()).map(|_| Param::new(own.add_scalar(other))).collect();
        Self { stages, stitches }
    }

    /// The output of every task.
    ///
    /// # Errors
    /// Stages of different numbers of tasks; those of the parts.
    pub fn forward_all(&self, x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
        let tasks = self.stages.first().map_or(0, Vec::len);
        let mut of_tasks = vec![x.clone(); tasks];
        for (i, stage) in self.stages.iter().enumerate() {
            if stage.len() != tasks {
                let expected = format!("{tasks} networks, as in the first");
                return Err(tl_nn::Error::argument("cross-stitch", "stage", stage.len(), expected));
            }
            let mut out = Vec::with_capacity(tasks);
            for (network, x) in stage.iter().zip(&of_tasks) {
                out.push(network.forward(x, cx)?);
            }
            if let Some(stitch) = self.stitches.get(i) {
                let all = Tensor::stack(&out.iter().collect::<Vec<_>>(), 0)?;
                let flat = all.reshape([tasks, all.numel() / tasks.max(1)])?;
                let mixed = stitch.tensor().matmul(&flat)?.reshape(*all.shape())?;
                out = (0..tasks).map(|k| mixed.select(0, k)).collect::<Result<_, _>>()?;
            }
            of_tasks = out;
        }
        Ok(of_tasks)
    }

    /// The output of one task, for a batch of its own; every network runs, as
    /// they are stitched together.
    ///
    /// # Errors
    /// No such task; as [`forward_all`](Self::forward_all).
    pub fn forward_task(&self, task: usize, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        super::check_task("cross-stitch", task, self.stages.first().map_or(0, Vec::len))?;
        Ok(self.forward_all(x, cx)?.swap_remove(task))
    }
}
