//! Which tasks help which, and which to train together.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::{Ctx, Module, ModuleExt, Tensor};

/// Task affinity (TAG, Fifty et al. 2021, eq. 1) on one batch: entry `[i][j]` is
/// `1 - L_j(after a step of rate lr on task i alone) / L_j`, positive where a
/// step for `i` helps `j`; NaN for a task that is not there. Average it over
/// batches of a run
/// ([`MultiTask::affinity_every`](crate::MultiTask::affinity_every) does). The
/// model stays as it is. `T + 1` forward and `T` backward passes.
///
/// # Errors
/// Those of the losses; a rate that is not above 0.
pub fn task_affinity<M: Module>(
    model: &M,
    lr: f32,
    mut losses: impl FnMut(&M, &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>>,
) -> Result<Vec<Vec<f64>>> {
    affinity(model, lr, 0, &mut losses)
}

/// With the randomness of `seed` in every pass, so that dropout is the same
/// before and after.
pub(crate) fn affinity<M: Module>(
    model: &M,
    lr: f32,
    seed: u64,
    losses: &mut impl FnMut(&M, &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>>,
) -> Result<Vec<Vec<f64>>> {
    if !(lr.is_finite() && lr > 0.0) {
        return Err(Error::argument("task affinity", "lr", lr, "a rate above 0"));
    }
    let before = losses(model, &mut Ctx::train(seed))?;
    let values = numbers(&before)?;
    let mut table = Vec::with_capacity(before.len());
    for loss in &before {
        let Some(loss) = loss else {
            table.push(vec![f64::NAN; before.len()]);
            continue;
        };
        let ahead = stepped(model, loss, lr)?;
        let after = numbers(&losses(&ahead, &mut Ctx::train(seed))?)?;
        table.push(values.iter().zip(after).map(|(b, a)| 1.0 - a / b).collect());
    }
    Ok(table)
}

/// A copy of the model after a plain gradient step.
fn stepped<M: Module>(model: &M, loss: &Tensor, lr: f32) -> Result<M> {
    let gradients = loss.backward()?;
    let mut ahead = model.clone();
    let mut own = model.params().into_iter();
    ahead.for_each_param(|_, param| {
        let Some((_, original)) = own.next() else { return Ok(()) };
        if let Some(g) = gradients.get(original.tensor()) {
            param.set_data(&original.tensor().detach().sub(&g.mul_scalar(lr))?)?;
        }
        Ok(())
    })?;
    Ok(ahead)
}

fn numbers(losses: &[Option<Tensor>]) -> Result<Vec<f64>> {
    losses
        .iter()
        .map(|loss| match loss {
            Some(loss) => Ok(f64::from(loss.item().map_err(tl_nn::Error::from)?)),
            None => Ok(f64::NAN),
        })
        .collect()
}

/// Mean affinities over a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affinity {
    pub(crate) tasks: usize,
    /// Batches and sums, pair by pair.
    pub(crate) sums: [Vec<f64>; 2],
}

impl Affinity {
    pub(crate) fn new(tasks: usize) -> Self {
        Self { tasks, sums: [vec![0.0; tasks * tasks], vec![0.0; tasks * tasks]] }
    }

    pub(crate) fn see(&mut self, table: &[Vec<f64>]) {
        for (at, x) in table.iter().flatten().enumerate().filter(|(_, x)| x.is_finite()) {
            self.sums[0][at] += 1.0;
            self.sums[1][at] += x;
        }
    }

    /// The mean of `[i][j]`: how much of its loss a step for `i` took off `j`;
    /// NaN for a pair that was never together.
    pub fn table(&self) -> Vec<Vec<f64>> {
        let mean = |at: usize| self.sums[1][at] / self.sums[0][at];
        (0..self.tasks)
            .map(|i| (0..self.tasks).map(|j| mean(i * self.tasks + j)).collect())
            .collect()
    }

    /// [`suggest_groups`] of this table.
    ///
    /// # Errors
    /// As there.
    pub fn suggest_groups(&self, most: usize) -> Result<Grouping> {
        suggest_groups(&self.table(), most)
    }
}

/// Which tasks to train together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grouping {
    /// Tasks by their numbers; a model for each group.
    pub groups: Vec<Vec<usize>>,
    /// The sum over all tasks of the mean affinity of the others of its group
    /// onto it; a task alone counts 0.
    pub score: f64,
}

