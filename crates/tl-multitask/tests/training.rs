//! Several tasks in training.

mod common;

use common::{Net, flowers, net, numbers, once, tasks, thirds};
use tl_multitask::{
    Balance, GradientBalancer, HardSharing, LossBalancer, MultiTask, Sampling, Task, TaskAdapters,
    TaskMix, Trained,
};
use tl_nn::{
    Adam, Ctx, EarlyStopping, Error, Linear, Metrics, ModuleExt, Optimizer, Sgd, Tensor, Trainer,
};

fn train_with(multi: &MultiTask, trainer: Trainer<'_>) -> (Net, Trained) {
    let f = flowers();
    let mut net = net(&[3, 1]);
    let report = multi
        .fit(trainer, &mut net, thirds, |net, rows, cx| {
            let x = f.x.index_select(0, &rows[..].into())?;
            Ok(f.labels.losses(&net.forward_all(&x, cx)?, rows)?)
        })
        .unwrap();
    (net, report)
}

fn train(balance: Balance, epochs: usize) -> (Net, Trained) {
    let trainer = Trainer::new(Optimizer::new(Adam::new(0.02)), epochs);
    train_with(&MultiTask::new(&tasks(), balance), trainer)
}

#[test]
fn every_method_trains_both_tasks() {
    for balance in Balance::all() {
        let (_, report) = train(balance.clone(), 25);
        let records = &report.train.history.records;
        for task in ["loss.species", "loss.width"] {
            let (first, last) = (records[0].train[task], records[24].train[task]);
            assert!(last < 0.5 * first, "{} {task}: {first} to {last}", balance.name());
        }
        assert!(records[24].train.contains_key("loss.weight.species"));
        let text = serde_json::to_string(&balance).unwrap();
        assert_eq!(serde_json::from_str::<Balance>(&text).unwrap(), balance);
    }
    assert!(serde_json::from_str::<Balance>(r#"{"grad_norm":{"alpha":1,"lr":1,"x":1}}"#).is_err());
}

#[test]
fn the_sum_of_gradients_is_the_gradient_of_the_sum() {
    let (a, report) = train(Balance::Gradients(GradientBalancer::Sum), 5);
    let (b, _) = train(Balance::equal(), 5);
    for (a, b) in numbers(&a).iter().zip(numbers(&b)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    let seen = report.conflicts.whole();
    assert!((seen.cosines()[0][0] - 1.0).abs() < 1e-6);
    assert!(seen.cosines()[0][1].abs() <= 1.0 && seen.conflicts()[0][0] == 0.0);
    assert_eq!((seen.steps(0, 1), report.conflicts.epochs.len()), (15, 5));
    let layers = report.conflicts.layers();
    assert_eq!(layers.keys().collect::<Vec<_>>(), ["trunk.0"]);
    assert!(report.conflicts.to_string().contains("species / width: cosine"));
    let text = serde_json::to_string(&report.conflicts).unwrap();
    assert_eq!(serde_json::from_str::<tl_multitask::Conflicts>(&text).unwrap(), report.conflicts);
}

#[test]
fn any_method_can_be_diagnosed() {
    let trainer = || Trainer::new(Optimizer::new(Adam::new(0.02)), 2);
    let plain = MultiTask::new(&tasks(), Balance::equal());
    let watched = plain.clone().diagnose_every(2).affinity_every(3, 0.02);
    let (a, report) = train_with(&watched, trainer());
    // Looking changes nothing.
    let (b, blind) = train_with(&plain, trainer());
    assert_eq!(numbers(&a), numbers(&b));
    assert!(blind.affinity.is_none() && blind.conflicts.whole().steps(0, 1) == 0);
    assert_eq!(report.conflicts.whole().steps(0, 1), 3);
    let affinity = report.affinity.unwrap();
    assert!(affinity.table()[0][0] > 0.0 && affinity.table()[1][1] > 0.0);
    assert_eq!(affinity.suggest_groups(1).unwrap().groups, [vec![0, 1]]);
}

#[test]
fn a_resumed_run_is_the_same_for_every_method() {
    let folder = std::env::temp_dir().join(format!("tl-multitask-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let f = flowers();
    for (i, balance) in Balance::all().into_iter().enumerate() {
        let multi = MultiTask::new(&tasks(), balance.clone()).affinity_every(2, 0.01);
        let trainer = |epochs| Trainer::new(Optimizer::new(Adam::new(0.02)), epochs);
        let losses = |net: &Net, rows: &Vec<usize>, cx: &mut Ctx| {
            let x = f.x.index_select(0, &rows[..].into())?;
            Ok(f.labels.losses(&net.forward_all(&x, cx)?, rows)?)
        };
        let mut whole = net(&[3, 1]);
        let one = multi.fit(trainer(4), &mut whole, thirds, losses).unwrap();
        let path = folder.join(format!("{i}.safetensors"));
        let mut part = net(&[3, 1]);
        let mut calls = 0;
        let saving = trainer(4).checkpoint(&path).checkpoint_every(1);
        let stopped = multi.fit(saving, &mut part, thirds, |net, rows, cx| {
            calls += 1;
            // Passes for the affinity count too.
            if calls > 17 {
                return Err(Error::argument("test", "run", "interrupted", "to go on"));
            }
            losses(net, rows, cx)
        });
        assert!(stopped.is_err());
        let mut resumed = net(&[3, 1]);
        let saved = trainer(4).checkpoint(&path).checkpoint_every(1).resume();
        let two = multi.fit(saved, &mut resumed, thirds, losses).unwrap();
        let bytes = |n: &Net| n.state_dict().to_bytes().unwrap();
        assert_eq!(bytes(&resumed), bytes(&whole), "{}", balance.name());
        assert_eq!(one.conflicts, two.conflicts);
        assert_eq!(one.affinity, two.affinity);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn validation_chooses_the_epoch() {
    let f = flowers();
    let mut net = net(&[3, 1]);
    let rule = EarlyStopping::larger_is_better("score").patience(2);
    let trainer = Trainer::new(Optimizer::new(Sgd::new(0.05)), 20).early_stopping(rule);
    let mut score = 0.0;
    let report = MultiTask::new(&tasks(), Balance::equal())
        .fit_validated(
            trainer,
            &mut net,
            once,
            |net, rows, cx| Ok(f.labels.losses(&net.forward_all(&f.x, cx)?, rows)?),
            |_| {
                score += 1.0_f64;
                Ok(Metrics::from([("score".to_owned(), -(score - 3.0).abs())]))
            },
        )
        .unwrap();
    assert_eq!(report.train.best, Some((2, 0.0)));
    assert!(report.train.stopped_early);
}

fn mix<'a>(x: &'a [Tensor; 2], sampling: Sampling) -> TaskMix<'a, Tensor> {
    let stream = |x: &'a Tensor, size: usize| {
        move |pass: u64| {
            let batch = move |k: usize| {
                let rows: Vec<usize> =
                    (0..20).map(|i| (i * 7 + k * 20 + pass as usize) % 150).collect();
                x.index_select(0, &rows.into())
            };
            (0..size).map(batch).collect::<Vec<_>>()
        }
    };
    TaskMix::new(sampling, 6, 1).task(6, stream(&x[0], 6)).task(2, stream(&x[1], 2))
}

#[test]
fn tasks_with_data_of_their_own_are_mixed() {
    let f = flowers();
    // Each task gives back the first or the second measurement of its own data.
    let x = [f.x.clone(), f.x.mul_scalar(0.5)];
    let run = |sampling, balance| {
        let trainer = Trainer::new(Optimizer::new(Adam::new(0.02)), 6);
        let mut net = net(&[1, 1]);
        let names = [Task::regression("first"), Task::regression("second")];
        let loss = |net: &Net, task: usize, x: &Tensor, cx: &mut Ctx| {
            let wanted = x.narrow(1, task, 1)?;
            Ok(net.forward_task(task, x, cx)?.sub(&wanted)?.square().mean_all())
        };
        let report =
            MultiTask::new(&names, balance).fit_mixed(trainer, &mut net, &mix(&x, sampling), loss);
        report.map(|report| (net, report))
    };
    let sum = Balance::equal;
    for sampling in [
        Sampling::Proportional,
        Sampling::Temperature(3.0),
        Sampling::Uniform,
        Sampling::Annealed,
        Sampling::Together,
    ] {
        let (a, report) = run(sampling, sum()).unwrap();
        let records = &report.train.history.records;
        let steps = if sampling == Sampling::Together { 6 } else { 8 };
        assert_eq!(records[0].step, steps);
        assert!(records[5].train["loss"] < records[0].train["loss"]);
        let (b, _) = run(sampling, sum()).unwrap();
        assert_eq!(numbers(&a), numbers(&b));
    }
    // Methods that compare tasks need all of them.
    let upgrad = || Balance::Gradients(GradientBalancer::UpGrad);
    run(Sampling::Together, upgrad()).unwrap();
    for balance in [
        upgrad(),
        Balance::GradNorm { alpha: 1.0, lr: 0.1 },
        Balance::Losses(LossBalancer::Gls),
        Balance::Losses(LossBalancer::Rlw),
    ] {
        let error = run(Sampling::Uniform, balance).unwrap_err().to_string();
        assert!(error.contains("one task a step"), "{error}");
    }
    let weighted = Balance::Losses(LossBalancer::Fixed(vec![1.0, 2.0]));
    let error = run(Sampling::Proportional, weighted).unwrap_err().to_string();
    assert!(error.contains("not both"), "{error}");
    assert!(run(Sampling::Temperature(0.5), sum()).is_err());
}

#[test]
fn combinations_that_make_no_sense_are_refused() {
    let f = flowers();
    let say = |tasks: &[Task], balance: Balance| {
        let trainer = Trainer::new(Optimizer::new(Adam::new(0.02)), 1);
        let mut passes = 0;
        let run =
            MultiTask::new(tasks, balance).fit(trainer, &mut net(&[3, 1]), once, |n, r, cx| {
                passes += 1;
                Ok(f.labels.losses(&n.forward_all(&f.x, cx)?, r)?)
            });
        (run.unwrap_err().to_string(), passes)
    };
    let before = |tasks: &[Task], balance: Balance, why: &str| {
        let (error, passes) = say(tasks, balance);
        assert!(error.contains(why) && passes == 0, "{error} after {passes}");
    };
    before(&tasks()[..1], Balance::Uncertainty, "two tasks or more");
    before(&[tasks()[0].clone(), tasks()[0].clone()], Balance::ImtlL, "no other has");
    let fixed = |w: &[f32]| Balance::Losses(LossBalancer::Fixed(w.to_vec()));
    before(&tasks(), fixed(&[1.0; 3]), "2 weights");
    before(&tasks(), fixed(&[1.0, -1.0]), "negative weight");
    before(&tasks(), fixed(&[0.0, 0.0]), "above 0");
    before(&tasks(), Balance::Losses(LossBalancer::Dwa { temperature: 0.0 }), "above 0");
    before(&tasks(), Balance::Losses(LossBalancer::Stch { mu: f32::NAN, warm_up: 1 }), "above 0");
    before(&tasks(), Balance::Losses(LossBalancer::Famo { lr: 0.0, decay: 0.0 }), "rate above 0");
    before(&tasks(), Balance::GradNorm { alpha: -1.0, lr: 0.1 }, "alpha from 0");
    for (balancer, why) in [
        (GradientBalancer::FairGrad { a: 0.0 }, "above 0"),
        (GradientBalancer::CaGrad { c: -0.1 }, "from 0"),
        (GradientBalancer::GradVac { beta: 2.0 }, "0 to 1"),
        (GradientBalancer::GradDrop { leak: 1.5 }, "0 to 1"),
        (GradientBalancer::DbMtl { beta: 1.0 }, "below 1"),
    ] {
        before(&tasks(), Balance::Gradients(balancer), why);
    }
    let three = [tasks().to_vec(), vec![Task::regression("more")]].concat();
    assert!(say(&three, Balance::Uncertainty).0.contains("one for each task"));
}

#[test]
fn gradients_that_never_meet_are_refused() {
    // Adapters on a frozen trunk share nothing.
    let f = flowers();
    let mut rng = common::rng();
    let heads = vec![Linear::new(12, 3, &mut rng), Linear::new(12, 1, &mut rng)];
    let trunk = vec![Linear::new(3, 12, &mut rng)];
    let adapted = TaskAdapters::new(trunk, &[Some((3, 12))], 2, heads, &mut rng).unwrap();
    let run = |balance: Balance| {
        let mut net = adapted.clone();
        let before = numbers(&net.stages);
        let report = MultiTask::new(&tasks(), balance).fit(
            Trainer::new(Optimizer::new(Adam::new(0.02)), 30),
            &mut net,
            once,
            |net, rows, cx| Ok(f.labels.losses(&net.forward_all(&f.x, cx)?, rows)?),
        );
        assert_eq!(numbers(&net.stages), before);
        report
    };
    let history = run(Balance::Uncertainty).unwrap().train.history;
    assert!(history.records[29].train["loss.width"] < 0.5 * history.records[0].train["loss.width"]);
    let error = run(Balance::Gradients(GradientBalancer::Mgda)).unwrap_err().to_string();
    assert!(error.contains("is the trunk frozen?"), "{error}");
    // The same with a trunk frozen by hand.
    let mut net = net(&[3, 1]);
    net.freeze("trunk.**").unwrap();
    let run = MultiTask::new(&tasks(), Balance::Gradients(GradientBalancer::PcGrad)).fit(
        Trainer::new(Optimizer::new(Adam::new(0.02)), 1),
        &mut net,
        once,
        |net: &HardSharing<_, _>, rows, cx| {
            Ok(f.labels.losses(&net.forward_all(&f.x, cx)?, rows)?)
        },
    );
    assert!(run.is_err());
}

#[test]
fn a_loss_that_is_not_finite_is_found() {
    let f = flowers();
    let trainer = Trainer::new(Optimizer::new(Adam::new(0.02)), 1);
    let mut net = net(&[3, 1]);
    let error = MultiTask::new(&tasks(), Balance::Gradients(GradientBalancer::UpGrad))
        .fit(trainer, &mut net, once, |net: &Net, rows, cx| {
            let mut losses = f.labels.losses(&net.forward_all(&f.x, cx)?, rows)?;
            losses[1] = losses[1].as_ref().map(|l| l.mul_scalar(f32::NAN));
            Ok(losses)
        })
        .unwrap_err();
    assert!(error.to_string().contains("NaN"), "{error}");
}
