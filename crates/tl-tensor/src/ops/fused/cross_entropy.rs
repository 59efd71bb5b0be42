//! Softmax cross entropy.

use super::class_losses::{Targets, class_losses};
use crate::{
    Elem, Error, Indices, Op, Result, Tensor, Value, Vjp,
    kernel::{
        lanes,
        parallel::{self, CHUNK, simd},
    },
};

/// How the losses of the samples become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// One loss per sample.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

impl Reduction {
    /// Reduces losses.
    pub fn apply<E: Elem>(self, losses: &Tensor<E>) -> Tensor<E> {
        match self {
            Self::None => losses.clone(),
            Self::Mean => losses.mean_all(),
            Self::Sum => losses.sum_all(),
        }
    }
}

/// Softmax cross entropy between logits `[n, c, ..]` and class indices
/// `[n, ..]` or target probabilities `[n, c, ..]`, with PyTorch's semantics.
///
/// With weights `w` and label smoothing `ε` the target of a sample of class `y`
/// is `t_c = w_c ((1 - ε) [c = y] + ε / C)` and its loss `-Σ_c t_c ln p_c`. The
/// mean over class indices divides by the sum of `w_y` over the samples that
/// are not ignored (so it is NaN if all are), that over probabilities by the
/// number of samples.
///
/// ```
/// use tl_tensor::{CrossEntropy, Tensor};
/// # fn main() -> tl_tensor::Result<()> {
/// let logits = Tensor::from_slice(&[2.0_f32, 0.0, 0.0, 2.0], [2, 2])?;
/// let loss = CrossEntropy::new().loss(&logits, &[0, 1].into())?;
/// assert!((loss.item()? - (1.0 + (-2.0_f32).exp()).ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CrossEntropy<E: Elem = f32> {
    weight: Option<Tensor<E>>,
    ignore_index: Option<usize>,
    label_smoothing: f64,
    reduction: Reduction,
}

