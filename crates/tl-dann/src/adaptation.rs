//! The builder: a classifier that learns from source labels and target samples.

use crate::{
    Classifier, Domains, Error, Method, Result, Validator, Warning, adapt_batch_norm,
    method::Shot,
    objective::{METRIC, Watch, by_domain},
    run::{Run, scores_in},
    warnings,
};
use serde::{Deserialize, Serialize};
use tl_data::{Batching, Dataset};
use tl_nn::{AdamW, EarlyStopping, Forward, ModuleExt, Optimizer, Schedule, TrainReport, Trainer};

/// Trains a [`Classifier`] on labelled source samples so that it works on the
/// target, of which only features are ever looked at.
///
/// The source loss is the cross entropy; the method's term has a weight that
/// grows with [`reversal_strength`](crate::reversal_strength), except where the
/// [method](Method) is trained in two stages: those train the source model for
/// `epochs` first and then adapt it for as many.
///
/// Batch normalisation: each domain is normalised by the statistics of its own
/// batch, and the running statistics follow the target, except in a baseline that
/// does not look at it. So what comes out is a model for the target.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_dann::{Adaptation, Classifier, Method};
/// use tl_data::samples;
/// use tl_nn::{Act, Flatten, Linear, Sequential};
/// # fn main() -> tl_dann::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let (source, target) = (samples::digits(), samples::mnist_8x8().0.without_targets());
/// let encoder = Sequential::new()
///     .push(Flatten).push(Linear::new(64, 32, &mut rng)).push(Act::Relu);
/// let mut model = Classifier { encoder, head: Linear::new(32, 10, &mut rng) };
/// let report = Adaptation::new(Method::DeepCoral).epochs(2).fit(&mut model, &source, &target)?;
/// assert_eq!(report.scores.len(), 6); // what every validator says, without target labels
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptation {
    /// How the domains are brought together.
    pub method: Method,
    /// What that weighs beside the source loss, growing from 0 as with
    /// [`reversal_strength`](crate::reversal_strength). Default 1; 10 for Deep
    /// CORAL, 0.1 for DeepJDOT and MDD, 0.05 for AFN.
    pub weight: f32,
    /// Passes over the longest of the sets, in each stage. Default 15.
    pub epochs: usize,
    /// Samples of each domain in a step. Default 64.
    pub batch: usize,
    /// The rate of AdamW, with a cosine schedule. Default 2e-3.
    pub lr: f32,
    /// The part of the source that is held out for the validators. Default 0.2.
    pub held_out: f64,
    /// Whether source classes are drawn equally often, for a source whose classes
    /// are of very different sizes. Default: no.
    #[serde(default)]
    pub balanced: bool,
    /// Whether a stage of as many epochs on the target alone follows: SHOT's, as
    /// DIRT-T (Shu et al. 2018) does after adversarial training. Default: no.
    #[serde(default)]
    pub refined: bool,
    /// What the epoch whose model is kept is chosen by, without target labels;
    /// none for the last epoch. Default: information maximisation, but none for
    /// source only and AdaBN (a baseline must not see the target), for partial and
    /// open sets, where it would be wrong, and for ADDA, MCD and SHOT, which end
    /// with their last epoch as in their papers.
    pub validator: Option<Validator>,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
}

/// What became of a run, seen without target labels.
#[derive(Clone, Debug)]
pub struct Adapted {
    /// The training; `best` is the epoch that the validator chose.
    pub train: TrainReport,
    /// What every validator says of the result; higher is better.
    pub scores: Vec<(Validator, f64)>,
    /// What looks wrong, as far as that shows without target labels.
    pub warnings: Vec<Warning>,
}

impl Adapted {
    /// What one validator says; NaN if it was not asked.
    pub fn score(&self, validator: Validator) -> f64 {
        self.scores.iter().find(|(v, _)| *v == validator).map_or(f64::NAN, |(_, score)| *score)
    }
}

