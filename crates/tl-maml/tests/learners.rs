//! What a user relies on beside the gradients.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_maml::{
    Adapt, Curves, Episodes, Error, Evaluation, FewShot, Fitted, IMaml, Logistic, Maml, Matching,
    Nearest, Protocol, Prototypes, Relation, Report, RidgeHead, TaskSource, Tasks, cross_entropy,
    evaluate, mse, split_classes,
};
use tl_nn::{
    Act, Adam, BatchNorm2d, Conv2d, Ctx, Flatten, Linear, ModuleExt, Optimizer, Sequential,
    StateDict, Trainer,
};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

fn curve_net() -> Sequential {
    let mut rng = rng();
    Sequential::new()
        .push(Linear::new(1, 20, &mut rng))
        .push(Act::Relu)
        .push(Linear::new(20, 1, &mut rng))
}

/// A convolution with batch normalisation, for 8x8 digits.
fn conv_net(classes: usize) -> Sequential {
    let mut rng = rng();
    Sequential::new()
        .push(Conv2d::new(1, 6, 3, &mut rng))
        .push(BatchNorm2d::new(6))
        .push(Act::Relu)
        .push(Flatten)
        .push(Linear::new(6 * 36, classes, &mut rng))
}

fn trainer<'a>(epochs: usize) -> Trainer<'a> {
    Trainer::new(Optimizer::new(Adam::new(2e-3)), epochs)
}

fn digits() -> (Tasks, Tasks) {
    let parts = split_classes(&tl_data::samples::digits(), &[6, 4], 0).unwrap();
    let of = |i: usize| Tasks::from_labels(&parts[i]).unwrap().way(3).shot(2).query(4);
    (of(0), of(1))
}

fn numbers(dict: &StateDict) -> Vec<u8> {
    dict.to_bytes().unwrap()
}

#[test]
fn adapting_changes_nothing_but_the_copy() {
    let maml = Maml::new(3, 0.005);
    let learner = maml.learner(curve_net()).unwrap();
    let before = numbers(&learner.state_dict());
    let task = Curves::sinusoid().task(0, 0).unwrap();
    let adapted = maml.adapted(&learner, &task.support, mse).unwrap();
    assert_eq!(numbers(&learner.state_dict()), before);
    let loss =
        |model: &Sequential| mse(model, &task.support, &mut Ctx::eval()).unwrap().item().unwrap();
    assert!(loss(&adapted) < loss(&learner.model));
    // A model of its own: its parameters are variables again.
    assert!(adapted.trainable().iter().all(|w| w.is_leaf()));
    assert_eq!(adapted.state_dict().len(), curve_net().state_dict().len());
}

#[test]
fn one_thread_or_many_are_the_same_bits() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let maml = Maml::plus_plus(2, 0.05);
            let mut learner = maml.learner(conv_net(3)).unwrap();
            let (train, test) = digits();
            let episodes = Episodes::new(&train, 20, 3);
            maml.fit(trainer(1), &mut learner, episodes, cross_entropy).unwrap();
            let method = maml.predictor(&learner, cross_entropy);
            let result = evaluate(&method, &test, 12, 5, Protocol::Inductive).unwrap();
            (numbers(&learner.state_dict()), result)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn statistics_are_kept_for_every_step() {
    let maml = Maml::new(2, 0.05);
    let mut learner = maml.learner(conv_net(3)).unwrap();
    assert_eq!(learner.statistics.len(), 3);
    let (train, _) = digits();
    maml.fit(trainer(1), &mut learner, Episodes::new(&train, 4, 3), cross_entropy).unwrap();
    let means: Vec<Vec<f32>> =
        learner.statistics.iter().map(|row| row[0].tensor().to_vec()).collect();
    assert!(means.iter().flatten().all(|m| *m != 0.0));
    // The convolution has moved in between.
    assert_ne!(means[0], means[1]);
}

#[test]
fn meta_training_helps_curves_and_digits() {
    let curves = Curves::sinusoid();
    let test = |maml: &Maml, learner: &_| {
        let method = maml.predictor(learner, mse);
        evaluate(&method, &curves, 60, 99, Protocol::Inductive).unwrap()
    };
    let maml = Maml::new(1, 0.02);
    let mut learner = maml.learner(curve_net()).unwrap();
    let before = test(&maml, &learner).last().mean;
    maml.fit(trainer(1), &mut learner, Episodes::new(&curves, 8, 1500), mse).unwrap();
    let after = test(&maml, &learner);
    assert!(after.last().mean < 0.8 * before, "{before} {after}");
    assert!(after.last().mean < after.steps[0].1.mean);

    let (train, unseen) = digits();
    for head in [0, 1, 2] {
        let result = match head {
            0 => few_shot(Prototypes, &train, &unseen, 60),
            1 => few_shot(RidgeHead::default(), &train, &unseen, 60),
            _ => few_shot(Matching::default(), &train, &unseen, 60),
        };
        assert!(result.last().mean > 0.7, "head {head}: {result}"); // chance is 0.33
    }
}

