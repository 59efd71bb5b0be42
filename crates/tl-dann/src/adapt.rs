//! The builder: a classifier that learns from source labels and target samples.

use crate::{
    Discriminator, Error, Evidence, Kernels, MmdForm, Result, Validator, adapt_batch_norm,
    class_confusion, coral, domain_loss, entropy_weights, feature_norm, information_maximisation,
    joint_cost, joint_mmd, mdd_loss, mmd, multilinear, reversal_strength, reverse, sinkhorn,
    transport_cost,
};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batch, Batching, Dataset, Pairs};
use tl_nn::{
    AdamW, CrossEntropy, Ctx, Forward, Linear, Losses, Module, ModuleExt, Objective, Optimizer,
    Schedule, Tensor, TrainReport, Trainer,
};

/// A classifier in two parts: what is aligned between domains is the output of
/// the encoder, `[n, d]`.
#[derive(Clone, Debug)]
pub struct Classifier<M> {
    /// Features `[n, d]`.
    pub encoder: M,
    /// Logits.
    pub head: Linear,
}

impl<M: Module> Module for Classifier<M> {
    fn visit<'a>(&'a self, v: &mut dyn tl_nn::Visit<'a>) {
        v.enter("encoder");
        self.encoder.visit(v);
        v.leave();
        v.enter("head");
        self.head.visit(v);
        v.leave();
    }

    fn visit_mut(&mut self, v: &mut dyn tl_nn::VisitMut) {
        v.enter("encoder");
        self.encoder.visit_mut(v);
        v.leave();
        v.enter("head");
        self.head.visit_mut(v);
        v.leave();
    }
}

impl<M: Forward> Forward for Classifier<M> {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let features = self.encoder.forward(x, cx)?;
        self.head.forward(&features, cx)
    }
}

/// How the domains are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// Not at all: the baseline that any method has to beat.
    SourceOnly,
    /// Adversarial features (Ganin et al. 2016).
    Dann,
    /// Adversarial features given the prediction (Long et al. 2018), with
    /// entropy weights if `entropy` (CDAN+E).
    Cdan {
        /// Whether sure samples count more.
        entropy: bool,
    },
    /// Margin disparity discrepancy with `γ = 4` (Zhang et al. 2019).
    Mdd,
    /// Multi-kernel discrepancy of features (Long et al. 2015).
    Dan,
    /// Joint discrepancy of features and predictions (Long et al. 2017).
    Jan,
    /// Covariances (Sun and Saenko 2016).
    DeepCoral,
    /// Larger feature norms (Xu et al. 2019).
    Afn,
    /// Less confusion among target classes (Jin et al. 2020).
    Mcc,
    /// A transport plan over features and labels (Damodaran et al. 2018).
    DeepJdot,
    /// The target's statistics in batch normalisation, after training (Li et al.
    /// 2018).
    AdaBn,
    /// The source model alone, then information maximisation and pseudo-labels
    /// with a frozen head (Liang et al. 2020): source data are not needed then.
    Shot,
}

impl Method {
    /// What adds to the source loss weighs this much by default.
    fn weight(self) -> f32 {
        match self {
            Self::Afn => 0.05,
            Self::DeepCoral => 10.0,
            Self::DeepJdot => 0.1,
            _ => 1.0,
        }
    }
}

/// Trains a [`Classifier`] on labelled source samples so that it works on the
/// target, of which only features are ever looked at.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_dann::{Adaptation, Classifier, Method};
/// use tl_data::samples;
/// use tl_nn::{Act, Ctx, Flatten, Forward, Linear, Sequential};
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
    /// [`reversal_strength`].
    pub weight: f32,
    /// Passes over the longer of both sets. Default 15.
    pub epochs: usize,
    /// Samples of each domain in a step. Default 64.
    pub batch: usize,
    /// The rate of AdamW, with a cosine schedule. Default 2e-3.
    pub lr: f32,
    /// The part of the source that is held out for the validators. Default 0.2.
    pub held_out: f64,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
}

/// What became of a run, seen without target labels.
#[derive(Clone, Debug)]
pub struct Adapted {
    /// The training.
    pub train: TrainReport,
    /// What every validator says of the result; higher is better.
    pub scores: Vec<(Validator, f64)>,
}

impl Adaptation {
    /// With the defaults.
    pub fn new(method: Method) -> Self {
        let weight = method.weight();
        Self { method, weight, epochs: 15, batch: 64, lr: 2e-3, held_out: 0.2, seed: 0 }
    }

