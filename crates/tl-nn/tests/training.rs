//! The training loop: what it does, and that a resumed run is the same run.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    cell::Cell,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tl_nn::{
    AdamW, BatchNorm1d, CrossEntropy, Ctx, Dropout, EarlyStopping, Error, Event, Forward, Indices,
    Linear, LrFinder, Metrics, Module, ModuleExt, Optimizer, Plateau, Result, Schedule, Sgd,
    StateDict, Tensor, Trainer, metric, module,
};

#[derive(Clone)]
struct Net {
    fc1: Linear,
    bn: BatchNorm1d,
    drop: Dropout,
    fc2: Linear,
}
module!(Net { fc1, bn, drop, fc2 });

impl Forward for Net {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let h = cx.within("fc1", |cx| self.fc1.forward(x, cx))?;
        let h = cx.within("bn", |cx| self.bn.forward(&h, cx))?.relu();
        let h = self.drop.forward(&h, cx)?;
        cx.within("fc2", |cx| self.fc2.forward(&h, cx))
    }
}

fn net() -> Net {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    Net {
        fc1: Linear::new(4, 16, rng),
        bn: BatchNorm1d::new(16),
        drop: Dropout::new(0.3),
        fc2: Linear::new(16, 3, rng),
    }
}

type Batch = (Tensor, Indices);

/// Three noisy groups of points; ten batches of eight, other ones each epoch.
fn batches(epoch: usize) -> impl Iterator<Item = Result<Batch>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1000 + epoch as u64);
    (0..10).map(move |_| points(8, &mut rng))
}

fn points(n: usize, rng: &mut ChaCha8Rng) -> Result<Batch> {
    let classes: Vec<usize> = (0..n).map(|_| rng.random_range(0..3)).collect();
    let centers = Tensor::one_hot(&classes.clone().into(), 3)?;
    let wide = Tensor::cat(&[&centers, &Tensor::zeros([n, 1])], 1)?;
    Ok((wide.mul_scalar(2.0).add(&Tensor::randn([n, 4], rng))?, classes.into()))
}

fn loss(net: &Net, (x, y): &Batch, cx: &mut Ctx) -> Result<Tensor> {
    Ok(CrossEntropy::new().loss(&net.forward(x, cx)?, y)?)
}

fn validate(net: &Net) -> Result<Metrics> {
    let (x, y) = points(60, &mut ChaCha8Rng::seed_from_u64(77))?;
    let logits = net.forward(&x, &mut Ctx::eval())?;
    let loss = f64::from(CrossEntropy::new().loss(&logits, &y)?.item()?);
    Ok([("accuracy".to_owned(), metric::accuracy(&logits, &y)?), ("loss".to_owned(), loss)].into())
}

fn optimizer() -> Optimizer {
    let mut plateau = Plateau::smaller_is_better();
    plateau.patience = 1;
    Optimizer::new(AdamW::new(3e-2))
        .schedule(Schedule::cosine(60, 0.0).warmup(5))
        .clip_norm(1.0)
        .plateau(plateau)
}

/// A run in which everything that has state takes part.
fn trainer<'a>() -> Trainer<'a> {
    Trainer::new(optimizer(), 6)
        .seed(11)
        .accumulate(3)
        .ema(0.8)
        .early_stopping(EarlyStopping::smaller_is_better("loss").never_stop())
}

fn bits<M: Module>(model: &M) -> Vec<u8> {
    model.state_dict().to_bytes().unwrap()
}

#[test]
fn it_learns_and_tells() {
    let folder = tempfile::tempdir().unwrap();
    let (jsonl, csv) = (folder.path().join("h.jsonl"), folder.path().join("h.csv"));
    let mut model = net();
    let (steps, ended) = (Cell::new(0), Cell::new(false));
    let report = Trainer::new(optimizer(), 6)
        .history(&jsonl)
        .on_event(|event| match event {
            Event::Step { of, .. } => {
                assert_eq!(*of, Some(10));
                steps.set(steps.get() + 1);
            }
            Event::End(_) => ended.set(true),
            _ => {}
        })
        .fit_validated(&mut model, batches, loss, validate)
        .unwrap();
    let records = &report.history.records;
    assert_eq!((report.steps, records.len(), steps.get(), ended.get()), (60, 6, 60, true));
    assert!(records[5].train["loss"] < 0.6 * records[0].train["loss"]);
    assert!(records[5].validation["accuracy"] > 0.75, "{:?}", records[5]);
    let lines = std::fs::read_to_string(&jsonl).unwrap();
    assert_eq!(lines.lines().count(), 6);
    assert_eq!(
        serde_json::from_str::<tl_nn::Record>(lines.lines().nth(2).unwrap()).unwrap(),
        records[2]
    );
    report.history.save(&csv).unwrap();
    let table = std::fs::read_to_string(&csv).unwrap();
    assert!(table.starts_with("epoch,step,lr,seconds,train.loss,validation.accuracy,"), "{table}");
}

