//! An optimiser: a rule with groups, clipping and a schedule.

use super::{
    Group, OptimizerState, ParamState,
    clip::{Clip, sum_of_squares},
    rule::{self, Rule, StepInfo},
};
use crate::{Error, Glob, Module, ModuleExt, Param, Plateau, Result, Schedule, module::no_match};
use std::collections::HashMap;
use tl_tensor::{Gradients, Tensor};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The learning rate of parameters in no group.
    pub lr: f32,
    /// The norm of all gradients before clipping; 0 unless clipping by norm.
    pub grad_norm: f32,
}

/// A parameter of the model as the optimiser sees it.
#[derive(Clone, Debug)]
struct Entry {
    path: String,
    lr: f32,
    weight_decay: f32,
    /// The entry that holds the same variable.
    tied_to: Option<usize>,
    state: ParamState,
}

/// An update rule with parameter groups, gradient clipping and a schedule.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{AdamW, Ctx, Forward, Linear, Optimizer, Schedule};
/// use tl_tensor::Tensor;
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let mut model = Linear::new(3, 1, &mut rng);
/// let mut optimizer = Optimizer::new(AdamW::new(1e-2))
///     .group("bias", |g| g.weight_decay(0.0))?
///     .clip_norm(1.0)
///     .schedule(Schedule::cosine(100, 0.0));
/// for _ in 0..100 {
///     let y = model.forward(&Tensor::ones([4, 3]), &mut Ctx::train(0))?;
///     let gradients = y.square().mean_all().backward()?;
///     optimizer.step(&mut model, &gradients)?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Frozen parameters get no state, no decay and no step. A trainable one
/// without a gradient is an error.
pub struct Optimizer {
    rule: Box<dyn Rule>,
    groups: Vec<(Glob, Group)>,
    clip: Clip,
    schedule: Schedule,
    plateau: Option<Plateau>,
    step: u64,
    entries: Vec<Entry>,
    scratch: Vec<f32>,
}

