//! Balancing the gradients of several tasks.

use super::{Run, Workload};
use crate::{
    Outcome,
    fill::{numbers, set_weights},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_multitask::{Balance, GradientBalancer, HardSharing, MultiTask, Task};
use tl_nn::{Act, Linear, ModuleExt, Optimizer, Reduction, Sequential, Sgd, Trainer, loss};

/// Steps of a run.
const STEPS: usize = 4;

fn setup(balancer: GradientBalancer, tasks: usize) -> Outcome<Run> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut trunk = Sequential::new();
    for _ in 0..3 {
        trunk = trunk.push(Linear::new(512, 512, rng)).push(Act::Relu);
    }
    let heads = (0..tasks).map(|_| Linear::new(512, 1, rng)).collect();
    let mut net = HardSharing { trunk, heads };
    set_weights(10, &mut net)?;
    let x = numbers(1, [64, 512]);
    let targets: Vec<_> = (0..tasks).map(|t| numbers(100 + t as u64, [64, 1])).collect();
    let named: Vec<Task> = (0..tasks).map(|t| Task::regression(&t.to_string())).collect();
    let multi = MultiTask::new(&named, Balance::Gradients(balancer));
    Ok(Box::new(move || {
        let first = |net: &HardSharing<Sequential, Linear>| net.params()[0].1.tensor().detach();
        let before = first(&net);
        let trainer = Trainer::new(Optimizer::new(Sgd::new(0.01)), 1);
        multi.fit(
            trainer,
            &mut net,
            |_| (0..STEPS).map(Ok::<_, tl_nn::Error>),
            |net, _, cx| {
                let out = net.forward_all(&x, cx)?;
                let each = out.iter().zip(&targets);
                each.map(|(y, target)| Ok(Some(loss::mse(y, target, Reduction::Mean)?))).collect()
            },
        )?;
        Ok(first(&net).sub(&before)?)
    }))
}

macro_rules! rows {
    ($($name:literal, $balancer:ident, $tasks:literal, $tolerance:expr;)*) => {
        /// Three balancers for few and many tasks.
        pub(super) const ALL: &[Workload] = &[$(
            Workload {
                name: $name,
                about: concat!(
                    stringify!($balancer), " of ", $tasks,
                    " tasks, trunk of 3 layers of 512, batch 64, one step of SGD"
                ),
                peers: &["torchjd"],
                tolerance: $tolerance,
                steps: STEPS,
                setup: || setup(GradientBalancer::$balancer, $tasks),
            },
        )*];
    };
}

// PCGrad's result depends on random orders from three tasks on; TorchJD's MGDA
// stops at a tolerance.
rows! {
    "mtl_pcgrad_t2", PcGrad, 2, Some(1e-2);
    "mtl_pcgrad_t8", PcGrad, 8, None;
    "mtl_pcgrad_t32", PcGrad, 32, None;
    "mtl_upgrad_t2", UpGrad, 2, Some(1e-2);
    "mtl_upgrad_t8", UpGrad, 8, Some(1e-2);
    "mtl_upgrad_t32", UpGrad, 32, Some(1e-2);
    "mtl_mgda_t2", Mgda, 2, Some(0.1);
    "mtl_mgda_t8", Mgda, 8, Some(0.1);
    "mtl_mgda_t32", Mgda, 32, Some(0.1);
}
