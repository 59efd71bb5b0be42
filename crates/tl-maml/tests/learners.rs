//! What a user relies on beside the gradients.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::Dataset;
use tl_maml::{
    Across, Adapt, Curves, Episodes, Error, Evaluation, FewShot, Fitted, Head, IMaml, LearnedRates,
    Logistic, Maml, Matching, Nearest, Protocol, Prototypes, Relation, Report, Reptile, RidgeHead,
    SvmHead, TaskSource, Tasks, cross_entropy, evaluate, evaluate_across, evaluate_both, mse,
    split_classes,
};
use tl_nn::{
    Act, Adam, BatchNorm2d, Conv2d, Ctx, Flatten, Linear, ModuleExt, Optimizer, Sequential, Sgd,
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

/// What a method has learned and how it does on unseen tasks.
type Outcome = (Vec<u8>, Evaluation);

fn of_maml(maml: &Maml) -> Outcome {
    let (train, test) = digits();
    let mut learner = maml.learner(conv_net(3)).unwrap();
    maml.fit(trainer(1), &mut learner, Episodes::new(&train, 20, 3), cross_entropy).unwrap();
    let method = maml.predictor(&learner, cross_entropy);
    (numbers(&learner.state_dict()), evaluate(&method, &test, 12, 5, Protocol::Inductive).unwrap())
}

fn of_head<H: Head>(head: H) -> Outcome {
    let (train, test) = digits();
    let mut net = FewShot { encoder: conv_net(8), head };
    net.fit(trainer(1), Episodes::new(&train, 5, 3)).unwrap();
    let result = evaluate(&net.predictor(), &test, 12, 5, Protocol::Inductive).unwrap();
    (numbers(&net.state_dict()), result)
}

fn of_reptile() -> Outcome {
    let (train, test) = digits();
    let (reptile, mut model) = (Reptile::new(), conv_net(3));
    let outer = Trainer::new(Optimizer::new(Sgd::new(0.5)), 1);
    reptile.fit(outer, &mut model, Episodes::new(&train, 5, 2), cross_entropy).unwrap();
    let method = reptile.predictor(&model, cross_entropy);
    (numbers(&model.state_dict()), evaluate(&method, &test, 8, 5, Protocol::Inductive).unwrap())
}

fn of_imaml() -> Outcome {
    let (train, test) = digits();
    let (imaml, mut model) = (IMaml::new(3, 0.1), conv_net(3));
    imaml.fit(trainer(1), &mut model, Episodes::new(&train, 5, 2), cross_entropy).unwrap();
    let method = imaml.predictor(&model, cross_entropy);
    (numbers(&model.state_dict()), evaluate(&method, &test, 8, 5, Protocol::Inductive).unwrap())
}

#[test]
fn one_thread_or_many_are_the_same_bits() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            vec![
                of_maml(&Maml::plus_plus(2, 0.05)),
                of_maml(&Maml::new(1, 0.1).learned_rates(LearnedRates::PerNumber)),
                of_maml(&Maml::new(1, 0.1).meta_curvature()),
                of_head(Prototypes),
                of_head(RidgeHead::default()),
                of_head(SvmHead::default()),
                of_reptile(),
                of_imaml(),
            ]
        })
    };
    let serial = run(1);
    for threads in [2, 3] {
        for (number, (one, many)) in serial.iter().zip(run(threads)).enumerate() {
            assert_eq!(*one, many, "method {number}, {threads} threads");
        }
    }
}

