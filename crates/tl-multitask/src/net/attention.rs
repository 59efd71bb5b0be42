//! A shared trunk that every task attends to in its own way.

use rand::RngCore;
use tl_nn::{Act, Ctx, Forward, Linear, Module, Result, Sequential, Tensor, module};

/// Attention in the manner of MTAN (Liu et al. 2019, section 3.1): the trunk is
/// shared, and at each of its stages every task takes what it needs of the
/// features `p_s` by a mask of its own,
///
/// `a_s = sigmoid(gate_s([p_s, onward_s(a_(s-1))])) ⊙ p_s`,
///
/// and goes on with the last one. The paper's gate also sees features from inside
/// the stage; here it sees its end. Features are joined along axis 1, so that
/// stages may be perceptrons `[n, d]` or convolutions `[n, c, h, w]`.
#[derive(Clone, Debug)]
pub struct Mtan<S, A, H> {
    /// The shared trunk.
    pub stages: Vec<S>,
    /// `[tasks][stages]`.
    pub attention: Vec<Vec<Attend<A>>>,
    /// One for each task.
    pub towers: Vec<H>,
}
module!(impl<S: Module, A: Module, H: Module> Mtan<S, A, H> { stages, attention, towers });

/// How a task attends to one stage.
#[derive(Clone, Debug)]
pub struct Attend<A> {
    /// From the features, and those that the task brings, to a mask's logits of
    /// the shape of the features.
    pub gate: A,
    /// Brings what the task took from the stage before to this stage's size; none
    /// at the first.
    pub onward: Option<A>,
}
module!(impl<A: Module> Attend<A> { gate, onward });

impl<H: Forward> Mtan<Sequential, Sequential, H> {
    /// For perceptrons: a stage from each width to the next, with ReLU, gates of
    /// two layers.
    pub fn dense(widths: &[usize], towers: Vec<H>, rng: &mut dyn RngCore) -> Self {
        let mut layer = |from: usize, to: usize| {
            Sequential::new().push(Linear::new(from, to, rng)).push(Act::Relu)
        };
        let pairs = || widths.windows(2).map(|pair| (pair[0], pair[1]));
        let stages = pairs().map(|(from, to)| layer(from, to)).collect();
        let mut hidden: Vec<Vec<(Sequential, Option<Sequential>)>> = Vec::new();
        for _ in &towers {
            let parts = pairs().enumerate().map(|(stage, (from, to))| match stage {
                0 => (layer(to, to), None),
                _ => (layer(2 * to, to), Some(layer(from, to))),
            });
            hidden.push(parts.collect());
        }
        let mut attention = Vec::with_capacity(towers.len());
        for parts in hidden {
            let stages = parts.into_iter().zip(&widths[1..]).map(|((gate, onward), &to)| Attend {
                gate: gate.push(Linear::new(to, to, rng)),
                onward,
            });
            attention.push(stages.collect());
        }
        Self { stages, attention, towers }
    }
}

impl<S: Forward, A: Forward, H: Forward> Mtan<S, A, H> {
    /// The output of every task.
    ///
    /// # Errors
    /// Those of the parts.
    pub fn forward_all(&self, x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
        let features = self.features(x, cx)?;
        (0..self.towers.len()).map(|task| self.attend(task, &features, cx)).collect()
    }

    /// The output of one task, for a batch of its own.
    ///
    /// # Errors
    /// No such task; those of the parts.
    pub fn forward_task(&self, task: usize, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        super::check_task("MTAN", task, self.towers.len())?;
        let features = self.features(x, cx)?;
        self.attend(task, &features, cx)
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
        let mut features: Vec<Tensor> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            features.push(stage.forward(features.last().unwrap_or(x), cx)?);
        }
        Ok(features)
    }

    fn attend(&self, task: usize, features: &[Tensor], cx: &mut Ctx) -> Result<Tensor> {
        let stages = self.attention.get(task).map_or(&[][..], Vec::as_slice);
        if stages.len() != features.len() || features.is_empty() {
            let expected = format!("{}, one for each stage, and one stage or more", features.len());
            return Err(tl_nn::Error::argument("MTAN", "attention", stages.len(), expected));
        }
        let mut taken: Option<Tensor> = None;
        for (attend, p) in stages.iter().zip(features) {
            let brought = match (&attend.onward, &taken) {
                (Some(onward), Some(taken)) => Some(onward.forward(taken, cx)?),
                _ => None,
            };
            let seen = match &brought {
                Some(brought) => Tensor::cat(&[p, brought], 1)?,
                None => p.clone(),
            };
            taken = Some(attend.gate.forward(&seen, cx)?.sigmoid().mul(p)?);
        }
        self.towers[task].forward(taken.as_ref().unwrap_or(&features[0]), cx)
    }
}
