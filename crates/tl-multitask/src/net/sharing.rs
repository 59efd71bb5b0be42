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
        let Some(head) = self.heads.get(task) else {
            let expected = format!("below {}, the tasks", self.heads.len());
            return Err(tl_nn::Error::argument("hard sharing", "task", task, expected));
        };
        let features = self.trunk.forward(x, cx)?;
        head.forward(&features, cx)
    }
}
