//! Optimisers over ten steps, schedules over thirty.

use super::{close, read};
use tl_nn::{
    Adam, AdamW, Anneal, Gradients, Lbfgs, Optimizer, Param, Plateau, Reduction, RmsProp, Schedule,
    Sgd, Tensor, loss, module,
};

#[derive(Clone)]
struct Two {
    a: Param,
    b: Param,
}
module!(Two { a, b });

#[test]
fn ten_steps_are_those_of_pytorch() {
    let file = read("optimisers");
    let cases = vec![
        ("sgd", Optimizer::new(Sgd::new(0.1))),
        ("sgd_momentum", Optimizer::new(Sgd::new(0.1).momentum(0.9).weight_decay(0.01))),
        ("sgd_nesterov", Optimizer::new(Sgd::new(0.1).momentum(0.8).nesterov(true))),
        ("adam", Optimizer::new(Adam::new(0.02).weight_decay(0.01))),
        ("adamw", Optimizer::new(AdamW::new(0.02).weight_decay(0.1).betas(0.8, 0.99).eps(1e-6))),
        ("rmsprop", Optimizer::new(RmsProp::new(0.02))),
        ("clip_norm", Optimizer::new(Sgd::new(0.1)).clip_norm(1.5)),
    ];
    for (case, mut optimizer) in cases {
        let param = |name| Param::new(file.tensor(&format!("start/{name}")).unwrap());
        let mut model = Two { a: param("a"), b: param("b") };
        for step in 0..10 {
            let mut gradients = Gradients::default();
            for (name, p) in [("a", &model.a), ("b", &model.b)] {
                let all = file.tensor(&format!("gradients/{name}")).unwrap();
                gradients.insert(p.tensor(), all.select(0, step).unwrap());
            }
            optimizer.step(&mut model, &gradients).unwrap();
        }
        for (name, p) in [("a", &model.a), ("b", &model.b)] {
            let what = format!("{case}/{name}");
            close(&what, p.tensor(), &file.tensor(&what).unwrap(), 1e-5);
        }
    }
}

/// The steps of two line searches differ; the minimum does not.
#[test]
fn lbfgs_finds_the_minimum_of_pytorch() {
    let file = read("optimisers");
    let (x, y) = (file.tensor("lbfgs/x").unwrap(), file.tensor("lbfgs/y").unwrap());
    let mut weight = Param::new(Tensor::zeros(3));
    let objective = |w: &Param| -> tl_nn::Result<_> {
        let fit = loss::bce_with_logits(&x.matmul(w.tensor())?, &y, None, Reduction::Mean)?;
        let total = fit.add(&w.tensor().square().sum_all().mul_scalar(0.1))?;
        Ok((f64::from(total.item()?), total.backward()?))
    };
    let end = Lbfgs::default().minimize(&mut weight, objective).unwrap();
    assert!(end.converged);
    close("lbfgs", weight.tensor(), &file.tensor("lbfgs/weight").unwrap(), 1e-3);
}

#[test]
fn schedules_are_those_of_pytorch() {
    let file = read("optimisers");
    let cases = vec![
        ("step", Schedule::Step { size: 7, gamma: 0.5 }),
        ("multi_step", Schedule::MultiStep { milestones: vec![4, 15, 16], gamma: 0.3 }),
        ("exponential", Schedule::Exponential { gamma: 0.9 }),
        ("linear", Schedule::Linear { start: 0.2, end: 0.8, steps: 12 }),
        ("cosine", Schedule::cosine(29, 0.1)),
        ("restarts", Schedule::CosineRestarts { steps: 5, growth: 2, end: 0.05 }),
        ("one_cycle", Schedule::one_cycle(30)),
        (
            "one_cycle_linear",
            Schedule::OneCycle {
                steps: 30,
                rise: 0.3,
                div: 25.0,
                final_div: 1e4,
                anneal: Anneal::Linear,
                three_phase: true,
            },
        ),
        ("polynomial", Schedule::Polynomial { steps: 20, power: 2.0 }),
        (
            "warmup",
            Schedule::Warmup { start: 0.1, steps: 6, then: Box::new(Schedule::cosine(23, 0.0)) },
        ),
    ];
    for (case, schedule) in cases {
        let ours: Vec<f32> = (0..30).map(|t| schedule.factor(t) as f32).collect();
        let theirs = file.tensor(&format!("schedule/{case}")).unwrap();
        close(case, &Tensor::from_vec(ours, 30).unwrap(), &theirs, 1e-6);
    }
}

#[test]
fn the_plateau_is_that_of_pytorch() {
    let file = read("optimisers");
    let mut plateau = Plateau::smaller_is_better();
    (plateau.decay, plateau.patience, plateau.cooldown, plateau.least) = (0.5, 2, 1, 0.1);
    let metrics = file.get("plateau/metrics").unwrap().bytes().to_vec();
    let ours: Vec<f32> = metrics
        .as_chunks()
        .0
        .iter()
        .map(|&b| {
            plateau.observe(f64::from_le_bytes(b));
            plateau.factor() as f32
        })
        .collect();
    let theirs = file.tensor("plateau/rates").unwrap();
    close("plateau", &Tensor::from_vec(ours, 30).unwrap(), &theirs, 1e-6);
}