#[test]
fn statistics_of_normalisation_follow_the_tasks_in_every_method() {
    let first = conv_net(3).buffers()[0].1.tensor().to_vec();
    let (train, _) = digits();
    let moved = |model: &Sequential| model.buffers()[0].1.tensor().to_vec() != first;
    let mut model = conv_net(3);
    let imaml = IMaml::new(2, 0.1);
    imaml.fit(trainer(1), &mut model, Episodes::new(&train, 3, 1), cross_entropy).unwrap();
    assert!(moved(&model));
    let mut model = conv_net(3);
    Reptile::new().fit(trainer(1), &mut model, Episodes::new(&train, 3, 1), cross_entropy).unwrap();
    assert!(moved(&model));
    let mut net = FewShot { encoder: conv_net(3), head: Prototypes };
    net.fit(trainer(1), Episodes::new(&train, 3, 1)).unwrap();
    assert!(moved(&net.encoder));
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
    for head in [0, 1, 2, 3] {
        let result = match head {
            3 => few_shot(SvmHead::default(), &train, &unseen, 60),
            0 => few_shot(Prototypes, &train, &unseen, 60),
            1 => few_shot(RidgeHead::default(), &train, &unseen, 60),
            _ => few_shot(Matching::default(), &train, &unseen, 60),
        };
        assert!(result.last().mean > 0.7, "head {head}: {result}"); // chance is 0.33
    }
}

fn few_shot<H: Head>(head: H, train: &Tasks, unseen: &Tasks, steps: usize) -> Evaluation {
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
fn protocols_stand_side_by_side_and_domains_below_each_other() {
    let (train, test) = digits();
    let maml = Maml::new(2, 0.05);
    let mut learner = maml.learner(conv_net(3)).unwrap();
    maml.fit(trainer(1), &mut learner, Episodes::new(&train, 4, 10), cross_entropy).unwrap();
    let method = maml.predictor(&learner, cross_entropy);
    let both = evaluate_both(&method, &test, 20, 1).unwrap();
    let alone = evaluate(&method, &test, 20, 1, Protocol::Transductive).unwrap();
    assert_eq!(both.transductive, alone);
    assert_ne!(both.inductive.tasks, both.transductive.tasks);
    // A line for the head and for 0, 1 and 2 steps.
    assert_eq!(both.to_string().lines().count(), 4);

    // Another domain: the same digits upside down.
    let digits = tl_data::samples::digits();
    let turned = Dataset::classification(
        digits.features().flip([-2, -1]).unwrap(),
        digits.labels().unwrap().to_vec(),
        digits.class_names().to_vec(),
    );
    let turned = Tasks::from_labels(&turned.unwrap()).unwrap().way(3).shot(2).query(4);
    let domains: [(&str, &dyn TaskSource); 2] = [("upright", &test), ("turned", &turned)];
    let across = evaluate_across(&method, &domains, 20, 1).unwrap();
    assert_eq!(across.domains[0].1, both);
    assert_eq!(across.of("upright", Protocol::Inductive), Some(both.inductive.last()));
    assert!(across.of("elsewhere", Protocol::Inductive).is_none());
    assert!(across.to_string().contains("turned"));
    assert!(evaluate_across(&method, &[], 20, 1).is_err());
    let text = serde_json::to_string(&across).unwrap();
    assert_eq!(serde_json::from_str::<Across>(&text).unwrap(), across);
}

#[test]
fn the_data_of_tasks_has_all_their_classes() {
    let (train, _) = digits();
    let data = train.clone().rotated().unwrap().dataset().unwrap();
    assert_eq!((data.classes(), data.sample_shape()), (24, &[1, 8, 8][..]));
    assert_eq!(data.len() % 4, 0);
    assert_eq!(train.dataset().unwrap().len() * 4, data.len());
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
    let nothing = Maml::new(1, 0.1).adapt(Adapt::Except("fc.**".into()));
    let error = nothing.learner(net()).unwrap_err().to_string();
    assert!(error.contains("names a weight"), "{error}");
    let wrong = Maml::new(1, 0.1).adapt(Adapt::Only("fc.**".into()));
    assert!(message(wrong.learner(net()).unwrap_err()).contains("at least one trainable weight"));
    let imaml =
        IMaml::new(3, -0.1).adapted(&net(), &Curves::sinusoid().task(0, 0).unwrap().support, mse);
    assert!(message(imaml.unwrap_err()).contains("rate above 0"));
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
