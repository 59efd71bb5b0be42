//! Generalised zero-shot, classes that come and go, rejection, two encoders.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::read::csv::Csv;
use tl_nn::{AdamW, Linear, Optimizer, Tensor, Trainer};
use tl_zeroshot::{
    Compatibility, DualEncoder, Eszsl, Method, PrototypeRegression, Report, Result, Sae,
    Signatures, Split, Test, ZeroShot, clip_loss, harmonic_mean, per_class_accuracy,
    seen_unseen_curve, seven_segments, template_ensemble,
};

fn split(seed: u64) -> Split {
    let digits = tl_data::samples::digits();
    let flat = digits.with_features(&digits.features().flatten(1, -1).unwrap()).unwrap();
    Split::random(&flat, &seven_segments().unwrap().unit().unwrap(), 3, 0.2, seed).unwrap()
}

fn eszsl() -> Eszsl {
    Eszsl { gamma: 100.0, lambda: 1.0 }
}

#[test]
fn accuracies_are_means_over_classes() {
    // Class 0: 3 of 4, class 1: 0 of 1.
    let accuracy = per_class_accuracy(&[0, 0, 0, 1, 0], &[0, 0, 0, 0, 1]).unwrap();
    assert_eq!(accuracy, 0.375);
    assert_eq!(harmonic_mean(0.5, 0.25), 1.0 / 3.0);
    assert_eq!(harmonic_mean(0.0, 0.0), 0.0);
    assert!(per_class_accuracy(&[], &[]).is_err());
}

#[test]
fn the_curve_is_what_calibration_by_hand_gives() {
    let split = split(1);
    let model = eszsl().fit(&split.train).unwrap();
    let curve = split.curve(model.as_ref()).unwrap();
    for calibration in [-0.5, 0.0, 0.1, 0.4, 1.0] {
        let by_hand = split.gzsl(model.as_ref(), calibration).unwrap();
        let on_curve = curve.at(calibration).unwrap();
        approx::assert_abs_diff_eq!(by_hand.seen, on_curve.seen, epsilon = 1e-2);
        approx::assert_abs_diff_eq!(by_hand.unseen, on_curve.unseen, epsilon = 1e-2);
    }
    let (best, result) = curve.best().unwrap();
    assert!(best > 0.0 && result.harmonic > split.gzsl(model.as_ref(), 0.0).unwrap().harmonic);
    assert!(curve.area > 0.0 && curve.area < 1.0);
    let ends = (curve.points[0].1, curve.points[curve.points.len() - 1].1);
    assert!(ends.0.unseen.abs() < 1e-9 && ends.1.seen.abs() < 1e-9);
}

/// Scores that are the features themselves.
#[derive(Debug)]
struct Given;

impl Compatibility for Given {
    fn scores(&self, x: &Tensor, _: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }
}

#[test]
fn the_area_is_that_of_a_curve_drawn_by_hand() {
    let classes = Signatures::new(["seen", "new"], Tensor::eye(2)).unwrap();
    let test = |scores: Vec<f32>, label: usize| Test {
        features: Tensor::from_slice(&scores, [scores.len() / 2, 2]).unwrap(),
        labels: vec![label; scores.len() / 2],
        classes: classes.clone(),
    };
    // Differences seen - new: of seen samples 3 and 1, of new ones 2 and -1.
    let seen = test(vec![3.0, 0.0, 1.0, 0.0], 0);
    let unseen = test(vec![2.0, 0.0, 0.0, 1.0], 1);
    let curve = seen_unseen_curve(&Given, &seen, &unseen, 1).unwrap();
    // Points (unseen, seen): (0, 1), (0.5, 1), (0.5, 0.5), (1, 0.5), (1, 0).
    approx::assert_abs_diff_eq!(curve.area, 0.75, epsilon = 1e-12);
    approx::assert_abs_diff_eq!(curve.at(1.5).unwrap().harmonic, 0.5, epsilon = 1e-12);
    assert!(seen_unseen_curve(&Given, &seen, &unseen, 2).is_err());
}

