//! The toy conflict of Liu et al. (2021), on which plain descent gets stuck.

use tl_multitask::{GradientBalancer, GradientState, Gram, gradient_weights};
use tl_tensor::{Tensor, grad};

type Numbers = Tensor<f64>;

/// The two losses at a point.
fn losses(x: &Numbers) -> tl_tensor::Result<[Numbers; 2]> {
    let (a, b) = (x.select(0, 0)?, x.select(0, 1)?);
    let tanh = b.neg().tanh();
    let first = a.neg().add_scalar(-7.0).mul_scalar(0.5).sub(&tanh)?;
    let second = a.neg().add_scalar(3.0).mul_scalar(0.5).add(&tanh)?.add_scalar(2.0);
    let log = |y: Numbers| y.abs().maximum(&Tensor::scalar(5e-6)).map(|y| y.log().add_scalar(6.0));
    let bowl = |centre: f64| {
        let square = a.add_scalar(centre).square();
        let far = b.add_scalar(8.0).square().mul_scalar(0.1);
        square.add(&far).map(|s| s.mul_scalar(0.1).add_scalar(-20.0))
    };
    let up = b.mul_scalar(0.5).tanh().relu();
    let down = b.mul_scalar(-0.5).tanh().relu();
    let loss = |a: Numbers, q: Numbers| a.mul(&up)?.add(&q.mul(&down)?);
    Ok([loss(log(first)?, bowl(-7.0)?)?, loss(log(second)?, bowl(7.0)?)?])
}

fn end(balancer: GradientBalancer, start: [f64; 2], steps: usize, lr: f64) -> [f64; 2] {
    let mut at = start;
    let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
    let mut state = GradientState::default();
    for step in 1..=steps {
        let x = Tensor::from_slice(&at, 2).unwrap().requires_grad();
        let rows: Vec<Vec<f64>> = losses(&x)
            .unwrap()
            .iter()
            .map(|l| grad(l, &[&x], tl_tensor::GradOptions::new()).unwrap()[0].to_vec())
            .collect();
        let gram = Gram::from_rows(&rows).unwrap();
        let w = gradient_weights(balancer, &gram, &[0, 1], 2, &mut state, step as u64).unwrap();
        for (k, x) in at.iter_mut().enumerate() {
            let g = w[0] * rows[0][k] + w[1] * rows[1][k];
            m[k] = 0.9 * m[k] + 0.1 * g;
            v[k] = 0.999 * v[k] + 0.001 * g * g;
            let (m, v) = (
                m[k] / (1.0 - 0.9_f64.powi(step as i32)),
                v[k] / (1.0 - 0.999_f64.powi(step as i32)),
            );
            *x -= lr * m / (v.sqrt() + 1e-8);
        }
    }
    at
}

#[test]
fn the_losses_are_those_of_the_authors() {
    let at = |x: f64, y: f64| {
        let x = Tensor::from_slice(&[x, y], 2).unwrap();
        losses(&x).unwrap().map(|l| l.item().unwrap())
    };
    for (got, want) in at(0.0, -8.3552).iter().zip([-15.0916, -15.0916]) {
        assert!((got - want).abs() < 1e-3, "{got}");
    }
    for (got, want) in at(7.0, -8.3552).iter().zip([-19.9893, -0.3986]) {
        assert!((got - want).abs() < 1e-3, "{got}");
    }
}

#[test]
fn balancers_reach_the_pareto_set_and_the_mean_does_not() {
    let on_set = |[x, y]: [f64; 2]| (-7.05..7.05).contains(&x) && (y + 8.3552).abs() < 0.1;
    for balancer in [GradientBalancer::UpGrad, GradientBalancer::CaGrad { c: 0.5 }] {
        for start in [[-8.5, 7.5], [-8.5, -5.0], [9.0, 9.0]] {
            let end = end(balancer, start, 20_000, 1e-2);
            assert!(on_set(end), "{} from {start:?}: {end:?}", balancer.name());
        }
    }
    let stuck = [[-8.5, 7.5], [9.0, 9.0]]
        .into_iter()
        .map(|start| end(GradientBalancer::Mean, start, 30_000, 1e-3))
        .filter(|end| !on_set(*end));
    assert!(stuck.count() >= 1);
}
