//! Values and derivatives of the losses.

use approx::assert_relative_eq;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Indices, Reduction, loss};
use tl_tensor::{GradCheck, Result, Tensor, gradcheck, gradgradcheck};

type T = Tensor<f64>;

fn vector(data: &[f64]) -> T {
    T::from_slice(data, data.len()).unwrap()
}

fn value(loss: Result<T>) -> f64 {
    loss.unwrap().item().unwrap()
}

#[test]
fn regression_by_hand() {
    let (x, t) = (vector(&[0.5, -3.0]), vector(&[0.0, 0.0]));
    assert_relative_eq!(value(loss::mse(&x, &t, Reduction::Sum)), 9.25);
    assert_relative_eq!(value(loss::l1(&x, &t, Reduction::Mean)), 1.75);
    assert_relative_eq!(value(loss::huber(&x, &t, 2.0, Reduction::Sum)), 0.125 + 2.0 * 2.0);
    assert_relative_eq!(value(loss::smooth_l1(&x, &t, 2.0, Reduction::Sum)), 0.0625 + 2.0);
    assert_eq!(loss::l1(&x, &t, Reduction::None).unwrap().to_vec(), [0.5, 3.0]);
}

#[test]
fn binary_by_hand() {
    let (x, t) = (vector(&[0.0, 2.0]), vector(&[1.0, 0.0]));
    let plain = 2.0_f64.ln() + (1.0 + 2.0_f64.exp()).ln();
    assert_relative_eq!(
        value(loss::bce_with_logits(&x, &t, None, Reduction::Sum)),
        plain,
        epsilon = 1e-12
    );
    let weighted = 3.0 * 2.0_f64.ln() + (1.0 + 2.0_f64.exp()).ln();
    let w = T::scalar(3.0);
    assert_relative_eq!(
        value(loss::bce_with_logits(&x, &t, Some(&w), Reduction::Sum)),
        weighted,
        epsilon = 1e-12
    );
    let p = 1.0 / (1.0 + (-2.0_f64).exp());
    let focal = 0.25 * 0.25 * 2.0_f64.ln() + 0.75 * p * p * (1.0 + 2.0_f64.exp()).ln();
    assert_relative_eq!(
        value(loss::sigmoid_focal(&x, &t, 2.0, Some(0.25), Reduction::Sum)),
        focal,
        epsilon = 1e-12
    );
}

#[test]
fn classes_and_divergence_by_hand() {
    let logits = T::from_slice(&[1.0, 0.0, 0.0, 3.0], [2, 2]).unwrap();
    let classes = Indices::from([0, 0]);
    let log_p = logits.log_softmax(-1).unwrap();
    let ce = tl_nn::CrossEntropy::new().loss(&logits, &classes).unwrap().item().unwrap();
    assert_relative_eq!(
        value(loss::nll(&log_p, &classes, None, Reduction::Mean)),
        ce,
        epsilon = 1e-12
    );
    assert_relative_eq!(
        value(loss::focal(&logits, &classes, 0.0, None, Reduction::Mean)),
        ce,
        epsilon = 1e-12
    );
    let w = vector(&[2.0, 5.0]);
    assert_relative_eq!(
        value(loss::nll(&log_p, &classes, Some(&w), Reduction::Mean)),
        ce,
        epsilon = 1e-12
    );
    let p = T::from_slice(&[1.0, 0.0, 0.5, 0.5], [2, 2]).unwrap();
    let own = T::from_slice(&[0.5, 0.5, 0.25, 0.75], [2, 2]).unwrap();
    let expected = 2.0_f64.ln() + 0.5 * (0.5_f64 / 0.25).ln() + 0.5 * (0.5_f64 / 0.75).ln();
    let kl = loss::kl_div(&own.log(), &p, Reduction::Sum);
    assert_relative_eq!(value(kl), expected, epsilon = 1e-12);
    let both = loss::kl_div_log(&log_p, &log_p, Reduction::Mean);
    assert_relative_eq!(value(both), 0.0);
}