#[test]
fn tests_that_do_not_fit_are_refused() {
    let classes = Signatures::new(["a", "b"], Tensor::eye(2)).unwrap();
    let test = |scores: [f32; 2], label| Test {
        features: Tensor::from_slice(&scores, [1, 2]).unwrap(),
        labels: vec![label],
        classes: classes.clone(),
    };
    let fine = || test([0.2, 0.1], 0);
    let say = |seen: Test, unseen: Test| {
        seen_unseen_curve(&Given, &seen, &unseen, 1).map(|_| ()).unwrap_err().to_string()
    };
    assert!(seen_unseen_curve(&Given, &fine(), &test([0.1, 0.2], 1), 1).is_ok());
    assert!(say(fine(), test([f32::NAN, 0.2], 1)).contains("NaN"));
    assert!(say(fine(), test([0.1, 0.2], 2)).contains("below 2"));
    assert!(say(fine(), Test { labels: vec![1, 1], ..fine() }).contains("[2, 2]"));
    assert_eq!(per_class_accuracy(&[usize::MAX], &[usize::MAX]).unwrap(), 1.0);
    // A handicap for a class that is not there changes nothing.
    let mut classifier = ZeroShot::new(Box::new(Given), classes.clone());
    let names = ["a".to_owned(), "c".to_owned()];
    assert!(classifier.handicap(&names, 5.0).is_err());
    let x = Tensor::from_slice(&[0.2, 0.1], [1, 2]).unwrap();
    assert_eq!(classifier.scores(&x).unwrap().to_vec(), [0.2, 0.1]);
}

#[test]
fn classes_come_and_go_as_in_a_rebuild() {
    let split = split(2);
    let model = || eszsl().fit(&split.train).unwrap();
    let mut live = ZeroShot::new(model(), split.train.signatures().clone());
    for (i, name) in split.unseen.classes.names().iter().enumerate() {
        let signature = split.unseen.classes.table().select(0, i).unwrap().to_vec();
        live.add(name, &signature).unwrap();
    }
    let built = ZeroShot::new(model(), split.all.clone());
    let x = &split.seen_test.features;
    assert_eq!(live.scores(x).unwrap().to_vec(), built.scores(x).unwrap().to_vec());

    let gone = split.all.names()[2].clone();
    live.remove(&gone).unwrap();
    live.rename(&split.all.names()[0], "first").unwrap();
    assert!(!live.classes().names().contains(&gone));
    assert_eq!(live.classes().names()[0], "first");
    let rest: Vec<usize> = (0..10).filter(|&i| i != 2).collect();
    let rebuilt = ZeroShot::new(model(), split.all.select(&rest).unwrap());
    assert_eq!(live.scores(x).unwrap().to_vec(), rebuilt.scores(x).unwrap().to_vec());

    assert!(live.add("first", &[0.0; 7]).unwrap_err().to_string().contains("there already"));
    assert!(live.add("x", &[0.0; 3]).unwrap_err().to_string().contains("7 finite numbers"));
    assert!(live.remove("x").unwrap_err().to_string().contains("no signature for class `x`"));
    live.handicap(&["first".to_owned()], 1e6).unwrap();
    assert!(live.predict(x).unwrap().iter().all(|&c| c != 0));
}

#[test]
fn explanations_sum_to_the_score() {
    let split = split(4);
    let classifier = ZeroShot::new(eszsl().fit(&split.train).unwrap(), split.all.clone());
    let x = split.unseen.features.select(0, 0).unwrap();
    let name = &split.unseen.classes.names()[0];
    let why = classifier.explain(&x, name).unwrap();
    let row = x.unsqueeze(0).unwrap();
    let at = split.all.position(name).unwrap();
    let score = classifier.scores(&row).unwrap().to_vec()[at];
    approx::assert_relative_eq!(why.score, score, max_relative = 1e-4, epsilon = 1e-4);
    assert_eq!(why.parts.len(), 7);
    assert!(why.parts.windows(2).all(|w| w[0].1.abs() >= w[1].1.abs()));
}

#[test]
fn signatures_are_read_mixed_and_scaled() {
    let text = "name,legs,fur\ncat,4,1\nbird,2,0\nfish,0,0\n";
    let table = Csv::new().parse(text.as_bytes()).unwrap();
    let read = Signatures::from_table(&table, "name").unwrap();
    assert_eq!(read.attributes(), ["legs", "fur"]);
    assert_eq!(read.table().to_vec(), [4.0, 1.0, 2.0, 0.0, 0.0, 0.0]);
    let unit = read.unit().unwrap();
    assert_eq!(unit.table().to_vec()[2..], [1.0, 0.0, 0.0, 0.0]);
    let standard = read.standardised().unwrap().table().to_vec();
    approx::assert_relative_eq!(standard[0], 1.224_744_9, max_relative = 1e-5);
    let mixed = read.mixed(&unit, 0.25).unwrap();
    assert_eq!(mixed.table().to_vec()[4..8], [1.5, 0.0, 0.25, 0.0]);
    assert!(Signatures::new(["a", "a"], Tensor::eye(2)).is_err());
    let ensemble =
        template_ensemble(&Tensor::from_vec(vec![2.0, 0.0, 0.0, 3.0], [2, 1, 2]).unwrap()).unwrap();
    approx::assert_relative_eq!(ensemble.to_vec()[1], 0.5_f32.sqrt(), max_relative = 1e-5);
}

