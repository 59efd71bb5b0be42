//! The regression benchmark of the MAML paper (Finn et al. 2017, section 5.1).
//!
//! Sinusoids of random amplitude and phase; ten points to learn from; a network
//! of 40 and 40 rectifiers; 25 tasks a meta-step, Adam of rate 1e-3, one inner
//! step of rate 0.01. Beside MAML: predicting 0, the best fixed function, and a
//! network trained on all tasks jointly, then fine-tuned at the rate that was
//! best on tasks of its own.

use crate::{
    draw,
    shared::{
        Outcome,
        args::Args,
        bar,
        page::Page,
        rows::{self, Row},
    },
    table,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{f32::consts::PI, time::Instant};
use transfer_learning::{
    maml::{
        Curves, Episodes, Evaluation, Learner, Maml, Predict, Protocol, Report, Result, Task,
        evaluate, mse,
    },
    nn::{Act, Adam, Linear, Optimizer, Sequential, Trainer},
    tensor::Tensor,
};

/// Inner steps of which the results are shown.
const SHOWN: [usize; 2] = [1, 10];
/// Fine-tuning rates to choose from.
const RATES: [f32; 4] = [0.003, 0.01, 0.03, 0.1];
/// Test tasks; those to choose on come from another stream.
const TEST: u64 = 1_000_000;
const CHOOSE: u64 = 2_000_000;

/// One function for all tasks.
struct Fixed(fn(f32) -> f32);

impl Predict for Fixed {
    fn predict(&self, task: &Task, _: Protocol) -> Result<Vec<(usize, Tensor)>> {
        let x = &task.query.features;
        let y = x.to_vec().into_iter().map(self.0).collect();
        Ok(vec![(0, Tensor::from_vec(y, *x.shape())?)])
    }
}

struct Bench {
    meta_steps: usize,
    episodes: usize,
    seed: u64,
}

pub fn run(args: &Args, meta_steps: usize) -> Outcome {
    let (meta_steps, episodes) = if args.quick { (50, 20) } else { (meta_steps, 600) };
    let seeds = args.seeds();
    let bar = bar::over(seeds as usize);
    let [mut one, mut ten] = SHOWN.map(|steps| {
        let plural = if steps == 1 { "step" } else { "steps" };
        Report::new(&format!(
            "sinusoids, 10 points, {steps} inner {plural}, {meta_steps} meta-steps"
        ))
    });
    let mut seconds = Vec::new();
    for seed in 0..seeds {
        let bench = Bench { meta_steps, episodes, seed };
        seconds.push(bench.run([&mut one, &mut ten])?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut page = Page::new("Sinusoids from ten points");
    let mut rows = Vec::new();
    for report in [&one, &ten] {
        println!("\n{report}");
        page.heading(&report.trials.data);
        page.table(&table(report)?);
        for way in report.trials.ways.iter().skip(1) {
            rows.push(Row::of(&format!("meta-learning: {}", way.name), &report.trials, &way.name)?);
        }
    }
    let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
    let note = format!("{meta_steps} meta-steps of MAML took {mean:.0} s a seed.");
    println!("\n{note}");
    page.text(&note);
    draw::save(page)?;
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

impl Bench {
    /// Every method on one seed; the seconds of MAML's training.
    fn run(&self, reports: [&mut Report; 2]) -> Outcome<f64> {
        // The mean over amplitudes and phases is -2.55 · (2/π) cos x.
        let best = |x: f32| -2.55 * 2.0 / PI * x.cos();
        let zero = self.test(&Fixed(|_| 0.0), TEST)?;
        let fixed = self.test(&Fixed(best), TEST)?;

        let start = Instant::now();
        let joint = self.train(&Maml::new(0, 0.01))?;
        let joint_seconds = start.elapsed().as_secs_f64();
        let tuned = self.fine_tuned(&joint)?;

        let start = Instant::now();
        let maml = Maml::new(1, 0.01);
        let learner = self.train(&maml)?;
        let seconds = start.elapsed().as_secs_f64();
        let adapted = self.test(&maml.with_steps(10).predictor(&learner, mse), TEST)?;

        for (report, steps) in reports.into_iter().zip(SHOWN) {
            report.add("always 0", zero.clone(), 0.0);
            report.add("the best fixed function", fixed.clone(), 0.0);
            report.add("joint training, fine-tuned", until(&tuned, steps), joint_seconds);
            report.add("MAML", until(&adapted, steps), seconds);
        }
        Ok(seconds)
    }

    /// With no inner step it is joint training on the query points.
    fn train(&self, maml: &Maml) -> Outcome<Learner<Sequential>> {
        let rng = &mut ChaCha8Rng::seed_from_u64(self.seed);
        let net = Sequential::new()
            .push(Linear::new(1, 40, rng))
            .push(Act::Relu)
            .push(Linear::new(40, 40, rng))
            .push(Act::Relu)
            .push(Linear::new(40, 1, rng));
        let mut learner = maml.learner(net)?;
        let tasks = Curves::sinusoid();
        let trainer = Trainer::new(Optimizer::new(Adam::new(1e-3)), 1).seed(self.seed);
        let episodes = Episodes::new(&tasks, 25, self.meta_steps).seed(self.seed);
        maml.fit(trainer, &mut learner, episodes, mse)?;
        Ok(learner)
    }

    /// Gradient descent from the joint network at the rate that is best after 10
    /// steps on tasks that are not those of the test.
    fn fine_tuned(&self, joint: &Learner<Sequential>) -> Outcome<Evaluation> {
        let mut best: Option<(f64, f32)> = None;
        for rate in RATES {
            // A rate at which it diverges has no mean.
            let Ok(result) = self.test(&Maml::new(10, rate).predictor(joint, mse), CHOOSE) else {
                continue;
            };
            let error = result.last().mean;
            if error.is_finite() && best.is_none_or(|(least, _)| error < least) {
                best = Some((error, rate));
            }
        }
        let (_, rate) = best.ok_or("fine-tuning diverged at every rate")?;
        self.test(&Maml::new(10, rate).predictor(joint, mse), TEST)
    }

    fn test(&self, method: &dyn Predict, stream: u64) -> Outcome<Evaluation> {
        let tasks = Curves::sinusoid().query(100);
        let stream = stream + self.seed;
        Ok(evaluate(method, &tasks, self.episodes, stream, Protocol::Inductive)?)
    }
}

/// What was reached after so many steps.
fn until(all: &Evaluation, steps: usize) -> Evaluation {
    let mut part = all.clone();
    part.steps.retain(|(step, _)| *step <= steps);
    part
}
