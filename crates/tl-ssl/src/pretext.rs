//! A method in the training loop, and what is looked at after each epoch.

use crate::{
    Result, Views, Watch, alignment, gradient_cache, health,
    monitor::on_a_line,
    task::{Net, Task},
};
use tl_data::Batch;
use tl_nn::{Ctx, Forward, Gradients, Losses, Metrics, Module, Objective, StateDict, Tensor};

/// The task of a method in the training loop.
pub(crate) struct Pretext<'a, M: Module> {
    pub(crate) task: Box<dyn Task<M>>,
    pub(crate) views: Views<'a>,
    pub(crate) chunk: Option<usize>,
    pub(crate) steps: u64,
    pub(crate) monitor: Monitor<'a>,
}

impl<M: Forward> Objective<Net<M>, Batch> for Pretext<'_, M> {
    fn loss(&mut self, net: &Net<M>, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        self.task.loss(net, batch, &self.views, cx)
    }

    fn gradients(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let (Some(chunk), Some(joint)) = (self.chunk, self.task.joint()) else {
            let losses = self.loss(net, batch, cx)?;
            let finite = losses.total().is_finite();
            let gradients = if finite { losses.total().backward()? } else { Gradients::default() };
            return Ok((losses, gradients));
        };
        let n = batch.len();
        let mut chunks = Vec::new();
        let views = self.views.whole(&batch.features, cx)?;
        for view in &views {
            // No part of one sample is left over: normalisation needs two.
            let parts = n.div_ceil(chunk).min(n / 2).max(1);
            for i in 0..parts {
                let (from, to) = (i * n / parts, (i + 1) * n / parts);
                chunks.push(view.narrow(0, from, to - from)?);
            }
        }
        let project = |net: &Net<M>, x: &Tensor, cx: &mut Ctx| net.project(x, cx);
        let loss = |z: &[Tensor]| {
            let whole = z.chunks(z.len() / views.len()).map(|parts| {
                let parts: Vec<&Tensor> = parts.iter().collect();
                Ok(Tensor::cat(&parts, 0)?)
            });
            joint.of(&whole.collect::<Result<Vec<_>>>()?, batch)
        };
        let (loss, gradients) = gradient_cache(net, &chunks, cx, project, loss)?;
        Ok((Losses::new(loss), gradients))
    }

    fn after_step(&mut self, net: &mut Net<M>, step: u64) -> tl_nn::Result<()> {
        // Steps count from 1; the first update has the schedule's first value.
        self.task.after_step(net, (step - 1) as f64 / self.steps.max(1) as f64)
    }

    fn validate(&mut self, net: &Net<M>) -> tl_nn::Result<Option<Metrics>> {
        self.monitor.look(net).map(Some)
    }

    fn state(&self) -> StateDict {
        let mut state = self.task.state();
        let metadata = state.metadata_mut();
        metadata.insert("epoch".to_owned(), self.monitor.epoch.to_string());
        if let Some(line) = self.monitor.line {
            metadata.insert("line".to_owned(), line.to_string());
        }
        state
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        let read = |name: &str| state.metadata().get(name);
        self.monitor.epoch = read("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        self.monitor.line = read("line").and_then(|line| line.parse().ok());
        self.task.load_state(state)
    }
}

/// Looks at the features after every epoch.
pub(crate) struct Monitor<'a> {
    probe: &'a Tensor,
    watch: Option<&'a Watch>,
    views: Views<'a>,
    least_spread: f64,
    /// Epochs looked at.
    epoch: usize,
    /// What was on a line when it looked last.
    line: Option<f64>,
    fallen: Option<Fallen>,
}

/// A collapse: when, the spread of features, the part of the projections'
/// variance on a line.
#[derive(Clone, Copy)]
pub(crate) struct Fallen {
    pub(crate) epoch: usize,
    pub(crate) spread: f64,
    pub(crate) line: f64,
}

/// More of the projections' variance than this on a line is a collapse, unless it
/// becomes less: BYOL may begin so, while its slow copy knows nothing yet.
const LINE: f64 = 0.9;

