//! Fine-tuning and its parts.

#[path = "common/fails.rs"]
mod fails;

use fails::Fails;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Dataset, samples};
use tl_finetune::{
    CoTuning, Delta, FineTune, Method, Penalty, R3fNoise, StartingPoint, Statistics,
    channel_importance, extract, greedy_soup, h_score, interpolate, leep, linear_probe, log_me,
    r3f, rank_checkpoints, refresh_statistics, soup, spectral_shrinkage,
};
use tl_nn::{
    Act, BatchNorm1d, Ctx, Flatten, Forward, Linear, LrFinder, ModuleExt, Sequential, Tensor,
    metric::accuracy,
};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn net() -> Sequential {
    let mut rng = rng(3);
    Sequential::new()
        .push(Flatten)
        .named("body", Linear::new(64, 24, &mut rng))
        .named("norm", BatchNorm1d::new(24))
        .push(Act::Relu)
        .named("fc", Linear::new(24, 10, &mut rng))
}

fn few() -> Dataset {
    samples::digits().k_shot(6, &mut rng(1)).unwrap().0
}

fn right(model: &Sequential, data: &Dataset) -> f64 {
    let logits = model.forward(data.features(), &mut Ctx::eval()).unwrap();
    accuracy(&logits, &data.labels().unwrap().into()).unwrap()
}

fn numbers(model: &Sequential, name: &str) -> Vec<f32> {
    model.state_dict().tensor(name).unwrap().to_vec()
}

#[test]
fn every_method_moves_what_it_says() {
    let data = few();
    let groups = vec!["body.**".to_owned(), "norm.**".to_owned()];
    let methods = [
        (Method::HeadOnly, 1, false),
        (Method::Full { body_rate: 0.1 }, 1, true),
        (Method::LinearThenFull { body_rate: 0.3 }, 2, true),
        (Method::Gradual { groups }, 3, true),
    ];
    for (method, stages, body) in methods {
        let (start, mut model) = (net(), net());
        let tune = FineTune::new(method.clone(), "fc.**").epochs(12).lr(0.03);
        let reports = tune.fit(&mut model, &data).unwrap();
        assert_eq!(reports.len(), stages, "{method:?}");
        assert_eq!(reports.iter().map(|r| r.history.records.len()).sum::<usize>(), 12);
        let moved = |name: &str| numbers(&start, name) != numbers(&model, name);
        assert!(moved("fc.weight"));
        for name in ["body.weight", "norm.running_mean"] {
            assert_eq!(moved(name), body, "{method:?} {name}");
        }
        assert!(right(&model, &data) > 0.4, "{method:?} {}", right(&model, &data));
        let (trainable, all) = model.count_params();
        assert_eq!(trainable, all);
    }
}

#[test]
fn statistics_stay_if_asked() {
    let (start, mut model) = (net(), net());
    let mut tune = FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**").epochs(2);
    tune.statistics = Statistics::Keep;
    tune.fit(&mut model, &few()).unwrap();
    assert_eq!(numbers(&start, "norm.running_mean"), numbers(&model, "norm.running_mean"));
    assert_ne!(numbers(&start, "body.weight"), numbers(&model, "body.weight"));
}

