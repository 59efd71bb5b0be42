//! Testing on many tasks.

mod both;

pub use both::{Across, Both, evaluate_across, evaluate_both};

use crate::{Error, Result, Task, TaskSource, parallel};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_data::{Batch, Targets};
use tl_nn::{
    CrossEntropy, Ctx, Forward, NormStats, Reduction, Tensor, loss,
    metric::{Summary, accuracy},
};

/// Which statistics batch normalisation uses for queries. The literature's
/// numbers mix the two; compare only like with like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Running ones: each query is predicted for itself, as in use.
    #[default]
    Inductive,
    /// Those of all queries of the task at once, as in the code of Finn et al.
    /// 2017: more accurate, but possible only with many queries together.
    Transductive,
}

impl Protocol {
    /// The context of a pass over queries.
    pub fn context(self) -> Ctx {
        Ctx::eval().with_norm_stats(match self {
            Self::Inductive => NormStats::Running,
            Self::Transductive => NormStats::Batch,
        })
    }
}

/// What learns a task from its support set and predicts its queries.
pub trait Predict: Sync {
    /// The output for the queries (logits `[q, ways]`, or values) after each
    /// number of steps, in order; one for a method without steps. Looks at the
    /// features of the queries alone.
    ///
    /// # Errors
    /// A task that does not fit.
    fn predict(&self, task: &Task, protocol: Protocol) -> Result<Vec<(usize, Tensor)>>;
}

/// The results of one method on many tasks: accuracy for classes, mean squared
/// error for values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// "accuracy" or "mean squared error".
    pub metric: String,
    /// How queries were normalised.
    pub protocol: Protocol,
    /// The mean over the tasks with its 95% interval after each number of steps.
    pub steps: Vec<(usize, Summary)>,
    /// The result on each task after the last step.
    pub tasks: Vec<f64>,
}

impl Evaluation {
    /// The result after the last step.
    pub fn last(&self) -> Summary {
        // `evaluate` makes none without steps; a file might.
        let nothing = Summary { n: 0, mean: f64::NAN, std: 0.0, ci95: f64::INFINITY };
        self.steps.last().map_or(nothing, |(_, summary)| *summary)
    }
}

/// One line a step.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, summary) in &self.steps {
            writeln!(f, "{} after {step} steps: {summary}", self.metric)?;
        }
        Ok(())
    }
}

/// Tests on `episodes` tasks of the stream that `seed` names, 600 in most
/// papers: the mean of the tasks' results and its 95% interval (Student's t).
/// Tasks run in parallel; the result is the same bits for any number of threads.
///
/// # Errors
/// No episode; those of the source and the method; unlabelled tasks.
pub fn evaluate(
    method: &dyn Predict,
    source: &dyn TaskSource,
    episodes: usize,
    seed: u64,
    protocol: Protocol,
) -> Result<Evaluation> {
    let numbers: Vec<u64> = (0..episodes as u64).collect();
    let results = parallel::map(&numbers, |_, &number| {
        let task = source.task(seed, number)?;
        let outputs = method.predict(&task, protocol)?;
        let score = |(step, output): (usize, Tensor)| Ok((step, score(&output, &task.query)?));
        outputs.into_iter().map(score).collect::<Result<Vec<_>>>()
    })?;
    let Some(first) = results.first() else {
        return Err(Error::argument("evaluate", "episodes", episodes, "at least 1, better 600"));
    };
    let mut steps = Vec::with_capacity(first.len());
    for (at, (step, _)) in first.iter().enumerate() {
        let of_step: Vec<f64> =
            results.iter().filter_map(|r| r.get(at).map(|(_, score)| score.1)).collect();
        steps.push((*step, Summary::of(&of_step)?));
    }
    let metric = first.first().map_or("", |(_, (metric, _))| metric).to_owned();
    let tasks = results.iter().filter_map(|r| r.last().map(|(_, score)| score.1)).collect();
    Ok(Evaluation { metric, protocol, steps, tasks })
}

/// What is measured, and how much of it.
fn score(output: &Tensor, query: &Batch) -> Result<(&'static str, f64)> {
    Ok(match &query.targets {
        Targets::Classes { labels, .. } => ("accuracy", accuracy(output, labels)?),
        Targets::Values(values) => {
            let error = loss::mse(output, values, Reduction::Mean)?.item()?;
            ("mean squared error", f64::from(error))
        }
        _ => return Err(tl_data::Error::Lacks { op: "evaluate", missing: "targets" }.into()),
    })
}

/// Cross entropy of a classifier: the usual inner and outer loss for classes.
///
/// # Errors
/// A batch without classes; shapes that do not fit.
pub fn cross_entropy<M: Forward>(model: &M, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
    let labels = batch.labels().map_err(tl_nn::Error::other)?;
    Ok(CrossEntropy::new().loss(&model.forward(&batch.features, cx)?, labels)?)
}

/// The mean squared error: the usual inner and outer loss for values.
///
/// # Errors
/// A batch without values; shapes that do not fit.
pub fn mse<M: Forward>(model: &M, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
    let values = batch.values().map_err(tl_nn::Error::other)?;
    Ok(loss::mse(&model.forward(&batch.features, cx)?, values, Reduction::Mean)?)
}