impl<'a> Monitor<'a> {
    pub(crate) fn new(
        probe: &'a Tensor,
        watch: Option<&'a Watch>,
        views: Views<'a>,
        least_spread: f64,
    ) -> Self {
        Self { probe, watch, views, least_spread, epoch: 0, line: None, fallen: None }
    }

    /// What stopped the run.
    pub(crate) fn fallen(&self) -> Option<Fallen> {
        self.fallen
    }

    /// After the whole run: projections that are on a line still.
    pub(crate) fn on_line_at_end(&self, spread: f64) -> Option<Fallen> {
        let line = self.line.filter(|line| *line > LINE && self.least_spread > 0.0)?;
        Some(Fallen { epoch: self.epoch.saturating_sub(1), spread, line })
    }

    fn look<M: Forward>(&mut self, net: &Net<M>) -> tl_nn::Result<Metrics> {
        let features = |x: &Tensor, cx: &mut Ctx| net.features(x, cx);
        let now = health(&features(self.probe, &mut Ctx::eval())?)?;
        // Without a projector nothing keeps features from being mostly light and dark.
        let line = match net.heads.projector {
            Some(_) => on_a_line(&net.project(self.probe, &mut Ctx::eval())?)?,
            None => 0.0,
        };
        let epoch = self.epoch;
        self.epoch += 1;
        let spread = now.spread;
        let before = self.line.replace(line);
        let on_line = self.least_spread > 0.0 && stays_on_line(before, line);
        if spread < self.least_spread || on_line {
            self.fallen = Some(Fallen { epoch, spread, line });
            return Err(tl_nn::Error::argument("pre-training", "features", "collapsed", "spread"));
        }
        // The same views after every epoch.
        let mut cx = Ctx::train(0);
        let few = self.probe.narrow(0, 0, self.probe.dims()[0].min(128))?;
        let pair = self.views.whole(&few, &mut cx)?;
        let (a, b) = (&pair[0], &pair[1]);
        let of = |x: &Tensor| features(x, &mut Ctx::eval());
        let mut metrics = Metrics::from([
            ("spread".to_owned(), now.spread),
            ("rank".to_owned(), now.rank),
            ("uniformity".to_owned(), now.uniformity),
            ("line".to_owned(), line),
            ("alignment".to_owned(), alignment(&of(a)?, &of(b)?)?),
        ]);
        if let Some(watch) = self.watch {
            watch.judge(features, &mut metrics)?;
        }
        Ok(metrics)
    }
}

/// Whether projections are on a line and are not leaving it.
fn stays_on_line(before: Option<f64>, now: f64) -> bool {
    now > LINE && before.is_some_and(|before| now >= before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_a_line_may_go_on() {
        // BYOL on MNIST after its first three passes.
        assert!(!stays_on_line(None, 0.958));
        assert!(!stays_on_line(Some(0.958), 0.850));
        assert!(!stays_on_line(Some(0.850), 0.802));
        assert!(!stays_on_line(Some(0.95), 0.93));
        assert!(stays_on_line(Some(0.95), 0.95));
        assert!(stays_on_line(Some(0.5), 0.99));
    }

    #[test]
    fn what_is_on_a_line_at_the_end_has_collapsed() {
        let (probe, same) = (Tensor::zeros([2, 2]), crate::Same);
        let mut monitor = Monitor::new(&probe, None, Views::of(&same), 0.02);
        assert!(monitor.on_line_at_end(0.4).is_none(), "nothing was looked at");
        (monitor.epoch, monitor.line) = (3, Some(0.95));
        assert_eq!(monitor.on_line_at_end(0.4).map(|fallen| fallen.epoch), Some(2));
        monitor.least_spread = 0.0;
        assert!(monitor.on_line_at_end(0.4).is_none(), "switched off");
        (monitor.least_spread, monitor.line) = (0.02, Some(0.8));
        assert!(monitor.on_line_at_end(0.4).is_none());
    }
}
