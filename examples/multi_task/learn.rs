//! What the studies share.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    multitask::{Balance, GradientBalancer, HardSharing, Labels, MultiTask, Trained},
    nn::{
        Act, AdamW, BatchNorm2d, Conv2d, Ctx, Error, Flatten, Linear, MaxPool2d, Optimizer,
        Schedule, Sequential, Trainer,
    },
    tensor::{Conv, Indices, Pool, Tensor},
};

use crate::shared::Outcome;

pub type Net = HardSharing<Sequential, Linear>;

/// How long to train, and on what.
pub struct Budget {
    pub epochs: usize,
    pub batch: usize,
    pub lr: f32,
    pub decay: f32,
    pub seed: u64,
}

impl Budget {
    pub fn trainer(&self, steps: usize) -> Trainer<'static> {
        let rule = AdamW { weight_decay: self.decay, ..AdamW::new(self.lr) };
        let optimizer = Optimizer::new(rule).schedule(Schedule::cosine(steps as u64, 0.0));
        Trainer::new(optimizer, self.epochs).seed(self.seed)
    }

    /// The rows of each batch of an epoch, in an order of its own.
    pub fn batches(&self, n: usize, epoch: usize) -> Vec<Result<Vec<usize>, Error>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed * 1000 + epoch as u64);
        let order = Indices::permutation(n, &mut rng);
        order.as_slice().chunks(self.batch).map(|rows| Ok(rows.to_vec())).collect()
    }

    pub fn steps(&self, n: usize) -> usize {
        self.epochs * n.div_ceil(self.batch)
    }
}

/// Trains on all tasks of `labels` with `balance`, or on its one task.
pub fn train(
    net: &mut Net,
    x: &Tensor,
    labels: &Labels,
    balance: Option<&Balance>,
    budget: &Budget,
) -> Outcome<Option<Trained>> {
    let n = labels.len();
    let losses = |net: &Net, rows: &Vec<usize>, cx: &mut Ctx| {
        let x = x.index_select(0, &rows[..].into())?;
        Ok(labels.losses(&net.forward_all(&x, cx)?, rows)?)
    };
    match balance {
        Some(balance) => {
            let multi = MultiTask::new(&labels.tasks(), balance.clone());
            let data = |epoch| budget.batches(n, epoch);
            Ok(Some(multi.fit(budget.trainer(budget.steps(n)), net, data, losses)?))
        }
        None => {
            // Only batches of samples with a label; as many steps as all tasks get.
            let known = labels.known(0);
            let steps = budget.steps(n);
            let epochs = steps.div_ceil(known.len().div_ceil(budget.batch).max(1));
            let trainer = Budget { epochs, ..*budget }.trainer(steps);
            let data = |epoch| {
                let batches = budget.batches(known.len(), epoch);
                let own = |rows: Vec<usize>| rows.into_iter().map(|r| known[r]).collect();
                batches.into_iter().map(|b| b.map(own)).collect::<Vec<_>>()
            };
            trainer.fit(net, data, |net, rows: &Vec<usize>, cx| {
                let all: Vec<Option<Tensor>> = losses(net, rows, cx)?;
                all.into_iter().flatten().next().ok_or_else(|| {
                    Error::argument("single task", "loss", "none", "a batch with labels")
                })
            })?;
            Ok(None)
        }
    }
}

/// Two convolutions and a layer of 64 features, for pictures of this size.
pub fn conv_trunk(height: usize, width: usize, rng: &mut ChaCha8Rng) -> Sequential {
    let mut trunk = Sequential::new();
    for (from, to) in [(1, 12), (12, 24)] {
        trunk = trunk
            .push(Conv2d::new(from, to, 5, rng).options(Conv::new().padding(2)).without_bias())
            .push(BatchNorm2d::new(to))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    let flat = 24 * (height / 4) * (width / 4);
    trunk.push(Flatten).push(Linear::new(flat, 64, rng)).push(Act::Relu)
}

/// Names for the methods.
pub fn ways(all: Vec<Balance>) -> Vec<(String, Balance)> {
    all.into_iter().map(|balance| (balance.name().to_owned(), balance)).collect()
}

/// A few methods of different kinds.
pub fn few() -> Vec<(String, Balance)> {
    use GradientBalancer as G;
    let gradients = [G::PcGrad, G::Mgda, G::UpGrad, G::Nash];
    let mut all = vec![Balance::equal(), Balance::Uncertainty];
    all.extend(gradients.map(Balance::Gradients));
    ways(all)
}
