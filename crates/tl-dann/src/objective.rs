//! The objective of all methods that add something to the source loss.

use crate::{
    Classifier, Domains, Evidence, Result, Seen, Validator,
    method::align::{Align, Pair, Widths},
    reversal_strength,
};
use rand_chacha::ChaCha8Rng;
use tl_data::{Batch, Dataset};
use tl_nn::{
    CrossEntropy, Ctx, Forward, Losses, Metrics, Module, ModuleExt, Objective, Sequential, Tensor,
    module,
};

/// The model and who plays against it, one for each source.
#[derive(Clone, Debug)]
pub(crate) struct Players<M> {
    pub(crate) model: Classifier<M>,
    pub(crate) adversaries: Vec<Sequential>,
}
module!(impl<M: Module> Players<M> { model, adversaries });

/// What an epoch is judged by: source samples that are not trained on, and the
/// target.
pub(crate) struct Watch {
    pub(crate) validator: Option<Validator>,
    pub(crate) held: Dataset,
    pub(crate) target: Dataset,
    pub(crate) domain: usize,
}

impl Watch {
    /// What the validator says of a model, if there is one.
    pub(crate) fn metrics<M: Forward>(&self, model: &Classifier<M>) -> Result<Option<Metrics>> {
        let Some(validator) = self.validator else { return Ok(None) };
        let (source, target) =
            (model.see_source(&self.held)?, model.see(&self.target, self.domain)?);
        let evidence = Evidence {
            source_features: &source.features,
            source_logits: &source.logits,
            source_labels: self.held.labels()?,
            target_features: &target.features,
            target_logits: &target.logits,
        };
        Ok(Some(Metrics::from([(METRIC.to_owned(), validator.score(&evidence)?)])))
    }
}

/// The name of the validator's score in the history.
pub(crate) const METRIC: &str = "validator";

/// Source cross entropy, that of labelled target samples if there are any, and
/// the term of the method.
pub(crate) struct Aligned {
    align: Option<Box<dyn Align>>,
    weight: f64,
    watch: Watch,
    /// The whole target, for methods that renew themselves by it.
    target: Dataset,
    few: bool,
    sources: usize,
    /// Whether the model has statistics for each domain.
    by_domain: bool,
    epoch: usize,
    epochs: usize,
}

impl Aligned {
    pub(crate) fn new(
        align: Option<Box<dyn Align>>,
        domains: &Domains,
        watch: Watch,
        (weight, epochs): (f32, usize),
    ) -> Self {
        Self {
            align,
            weight: f64::from(weight),
            watch,
            target: domains.target().clone(),
            few: domains.labelled().is_some(),
            sources: domains.sources().len(),
            by_domain: false,
            epoch: 0,
            epochs,
        }
    }

