//! Metrics against values worked out by hand, from tables, or given in the
//! documentation of scikit-learn and SciPy.

use approx::assert_relative_eq as close;
use tl_nn::{
    Indices, Tensor,
    metric::{self, Average, Confusion, Summary},
};

fn classes(list: &[usize]) -> Indices {
    list.into()
}

#[test]
fn accuracy_and_top_k() {
    let logits =
        Tensor::from_slice(&[0.1, 0.7, 0.2, 0.5, 0.3, 0.2, 0.4, 0.4, 0.2], [3, 3]).unwrap();
    let y = classes(&[1, 2, 1]);
    close!(metric::accuracy(&logits, &y).unwrap(), 1.0 / 3.0);
    close!(metric::top_k_accuracy(&logits, &y, 2).unwrap(), 2.0 / 3.0);
    close!(metric::top_k_accuracy(&logits, &y, 3).unwrap(), 1.0);
    assert_eq!(metric::predictions(&logits).unwrap(), [1, 0, 0]);
    let nan = Tensor::from_slice(&[f32::NAN, 0.0], [1, 2]).unwrap();
    close!(metric::accuracy(&nan, &classes(&[0])).unwrap(), 0.0);
    close!(metric::accuracy(&nan, &classes(&[1])).unwrap(), 0.0);
    for bad in [classes(&[0, 1]), classes(&[0, 1, 3])] {
        assert!(metric::accuracy(&logits, &bad).is_err());
    }
    assert!(metric::accuracy(&Tensor::zeros([0, 3]), &classes(&[])).is_err());
}

#[test]
fn confusion() {
    let truth = [0, 0, 0, 1, 1, 2];
    let c = Confusion::new(&[0, 0, 1, 1, 0, 0], &truth, 3).unwrap();
    close!(c.accuracy(), 0.5);
    close!(c.balanced_accuracy(), (2.0 / 3.0 + 0.5 + 0.0) / 3.0);
    close!(c.precision(0), 0.5);
    assert_eq!(c.precision(2), 0.0);
    let f1 = [4.0 / 7.0, 0.5, 0.0];
    close!(c.f1(Average::Macro), f1.iter().sum::<f64>() / 3.0);
    close!(c.f1(Average::Weighted), (3.0 * f1[0] + 2.0 * f1[1]) / 6.0);
    close!(c.f1(Average::Micro), 0.5);
    assert!(Confusion::new(&[3], &[0], 3).is_err() && Confusion::new(&[], &[], 3).is_err());
}

#[test]
fn ranking() {
    // The example of scikit-learn's roc_auc_score and average_precision_score.
    let (scores, positive) = ([0.1, 0.4, 0.35, 0.8], [false, false, true, true]);
    close!(metric::auroc(&scores, &positive).unwrap(), 0.75);
    close!(metric::average_precision(&scores, &positive).unwrap(), 5.0 / 6.0);
    let all_equal = [0.5; 4];
    close!(metric::auroc(&all_equal, &positive).unwrap(), 0.5);
    close!(metric::average_precision(&all_equal, &positive).unwrap(), 0.5);
    assert!(metric::auroc(&scores, &[true; 4]).unwrap_err().to_string().contains("all positive"));
    assert!(metric::auroc(&[f64::NAN, 0.0], &[true, false]).is_err());
    let p = Tensor::from_slice(&[0.8, 0.2, 0.3, 0.7, 0.6, 0.4], [3, 2]).unwrap();
    close!(metric::auroc_one_vs_rest(&p, &classes(&[0, 1, 0])).unwrap(), 1.0);
}

#[test]
fn calibration() {
    let p = Tensor::from_slice(&[0.95, 0.05, 0.95, 0.05, 0.4, 0.6], [3, 2]).unwrap();
    let ece = metric::expected_calibration_error(&p, &classes(&[0, 1, 1]), 10).unwrap();
    close!(ece, (0.9 + 0.4) / 3.0, epsilon = 1e-6);
    let logits = Tensor::from_slice(&[3.0, 1.0], [1, 2]).unwrap();
    let error = metric::expected_calibration_error(&logits, &classes(&[0]), 10).unwrap_err();
    assert!(error.to_string().contains("softmax"), "{error}");
}

#[test]
fn regression() {
    let (p, t) = ([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0]);
    close!(metric::mean_squared_error(&p, &t).unwrap(), 0.375);
    close!(metric::mean_absolute_error(&p, &t).unwrap(), 0.5);
    close!(metric::r2(&p, &t).unwrap(), 0.948_608_137_044_967_9);
    assert!(metric::r2(&p, &[1.0; 4]).is_err());
}

#[test]
fn clusters() {
    let points = Tensor::from_slice(&[0.0, 1.0, 10.0, 12.0], [4, 1]).unwrap();
    let by_hand =
        [(11.0 - 1.0) / 11.0, (10.0 - 1.0) / 10.0, (9.5 - 2.0) / 9.5, (11.5 - 2.0) / 11.5];
    let expected = by_hand.iter().sum::<f64>() / 4.0;
    close!(metric::silhouette(&points, &[7, 7, 3, 3]).unwrap(), expected);
    assert!(metric::silhouette(&points, &[1; 4]).is_err());
}

#[test]
fn means_and_tests() {
    let s = Summary::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    close!(s.std, 1.290_994_448_735_805_6);
    // Student's t, 0.975, 3 degrees of freedom: 3.182446305284263
    close!(s.ci95, 3.182_446_305_284_263 * s.std / 2.0, epsilon = 1e-9);
    assert!(Summary::of(&[1.0]).unwrap().ci95.is_infinite());
    assert!(Summary::of(&[]).is_err() && Summary::of(&[f64::NAN]).is_err());

    let a = [1.0, 1.0, 1.0, 1.0];
    let c = metric::paired_t_test(&a, &[1.0, 2.0, 3.0, 4.0]).unwrap();
    close!(c.difference, 1.5);
    // t = 1.5 / (1.29099 / 2) = 2.3238 with 3 degrees of freedom
    close!(c.p, 0.102_78, epsilon = 1e-4);
    close!(metric::paired_t_test(&a, &a).unwrap().p, 1.0);

    // 2 (1 + 8) / 2⁸ = 0.0703125
    let a: Vec<bool> = (0..20).map(|i| i < 7).collect();
    let b: Vec<bool> = (0..20).map(|i| i == 10).collect();
    close!(metric::mcnemar(&a, &b).unwrap(), 0.070_312_5, epsilon = 1e-9);
    close!(metric::mcnemar(&a, &a).unwrap(), 1.0);

    let ones = vec![1.0; 50];
    let c = metric::paired_bootstrap(&vec![0.0; 50], &ones, 200, 1).unwrap();
    assert_eq!((c.difference, c.p, c.interval.low), (1.0, 0.0, 1.0));
    assert_eq!(metric::paired_bootstrap(&ones, &ones, 200, 1).unwrap().p, 1.0);
}
