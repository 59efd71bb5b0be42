//! Adaptation as a user does it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_dann::{
    Adaptation, Classifier, DomainBatchNorm, Evidence, Method, Report, Tent, TentSettings,
    Validator, adapt_batch_norm, align_coral, align_subspaces, kernel_mean_matching,
    logistic_ratio, proxy_a_distance, shift_test, transfer_components,
};
use tl_data::Dataset;
use tl_nn::{
    Act, BatchNorm1d, Ctx, Forward, Linear, ModuleExt, Sequential, Tensor, metric::accuracy,
};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Two classes along the first of four axes; the target is turned and moved.
fn domains() -> (Dataset, Dataset) {
    let make = |seed: u64, turn: f32, shift: f32| {
        let n = 240;
        let noise = Tensor::<f32>::randn([n, 4], &mut rng(seed)).mul_scalar(0.6).to_vec();
        let mut x = Vec::with_capacity(n * 4);
        for i in 0..n {
            let class = if i % 2 == 0 { 1.6 } else { -1.6 };
            let (a, b) = (noise[4 * i] + class, noise[4 * i + 1]);
            let (s, c) = turn.sin_cos();
            x.extend([c * a - s * b + shift, s * a + c * b - shift]);
            x.extend([noise[4 * i + 2] + shift, noise[4 * i + 3]]);
        }
        let labels = (0..n).map(|i| i % 2).collect();
        Dataset::classification(Tensor::from_vec(x, [n, 4]).unwrap(), labels, ["a", "b"]).unwrap()
    };
    (make(1, 0.0, 0.0), make(2, 0.3, 2.5))
}

fn model() -> Classifier<Sequential> {
    let mut rng = rng(7);
    let encoder = Sequential::new()
        .push(Linear::new(4, 16, &mut rng))
        .push(BatchNorm1d::new(16))
        .push(Act::Relu)
        .push(Linear::new(16, 8, &mut rng));
    Classifier { encoder, head: Linear::new(8, 2, &mut rng) }
}

fn right<M: Forward>(model: &M, data: &Dataset) -> f64 {
    let logits = model.forward(data.features(), &mut Ctx::eval()).unwrap();
    accuracy(&logits, &data.labels().unwrap().into()).unwrap()
}

#[test]
fn every_method_runs_and_most_help() {
    let (source, target) = domains();
    let mut better = 0;
    let mut base = 0.0;
    for method in Method::CLOSED_SET {
        let mut model = model();
        let adaptation = Adaptation { batch: 48, ..Adaptation::new(method).epochs(25) };
        let run = adaptation.fit(&mut model, &source, &target).unwrap();
        assert_eq!(run.scores.len(), Validator::ALL.len());
        assert!(run.scores.iter().all(|(_, s)| s.is_finite()), "{method:?} {:?}", run.scores);
        let accuracy = right(&model, &target);
        if method == Method::SourceOnly {
            base = accuracy;
            assert!(right(&model, &source) > 0.95);
        } else {
            better += usize::from(accuracy > base + 0.02);
        }
    }
    assert!(base < 0.95 && better >= 5, "source only {base}, {better} methods better");
}

#[test]
fn target_labels_change_nothing() {
    let (source, target) = domains();
    let run = |target: &Dataset| {
        let mut model = model();
        Adaptation::new(Method::Dann).epochs(2).fit(&mut model, &source, target).unwrap();
        model.state_dict().to_bytes().unwrap()
    };
    let wrong = target.labels().unwrap().iter().map(|l| 1 - l).collect();
    let wrong = Dataset::classification(target.features().clone(), wrong, ["a", "b"]).unwrap();
    assert_eq!(run(&target), run(&wrong));
    assert_eq!(run(&target), run(&target.without_targets()));
}

#[test]
fn adaptive_statistics_are_those_of_the_target() {
    let (source, target) = domains();
    let mut norm = Sequential::new().push(BatchNorm1d::new(4));
    assert_eq!(adapt_batch_norm(&mut norm, &target, 240).unwrap(), 1);
    let mean = target.features().mean(0, false).unwrap().to_vec();
    let got = norm.buffers()[0].1.tensor().to_vec();
    for (a, b) in got.iter().zip(&mean) {
        approx::assert_abs_diff_eq!(*a, *b, epsilon = 1e-4);
    }
    // Over several batches: the mean of their statistics.
    adapt_batch_norm(&mut norm, &target, 60).unwrap();
    for (a, b) in norm.buffers()[0].1.tensor().to_vec().iter().zip(&mean) {
        approx::assert_abs_diff_eq!(*a, *b, epsilon = 1e-4);
    }
    let mut plain = Linear::new(4, 2, &mut rng(0));
    assert!(adapt_batch_norm(&mut plain, &source, 8).is_err());
    norm.freeze("**.running_*").unwrap();
    assert!(adapt_batch_norm(&mut norm, &source, 8).unwrap_err().to_string().contains("frozen"));
}

