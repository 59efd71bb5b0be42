//! What a run remembers besides the model, and how a checkpoint holds it.

use crate::{
    Affinity, EpochConflicts, Error, GradNorm, GradientState, LossState, Pairs, Result,
    balance::{Learned, Moments},
};
use std::collections::BTreeMap;
use tl_nn::{StateDict, Tensor, Weight};

/// The state of every balancer; each uses its own part.
pub(super) struct Memory {
    tasks: usize,
    pub(super) losses: LossState,
    pub(super) gradients: GradientState,
    pub(super) learned: Learned,
    pub(super) grad_norm: GradNorm,
    /// DB-MTL's moving averages by task and path.
    pub(super) averages: BTreeMap<(usize, String), Tensor>,
    /// The epochs that are done.
    pub(super) seen: Vec<EpochConflicts>,
    /// The epoch under way.
    pub(super) now: EpochConflicts,
    pub(super) affinity: Affinity,
    /// Batches so far.
    pub(super) batches: u64,
}

impl Memory {
    pub(super) fn new(tasks: usize) -> Self {
        Self {
            tasks,
            losses: LossState::new(tasks),
            gradients: GradientState::default(),
            learned: Learned::new(tasks),
            grad_norm: GradNorm::new(tasks),
            averages: BTreeMap::new(),
            seen: Vec::new(),
            now: EpochConflicts::new(tasks),
            affinity: Affinity::new(tasks),
            batches: 0,
        }
    }

    pub(super) fn end_epoch(&mut self) {
        self.losses.end_epoch();
        let done = std::mem::replace(&mut self.now, EpochConflicts::new(self.tasks));
        self.seen.push(done);
    }

    pub(super) fn save(&self) -> StateDict {
        let mut dict = StateDict::new();
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let running: Vec<f32> = self.losses.running.iter().flat_map(|(a, b)| [*a, *b]).collect();
        put(&mut dict, "losses.epochs", &wide(&self.losses.epochs.concat()));
        put(&mut dict, "losses.running", &wide(&running));
        put(&mut dict, "losses.logits", &wide(&self.losses.logits));
        put(&mut dict, "losses.last", &wide(&self.losses.last));
        put(&mut dict, "gradients.cosines", &self.gradients.cosines);
        put(&mut dict, "learned.scales", &self.learned.scales);
        put(&mut dict, "learned.moments", &flat(&self.learned.moments));
        put(&mut dict, "grad_norm.weights", &self.grad_norm.weights);
        put(&mut dict, "grad_norm.initial", &self.grad_norm.initial);
        put(&mut dict, "grad_norm.moments", &flat(&self.grad_norm.moments));
        put(&mut dict, "affinity", &self.affinity.sums.concat());
        put(&mut dict, "batches", &[self.batches as f64, self.seen.len() as f64]);
        for ((task, path), average) in &self.averages {
            dict.insert(format!("average/{task}/{path}"), Weight::new(average));
        }
        for (epoch, conflicts) in self.seen.iter().chain([&self.now]).enumerate() {
            put(&mut dict, &format!("seen/{epoch}"), &conflicts.whole.sums.concat());
            for (layer, pairs) in &conflicts.layers {
                put(&mut dict, &format!("seen/{epoch}/{layer}"), &pairs.sums.concat());
            }
        }
        dict
    }

    pub(super) fn load(dict: &StateDict, tasks: usize) -> Result<Self> {
        let get = |name: &str| numbers(dict, name);
        let narrow = |name: &str| -> Result<Vec<f32>> {
            Ok(get(name)?.into_iter().map(|x| x as f32).collect())
        };
        let mut memory = Self::new(tasks);
        memory.losses = LossState {
            epochs: narrow("losses.epochs")?.chunks(tasks).map(<[f32]>::to_vec).collect(),
            running: narrow("losses.running")?.as_chunks().0.iter().map(|&[a, b]| (a, b)).collect(),
            logits: narrow("losses.logits")?,
            last: narrow("losses.last")?,
        };
        memory.losses.check(tasks)?;
        memory.gradients.cosines = get("gradients.cosines")?;
        memory.learned.scales = sized(get("learned.scales")?, tasks)?;
        memory.learned.moments = sized(moments(&get("learned.moments")?), tasks)?;
        memory.grad_norm.weights = sized(get("grad_norm.weights")?, tasks)?;
        memory.grad_norm.initial = sized(get("grad_norm.initial")?, tasks)?;
        memory.grad_norm.moments = sized(moments(&get("grad_norm.moments")?), tasks)?;
        let affinity = sized(get("affinity")?, 2 * tasks * tasks)?;
        let (counts, sums) = affinity.split_at(tasks * tasks);
        memory.affinity = Affinity { tasks, sums: [counts.to_vec(), sums.to_vec()] };
        let counts = sized(get("batches")?, 2)?;
        // Every epoch has an entry of its own in the file.
        if !(0.0..=dict.len() as f64).contains(&counts[1]) {
            let expected = "as many as there are entries";
            return Err(Error::argument("multi-task", "epochs in the state", counts[1], expected));
        }
        memory.batches = counts[0] as u64;
        memory.seen = vec![EpochConflicts::new(tasks); counts[1] as usize];
        memory.load_rest(dict)?;
        Ok(memory)
    }

