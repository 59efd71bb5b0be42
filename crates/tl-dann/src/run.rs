//! A run of the builder: its data and its stages.

use crate::{
    Adaptation, Classifier, Discriminator, Domains, Evidence, Method, Result, Validator,
    adapt_batch_norm,
    method::{Adda, AddaPlayers, Mcd, McdPlayers, SelfTraining, align::Align},
    objective::{Aligned, Watch},
};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tl_data::{Batching, Dataset, Several};
use tl_nn::{Forward, Linear, ModuleExt, TrainReport};

/// The data of a run, split.
pub(crate) struct Run<'a> {
    settings: &'a Adaptation,
    /// The domains with the held-out samples taken from the sources.
    domains: Domains,
    pub(crate) held: Dataset,
    data: Several,
    rng: ChaCha8Rng,
}

impl<'a> Run<'a> {
    pub(crate) fn new(settings: &'a Adaptation, domains: &Domains) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let (mut held, mut kept) = (Vec::new(), Vec::new());
        for source in domains.sources() {
            // Nothing to hold out: the validators see what is trained on.
            let none = settings.held_out * (source.len() as f64) < 2.0;
            let (a, b) = if none {
                (source.clone(), source.clone())
            } else {
                source.split(settings.held_out, &mut rng)?
            };
            held.push(a);
            kept.push(b);
        }
        let size = |n: usize| settings.batch.min(n);
        let mut loaders = Vec::new();
        for source in &kept {
            let batching = Batching::new(size(source.len())).drop_last(true);
            let seed = rng.next_u64();
            let batching =
                if settings.balanced { batching.balanced(seed) } else { batching.shuffled(seed) };
            loaders.push(domains.batches(source, batching)?);
        }
        for set in domains.labelled().into_iter().chain([domains.target()]) {
            let batching = Batching::new(size(set.len())).drop_last(true);
            loaders.push(domains.batches(set, batching.shuffled(rng.next_u64()))?);
        }
        let domains = domains.with_sources(kept);
        let held = held.swap_remove(0);
        Ok(Self { settings, domains, held, data: Several::new(loaders)?, rng })
    }

    pub(crate) fn stages<M: Forward>(&mut self, model: &mut Classifier<M>) -> Result<TrainReport> {
        let report = self.method(model)?;
        if !self.settings.refined {
            return Ok(report);
        }
        let watch = self.watch(true)?;
        self.settings.shot(model, &self.domains, Some(watch))
    }

    fn method<M: Forward>(&mut self, model: &mut Classifier<M>) -> Result<TrainReport> {
        let settings = self.settings;
        match settings.method {
            Method::Adda => {
                self.align(model, None, false)?;
                self.adda(model)
            }
            Method::Mcd { steps } => self.mcd(model, steps),
            Method::Shot => {
                self.align(model, None, false)?;
                let watch = self.watch(true)?;
                settings.shot(model, &self.domains, Some(watch))
            }
            Method::PseudoLabels { confidence } => {
                self.align(model, None, false)?;
                self.align(model, Some(Box::new(SelfTraining::confident(confidence))), true)
            }
            Method::Cbst { first, last } => {
                self.align(model, None, false)?;
                self.align(model, Some(Box::new(SelfTraining::balanced(first, last))), true)
            }
            Method::Dsbn => {
                let first = Method::Dann.align(&self.domains)?;
                self.align(model, first, false)?;
                self.align(model, Some(Box::new(SelfTraining::balanced(0.5, 1.0))), true)
            }
            method => {
                let align = method.align(&self.domains)?;
                let report = self.align(model, align, true)?;
                if method == Method::AdaBn {
                    let _ = adapt_batch_norm(model, self.domains.target(), settings.batch)?;
                }
                Ok(report)
            }
        }
    }

