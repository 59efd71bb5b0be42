//! An objective whose gradients are those of all ranks.

use crate::{
    Collective, Error, Plan, Reduction, Result, Shards,
    bucket::{Filler, Layout, Ready},
    buffers::Statistics,
    losses,
    rng::mix,
    sum::planned,
};
use rand::RngCore;
use std::{
    sync::mpsc::{Receiver, channel},
    thread,
};
use tl_nn::{
    Ctx, Gradients, Losses, Metrics, Module, ModuleExt, Objective, StateDict, Tensor, Weight,
};

/// Bytes of gradients that are sent together, unless
/// [`bucket_bytes`](DataParallel::bucket_bytes) says otherwise: 4 MiB.
pub const BUCKET_BYTES: usize = 4 << 20;

/// The name of the number of micro-shards in a checkpoint.
const SHARDS: &str = "dist.shards";

/// An objective for [`Trainer::run`](tl_nn::Trainer::run) that works on the
/// micro-shards of this rank and gives the loss and the gradients of the whole
/// global batch, the same on all ranks: every rank takes the same step.
///
/// With micro-shards `s` of `n_s` samples in a global batch of `n`,
/// `g = Σ_s (n_s / n) g_s`: the gradient of the mean over the global batch, if the
/// loss of a micro-shard is the mean over its samples.
///
/// Gradients travel in buckets in the order in which backward delivers them
/// ([`Tensor::backward_each`]); with [`new`](Self::new) a second thread sums a
/// bucket over the ranks while backward goes on below it.
///
/// **Batch normalisation** normalises by the statistics of each micro-shard (of
/// each rank's part with [`Reduction::Fast`]), as PyTorch's
/// `DistributedDataParallel` does without `SyncBatchNorm`. Running statistics
/// move once a step, to the mean over micro-shards (weighted as the gradients)
/// of what each alone would give, and are the same on all ranks.
///
/// **The loss** that is returned is the mean over the global batch. Named parts of
/// the objective's losses stay with it: the history holds the total alone.
///
/// **Randomness** in a pass (dropout) is drawn for each micro-shard from the
/// batch's context, so it does not depend on the ranks either. With one
/// micro-shard on one rank everything is bit for bit as without this.
///
/// ```
/// use tl_data::{Batch, Batching, samples};
/// use tl_dist::{DataParallel, Error, Plan, Reduction, ShardedLoader, Threads};
/// use tl_nn::{Adam, CrossEntropy, Flatten, Forward, Linear, Optimizer, Sequential, Trainer};
/// # use rand::SeedableRng;
/// let reduction = Reduction::Deterministic { shards: 4 };
/// let train = |ranks| Threads::run(ranks, |world| {
///     let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
///     let mut model = Sequential::new().push(Flatten).push(Linear::new(64, 10, &mut rng));
///     let plan = Plan::new(world, reduction)?;
///     let loader = ShardedLoader::new(&samples::digits(), Batching::new(256).shuffled(1), plan)?;
///     let mut objective = DataParallel::new(world, plan, |model: &Sequential, b: &Batch, cx| {
///         let logits = model.forward(&b.features, cx)?;
///         Ok(CrossEntropy::new().loss(&logits, b.labels().map_err(tl_nn::Error::other)?)?)
///     });
///     let trainer = Trainer::new(Optimizer::new(Adam::new(1e-3)), 1);
///     let report = trainer.run(&mut model, |e| loader.epoch(e as u64), &mut objective)?;
///     Ok::<_, Error>(report.history.records[0].train["loss"])
/// });
/// // Two ranks take the very steps of one.
/// assert_eq!(train(2)?, vec![train(1)?[0]; 2]);
/// # Ok::<(), Error>(())
/// ```
pub struct DataParallel<'w, O> {
    world: &'w dyn Collective,
    plan: Plan,
    objective: O,
    /// Whether the gradients are those of the loss, from backward.
    from_loss: bool,
    bucket_bytes: usize,
    overlap: bool,
    /// The order in which backward delivers, once it is known.
    order: Option<Vec<usize>>,
}

/// An objective that is a loss alone.
#[derive(Debug)]
pub struct LossOf<F>(F);

impl<M, B, F, L> Objective<M, B> for LossOf<F>
where
    M: Module,
    F: FnMut(&M, &B, &mut Ctx) -> tl_nn::Result<L>,
    L: Into<Losses>,
{
    fn loss(&mut self, model: &M, batch: &B, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        Ok((self.0)(model, batch, cx)?.into())
    }
}

impl<'w, F> DataParallel<'w, LossOf<F>> {
    /// Minimises `loss`, the mean over the samples of a micro-shard. Sums
    /// between ranks run beside backward.
    pub fn new<M, B, L>(world: &'w dyn Collective, plan: Plan, loss: F) -> Self
    where
        F: FnMut(&M, &B, &mut Ctx) -> tl_nn::Result<L>,
        L: Into<Losses>,
    {
        Self { from_loss: true, ..DataParallel::of(world, plan, LossOf(loss)) }
    }
}

impl<'w, O> DataParallel<'w, O> {
    /// Runs any objective on micro-shards, with the gradients that it gives
    /// itself. These come all at once, so their buckets are summed after the
    /// last micro-shard's.
    ///
    /// The objective must not change its own state in a loss: ranks see other
    /// samples, and their states would differ. What it does in `after_step` and
    /// `validate`, it does on every rank.
    pub fn of(world: &'w dyn Collective, plan: Plan, objective: O) -> Self {
        Self {
            world,
            plan,
            objective,
            from_loss: false,
            bucket_bytes: BUCKET_BYTES,
            overlap: true,
            order: None,
        }
    }

