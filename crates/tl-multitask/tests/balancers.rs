//! Balancers against the oracle values of the field, optimality conditions and
//! each other.

use proptest::prelude::*;
use tl_multitask::{
    GradNorm, GradientBalancer, GradientState, Gram, Kind, LossBalancer, LossState,
    gradient_weights, imtl_l, lower_bounded_qp, min_norm, power_balance, uncertainty,
};
use tl_nn::Tensor;

fn weights(balancer: GradientBalancer, gram: &Gram) -> Vec<f64> {
    let all: Vec<usize> = (0..gram.tasks()).collect();
    let state = &mut GradientState::default();
    gradient_weights(balancer, gram, &all, all.len(), state, 3).unwrap()
}

/// The combined gradient of rows.
fn direction(balancer: GradientBalancer, rows: &[Vec<f64>]) -> Vec<f64> {
    let w = weights(balancer, &Gram::from_rows(rows).unwrap());
    (0..rows[0].len()).map(|k| rows.iter().zip(&w).map(|(r, w)| r[k] * w).sum()).collect()
}

#[test]
fn the_oracle_values_of_torchjd() {
    let rows = [vec![-4.0, 1.0, 1.0], vec![6.0, 1.0, 1.0]];
    let table: [(GradientBalancer, [f64; 3]); 8] = [
        (GradientBalancer::Mean, [1.0, 1.0, 1.0]),
        (GradientBalancer::Mgda, [0.0, 1.0, 1.0]),
        (GradientBalancer::PcGrad, [0.5848, 3.8012, 3.8012]),
        (GradientBalancer::UpGrad, [0.2929, 1.9004, 1.9004]),
        (GradientBalancer::CaGrad { c: 0.5 }, [0.1835, 1.2041, 1.2041]),
        (GradientBalancer::ImtlG, [0.0767, 1.0, 1.0]),
        (GradientBalancer::Aligned, [0.2133, 0.9673, 0.9673]),
        (GradientBalancer::Nash, [0.0542, 0.7061, 0.7061]),
    ];
    for (balancer, want) in table {
        let mut got = direction(balancer, &rows);
        if balancer == GradientBalancer::Nash {
            // The oracle's is clipped to norm 1.
            let norm = got.iter().map(|x| x * x).sum::<f64>().sqrt();
            got.iter_mut().for_each(|x| *x /= norm);
        }
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-4, "{}: {got}, not {want}", balancer.name());
        }
    }
    // Fairness 1 is Nash; without a conflict PCGrad is the sum.
    let gram = Gram::from_rows(&rows).unwrap();
    let (fair, nash) = (
        weights(GradientBalancer::FairGrad { a: 1.0 }, &gram),
        weights(GradientBalancer::Nash, &gram),
    );
    assert_eq!(fair, nash);
    let agreeing = Gram::from_rows(&[vec![1.0, 0.0], vec![1.0, 1.0]]).unwrap();
    assert_eq!(weights(GradientBalancer::PcGrad, &agreeing), [1.0, 1.0]);
    assert_eq!(weights(GradientBalancer::Sum, &agreeing), [1.0, 1.0]);
}

#[test]
fn nash_of_many_tasks_solves_its_equation() {
    let rows: Vec<Vec<f64>> =
        (0..6).map(|i| (0..9).map(|k| ((i * 9 + k) as f64 * 1.7).sin() + 0.1).collect()).collect();
    let gram = Gram::from_rows(&rows).unwrap();
    for p in [0.5, 1.0, 2.0] {
        let a = power_balance(&gram, p).unwrap();
        for (ga, a) in gram.times(&a).iter().zip(&a) {
            approx::assert_relative_eq!(*ga, a.powf(-p), max_relative = 1e-5);
        }
    }
    assert!(power_balance(&gram, 0.0).is_err());
    let zero = Gram::from_rows(&[vec![0.0, 0.0], vec![1.0, 0.0]]).unwrap();
    let error = power_balance(&zero, 1.0).unwrap_err().to_string();
    assert!(error.contains("task 0"), "{error}");
}

#[test]
fn a_vaccine_turns_gradients_to_their_goal() {
    let gram = Gram::from_rows(&[vec![1.0, 0.0], vec![0.6, 0.8]]).unwrap();
    // The goal 0.9 is above the cosine 0.6: each is turned until it is met.
    let mut state = GradientState { cosines: vec![0.0, 0.9, 0.9, 0.0] };
    let vaccine = GradientBalancer::GradVac { beta: 0.5 };
    let w = gradient_weights(vaccine, &gram, &[0, 1], 2, &mut state, 0).unwrap();
    // v = g_0 + a g_1 with cos(v, g_1) = 0.9, and the same for the other.
    let a = w[1] - 1.0;
    let v = [1.0, a];
    let cosine = gram.times(&v)[1] / gram.form(&v, &v).sqrt();
    approx::assert_relative_eq!(cosine, 0.9, max_relative = 1e-9);
    approx::assert_relative_eq!(state.cosines[1], 0.75, max_relative = 1e-12);
    // A task that is missing keeps what is remembered of it.
    let one = Gram::from_rows(&[vec![1.0]]).unwrap();
    let before = state.clone();
    gradient_weights(vaccine, &one, &[1], 2, &mut state, 0).unwrap();
    assert_eq!(state, before);
}

