//! ESZSL and SAE beside NumPy and SciPy (`tools/fixtures/zero_shot.py`).

use serde::Deserialize;
use tl_nn::Tensor;
use tl_zeroshot::{eszsl_map, sae_encoder};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    x: Vec<Vec<f64>>,
    labels: Vec<usize>,
    signatures: Vec<Vec<f64>>,
    gamma: f64,
    lambda: f64,
    eszsl: Vec<Vec<f64>>,
    sae_lambda: f64,
    sae: Vec<Vec<f64>>,
}

fn cases() -> Vec<Case> {
    let file: File = serde_json::from_str(include_str!("fixtures/closed_forms.json")).unwrap();
    assert_eq!(file.cases.len(), 4);
    file.cases
}

fn matrix(rows: &[Vec<f64>]) -> Tensor<f64> {
    Tensor::from_vec(rows.concat(), [rows.len(), rows[0].len()]).unwrap()
}

/// Up to `1e-8` of the largest number.
fn same(got: &Tensor<f64>, want: &[Vec<f64>]) {
    let want = matrix(want);
    assert_eq!(got.dims(), want.dims());
    let size = want.to_vec().iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    assert!(size > 1e-3);
    for (got, want) in got.to_vec().iter().zip(want.to_vec()) {
        approx::assert_abs_diff_eq!(*got, want, epsilon = 1e-8 * size);
    }
}

#[test]
fn eszsl_is_numpys() {
    for case in cases() {
        let (x, s) = (matrix(&case.x), matrix(&case.signatures));
        let map = eszsl_map(&x, &case.labels, &s, case.gamma, case.lambda).unwrap();
        same(&map, &case.eszsl);
    }
}

#[test]
fn sae_is_scipys() {
    for case in cases() {
        let (x, s) = (matrix(&case.x), matrix(&case.signatures));
        let targets = s.index_select(0, &case.labels[..].into()).unwrap();
        same(&sae_encoder(&x, &targets, case.sae_lambda).unwrap(), &case.sae);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (x, s) = (Tensor::<f64>::ones([4, 3]), Tensor::<f64>::ones([2, 2]));
    let labels = [0, 1, 0, 1];
    assert!(eszsl_map(&x, &labels, &s, 1.0, 1.0).is_ok());
    let say =
        |labels: &[usize], gamma| eszsl_map(&x, labels, &s, gamma, 1.0).unwrap_err().to_string();
    assert!(say(&labels, 0.0).contains("gamma"));
    assert!(say(&labels[..3], 1.0).contains("3 labels for samples [4, 3]"));
    assert!(say(&[0, 1, 2, 1], 1.0).contains("one below 2"));
    assert!(sae_encoder(&x, &s, 1.0).is_err()); // 4 samples, 2 signatures
    assert!(sae_encoder(&x, &Tensor::ones([4, 2]), f64::NAN).is_err());
}
