//! "Unknown" keeps its promise: over many draws, and when classes change.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tl_nn::{Indices, Tensor};
use tl_zeroshot::{
    Compatibility, Eszsl, Method, Result, Signatures, Split, ZeroShot, seven_segments,
};

/// Scores that are the features themselves, a number a class.
#[derive(Debug)]
struct Given;

impl Compatibility for Given {
    fn scores(&self, x: &Tensor, signatures: &Tensor) -> Result<Tensor> {
        Ok(x.narrow(1, 0, signatures.size(0)?)?)
    }
}

fn given(classes: usize) -> ZeroShot {
    let names = (0..classes).map(|c| c.to_string());
    ZeroShot::new(Box::new(Given), Signatures::new(names, Tensor::ones([classes, 1])).unwrap())
}

/// The part of samples that is not called unknown.
fn kept(classifier: &ZeroShot, x: &Tensor) -> f64 {
    let names = classifier.classify(x).unwrap();
    names.iter().filter(|name| **name != "unknown").count() as f64 / names.len() as f64
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn coverage_is_what_theory_says_over_many_draws() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (n, coverage) in [(19, 0.9), (50, 0.9), (200, 0.95), (30, 0.5)] {
        let parts: Vec<f64> = (0..600)
            .map(|_| {
                let mut classifier = given(3);
                classifier.reject_unknown(&Tensor::randn([n, 3], &mut rng), coverage).unwrap();
                kept(&classifier, &Tensor::randn([200, 3], &mut rng))
            })
            .collect();
        let (mean, error) = mean_and_error(&parts);
        // One sample of the n + 1 is below the threshold with probability rank / (n + 1).
        let rank = ((n + 1) as f64 * (1.0 - coverage) + 1e-9).floor();
        let want = 1.0 - rank / (n + 1) as f64;
        assert!(want >= coverage - 1e-9 && want <= coverage + 1.0 / (n + 1) as f64);
        assert!((mean - want).abs() < 4.0 * error, "{n}: {mean} ± {error}, expected {want}");
    }
}

#[test]
fn equal_scores_are_kept_more_often_never_less() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let draw = |n: usize, rng: &mut ChaCha8Rng| {
        let coarse = (0..n).map(|_| f32::from(rng.random_range(0..4_u8))).collect();
        Tensor::from_vec(coarse, [n, 1]).unwrap()
    };
    let parts: Vec<f64> = (0..400)
        .map(|_| {
            let mut classifier = given(1);
            classifier.reject_unknown(&draw(40, &mut rng), 0.8).unwrap();
            kept(&classifier, &draw(100, &mut rng))
        })
        .collect();
    let (mean, error) = mean_and_error(&parts);
    assert!(mean > 0.8 - 3.0 * error, "{mean} ± {error}");
}

#[test]
fn coverage_holds_on_digits_over_many_splits() {
    let digits = tl_data::samples::digits();
    let flat = digits.with_features(&digits.features().flatten(1, -1).unwrap()).unwrap();
    let signatures = seven_segments().unwrap().unit().unwrap();
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for seed in 0..6 {
        let split = Split::random(&flat, &signatures, 3, 0.3, seed).unwrap();
        let settings = Eszsl { gamma: 100.0, lambda: 1.0 };
        let model = settings.fit(&split.train).unwrap();
        let mut classifier = ZeroShot::new(model, split.train.signatures().clone());
        assert_eq!(kept(&classifier, &split.unseen.features), 1.0);
        let x = &split.seen_test.features;
        let n = x.size(0).unwrap();
        for draw in 0..40 {
            let order = Indices::permutation(n, &mut ChaCha8Rng::seed_from_u64(draw));
            let x = x.index_select(0, &order).unwrap();
            let half = |from, count| x.narrow(0, from, count).unwrap();
            classifier.reject_unknown(&half(0, n / 2), 0.9).unwrap();
            known.push(kept(&classifier, &half(n / 2, n - n / 2)));
            new.push(kept(&classifier, &split.unseen.features));
        }
    }
    let ((known, error), (new, _)) = (mean_and_error(&known), mean_and_error(&new));
    // Halves of about 190 samples: from 0.9 to 0.9 + 1/191.
    assert!(known > 0.9 - 3.0 * error && known < 0.906 + 3.0 * error, "{known} ± {error}");
    // Digits never seen are found unknown more often than known ones.
    assert!(1.0 - new > 1.5 * (1.0 - known), "{new} of new digits are kept, {known} of known");
}

#[test]
fn the_threshold_follows_the_classes() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (known, fresh) = (Tensor::randn([400, 3], &mut rng), Tensor::randn([2000, 3], &mut rng));
    let mut classifier = given(2);
    assert_eq!(classifier.threshold().unwrap(), None);
    let first = classifier.reject_unknown(&known, 0.9).unwrap();
    assert_eq!(classifier.threshold().unwrap(), Some(first));
    let covers = |classifier: &ZeroShot| {
        let part = kept(classifier, &fresh);
        assert!((0.86..0.94).contains(&part), "{part}");
    };
    covers(&classifier);
    // Handicaps take 5 off all scores: with the old threshold, all would be unknown.
    classifier.handicap(&["0".to_owned(), "1".to_owned()], 5.0).unwrap();
    covers(&classifier);
    assert!((classifier.threshold().unwrap().unwrap() - (first - 5.0)).abs() < 1e-4);
    // A third class without a handicap: with the old threshold, none would be.
    classifier.add("2", &[1.0]).unwrap();
    covers(&classifier);
    classifier.remove("0").unwrap();
    classifier.remove("1").unwrap();
    covers(&classifier);
}

#[test]
fn too_few_samples_are_refused() {
    let mut classifier = given(1);
    let say = |classifier: &mut ZeroShot, n: usize, coverage: f64| {
        classifier.reject_unknown(&Tensor::zeros([n, 1]), coverage).unwrap_err().to_string()
    };
    assert!(say(&mut classifier, 8, 0.9).contains("at least 9"));
    assert!(say(&mut classifier, 9, 1.0).contains("between 0 and 1"));
    assert!(say(&mut classifier, 9, f64::NAN).contains("between 0 and 1"));
    let wrong = Tensor::full([9, 1], f32::NAN);
    assert!(classifier.reject_unknown(&wrong, 0.9).is_err());
    assert_eq!(classifier.threshold().unwrap(), None);
    assert!(classifier.reject_unknown(&Tensor::zeros([9, 1]), 0.9).is_ok());
}
