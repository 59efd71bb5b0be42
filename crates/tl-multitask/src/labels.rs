//! Labels of several tasks, some of them missing.

use crate::{Error, Result, Task};
use rand::RngCore;
use tl_nn::{CrossEntropy, Indices, Linear, Reduction, Tensor, loss};

/// The mean of the losses `[n]` of the samples that have a label (`known`), or
/// `None` if none has: never a mean over zeros.
///
/// # Errors
/// Not one mark for each loss.
pub fn masked_mean(losses: &Tensor, known: &[bool]) -> tl_nn::Result<Option<Tensor>> {
    if losses.dims() != [known.len()] {
        let expected = format!("{:?}, one for each loss", losses.dims());
        return Err(tl_nn::Error::argument("masked mean", "known", known.len(), expected));
    }
    let rows: Vec<usize> = (0..known.len()).filter(|&i| known[i]).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(losses.index_select(0, &rows.into())?.mean_all()))
}

/// The labels of one task.
#[derive(Clone, Debug, PartialEq)]
enum Column {
    Classes {
        count: usize,
        labels: Vec<Option<usize>>,
    },
    /// NaN is missing.
    Numbers {
        values: Vec<f32>,
    },
}

/// The labels of all tasks for a set of samples: classes (`None` is missing) and
/// numbers (NaN is missing). Gives the heads and the losses that fit.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_multitask::{Balance, HardSharing, Labels, MultiTask};
/// use tl_nn::{Act, Adam, Error, Linear, Optimizer, Sequential, Tensor, Trainer};
/// # fn main() -> tl_multitask::Result<()> {
/// # let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = Tensor::randn([6, 3], rng);
/// let labels = Labels::new(6)
///     .classes("sex", 2, &[Some(0), None, Some(1), Some(1), None, Some(0)])?
///     .numbers("age", &[31.0, 55.0, f32::NAN, f32::NAN, f32::NAN, 18.0])?;
/// let trunk = Sequential::new().push(Linear::new(3, 8, rng)).push(Act::Relu);
/// let mut net = HardSharing { trunk, heads: labels.heads(8, rng) };
/// let rows: Vec<usize> = (0..6).collect();
/// MultiTask::new(&labels.tasks(), Balance::Uncertainty).fit(
///     Trainer::new(Optimizer::new(Adam::new(0.01)), 3),
///     &mut net,
///     |_| [Ok::<_, Error>(())],
///     |net, (), cx| Ok(labels.losses(&net.forward_all(&x, cx)?, &rows)?),
/// )?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    samples: usize,
    columns: Vec<(Task, Column)>,
}

impl Labels {
    /// No task yet, for this many samples.
    pub fn new(samples: usize) -> Self {
        Self { samples, columns: Vec::new() }
    }

    /// A task with `count` classes; the loss is the cross entropy.
    ///
    /// # Errors
    /// Not a label for each sample; a class that is not below `count`; fewer than
    /// two classes; no label at all.
    pub fn classes(self, name: &str, count: usize, labels: &[Option<usize>]) -> Result<Self> {
        if count < 2 {
            return Err(Error::argument("labels", "classes", count, "two or more"));
        }
        if let Some(bad) = labels.iter().flatten().find(|l| **l >= count) {
            let got = format!("{bad} for task `{name}`");
            return Err(Error::argument("labels", "class", got, format!("below {count}")));
        }
        let known = labels.iter().flatten().count();
        let column = Column::Classes { count, labels: labels.to_vec() };
        self.with(Task::classification(name), column, labels.len(), known)
    }

    /// A task of numbers with a squared error. Bring them to a spread of about 1
    /// first.
    ///
    /// # Errors
    /// Not a number for each sample; an infinite one; no number at all.
    pub fn numbers(self, name: &str, values: &[f32]) -> Result<Self> {
        self.with_numbers(Task::regression(name), values)
    }

