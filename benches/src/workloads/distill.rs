//! Knowledge distillation.

use super::{Run, Workload};
use crate::{
    Outcome,
    fill::{classes, numbers, set_weights},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::Dataset;
use tl_distill::{TeacherCache, kd};
use tl_nn::{Act, Adam, CrossEntropy, Ctx, Forward, Linear, ModuleExt, Optimizer, Sequential};

const BATCH: usize = 128;

fn mlp(width: usize, seed: u64) -> Outcome<Sequential> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut net = Sequential::new()
        .push(Linear::new(784, width, rng))
        .push(Act::Relu)
        .push(Linear::new(width, width, rng))
        .push(Act::Relu)
        .push(Linear::new(width, 10, rng));
    set_weights(seed, &mut net)?;
    Ok(net)
}

/// Where the teacher's logits come from.
enum Teacher {
    Live,
    Cached,
    None,
}

fn setup(from: &Teacher) -> Outcome<Run> {
    let (mut teacher, mut net) = (mlp(1200, 10)?, mlp(800, 20)?);
    teacher.freeze("**")?;
    let (x, y) = (numbers(1, [BATCH, 784]), classes(BATCH, 10));
    let names: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    let data = Dataset::classification(x.clone(), y.as_slice().to_vec(), names)?;
    let cache = TeacherCache::compute(&[&teacher], &data)?;
    let (live, cached) = (matches!(from, Teacher::Live), matches!(from, Teacher::Cached));
    let rows: Vec<usize> = (0..BATCH).collect();
    let mut optimizer = Optimizer::new(Adam::new(1e-3));
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let logits = net.forward(&x, &mut Ctx::train(step))?;
        let mut loss = CrossEntropy::new().loss(&logits, &y)?;
        let said = match (live, cached) {
            (true, _) => Some(teacher.forward(&x, &mut Ctx::eval())?),
            (_, true) => Some(cache.rows(&rows)?.remove(0)),
            _ => None,
        };
        if let Some(said) = said {
            loss = loss.mul_scalar(0.1).add(&kd(&logits, &said, 4.0)?.mul_scalar(0.9))?;
        }
        optimizer.step(&mut net, &loss.backward()?)?;
        Ok(loss.detach())
    }))
}

/// With a teacher that is asked in every step.
pub(super) const KD_STEP: Workload = Workload {
    name: "kd_step",
    about: "teacher 784-1200-1200-10 forward, student 784-800-800-10, T = 4, batch 128, one step \
            of Adam",
    peers: &["torch", "torch_fused", "torch_compile"],
    setup: || setup(&Teacher::Live),
    ..Workload::DEFAULT
};

/// With the teacher's outputs from a cache.
pub(super) const KD_CACHED: Workload = Workload {
    name: "kd_step_cached",
    about: "the same student, the teacher's logits from the cache",
    setup: || setup(&Teacher::Cached),
    ..KD_STEP
};

/// Without a teacher: what a cached step is compared with.
pub(super) const KD_NONE: Workload = Workload {
    name: "kd_step_plain",
    about: "the same student without a teacher",
    setup: || setup(&Teacher::None),
    ..KD_STEP
};
