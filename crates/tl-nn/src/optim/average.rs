//! Averages of a model over training.

use crate::{Module, ModuleExt, Result, Visit};
use tl_tensor::Tensor;

/// The numbers of all parameters and buffers, in order.
fn tensors<M: Module>(model: &M) -> Vec<Tensor> {
    struct All(Vec<Tensor>);
    impl<'a> Visit<'a> for All {
        fn enter(&mut self, _: &str) {}
        fn leave(&mut self) {}
        fn param(&mut self, param: &'a crate::Param) {
            self.0.push(param.tensor().detach());
        }
        fn buffer(&mut self, _: &'a crate::Buffer) {}
    }
    let mut all = All(Vec::new());
    model.visit(&mut all);
    all.0
}

/// `average ← keep · average + (1 - keep) · model`, parameter by parameter;
/// buffers are copied.
fn blend<M: Module>(average: &mut M, model: &M, keep: f32) -> Result<()> {
    let mut news = tensors(model).into_iter();
    average.for_each_param(|_, param| {
        if let Some(new) = news.next() {
            let new = new.to_vec();
            param.update(|old| {
                for (o, n) in old.iter_mut().zip(new) {
                    *o = keep * *o + (1.0 - keep) * n;
                }
            });
        }
        Ok(())
    })?;
    let buffers: Vec<Tensor> = model.buffers().iter().map(|(_, b)| b.tensor().clone()).collect();
    let mut buffers = buffers.into_iter();
    average.for_each_buffer(|_, buffer| {
        if let Some(new) = buffers.next() {
            buffer.set_data(&new)?;
        }
        Ok(())
    })
}

/// The exponential moving average of a model:
/// `average ← decay · average + (1 - decay) · model` after each step. Buffers,
/// such as running statistics, are copied.
#[derive(Clone, Debug)]
pub struct Ema<M: Module> {
    average: M,
    decay: f32,
}

impl<M: Module> Ema<M> {
    /// An average that begins at the model, frozen.
    pub fn new(model: &M, decay: f32) -> Self {
        let mut average = model.clone();
        // The pattern matches everything; a model without parameters has
        // nothing to freeze.
        let _ = average.freeze("**");
        Self { average, decay }
    }

    /// Takes the model after a step into the average.
    ///
    /// # Errors
    /// The model has changed its shape.
    pub fn update(&mut self, model: &M) -> Result<()> {
        self.update_with(model, self.decay)
    }

    /// As [`update`](Self::update), with the decay of this step.
    ///
    /// # Errors
    /// The model has changed its shape.
    pub fn update_with(&mut self, model: &M, decay: f32) -> Result<()> {
        blend(&mut self.average, model, decay)
    }

    /// The average.
    pub fn model(&self) -> &M {
        &self.average
    }

    /// The average for changing, such as loading its state.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.average
    }
}

/// The equal average of models along training: stochastic weight averaging
/// (Izmailov et al. 2018). Running statistics of the average are not those of
/// its weights: pass the training data through it once before use.
#[derive(Clone, Debug)]
pub struct Swa<M: Module> {
    average: M,
    count: u64,
}

impl<M: Module> Swa<M> {
    /// An average that begins with this model.
    pub fn new(model: &M) -> Self {
        Self { average: Ema::new(model, 0.0).average, count: 1 }
    }

    /// Takes another model in.
    ///
    /// # Errors
    /// The model has changed its shape.
    pub fn update(&mut self, model: &M) -> Result<()> {
        self.count += 1;
        blend(&mut self.average, model, 1.0 - 1.0 / self.count as f32)
    }

    /// The average.
    pub fn model(&self) -> &M {
        &self.average
    }
}

/// Lookahead (Zhang et al. 2019, algorithm 1): every `period` steps the slow
/// weights move a part of the way to the fast ones, and these go back to them.
#[derive(Clone, Debug)]
pub struct Lookahead<M: Module> {
    slow: M,
    period: u64,
    part: f32,
    steps: u64,
}

impl<M: Module> Lookahead<M> {
    /// Slow weights that begin at the model. The paper's defaults are a period
    /// of 5 and a part of 0.5.
    pub fn new(model: &M, period: u64, part: f32) -> Self {
        Self { slow: model.clone(), period: period.max(1), part, steps: 0 }
    }

    /// To be called after each optimiser step.
    ///
    /// # Errors
    /// The model has changed its shape.
    pub fn update(&mut self, model: &mut M) -> Result<()> {
        self.steps += 1;
        if !self.steps.is_multiple_of(self.period) {
            return Ok(());
        }
        blend(&mut self.slow, model, 1.0 - self.part)?;
        let mut slow = tensors(&self.slow).into_iter();
        model.for_each_param(|_, param| {
            if let Some(slow) = slow.next()
                && !param.is_frozen()
            {
                param.set_data(&slow)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Param;

    fn at(x: f32) -> Param {
        Param::new(Tensor::scalar(x))
    }

    #[test]
    fn averages_follow_their_formulas() {
        let value = |p: &Param| p.tensor().item().unwrap();
        let mut ema = Ema::new(&at(1.0), 0.9);
        ema.update(&at(2.0)).unwrap();
        approx::assert_relative_eq!(value(ema.model()), 1.1, max_relative = 1e-6);
        assert!(ema.model().is_frozen());
        let mut swa = Swa::new(&at(1.0));
        swa.update(&at(2.0)).unwrap();
        swa.update(&at(6.0)).unwrap();
        approx::assert_relative_eq!(value(swa.model()), 3.0, max_relative = 1e-6);
        let mut fast = at(0.0);
        let mut look = Lookahead::new(&fast, 2, 0.5);
        for x in [3.0, 4.0] {
            fast.update(|p| p[0] = x);
            look.update(&mut fast).unwrap();
        }
        assert_eq!(value(&fast), 2.0);
    }
}