#[test]
fn domains_have_their_own_statistics() {
    let (source, target) = domains();
    let mut norm = DomainBatchNorm::new(4, 2);
    for (domain, data) in [(0, &source), (1, &target)] {
        let mut cx = Ctx::train(0);
        cx.set_domain(domain);
        norm.forward(data.features(), &mut cx).unwrap();
        norm.apply(cx.take_updates()).unwrap();
    }
    let mean = |d: usize| norm.domains[d].running_mean.tensor().to_vec()[0];
    assert!(mean(1) - mean(0) > 0.05);
    let mut cx = Ctx::eval();
    cx.set_domain(2);
    let error = norm.forward(source.features(), &mut cx).unwrap_err().to_string();
    assert!(error.contains("below 2"), "{error}");
}

#[test]
fn tent_adapts_while_it_predicts_and_recovers_from_collapse() {
    let (source, target) = domains();
    let mut trained = model();
    Adaptation::new(Method::SourceOnly).epochs(20).fit(&mut trained, &source, &target).unwrap();
    let before = trained.state_dict().to_bytes().unwrap();
    let mut tent = Tent::new(trained.clone(), TentSettings::default()).unwrap();
    for start in (0..240).step_by(40) {
        let x = target.features().narrow(0, start, 40).unwrap();
        assert_eq!(tent.predict(&x).unwrap().dims(), [40, 2]);
    }
    assert_ne!(tent.model().state_dict().to_bytes().unwrap(), before);
    // Only scale and shift of the normalisation moved.
    let moved = |name: &str| {
        tent.model().state_dict().tensor(name).unwrap().to_vec()
            != trained.state_dict().tensor(name).unwrap().to_vec()
    };
    assert!(moved("encoder.1.weight") && moved("encoder.1.bias"));
    assert!(
        !moved("encoder.0.weight") && !moved("head.weight") && !moved("encoder.1.running_mean")
    );
    // One class alone counts as collapse.
    let only: Vec<usize> = (0..240).step_by(2).take(40).collect();
    let alike = Tensor::zeros([40, 4]);
    let mut tent = Tent::new(trained.clone(), TentSettings::default()).unwrap();
    tent.predict(&alike).unwrap();
    assert_eq!(tent.resets(), 1);
    assert_eq!(tent.model().state_dict().to_bytes().unwrap(), before);
    let episodic = TentSettings { episodic: true, ..TentSettings::default() };
    let mut tent = Tent::new(trained, episodic).unwrap();
    let x = target.features().index_select(0, &only.into()).unwrap();
    let first = tent.predict(&x).unwrap().to_vec();
    assert_eq!(tent.predict(&x).unwrap().to_vec(), first);
    // Adapted to this very batch, not only normalised by it.
    tent.reset().unwrap();
    let mut fresh = Tent::new(tent.model().clone(), TentSettings::default()).unwrap();
    assert_ne!(fresh.predict(&x).unwrap().to_vec(), first);
    for wrong in [
        TentSettings { lr: -1e-3, ..TentSettings::default() },
        TentSettings { collapse: f64::NAN, ..TentSettings::default() },
        TentSettings { reset_every: Some(0), ..TentSettings::default() },
    ] {
        assert!(Tent::new(fresh.model().clone(), wrong).is_err(), "{wrong:?}");
    }
    assert!(Tent::new(Linear::new(4, 2, &mut rng(0)), TentSettings::default()).is_err());
}

#[test]
fn features_are_aligned() {
    let (source, target) = domains();
    let (s, t) = (source.features(), target.features());
    let moved = align_coral(s, t, 1e-6).unwrap();
    let statistics = |x: &Tensor| {
        let mean = x.mean(0, true).unwrap();
        let c = x.sub(&mean).unwrap();
        (mean.to_vec(), c.t().unwrap().matmul(&c).unwrap().mul_scalar(1.0 / 239.0).to_vec())
    };
    let (a, b) = (statistics(&moved), statistics(t));
    for (a, b) in a.0.iter().chain(&a.1).zip(b.0.iter().chain(&b.1)) {
        approx::assert_abs_diff_eq!(*a, *b, epsilon = 1e-3);
    }
    let (zs, zt) = align_subspaces(s, t, 2).unwrap();
    assert_eq!((zs.dims(), zt.dims()), ([240, 2].as_slice(), [240, 2].as_slice()));
    let (zs, zt) = transfer_components(s, t, 2, 1.0, None).unwrap();
    let apart = |a: &Tensor, b: &Tensor| shift_test(a, b, 30, 0).unwrap().mmd;
    assert!(apart(&zs, &zt) < 0.5 * apart(s, t));
    assert!(transfer_components(s, t, 0, 1.0, None).is_err());
    assert!(transfer_components(s, t, 2, 1.0, Some(0.0)).is_err());
}