#[test]
fn the_body_follows_its_rate() {
    let change = |body_rate: f32| -> f32 {
        let (start, mut model) = (net(), net());
        let mut tune = FineTune::new(Method::Full { body_rate }, "fc.**").epochs(1);
        tune.weight_decay = 0.0;
        tune.fit(&mut model, &few()).unwrap();
        let (a, b) = (numbers(&start, "body.weight"), numbers(&model, "body.weight"));
        a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let ratio = change(0.1) / change(1.0);
    assert!((0.05..0.2).contains(&ratio), "{ratio}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let say = |tune: FineTune| tune.fit(&mut net(), &few()).unwrap_err().to_string();
    assert!(say(FineTune::new(Method::HeadOnly, "classifier.**")).contains("classifier.**"));
    let linear = Method::LinearThenFull { body_rate: 0.1 };
    assert!(say(FineTune::new(linear, "fc.**").epochs(1)).contains("at least 2"));
    let unlabelled = few().without_targets();
    assert!(FineTune::new(Method::HeadOnly, "fc.**").fit(&mut net(), &unlabelled).is_err());
    let text = r#"{"method":"head_only","head":"fc","epochs":1,"batch":8,"lr":0.1,"weight_decay":0,"x":1}"#;
    assert!(serde_json::from_str::<FineTune>(text).is_err());
}

#[test]
fn penalties_are_those_of_the_papers() {
    let mut model = net();
    let start = StartingPoint::of(&model, "fc.**").unwrap();
    let head: f32 = model
        .params()
        .iter()
        .filter(|(p, _)| p.starts_with("fc"))
        .flat_map(|(_, p)| p.tensor().to_vec())
        .map(|x| x * x)
        .sum();
    let value = |m: &Sequential| start.l2_sp(m, 0.5, 0.2).unwrap().item().unwrap();
    approx::assert_relative_eq!(value(&model), 0.1 * head, max_relative = 1e-4);
    model
        .for_each_param(|path, p| {
            if path == "body.bias" {
                p.update(|x| x.iter_mut().for_each(|x| *x += 0.5));
            }
            Ok(())
        })
        .unwrap();
    let want = 0.1 * head + 0.25 * 24.0 * 0.25;
    approx::assert_relative_eq!(value(&model), want, max_relative = 1e-4);
    let x = Tensor::from_vec(vec![3.0, 0.0, 0.0, 2.0, 0.0, 0.0], [3, 2]).unwrap();
    approx::assert_relative_eq!(
        spectral_shrinkage(&x, 1).unwrap().item().unwrap(),
        4.0,
        max_relative = 1e-5
    );
    assert!(spectral_shrinkage(&x, 3).is_err());
}

#[test]
fn weights_between_models() {
    let (a, mut b) = (net(), net());
    FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**").epochs(2).fit(&mut b, &few()).unwrap();
    assert_eq!(numbers(&interpolate(&a, &b, 1.0).unwrap(), "fc.weight"), numbers(&b, "fc.weight"));
    let half = interpolate(&a, &b, 0.5).unwrap();
    let mid = soup(&[(&a, 0.5), (&b, 0.5)]).unwrap();
    assert_eq!(numbers(&half, "body.weight"), numbers(&mid, "body.weight"));
    let (x, y, z) =
        (numbers(&a, "body.bias"), numbers(&b, "body.bias"), numbers(&half, "body.bias"));
    for ((x, y), z) in x.iter().zip(y).zip(z) {
        approx::assert_relative_eq!((x + y) / 2.0, z, max_relative = 1e-5, epsilon = 1e-7);
    }
    assert!(interpolate(&a, &b, 1.5).is_err());
    assert!(soup::<Sequential>(&[]).is_err());
}

#[test]
fn probes_work_on_frozen_features() {
    let (few, test) = samples::digits().k_shot(5, &mut rng(2)).unwrap();
    let model = net();
    let body = |x: &Tensor, cx: &mut Ctx| model.forward(x, cx);
    let features = extract(&few, 7, body).unwrap();
    // In order, whatever the batches.
    let whole = model.forward(few.features(), &mut Ctx::eval()).unwrap();
    for (a, b) in features.features().to_vec().iter().zip(whole.to_vec()) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-4, epsilon = 1e-5);
    }
    assert_eq!(features.labels().unwrap(), few.labels().unwrap());
    let pixels = |d: &Dataset| extract(d, 64, |x, _| Ok(x.flatten(1, -1)?)).unwrap();
    let head = linear_probe(&pixels(&few), 0).unwrap();
    let logits = head.forward(pixels(&test).features(), &mut Ctx::eval()).unwrap();
    assert!(accuracy(&logits, &test.labels().unwrap().into()).unwrap() > 0.75);
    // One sample a class: no cross-validation.
    let one = samples::digits().k_shot(1, &mut rng(2)).unwrap().0;
    assert_eq!(linear_probe(&pixels(&one), 0).unwrap().weight.dims(), [10, 64]);
}

#[test]
fn scores_know_good_features() {
    let data = samples::digits();
    let labels = data.labels().unwrap();
    let pixels = data.features().flatten(1, -1).unwrap();
    let noise = Tensor::randn([data.len(), 64], &mut rng(0));
    let scores =
        |x: &Tensor| (log_me(x, labels, 10).unwrap(), h_score(x, labels, 10, 0.1).unwrap());
    let (good, bad) = (scores(&pixels), scores(&noise));
    assert!(good.0 > bad.0 && good.1 > 3.0 * bad.1, "{good:?} {bad:?}");
    // LEEP by hand: two source classes, three samples.
    let p = Tensor::from_vec(vec![0.8, 0.2, 0.6, 0.4, 0.1, 0.9], [3, 2]).unwrap();
    let joint = [[1.4, 0.6], [0.1, 0.9]];
    let given = |y: usize, z: usize| joint[y][z] / (joint[0][z] + joint[1][z]);
    let of = |y: usize, p: [f64; 2]| (given(y, 0) * p[0] + given(y, 1) * p[1]).ln();
    let want = (of(0, [0.8, 0.2]) + of(0, [0.6, 0.4]) + of(1, [0.1, 0.9])) / 3.0;
    approx::assert_relative_eq!(leep(&p, &[0, 0, 1], 2).unwrap(), want, max_relative = 1e-6);
    // The H-score of two classes at ±1 in one dimension with variance v around:
    // 1 / (1 + v).
    let x = Tensor::from_vec(vec![1.5, 0.5, -1.5, -0.5], [4, 1]).unwrap();
    let h = h_score(&x, &[0, 0, 1, 1], 2, 0.0).unwrap();
    approx::assert_relative_eq!(h, 1.0 / 1.25, max_relative = 1e-6);
    assert!(log_me(&x, &[0, 1], 2).is_err() && leep(&p, &[0, 0, 5], 2).is_err());
}