fn few_shot<H: tl_maml::Head>(head: H, train: &Tasks, unseen: &Tasks, steps: usize) -> Evaluation {
    let encoder = Sequential::new().push(Flatten).push(Linear::new(64, 24, &mut rng()));
    let mut net = FewShot { encoder, head };
    net.fit(trainer(1), Episodes::new(train, 1, steps)).unwrap();
    evaluate(&net.predictor(), unseen, 40, 1, Protocol::Inductive).unwrap()
}

#[test]
fn imaml_and_relation_learn() {
    let (train, unseen) = digits();
    let imaml = IMaml { lambda: 0.2, ..IMaml::new(4, 0.15) };
    let mut model = Sequential::new().push(Flatten).push(Linear::new(64, 3, &mut rng()));
    let test = |model: &Sequential| {
        let method = imaml.predictor(model, cross_entropy);
        evaluate(&method, &unseen, 60, 99, Protocol::Inductive).unwrap()
    };
    let before = test(&model);
    imaml.fit(trainer(1), &mut model, Episodes::new(&train, 4, 200), cross_entropy).unwrap();
    let after = test(&model);

    assert!(after.last().mean > before.last().mean + 0.01, "{before} {after}");

    let result = few_shot(Relation::new(24, 16, &mut rng()), &train, &unseen, 1500);
    assert!(result.last().mean > 0.45, "{result}");
}

#[test]
fn baselines_need_no_meta_training() {
    let (_, unseen) = digits();
    let on_pixels = |method: &dyn tl_maml::Predict| {
        evaluate(method, &unseen, 30, 1, Protocol::Inductive).unwrap().last().mean
    };
    let nearest = FewShot { encoder: Flatten, head: Nearest::default() };
    let cosine = FewShot { encoder: Flatten, head: Fitted { epochs: 20, ..Fitted::default() } };
    let logistic = FewShot { encoder: Flatten, head: Logistic::default() };
    for mean in [
        on_pixels(&nearest.predictor()),
        on_pixels(&cosine.predictor()),
        on_pixels(&logistic.predictor()),
    ] {
        assert!(mean > 0.7, "{mean}");
    }
}

#[test]
fn protocols_differ_with_batch_normalisation_only() {
    let (train, test) = digits();
    let mut net = FewShot { encoder: conv_net(8), head: Prototypes };
    net.fit(trainer(1), Episodes::new(&train, 1, 10)).unwrap();
    let result = |protocol| evaluate(&net.predictor(), &test, 20, 1, protocol).unwrap().tasks;
    assert_ne!(result(Protocol::Inductive), result(Protocol::Transductive));
    let plain = FewShot { encoder: Flatten, head: Prototypes };
    let result = |protocol| evaluate(&plain.predictor(), &test, 20, 1, protocol).unwrap().tasks;
    assert_eq!(result(Protocol::Inductive), result(Protocol::Transductive));
}

#[test]
fn reports_compare_and_are_saved() {
    let (_, test) = digits();
    let mut report = Report::new("digits, 3-way 2-shot");
    for seed in 0..3 {
        for (name, k) in [("1 neighbour", 1), ("3 neighbours", 3)] {
            let net = FewShot { encoder: Flatten, head: Nearest { k } };
            let result = evaluate(&net.predictor(), &test, 20, seed, Protocol::Inductive).unwrap();
            report.add(name, result, 0.1);
        }
    }
    assert_eq!(report.trials.metric, "accuracy");
    assert_eq!(report.by_step("1 neighbour").unwrap().len(), 1);
    assert!(report.by_step("none").is_err());
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let net = curve_net;
    let message = |e: Error| e.to_string();
    let wrong = Maml::new(1, 0.1).adapt(Adapt::Only("fc.**".into()));
    assert!(message(wrong.learner(net()).unwrap_err()).contains("at least one trainable weight"));
    assert!(message(Maml::new(1, f32::NAN).learner(net()).unwrap_err()).contains("rate is NaN"));
    let wrong = Maml { multi_step: 2.0, ..Maml::new(1, 0.1) };
    assert!(message(wrong.learner(net()).unwrap_err()).contains("multi_step is 2.0"));
    let curves = Curves::sinusoid();
    let episodes = Episodes::new(&curves, 0, 3);
    let maml = Maml::new(1, 0.1);
    let mut learner = maml.learner(net()).unwrap();
    let error = maml.fit(trainer(1), &mut learner, episodes, mse).unwrap_err();
    assert!(message(error).contains("tasks is 0"));
    let method = maml.predictor(&learner, mse);
    assert!(evaluate(&method, &curves, 0, 0, Protocol::Inductive).is_err());
    let parsed = serde_json::from_str::<Maml>(r#"{"steps": 1, "rate": 0.1, "ratio": 2}"#);
    assert!(parsed.unwrap_err().to_string().contains("unknown field `ratio`"));
}
