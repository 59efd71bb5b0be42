//! An encoder and a head, meta-trained together.

use super::Head;
use crate::{
    Episodes, Predict, Protocol, Result, Task,
    gradient::{TaskGradient, mean_gradient},
};
use tl_nn::{
    CrossEntropy, Ctx, Error, Forward, Gradients, Losses, Module, Objective, Tensor, TrainReport,
    Trainer, module,
};

/// A few-shot classifier: features by an encoder, logits by a [`Head`]. With
/// [`Prototypes`](crate::Prototypes) it is ProtoNet, with
/// [`RidgeHead`](crate::RidgeHead) R2D2, and so on.
///
/// In meta-training support and query pass the encoder together, so they share
/// the statistics of batch normalisation, as in the code of Snell et al.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_maml::{Episodes, FewShot, Protocol, Prototypes, Tasks, evaluate, split_classes};
/// use tl_nn::{Adam, Flatten, Linear, Optimizer, Sequential, Trainer};
/// # fn main() -> tl_maml::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let parts = split_classes(&tl_data::samples::digits(), &[6, 4], 0)?;
/// let train = Tasks::from_labels(&parts[0])?.way(4).shot(1).query(5);
/// let test = Tasks::from_labels(&parts[1])?.way(4).shot(1).query(5);
/// let encoder = Sequential::new().push(Flatten).push(Linear::new(64, 32, &mut rng));
/// let mut net = FewShot { encoder, head: Prototypes };
/// let trainer = Trainer::new(Optimizer::new(Adam::new(1e-3)), 1);
/// net.fit(trainer, Episodes::new(&train, 1, 30))?;
/// let result = evaluate(&net.predictor(), &test, 20, 1, Protocol::Inductive)?;
/// assert!(result.last().mean > 0.5); // chance is 0.25
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FewShot<M, H> {
    /// Features `[n, ..]` of samples; what is not a matrix is flattened.
    pub encoder: M,
    /// What compares them.
    pub head: H,
}
module!(impl<M: Module, H: Module> FewShot<M, H> { encoder, head });

impl<M: Forward, H: Head> FewShot<M, H> {
    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.encoder.forward(x, cx)?;
        Ok(if features.rank() > 2 { features.flatten(1, -1)? } else { features })
    }

    /// Meta-trains encoder and head by cross entropy on the queries of every
    /// task; see [`Maml::fit`](crate::Maml::fit). One task in a meta-batch is
    /// usual.
    ///
    /// # Errors
    /// Those of the trainer and the tasks; a head that is not differentiable.
    pub fn fit(&mut self, trainer: Trainer<'_>, episodes: Episodes<'_>) -> Result<TrainReport> {
        Ok(trainer.run(self, |epoch| episodes.epoch(epoch), &mut OnQueries)?)
    }

    /// What [`evaluate`](crate::evaluate) tests.
    pub fn predictor(&self) -> FewShotPredictor<'_, M, H> {
        FewShotPredictor { net: self }
    }

    /// The logits of a task's queries.
    fn task_logits(&self, task: &Task, cx: &mut Ctx) -> Result<Tensor> {
        let n = task.support.len();
        let both = Tensor::cat(&[&task.support.features, &task.query.features], 0)?;
        let features = self.features(&both, cx)?;
        let support = features.narrow(0, 0, n)?;
        let queries = features.narrow(0, n, task.query.len())?;
        self.head.logits(&support, task.support.labels()?, task.ways(), &queries)
    }
}

struct OnQueries;

impl OnQueries {
    fn of<M: Forward, H: Head>(
        net: &FewShot<M, H>,
        task: &Task,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Tensor> {
        let labels = task.query.labels().map_err(Error::other)?;
        Ok(CrossEntropy::new().loss(&net.task_logits(task, cx)?, labels)?)
    }
}

impl<M: Forward, H: Head> Objective<FewShot<M, H>, Vec<Task>> for OnQueries {
    fn loss(
        &mut self,
        net: &FewShot<M, H>,
        tasks: &Vec<Task>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let mut sum = Tensor::scalar(0.0);
        for task in tasks {
            sum = sum.add(&Self::of(net, task, cx)?)?;
        }
        Ok(sum.mul_scalar(1.0 / tasks.len().max(1) as f32).into())
    }

    fn gradients(
        &mut self,
        net: &FewShot<M, H>,
        tasks: &Vec<Task>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let progress = cx.progress();
        Ok(mean_gradient(net, tasks, cx, |task, seed| {
            let mut cx = Ctx::train(seed).with_progress(progress);
            let loss = Self::of(net, task, &mut cx)?;
            TaskGradient::of(net, &loss, cx.take_updates())
        })?)
    }
}

/// See [`FewShot::predictor`].
#[derive(Clone, Copy, Debug)]
pub struct FewShotPredictor<'a, M, H> {
    net: &'a FewShot<M, H>,
}

impl<M: Forward, H: Head> Predict for FewShotPredictor<'_, M, H> {
    fn predict(&self, task: &Task, protocol: Protocol) -> Result<Vec<(usize, Tensor)>> {
        // With batch statistics support and query share them, as in training.
        let logits = self.net.task_logits(task, &mut protocol.context())?;
        Ok(vec![(0, logits.detach())])
    }
}
