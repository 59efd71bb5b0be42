//! Several tasks in training.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_multitask::{
    Balance, Cgc, CrossStitch, GradientBalancer, HardSharing, LossBalancer, Mmoe, MultiTask,
    Report, Task, Trained, delta_m, masked_mean, task_affinity, task_order,
};
use tl_nn::{
    Act, Adam, CrossEntropy, Ctx, Error, Forward, Linear, ModuleExt, Optimizer, Reduction,
    Sequential, Sgd, Tensor, Trainer, loss, metric::Trials,
};

type Net = HardSharing<Sequential, Linear>;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

fn net(outputs: &[usize]) -> Net {
    let mut rng = rng();
    let trunk = Sequential::new().push(Linear::new(3, 12, &mut rng)).push(Act::Tanh);
    let heads = outputs.iter().map(|&n| Linear::new(12, n, &mut rng)).collect();
    HardSharing { trunk, heads }
}

/// Three flower measurements; species and petal width are to be found.
struct Flowers {
    x: Tensor,
    width: Tensor,
    labels: tl_nn::Indices,
}

fn flowers() -> Flowers {
    let iris = tl_data::samples::iris();
    let x = iris.features();
    let centred = x.sub(&x.mean(0, true).unwrap()).unwrap();
    Flowers {
        x: centred.narrow(1, 0, 3).unwrap(),
        width: centred.narrow(1, 3, 1).unwrap(),
        labels: iris.labels().unwrap().into(),
    }
}

fn tasks() -> [Task; 2] {
    [Task::classification("species"), Task::regression("width")]
}