#[test]
fn weights_favour_what_looks_like_the_target() {
    // The target is the half of the source above 0.
    let x: Vec<f32> = (0..200).map(|i| i as f32 / 50.0 - 2.0).collect();
    let source = Tensor::from_vec(x.clone(), [200, 1]).unwrap();
    let target = source.narrow(0, 100, 100).unwrap();
    for weights in [
        kernel_mean_matching(&source, &target, 1000.0, 200).unwrap(),
        logistic_ratio(&source, &target, 1.0).unwrap(),
    ] {
        let mean = |range: std::ops::Range<usize>| {
            let n = range.len() as f64;
            weights[range].iter().sum::<f64>() / n
        };
        assert!(mean(110..200) > 3.0 * mean(0..90), "{} {}", mean(110..200), mean(0..90));
        assert!(weights.iter().all(|w| *w >= 0.0));
    }
}

#[test]
fn distances_tell_domains_apart_only_where_they_differ() {
    let (source, target) = domains();
    let (s, t) = (source.features(), target.features());
    let halves = (s.narrow(0, 0, 120).unwrap(), s.narrow(0, 120, 120).unwrap());
    assert!(proxy_a_distance(s, t, 0).unwrap().0 > 1.0);
    assert!(proxy_a_distance(&halves.0, &halves.1, 0).unwrap().0 < 0.5);
    assert!(shift_test(s, t, 50, 0).unwrap().p < 0.05);
    assert!(shift_test(&halves.0, &halves.1, 50, 0).unwrap().p > 0.05);
    assert!(shift_test(s, t, 0, 0).is_err());
}

#[test]
fn validators_prefer_what_is_better() {
    let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
    let y = Tensor::one_hot(&labels[..].into(), 2).unwrap();
    let x = y.add(&Tensor::randn([40, 2], &mut rng(1)).mul_scalar(0.1)).unwrap();
    let far = x.add_scalar(3.0);
    let (sure, vague) = (y.mul_scalar(6.0), y.mul_scalar(0.2));
    let one_class = Tensor::from_vec([3.0, -3.0].repeat(40), [40, 2]).unwrap();
    let score = |v: Validator, sl: &Tensor, tf: &Tensor, tl: &Tensor| {
        let evidence = Evidence {
            source_features: &x,
            source_logits: sl,
            source_labels: &labels,
            target_features: tf,
            target_logits: tl,
        };
        v.score(&evidence).unwrap()
    };
    use Validator::*;
    let wrong = y.neg();
    assert_eq!(score(SourceAccuracy, &sure, &x, &sure), 1.0);
    assert_eq!(score(SourceAccuracy, &wrong, &x, &sure), 0.0);
    assert!(score(Entropy, &sure, &x, &sure) > score(Entropy, &sure, &x, &vague));
    // All of one class is sure, but says nothing.
    let im = |l: &Tensor| score(InformationMaximisation, &sure, &x, l);
    assert!(im(&sure) > im(&vague) && im(&sure) > im(&one_class));
    assert!(
        score(EmbeddedValidation, &sure, &x, &sure) > score(EmbeddedValidation, &wrong, &x, &sure)
    );
    assert!(
        score(CentroidDistance, &sure, &x, &sure) > score(CentroidDistance, &sure, &far, &sure)
    );
    assert!(score(NeighbourhoodDensity, &sure, &x, &sure).is_finite());
    // A large target is looked at evenly, in whatever order its classes come.
    let many = |class: &dyn Fn(usize) -> usize| {
        let labels: Vec<usize> = (0..4000).map(class).collect();
        Tensor::one_hot(&labels.into(), 2).unwrap().mul_scalar(6.0)
    };
    let (sorted, mixed) = (many(&|i| i / 2000), many(&|i| i / 2 % 2));
    let dense = |l: &Tensor| score(NeighbourhoodDensity, &sure, &x, l);
    approx::assert_abs_diff_eq!(dense(&sorted), dense(&mixed), epsilon = 1e-6);
}

#[test]
fn reports_say_what_would_have_been_chosen() {
    let (source, target) = domains();
    let mut report = Report::new("turned");
    for seed in 0..2 {
        for method in [Method::SourceOnly, Method::DeepCoral] {
            let mut model = model();
            let run = Adaptation::new(method).epochs(5).seed(seed);
            let run = run.fit(&mut model, &source, &target).unwrap();
            report.add(seed, &format!("{method:?}"), &run, right(&model, &target), 0.1);
        }
    }
    let (chosen, oracle) = report.chosen(Validator::default()).unwrap();
    assert!(chosen <= oracle && oracle <= 1.0);
    assert!(report.to_string().contains("InformationMaximisation"));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    let wrong = Adaptation::new(Method::Dann).epochs(0);
    assert!(wrong.fit(&mut model(), &source, &target).is_err());
}