    /// Sets the passes over the longer of both sets.
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

    /// Sets what all randomness is drawn from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Trains. Labels that `target` may have are dropped before anything else.
    ///
    /// # Errors
    /// A source without classes; sets that are smaller than a batch; settings
    /// out of range; those of the model.
    pub fn fit<M: Forward>(
        &self,
        model: &mut Classifier<M>,
        source: &Dataset,
        target: &Dataset,
    ) -> Result<Adapted> {
        if self.epochs == 0 || self.batch < 2 || !(0.0..1.0).contains(&self.held_out) {
            let got = format!("{self:?}");
            let expected = "epochs of 1 or more, batches of 2 or more, held_out in 0 to below 1";
            return Err(Error::argument("adaptation", "settings", got, expected));
        }
        let target = target.without_targets();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let (held, train) = source.split(self.held_out.max(1e-9), &mut rng)?;
        let report = match self.method {
            Method::Shot => {
                let first = Self { method: Method::SourceOnly, ..*self };
                first.align(model, &train, &target, &mut rng)?;
                self.shot(model, &target)?
            }
            _ => self.align(model, &train, &target, &mut rng)?,
        };
        if self.method == Method::AdaBn {
            let _ = adapt_batch_norm(model, &target, self.batch)?;
        }
        let held = if held.len() < 2 { &train } else { &held };
        Ok(Adapted { train: report, scores: scores(model, held, &target)? })
    }

    fn optimizer(&self, steps: usize) -> Optimizer {
        Optimizer::new(AdamW::new(self.lr)).schedule(Schedule::cosine(steps as u64, 0.0))
    }

    fn align<M: Forward>(
        &self,
        model: &mut Classifier<M>,
        source: &Dataset,
        target: &Dataset,
        rng: &mut ChaCha8Rng,
    ) -> Result<TrainReport> {
        let batching =
            |seed: u64, n: usize| Batching::new(self.batch.min(n)).shuffled(seed).drop_last(true);
        let pairs = Pairs::new(
            source.batches(batching(rng.next_u64(), source.len()))?,
            target.batches(batching(rng.next_u64(), target.len()))?,
        );
        let (width, classes) = (model.head.weight.dims()[1], model.head.weight.dims()[0]);
        let seen = match self.method {
            Method::Cdan { .. } => width * classes,
            _ => width,
        };
        let adversary = match self.method {
            Method::Dann | Method::Cdan { .. } => {
                Some(Adversary::Domain(Discriminator::new(seen, 128, rng)))
            }
            Method::Mdd => Some(Adversary::Classes(Linear::new(width, classes, rng))),
            _ => None,
        };
        let mut both = Players { model: model.clone(), adversary };
        let optimizer = self.optimizer(self.epochs * pairs.len());
        let mut objective = Align { settings: *self };
        let report = Trainer::new(optimizer, self.epochs).seed(self.seed).run(
            &mut both,
            |epoch| pairs.epoch(epoch as u64),
            &mut objective,
        )?;
        *model = both.model;
        Ok(report)
    }

    /// SHOT's second stage: the head is frozen.
    fn shot<M: Forward>(&self, model: &mut Classifier<M>, target: &Dataset) -> Result<TrainReport> {
        let was: Vec<bool> = model.params().iter().map(|(_, p)| p.is_frozen()).collect();
        let _ = model.freeze("head.**")?;
        let loader = target.batches(
            Batching::new(self.batch.min(target.len())).shuffled(self.seed).drop_last(true),
        )?;
        let mut objective = Shot { labels: Vec::new(), target: target.clone() };
        let report = Trainer::new(self.optimizer(self.epochs * loader.len()), self.epochs)
            .seed(self.seed)
            .run(model, |epoch| loader.epoch(epoch as u64), &mut objective);
        let mut frozen = was.into_iter();
        model.for_each_param(|_, p| {
            p.set_frozen(frozen.next().unwrap_or(false));
            Ok(())
        })?;
        Ok(report?)
    }
}