#[test]
fn accumulation_is_a_larger_batch() {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let (x, y) = points(24, rng).unwrap();
    let start = Linear::new(4, 3, rng);
    let ce = |m: &Linear, (x, y): &Batch, cx: &mut Ctx| {
        Ok(CrossEntropy::new().loss(&m.forward(x, cx)?, y)?)
    };
    let part = |i: usize| -> Result<Batch> {
        let rows = x.narrow(0, i * 8, 8)?;
        Ok((rows, y.as_slice()[i * 8..i * 8 + 8].into()))
    };
    let (mut whole, mut parts) = (start.clone(), start);
    let sgd = || Optimizer::new(Sgd::new(0.5).momentum(0.9));
    Trainer::new(sgd(), 4)
        .fit(&mut whole, |_| [Ok::<_, Error>((x.clone(), y.clone()))], ce)
        .unwrap();
    let report =
        Trainer::new(sgd(), 4).accumulate(3).fit(&mut parts, |_| (0..3).map(part), ce).unwrap();
    assert_eq!(report.steps, 4);
    let pairs = whole.weight.tensor().to_vec().into_iter().zip(parts.weight.tensor().to_vec());
    for (a, b) in pairs {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn early_stopping_returns_the_best() {
    let mut model = net();
    let scores = [0.1, 0.5, 0.4, 0.5, 0.3, 0.2];
    let epoch = Cell::new(0);
    let seen = std::cell::RefCell::new(Vec::new());
    let report = Trainer::new(optimizer(), 6)
        .early_stopping(EarlyStopping::larger_is_better("score").patience(2))
        .fit_validated(&mut model, batches, loss, |m: &Net| {
            seen.borrow_mut().push(bits(m));
            let score = scores[epoch.replace(epoch.get() + 1)];
            Ok([("score".to_owned(), score)].into())
        })
        .unwrap();
    assert_eq!((report.best, report.stopped_early), (Some((1, 0.5)), true));
    assert_eq!(report.history.records.len(), 5);
    assert_eq!(bits(&model), seen.borrow()[1]);
    let misspelt = Trainer::new(optimizer(), 1)
        .early_stopping(EarlyStopping::larger_is_better("acuracy"))
        .fit_validated(&mut model, batches, loss, validate)
        .unwrap_err();
    assert!(misspelt.to_string().contains("accuracy, loss"), "{misspelt}");
    let without = Trainer::new(optimizer(), 1)
        .early_stopping(EarlyStopping::larger_is_better("accuracy"))
        .fit(&mut model, batches, loss)
        .unwrap_err();
    assert!(without.to_string().contains("fit_validated"), "{without}");
}

/// Fails at a chosen call of the loss, as a crash there would.
fn interrupted_at(call: usize, path: &Path) -> Result<()> {
    let count = Cell::new(0);
    let failing = |m: &Net, b: &Batch, cx: &mut Ctx| {
        count.set(count.get() + 1);
        if count.get() == call {
            return Err(Error::Other("interrupted".into()));
        }
        loss(m, b, cx)
    };
    trainer()
        .checkpoint(path)
        .checkpoint_every(2)
        .resume()
        .fit_validated(&mut net(), batches, failing, validate)
        .map(drop)
}

#[test]
fn a_resumed_run_is_the_same_bit_for_bit() {
    let mut whole = net();
    let report = trainer().fit_validated(&mut whole, batches, loss, validate).unwrap();
    for calls in [vec![1], vec![7], vec![10], vec![11], vec![25, 13, 4], vec![60]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.safetensors");
        for &call in &calls {
            let error = interrupted_at(call, &path).unwrap_err();
            assert_eq!(error.to_string(), "interrupted");
        }
        let mut model = net();
        let resumed = trainer()
            .checkpoint(&path)
            .checkpoint_every(2)
            .resume()
            .fit_validated(&mut model, batches, loss, validate)
            .unwrap();
        assert_eq!(bits(&model), bits(&whole), "{calls:?}");
        assert_eq!((resumed.steps, resumed.best), (report.steps, report.best));
        let numbers = |r: &tl_nn::TrainReport| -> Vec<_> {
            r.history
                .records
                .iter()
                .map(|r| (r.train.clone(), r.validation.clone(), r.lr))
                .collect()
        };
        assert_eq!(numbers(&resumed), numbers(&report));
        // A finished run goes on to the same end.
        let mut again = net();
        trainer()
            .checkpoint(&path)
            .resume()
            .fit_validated(&mut again, batches, loss, validate)
            .unwrap();
        assert_eq!(bits(&again), bits(&whole));
    }
}

#[test]
fn a_checkpoint_is_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let run = |trainer: Trainer<'_>| {
        trainer.checkpoint(&path).fit_validated(&mut net(), batches, loss, validate)
    };
    run(trainer()).unwrap();
    let before = std::fs::read(&path).unwrap();
    for (trainer, hint) in [
        (trainer(), "resume()"),
        (trainer().seed(12).resume(), "seed 11"),
        (Trainer::new(optimizer(), 6).seed(11).resume(), "average"),
        (trainer().checkpoint_every(0).resume(), "at least 1 step"),
        (trainer().accumulate(0).resume(), "at least 1 batch"),
        (trainer().ema(1.5).resume(), "0.999"),
    ] {
        let error = run(trainer).unwrap_err().to_string();
        assert!(error.contains(hint), "{hint}: {error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // The model in it is usable by itself.
    let dict = StateDict::open(&path).unwrap().part("model");
    assert!(net().load(&dict, &tl_nn::Load::strict()).unwrap().is_complete());
    // Plain weights are not a run, nor is half a file.
    net().state_dict().save(&path).unwrap();
    assert!(run(trainer().resume()).unwrap_err().to_string().contains("no training run"));
    std::fs::write(&path, &before[..before.len() / 2]).unwrap();
    assert!(run(trainer().resume()).unwrap_err().to_string().contains("truncated"));
    let lost = trainer().resume().fit_validated(&mut net(), batches, loss, validate);
    assert!(lost.unwrap_err().to_string().contains("a path"));
}

#[test]
fn a_loss_that_is_not_finite_names_batch_and_module() {
    let mut model = net();
    let before = bits(&model);
    let bad = |epoch: usize| {
        batches(epoch).enumerate().map(|(i, batch)| {
            let (x, y) = batch?;
            Ok::<_, Error>((if i == 0 { x.mul_scalar(f32::INFINITY) } else { x }, y))
        })
    };
    let error = Trainer::new(optimizer(), 1).fit(&mut model, bad, loss).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("batch 0") && text.contains("`fc1`"), "{text}");
    assert_eq!(bits(&model), before);

    let own = |m: &Net, b: &Batch, cx: &mut Ctx| Ok(loss(m, b, cx)?.mul_scalar(0.0).log());
    let text = Trainer::new(optimizer(), 1).fit(&mut model, batches, own).unwrap_err().to_string();
    assert!(text.contains("the loss itself"), "{text}");

    // sqrt at 0: a finite loss with an infinite slope.
    let steep = |m: &Net, b: &Batch, cx: &mut Ctx| {
        let zero = m.fc2.weight.tensor().mul_scalar(0.0).sum_all().sqrt();
        Ok(loss(m, b, cx)?.add(&zero)?)
    };
    let text =
        Trainer::new(optimizer(), 1).fit(&mut model, batches, steep).unwrap_err().to_string();
    assert!(text.contains("gradient of `fc2.weight`"), "{text}");
    assert_eq!(bits(&model), before);
}

#[test]
fn no_data_is_an_error() {
    let none = |_| std::iter::empty::<Result<Batch>>();
    let error = Trainer::new(optimizer(), 1).fit(&mut net(), none, loss).unwrap_err();
    assert!(error.to_string().contains("at least one batch"), "{error}");
    let foreign = |_| [Err::<Batch, _>(std::io::Error::other("disk on fire"))];
    let error = Trainer::new(optimizer(), 1).fit(&mut net(), foreign, loss).unwrap_err();
    assert_eq!(error.to_string(), "disk on fire");
}

#[test]
fn learning_rates_are_tried_on_a_copy() {
    let model = net();
    let before = bits(&model);
    let data = (0..).flat_map(batches);
    let curve = LrFinder::default()
        .find(&model, |lr| Optimizer::new(Sgd::new(lr).momentum(0.9)), data, loss)
        .unwrap();
    assert_eq!(bits(&model), before);
    let best = curve.suggestion.unwrap();
    assert!((1e-4..5.0).contains(&best), "{best}");
    let few = LrFinder::default().find(
        &model,
        |lr| Optimizer::new(Sgd::new(lr)),
        batches(0).take(5),
        loss,
    );
    assert!(few.unwrap_err().to_string().contains("cycle"));
}

/// The run that [`killed_runs_lose_nothing`] kills; does nothing by itself.
#[test]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os("TRAINING_RUN_TO_KILL").map(PathBuf::from) else { return };
    let slow = |m: &Net, b: &Batch, cx: &mut Ctx| {
        std::thread::sleep(Duration::from_millis(2));
        loss(m, b, cx)
    };
    let mut model = net();
    trainer()
        .checkpoint(&path)
        .checkpoint_every(1)
        .resume()
        .fit_validated(&mut model, batches, slow, validate)
        .unwrap();
    model.state_dict().save(path.with_extension("done")).unwrap();
}

#[test]
fn killed_runs_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let (mut kills, mut rng) = (0, ChaCha8Rng::seed_from_u64(9));
    while !path.with_extension("done").exists() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_is_killed", "--exact"])
            .env("TRAINING_RUN_TO_KILL", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Later and later, so that it ends on a slow machine too.
        std::thread::sleep(Duration::from_millis(rng.random_range(20..80) + 10 * kills));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        assert!(kills < 200);
        child.wait().unwrap();
        if path.exists() {
            StateDict::open(&path).unwrap();
        }
    }
    assert!(kills > 0, "the run was never interrupted");
    let mut whole = net();
    trainer().fit_validated(&mut whole, batches, loss, validate).unwrap();
    let done = StateDict::open(path.with_extension("done")).unwrap();
    assert_eq!(done, whole.state_dict());
}
