//! Which technique to try first.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The eight techniques, and doing without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Technique {
    /// A shallow learner on the features of a frozen model (`tl-finetune`).
    FeatureExtraction,
    /// Training a pre-trained model further (`tl-finetune`).
    FineTuning,
    /// Labels in one domain, a model for another (`tl-dann`).
    DomainAdaptation,
    /// One model for several tasks (`tl-multitask`).
    MultiTask,
    /// A small model that learns from a large one (`tl-distill`).
    Distillation,
    /// An encoder from unlabelled samples (`tl-ssl`).
    SelfSupervised,
    /// Classes known by a description (`tl-zeroshot`).
    ZeroShot,
    /// Many small tasks (`tl-maml`).
    MetaLearning,
    /// No transfer: a model from scratch, or logistic regression.
    FromScratch,
}

impl Technique {
    /// The crate that holds it; none for [`Self::FromScratch`].
    pub fn crate_name(self) -> Option<&'static str> {
        Some(match self {
            Self::FeatureExtraction | Self::FineTuning => "tl-finetune",
            Self::DomainAdaptation => "tl-dann",
            Self::MultiTask => "tl-multitask",
            Self::Distillation => "tl-distill",
            Self::SelfSupervised => "tl-ssl",
            Self::ZeroShot => "tl-zeroshot",
            Self::MetaLearning => "tl-maml",
            Self::FromScratch => return None,
        })
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FeatureExtraction => "feature extraction",
            Self::FineTuning => "fine-tuning",
            Self::DomainAdaptation => "domain adaptation",
            Self::MultiTask => "multi-task learning",
            Self::Distillation => "knowledge distillation",
            Self::SelfSupervised => "self-supervised learning",
            Self::ZeroShot => "zero-shot learning",
            Self::MetaLearning => "meta-learning",
            Self::FromScratch => "training from scratch",
        })
    }
}

/// How far another domain is from yours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// Other colours, sensors, noise: the same things look a little different.
    Small,
    /// Another style or origin: a model from there loses many points here.
    Large,
}

/// What you have. The default is nothing, and an hour.
///
/// ```
/// use transfer_learning::{Situation, Technique, recommend};
///
/// let mine = Situation { labels_per_class: 5, pretrained: true, ..Situation::default() };
/// let advice = recommend(&mine);
/// assert_eq!(advice.first().technique, Technique::FeatureExtraction);
/// println!("{advice}");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Situation {
    /// Labelled samples of the rarest class of your task; for a task with
    /// numbers as targets, a tenth of the samples. Default 0.
    pub labels_per_class: usize,
    /// Unlabelled samples of your own domain. Default 0.
    pub unlabelled: usize,
    /// A model that was trained on something like your data. Default `false`.
    pub pretrained: bool,
    /// Labelled samples of your classes from another domain, and how far it is
    /// from yours. Default `None`.
    pub labelled_elsewhere: Option<Gap>,
    /// Other labels of the same kind of samples, for tasks related to yours.
    /// Default `false`.
    pub related_labels: bool,
    /// How many small tasks (or classes to make tasks of) there are to practise
    /// on, if tasks keep coming. Default 0: there is one task.
    pub practice_tasks: usize,
    /// Classes without any sample, that you can describe. Default `false`.
    pub described_classes: bool,
    /// There is a good model, but it is too large or too slow to ship.
    /// Default `false`.
    pub model_too_large: bool,
    /// Minutes of training on all cores that you would spend. Default 60.
    pub minutes: f64,
}

impl Default for Situation {
    fn default() -> Self {
        Self {
            labels_per_class: 0,
            unlabelled: 0,
            pretrained: false,
            labelled_elsewhere: None,
            related_labels: false,
            practice_tasks: 0,
            described_classes: false,
            model_too_large: false,
            minutes: 60.0,
        }
    }
}

/// A technique to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// Which.
    pub technique: Technique,
    /// The method of it to begin with.
    pub method: &'static str,
    /// Why it fits.
    pub reason: &'static str,
    /// What it has to beat.
    pub baseline: &'static str,
}

/// What to try, best first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// In the order to try them.
    pub advice: Vec<Advice>,
}

impl Recommendation {
    /// What to try first.
    pub fn first(&self) -> &Advice {
        &self.advice[0]
    }
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, a) in self.advice.iter().enumerate() {
            let from = a.technique.crate_name().map(|c| format!(" ({c})")).unwrap_or_default();
            writeln!(f, "{}. {}{from}: {}", i + 1, a.technique, a.method)?;
            writeln!(f, "   because {}; compare with {}", a.reason, a.baseline)?;
        }
        Ok(())
    }
}