    /// Says that the objective's gradients are those of its loss, as they are
    /// unless it has a `gradients` of its own: sums then run beside backward.
    #[must_use]
    pub fn from_loss(mut self) -> Self {
        self.from_loss = true;
        self
    }

    /// Sets the bytes of a bucket, [`BUCKET_BYTES`] at first. Larger ones cost
    /// fewer messages, smaller ones begin earlier. The bits of
    /// [`Reduction::Deterministic`] do not depend on it.
    #[must_use]
    pub fn bucket_bytes(mut self, bytes: usize) -> Self {
        self.bucket_bytes = bytes;
        self
    }

    /// Whether sums between ranks run beside backward, in a second thread;
    /// default yes. The results are the same.
    #[must_use]
    pub fn overlap(mut self, yes: bool) -> Self {
        self.overlap = yes;
        self
    }

    /// The objective of a micro-shard.
    pub fn objective(&self) -> &O {
        &self.objective
    }
}

/// What the micro-shards of this rank gave beside gradients.
struct Local {
    losses: Vec<f32>,
    /// The variables in the order in which they were delivered last.
    arrival: Vec<usize>,
}

/// Sums buckets over the ranks as they become ready.
fn sum_buckets(
    world: &dyn Collective,
    plan: &Plan,
    layout: &Layout,
    there: &[bool],
    ready: Receiver<Ready>,
) -> Result<Vec<Vec<f32>>> {
    let sums = ready.into_iter();
    sums.map(|(bucket, nodes)| planned(world, plan, nodes, there, layout.length(bucket))).collect()
}

impl<O> DataParallel<'_, O> {
    /// The context of a micro-shard.
    fn context(cx: &Ctx, base: u64, shard: usize) -> Ctx {
        let mut own = Ctx::train(mix(base, shard as u64))
            .with_progress(cx.progress())
            .with_norm_stats(cx.norm_stats());
        own.set_domain(cx.domain());
        own
    }