#[test]
fn rates_fall_with_depth_as_computed_by_hand() {
    let rates = |tune: FineTune| -> Vec<(String, f32)> { tune.lr(0.01).rates(&net()).unwrap() };
    let of = |rates: &[(String, f32)], path: &str| {
        rates.iter().find(|(p, _)| p == path).map(|(_, r)| *r)
    };
    let full = FineTune::new(Method::Full { body_rate: 0.1 }, "fc.**");
    let two = rates(full.clone());
    assert_eq!(of(&two, "fc.weight"), Some(0.01));
    approx::assert_relative_eq!(of(&two, "body.weight").unwrap(), 0.001, max_relative = 1e-6);
    // Two groups of decay 0.5: 0.5 for the last, 0.25 for the one before.
    let decayed = rates(full.clone().layer_decay(["body.**", "norm.**"], 0.5));
    for (path, rate) in
        [("fc.bias", 0.01), ("norm.weight", 0.005), ("body.weight", 0.0025), ("body.bias", 0.0025)]
    {
        approx::assert_relative_eq!(of(&decayed, path).unwrap(), rate, max_relative = 1e-6);
    }
    // What is in no group is one lower than the lowest.
    let decayed = rates(full.clone().layer_decay(["norm.**"], 0.5));
    approx::assert_relative_eq!(of(&decayed, "body.weight").unwrap(), 0.0025, max_relative = 1e-6);
    let frozen = rates(full.clone().freeze("body.**"));
    assert_eq!(of(&frozen, "body.weight"), None);
    let missing = full.layer_decay(["layer1.**"], 0.5).rates(&net()).unwrap_err().to_string();
    assert!(missing.contains("layer1.**"), "{missing}");
}

/// One step of AdamW is `lr · sign(g)` (where the gradient is not tiny): so the step of
/// each parameter shows its rate.
#[test]
fn the_first_step_shows_every_rate() {
    let data = few();
    let (start, mut model) = (net(), net());
    let tune = FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**")
        .layer_decay(["body.**", "norm.**"], 0.5)
        .epochs(1)
        .batch(data.len())
        .lr(1e-3)
        .weight_decay(0.0)
        .warmup(0.0);
    tune.fit(&mut model, &data).unwrap();
    for (path, rate) in [("fc.weight", 1e-3), ("norm.bias", 5e-4), ("body.weight", 2.5e-4)] {
        let step = numbers(&start, path)
            .iter()
            .zip(numbers(&model, path))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        approx::assert_relative_eq!(step, rate, max_relative = 1e-2);
    }
}

#[test]
fn lp_ft_trains_the_head_alone_first() {
    let (start, mut model) = (net(), net());
    let method = Method::LinearThenFull { body_rate: 0.3 };
    // The second stage has one epoch at a rate that moves the body but little; the
    // first has one, too, in which only the head moved.
    let mut head_only = net();
    let tune = |method| FineTune::new(method, "fc.**").epochs(2).lr(0.01).seed(4);
    tune(Method::HeadOnly).epochs(1).fit(&mut head_only, &few()).unwrap();
    assert_eq!(numbers(&head_only, "body.weight"), numbers(&start, "body.weight"));
    let reports = tune(method).fit(&mut model, &few()).unwrap();
    assert_eq!(reports.len(), 2);
    // The loss after the first stage is that of the head alone: the stages are the
    // same up to there.
    let alone = tune(Method::HeadOnly).epochs(1).fit(&mut net(), &few()).unwrap();
    assert_eq!(
        reports[0].history.records[0].train["loss"],
        alone[0].history.records[0].train["loss"]
    );
    assert_ne!(numbers(&model, "body.weight"), numbers(&start, "body.weight"));
}