    /// What has names of its own.
    fn load_rest(&mut self, dict: &StateDict) -> Result<()> {
        for (name, weight) in dict.iter() {
            let odd = || {
                let expected = "a task's or an epoch's number in the name";
                Error::argument("multi-task", "state", name, expected)
            };
            if let Some((task, path)) = part(name, "average/") {
                let key = (task.ok_or_else(odd)?, path.to_owned());
                self.averages.insert(key, weight.to_tensor()?);
            } else if let Some((epoch, layer)) = part(name, "seen/") {
                let epoch = epoch.ok_or_else(odd)?;
                let sums = sized(numbers(dict, name)?, 4 * self.tasks * self.tasks)?;
                let table = self.tasks * self.tasks;
                let sums = std::array::from_fn(|i| sums[i * table..(i + 1) * table].to_vec());
                let pairs = Pairs { tasks: self.tasks, sums };
                let conflicts = self.seen.get_mut(epoch).unwrap_or(&mut self.now);
                if layer.is_empty() {
                    conflicts.whole = pairs;
                } else {
                    conflicts.layers.insert(layer.to_owned(), pairs);
                }
            }
        }
        Ok(())
    }
}

/// `prefix NUMBER / rest` taken apart.
fn part<'n>(name: &'n str, prefix: &str) -> Option<(Option<usize>, &'n str)> {
    let rest = name.strip_prefix(prefix)?;
    let (number, rest) = rest.split_once('/').unwrap_or((rest, ""));
    Some((number.parse().ok(), rest))
}

fn flat(moments: &[Moments]) -> Vec<f64> {
    moments.iter().flat_map(|m| [m.mean, m.square, m.steps]).collect()
}

fn moments(flat: &[f64]) -> Vec<Moments> {
    let one = |&[mean, square, steps]: &[f64; 3]| Moments { mean, square, steps };
    flat.as_chunks().0.iter().map(one).collect()
}

fn sized<T>(values: Vec<T>, n: usize) -> Result<Vec<T>> {
    if values.len() == n {
        return Ok(values);
    }
    let got = format!("{} numbers", values.len());
    let expected = format!("{n}, those of a run on the same tasks");
    Err(Error::argument("multi-task", "state", got, expected))
}

/// Numbers bit for bit: 16 bits in each `f32` of `[n, 4]`.
fn put(dict: &mut StateDict, name: &str, values: &[f64]) {
    let pieces: Vec<f32> = values
        .iter()
        .flat_map(|v| {
            let bits = v.to_bits();
            [48, 32, 16, 0].map(|shift| ((bits >> shift) & 0xffff) as f32)
        })
        .collect();
    if let Ok(tensor) = Tensor::from_vec(pieces, [values.len(), 4]) {
        dict.insert(name, Weight::new(&tensor));
    }
}

fn numbers(dict: &StateDict, name: &str) -> Result<Vec<f64>> {
    let pieces = dict.tensor(name)?.to_vec();
    let number = |p: &[f32; 4]| {
        f64::from_bits(p.iter().fold(0, |bits, piece| (bits << 16) | u64::from(*piece as u16)))
    };
    Ok(pieces.as_chunks().0.iter().map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let mut memory = Memory::new(2);
        memory.losses.epochs = vec![vec![0.1, f32::NAN]];
        memory.losses.last[0] = 1.0 / 3.0;
        memory.gradients.cosines = vec![std::f64::consts::PI, -1e-300, 0.0, f64::MIN_POSITIVE];
        memory.learned.step(1, 0.3, 0.01);
        memory.grad_norm.update(&[0, 1], &[3.0, 1.0], &[0.7, 0.2], 1.5, 0.1).unwrap();
        memory.averages.insert((1, "trunk.0.weight".into()), Tensor::ones(3));
        memory.affinity.see(&[vec![0.1, 0.2], vec![f64::NAN, 0.3]]);
        memory.now.whole.sums[1][2] = 0.1;
        memory.end_epoch();
        memory.now.layers.insert("trunk.0".into(), Pairs::new(2));
        memory.batches = 7;
        let saved = StateDict::from_bytes(memory.save().to_bytes().unwrap()).unwrap();
        let back = Memory::load(&saved, 2).unwrap();
        assert_eq!(back.save().to_bytes().unwrap(), memory.save().to_bytes().unwrap());
        assert_eq!(back.seen, memory.seen);
        assert_eq!(back.now, memory.now);
        assert_eq!(back.grad_norm.weights, memory.grad_norm.weights);
        assert!(Memory::load(&saved, 3).is_err());
        let mut hostile = saved;
        put(&mut hostile, "batches", &[7.0, 1e18]);
        assert!(Memory::load(&hostile, 2).is_err());
    }
}