fn both(net: &Net, f: &Flowers, cx: &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>> {
    let out = net.forward_all(&f.x, cx)?;
    let species = CrossEntropy::new().loss(&out[0], &f.labels)?;
    Ok(vec![Some(species), Some(loss::mse(&out[1], &f.width, Reduction::Mean)?)])
}

fn once(_: usize) -> [Result<(), Error>; 1] {
    [Ok(())]
}

fn train(balance: Balance, epochs: usize) -> (Net, Trained) {
    let f = flowers();
    let mut net = net(&[3, 1]);
    let trainer = Trainer::new(Optimizer::new(Adam::new(0.02)), epochs);
    let report = MultiTask::new(&tasks(), balance)
        .fit(trainer, &mut net, once, |net, (), cx| both(net, &f, cx))
        .unwrap();
    (net, report)
}

fn balances() -> Vec<Balance> {
    let mut all = vec![Balance::Uncertainty];
    all.extend(
        [
            LossBalancer::Fixed(Vec::new()),
            LossBalancer::Dwa { temperature: 2.0 },
            LossBalancer::Rlw,
            LossBalancer::Gls,
            LossBalancer::Stch { mu: 0.5, warm_up: 4 },
            LossBalancer::Famo { lr: 0.025, decay: 0.001 },
        ]
        .map(Balance::Losses),
    );
    all.extend(
        [
            GradientBalancer::Sum,
            GradientBalancer::PcGrad,
            GradientBalancer::CaGrad { c: 0.4 },
            GradientBalancer::Mgda,
            GradientBalancer::UpGrad,
            GradientBalancer::ImtlG,
            GradientBalancer::Aligned,
            GradientBalancer::Nash,
            GradientBalancer::FairGrad { a: 2.0 },
            GradientBalancer::GradVac { beta: 0.1 },
        ]
        .map(Balance::Gradients),
    );
    all
}

#[test]
fn every_balancer_trains_both_tasks() {
    for balance in balances() {
        let (_, report) = train(balance.clone(), 60);
        let records = &report.train.history.records;
        for task in ["loss.species", "loss.width"] {
            let (first, last) = (records[0].train[task], records[59].train[task]);
            assert!(last < 0.5 * first, "{} {task}: {first} to {last}", balance.name());
        }
        assert!(records[59].train.contains_key("loss.weight.species"));
    }
}

#[test]
fn the_sum_of_gradients_is_the_gradient_of_the_sum() {
    let (a, report) = train(Balance::Gradients(GradientBalancer::Sum), 5);
    let (b, _) = train(Balance::Losses(LossBalancer::Fixed(Vec::new())), 5);
    for ((path, a), (_, b)) in a.params().iter().zip(b.params()) {
        for (a, b) in a.tensor().to_vec().iter().zip(b.tensor().to_vec()) {
            assert!((a - b).abs() < 1e-5, "{path}");
        }
    }
    assert_eq!(report.cosines[0][0], 1.0);
    assert!(report.cosines[0][1].abs() <= 1.0 && report.conflicts[0][0] == 0.0);
}

#[test]
fn tasks_without_labels_leave_no_trace() {
    // The second of three tasks never has a label: as if it were not there.
    let f = flowers();
    let run = |balance: Balance, three: bool| -> Vec<f32> {
        let mut net = net(&[3, 2, 1]);
        let mut all = tasks().to_vec();
        if three {
            all.insert(1, Task::regression("nothing"));
        }
        let trainer = Trainer::new(Optimizer::new(Sgd::new(0.05)), 4);
        // Its head is not trained at all.
        net.freeze("heads.1.**").unwrap();
        MultiTask::new(&all, balance)
            .fit(trainer, &mut net, once, |net, (), cx| {
                let out = net.forward_all(&f.x, cx)?;
                let species = CrossEntropy::new().loss(&out[0], &f.labels)?;
                let width = loss::mse(&out[2], &f.width, Reduction::Mean)?;
                let mut losses = vec![Some(species), Some(width)];
                if three {
                    losses.insert(1, None);
                }
                Ok(losses)
            })
            .unwrap();
        net.params().iter().flat_map(|(_, p)| p.tensor().to_vec()).collect()
    };
    for balance in balances() {
        if matches!(balance, Balance::Losses(LossBalancer::Rlw)) {
            continue; // draws one number for each task
        }
        assert_eq!(run(balance.clone(), true), run(balance.clone(), false), "{}", balance.name());
    }
}

#[test]
fn a_resumed_run_is_the_same() {
    let folder = std::env::temp_dir().join(format!("tl-multitask-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let f = flowers();
    for (i, balance) in [
        Balance::Gradients(GradientBalancer::GradVac { beta: 0.3 }),
        Balance::Losses(LossBalancer::Dwa { temperature: 1.0 }),
        Balance::Losses(LossBalancer::Famo { lr: 0.1, decay: 0.01 }),
        Balance::Uncertainty,
    ]
    .into_iter()
    .enumerate()
    {
        let multi = MultiTask::new(&tasks(), balance);
        let trainer = |epochs| Trainer::new(Optimizer::new(Adam::new(0.02)), epochs);
        let mut whole = net(&[3, 1]);
        multi.fit(trainer(8), &mut whole, once, |n, (), cx| both(n, &f, cx)).unwrap();
        let path = folder.join(format!("{i}.safetensors"));
        let mut part = net(&[3, 1]);
        let mut calls = 0;
        let stopped = multi.fit(trainer(8).checkpoint(&path), &mut part, once, |n, (), cx| {
            calls += 1;
            if calls > 5 {
                return Err(Error::argument("test", "run", "interrupted", "to go on"));
            }
            both(n, &f, cx)
        });
        assert!(stopped.is_err());
        let mut resumed = net(&[3, 1]);
        multi
            .fit(trainer(8).checkpoint(&path).resume(), &mut resumed, once, |n, (), cx| {
                both(n, &f, cx)
            })
            .unwrap();
        let bytes = |n: &Net| n.state_dict().to_bytes().unwrap();
        assert_eq!(bytes(&resumed), bytes(&whole), "{i}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn architectures_are_what_they_say() {
    let x = flowers().x;
    let mut rng = rng();
    let mut cx = Ctx::eval();
    // One expert makes hard sharing.
    let trunk = Linear::new(3, 6, &mut rng);
    let towers: Vec<Linear> = (1..3).map(|n| Linear::new(6, n, &mut rng)).collect();
    let one = Mmoe::new(vec![trunk.clone()], towers.clone(), 3, &mut rng);
    let hard = HardSharing { trunk, heads: towers.clone() };
    let (a, b) = (one.forward_all(&x, &mut cx).unwrap(), hard.forward_all(&x, &mut cx).unwrap());
    for (a, b) in a.iter().zip(&b) {
        for (a, b) in a.to_vec().iter().zip(b.to_vec()) {
            approx::assert_relative_eq!(*a, b, max_relative = 1e-5);
        }
    }
    assert_eq!(hard.forward_task(1, &x, &mut cx).unwrap().to_vec(), b[1].to_vec());
    assert!(hard.forward_task(2, &x, &mut cx).is_err());

    let mut make = ChaCha8Rng::seed_from_u64(5);
    let widths = [3, 6];
    let expert = |level: usize| Linear::new(widths[level], 6, &mut make);
    let ple = Cgc::new(&widths, (2, 1), towers.clone(), expert, &mut rng);
    let out = ple.forward_all(&x, &mut cx).unwrap();
    assert_eq!((out[0].dims(), out[1].dims()), ([150, 1].as_slice(), [150, 2].as_slice()));
    // 4 experts and 4 gates (the last level has no shared gate) a level.
    assert!(ple.levels[0].shared_gate.is_some() && ple.levels[1].shared_gate.is_none());
    assert_eq!(ple.levels[0].gates[0].weight.dims(), [3, 3]);
    assert_eq!(ple.levels[0].shared_gate.as_ref().unwrap().weight.dims(), [4, 3]);

    let stage = |from, to: &[usize], rng: &mut ChaCha8Rng| -> Vec<Linear> {
        to.iter().map(|&to| Linear::new(from, to, rng)).collect()
    };
    let stages = vec![stage(3, &[6, 6], &mut rng), stage(6, &[1, 2], &mut rng)];
    let mut stitched = CrossStitch::new(stages);
    assert_eq!(stitched.forward_all(&x, &mut cx).unwrap()[1].dims(), [150, 2]);
    // With the unit matrix the networks are separate.
    stitched.stitches[0].set_data(&Tensor::eye(2)).unwrap();
    let apart = stitched.stages[1][0]
        .forward(&stitched.stages[0][0].forward(&x, &mut cx).unwrap(), &mut cx)
        .unwrap();
    let got = stitched.forward_all(&x, &mut cx).unwrap();
    for (a, b) in got[0].to_vec().iter().zip(apart.to_vec()) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-4, epsilon = 1e-5);
    }
}

#[test]
fn means_leave_out_what_is_unknown() {
    let losses = Tensor::from_slice(&[1.0, 5.0, 3.0], 3).unwrap();
    let mean = masked_mean(&losses, &[true, false, true]).unwrap().unwrap();
    assert_eq!(mean.item().unwrap(), 2.0);
    assert!(masked_mean(&losses, &[false; 3]).unwrap().is_none());
    assert!(masked_mean(&losses, &[true]).is_err());
}

#[test]
fn orders_follow_sizes_and_temperature() {
    let part = |temperature| {
        let order = task_order(&[100, 900], temperature, 4000, 1).unwrap();
        order.iter().filter(|t| **t == 1).count() as f64 / 4000.0
    };
    assert!((part(1.0) - 0.9).abs() < 0.02);
    assert!((part(2.0) - 0.75).abs() < 0.03);
    assert!((part(f64::INFINITY) - 0.5).abs() < 0.03);
    assert!(task_order(&[1, 0], 1.0, 3, 0).is_err() && task_order(&[1], 0.5, 3, 0).is_err());
}

#[test]
fn gains_have_the_sign_of_their_metric() {
    let mut report = Report::new(&[("a", "accuracy", true), ("b", "error", false)]);
    for _ in 0..2 {
        report.add("single", &[0.8, 0.5], 1.0);
        report.add("shared", &[0.88, 0.6], 1.0);
    }
    // +10% and -20%.
    approx::assert_relative_eq!(report.delta_m("shared").unwrap(), -0.05, max_relative = 1e-9);
    assert!(report.to_string().contains("Δm -5.00%"));
    assert!(delta_m(&[], "shared").is_err());
    assert!(delta_m(&[Trials::new("a", "accuracy")], "shared").is_err());
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn affinity_sees_who_helps_whom() {
    // Two tasks with one goal, one with the opposite.
    let model = Linear::new(3, 1, &mut rng());
    let f = flowers();
    let table = task_affinity(&model, 0.02, |m: &Linear, cx: &mut Ctx| {
        let out = m.forward(&f.x, cx)?;
        let loss = |sign: f32| loss::mse(&out, &f.width.mul_scalar(sign), Reduction::Mean);
        Ok(vec![loss(3.0)?, loss(3.0)?, loss(-3.0)?])
    })
    .unwrap();
    assert!(table[0][1] > 0.0 && table[0][2] < 0.0);
    approx::assert_relative_eq!(table[0][0], table[0][1], max_relative = 1e-9);
}

#[test]
fn combinations_that_make_no_sense_are_refused() {
    let f = flowers();
    let say = |tasks: &[Task], balance: Balance| {
        let trainer = Trainer::new(Optimizer::new(Adam::new(0.02)), 1);
        let multi = MultiTask::new(tasks, balance);
        let run = multi.fit(trainer, &mut net(&[3, 1]), once, |n, (), cx| both(n, &f, cx));
        run.unwrap_err().to_string()
    };
    assert!(say(&tasks()[..1], Balance::Uncertainty).contains("two tasks or more"));
    let fixed = Balance::Losses(LossBalancer::Fixed(vec![1.0; 3]));
    assert!(say(&tasks(), fixed).contains("2 weights"));
    let three = [tasks().to_vec(), vec![Task::regression("more")]].concat();
    assert!(say(&three, Balance::Uncertainty).contains("one for each task"));
    let zero = Balance::Gradients(GradientBalancer::FairGrad { a: 0.0 });
    assert!(say(&tasks(), zero).contains("above 0"));
}