    /// The model with its adversaries, and the method ready for the first epoch.
    pub(crate) fn players<M: Forward>(
        &mut self,
        model: &Classifier<M>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Players<M>> {
        let [classes, features] = *model.head.weight.dims() else {
            let got = format!("{:?}", model.head.weight.dims());
            return Err(crate::Error::argument("adaptation", "head", got, "[classes, features]"));
        };
        let mut adversaries = Vec::new();
        if let Some(align) = &mut self.align {
            let one = || align.adversary(Widths { features, classes }, rng);
            adversaries = std::iter::repeat_with(one).take(self.sources).flatten().collect();
        }
        self.by_domain = by_domain(model);
        self.renew(model)?;
        Ok(Players { model: model.clone(), adversaries })
    }

    fn renew<M: Forward>(&mut self, model: &Classifier<M>) -> Result<()> {
        if let Some(align) = self.align.as_mut().filter(|a| a.renews()) {
            let seen = model.see(&self.target, self.sources)?;
            // 1 in the last epoch that is trained, and after it.
            let last = self.epochs.max(2) - 1;
            align.renew(&seen, (self.epoch as f64 / last as f64).min(1.0))?;
        }
        Ok(())
    }

    /// The cross entropy of a labelled batch, and what the model made of it.
    fn task<M: Forward>(
        &self,
        model: &Classifier<M>,
        batch: &Batch,
        weights: Option<&Tensor>,
        cx: &mut Ctx,
    ) -> Result<(Tensor, Seen)> {
        let seen = model.pass(&batch.features, cx)?;
        let mut loss = CrossEntropy::new();
        if let Some(weights) = weights {
            loss = loss.weight(weights.clone());
        }
        Ok((loss.loss(&seen.logits, batch.labels()?)?, seen))
    }

    /// Task loss and term of every source.
    fn each<M: Forward>(
        &self,
        players: &Players<M>,
        sources: &[Batch],
        target: &Batch,
        strength: f64,
        cx: &mut Ctx,
    ) -> Result<Vec<(Tensor, Tensor)>> {
        let model = &players.model;
        let weights = self.align.as_ref().and_then(|a| a.class_weights());
        let mut tasks = Vec::with_capacity(sources.len());
        for (domain, batch) in sources.iter().enumerate() {
            cx.set_domain(domain);
            tasks.push(self.task(model, batch, weights, cx)?);
        }
        cx.set_domain(self.sources);
        let Some(align) = &self.align else {
            return Ok(tasks.into_iter().map(|(t, _)| (t, Tensor::scalar(0.0))).collect());
        };
        if !self.by_domain {
            // The running statistics are to be the target's.
            let _ = cx.take_updates();
        }
        let seen = model.pass(&target.features, cx)?;
        let pass = |x: &Tensor, cx: &mut Ctx| model.pass(x, cx);
        let term = |i: usize, source: &Seen, cx: &mut Ctx| {
            let pair = Pair {
                source,
                labels: sources[i].labels()?,
                target: &seen,
                places: &target.indices,
                samples: &target.features,
                adversary: players.adversaries.get(i),
                head: &model.head,
                pass: &pass,
                strength,
            };
            align.term(&pair, cx)
        };
        let tasks = tasks.into_iter().enumerate();
        tasks.map(|(i, (task, source))| Ok((task, term(i, &source, cx)?))).collect()
    }

    fn total<M: Forward>(
        &self,
        players: &Players<M>,
        batches: &[Batch],
        cx: &mut Ctx,
    ) -> Result<Losses> {
        let (sources, rest) = batches.split_at(self.sources);
        let target = &rest[rest.len() - 1];
        let grown = match &self.align {
            Some(align) if align.grows() => reversal_strength(cx.progress()),
            _ => 1.0,
        };
        let strength = grown * self.weight;
        let each = self.each(players, sources, target, strength, cx)?;
        // A discriminator learns at full weight; the encoder feels the reversed
        // gradient at the growing strength.
        let reversed = self.align.as_ref().is_some_and(|a| a.reversed());
        let factor = if reversed { 1.0 } else { strength };
        let mut total = match &self.align {
            Some(align) => align.combine(&each, factor)?,
            None => mean(each.iter().map(|(task, _)| task))?,
        };
        let mut few = None;
        if self.few {
            let (loss, _) = self.task(&players.model, &rest[0], None, cx)?;
            total = total.add(&loss)?;
            few = Some(loss);
        }
        let mut losses =
            Losses::new(total).part("source", &mean(each.iter().map(|(task, _)| task))?);
        if self.align.is_some() {
            losses = losses
                .part("alignment", &mean(each.iter().map(|(_, term)| term))?)
                .part("strength", &Tensor::scalar(strength as f32));
        }
        Ok(match few {
            Some(few) => losses.part("target_labels", &few),
            None => losses,
        })
    }
}

/// Whether a model has normalisation layers with a state for each domain.
pub(crate) fn by_domain<M: Module>(model: &M) -> bool {
    model.buffers().iter().any(|(path, _)| path.contains("domains.1."))
}

fn mean<'a>(parts: impl ExactSizeIterator<Item = &'a Tensor>) -> Result<Tensor> {
    let n = parts.len().max(1) as f32;
    let mut sum = Tensor::scalar(0.0);
    for part in parts {
        sum = sum.add(part)?;
    }
    Ok(sum.mul_scalar(1.0 / n))
}

impl<M: Forward> Objective<Players<M>, Vec<Batch>> for Aligned {
    /// Source and target pass the encoder one after the other, so each is
    /// normalised by its own batch statistics. Running ones follow the target
    /// alone: a mixture would fit neither domain when the model predicts.
    fn loss(
        &mut self,
        players: &Players<M>,
        batches: &Vec<Batch>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        Ok(self.total(players, batches, cx)?)
    }

    fn validate(&mut self, players: &Players<M>) -> tl_nn::Result<Option<Metrics>> {
        self.epoch += 1;
        self.renew(&players.model)?;
        Ok(self.watch.metrics(&players.model)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::sync::{Arc, Mutex};
    use tl_nn::Linear;

    /// Writes down at which part of the run it is renewed.
    struct Seeing(Arc<Mutex<Vec<f64>>>);

    impl Align for Seeing {
        fn term(&self, _: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
            Ok(Tensor::scalar(0.0))
        }

        fn renews(&self) -> bool {
            true
        }

        fn renew(&mut self, _: &Seen, progress: f64) -> Result<()> {
            self.0.lock().unwrap().push(progress);
            Ok(())
        }
    }

    /// Self-training grows to what was asked for, not nearly.
    #[test]
    fn what_is_renewed_grows_from_the_first_epoch_to_the_last() {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let x = Tensor::randn([4, 2], rng);
        let source = Dataset::classification(x, vec![0, 1, 0, 1], ["a", "b"]).unwrap();
        let model = Classifier { encoder: Linear::new(2, 2, rng), head: Linear::new(2, 2, rng) };
        let domains = Domains::new(&source, &source);
        let target = source.clone();
        let watch = Watch { validator: None, held: source, target, domain: 1 };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let align: Box<dyn Align> = Box::new(Seeing(seen.clone()));
        let mut objective = Aligned::new(Some(align), &domains, watch, (1.0, 3));
        let players = objective.players(&model, rng).unwrap();
        for _ in 0..3 {
            objective.validate(&players).unwrap();
        }
        assert_eq!(*seen.lock().unwrap(), [0.0, 0.5, 1.0, 1.0]);
    }
}
