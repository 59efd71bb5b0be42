//! A trunk that is finished, and a little of each task's own beside it.

use rand::RngCore;
use tl_nn::{Ctx, Forward, Linear, Module, ModuleExt, Param, Result, Tensor, module};

/// Low-rank adapters for each task on a frozen trunk: task `k` goes through stage
/// `s` as `stage(x) + scale · B_ks A_ks x` with `A` `[rank, in]` and `B`
/// `[out, rank]`, which begins at 0, so that all tasks begin with the trunk as
/// it is. Where a stage is one linear layer this is LoRA (Hu et al. 2022) for
/// each task; around anything else it is a parallel adapter (He et al. 2022).
///
/// No trainable parameter is shared: tasks cannot harm each other, and balancers
/// of gradients have nothing to do (they are refused).
#[derive(Clone, Debug)]
pub struct TaskAdapters<S, H> {
    /// The trunk, frozen.
    pub stages: Vec<S>,
    /// `[tasks][stages]`; none beside a stage without weights.
    pub adapters: Vec<Vec<Option<LowRank>>>,
    /// One for each task.
    pub towers: Vec<H>,
}
module!(impl<S: Module, H: Module> TaskAdapters<S, H> { stages, adapters, towers });

/// `scale · B A x`.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `A`, `[rank, in]`.
    pub down: Linear,
    /// `B`, `[out, rank]`.
    pub up: Linear,
    /// What the product is multiplied by. Default 1.
    pub scale: f32,
}
module!(LowRank { down, up; skip scale });

impl LowRank {
    /// From inputs to outputs through `rank` numbers, with no effect yet.
    pub fn new(inputs: usize, outputs: usize, rank: usize, rng: &mut dyn RngCore) -> Self {
        let mut up = Linear::without_bias(rank, outputs, rng);
        up.weight = Param::new(Tensor::zeros([outputs, rank]));
        Self { down: Linear::without_bias(inputs, rank, rng), up, scale: 1.0 }
    }
}

impl Forward for LowRank {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let low = self.down.forward(x, cx)?;
        Ok(self.up.forward(&low, cx)?.mul_scalar(self.scale))
    }
}

impl<S: Forward, H: Forward> TaskAdapters<S, H> {
    /// Freezes the trunk and puts an adapter of this rank beside every stage
    /// whose inputs and outputs `sizes` tells.
    ///
    /// # Errors
    /// Not an entry of `sizes` for each stage; a rank of 0.
    pub fn new(
        mut stages: Vec<S>,
        sizes: &[Option<(usize, usize)>],
        rank: usize,
        towers: Vec<H>,
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        if sizes.len() != stages.len() || rank == 0 {
            let got = format!("{} sizes and rank {rank}", sizes.len());
            let expected =
                format!("{} sizes, one for each stage, and a rank above 0", stages.len());
            return Err(tl_nn::Error::argument("task adapters", "sizes", got, expected));
        }
        for stage in &mut stages {
            if !stage.state_dict().is_empty() {
                stage.freeze("**")?;
            }
        }
        let mut adapters = Vec::with_capacity(towers.len());
        for _ in &towers {
            let mut own = Vec::with_capacity(sizes.len());
            for size in sizes {
                own.push(size.map(|(from, to)| LowRank::new(from, to, rank, rng)));
            }
            adapters.push(own);
        }
        Ok(Self { stages, adapters, towers })
    }

    /// The output of every task: a pass through the trunk for each.
    ///
    /// # Errors
    /// Those of the parts.
    pub fn forward_all(&self, x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
        (0..self.towers.len()).map(|task| self.forward_task(task, x, cx)).collect()
    }

    /// The output of one task, for a batch of its own.
    ///
    /// # Errors
    /// No such task; those of the parts.
    pub fn forward_task(&self, task: usize, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        super::check_task("task adapters", task, self.towers.len().min(self.adapters.len()))?;
        let mut h = x.clone();
        for (stage, adapter) in self.stages.iter().zip(&self.adapters[task]) {
            let own = adapter.as_ref().map(|adapter| adapter.forward(&h, cx)).transpose()?;
            h = stage.forward(&h, cx)?;
            if let Some(own) = own {
                h = h.add(&own)?;
            }
        }
        self.towers[task].forward(&h, cx)
    }
}
