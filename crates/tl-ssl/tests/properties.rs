//! What must hold of every loss, whatever the numbers.

use proptest::prelude::*;
use tl_ssl::*;
use tl_tensor::{Indices, Tensor};

type Loss = fn(&Tensor<f64>, &Tensor<f64>) -> Result<Tensor<f64>>;

const BOTH: VicReg = VicReg {
    invariance: 25.0,
    variance: 25.0,
    covariance: 1.0,
    convention: VicRegConvention::Summed,
};

/// Losses of two views that do not mind which is which.
fn symmetric() -> Vec<(&'static str, Loss)> {
    vec![
        ("nt_xent", |a, b| nt_xent(a, b, 0.3)),
        ("nt_xent_views", |a, b| nt_xent_views(&[a.clone(), b.clone(), a.add(b)?], 0.3)),
        ("vicreg", |a, b| vicreg(a, b, &BOTH)),
        ("barlow", |a, b| barlow_twins(a, b, 0.01)),
        ("swav", |a, b| swav(a, b, 0.1, 0.05)),
    ]
}

/// All losses of two views.
fn all() -> Vec<(&'static str, Loss)> {
    let mut all = symmetric();
    all.push(("simcse", |a, b| simcse(a, b, 0.2)));
    all.push(("negative_cosine", negative_cosine));
    all.push(("dino", |a, b| dino(a, b, &Tensor::zeros([1, 4]), 0.1, 0.04)));
    all.push(("info_nce", |a, b| info_nce(a, b, &a.add(b)?, 0.2)));
    all
}

const N: usize = 7;

fn matrix() -> impl Strategy<Value = Tensor<f64>> {
    prop::collection::vec(-2.0..2.0_f64, N * 4)
        .prop_filter("rows have a direction", |x| {
            x.chunks(4).all(|row| row.iter().map(|x| x * x).sum::<f64>() > 0.01)
        })
        .prop_map(|x| Tensor::from_vec(x, [N, 4]).unwrap())
}

fn order() -> impl Strategy<Value = Indices> {
    Just((0..N).collect::<Vec<_>>()).prop_shuffle().prop_map(Indices::from)
}

fn same(name: &str, a: &Tensor<f64>, b: &Tensor<f64>) -> std::result::Result<(), TestCaseError> {
    let (a, b) = (a.item().unwrap(), b.item().unwrap());
    prop_assert!((a - b).abs() < 1e-7 * a.abs().max(1.0), "{}: {} and {}", name, a, b);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_samples_says_nothing(a in matrix(), b in matrix(), order in order()) {
        for (name, loss) in all() {
            let mix = |x: &Tensor<f64>| x.index_select(0, &order).unwrap();
            same(name, &loss(&a, &b).unwrap(), &loss(&mix(&a), &mix(&b)).unwrap())?;
        }
        let labels: Vec<usize> = (0..N).map(|i| i % 3).collect();
        let mixed: Vec<usize> = order.as_slice().iter().map(|i| labels[*i]).collect();
        let z = a.index_select(0, &order).unwrap();
        same("sup_con", &sup_con(&a, &labels, 0.2).unwrap(), &sup_con(&z, &mixed, 0.2).unwrap())?;
    }

    #[test]
    fn views_can_change_places(a in matrix(), b in matrix()) {
        for (name, loss) in symmetric() {
            same(name, &loss(&a, &b).unwrap(), &loss(&b, &a).unwrap())?;
        }
    }

    #[test]
    fn lengths_say_nothing_where_directions_are_compared(
        a in matrix(), b in matrix(), by in 0.1..10.0_f64
    ) {
        for (name, loss) in all() {
            if ["vicreg", "swav", "dino", "nt_xent_views", "info_nce"].contains(&name) {
                continue; // of scores or of lengths; or of a sum
            }
            // The small constant in Barlow's deviation is all that tells.
            let (one, other) = (loss(&a, &b).unwrap(), loss(&a.mul_scalar(by), &b).unwrap());
            if name == "barlow" {
                let (one, other) = (one.item().unwrap(), other.item().unwrap());
                prop_assert!((one - other).abs() < 0.02 * one.abs().max(1.0), "{one} {other}");
            } else {
                same(name, &one, &other)?;
            }
        }
    }

    #[test]
    fn losses_are_finite_and_above_their_least(a in matrix(), b in matrix()) {
        for (name, loss) in all() {
            let value = loss(&a, &b).unwrap().item().unwrap();
            prop_assert!(value.is_finite() && value > -1e-9, "{name}: {value}");
        }
        let same = negative_cosine(&a, &a).unwrap().item().unwrap();
        prop_assert!(same.abs() < 1e-9);
    }

    #[test]
    fn assignments_are_distributions(scores in matrix(), steps in 1..20_usize) {
        let q = sinkhorn_assign(&scores.mul_scalar(0.1), 0.05, steps).unwrap();
        prop_assert!(q.sum(1, false).unwrap().to_vec().iter().all(|s| (s - 1.0).abs() < 1e-9));
        prop_assert!(q.to_vec().iter().all(|p| *p >= 0.0));
    }

    #[test]
    fn decays_rise_from_their_start_to_one(start in 0.0..1.0_f64, a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(byol_decay(start, low) <= byol_decay(start, high) + 1e-12);
        prop_assert!((byol_decay(start, 0.0) - start).abs() < 1e-12);
        prop_assert_eq!(byol_decay(start, 1.0), 1.0);
    }
}