/// Tasks that are tried in every partition; more are merged step by step.
const EXACT: usize = 9;

/// The partition of the tasks into at most `most` groups (models to train) whose
/// sum of affinities is largest (the selection of TAG, Fifty et al. 2021,
/// section 4.2, with every task in one group): by trying all partitions of up to
/// 9 tasks, beyond that by merging the two groups that gain most until there
/// are few enough and no merge gains.
///
/// ```
/// use tl_multitask::suggest_groups;
/// # fn main() -> tl_multitask::Result<()> {
/// // Tasks 0 and 2 help each other; 1 harms both.
/// let affinity = [vec![0.1, -0.2, 0.3], vec![-0.1, 0.1, -0.1], vec![0.2, -0.3, 0.1]];
/// assert_eq!(suggest_groups(&affinity, 2)?.groups, [vec![0, 2], vec![1]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A table that is not square or has a pair that was never seen; no group.
pub fn suggest_groups(affinity: &[Vec<f64>], most: usize) -> Result<Grouping> {
    let t = affinity.len();
    let whole = affinity.iter().enumerate().all(|(i, row)| {
        row.len() == t && row.iter().enumerate().all(|(j, x)| i == j || x.is_finite())
    });
    if t == 0 || !whole {
        let expected = "a number for each ordered pair of tasks: measure more batches";
        return Err(Error::argument("task groups", "affinity", format!("{t} rows"), expected));
    }
    if most == 0 {
        return Err(Error::argument("task groups", "most", most, "one group or more"));
    }
    let groups = if t <= EXACT { exhaustive(affinity, most) } else { merged(affinity, most) };
    Ok(Grouping { score: groups.iter().map(|g| gain(affinity, g)).sum(), groups })
}

/// What the tasks of a group get from each other.
fn gain(affinity: &[Vec<f64>], group: &[usize]) -> f64 {
    let others = |j: usize| group.iter().filter(move |&&i| i != j);
    let onto = |j: usize| others(j).map(|&i| affinity[i][j]).sum::<f64>();
    let sum: f64 = group.iter().map(|&j| onto(j)).sum();
    sum / (group.len().max(2) - 1) as f64
}

fn exhaustive(affinity: &[Vec<f64>], most: usize) -> Vec<Vec<usize>> {
    /// Puts `task` and all after it into each group in turn.
    fn place(
        task: usize,
        groups: &mut Vec<Vec<usize>>,
        best: &mut (f64, Vec<Vec<usize>>),
        affinity: &[Vec<f64>],
        most: usize,
    ) {
        if task == affinity.len() {
            let score = groups.iter().map(|g| gain(affinity, g)).sum();
            if score > best.0 {
                *best = (score, groups.clone());
            }
            return;
        }
        for at in 0..groups.len() {
            groups[at].push(task);
            place(task + 1, groups, best, affinity, most);
            groups[at].pop();
        }
        if groups.len() < most {
            groups.push(vec![task]);
            place(task + 1, groups, best, affinity, most);
            groups.pop();
        }
    }
    let mut best = (f64::NEG_INFINITY, Vec::new());
    place(0, &mut Vec::new(), &mut best, affinity, most);
    best.1
}

fn merged(affinity: &[Vec<f64>], most: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..affinity.len()).map(|i| vec![i]).collect();
    while groups.len() > 1 {
        let pairs = (0..groups.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let change = |(a, b): (usize, usize)| {
            let both = [&groups[b][..], &groups[a][..]].concat();
            gain(affinity, &both) - gain(affinity, &groups[a]) - gain(affinity, &groups[b])
        };
        let best = pairs.map(|pair| (change(pair), pair)).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((change, (a, b))) = best else { break };
        if groups.len() <= most && change <= 0.0 {
            break;
        }
        let more = groups.remove(a);
        groups[b].extend(more);
    }
    groups.iter_mut().for_each(|g| g.sort_unstable());
    groups
}
