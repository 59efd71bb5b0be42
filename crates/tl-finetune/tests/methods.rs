//! Fine-tuning and its parts.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Dataset, samples};
use tl_finetune::{
    FineTune, Lora, LoraConfig, Method, StartingPoint, extract, h_score, interpolate, leep,
    linear_probe, log_me, soup, spectral_shrinkage,
};
use tl_nn::{
    Act, Adam, BatchNorm1d, BatchNorm2d, Conv2d, CrossEntropy, Ctx, Flatten, Forward, Linear,
    ModuleExt, Optimizer, Sequential, StateDict, Tensor, Trainer, metric::accuracy,
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
        (Method::L2Sp { alpha: 0.01, beta: 0.01 }, 1, true),
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
    tune.keep_statistics = true;
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
fn adapters_begin_as_nothing_and_merge_without_a_trace() {
    let data = few();
    let base = net();
    let config = LoraConfig::new(["body.weight"]).rank(4).train(["fc.**"]);
    let mut lora = Lora::new(base.clone(), config, 0).unwrap();
    let out = |m: &dyn Fn(&mut Ctx) -> tl_nn::Result<Tensor>| m(&mut Ctx::eval()).unwrap().to_vec();
    let x = data.features();
    assert_eq!(out(&|cx| lora.forward(x, cx)), out(&|cx| base.forward(x, cx)));

    let labels = data.labels().unwrap().into();
    let trainer = Trainer::new(Optimizer::new(Adam::new(0.01)), 30);
    trainer
        .fit(
            &mut lora,
            |_| [Ok::<_, tl_nn::Error>(())],
            |m, (), cx| Ok(CrossEntropy::new().loss(&m.forward(x, cx)?, &labels)?),
        )
        .unwrap();
    // Frozen is frozen.
    for name in ["body.weight", "body.bias", "norm.weight", "norm.running_mean"] {
        assert_eq!(numbers(lora.base(), name), numbers(&base, name), "{name}");
    }
    let merged = lora.merge().unwrap();
    assert_ne!(numbers(&merged, "body.weight"), numbers(&base, "body.weight"));
    let adapted = out(&|cx| lora.forward(x, cx));
    assert_ne!(adapted, out(&|cx| base.forward(x, cx)));
    for (a, b) in adapted.iter().zip(out(&|cx| merged.forward(x, cx))) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-4, epsilon = 1e-4);
    }
    let change: Vec<f32> = numbers(&merged, "body.weight")
        .iter()
        .zip(numbers(&base, "body.weight"))
        .map(|(a, b)| a - b)
        .collect();
    let svd =
        tl_nn::shallow::Svd::of(&Tensor::from_vec(change, [24, 64]).unwrap()).unwrap().s.to_vec();
    assert!(svd[3] > 1e-3 && svd[4] < 1e-4 * svd[0], "rank 4: {svd:?}");

    // Saved under PEFT's names, loaded into a fresh one.
    let bytes = lora.adapter_state().to_bytes().unwrap();
    let dict = StateDict::from_bytes(bytes).unwrap();
    let a = dict.tensor("base_model.model.body.lora_A.weight").unwrap();
    assert_eq!(a.dims(), [4, 64]);
    assert!(dict.get("base_model.model.fc.weight").is_some() && dict.len() == 4);
    let config = LoraConfig::new(["body.weight"]).rank(4).train(["fc.**"]);
    let mut again = Lora::new(base.clone(), config, 9).unwrap();
    again.load_adapter(&dict).unwrap();
    assert_eq!(out(&|cx| again.forward(x, cx)), adapted);
    let mut other = Lora::new(base, LoraConfig::new(["body.weight"]).rank(2), 0).unwrap();
    assert!(other.load_adapter(&dict).is_err());
}

#[test]
fn adapters_fit_convolutions_and_refuse_what_they_do_not() {
    let mut rng = rng(0);
    let base = Sequential::new()
        .named("conv", Conv2d::new(1, 4, 3, &mut rng))
        .named("bn", BatchNorm2d::new(4));
    let lora = Lora::new(base.clone(), LoraConfig::new(["conv.weight"]).rank(2), 0).unwrap();
    assert_eq!(lora.count_params().0, 2 * 9 + 4 * 2);
    // Training mode does not move the frozen statistics.
    let mut cx = Ctx::train(0);
    lora.forward(&Tensor::ones([2, 1, 5, 5]), &mut cx).unwrap();
    assert!(cx.take_updates().is_empty());
    let say = |c: LoraConfig| Lora::new(base.clone(), c, 0).unwrap_err().to_string();
    assert!(say(LoraConfig::new(["q_proj.weight"])).contains("conv.weight"));
    assert!(say(LoraConfig::new(["bn.weight"])).contains("two axes"));
    assert!(say(LoraConfig::new(["conv.weight"]).rank(0)).contains("rank of 1"));
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