    /// What the epochs of a stage are judged by, if it is the one that counts.
    fn watch(&self, choose: bool) -> Result<Watch> {
        let validator = self.settings.validator.filter(|_| choose);
        let (target, domain) = (self.domains.some_target(2000)?, self.domains.target_domain());
        Ok(Watch { validator, held: self.held.clone(), target, domain })
    }

    fn align<M: Forward>(
        &mut self,
        model: &mut Classifier<M>,
        align: Option<Box<dyn Align>>,
        choose: bool,
    ) -> Result<TrainReport> {
        let settings = self.settings;
        let watch = self.watch(choose)?;
        let watched = watch.validator.is_some();
        let numbers = (settings.weight, settings.epochs);
        let mut objective = Aligned::new(align, &self.domains, watch, numbers);
        let mut players = objective.players(model, &mut self.rng)?;
        let report = settings.trainer(self.data.len(), watched).run(
            &mut players,
            |epoch| self.data.epoch(epoch as u64),
            &mut objective,
        )?;
        *model = players.model;
        Ok(report)
    }

    fn adda<M: Forward>(&mut self, model: &mut Classifier<M>) -> Result<TrainReport> {
        let settings = self.settings;
        let width = model.head.weight.dims()[1];
        let discriminator = Discriminator::new(width, 128, &mut self.rng);
        let watch = self.watch(true)?;
        let watched = watch.validator.is_some();
        let mut objective = Adda::new(&model.encoder, watch);
        let mut target = model.clone();
        // The head belongs to the source: it gets no gradient.
        let _ = target.freeze("head.**")?;
        let mut players = AddaPlayers { model: target, discriminator };
        // The encoder moves far more slowly than the discriminator, or it fools it
        // by forgetting the classes: nothing but its start holds them.
        let optimizer = settings
            .optimizer(settings.epochs * self.data.len())
            .group("model.**", |group| group.lr_factor(0.03))?;
        let report = settings.trainer_with(optimizer, watched).run(
            &mut players,
            |epoch| self.data.epoch(epoch as u64),
            &mut objective,
        )?;
        model.encoder = players.model.encoder;
        Ok(report)
    }

    fn mcd<M: Forward>(&mut self, model: &mut Classifier<M>, steps: usize) -> Result<TrainReport> {
        let settings = self.settings;
        let [classes, width] = [0, 1].map(|axis| model.head.weight.dims()[axis]);
        let second = Linear::new(width, classes, &mut self.rng);
        let all = settings.epochs * self.data.len();
        // No source loss holds the encoder in its steps against the heads.
        let slower = Adaptation { lr: 0.3 * settings.lr, ..*settings };
        let optimizers = (settings.optimizer(all), slower.optimizer(all * steps));
        let watch = self.watch(true)?;
        let watched = watch.validator.is_some();
        let mut objective = Mcd::new(steps, watch, optimizers);
        let mut players = McdPlayers { model: model.clone(), second };
        let report = settings.trainer(self.data.len(), watched).run(
            &mut players,
            |epoch| self.data.epoch(epoch as u64),
            &mut objective,
        )?;
        *model = players.model;
        Ok(report)
    }
}

/// What every validator says of a model, for a target that is domain 1 (one
/// source).
///
/// # Errors
/// A source without classes; those of the model.
pub fn scores<M: Forward>(
    model: &Classifier<M>,
    source: &Dataset,
    target: &Dataset,
) -> Result<Vec<(Validator, f64)>> {
    scores_in(model, source, target, 1)
}

pub(crate) fn scores_in<M: Forward>(
    model: &Classifier<M>,
    source: &Dataset,
    target: &Dataset,
    domain: usize,
) -> Result<Vec<(Validator, f64)>> {
    let (s, t) = (model.see_source(source)?, model.see(target, domain)?);
    let evidence = Evidence {
        source_features: &s.features,
        source_logits: &s.logits,
        source_labels: source.labels()?,
        target_features: &t.features,
        target_logits: &t.logits,
    };
    Validator::ALL.into_iter().map(|v| Ok((v, v.score(&evidence)?))).collect()
}