/// What every validator says of a model.
///
/// # Errors
/// A source without classes; those of the model.
pub fn scores<M: Forward>(
    model: &Classifier<M>,
    source: &Dataset,
    target: &Dataset,
) -> Result<Vec<(Validator, f64)>> {
    let pass = |data: &Dataset| -> Result<(Tensor, Tensor)> {
        let features = model.encoder.forward(data.features(), &mut Ctx::eval())?.detach();
        let logits = model.head.forward(&features, &mut Ctx::eval())?.detach();
        Ok((features, logits))
    };
    let ((sf, sl), (tf, tl)) = (pass(source)?, pass(target)?);
    let evidence = Evidence {
        source_features: &sf,
        source_logits: &sl,
        source_labels: source.labels()?,
        target_features: &tf,
        target_logits: &tl,
    };
    Validator::ALL.into_iter().map(|v| Ok((v, v.score(&evidence)?))).collect()
}

/// The model and who plays against it.
#[derive(Clone, Debug)]
struct Players<M> {
    model: Classifier<M>,
    adversary: Option<Adversary>,
}

impl<M: Module> Module for Players<M> {
    fn visit<'a>(&'a self, v: &mut dyn tl_nn::Visit<'a>) {
        v.enter("model");
        self.model.visit(v);
        v.leave();
        v.enter("adversary");
        match &self.adversary {
            Some(Adversary::Domain(d)) => d.visit(v),
            Some(Adversary::Classes(c)) => c.visit(v),
            None => {}
        }
        v.leave();
    }

    fn visit_mut(&mut self, v: &mut dyn tl_nn::VisitMut) {
        v.enter("model");
        self.model.visit_mut(v);
        v.leave();
        v.enter("adversary");
        match &mut self.adversary {
            Some(Adversary::Domain(d)) => d.visit_mut(v),
            Some(Adversary::Classes(c)) => c.visit_mut(v),
            None => {}
        }
        v.leave();
    }
}

#[derive(Clone, Debug)]
enum Adversary {
    Domain(Discriminator),
    Classes(Linear),
}

struct Align {
    settings: Adaptation,
}

/// Features and logits of both domains.
struct Seen {
    features: (Tensor, Tensor),
    logits: (Tensor, Tensor),
}

impl Align {
    /// What is added to the source loss, without its weight.
    fn alignment<M: Forward>(
        &self,
        players: &Players<M>,
        seen: &Seen,
        source: &Batch,
        strength: f64,
        cx: &mut Ctx,
    ) -> Result<Option<Tensor>> {
        let (fs, ft) = (&seen.features.0, &seen.features.1);
        let (zs, zt) = (&seen.logits.0, &seen.logits.1);
        let kernels = Kernels::default;
        Ok(Some(match (self.settings.method, &players.adversary) {
            (Method::Dann, Some(Adversary::Domain(d))) => judge(d, (fs, ft), None, strength, cx)?,
            (Method::Cdan { entropy }, Some(Adversary::Domain(d))) => {
                let (ps, pt) = (zs.softmax(-1)?, zt.softmax(-1)?);
                let maps = (multilinear(fs, &ps, None)?, multilinear(ft, &pt, None)?);
                let (ws, wt) = (entropy_weights(&ps)?, entropy_weights(&pt)?);
                judge(d, (&maps.0, &maps.1), entropy.then_some((&ws, &wt)), strength, cx)?
            }
            (Method::Mdd, Some(Adversary::Classes(c))) => {
                let as_ = c.forward(&reverse(fs, strength)?, cx)?;
                let at = c.forward(&reverse(ft, strength)?, cx)?;
                mdd_loss((zs, &as_), (zt, &at), 4.0)?
            }
            (Method::Dan, _) => mmd(fs, ft, &kernels(), MmdForm::Unbiased)?,
            (Method::Jan, _) => {
                let (ps, pt) = (zs.softmax(-1)?, zt.softmax(-1)?);
                let kernels = [kernels(), Kernels::Mean(vec![1.0])];
                joint_mmd(&[(fs, ft), (&ps, &pt)], &kernels, MmdForm::Unbiased)?
            }
            (Method::DeepCoral, _) => coral(fs, ft)?,
            (Method::Afn, _) => feature_norm(fs, 1.0)?.add(&feature_norm(ft, 1.0)?)?,
            (Method::Mcc, _) => class_confusion(zt, 2.5)?,
            (Method::DeepJdot, _) => {
                let labels = Tensor::one_hot(source.labels()?, zs.size(1)?)?;
                let d = fs.size(1)? as f64;
                let cost = joint_cost((fs, ft), &labels, zt, (1.0 / d, 1.0))?;
                let mean = f64::from(cost.mean_all().item()?);
                let plan = sinkhorn(&cost, (0.05 * mean).max(1e-6), 50)?;
                transport_cost(&plan, &cost)?
            }
            _ => return Ok(None),
        }))
    }
}

