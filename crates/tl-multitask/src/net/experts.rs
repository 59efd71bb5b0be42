//! Mixtures of experts.

use rand::RngCore;
use tl_nn::{Ctx, Forward, Linear, Module, Result, Tensor, module};

/// `Σ_e softmax(gate(x))_e · expert_e`, `[n, d]`.
fn mix(gate: &Linear, x: &Tensor, experts: &[&Tensor], cx: &mut Ctx) -> Result<Tensor> {
    let weights = gate.forward(x, cx)?.softmax(-1)?.unsqueeze(-1)?;
    Ok(Tensor::stack(experts, 1)?.mul(&weights)?.sum(1, false)?)
}

/// Multi-gate mixture of experts (Ma et al. 2018, eq. 5 and 6): every task mixes
/// the same experts by a gate of its own, which reads the *input*. With one
/// expert it is hard sharing. Inputs `[n, d]`.
#[derive(Clone, Debug)]
pub struct Mmoe<E, H> {
    /// What turns inputs into features, all of one length.
    pub experts: Vec<E>,
    /// For each task a gate `[experts, inputs]`.
    pub gates: Vec<Linear>,
    /// One for each task.
    pub towers: Vec<H>,
}
module!(impl<E: Module, H: Module> Mmoe<E, H> { experts, gates, towers });

impl<E: Forward, H: Forward> Mmoe<E, H> {
    /// With gates for inputs of this length.
    pub fn new(experts: Vec<E>, towers: Vec<H>, inputs: usize, rng: &mut dyn RngCore) -> Self {
        let count = experts.len();
        let gates = towers.iter().map(|_| Linear::without_bias(inputs, count, rng)).collect();
        Self { experts, gates, towers }
    }

    /// The output of every task.
    ///
    /// # Errors
    /// Those of the parts.
    pub fn forward_all(&self, x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
        let features = run(&self.experts, x, cx)?;
        let features: Vec<&Tensor> = features.iter().collect();
        let tasks = self.gates.iter().zip(&self.towers);
        tasks.map(|(gate, tower)| tower.forward(&mix(gate, x, &features, cx)?, cx)).collect()
    }

    /// The output of one task, for a batch of its own.
    ///
    /// # Errors
    /// No such task; those of the parts.
    pub fn forward_task(&self, task: usize, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        super::check_task("MMoE", task, self.towers.len().min(self.gates.len()))?;
        let features = run(&self.experts, x, cx)?;
        let features: Vec<&Tensor> = features.iter().collect();
        self.towers[task].forward(&mix(&self.gates[task], x, &features, cx)?, cx)
    }
}

fn run<E: Forward>(experts: &[E], x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
    experts.iter().map(|expert| expert.forward(x, cx)).collect()
}

/// Customised gate control with one or more levels (Tang et al. 2020; several
/// levels are PLE): every task has experts of its own beside the shared ones and
/// mixes both. Between levels the shared experts get a mixture of *all* experts
/// by a gate of their own.
#[derive(Clone, Debug)]
pub struct Cgc<E, H> {
    /// From the input to the last features.
    pub levels: Vec<Level<E>>,
    /// One for each task.
    pub towers: Vec<H>,
}
module!(impl<E: Module, H: Module> Cgc<E, H> { levels, towers });

/// One level of [`Cgc`].
#[derive(Clone, Debug)]
pub struct Level<E> {
    /// Seen by all tasks.
    pub shared: Vec<E>,
    /// `[tasks][experts]`.
    pub own: Vec<Vec<E>>,
    /// A gate for each task over its own experts, then the shared ones.
    pub gates: Vec<Linear>,
    /// A gate over the experts of all tasks, then the shared ones; none on the
    /// last level.
    pub shared_gate: Option<Linear>,
}
module!(impl<E: Module> Level<E> { shared, own, gates, shared_gate });

impl<E: Forward, H: Forward> Cgc<E, H> {
    /// `widths` are the lengths of the inputs of every level, `expert(level)`
    /// makes an expert for it; each level has `shared` shared experts and `own`
    /// for each task.
    pub fn new(
        widths: &[usize],
        (shared, own): (usize, usize),
        towers: Vec<H>,
        mut expert: impl FnMut(usize) -> E,
        rng: &mut dyn RngCore,
    ) -> Self {
        let tasks = towers.len();
        let mut levels = Vec::with_capacity(widths.len());
        for (level, &width) in widths.iter().enumerate() {
            let last = level + 1 == widths.len();
            let all = tasks * own + shared;
            let shared_experts = (0..shared).map(|_| expert(level)).collect();
            let own_experts =
                (0..tasks).map(|_| (0..own).map(|_| expert(level)).collect()).collect();
            levels.push(Level {
                shared: shared_experts,
                own: own_experts,
                gates: (0..tasks).map(|_| Linear::without_bias(width, own + shared, rng)).collect(),
                shared_gate: (!last).then(|| Linear::without_bias(width, all, rng)),
            });
        }
        Self { levels, towers }
    }

    /// The output of every task.
    ///
    /// # Errors
    /// Those of the parts.
    pub fn forward_all(&self, x: &Tensor, cx: &mut Ctx) -> Result<Vec<Tensor>> {
        let mut of_tasks = vec![x.clone(); self.towers.len()];
        let mut common = x.clone();
        for level in &self.levels {
            let shared = run(&level.shared, &common, cx)?;
            let mut own = Vec::with_capacity(of_tasks.len());
            for (experts, x) in level.own.iter().zip(&of_tasks) {
                own.push(run(experts, x, cx)?);
            }
            let mut next = Vec::with_capacity(of_tasks.len());
            for ((gate, own), x) in level.gates.iter().zip(&own).zip(&of_tasks) {
                let seen: Vec<&Tensor> = own.iter().chain(&shared).collect();
                next.push(mix(gate, x, &seen, cx)?);
            }
            if let Some(gate) = &level.shared_gate {
                let all: Vec<&Tensor> = own.iter().flatten().chain(&shared).collect();
                common = mix(gate, &common, &all, cx)?;
            }
            of_tasks = next;
        }
        self.towers.iter().zip(&of_tasks).map(|(tower, x)| tower.forward(x, cx)).collect()
    }

    /// The output of one task, for a batch of its own. Unless there is one level,
    /// the experts of all tasks run: the shared gates mix them.
    ///
    /// # Errors
    /// No such task; those of the parts.
    pub fn forward_task(&self, task: usize, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        super::check_task("CGC", task, self.towers.len())?;
        if let [level] = &self.levels[..]
            && let (Some(own), Some(gate)) = (level.own.get(task), level.gates.get(task))
        {
            let (own, shared) = (run(own, x, cx)?, run(&level.shared, x, cx)?);
            let seen: Vec<&Tensor> = own.iter().chain(&shared).collect();
            return self.towers[task].forward(&mix(gate, x, &seen, cx)?, cx);
        }
        Ok(self.forward_all(x, cx)?.swap_remove(task))
    }
}