#[test]
fn embeddings_by_hand() {
    let x = T::from_slice(&[1.0, 0.0, 1.0, 0.0], [2, 2]).unwrap();
    let y = T::from_slice(&[0.0, 2.0, 3.0, 0.0], [2, 2]).unwrap();
    let labels = vector(&[1.0, -1.0]);
    let losses = loss::cosine_embedding(&x, &y, &labels, 0.25, Reduction::None).unwrap();
    assert_eq!(losses.to_vec(), [1.0, 0.75]);
    let far = loss::triplet(&x, &x, &y, 1.0, Reduction::None).unwrap().to_vec();
    assert_eq!(far, [0.0, 0.0]);
    let near = loss::triplet(&x, &y, &x, 1.0, Reduction::None).unwrap().to_vec();
    assert_relative_eq!(near[0], 5.0_f64.sqrt() + 1.0, epsilon = 1e-5);
}

#[test]
fn nothing_broadcasts_silently_and_settings_are_checked() {
    let (x, t) = (T::zeros([3, 1]), T::zeros(3));
    for error in [
        loss::mse(&x, &t, Reduction::Mean).unwrap_err(),
        loss::bce_with_logits(&x, &t, None, Reduction::Mean).unwrap_err(),
        loss::kl_div(&x, &t, Reduction::Mean).unwrap_err(),
        loss::triplet(&x, &x, &t, 1.0, Reduction::Mean).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("[3, 1]") && text.contains("one shape"), "{text}");
    }
    assert!(loss::huber(&t, &t, 0.0, Reduction::Mean).is_err());
    assert!(loss::focal(&x, &[0, 0, 3].into(), 2.0, None, Reduction::Mean).is_err());
    assert!(loss::nll(&x, &[0, 0].into(), None, Reduction::Mean).is_err());
    let labels = vector(&[1.0, 0.0, 1.0]);
    assert!(loss::cosine_embedding(&x, &x, &labels, 0.0, Reduction::Mean).is_err());
}

#[test]
fn every_loss_has_first_and_second_derivatives() {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    let [x, y, z] = [0, 1, 2].map(|_| T::randn([4, 3], rng));
    let target = T::uniform([4, 3], 0.1, 0.9, rng);
    let p = T::randn([4, 3], rng).softmax(-1).unwrap();
    let classes = Indices::from([0, 2, 1, 1]);
    let signs = vector(&[1.0, -1.0, 1.0, -1.0]);
    let w = T::uniform(3, 0.5, 2.0, rng);
    let none = Reduction::None;
    type Case<'a> = (&'a str, Box<dyn Fn(&[T]) -> Result<T> + 'a>);
    let cases: Vec<Case<'_>> = vec![
        ("mse", Box::new(|v| loss::mse(&v[0], &v[1], none))),
        ("l1", Box::new(|v| loss::l1(&v[0], &v[1], none))),
        ("huber", Box::new(|v| loss::huber(&v[0], &v[1], 0.7, none))),
        ("smooth_l1", Box::new(|v| loss::smooth_l1(&v[0], &v[1], 0.7, none))),
        ("bce", Box::new(|v| loss::bce_with_logits(&v[0], &target, Some(&w), none))),
        ("sigmoid_focal", Box::new(|v| loss::sigmoid_focal(&v[0], &target, 2.0, Some(0.3), none))),
        ("focal", Box::new(|v| loss::focal(&v[0], &classes, 2.0, Some(&w), none))),
        ("nll", Box::new(|v| loss::nll(&v[0], &classes, Some(&w), Reduction::Mean))),
        ("kl", Box::new(|v| loss::kl_div(&v[0].log_softmax(-1)?, &p, none))),
        (
            "kl_log",
            Box::new(|v| loss::kl_div_log(&v[0].log_softmax(-1)?, &v[1].log_softmax(-1)?, none)),
        ),
        ("cosine", Box::new(|v| loss::cosine_embedding(&v[0], &v[1], &signs, -0.9, none))),
        ("triplet", Box::new(|v| loss::triplet(&v[0], &v[1], &v[2], 5.0, none))),
    ];
    for (name, f) in cases {
        let inputs = [x.clone(), y.clone(), z.clone()];
        let check = GradCheck::default();
        gradcheck(&f, &inputs, check).unwrap_or_else(|e| panic!("{name}: {e}"));
        gradgradcheck(&f, &inputs, check).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
