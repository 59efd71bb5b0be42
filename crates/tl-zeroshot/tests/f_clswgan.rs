//! The adversarial generator: the penalty's derivative, and what generated
//! features are good for.

mod synthetic;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use synthetic::synthetic;
use tl_nn::{Tensor, metric::predictions, shallow::LogisticRegression};
use tl_zeroshot::{
    Conse, FClsWgan, Method, Test, gradient_penalty, harmonic_mean, per_class_accuracy,
    zsl_accuracy,
};

/// The weights of a critic of two layers, on features and signatures.
struct Critic {
    first: Tensor<f64>,
    bias: Tensor<f64>,
    second: Tensor<f64>,
}

impl Critic {
    fn penalty(&self, [x, fake, s, mix]: &[Tensor<f64>; 4]) -> Tensor<f64> {
        gradient_penalty(
            |x| {
                let hidden = Tensor::cat(&[x, s], 1)?.matmul(&self.first)?.add(&self.bias)?;
                Ok(hidden.leaky_relu(0.2).matmul(&self.second)?)
            },
            x,
            fake,
            mix,
        )
        .unwrap()
    }
}

#[test]
fn the_penaltys_gradient_is_that_of_finite_differences() {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut random = |rows: usize, columns: usize| Tensor::<f64>::randn([rows, columns], rng);
    let (x, fake, s) = (random(6, 3), random(6, 3), random(6, 2));
    let weights = [random(5, 7).mul_scalar(0.5), random(1, 7), random(7, 1).mul_scalar(0.5)];
    let mix = Tensor::uniform([6, 1], 0.0, 1.0, rng);
    let given = [x, fake, s, mix];
    let critic = |w: &[Tensor<f64>; 3]| Critic {
        first: w[0].clone(),
        bias: w[1].clone(),
        second: w[2].clone(),
    };

    let leaves = weights.each_ref().map(Tensor::requires_grad);
    let penalty = critic(&leaves).penalty(&given);
    assert!(penalty.item().unwrap() > 0.01);
    let slopes = penalty.backward().unwrap();
    for place in [0, 2] {
        let slope = slopes.get(&leaves[place]).unwrap().to_vec();
        assert!(slope.iter().any(|g| g.abs() > 1e-2));
        for (i, slope) in slope.iter().enumerate() {
            let moved = |by: f64| {
                let mut changed = weights.clone();
                let mut numbers = changed[place].to_vec();
                numbers[i] += by;
                changed[place] = Tensor::from_vec(numbers, *weights[place].shape()).unwrap();
                critic(&changed).penalty(&given).item().unwrap()
            };
            let h = 1e-6;
            let difference = (moved(h) - moved(-h)) / (2.0 * h);
            approx::assert_abs_diff_eq!(*slope, difference, epsilon = 1e-7);
        }
    }
    // A bias moves no slope but where a kink is passed: its derivative is 0.
    assert!(slopes.get(&leaves[1]).is_none_or(|g| g.to_vec().iter().all(|g| *g == 0.0)));

    // In single precision the same to its rounding.
    let single = weights.each_ref().map(|w| w.cast::<f32>().requires_grad());
    let [x, fake, s, mix] = given.each_ref().map(Tensor::cast::<f32>);
    let again = gradient_penalty(
        |x| {
            let hidden = Tensor::cat(&[x, &s], 1)?.matmul(&single[0])?.add(&single[1])?;
            Ok(hidden.leaky_relu(0.2).matmul(&single[2])?)
        },
        &x,
        &fake,
        &mix,
    )
    .unwrap();
    let again = again.backward().unwrap().get(&single[0]).unwrap().to_vec();
    for (a, b) in again.iter().zip(slopes.get(&leaves[0]).unwrap().to_vec()) {
        approx::assert_abs_diff_eq!(f64::from(*a), b, epsilon = 1e-4);
    }
}

#[test]
fn a_critic_that_looks_at_nothing_is_an_error() {
    let x = Tensor::<f32>::ones([2, 3]);
    let mix = Tensor::full([2, 1], 0.5);
    assert!(gradient_penalty(|_| Ok(Tensor::ones([2, 1])), &x, &x, &mix).is_err());
}

fn settings(seed: u64) -> FClsWgan {
    FClsWgan {
        hidden: 64,
        noise: 6,
        samples: 60,
        steps: 300,
        lr: 1e-3,
        seed,
        ..FClsWgan::default()
    }
}

#[test]
fn generated_features_beat_the_classifier_of_seen_classes() {
    let (mut own, mut through, mut harmonic, mut alone) = (0.0, 0.0, 0.0, 0.0);
    let seeds = 4;
    for seed in 0..seeds {
        let (train, seen_test, unseen) = synthetic(0.3, seed);
        let model = settings(seed).fit(&train).unwrap();

        // Unseen classes only: beside the classifier of seen classes as ConSE uses it.
        own += zsl_accuracy(model.as_ref(), &unseen).unwrap();
        let conse = Conse::default().fit(&train).unwrap();
        through += zsl_accuracy(conse.as_ref(), &unseen).unwrap();

        // All classes: beside the classifier of seen classes as it is.
        let seen = train.classes();
        let mut apart = unseen.clone();
        apart.labels.iter_mut().for_each(|label| *label += seen);
        apart.classes = seen_test.classes.clone();
        let plain = LogisticRegression::new().fit(train.features(), train.labels(), seen).unwrap();
        let both = |predict: &dyn Fn(&Test) -> Vec<usize>| {
            let of = |test| per_class_accuracy(&predict(test), &test.labels).unwrap();
            let (unseen, seen) = (of(&apart), of(&seen_test));
            assert!(seen > 0.9, "{seen}");
            harmonic_mean(unseen, seen)
        };
        alone += both(&|test| plain.predict(&test.features).unwrap());
        harmonic += both(&|test| {
            let scores = model.scores(&test.features, test.classes.table()).unwrap();
            predictions(&scores).unwrap()
        });
    }
    let [own, through, harmonic, alone] =
        [own, through, harmonic, alone].map(|sum| sum / seeds as f64);
    assert!(own > through + 0.05, "{own} beside {through}; chance is 0.25");
    assert!(harmonic > 0.5 && alone == 0.0, "{harmonic} beside {alone}");
}

#[test]
fn settings_are_checked_and_seeds_repeat() {
    let (train, _, unseen) = synthetic(0.3, 0);
    let short = FClsWgan { steps: 2, ..settings(4) };
    let scores = || {
        let model = short.fit(&train).unwrap();
        model.scores(&unseen.features, unseen.classes.table()).unwrap().to_vec()
    };
    assert_eq!(scores(), scores());
    for wrong in [
        FClsWgan { noise: 0, ..short.clone() },
        FClsWgan { critic_steps: 0, ..short.clone() },
        FClsWgan { penalty: -1.0, ..short.clone() },
        FClsWgan { classification: f32::NAN, ..short.clone() },
        FClsWgan { lr: 0.0, ..short.clone() },
    ] {
        assert!(wrong.fit(&train).unwrap_err().to_string().contains("expected"));
    }
    assert!(serde_json::from_str::<FClsWgan>(r#"{"noise":1}"#).is_err());
    let text = serde_json::to_string(&short).unwrap();
    assert_eq!(serde_json::from_str::<FClsWgan>(&text).unwrap(), short);
}