#[test]
fn every_setting_trains_and_resumes_to_the_same_bits() {
    let data = few();
    let held = samples::digits().k_shot(20, &mut rng(9)).unwrap().0;
    let full = || FineTune::new(Method::Full { body_rate: 0.3 }, "fc.**").epochs(15).lr(0.03);
    let settings = [
        full().label_smoothing(0.1).accumulate(2),
        full().mixup(0.2).ema(0.9),
        full().swa(0.5),
        full().statistics(Statistics::Stochastic),
        full().penalty(Penalty::L2Sp { alpha: 0.01, beta: 0.01 }),
        full().penalty(Penalty::Bss { layer: "body".into(), k: 1, weight: 1e-3 }),
        full().penalty(Penalty::Delta {
            layers: vec!["body".into()],
            weight: 0.01,
            attention: true,
        }),
        full().penalty(Penalty::R3f { weight: 1.0, noise: R3fNoise::Uniform(0.01) }),
        full().patience(3),
        FineTune::new(Method::LinearThenFull { body_rate: 0.3 }, "fc.**").epochs(15).lr(0.03),
    ];
    for tune in settings {
        let text = serde_json::to_string(&tune).unwrap();
        assert_eq!(serde_json::from_str::<FineTune>(&text).unwrap(), tune);
        let mut whole = net();
        tune.fit_validated(&mut whole, &data, &held).unwrap();
        assert!(right(&whole, &data) > 0.3, "{tune:?}: {}", right(&whole, &data));
        // Interrupted in the middle of an epoch.
        let folder = tempfile::tempdir().unwrap();
        let mut stopping = tune.clone().checkpoints(folder.path().to_owned());
        stopping.checkpoint_every = Some(1);
        let mut stopped = Fails::after(net(), 37);
        let error = stopping.fit_validated(&mut stopped, &data, &held).unwrap_err();
        assert!(error.to_string().contains("power cut"), "{error}");
        assert!(folder.path().join("stage-0.safetensors").exists());
        let mut resumed = net();
        stopping.fit_validated(&mut resumed, &data, &held).unwrap();
        assert_eq!(resumed.state_dict(), whole.state_dict(), "{tune:?}");
    }
}

#[test]
fn settings_that_contradict_are_refused() {
    let full = || FineTune::new(Method::Full { body_rate: 0.3 }, "fc.**");
    let say = |tune: FineTune| tune.fit(&mut net(), &few()).unwrap_err().to_string();
    assert!(say(full().patience(3)).contains("fit_validated"));
    assert!(say(full().swa(0.5).ema(0.9)).contains("one way"));
    assert!(say(full().lr(0.0)).contains("above 0"));
    assert!(say(full().warmup(1.0)).contains("below 1"));
    assert!(say(full().accumulate(0)).contains("at least 1"));
    assert!(say(full().freeze("nothing.**")).contains("nothing.**"));
    assert!(say(full().freeze("**")).contains("something to train"));
    let bss = Penalty::Bss { layer: "absent".into(), k: 1, weight: 1.0 };
    assert!(say(full().penalty(bss)).contains("absent"));
}

#[test]
fn a_rate_is_found_on_a_copy() {
    let model = net();
    let tune = FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**").batch(16);
    let curve = tune.find_lr(&model, &few(), &LrFinder::default()).unwrap();
    let rate = curve.suggestion.unwrap();
    assert!((1e-5..1.0).contains(&rate), "{rate}");
    assert_eq!(model.state_dict(), net().state_dict());
}

