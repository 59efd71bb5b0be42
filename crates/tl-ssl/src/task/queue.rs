//! MoCo: a queue of keys.

use super::{Heads, Net, Sizes, Slow, Task};
use crate::{Error, Result, Views, info_nce, loss::unit};
use rand::RngCore;
use tl_data::Batch;
use tl_nn::{Ctx, Forward, Losses, Module, StateDict, Tensor, Weight};

pub(crate) struct Queue<M: Module> {
    temperature: f64,
    momentum: f64,
    most: usize,
    slow: Slow<M>,
    /// Unit keys `[m, d]`, oldest first.
    keys: Option<Tensor>,
    /// The keys of this step's first view, which enter after it.
    fresh: Option<Tensor>,
}

impl<M: Forward> Queue<M> {
    pub(crate) fn new(temperature: f64, momentum: f64, most: usize) -> Result<Self> {
        if most == 0 || !(0.0..=1.0).contains(&momentum) {
            let got = format!("{most} keys, momentum {momentum}");
            let expected = "a queue of 1 key or more and a momentum from 0 to 1";
            return Err(Error::argument("moco", "settings", got, expected));
        }
        let slow = Slow::new();
        Ok(Self { temperature, momentum, most, slow, keys: None, fresh: None })
    }
}

impl<M: Forward> Task<M> for Queue<M> {
    /// The queue begins with random directions, as in the authors' code.
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        self.keys = Some(unit(&Tensor::randn([self.most, sizes.width], rng))?);
        Ok(Heads::projector(sizes.projector(rng)))
    }

    fn begin(&mut self, net: &Net<M>) {
        self.slow.begin(net);
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let views = views.count(2).whole(&batch.features, cx)?;
        let [a, b] = &views[..] else { return Err(two_views(views.len())) };
        let (qa, qb) = (net.project(a, cx)?, net.project(b, cx)?);
        let ka = self.slow.project(a, cx)?.unwrap_or_else(|| qa.detach());
        let kb = self.slow.project(b, cx)?.unwrap_or_else(|| qb.detach());
        let ka = unit(&ka)?;
        let Some(keys) = &self.keys else { return Ok(Losses::new(qa.sum_all())) };
        let loss = info_nce(&qa, &kb, keys, self.temperature)?.add(&info_nce(
            &qb,
            &ka,
            keys,
            self.temperature,
        )?)?;
        self.fresh = Some(ka);
        Ok(Losses::new(loss))
    }

    fn after_step(&mut self, net: &Net<M>, _progress: f64) -> tl_nn::Result<()> {
        if let (Some(keys), Some(fresh)) = (&self.keys, self.fresh.take()) {
            let all = Tensor::cat(&[keys, &fresh], 0)?;
            let over = all.dims()[0] - self.most;
            self.keys = Some(all.narrow(0, over, self.most)?.contiguous());
        }
        self.slow.follow(net, self.momentum)
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.add_part("slow.", self.slow.state());
        if let Some(keys) = &self.keys {
            state.insert("queue", Weight::new(keys));
        }
        state
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        self.keys = Some(state.tensor("queue")?);
        self.slow.load(&state.part("slow."))
    }
}

fn two_views(got: usize) -> tl_nn::Error {
    tl_nn::Error::argument("moco", "views", got, "two")
}