fn gradients() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (2_usize..7, 2_usize..9).prop_flat_map(|(tasks, width)| {
        prop::collection::vec(prop::collection::vec(-3.0..3.0_f64, width), tasks)
    })
}

proptest! {
    #[test]
    fn the_least_norm_meets_its_conditions(rows in gradients()) {
        let gram = Gram::from_rows(&rows).unwrap();
        let alpha = min_norm(&gram).unwrap();
        let scale = (0..gram.tasks()).map(|i| gram.get(i, i)).fold(1e-9, f64::max);
        prop_assert!((alpha.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(alpha.iter().all(|a| *a >= 0.0));
        // (Gα)_i is at least αᵀGα, with equality where α_i > 0.
        let (slope, now) = (gram.times(&alpha), gram.form(&alpha, &alpha));
        for (s, a) in slope.iter().zip(&alpha) {
            prop_assert!(*s >= now - 1e-6 * scale);
            prop_assert!(*a < 1e-7 || *s <= now + 1e-6 * scale / a.max(1e-3));
        }
    }

    #[test]
    fn projections_meet_their_conditions(rows in gradients()) {
        let gram = Gram::from_rows(&rows).unwrap();
        let t = gram.tasks();
        let mut lower = vec![0.0; t];
        lower[0] = 1.0;
        let v = lower_bounded_qp(&gram, &lower, 1e-3).unwrap();
        let trace: f64 = (0..t).map(|i| gram.get(i, i)).sum();
        let slope = gram.times(&v);
        for i in 0..t {
            let s = slope[i] / trace + 1e-3 * v[i];
            prop_assert!(v[i] >= lower[i]);
            prop_assert!(s >= -1e-9);
            prop_assert!(v[i] - lower[i] < 1e-9 || s.abs() < 1e-8);
        }
    }

    #[test]
    fn two_tasks_make_upgrad_half_of_pcgrad(a in -3.0..3.0_f64, b in -3.0..3.0_f64, c in 0.5..3.0_f64) {
        let gram = Gram::from_rows(&[vec![a, 1.0], vec![b, c]]).unwrap();
        let up = weights(GradientBalancer::UpGrad, &gram);
        let pc = weights(GradientBalancer::PcGrad, &gram);
        for (u, p) in up.iter().zip(&pc) {
            // Up to the regularisation of 1e-4.
            prop_assert!((u - p / 2.0).abs() < 2e-2 * p.abs().max(1.0), "{up:?} {pc:?}");
        }
    }

    #[test]
    fn upgrad_and_strong_cagrad_harm_no_task(rows in gradients()) {
        let gram = Gram::from_rows(&rows).unwrap();
        let scale = (0..gram.tasks()).map(|i| gram.get(i, i)).fold(1e-9, f64::max);
        // Where the hull all but touches 0, no direction helps every task.
        let least = min_norm(&gram).unwrap();
        prop_assume!(gram.form(&least, &least) > 0.02 * scale);
        for balancer in [GradientBalancer::UpGrad, GradientBalancer::CaGrad { c: 1.0 }] {
            for along in gram.times(&weights(balancer, &gram)) {
                prop_assert!(along > -2e-2 * scale, "{}: {along}", balancer.name());
            }
        }
    }
}

fn losses(values: &[f32]) -> Vec<Option<Tensor>> {
    values.iter().map(|v| (!v.is_nan()).then(|| Tensor::scalar(*v).requires_grad())).collect()
}

fn combine(state: &mut LossState, balancer: &LossBalancer, values: &[f32]) -> (f32, Vec<f32>) {
    let (total, weights) = state.combine(balancer, &losses(values), 5).unwrap();
    (total.item().unwrap(), weights)
}

#[test]
fn losses_are_combined_as_in_the_papers() {
    let gls = combine(&mut LossState::new(2), &LossBalancer::Gls, &[2.0, 8.0]);
    approx::assert_relative_eq!(gls.0, 4.0, max_relative = 1e-6);
    approx::assert_relative_eq!(gls.1[0], 4.0 / (2.0 * 2.0), max_relative = 1e-6);
    let mut state = LossState::new(2);
    let dwa = LossBalancer::Dwa { temperature: 2.0 };
    for (epoch, values) in [[4.0, 4.0], [2.0, 4.0], [1.0, 1.0]].iter().enumerate() {
        let (_, w) = combine(&mut state, &dwa, values);
        if epoch < 2 {
            assert_eq!(w, [1.0, 1.0]);
        } else {
            // r = (0.5, 1), over a temperature of 2.
            let e = [0.25_f32.exp(), 0.5_f32.exp()];
            approx::assert_relative_eq!(w[0], 2.0 * e[0] / (e[0] + e[1]), max_relative = 1e-6);
        }
        state.end_epoch();
    }
    let (_, w) = combine(&mut LossState::new(3), &LossBalancer::Rlw, &[1.0, 1.0, 1.0]);
    approx::assert_relative_eq!(w.iter().sum::<f32>(), 3.0, max_relative = 1e-5);
    assert!(w[0] != w[1]);
    let stch = LossBalancer::Stch { mu: 0.5, warm_up: 1 };
    let mut state = LossState::new(2);
    assert_eq!(combine(&mut state, &stch, &[2.0, 3.0]).1, [1.0, 1.0]);
    state.end_epoch();
    let (total, _) = combine(&mut state, &stch, &[1.0, 3.0]);
    let want = 2.0 * 0.5 * ((2.0 * 0.5_f32.ln()).exp() + 1.0).ln();
    approx::assert_relative_eq!(total, want, max_relative = 1e-5);
    // FAMO: the task whose logarithm fell less gains weight.
    let famo = LossBalancer::Famo { lr: 1.0, decay: 0.0 };
    let mut state = LossState::new(2);
    combine(&mut state, &famo, &[1.0, 1.0]);
    combine(&mut state, &famo, &[0.5, 1.0]);
    assert!(state.logits[1] > state.logits[0]);
}

#[test]
fn learned_scales_have_the_form_of_their_likelihood() {
    let s = Tensor::from_slice(&[0.5, -0.5, 1.0], 3).unwrap().requires_grad();
    let kinds = [Kind::Regression, Kind::Classification, Kind::Absolute];
    let (total, w) = uncertainty(&losses(&[3.0, 2.0, 5.0]), &s, &kinds).unwrap();
    let e = |x: f32| x.exp();
    let want = 0.5 * e(-0.5) * 3.0 + 0.25 + e(0.5) * 2.0 - 0.25 + e(-1.0) * 5.0 + 1.0;
    approx::assert_relative_eq!(total.item().unwrap(), want, max_relative = 1e-6);
    approx::assert_relative_eq!(w[1], e(0.5), max_relative = 1e-6);
    // Each is least where the scale is that of the errors: σ² = L, 2L, and b = L.
    let best = Tensor::from_slice(&[3.0_f32.ln(), 4.0_f32.ln(), 5.0_f32.ln()], 3).unwrap();
    let best = best.requires_grad();
    let (total, _) = uncertainty(&losses(&[3.0, 2.0, 5.0]), &best, &kinds).unwrap();
    for slope in total.backward().unwrap().get(&best).unwrap().to_vec() {
        assert!(slope.abs() < 1e-6, "{slope}");
    }
    let (total, w) = imtl_l(&losses(&[3.0, f32::NAN, 5.0]), &s).unwrap();
    let want = e(0.5) * 3.0 - 0.5 + e(1.0) * 5.0 - 1.0;
    approx::assert_relative_eq!(total.item().unwrap(), want, max_relative = 1e-6);
    assert_eq!(w, [e(0.5), e(1.0)]);
    assert!(uncertainty(&losses(&[1.0]), &s, &kinds).is_err());
    assert!(imtl_l(&losses(&[1.0]), &s).is_err());
}

#[test]
fn gradnorm_takes_the_step_of_the_paper() {
    // G = (2, 1), mean 1.5; rates (1, 1): the first goes down, the second up.
    // Adam's first step is lr in size.
    let mut state = GradNorm::new(2);
    state.update(&[0, 1], &[2.0, 1.0], &[4.0, 3.0], 1.5, 0.1).unwrap();
    approx::assert_relative_eq!(state.weights[0], 0.9, max_relative = 1e-6);
    approx::assert_relative_eq!(state.weights[1], 1.1, max_relative = 1e-6);
    assert_eq!(state.initial, [4.0, 3.0]);
    // The first trained, the second did not: r = (0.5, 1) / 0.75, and even with
    // equal norms the slow one is to get more.
    let mut state = GradNorm::new(2);
    state.initial = vec![2.0, 2.0];
    state.update(&[0, 1], &[1.0, 1.0], &[1.0, 2.0], 1.0, 0.1).unwrap();
    assert!(state.weights[1] > 1.0 && state.weights[0] < 1.0);
    // A task that is missing keeps all.
    let mut state = GradNorm::new(3);
    state.update(&[0, 2], &[2.0, 1.0], &[1.0, 1.0], 1.5, 0.1).unwrap();
    assert!(state.weights[1] == 1.0 && state.initial[1].is_nan());
    assert!(state.update(&[0], &[1.0], &[-1.0], 1.5, 0.1).is_err());
    assert!(state.update(&[0], &[1.0, 2.0], &[1.0], 1.5, 0.1).is_err());
    let before = state.clone();
    assert!(state.update(&[0, 1], &[f64::NAN, 2.0], &[1.0, 1.0], 1.5, 0.1).is_err());
    assert!(state.weights == before.weights);
}

/// Weights of 128 tasks, with as many numbers as gradients have in a small and in
/// a usual trunk.
#[test]
fn many_tasks_are_weighed_exactly() {
    for width in [60, 1000] {
        let row = |i: usize| -> Vec<f64> {
            let number = |k: usize| {
                let mixed = ((i * 7919 + k * 104_729) % 1_000_003) as f64;
                (mixed * 12.9898).sin() + (mixed * 78.233).cos() + 0.05
            };
            (0..width).map(number).collect()
        };
        let rows: Vec<_> = (0..128).map(row).collect();
        let gram = Gram::from_rows(&rows).unwrap();
        let trace: f64 = (0..128).map(|i| gram.get(i, i)).sum();
        for i in [0, 77] {
            let mut lower = vec![0.0; 128];
            lower[i] = 1.0 / 128.0;
            let v = lower_bounded_qp(&gram, &lower, 1e-4).unwrap();
            for (k, slope) in gram.times(&v).iter().enumerate() {
                let s = slope / trace + 1e-4 * v[k];
                assert!(s >= -1e-10 && v[k] >= lower[k], "{s}");
                assert!(v[k] == lower[k] || s.abs() < 1e-10, "{s}");
            }
        }
    }
}

#[test]
fn a_missing_task_is_as_if_it_did_not_exist() {
    let all = [
        LossBalancer::Fixed(Vec::new()),
        LossBalancer::Gls,
        LossBalancer::Stch { mu: 0.5, warm_up: 1 },
        LossBalancer::Famo { lr: 0.1, decay: 0.01 },
    ];
    for balancer in &all {
        let (mut with, mut without) = (LossState::new(3), LossState::new(2));
        for (a, b) in [(1.0, 2.0), (0.5, 1.5), (0.75, 1.0)] {
            let three = combine(&mut with, balancer, &[a, f32::NAN, b]);
            let two = combine(&mut without, balancer, &[a, b]);
            assert_eq!(three.0.to_bits(), two.0.to_bits(), "{}", balancer.name());
            assert_eq!(three.1, two.1);
            with.end_epoch();
            without.end_epoch();
        }
        assert_eq!([with.logits[0], with.logits[2]], without.logits[..]);
        assert!(with.last[1].is_nan());
    }
    let mut state = LossState::new(2);
    assert!(state.combine(&all[0], &losses(&[f32::NAN, f32::NAN]), 0).is_err());
    let error = state.combine(&LossBalancer::Gls, &losses(&[-1.0, 1.0]), 0).unwrap_err();
    assert!(error.to_string().contains("from 0"));
    // A batch that is fitted perfectly is no error.
    let stch = LossBalancer::Stch { mu: 0.5, warm_up: 1 };
    for balancer in [LossBalancer::Gls, LossBalancer::Famo { lr: 0.025, decay: 0.001 }, stch] {
        let (total, _) = combine(&mut LossState::new(2), &balancer, &[0.0, 1.0]);
        assert!(total.is_finite(), "{}", balancer.name());
    }
    assert!(state.combine(&LossBalancer::Fixed(vec![1.0]), &losses(&[1.0, 1.0]), 0).is_err());
}

#[derive(serde::Deserialize)]
struct Case {
    jacobian: Vec<Vec<f64>>,
    results: std::collections::BTreeMap<String, Vec<f64>>,
}

/// What TorchJD gives (`tools/fixtures/multi_task.py`).
#[test]
fn other_jacobians_agree_with_torchjd() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/torchjd.json")).unwrap();
    let balancers = [
        GradientBalancer::Mgda,
        GradientBalancer::UpGrad,
        GradientBalancer::ImtlG,
        GradientBalancer::Aligned,
        GradientBalancer::FairGrad { a: 2.0 },
    ];
    for case in cases {
        for balancer in balancers {
            let (got, want) = (direction(balancer, &case.jacobian), &case.results[balancer.name()]);
            let norm = want.iter().map(|x| x * x).sum::<f64>().sqrt();
            for (got, want) in got.iter().zip(want) {
                let off = (got - want).abs();
                assert!(off < 2e-3 * norm, "{}: {got}, not {want}", balancer.name());
            }
        }
    }
}