    /// A task of numbers with an absolute error.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn absolute(self, name: &str, values: &[f32]) -> Result<Self> {
        self.with_numbers(Task::absolute(name), values)
    }

    fn with_numbers(self, task: Task, values: &[f32]) -> Result<Self> {
        if values.iter().any(|v| v.is_infinite()) {
            let got = format!("infinity for task `{}`", task.name);
            return Err(Error::argument("labels", "number", got, "finite ones, or NaN if missing"));
        }
        let known = values.iter().filter(|v| !v.is_nan()).count();
        let column = Column::Numbers { values: values.to_vec() };
        self.with(task, column, values.len(), known)
    }

    fn with(mut self, task: Task, column: Column, got: usize, known: usize) -> Result<Self> {
        if got != self.samples {
            let expected = format!("{}, one for each sample", self.samples);
            return Err(Error::argument("labels", "labels", got, expected));
        }
        if known == 0 {
            let got = format!("none for task `{}`", task.name);
            return Err(Error::argument("labels", "labels", got, "one at least, or no such task"));
        }
        self.columns.push((task, column));
        Ok(self)
    }

    /// The same tasks with the labels of `task` hidden for the samples that
    /// `hidden` says: for experiments with missing labels.
    ///
    /// # Errors
    /// No such task.
    pub fn hide(mut self, task: usize, mut hidden: impl FnMut(usize) -> bool) -> Result<Self> {
        let t = self.columns.len();
        let Some((_, column)) = self.columns.get_mut(task) else {
            return Err(Error::argument("labels", "task", task, format!("below {t}")));
        };
        match column {
            Column::Classes { labels, .. } => {
                labels
                    .iter_mut()
                    .enumerate()
                    .filter(|(i, _)| hidden(*i))
                    .for_each(|(_, l)| *l = None);
            }
            Column::Numbers { values } => {
                let hit = values.iter_mut().enumerate().filter(|(i, _)| hidden(*i));
                hit.for_each(|(_, v)| *v = f32::NAN);
            }
        }
        Ok(self)
    }

    /// Some of the tasks, in this order.
    ///
    /// # Errors
    /// No such task.
    pub fn only(&self, tasks: &[usize]) -> Result<Self> {
        let t = self.columns.len();
        let column = |&i: &usize| {
            let column = self.columns.get(i).cloned();
            column.ok_or_else(|| Error::argument("labels", "task", i, format!("below {t}")))
        };
        let columns = tasks.iter().map(column).collect::<Result<_>>()?;
        Ok(Self { samples: self.samples, columns })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The tasks, for [`MultiTask::new`](crate::MultiTask::new).
    pub fn tasks(&self) -> Vec<Task> {
        self.columns.iter().map(|(task, _)| task.clone()).collect()
    }

    /// The samples that have a label of a task; none if there is no such task.
    pub fn known(&self, task: usize) -> Vec<usize> {
        let known = |i: &usize| self.columns.get(task).is_some_and(|(_, c)| c.has(*i));
        (0..self.samples).filter(known).collect()
    }

    /// A linear head for each task, from features of this length: a logit for
    /// each class, one number.
    pub fn heads(&self, features: usize, rng: &mut dyn RngCore) -> Vec<Linear> {
        let outputs = |column: &Column| match column {
            Column::Classes { count, .. } => *count,
            Column::Numbers { .. } => 1,
        };
        self.columns.iter().map(|(_, c)| Linear::new(features, outputs(c), rng)).collect()
    }

    /// The loss of each task on a batch of the samples `rows`, from outputs
    /// `[rows, classes]` or `[rows, 1]`: the mean over the samples with a label,
    /// `None` if none has one.
    ///
    /// # Errors
    /// Not an output for each task; a row that is not there; outputs of other
    /// shapes.
    pub fn losses(&self, outputs: &[Tensor], rows: &[usize]) -> Result<Vec<Option<Tensor>>> {
        if outputs.len() != self.columns.len() {
            let expected = format!("{}, one for each task", self.columns.len());
            return Err(Error::argument("labels", "outputs", outputs.len(), expected));
        }
        if let Some(bad) = rows.iter().find(|r| **r >= self.samples) {
            return Err(Error::argument("labels", "row", bad, format!("below {}", self.samples)));
        }
        let columns = self.columns.iter().zip(outputs);
        columns.map(|((task, column), output)| column.loss(task, output, rows)).collect()
    }
}

impl Column {
    fn has(&self, sample: usize) -> bool {
        match self {
            Self::Classes { labels, .. } => labels[sample].is_some(),
            Self::Numbers { values } => !values[sample].is_nan(),
        }
    }

    fn loss(&self, task: &Task, output: &Tensor, rows: &[usize]) -> Result<Option<Tensor>> {
        let known: Vec<usize> = (0..rows.len()).filter(|&at| self.has(rows[at])).collect();
        if known.is_empty() {
            return Ok(None);
        }
        let part = match known.len() == rows.len() {
            true => output.clone(),
            false => output.index_select(0, &known[..].into())?,
        };
        Ok(Some(match self {
            Self::Classes { labels, .. } => {
                let labels: Vec<usize> = known.iter().filter_map(|&at| labels[rows[at]]).collect();
                CrossEntropy::new().loss(&part, &Indices::from(labels))?
            }
            Self::Numbers { values } => {
                let values: Vec<f32> = known.iter().map(|&at| values[rows[at]]).collect();
                let wanted = Tensor::from_slice(&values, [values.len(), 1])?;
                match task.kind {
                    crate::Kind::Absolute => loss::l1(&part, &wanted, Reduction::Mean)?,
                    _ => loss::mse(&part, &wanted, Reduction::Mean)?,
                }
            }
        }))
    }
}