impl Adaptation {
    /// With the defaults.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            weight: method.weight(),
            epochs: 15,
            batch: 64,
            lr: 2e-3,
            held_out: 0.2,
            balanced: false,
            refined: false,
            validator: method.validator(),
            seed: 0,
        }
    }

    /// Sets the passes over the longest of the sets.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sets the weight of the adaptation.
    #[must_use]
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the rate.
    #[must_use]
    pub fn lr(mut self, lr: f32) -> Self {
        self.lr = lr;
        self
    }

    /// Sets what all randomness is drawn from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Draws source classes equally often.
    #[must_use]
    pub fn balanced(mut self) -> Self {
        self.balanced = true;
        self
    }

    /// Adds a last stage on the target alone: SHOT's information maximisation and
    /// pseudo-labels, with the head frozen.
    #[must_use]
    pub fn refined(mut self) -> Self {
        self.refined = true;
        self
    }

    /// Sets what the epoch is chosen by; none for the last one.
    #[must_use]
    pub fn validator(mut self, validator: Option<Validator>) -> Self {
        self.validator = validator;
        self
    }

    /// Trains. Labels that `target` may have are dropped before anything else.
    ///
    /// # Errors
    /// As [`fit_domains`](Self::fit_domains).
    pub fn fit<M: Forward>(
        &self,
        model: &mut Classifier<M>,
        source: &Dataset,
        target: &Dataset,
    ) -> Result<Adapted> {
        self.fit_domains(model, &Domains::new(source, target))
    }

    /// Trains on any number of sources, with or without some target labels.
    ///
    /// # Errors
    /// A source without classes; sets that do not fit together; settings out of
    /// range; a model without the layers that the method is about; those of the
    /// model. The model is as before then.
    pub fn fit_domains<M: Forward>(
        &self,
        model: &mut Classifier<M>,
        domains: &Domains,
    ) -> Result<Adapted> {
        self.check(model, domains)?;
        let mut run = Run::new(self, domains)?;
        let mut fitted = model.clone();
        let train = run.stages(&mut fitted)?;
        let scores = scores_in(&fitted, &run.held, domains.target(), domains.target_domain())?;
        let seen = fitted.see(domains.target(), domains.target_domain())?;
        let source = &domains.sources()[0];
        let warnings = warnings(&seen.logits, source.labels()?)?;
        *model = fitted;
        Ok(Adapted { train, scores, warnings })
    }

    /// Adapts a trained model with the target alone: [`Method::Shot`] and
    /// [`Method::AdaBn`] need no source data. Returns the training, if any.
    ///
    /// # Errors
    /// Another method; a validator; as [`fit`](Self::fit).
    pub fn fit_source_free<M: Forward>(
        &self,
        model: &mut Classifier<M>,
        target: &Dataset,
    ) -> Result<Option<TrainReport>> {
        if let Some(validator) = self.validator {
            let expected = "none: without source samples no validator can judge";
            let got = format!("{validator:?}");
            return Err(Error::argument("source-free", "validator", got, expected));
        }
        match self.method {
            Method::AdaBn => {
                let _ = adapt_batch_norm(model, target, self.batch)?;
                Ok(None)
            }
            Method::Shot => {
                let mut fitted = model.clone();
                let report = self.shot(&mut fitted, &Domains::target_alone(target), None)?;
                *model = fitted;
                Ok(Some(report))
            }
            other => {
                let expected = "SHOT or AdaBN, which do without source data";
                Err(Error::argument("source-free", "method", other.name(), expected))
            }
        }
    }

    fn check<M: Forward>(&self, model: &Classifier<M>, domains: &Domains) -> Result<()> {
        let range = self.epochs > 0
            && self.batch > 1
            && (0.0..1.0).contains(&self.held_out)
            && self.lr > 0.0
            && self.weight >= 0.0;
        if !range {
            let got = format!("{self:?}");
            let expected = "epochs of 1 or more, batches of 2 or more, held_out in 0 to below 1, \
                            a rate above 0 and a weight of 0 or more";
            return Err(Error::argument("adaptation", "settings", got, expected));
        }
        self.method.check()?;
        domains.check()?;
        let (have, outputs) = (domains.sources()[0].classes(), model.head.weight.dims()[0]);
        let (need, why) = match self.method {
            Method::Osbp { .. } => (have + 1, "the source's classes and one for what is unknown"),
            _ => (have, "the source's classes"),
        };
        if outputs < need {
            let expected = format!("{need} or more outputs: {why}");
            return Err(Error::argument("adaptation", "head", outputs, expected));
        }
        if self.method == Method::Dsbn && !by_domain(model) {
            let expected = "a model with DomainBatchNorm layers of two domains";
            return Err(Error::argument("DSBN", "model", "without any", expected));
        }
        Ok(())
    }

    pub(crate) fn optimizer(&self, steps: usize) -> Optimizer {
        Optimizer::new(AdamW::new(self.lr)).schedule(Schedule::cosine(steps as u64, 0.0))
    }

    pub(crate) fn trainer(&self, steps: usize, watched: bool) -> Trainer<'static> {
        self.trainer_with(self.optimizer(self.epochs * steps), watched)
    }

    /// With another optimiser.
    pub(crate) fn trainer_with(&self, optimizer: Optimizer, watched: bool) -> Trainer<'static> {
        let trainer = Trainer::new(optimizer, self.epochs).seed(self.seed);
        if !watched {
            return trainer;
        }
        trainer.early_stopping(EarlyStopping::larger_is_better(METRIC).never_stop())
    }

    /// SHOT's second stage: the head is frozen.
    pub(crate) fn shot<M: Forward>(
        &self,
        model: &mut Classifier<M>,
        domains: &Domains,
        watch: Option<Watch>,
    ) -> Result<TrainReport> {
        let target = domains.target();
        let was: Vec<bool> = model.params().iter().map(|(_, p)| p.is_frozen()).collect();
        let _ = model.freeze("head.**")?;
        if by_domain(model) {
            // Layers of the sources are not on the way of target samples.
            let own = format!("domains.{}.", domains.target_domain());
            model.for_each_param(|path, p| {
                p.set_frozen(p.is_frozen() || path.contains("domains.") && !path.contains(&own));
                Ok(())
            })?;
        }
        let batching = Batching::new(self.batch.min(target.len()));
        let loader = domains.batches(target, batching.shuffled(self.seed).drop_last(true))?;
        let watched = watch.as_ref().is_some_and(|w| w.validator.is_some());
        let mut objective = Shot::new(target, domains.target_domain(), watch);
        let report = self.trainer(loader.len(), watched).run(
            model,
            |epoch| loader.epoch(epoch as u64),
            &mut objective,
        );
        let mut frozen = was.into_iter();
        model.for_each_param(|_, p| {
            p.set_frozen(frozen.next().unwrap_or(false));
            Ok(())
        })?;
        Ok(report?)
    }
}
