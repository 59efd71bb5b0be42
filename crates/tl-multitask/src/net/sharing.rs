//! One trunk, a head for each task.

use tl_nn::{Ctx, Forward, Module, Result, Tensor, module};

/// Hard parameter sharing (Caruana 1997): all tasks see the same features. The
/// first thing to try.
#[derive(Clone, Debug)]
pub struct HardSharing<T, H> {
    /// What all tasks share.
    pub trunk: T,
    /// One for each task.
    pub heads: Vec<H>,
}
module!(impl<T: Module, H: Module> HardSharing<T, H> { trunk, heads });

impl<T: Forward, H: Forward> HardSharing<T, H> {
    /// The output of every task.
    ///
    /// # Errors
    /// Those of the parts.
    pub fn forward_all(&self, x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
        let features = self.trunk.forward(x, cx)?;
        self.heads.iter().map(|head| head.forward(&features, cx)).collect()
    }

    /// The output of one task, for a batch of its own.
    ///
    /// # Errors
    /// No such task; those of the parts.
    pub fn forward_task(&self, task: usize, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        super::check_task("hard sharing", task, self.heads.len())?;
        let features = self.trunk.forward(x, cx)?;
        self.heads[task].forward(&features, cx)
    }
}
