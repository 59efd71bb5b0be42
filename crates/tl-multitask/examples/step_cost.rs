//! What balancing costs: the weights of many tasks, and whole training steps.
//!
//! `cargo run --release -p tl-multitask --example step_cost [-- TASKS METHOD]`
//!
//! A step is forward and backward passes, weights and SGD on a trunk of
//! 512-512-512-512 with ReLU, a linear head for each task, 64 rows. With arguments one step
//! in a loop of 30, for a profiler.
#![allow(clippy::print_stdout)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use tl_multitask::{
    GradientBalancer, GradientState, Gram, HardSharing, Result, TaskGradients, gradient_weights,
};
use tl_nn::{Act, Ctx, Linear, Optimizer, Reduction, Sequential, Sgd, Tensor, loss};

/// The median seconds of a call.
fn median(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[calls / 2])
}

fn gram(tasks: usize, width: usize) -> Result<Gram> {
    let rng = &mut ChaCha8Rng::seed_from_u64(tasks as u64);
    let rows = Tensor::<f32>::randn([tasks, width], rng).to_vec();
    let wide = |row: &[f32]| row.iter().map(|x| f64::from(*x)).collect();
    Gram::from_rows(&rows.chunks(width).map(wide).collect::<Vec<_>>())
}

/// A function that takes one step.
fn stepper(tasks: usize, balancer: GradientBalancer) -> impl FnMut() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut trunk = Sequential::new();
    for _ in 0..3 {
        trunk = trunk.push(Linear::new(512, 512, rng)).push(Act::Relu);
    }
    let heads = (0..tasks).map(|_| Linear::new(512, 1, rng)).collect();
    let mut net = HardSharing { trunk, heads };
    let x = Tensor::randn([64, 512], rng);
    let wanted: Vec<Tensor> = (0..tasks).map(|_| Tensor::randn([64, 1], rng)).collect();
    let mut optimizer = Optimizer::new(Sgd::new(1e-3));
    let mut state = GradientState::default();
    let mut step = 0;
    move || {
        step += 1;
        let outputs = net.forward_all(&x, &mut Ctx::train(step))?;
        let mut losses = Vec::with_capacity(tasks);
        for (output, wanted) in outputs.iter().zip(&wanted) {
            losses.push(Some(
                loss::mse(output, wanted, Reduction::Mean).map_err(tl_nn::Error::from)?,
            ));
        }
        let gradients = TaskGradients::of(&net, &losses)?;
        let (gram, present) = (gradients.gram(), gradients.present());
        let weights = gradient_weights(balancer, &gram, present, tasks, &mut state, step)?;
        let gradients = gradients.combine(&weights, &vec![1.0; tasks])?;
        drop((outputs, losses));
        optimizer.step(&mut net, &gradients)?;
        Ok(())
    }
}

/// The most memory that this process had, in MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("0");
    let number: String = line.chars().filter(char::is_ascii_digit).collect();
    number.parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let methods = [GradientBalancer::PcGrad, GradientBalancer::Mgda, GradientBalancer::UpGrad];
    if let [tasks, method] = &arguments[..] {
        let chosen = methods.into_iter().find(|m| m.name() == method);
        let (tasks, chosen) = (tasks.parse().unwrap_or(2), chosen.unwrap_or(methods[2]));
        let mut step = stepper(tasks, chosen);
        let time = median(30, &mut step)?;
        println!("{} of {tasks} tasks: {:.2} ms, peak {:.0} MB", chosen.name(), 1e3 * time, peak());
        return Ok(());
    }
    for (tasks, width) in [(2, 8192), (4, 8192), (32, 8192), (128, 8192), (128, 1000), (128, 60)] {
        let gram = gram(tasks, width)?;
        let all: Vec<usize> = (0..tasks).collect();
        for method in methods {
            let state = &mut GradientState::default();
            let time =
                median(15, || gradient_weights(method, &gram, &all, tasks, state, 0).map(drop))?;
            println!(
                "weights of {tasks:>3} tasks on {width:>4} numbers, {:<7} {:.3} ms",
                method.name(),
                1e3 * time
            );
        }
    }
    for tasks in [2, 8, 32] {
        for method in methods {
            let time = median(15, stepper(tasks, method))?;
            println!("step of {tasks:>2} tasks, {:<7} {:.2} ms", method.name(), 1e3 * time);
        }
    }
    println!("peak {:.0} MB", peak());
    Ok(())
}
