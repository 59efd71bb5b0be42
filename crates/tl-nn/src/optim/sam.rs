//! Sharpness-aware minimisation.

use crate::{Module, ModuleExt, Result};
use serde::{Deserialize, Serialize};
use tl_tensor::{Gradients, Tensor};

/// Sharpness-aware minimisation (Foret et al. 2021, algorithm 1): the step uses
/// the gradient at `p + rho g / ‖g‖`, where the loss near by is largest.
///
/// ```
/// use tl_nn::{Optimizer, Param, Sam, Sgd};
/// use tl_tensor::Tensor;
/// # fn main() -> tl_nn::Result<()> {
/// let mut model = Param::new(Tensor::scalar(1.0));
/// let mut optimizer = Optimizer::new(Sgd::new(0.1));
/// let sam = Sam::new(0.05);
/// let loss = |m: &Param| m.tensor().square().sum_all();
/// let gradients = loss(&model).backward()?;
/// let climbed = sam.ascend(&mut model, &gradients)?;
/// let gradients = loss(&model).backward()?;
/// climbed.return_to(&mut model)?;
/// optimizer.step(&mut model, &gradients)?;
/// assert!((model.tensor().item()? - (1.0 - 0.1 * 2.1)).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sam {
    /// How far to climb. The paper's default is 0.05.
    pub rho: f32,
}

/// Where the model was before it climbed.
#[derive(Debug)]
#[must_use = "the model stands at the climbed point until it is returned"]
pub struct Climbed(Vec<Tensor>);

impl Sam {
    /// With this radius.
    pub fn new(rho: f32) -> Self {
        Self { rho }
    }

    /// Moves the model to the worst point near by. Parameters without a
    /// gradient stay.
    ///
    /// # Errors
    /// Those of tensor operations.
    pub fn ascend<M: Module>(&self, model: &mut M, gradients: &Gradients) -> Result<Climbed> {
        let squares: f64 = model
            .params()
            .iter()
            .filter_map(|(_, p)| gradients.get(p.tensor()))
            .flat_map(Tensor::to_vec)
            .map(|g| f64::from(g) * f64::from(g))
            .sum();
        let scale = self.rho / (squares.sqrt() as f32 + 1e-12);
        let mut before = Vec::new();
        model.for_each_param(|_, param| {
            before.push(param.tensor().detach());
            if let Some(gradient) = gradients.get(param.tensor()) {
                let moved = param.tensor().detach().add(&gradient.mul_scalar(scale))?;
                param.set_data(&moved)?;
            }
            Ok(())
        })?;
        Ok(Climbed(before))
    }
}

impl Climbed {
    /// Moves the model back.
    ///
    /// # Errors
    /// The model has changed its shape.
    pub fn return_to<M: Module>(self, model: &mut M) -> Result<()> {
        let mut before = self.0.into_iter();
        model.for_each_param(|_, param| match before.next() {
            Some(data) => Ok(param.set_data(&data)?),
            None => Ok(()),
        })
    }
}