/// The loss of a discriminator on reversed features, both domains in one pass.
fn judge(
    discriminator: &Discriminator,
    (s, t): (&Tensor, &Tensor),
    weights: Option<(&Tensor, &Tensor)>,
    strength: f64,
    cx: &mut Ctx,
) -> Result<Tensor> {
    let n = s.size(0)?;
    let said = discriminator.forward(&reverse(&Tensor::cat(&[s, t], 0)?, strength)?, cx)?;
    domain_loss(&said.narrow(0, 0, n)?, &said.narrow(0, n, t.size(0)?)?, weights)
}

impl<M: Forward> Objective<Players<M>, (Batch, Batch)> for Align {
    /// Source and target pass the encoder one after the other, so each is
    /// normalised by its own batch statistics; running ones move with both.
    fn loss(
        &mut self,
        players: &Players<M>,
        (source, target): &(Batch, Batch),
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let model = &players.model;
        let fs = model.encoder.forward(&source.features, cx)?;
        let zs = model.head.forward(&fs, cx)?;
        let labels = source.labels().map_err(tl_nn::Error::other)?;
        let task = CrossEntropy::new().loss(&zs, labels)?;
        if matches!(self.settings.method, Method::SourceOnly | Method::AdaBn) {
            return Ok(Losses::new(task));
        }
        let ft = model.encoder.forward(&target.features, cx)?;
        let zt = model.head.forward(&ft, cx)?;
        let strength = reversal_strength(cx.progress());
        let seen = Seen { features: (fs, ft), logits: (zs, zt) };
        // A discriminator learns at full weight; the encoder feels the reversed
        // gradient at the growing strength.
        let adversarial = players.adversary.is_some();
        let weight = f64::from(self.settings.weight);
        let reversal = strength * weight;
        let Some(apart) = self.alignment(players, &seen, source, reversal, cx)? else {
            return Ok(Losses::new(task));
        };
        let factor = if adversarial { 1.0 } else { (strength * weight) as f32 };
        let total = task.add(&apart.mul_scalar(factor))?;
        Ok(Losses::new(total).part("source", &task).part("alignment", &apart))
    }
}

/// SHOT on the target alone.
struct Shot {
    /// The pseudo-label of every target sample, renewed every epoch.
    labels: Vec<usize>,
    target: Dataset,
}

impl Shot {
    /// The nearest of the class means that predictions weigh, by cosine; twice,
    /// as in the paper.
    fn relabel<M: Forward>(&mut self, model: &Classifier<M>) -> Result<()> {
        let unit = |x: &Tensor| -> Result<Tensor> {
            Ok(x.mul(&x.square().sum(-1, true)?.add_scalar(1e-12).rsqrt())?)
        };
        let features = model.encoder.forward(self.target.features(), &mut Ctx::eval())?.detach();
        let mut p = model.head.forward(&features, &mut Ctx::eval())?.detach().softmax(-1)?;
        let features = unit(&features)?;
        for _ in 0..2 {
            let means = unit(&p.t()?.matmul(&features)?)?;
            let similar = features.matmul(&means.t()?)?;
            self.labels = tl_nn::metric::predictions(&similar)?;
            p = Tensor::one_hot(&self.labels[..].into(), p.size(1)?)?;
        }
        Ok(())
    }
}

impl<M: Forward> Objective<Classifier<M>, Batch> for Shot {
    fn loss(
        &mut self,
        model: &Classifier<M>,
        batch: &Batch,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        if self.labels.is_empty() {
            self.relabel(model)?;
        }
        let logits = model.forward(&batch.features, cx)?;
        let information = information_maximisation(&logits)?;
        let labels: Vec<usize> =
            batch.indices.iter().filter_map(|&i| self.labels.get(i).copied()).collect();
        let pseudo = CrossEntropy::new().loss(&logits, &labels.into())?;
        let total = information.add(&pseudo.mul_scalar(0.3))?;
        Ok(Losses::new(total).part("information", &information).part("pseudo", &pseudo))
    }

    fn validate(&mut self, model: &Classifier<M>) -> tl_nn::Result<Option<tl_nn::Metrics>> {
        self.relabel(model)?;
        Ok(None)
    }
}
