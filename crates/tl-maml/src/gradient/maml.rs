//! MAML and its kin.

use super::{
    Learner, Order, curvature,
    task::{Slots, cut},
    unroll::{MamlPredictor, MetaObjective, Pass},
};
use crate::{Episodes, Error, Result};
use serde::{Deserialize, Serialize};
use tl_data::Batch;
use tl_nn::{
    Adam, Buffer, Ctx, Glob, Module, ModuleExt, Optimizer, Param, Schedule, Tensor, TrainReport,
    Trainer,
};

/// Which weights the inner loop moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adapt {
    /// All that are trainable.
    #[default]
    All,
    /// Those whose path matches a [`Glob`]: a head for ANIL (Raghu et al. 2020).
    Only(String),
    /// Those whose path does not match: all but the head for BOIL (Oh et al.
    /// 2021).
    Except(String),
}

/// Whether the outer loop learns the inner rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnedRates {
    /// They stay as set.
    #[default]
    No,
    /// One for each number of each weight (Meta-SGD, Li et al. 2017).
    PerNumber,
    /// One for each weight and inner step (Antoniou et al. 2019, section 4).
    PerWeightAndStep,
}

/// Model-agnostic meta-learning (Finn et al. 2017): an initialisation `θ` from
/// which a few steps of gradient descent on a small support set `S` give a good
/// model of a new task. The outer loop minimises the query loss after the inner
/// steps, `L_Q(θ_K)` with `θ_{k+1} = θ_k - α ∇L_S(θ_k)`, by its exact gradient.
///
/// | method | how |
/// |---|---|
/// | MAML | `Maml::new(1, 0.4)` |
/// | FOMAML | `.first_order()` |
/// | ANIL, BOIL | `.adapt(Adapt::Only("fc.**".into()))`, `Except` |
/// | Meta-SGD | `.learned_rates(LearnedRates::PerNumber)` |
/// | MAML++ | [`Maml::plus_plus`] |
/// | Meta-curvature | `.meta_curvature()` |
///
/// ```
/// # use rand::SeedableRng;
/// use tl_maml::{Curves, Episodes, Maml, Protocol, evaluate, mse};
/// use tl_nn::{Act, Adam, Linear, Optimizer, Sequential, Trainer};
/// # fn main() -> tl_maml::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let net = Sequential::new().push(Linear::new(1, 40, &mut rng)).push(Act::Relu)
///     .push(Linear::new(40, 1, &mut rng));
/// let tasks = Curves::sinusoid();
/// let maml = Maml::new(1, 0.01);
/// let mut learner = maml.learner(net)?;
/// let trainer = Trainer::new(Optimizer::new(Adam::new(1e-3)), 1);
/// maml.fit(trainer, &mut learner, Episodes::new(&tasks, 4, 20), mse)?;
/// let result = evaluate(&maml.predictor(&learner, mse), &tasks, 10, 9, Protocol::Inductive)?;
/// assert_eq!(result.steps.len(), 2); // before and after the inner step
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maml {
    /// Inner steps in training, `K`.
    pub steps: usize,
    /// The inner rate `α`; where rates are learned, their beginning.
    pub rate: f32,
    /// Exact or first-order. Default: exact.
    #[serde(default)]
    pub order: Order,
    /// The weights that the inner loop moves. Default: all.
    #[serde(default)]
    pub adapt: Adapt,
    /// Whether the rates are learned. Default: no.
    #[serde(default)]
    pub learned_rates: LearnedRates,
    /// Gradients turned by learned matrices. Default: no.
    #[serde(default)]
    pub curvature: bool,
    /// Multi-step loss: over this part of the run, at its beginning, the query
    /// losses after all steps count, by [`step_weights`](crate::step_weights). 0
    /// (the default): only the last counts.
    #[serde(default)]
    pub multi_step: f64,
    /// Derivative-order annealing: first order for this part of the run at its
    /// beginning. Default 0.
    #[serde(default)]
    pub first_order_until: f64,
}

impl Maml {
    /// Exact MAML with `steps` inner steps of rate `rate`. The paper's
    /// settings: sinusoids 1 step of 0.01; Omniglot 5-way 1 step of 0.4, 20-way
    /// 5 steps of 0.1.
    pub fn new(steps: usize, rate: f32) -> Self {
        Self {
            steps,
            rate,
            order: Order::Second,
            adapt: Adapt::All,
            learned_rates: LearnedRates::No,
            curvature: false,
            multi_step: 0.0,
            first_order_until: 0.0,
        }
    }

    /// MAML++ (Antoniou et al. 2019): multi-step loss over the first 10% of the
    /// run, first order for the first half, a learned rate per weight and step.
    /// Statistics of normalisation are per step with every variant here. The
    /// cosine outer rate comes from [`outer`](Self::outer). Left out: scale and
    /// shift of normalisation for each step.
    pub fn plus_plus(steps: usize, rate: f32) -> Self {
        Self {
            learned_rates: LearnedRates::PerWeightAndStep,
            multi_step: 0.1,
            first_order_until: 0.5,
            ..Self::new(steps, rate)
        }
    }

    /// The outer optimiser of MAML++: Adam of rate 1e-3 that falls along a cosine
    /// to 1e-5 over `meta_steps` steps (Antoniou et al. 2019, section 4). Plain
    /// MAML is taught with `Adam::new(1e-3)` and no schedule.
    pub fn outer(meta_steps: u64) -> Optimizer {
        Optimizer::new(Adam::new(1e-3)).schedule(Schedule::cosine(meta_steps, 0.01))
    }