/// Below so many labels a class, frozen features did as well as fine-tuning or
/// better, on the data of this repository (docs/choosing.md).
const FEW: usize = 20;
/// From so many labels a class on, transfer gained a point or less.
const PLENTY: usize = 500;
/// Fewer unlabelled samples do not make an encoder.
const UNLABELLED: usize = 1_000;
/// With fewer tasks to practise on, plain pre-training was the better choice.
const TASKS: usize = 20;
/// Minutes below which nothing but a closed form or a probe is worth starting.
const SHORT: f64 = 2.0;

/// Which techniques to try, with the reason, best first.
///
/// Rules, not a model: each is a line of `docs/choosing.md`, where the
/// measurements behind it stand. Try the first over several seeds beside its
/// baseline ([`tl_nn::metric::Trials`]) before you go on to the next. A
/// `minutes` that is not a number counts as no time.
pub fn recommend(situation: &Situation) -> Recommendation {
    let rules: [fn(&Situation) -> Option<Advice>; 9] = [
        without_samples,
        from_many_tasks,
        from_another_domain,
        from_features,
        by_fine_tuning,
        from_a_large_model,
        from_related_labels,
        from_unlabelled,
        from_nothing,
    ];
    let mut advice: Vec<_> = rules.iter().filter_map(|rule| rule(situation)).collect();
    // With few labels the probe comes before fine-tuning, with many after it.
    if situation.labels_per_class >= FEW {
        let place = |t: Technique| advice.iter().position(|a| a.technique == t);
        let probe = place(Technique::FeatureExtraction);
        if let (Some(a), Some(b)) = (probe, place(Technique::FineTuning)) {
            advice.swap(a, b);
        }
    }
    Recommendation { advice }
}

fn long_enough(s: &Situation) -> bool {
    s.minutes >= SHORT
}

fn without_samples(s: &Situation) -> Option<Advice> {
    s.described_classes.then_some(Advice {
        technique: Technique::ZeroShot,
        method: "prototype regression, then ESZSL with calibration for seen classes",
        reason: "some classes have no sample and can only be known by their description",
        baseline: "chance, and a handful of labelled samples if you can get them",
    })
}

fn from_many_tasks(s: &Situation) -> Option<Advice> {
    (s.practice_tasks >= TASKS && long_enough(s)).then_some(Advice {
        technique: Technique::MetaLearning,
        method: "ProtoNet; MAML where tasks differ in more than their classes",
        reason: "there are many tasks to practise on and new ones keep coming",
        baseline: "plain pre-training on all practice classes with a cosine head",
    })
}

fn from_another_domain(s: &Situation) -> Option<Advice> {
    let gap = s.labelled_elsewhere?;
    if s.labels_per_class >= FEW {
        return None;
    }
    let method = match gap {
        _ if !long_enough(s) => "AdaBN: statistics of your domain, seconds",
        Gap::Small => "AdaBN, then TENT",
        Gap::Large => "SHOT; DANN or MCC beside it",
    };
    (s.unlabelled > 0).then_some(Advice {
        technique: Technique::DomainAdaptation,
        method,
        reason: "labels are in another domain and yours has unlabelled samples",
        baseline: "the source model as it is, and ten labels of each class if you can get them",
    })
}

fn from_features(s: &Situation) -> Option<Advice> {
    let model = s.pretrained || s.labelled_elsewhere.is_some() || s.practice_tasks > 0;
    (model && s.labels_per_class > 0).then_some(Advice {
        technique: Technique::FeatureExtraction,
        method: "a logistic probe on frozen features",
        reason: "a model is there already and a probe takes seconds; it is hard to beat with few labels",
        baseline: "logistic regression on raw inputs",
    })
}

fn by_fine_tuning(s: &Situation) -> Option<Advice> {
    let model = s.pretrained || s.labelled_elsewhere.is_some();
    (model && s.labels_per_class > 0 && long_enough(s)).then_some(Advice {
        technique: Technique::FineTuning,
        method: if s.labels_per_class < FEW {
            "LP-FT: the probe first, then everything at a small rate"
        } else {
            "all parameters, the body at a tenth of the head's rate; LoRA if memory is short"
        },
        reason: "there are labels to move the features with",
        baseline: "the probe, and the same network from scratch",
    })
}