#[test]
fn delta_r3f_and_co_tuning_are_those_of_the_papers() {
    let data = few();
    let (source, mut model) = (net(), net());
    let delta = Delta::new(&source, vec![("body".into(), None)]).unwrap();
    let penalty = |model: &Sequential, delta: &Delta<Sequential>| {
        let mut cx = delta.captured(Ctx::eval()).unwrap();
        model.forward(data.features(), &mut cx).unwrap();
        delta.penalty(data.features(), &cx).unwrap().item().unwrap()
    };
    assert_eq!(penalty(&model, &delta), 0.0);
    model
        .for_each_param(|path, p| {
            if path == "body.bias" {
                p.update(|x| x.iter_mut().for_each(|x| *x += 0.5));
            }
            Ok(())
        })
        .unwrap();
    // Half of 24 channels that are off by 0.5.
    approx::assert_relative_eq!(penalty(&model, &delta), 0.5 * 24.0 * 0.25, max_relative = 1e-4);
    let importance = channel_importance(&source, &data, "body.weight").unwrap();
    approx::assert_relative_eq!(importance.sum_all().item().unwrap(), 24.0, max_relative = 1e-4);
    assert!(channel_importance(&source, &data, "body.wait").is_err());

    // KL both ways of (1/2, 1/2) and (1/4, 3/4).
    let p = Tensor::from_vec(vec![0.0, 0.0], [1, 2]).unwrap();
    let q = Tensor::from_vec(vec![0.0, 3.0_f32.ln()], [1, 2]).unwrap();
    let want = 0.5 * (2.0_f32).ln()
        + 0.5 * (0.5_f32 / 0.75).ln()
        + 0.25 * (0.5_f32).ln()
        + 0.75 * (1.5_f32).ln();
    approx::assert_relative_eq!(r3f(&p, &q).unwrap().item().unwrap(), want, max_relative = 1e-5);
    assert!(R3fNoise::Normal(0.0).add_to(&p, &mut rng(0)).is_err());

    let said = Tensor::from_vec(vec![0.8, 0.2, 0.6, 0.4, 0.1, 0.9], [3, 2]).unwrap();
    let co = CoTuning::direct(&said, &[0, 0, 1], 2).unwrap();
    for (a, b) in co.relationship().to_vec().iter().zip([0.7, 0.3, 0.1, 0.9]) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-6);
    }
    let logits = Tensor::from_vec(vec![0.0, 0.0, 0.0, 3.0_f32.ln()], [2, 2]).unwrap();
    let loss = co.loss(&logits, &[0, 1].into()).unwrap().item().unwrap();
    let want = 0.5 * (2.0_f32.ln() + 0.1 * 4.0_f32.ln() + 0.9 * (4.0_f32 / 3.0).ln());
    approx::assert_relative_eq!(loss, want, max_relative = 1e-5);
    assert!(CoTuning::direct(&said, &[0, 0, 0], 2).unwrap_err().to_string().contains("class 1"));
    assert!(CoTuning::direct(&said.mul_scalar(2.0), &[0, 0, 1], 2).is_err());
}

#[test]
fn soups_take_in_what_helps_and_statistics_are_taken_anew() {
    let (data, held) = samples::digits().k_shot(10, &mut rng(5)).unwrap();
    let held = held.k_shot(20, &mut rng(6)).unwrap().0;
    let trained = |seed| {
        let mut model = net();
        let tune = FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**").epochs(4).lr(0.01);
        tune.seed(seed).fit(&mut model, &data).unwrap();
        model
    };
    let (a, b, broken) = (trained(1), trained(2), {
        let mut broken = trained(3);
        broken
            .for_each_param(|_, p| {
                p.update(|x| x.iter_mut().for_each(|x| *x = -*x));
                Ok(())
            })
            .unwrap();
        broken
    });
    let greedy = greedy_soup(&[&broken, &a, &b], &held).unwrap();
    let best = right(&a, &held).max(right(&b, &held));
    assert!(greedy.accuracy >= best && !greedy.members.contains(&0), "{:?}", greedy.members);
    assert!(greedy_soup::<Sequential>(&[], &held).is_err());

    // The mean over the batches, whatever was there before.
    let mut fresh = a.clone();
    refresh_statistics(&mut fresh, &data, data.len()).unwrap();
    let mut cx = Ctx::eval().capture("body").unwrap();
    fresh.forward(data.features(), &mut cx).unwrap();
    let body = cx.tapped("body").unwrap().clone();
    let mean = body.mean(0, false).unwrap().to_vec();
    let buffers = fresh.state_dict();
    for (got, want) in buffers.tensor("norm.running_mean").unwrap().to_vec().iter().zip(mean) {
        approx::assert_relative_eq!(*got, want, max_relative = 1e-3, epsilon = 1e-4);
    }
}

#[test]
fn checkpoints_are_ranked_without_training() {
    let data = few();
    let pixels = extract(&data, 64, |x, _| Ok(x.flatten(1, -1)?)).unwrap();
    let noise = Tensor::randn([data.len(), 64], &mut rng(0));
    let noise = data.with_features(&noise).unwrap();
    let ranked = rank_checkpoints(&[("noise", &noise), ("pixels", &pixels)]).unwrap();
    assert_eq!(ranked[0].name, "pixels");
    assert!(ranked[0].log_me > ranked[1].log_me && ranked[0].h_score > ranked[1].h_score);
    assert!(rank_checkpoints(&[]).is_err());
    let other = samples::digits().k_shot(6, &mut rng(2)).unwrap().0;
    let other = extract(&other, 64, |x, _| Ok(x.flatten(1, -1)?)).unwrap();
    assert!(rank_checkpoints(&[("a", &pixels), ("b", &other)]).is_err());
}