    /// FOMAML: the inner gradient counts as a constant.
    #[must_use]
    pub fn first_order(mut self) -> Self {
        self.order = Order::First;
        self
    }

    /// Sets which weights the inner loop moves.
    #[must_use]
    pub fn adapt(mut self, adapt: Adapt) -> Self {
        self.adapt = adapt;
        self
    }

    /// Sets whether the rates are learned.
    #[must_use]
    pub fn learned_rates(mut self, rates: LearnedRates) -> Self {
        self.learned_rates = rates;
        self
    }

    /// Turns inner gradients by learned matrices.
    #[must_use]
    pub fn meta_curvature(mut self) -> Self {
        self.curvature = true;
        self
    }

    /// The same with another number of inner steps, as for testing.
    #[must_use]
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if !self.rate.is_finite() || self.rate < 0.0 {
            return Err(Error::argument("maml", "rate", self.rate, "a finite number from 0"));
        }
        for (name, part) in
            [("multi_step", self.multi_step), ("first_order_until", self.first_order_until)]
        {
            if !(0.0..=1.0).contains(&part) {
                return Err(Error::argument("maml", name, part, "a part of the run, 0 to 1"));
            }
        }
        Ok(())
    }

    pub(super) fn slots<M: Module>(&self, model: &M) -> Result<Slots> {
        let slots = match &self.adapt {
            Adapt::All => Slots::new(model, |_| true),
            Adapt::Only(pattern) => {
                let glob = Glob::new(pattern)?;
                Slots::new(model, |path| glob.matches(path))
            }
            Adapt::Except(pattern) => {
                let glob = Glob::new(pattern)?;
                if !model.params().iter().any(|(path, _)| glob.matches(path)) {
                    let expected = "a pattern that names a weight, or `Adapt::All`";
                    return Err(Error::argument("maml", "adapt", &self.adapt, expected));
                }
                Slots::new(model, |path| !glob.matches(path))
            }
        };
        if slots.initial(model).is_empty() {
            let expected = "a pattern that leaves at least one trainable weight to the inner loop";
            return Err(Error::argument("maml", "adapt", &self.adapt, expected));
        }
        Ok(slots)
    }

    /// What meta-training trains: the model, and what else is learned.
    ///
    /// # Errors
    /// A setting out of its range; nothing to adapt.
    pub fn learner<M: Module>(&self, model: M) -> Result<Learner<M>> {
        self.check()?;
        let weights = self.slots(&model)?.initial(&model);
        let row = |alike: bool| -> Vec<Param> {
            let rate = |w: &Tensor| {
                if alike { Tensor::full(*w.shape(), self.rate) } else { Tensor::scalar(self.rate) }
            };
            weights.iter().map(|w| Param::new(rate(w))).collect()
        };
        let rates = match self.learned_rates {
            LearnedRates::No => Vec::new(),
            LearnedRates::PerNumber => vec![row(true)],
            LearnedRates::PerWeightAndStep => (0..self.steps.max(1)).map(|_| row(false)).collect(),
        };
        let curvature = if self.curvature {
            weights.iter().map(|w| curvature::identity(w.dims())).collect()
        } else {
            Vec::new()
        };
        let buffers: Vec<Buffer> = model.buffers().into_iter().map(|(_, b)| b.clone()).collect();
        let statistics =
            if buffers.is_empty() { Vec::new() } else { vec![buffers; self.steps + 1] };
        Ok(Learner { model, rates, curvature, statistics })
    }

    /// A new model adapted to a support set; the learner stays as it is. What is
    /// returned has no history: use it, go on training it, save it.
    ///
    /// # Errors
    /// Those of the loss; a setting out of its range.
    pub fn adapted<M, F>(&self, learner: &Learner<M>, support: &Batch, loss: F) -> Result<M>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        self.check()?;
        let mut last = None;
        self.unroll(learner, support, &loss, Pass::AT_TEST, &mut Ctx::eval(), |_, model, _| {
            last = Some(model.clone());
            Ok(())
        })?;
        cut(last.unwrap_or_else(|| learner.model.clone()))
    }

    /// Meta-trains with any [`Trainer`]: its optimiser is the outer one, its
    /// epochs are those of `episodes`; schedules, checkpoints and events work
    /// as always.
    ///
    /// # Errors
    /// Those of the trainer, the tasks and the loss; a setting out of its range.
    pub fn fit<M, F>(
        &self,
        trainer: Trainer<'_>,
        learner: &mut Learner<M>,
        episodes: Episodes<'_>,
        loss: F,
    ) -> Result<TrainReport>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
    {
        self.check()?;
        let mut objective = MetaObjective::new(self, loss);
        Ok(trainer.run(learner, |epoch| episodes.epoch(epoch), &mut objective)?)
    }

    /// What [`evaluate`](crate::evaluate) tests: adapts to each support set by
    /// `loss` and predicts its query set, before and after every step.
    pub fn predictor<'a, M, F>(
        &'a self,
        learner: &'a Learner<M>,
        loss: F,
    ) -> MamlPredictor<'a, M, F> {
        MamlPredictor::new(self, learner, loss)
    }
}