    /// One pass over this rank's micro-shards.
    fn pass<M: Module, B>(
        &mut self,
        (model, batch): (&M, &Shards<B>),
        cx: &mut Ctx,
        (variables, filler): (&[&Tensor], &mut Filler<'_>),
        statistics: &mut Statistics,
    ) -> tl_nn::Result<Local>
    where
        O: Objective<M, B>,
    {
        let mut local = Local { losses: Vec::new(), arrival: Vec::new() };
        let alone = self.plan.shards() == 1;
        let base = if alone { 0 } else { cx.rng().next_u64() };
        for shard in self.plan.own() {
            let Some(samples) = batch.get(shard) else {
                filler.skip(shard);
                statistics.skip(shard);
                continue;
            };
            let weight = batch.weight(shard);
            // The same variables, but buffers of its own.
            let mut replica = model.map_params(|_, own| Ok(own.clone()))?;
            let mut own = (!alone).then(|| Self::context(cx, base, shard));
            let cx = own.as_mut().unwrap_or(cx);
            local.arrival.clear();
            filler.begin();
            let losses = if self.from_loss {
                let losses = self.objective.loss(&replica, samples, cx)?;
                losses.total().backward_each(variables, |variable, gradient| {
                    local.arrival.push(variable);
                    filler.deliver(shard, variable, &gradient, weight);
                })?;
                losses
            } else {
                let (losses, mut gradients) = self.objective.gradients(&replica, samples, cx)?;
                for (variable, tensor) in variables.iter().enumerate() {
                    if let Some(gradient) = gradients.remove(tensor) {
                        filler.deliver(shard, variable, &gradient, weight);
                    }
                }
                losses
            };
            filler.end(shard);
            local.losses.push(losses.total().item()?);
            replica.apply(cx.take_updates())?;
            statistics.add(shard, &replica, weight);
        }
        Ok(local)
    }

    /// All ranks agree on rank 0's order of delivery after the first step.
    fn agree(&mut self, arrival: Vec<usize>, variables: usize) -> Result<()> {
        if self.order.as_ref().is_some_and(|order| order.len() == variables) {
            return Ok(());
        }
        let mut order = arrival;
        order.extend((0..variables).rev().filter(|v| !order.contains(v)).collect::<Vec<_>>());
        let bytes = order.iter().flat_map(|&v| (v as u64).to_le_bytes()).collect();
        let bytes = self.world.broadcast(bytes, 0)?;
        let order: Vec<usize> = bytes
            .chunks_exact(8)
            .filter_map(|b| usize::try_from(u64::from_le_bytes(b.try_into().ok()?)).ok())
            .collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted.into_iter().ne(0..variables) {
            let expected = format!("{} as on rank 0", order.len());
            return Err(Error::argument("data parallel", "variables", variables, expected));
        }
        self.order = Some(order);
        Ok(())
    }
}

/// The trainable tensors, one that is tied once.
fn variables<M: Module>(model: &M) -> Vec<&Tensor> {
    let mut own: Vec<&Tensor> = Vec::new();
    for tensor in model.trainable() {
        if !own.iter().any(|t| t.same_variable(tensor)) {
            own.push(tensor);
        }
    }
    own
}

impl<M, B, O> Objective<M, Shards<B>> for DataParallel<'_, O>
where
    M: Module,
    O: Objective<M, B>,
{
    /// The mean loss of this rank's micro-shards, for a look at where a number
    /// came from; no other rank takes part.
    fn loss(&mut self, model: &M, batch: &Shards<B>, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let alone = self.plan.shards() == 1;
        let base = if alone { 0 } else { cx.rng().next_u64() };
        let mut total: Option<Tensor> = None;
        for (shard, samples) in batch.own() {
            if alone {
                return self.objective.loss(model, samples, cx);
            }
            let mut own = Self::context(cx, base, shard).watching();
            let losses = self.objective.loss(model, samples, &mut own)?;
            if let Some(path) = own.culprit() {
                cx.tap(path, &Tensor::scalar(f32::NAN));
            }
            let part = losses.total().mul_scalar(batch.weight(shard));
            total = Some(match total {
                None => part,
                Some(sum) => sum.add(&part)?,
            });
        }
        Ok(total.unwrap_or_else(|| Tensor::scalar(0.0)).into())
    }

    fn gradients(
        &mut self,
        model: &M,
        batch: &Shards<B>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let (world, plan) = (self.world, self.plan);
        let there = batch.there();
        if there.len() != plan.shards() {
            let expected = format!("{}, cut by the plan of this objective", plan.shards());
            return Err(
                Error::argument("data parallel", "micro-shards", there.len(), expected).into()
            );
        }
        let variables = variables(model);
        let sizes: Vec<usize> = variables.iter().map(|v| v.numel()).collect();
        let order = self.order.take().filter(|order| order.len() == sizes.len());
        let guess: Vec<usize> = (0..sizes.len()).rev().collect();
        let layout = Layout::new(order.as_ref().unwrap_or(&guess), &sizes, self.bucket_bytes);
        self.order = order;
        let mut statistics = Statistics::new(model, plan.shards());
        let (out, ready) = channel();
        let mut filler = Filler::new(&layout, &plan, out);
        let overlapped = self.overlap && self.from_loss && world.size() > 1;
        let (local, sums) = thread::scope(|scope| {
            let sum = || sum_buckets(world, &plan, &layout, &there, ready);
            let (beside, after) =
                if overlapped { (Some(scope.spawn(sum)), None) } else { (None, Some(sum)) };
            let local = self.pass((model, batch), cx, (&variables, &mut filler), &mut statistics);
            // No more buckets: the sum ends with those that were sent.
            drop(filler);
            let local = local?;
            let sums = match (beside, after) {
                (Some(beside), _) => beside.join().unwrap_or_else(|_| {
                    let message = "the thread that sums gradients".to_owned();
                    Err(Error::Panicked { rank: world.rank(), message })
                })?,
                (None, Some(after)) => after()?,
                (None, None) => Vec::new(),
            };
            Ok::<_, tl_nn::Error>((local, sums))
        })?;
        self.agree(local.arrival, sizes.len())?;
        statistics.record(world, &plan, &there, model, cx)?;
        let losses = losses::mean(world, &plan, batch, local.losses)?;
        let mut gradients = Gradients::default();
        if losses.total().is_finite() {
            for (variable, tensor) in variables.iter().enumerate() {
                if let Some(numbers) = layout.read(variable, sizes[variable], &sums) {
                    gradients.insert(tensor, Tensor::from_slice(numbers, *tensor.shape())?);
                }
            }
        }
        Ok((losses, gradients))
    }

    fn after_step(&mut self, model: &mut M, step: u64) -> tl_nn::Result<()> {
        self.objective.after_step(model, step)
    }

    fn validate(&mut self, model: &M) -> tl_nn::Result<Option<Metrics>> {
        self.objective.validate(model)
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.add_part("of", self.objective.state());
        if let Reduction::Deterministic { shards } = self.plan.reduction() {
            state.insert(SHARDS, Weight::new(&Tensor::scalar(shards as f32)));
        }
        state
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        if let (Some(saved), Reduction::Deterministic { shards }) =
            (state.get(SHARDS), self.plan.reduction())
        {
            let saved = saved.to_tensor()?.item()?;
            if saved != shards as f32 {
                let expected = format!("{saved}, with which the checkpoint was made");
                return Err(Error::argument("data parallel", "shards", shards, expected).into());
            }
        }
        self.objective.load_state(&state.part("of"))
    }
}

impl<O> std::fmt::Debug for DataParallel<'_, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataParallel")
            .field("plan", &self.plan)
            .field("bucket_bytes", &self.bucket_bytes)
            .finish_non_exhaustive()
    }
}