impl<E: Elem> Default for CrossEntropy<E> {
    fn default() -> Self {
        Self { weight: None, ignore_index: None, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

impl<E: Elem> CrossEntropy<E> {
    /// No weights, nothing ignored, no smoothing, the mean.
    pub fn new() -> Self {
        Self::default()
    }

    /// A weight for each class. Constants.
    #[must_use]
    pub fn weight(mut self, weight: Tensor<E>) -> Self {
        self.weight = Some(weight.detach());
        self
    }

    /// Samples of this class index count for nothing. It need not be a class.
    #[must_use]
    pub fn ignore_index(mut self, index: usize) -> Self {
        self.ignore_index = Some(index);
        self
    }

    /// The part of the target that is spread evenly over all classes, 0 to 1.
    #[must_use]
    pub fn label_smoothing(mut self, part: f64) -> Self {
        self.label_smoothing = part;
        self
    }

    /// How the losses become one. Default the mean.
    #[must_use]
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    fn check(&self, op: &'static str, logits: &Tensor<E>) -> Result<usize> {
        if logits.rank() < 2 {
            return Err(Error::shape(op, logits.shape(), "logits [n, classes, ..]"));
        }
        let classes = logits.dims()[1];
        if let Some(weight) = &self.weight
            && weight.dims() != [classes]
        {
            return Err(Error::shapes(
                op,
                logits.shape(),
                weight.shape(),
                format!("a weight for each of the {classes} classes"),
            ));
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::argument(
                op,
                "label_smoothing",
                self.label_smoothing.to_string(),
                "a number from 0 to 1",
            ));
        }
        Ok(classes)
    }

    /// The loss for class indices.
    ///
    /// # Errors
    /// Shapes that do not fit, a class index that is not a class, a smoothing
    /// outside of 0 to 1.
    pub fn loss(&self, logits: &Tensor<E>, classes: &Indices) -> Result<Tensor<E>> {
        let op = "cross_entropy";
        let count = self.check(op, logits)?;
        let samples = logits.shape().without(1);
        if classes.shape() != &samples {
            return Err(Error::shapes(
                op,
                logits.shape(),
                classes.shape(),
                format!("class indices of shape {samples}"),
            ));
        }
        let targets = Targets {
            classes: classes.clone(),
            ignore: self.ignore_index,
            weight: self.weight.as_ref().map(Tensor::to_vec),
            sharp: E::from_f64(1.0 - self.label_smoothing),
            smooth: E::from_f64(self.label_smoothing / count as f64),
        };
        let mut divisor = E::ZERO;
        for &class in classes.as_slice() {
            if Some(class) == self.ignore_index {
                continue;
            }
            if class >= count {
                return Err(Error::Index { op, index: class, size: count });
            }
            divisor += targets.weight(class);
        }
        let losses = class_losses(&class_last(logits)?, targets);
        match self.reduction {
            Reduction::None => losses.reshape(samples),
            Reduction::Sum => Ok(losses.sum_all()),
            Reduction::Mean => Ok(losses.sum_all().mul_scalar(E::ONE / divisor)),
        }
    }

    /// The loss for target probabilities, of the shape of the logits. Gradients
    /// also flow to the target.
    ///
    /// # Errors
    /// Shapes that differ, a smoothing outside of 0 to 1.
    pub fn soft_loss(&self, logits: &Tensor<E>, target: &Tensor<E>) -> Result<Tensor<E>> {
        let op = "cross_entropy";
        let count = self.check(op, logits)?;
        if logits.shape() != target.shape() {
            return Err(Error::shapes(
                op,
                logits.shape(),
                target.shape(),
                "target probabilities of the shape of the logits",
            ));
        }
        let samples = logits.shape().without(1);
        let (rows, mut target) = (class_last(logits)?, class_last(target)?);
        if self.label_smoothing > 0.0 {
            target = target.affine(
                E::from_f64(1.0 - self.label_smoothing),
                E::from_f64(self.label_smoothing / count as f64),
            );
        }
        if let Some(weight) = &self.weight {
            target = target.mul(weight)?;
        }
        let losses = row_losses(&rows, &target);
        match self.reduction {
            Reduction::None => losses.reshape(samples),
            reduction => Ok(reduction.apply(&losses)),
        }
    }
}

/// `[n, c, ..]` as rows `[n .., c]`.
fn class_last<E: Elem>(x: &Tensor<E>) -> Result<Tensor<E>> {
    if x.rank() == 2 {
        return Ok(x.clone());
    }
    let rank = x.rank() as isize;
    let order: Vec<isize> = [0].into_iter().chain(2..rank).chain([1]).collect();
    let classes = x.dims()[1];
    let count = x.numel().checked_div(classes).unwrap_or(0);
    x.permute(&order)?.reshape([count, classes])
}

/// `-Σ_c t_c ln softmax(x)_c` for each row.
struct RowLosses<E: Elem> {
    x: Value<E>,
    target: Value<E>,
    probabilities: Value<E>,
}

impl<E: Elem> Op<E> for RowLosses<E> {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        if cx.create_graph() {
            return cx.composite(&[&self.x, &self.target], &g, |t| {
                Ok(t[1].mul(&t[0].log_softmax(-1)?)?.sum(-1, false)?.neg())
            });
        }
        let (p, t) = (&self.probabilities, &self.target);
        let width = p.shape()[1];
        cx.give(0, || {
            let (target, g) = (t.contiguous(), g.value.contiguous());
            let (p, t, g) = (p.raw(), target.raw(), g.raw());
            Ok(Tensor::constant(Value::build(*self.x.shape(), |out| {
                let per_task = (CHUNK / width.max(1)).max(1) * width.max(1);
                parallel::chunks(out, per_task, out_work(out.len()), |i, out| {
                    for (r, out) in out.chunks_exact_mut(width).enumerate() {
                        let row = i * (per_task / width) + r;
                        let at = row * width..(row + 1) * width;
                        let (p, t) = (&p[at.clone()], &t[at]);
                        let mass = lanes::sum(
                            t,
                            #[inline(always)]
                            |t| t,
                        );
                        for ((o, &p), &t) in out.iter_mut().zip(p).zip(t) {
                            *o = g[row] * (mass * p - t);
                        }
                    }
                });
            })))
        })?;
        cx.give(1, || {
            let log = Tensor::constant(self.x.clone()).log_softmax(-1)?;
            log.mul(&g.unsqueeze(1)?.neg())
        })
    }
}

fn out_work(elements: usize) -> usize {
    elements * 2
}

fn row_losses<E: Elem>(x: &Tensor<E>, target: &Tensor<E>) -> Tensor<E> {
    let (rows, width) = (x.dims()[0], x.dims()[1]);
    let (data, t) = (x.value.contiguous(), target.value.contiguous());
    let (data, t) = (&data.raw()[..rows * width], &t.raw()[..rows * width]);
    let mut losses = vec![E::ZERO; rows];
    let probabilities = Value::build(*x.shape(), |p| {
        if p.is_empty() {
            return;
        }
        let per_task = (CHUNK / 4 / width).max(1);
        let work = p.len() * 4;
        let parts = parallel::chunks_collect(p, per_task * width, work, |i, p| {
            let rows = p.chunks_exact_mut(width).enumerate();
            rows.map(|(r, p)| {
                let at = (i * per_task + r) * width;
                simd(
                    #[inline(always)]
                    || row_loss(p, &data[at..at + width], &t[at..at + width]),
                )
            })
            .collect::<Vec<_>>()
        });
        losses = parts.concat();
    });
    let value = Value::from_slice(&losses, rows.into());
    Tensor::from_op(value, &[x, target], || RowLosses {
        x: x.value.clone(),
        target: target.value.clone(),
        probabilities,
    })
}

/// Writes the softmax of a row and returns its loss. Classes of target 0 do
/// not count, also where the logit is -∞.
#[inline(always)]
fn row_loss<E: Elem>(p: &mut [E], x: &[E], t: &[E]) -> E {
    let peak = lanes::largest(x);
    let sum = lanes::map_sum(
        p,
        x,
        #[inline(always)]
        |x| (x - peak).exp(),
    );
    let log = peak + sum.ln();
    let term = |x: E, t: E| if t == E::ZERO { E::ZERO } else { t * (log - x) };
    let loss = lanes::sum_pairs(x, t, term);
    let scale = E::ONE / sum;
    for p in p {
        *p *= scale;
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradcheck, gradgradcheck};

    fn logits() -> Tensor<f64> {
        Tensor::linspace(-2.0, 3.0, 24).sin().reshape([2, 3, 4]).unwrap()
    }

    #[test]
    fn weights_and_ignored_samples_follow_pytorch() {
        let x = Tensor::from_slice(&[1.0_f64, 0.0, 0.0, 1.0, 5.0, 5.0], [3, 2]).unwrap();
        let weight = Tensor::from_slice(&[2.0, 0.5], 2).unwrap();
        let loss = CrossEntropy::new().weight(weight).ignore_index(9);
        let got = loss.loss(&x, &[0, 0, 9].into()).unwrap().item().unwrap();
        let nll = |right: f64, wrong: f64| (1.0 + (wrong - right).exp()).ln();
        approx::assert_relative_eq!(
            got,
            (2.0 * nll(1.0, 0.0) + 2.0 * nll(0.0, 1.0)) / 4.0,
            epsilon = 1e-12
        );
        let none = loss.loss(&x, &[9, 9, 9].into()).unwrap();
        assert!(none.item().unwrap().is_nan());
        assert!(matches!(
            loss.loss(&x, &[0, 2, 9].into()),
            Err(Error::Index { index: 2, size: 2, .. })
        ));
    }

    #[test]
    fn smoothing_equals_the_soft_target_it_stands_for() {
        let x = logits();
        let classes = Indices::from_vec(vec![0, 1, 2, 0, 2, 2, 1, 0], [2, 4]).unwrap();
        let hard = CrossEntropy::new().label_smoothing(0.1).loss(&x, &classes).unwrap();
        let one_hot = Tensor::one_hot(&classes, 3).unwrap().transpose(1, 2).unwrap();
        let soft = CrossEntropy::new().label_smoothing(0.1).soft_loss(&x, &one_hot).unwrap();
        approx::assert_relative_eq!(hard.item().unwrap(), soft.item().unwrap(), epsilon = 1e-12);
    }

    #[test]
    fn impossible_classes_may_have_logits_of_minus_infinity() {
        let x = Tensor::from_slice(&[0.0_f32, f32::NEG_INFINITY], [1, 2]).unwrap().requires_grad();
        let loss = CrossEntropy::new().loss(&x, &[0].into()).unwrap();
        assert_eq!(loss.item().unwrap(), 0.0);
        assert!(loss.backward().unwrap().get(&x).unwrap().is_finite());
    }

    #[test]
    fn derivatives_of_both_orders() {
        let classes = Indices::from_vec(vec![0, 1, 2, 0, 2, 7, 1, 0], [2, 4]).unwrap();
        let weight = Tensor::from_slice(&[0.5, 1.0, 2.0], 3).unwrap();
        let loss = CrossEntropy::new().weight(weight).ignore_index(7).label_smoothing(0.2);
        for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
            let loss = loss.clone().reduction(reduction);
            let f = |t: &[Tensor<f64>]| loss.loss(&t[0], &classes);
            gradcheck(f, &[logits()], GradCheck::default()).unwrap();
            gradgradcheck(f, &[logits()], GradCheck::default()).unwrap();
            let f = |t: &[Tensor<f64>]| loss.soft_loss(&t[0], &t[1].softmax(1)?);
            let target = logits().cos();
            gradcheck(f, &[logits(), target.clone()], GradCheck::default()).unwrap();
            gradgradcheck(f, &[logits(), target], GradCheck::default()).unwrap();
        }
    }
}