impl Optimizer {
    /// An optimiser for all trainable parameters, without clipping, at a
    /// constant rate.
    pub fn new(rule: impl Rule + 'static) -> Self {
        Self {
            rule: Box::new(rule),
            groups: Vec::new(),
            clip: Clip::default(),
            schedule: Schedule::Constant,
            plateau: None,
            step: 0,
            entries: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Settings for the parameters that a [`Glob`] names. Of several groups
    /// that name one, the later ones win, setting by setting.
    ///
    /// # Errors
    /// The pattern is not valid. That it matches nothing shows at the first step.
    pub fn group(mut self, pattern: &str, set: impl FnOnce(Group) -> Group) -> Result<Self> {
        self.groups.push((Glob::new(pattern)?, set(Group::default())));
        self.entries.clear();
        Ok(self)
    }

    /// Scales all gradients together to at most this norm.
    #[must_use]
    pub fn clip_norm(mut self, most: f32) -> Self {
        self.clip.norm = Some(most);
        self
    }

    /// Clips every number of a gradient to `-most..=most`.
    #[must_use]
    pub fn clip_value(mut self, most: f32) -> Self {
        self.clip.value = Some(most);
        self
    }

    /// Sets the schedule.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Lets the rate fall when an observed metric stays; see
    /// [`observe`](Self::observe).
    #[must_use]
    pub fn plateau(mut self, plateau: Plateau) -> Self {
        self.plateau = Some(plateau);
        self
    }

    /// Tells the plateau watch a metric, usually once an epoch.
    pub fn observe(&mut self, metric: f64) {
        if let Some(plateau) = &mut self.plateau {
            plateau.observe(metric);
        }
    }

    /// The base rate of parameters in no group.
    pub fn lr(&self) -> f32 {
        self.rule.lr()
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The factor of all base rates at the next step.
    pub fn factor(&self) -> f32 {
        let plateau = self.plateau.as_ref().map_or(1.0, Plateau::factor);
        (self.schedule.factor(self.step) * plateau) as f32
    }

    /// One step with these gradients.
    ///
    /// # Errors
    /// A trainable parameter has no gradient; a group names no parameter; a loaded
    /// state of a parameter of another size. Nothing has changed then.
    pub fn step<M: Module>(&mut self, model: &mut M, gradients: &Gradients) -> Result<StepReport> {
        self.meet(model)?;
        let mut squares = 0.0_f64;
        for (path, param) in model.params() {
            if param.is_frozen() {
                continue;
            }
            let Some(gradient) = gradients.get(param.tensor()) else {
                return Err(Error::NoGradient { path });
            };
            if self.clip.norm.is_some() {
                squares += sum_of_squares(gradient);
            }
        }
        let norm = squares.sqrt() as f32;
        let scale = self.clip.scale(norm);
        let factor = self.factor();
        let Self { rule, entries, scratch, clip, .. } = self;
        let rule = rule.as_ref();
        let mut written: HashMap<usize, Tensor> = HashMap::new();
        let mut index = 0;
        model.for_each_param(|_, param| {
            let at = index;
            index += 1;
            if param.is_frozen() {
                return Ok(());
            }
            if let Some(first) = entries[at].tied_to {
                if let Some(data) = written.get(&first) {
                    param.set_data(data)?;
                }
                return Ok(());
            }
            let Some(gradient) = gradients.get(param.tensor()) else { return Ok(()) };
            let entry = &mut entries[at];
            let gradient = gradient.contiguous();
            let plain = gradient.value().as_slice().unwrap_or(&[]);
            update(rule, entry, param, clip.apply(plain, scale, scratch), factor);
            if entries.iter().any(|e| e.tied_to == Some(at)) {
                written.insert(at, param.tensor().clone());
            }
            Ok(())
        })?;
        self.step += 1;
        Ok(StepReport { lr: self.rule.lr() * factor, grad_norm: norm })
    }

    /// Makes the list of parameters that of the model.
    fn meet<M: Module>(&mut self, model: &mut M) -> Result<()> {
        let (mut index, mut same) = (0, true);
        let entries = &self.entries;
        model.for_each_param(|path, _| {
            same &= entries.get(index).is_some_and(|e| e.path == path);
            index += 1;
            Ok(())
        })?;
        if same && index == self.entries.len() && index > 0 {
            return Ok(());
        }
        let params = model.params();
        let known: Vec<String> = params.iter().map(|(path, _)| path.clone()).collect();
        for (glob, _) in &self.groups {
            if !known.iter().any(|path| glob.matches(path)) {
                return Err(no_match(glob.as_str(), "parameter", &known));
            }
        }
        for entry in &self.entries {
            let own = params.iter().find(|(path, _)| *path == entry.path);
            let Some((path, param)) = own else { continue };
            let numbers = param.tensor().numel();
            if let Some(slot) = entry.state.slots.iter().find(|s| s.len() != numbers) {
                return Err(Error::Weights(format!(
                    "the optimiser state of `{path}` is for {} numbers, it has {numbers}",
                    slot.len(),
                )));
            }
        }
        let mut old: HashMap<String, ParamState> =
            self.entries.drain(..).map(|e| (e.path, e.state)).collect();
        for (i, (path, param)) in params.iter().enumerate() {
            let tied_to =
                params[..i].iter().position(|(_, p)| p.tensor().same_variable(param.tensor()));
            let (mut lr, mut lr_factor) = (self.rule.lr(), 1.0);
            let mut weight_decay = self.rule.weight_decay();
            for (_, group) in self.groups.iter().filter(|(glob, _)| glob.matches(path)) {
                lr = group.lr.unwrap_or(lr);
                lr_factor = group.lr_factor.unwrap_or(lr_factor);
                weight_decay = group.weight_decay.unwrap_or(weight_decay);
            }
            let lr = lr * lr_factor;
            let state = old.remove(path).unwrap_or_default();
            self.entries.push(Entry { path: path.clone(), lr, weight_decay, tied_to, state });
        }
        Ok(())
    }

    /// Everything that later steps depend on.
    pub fn state(&self) -> OptimizerState {
        OptimizerState {
            step: self.step,
            params: self
                .entries
                .iter()
                .filter(|e| e.state.steps > 0)
                .map(|e| (e.path.clone(), e.state.clone()))
                .collect(),
            plateau: self.plateau.clone(),
        }
    }

    /// Goes on from a state. Groups, clipping and schedule stay as they are.
    ///
    /// # Errors
    /// The state is that of another rule.
    pub fn load_state(&mut self, state: OptimizerState) -> Result<()> {
        let slots = self.rule.slots();
        if let Some((path, s)) = state.params.iter().find(|(_, s)| s.slots.len() != slots) {
            return Err(Error::Weights(format!(
                "the optimiser state of `{path}` has {} slots, `{}` has {slots}",
                s.slots.len(),
                self.rule.name(),
            )));
        }
        self.step = state.step;
        if state.plateau.is_some() {
            self.plateau = state.plateau;
        }
        // Paths without settings: the next step looks them up.
        self.entries = state
            .params
            .into_iter()
            .map(|(path, state)| Entry { path, lr: 0.0, weight_decay: 0.0, tied_to: None, state })
            .collect();
        self.entries.push(Entry {
            path: "\0".to_owned(),
            lr: 0.0,
            weight_decay: 0.0,
            tied_to: None,
            state: ParamState::default(),
        });
        Ok(())
    }
}

impl Clone for Optimizer {
    fn clone(&self) -> Self {
        Self {
            rule: self.rule.boxed(),
            groups: self.groups.clone(),
            clip: self.clip,
            schedule: self.schedule.clone(),
            plateau: self.plateau.clone(),
            step: self.step,
            entries: self.entries.clone(),
            scratch: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Optimizer")
            .field("rule", &self.rule.name())
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

fn update(rule: &dyn Rule, entry: &mut Entry, param: &mut Param, g: &[f32], factor: f32) {
    let state = &mut entry.state;
    if state.slots.is_empty() {
        state.slots = vec![vec![0.0; g.len()]; rule.slots()];
    }
    state.steps += 1;
    let info =
        StepInfo { lr: entry.lr * factor, weight_decay: entry.weight_decay, step: state.steps };
    let mut slots: smallvec::SmallVec<[&mut [f32]; 3]> =
        state.slots.iter_mut().map(Vec::as_mut_slice).collect();
    param.update_from(|old, p| rule::run(rule, info, (old, p), g, &mut slots));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdamW, Ctx, Forward, Linear, Sgd};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn model() -> Linear {
        Linear::new(3, 2, &mut ChaCha8Rng::seed_from_u64(1))
    }

    fn gradients(model: &Linear) -> Gradients {
        let x = Tensor::linspace(-1.0, 1.0, 12).reshape([4, 3]).unwrap();
        model.forward(&x, &mut Ctx::eval()).unwrap().square().sum_all().backward().unwrap()
    }

    fn numbers(model: &Linear) -> Vec<f32> {
        model.params().iter().flat_map(|(_, p)| p.tensor().to_vec()).collect()
    }

    #[test]
    fn frozen_parameters_stay_bit_for_bit() {
        let mut model = model();
        model.freeze("bias").unwrap();
        let before = model.bias.as_ref().unwrap().tensor().to_vec();
        let mut optimizer = Optimizer::new(AdamW::new(0.1).weight_decay(0.5));
        for _ in 0..3 {
            let g = gradients(&model);
            optimizer.step(&mut model, &g).unwrap();
        }
        assert_eq!(model.bias.as_ref().unwrap().tensor().to_vec(), before);
        assert_eq!(optimizer.state().params.len(), 1);
    }

    #[test]
    fn a_missing_gradient_or_group_is_an_error_and_changes_nothing() {
        let mut model = model();
        let before = numbers(&model);
        let g = model.weight.tensor().sum_all().backward().unwrap();
        let error = Optimizer::new(Sgd::new(0.1)).step(&mut model, &g).unwrap_err();
        assert!(matches!(error, Error::NoGradient { path } if path == "bias"));
        let mut wrong = Optimizer::new(Sgd::new(0.1)).group("head.**", |g| g.lr(1.0)).unwrap();
        let g = gradients(&model);
        let error = wrong.step(&mut model, &g).unwrap_err();
        assert!(error.to_string().contains("weight, bias"), "{error}");
        assert_eq!(numbers(&model), before);
    }

    #[test]
    fn groups_have_their_own_rate() {
        let mut model = model();
        let (weight, bias) = (model.weight.tensor().to_vec(), model.bias.clone());
        let mut optimizer = Optimizer::new(Sgd::new(0.1)).group("weight", |g| g.lr(0.0)).unwrap();
        let g = gradients(&model);
        optimizer.step(&mut model, &g).unwrap();
        assert_eq!(model.weight.tensor().to_vec(), weight);
        assert_ne!(model.bias.unwrap().tensor().to_vec(), bias.unwrap().tensor().to_vec());
    }

    /// Setting by setting: a later factor takes the place of an earlier one.
    #[test]
    fn of_several_groups_the_later_one_wins() {
        let moved = |groups: &[(&str, f32)]| {
            let mut model = model();
            let before = model.weight.tensor().to_vec();
            let mut optimizer = Optimizer::new(Sgd::new(0.1));
            for (pattern, factor) in groups {
                optimizer = optimizer.group(pattern, |g| g.lr_factor(*factor)).unwrap();
            }
            let g = gradients(&model);
            optimizer.step(&mut model, &g).unwrap();
            model.weight.tensor().to_vec()[0] - before[0]
        };
        assert_eq!(moved(&[("**", 0.5), ("weight", 0.1)]), moved(&[("weight", 0.1)]));
    }

    #[test]
    fn a_state_of_another_size_is_refused() {
        let mut small = Linear::new(2, 2, &mut ChaCha8Rng::seed_from_u64(1));
        let mut optimizer = Optimizer::new(AdamW::new(0.1));
        let loss = small.weight.tensor().square().sum_all();
        let loss = loss.add(&small.bias.as_ref().unwrap().tensor().square().sum_all()).unwrap();
        optimizer.step(&mut small, &loss.backward().unwrap()).unwrap();
        let mut other = Optimizer::new(AdamW::new(0.1));
        other.load_state(optimizer.state()).unwrap();
        let mut large = model();
        let (before, g) = (numbers(&large), gradients(&large));
        let error = other.step(&mut large, &g).unwrap_err().to_string();
        assert!(error.contains("for 4 numbers, it has 6"), "{error}");
        assert_eq!(numbers(&large), before);
    }

    #[test]
    fn a_loaded_state_goes_on_bit_for_bit() {
        let run = |interrupt: bool| {
            let mut model = model();
            let new = || Optimizer::new(AdamW::new(0.1)).schedule(Schedule::cosine(10, 0.0));
            let mut optimizer = new();
            for step in 0..10 {
                if interrupt && step == 4 {
                    let state = optimizer.state();
                    optimizer = new();
                    optimizer.load_state(state).unwrap();
                }
                let g = gradients(&model);
                optimizer.step(&mut model, &g).unwrap();
            }
            numbers(&model)
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn clipping_bounds_the_norm() {
        let mut model = model();
        let before = numbers(&model);
        let g = gradients(&model);
        let report = Optimizer::new(Sgd::new(1.0)).clip_norm(0.01).step(&mut model, &g).unwrap();
        let moved: f32 = numbers(&model).iter().zip(&before).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(report.grad_norm > 0.01);
        approx::assert_relative_eq!(moved.sqrt(), 0.01, max_relative = 1e-3);
    }

    #[test]
    fn a_tied_parameter_is_stepped_once() {
        #[derive(Clone)]
        struct Tied {
            a: Param,
            b: Param,
        }
        crate::module!(Tied { a, b });
        let a = Param::new(Tensor::scalar(1.0));
        let mut model = Tied { b: a.tied(), a };
        let mut optimizer = Optimizer::new(Sgd::new(0.5));
        for _ in 0..2 {
            let loss = model.a.tensor().add(model.b.tensor()).unwrap();
            let g = loss.backward().unwrap();
            optimizer.step(&mut model, &g).unwrap();
        }
        assert_eq!(model.a.tensor().item().unwrap(), -1.0);
        assert_eq!(model.b.tensor().item().unwrap(), -1.0);
    }
}