#[test]
fn reports_stand_beside_chance() {
    let mut report = Report::new("digits by segments");
    let (a, b) = (PrototypeRegression::default(), Sae { lambda: 10.0, ..Sae::default() });
    for seed in 0..2 {
        let split = split(seed);
        report.run("prototypes", &[&a], &split, seed).unwrap();
        report.run("SAE", &[&b], &split, seed).unwrap();
    }
    assert_eq!(report.zero_shot.baseline().unwrap().name, "chance");
    approx::assert_abs_diff_eq!(report.zero_shot.summary("majority").unwrap().mean, 1.0 / 3.0);
    approx::assert_abs_diff_eq!(report.generalised.summary("chance").unwrap().mean, 0.1);
    assert_eq!(report.generalised.summary("majority").unwrap().mean, 0.0);
    let harmonic = |way| report.generalised.summary(way).unwrap().mean;
    // Calibration is chosen on held-out classes; over many splits it doubles this one.
    assert!(harmonic("prototypes") > harmonic("prototypes, uncalibrated"));
    assert!(report.zero_shot.summary("prototypes").unwrap().mean > 0.4);
    assert_eq!(report.outcomes.len(), 4);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn two_encoders_learn_to_agree() {
    // Golden: cosines 1, 0 / 0.6, 0.8, scale e^0.5.
    let a = Tensor::from_vec(vec![2.0, 0.0, 0.6, 0.8], [2, 2]).unwrap();
    let b = Tensor::from_vec(vec![1.0, 0.0, 0.0, 5.0], [2, 2]).unwrap();
    let loss = clip_loss(&a, &b, &Tensor::scalar(0.5)).unwrap().item().unwrap();
    let e = 0.5_f64.exp();
    let entropy = |right: f64, wrong: f64| (1.0 + (e * (wrong - right)).exp()).ln();
    let rows = (entropy(1.0, 0.0) + entropy(0.8, 0.6)) / 2.0;
    let columns = (entropy(1.0, 0.6) + entropy(0.8, 0.0)) / 2.0;
    approx::assert_relative_eq!(f64::from(loss), (rows + columns) / 2.0, max_relative = 1e-5);

    // Samples described by their segments; two digits never seen.
    let split = split(6);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut dual = DualEncoder::new(Linear::new(64, 16, &mut rng), Linear::new(7, 16, &mut rng));
    let described = split.train.targets().unwrap();
    let x = split.train.features().clone();
    // One sample of each class at a time: a batch without two of a class.
    let batches = |epoch: usize| -> Vec<tl_nn::Result<(Tensor, Tensor)>> {
        (0..20)
            .map(|i| {
                let rows: Vec<usize> = (0..7)
                    .map(|class| {
                        let of: Vec<usize> = (0..split.train.labels().len())
                            .filter(|&r| split.train.labels()[r] == class)
                            .collect();
                        of[(epoch * 20 + i) % of.len()]
                    })
                    .collect();
                let rows = tl_nn::Indices::from(rows);
                Ok((x.index_select(0, &rows)?, described.index_select(0, &rows)?))
            })
            .collect()
    };
    Trainer::new(Optimizer::new(AdamW::new(3e-3)), 20)
        .fit(&mut dual, batches, |dual, (x, d): &(Tensor, Tensor), cx| dual.loss(x, d, cx))
        .unwrap();
    let vectors = dual.class_vectors(split.unseen.classes.table()).unwrap();
    let p = dual.classify(&split.unseen.features, &vectors).unwrap();
    let predicted = tl_nn::metric::predictions(&p).unwrap();
    let accuracy = per_class_accuracy(&predicted, &split.unseen.labels).unwrap();
    assert!(accuracy > 0.5, "{accuracy}"); // chance is 0.33
}