fn from_a_large_model(s: &Situation) -> Option<Advice> {
    (s.model_too_large && long_enough(s)).then_some(Advice {
        technique: Technique::Distillation,
        method: "KD on everything unlabelled, then 8-bit weights",
        reason: "a good model exists but cannot be shipped",
        baseline: "the small network trained on the labels alone",
    })
}

fn from_related_labels(s: &Situation) -> Option<Advice> {
    (s.related_labels && s.labels_per_class < PLENTY && long_enough(s)).then_some(Advice {
        technique: Technique::MultiTask,
        method: "one trunk, a head for each task, fixed weights; then a balancer",
        reason: "other labels of the same samples can teach what yours are too few for",
        baseline: "a network of its own for each task",
    })
}

fn from_unlabelled(s: &Situation) -> Option<Advice> {
    let worth = s.unlabelled >= UNLABELLED && s.unlabelled >= 10 * s.labels_per_class;
    (worth && s.labels_per_class > 0 && long_enough(s)).then_some(Advice {
        technique: Technique::SelfSupervised,
        method: "SimCLR or VICReg with views that keep what a sample is, then a probe",
        reason: "unlabelled samples are plenty and labels few",
        baseline: "principal components with logistic regression, and training from scratch",
    })
}

fn from_nothing(s: &Situation) -> Option<Advice> {
    let reason = match s.labels_per_class {
        0 => "there is no label to learn from: label ten samples of each class first",
        PLENTY.. => "with so many labels there is little left to transfer",
        _ => "it is the baseline that anything above has to beat",
    };
    Some(Advice {
        technique: Technique::FromScratch,
        method: "logistic regression, then a small network",
        reason,
        baseline: "the most frequent class",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(s: &Situation) -> Vec<Technique> {
        recommend(s).advice.into_iter().map(|a| a.technique).collect()
    }

    #[test]
    fn the_table_of_the_guide() {
        use Technique::*;
        let s = Situation::default;
        let cases = [
            (Situation { pretrained: true, labels_per_class: 5, ..s() }, FeatureExtraction),
            (Situation { pretrained: true, labels_per_class: 100, ..s() }, FineTuning),
            (
                Situation { labelled_elsewhere: Some(Gap::Large), unlabelled: 500, ..s() },
                DomainAdaptation,
            ),
            (Situation { model_too_large: true, unlabelled: 500, ..s() }, Distillation),
            (Situation { related_labels: true, labels_per_class: 3, ..s() }, MultiTask),
            (Situation { unlabelled: 5_000, labels_per_class: 10, ..s() }, SelfSupervised),
            (Situation { practice_tasks: 100, labels_per_class: 1, ..s() }, MetaLearning),
            (Situation { described_classes: true, ..s() }, ZeroShot),
            (Situation { labels_per_class: 2_000, ..s() }, FromScratch),
        ];
        for (situation, expected) in cases {
            assert_eq!(order(&situation)[0], expected, "{situation:?}");
        }
    }

    #[test]
    fn there_is_always_a_baseline_to_try_and_it_comes_last() {
        let all = Situation {
            labels_per_class: 5,
            unlabelled: 10_000,
            pretrained: true,
            labelled_elsewhere: Some(Gap::Small),
            related_labels: true,
            practice_tasks: 50,
            described_classes: true,
            model_too_large: true,
            minutes: 60.0,
        };
        let techniques = order(&all);
        assert_eq!(techniques.len(), 9);
        assert_eq!(techniques.last(), Some(&Technique::FromScratch));
        assert_eq!(order(&Situation::default()), [Technique::FromScratch]);
    }

    #[test]
    fn without_time_only_what_takes_seconds() {
        for minutes in [0.5, f64::NAN] {
            let s = Situation {
                labels_per_class: 5,
                pretrained: true,
                unlabelled: 9_999,
                minutes,
                ..Situation::default()
            };
            assert_eq!(order(&s), [Technique::FeatureExtraction, Technique::FromScratch]);
        }
    }

    #[test]
    fn a_situation_reads_from_json_and_refuses_what_it_does_not_know() {
        let s: Situation = serde_json::from_str(r#"{"labels_per_class": 5}"#).unwrap();
        assert_eq!((s.labels_per_class, s.minutes), (5, 60.0));
        assert!(serde_json::from_str::<Situation>(r#"{"labels": 5}"#).is_err());
    }
}
