//! Losses against formulas written out, and their gradients against finite
//! differences.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_dann::{
    Kernels, MmdForm, central_moments, class_confusion, coral, domain_loss, entropy,
    entropy_weights, feature_norm, information_maximisation, joint_cost, joint_mmd,
    mcd_discrepancy, mdd_loss, mmd, multilinear, pseudo_label_loss, reversal_strength, reverse,
    sinkhorn, spectral_penalty, transport_cost,
};
use tl_tensor::{GradCheck, Shape, Tensor, gradcheck};

fn random(seed: u64, dims: &[usize]) -> Tensor<f64> {
    Tensor::randn(Shape::new(dims).unwrap(), &mut ChaCha8Rng::seed_from_u64(seed))
}

fn item(x: Tensor<f64>) -> f64 {
    x.item().unwrap()
}

fn close(a: f64, b: f64) {
    approx::assert_relative_eq!(a, b, max_relative = 1e-9, epsilon = 1e-12);
}

fn rows(x: &Tensor<f64>) -> Vec<Vec<f64>> {
    x.to_vec().chunks(x.dims()[1]).map(<[f64]>::to_vec).collect()
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The mean kernel over pairs, by loops.
fn mean_kernel(a: &[Vec<f64>], b: &[Vec<f64>], bands: &[f64], skip_equal: bool) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            if skip_equal && i == j {
                continue;
            }
            sum += bands.iter().map(|band| (-squared(a, b) / band).exp()).sum::<f64>();
            count += 1.0;
        }
    }
    sum / count
}

#[test]
fn discrepancies_are_those_of_loops() {
    let (s, t) = (random(1, &[6, 3]), random(2, &[5, 3]).add_scalar(0.5));
    let (a, b) = (rows(&s), rows(&t));
    let bands = [1.5, 4.0];
    let kernels = Kernels::Fixed(bands.to_vec());
    for (form, skip) in [(MmdForm::Biased, false), (MmdForm::Unbiased, true)] {
        let want = mean_kernel(&a, &a, &bands, skip) + mean_kernel(&b, &b, &bands, skip)
            - 2.0 * mean_kernel(&a, &b, &bands, false);
        close(item(mmd(&s, &t, &kernels, form).unwrap()), want);
    }
    // Linear: neighbours in pairs, (0, 1) and (2, 3).
    let k = |x: &[f64], y: &[f64]| bands.iter().map(|w| (-squared(x, y) / w).exp()).sum::<f64>();
    let want = (0..2)
        .map(|i| {
            let (x, x2, y, y2) = (&a[2 * i], &a[2 * i + 1], &b[2 * i], &b[2 * i + 1]);
            (k(x, x2) + k(y, y2) - k(x, y2) - k(x2, y)) / 2.0
        })
        .sum::<f64>();
    close(item(mmd(&s, &t, &kernels, MmdForm::Linear).unwrap()), want);
    // The mean bandwidth.
    let all: Vec<Vec<f64>> = a.iter().chain(&b).cloned().collect();
    let mean: f64 = all.iter().flat_map(|x| all.iter().map(move |y| squared(x, y))).sum::<f64>()
        / (11.0 * 10.0);
    let fixed = mmd(&s, &t, &Kernels::Fixed(vec![2.0 * mean]), MmdForm::Biased).unwrap();
    close(item(mmd(&s, &t, &Kernels::Mean(vec![2.0]), MmdForm::Biased).unwrap()), item(fixed));
}

#[test]
fn joint_discrepancy_multiplies_kernels() {
    let (s, t) = (random(1, &[4, 3]), random(2, &[4, 3]));
    let (s2, t2) = (random(3, &[4, 2]), random(4, &[4, 2]));
    let kernels = [Kernels::Fixed(vec![2.0]), Kernels::Fixed(vec![3.0])];
    let got = joint_mmd(&[(&s, &t), (&s2, &t2)], &kernels, MmdForm::Biased).unwrap();
    // exp(-a/2) exp(-b/3) is one kernel on features scaled by 1/√2 and 1/√3.
    let scaled = |a: &Tensor<f64>, b: &Tensor<f64>| {
        let (a, b) = (a.mul_scalar(0.5_f64.sqrt()), b.mul_scalar((1.0_f64 / 3.0).sqrt()));
        Tensor::cat(&[&a, &b], 1).unwrap()
    };
    let one = Kernels::Fixed(vec![1.0]);
    let want = mmd(&scaled(&s, &s2), &scaled(&t, &t2), &one, MmdForm::Biased).unwrap();
    close(item(got), item(want));
    assert!(joint_mmd(&[(&s, &t)], &kernels, MmdForm::Biased).is_err());
}

#[test]
fn coral_and_moments() {
    let (s, t) = (random(1, &[7, 2]), random(2, &[5, 2]));
    let covariance = |x: &Tensor<f64>| {
        let r = rows(x);
        let n = r.len() as f64;
        let mean: Vec<f64> = (0..2).map(|j| r.iter().map(|x| x[j]).sum::<f64>() / n).collect();
        let c = |i: usize, j: usize| {
            r.iter().map(|x| (x[i] - mean[i]) * (x[j] - mean[j])).sum::<f64>() / (n - 1.0)
        };
        [c(0, 0), c(0, 1), c(1, 0), c(1, 1)]
    };
    let (a, b) = (covariance(&s), covariance(&t));
    close(item(coral(&s, &t).unwrap()), squared(&a, &b) / 16.0);

    let moment = |x: &Tensor<f64>, j: usize, k: i32| {
        let r = rows(x);
        let n = r.len() as f64;
        let mean = r.iter().map(|x| x[j]).sum::<f64>() / n;
        if k == 1 { mean } else { r.iter().map(|x| (x[j] - mean).powi(k)).sum::<f64>() / n }
    };
    let want: f64 = (1..=3)
        .map(|k| {
            let apart = (0..2).map(|j| (moment(&s, j, k) - moment(&t, j, k)).powi(2)).sum::<f64>();
            apart.sqrt() / 2.0_f64.powi(k)
        })
        .sum();
    close(item(central_moments(&s, &t, 3, 2.0).unwrap()), want);
    assert!(coral(&s, &random(3, &[4, 3])).unwrap_err().to_string().contains("[n, d] and [m, d]"));
}

#[test]
fn reversal_turns_the_gradient_and_nothing_else() {
    let x = random(1, &[4]).requires_grad();
    let y = reverse(&x, 0.3).unwrap();
    assert_eq!(y.to_vec(), x.to_vec());
    let g = y.mul(&x.detach()).unwrap().sum_all().backward().unwrap();
    for (g, x) in g.get(&x).unwrap().to_vec().iter().zip(x.to_vec()) {
        close(*g, -0.3 * x);
    }
    assert_eq!(reversal_strength(0.0), 0.0);
    close(reversal_strength(0.5), 2.0 / (1.0 + (-5.0_f64).exp()) - 1.0);
}

#[test]
fn adversarial_losses() {
    let (s, t) = (random(1, &[3, 1]), random(2, &[2, 1]));
    let ln1p = |z: f64| (1.0 + z.exp()).ln();
    let (a, b) = (s.to_vec(), t.to_vec());
    let want = (a.iter().map(|z| ln1p(-z)).sum::<f64>() / 3.0
        + b.iter().map(|z| ln1p(*z)).sum::<f64>() / 2.0)
        / 2.0;
    close(item(domain_loss(&s, &t, None).unwrap()), want);
    let (ws, wt) = (Tensor::from_slice(&[1.0, 3.0, 0.0], 3).unwrap(), Tensor::ones(2));
    let weighted = ((ln1p(-a[0]) + 3.0 * ln1p(-a[1])) / 4.0
        + b.iter().map(|z| ln1p(*z)).sum::<f64>() / 2.0)
        / 2.0;
    close(item(domain_loss(&s, &t, Some((&ws, &wt))).unwrap()), weighted);

    let (f, p) = (random(3, &[2, 3]), random(4, &[2, 2]).softmax(-1).unwrap());
    let map = rows(&multilinear(&f, &p, None).unwrap());
    let (f2, p2) = (rows(&f), rows(&p));
    for n in 0..2 {
        for c in 0..2 {
            for d in 0..3 {
                close(map[n][c * 3 + d], p2[n][c] * f2[n][d]);
            }
        }
    }
    // The randomised map has the same inner products on the average.
    let (rf, rp) = (random(5, &[3, 4000]), random(6, &[2, 4000]));
    let random_map = multilinear(&f, &p, Some((&rf, &rp))).unwrap();
    let inner = |m: &[Vec<f64>]| m[0].iter().zip(&m[1]).map(|(a, b)| a * b).sum::<f64>();
    approx::assert_relative_eq!(inner(&rows(&random_map)), inner(&map), max_relative = 0.2);

    let h = |p: &[f64]| -p.iter().map(|p| p * p.ln()).sum::<f64>();
    for (w, p) in entropy_weights(&p).unwrap().to_vec().iter().zip(&p2) {
        approx::assert_relative_eq!(*w, 1.0 + (-h(p)).exp(), max_relative = 1e-6);
    }
    let q = random(7, &[2, 2]);
    let want = rows(&q.softmax(-1).unwrap())
        .iter()
        .zip(rows(&random(8, &[2, 2]).softmax(-1).unwrap()))
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>())
        .sum::<f64>()
        / 4.0;
    close(item(mcd_discrepancy(&q, &random(8, &[2, 2])).unwrap()), want);
}

#[test]
fn margin_disparity() {
    let (main_s, main_t) = (random(1, &[3, 4]), random(2, &[2, 4]));
    let (adv_s, adv_t) = (random(3, &[3, 4]), random(4, &[2, 4]));
    let label = |z: &[f64]| (0..4).max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap();
    let p = |x: &Tensor<f64>| rows(&x.softmax(-1).unwrap());
    let s: f64 = rows(&main_s).iter().zip(p(&adv_s)).map(|(m, p)| -p[label(m)].ln()).sum();
    let t: f64 = rows(&main_t).iter().zip(p(&adv_t)).map(|(m, p)| -(1.0 - p[label(m)]).ln()).sum();
    let got = mdd_loss((&main_s, &adv_s), (&main_t, &adv_t), 4.0).unwrap();
    close(item(got), 4.0 * s / 3.0 + t / 2.0);
}

#[test]
fn losses_on_predictions() {
    let z = random(1, &[5, 3]);
    let p = rows(&z.softmax(-1).unwrap());
    let h = |p: &[f64]| -p.iter().map(|p| p * p.ln()).sum::<f64>();
    let mean_h = p.iter().map(|p| h(p)).sum::<f64>() / 5.0;
    close(item(entropy(&z).unwrap()), mean_h);
    let mean: Vec<f64> = (0..3).map(|c| p.iter().map(|p| p[c]).sum::<f64>() / 5.0).collect();
    approx::assert_relative_eq!(
        item(information_maximisation(&z).unwrap()),
        mean_h - h(&mean),
        max_relative = 1e-8
    );
    // Confusion: by loops at temperature 2.
    let p = rows(&z.mul_scalar(0.5).softmax(-1).unwrap());
    let w: Vec<f64> = p.iter().map(|p| 1.0 + (-h(p)).exp()).collect();
    let total: f64 = w.iter().sum();
    let c = |i: usize, j: usize| {
        p.iter().zip(&w).map(|(p, w)| 5.0 * w / total * p[i] * p[j]).sum::<f64>()
    };
    let want: f64 = (0..3)
        .map(|i| {
            let row: f64 = (0..3).map(|j| c(i, j)).sum();
            (0..3).filter(|&j| j != i).map(|j| c(i, j) / row).sum::<f64>()
        })
        .sum::<f64>()
        / 3.0;
    approx::assert_relative_eq!(item(class_confusion(&z, 2.0).unwrap()), want, max_relative = 1e-6);

    // A class without any probability is no division by 0.
    let sure = Tensor::from_vec(vec![0.0, -1e5, 0.0, -1e5], [2, 2]).unwrap();
    assert!(item(class_confusion(&sure, 1.0).unwrap()).is_finite());
    assert!(mcd_discrepancy(&random(1, &[1, 3]), &random(2, &[4, 3])).is_err());

    let teacher = Tensor::from_vec(vec![9.0, 0.0, 0.5, 0.0], [2, 2]).unwrap();
    let student = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    let (loss, part) = pseudo_label_loss(&student, &teacher, 0.95).unwrap();
    assert_eq!(part, 0.5);
    close(item(loss), (1.0_f64 + 1.0_f64.exp()).ln() / 2.0);
}

#[test]
fn plans_have_uniform_margins_and_find_the_cheapest() {
    let cost = Tensor::from_vec(vec![0.0_f64, 2.0, 2.0, 0.0], [2, 2]).unwrap();
    let plan = sinkhorn(&cost, 0.05, 100).unwrap();
    approx::assert_relative_eq!(plan.to_vec()[0], 0.5, max_relative = 1e-6);
    approx::assert_abs_diff_eq!(item(transport_cost(&plan, &cost).unwrap()), 0.0, epsilon = 1e-6);
    let cost = random(1, &[4, 6]).square();
    let plan = sinkhorn(&cost, 0.5, 500).unwrap();
    for row in plan.sum(1, false).unwrap().to_vec() {
        approx::assert_relative_eq!(row, 0.25, max_relative = 1e-6);
    }
    for column in plan.sum(0, false).unwrap().to_vec() {
        approx::assert_relative_eq!(column, 1.0 / 6.0, max_relative = 1e-6);
    }
    let (f, g) = (random(2, &[2, 3]), random(3, &[2, 3]));
    let labels = Tensor::<f64>::eye(2);
    let logits = random(4, &[2, 2]);
    let joint = rows(&joint_cost((&f, &g), &labels, &logits, (0.5, 2.0)).unwrap());
    let log_p = rows(&logits.log_softmax(-1).unwrap());
    let want = 0.5 * squared(&rows(&f)[1], &rows(&g)[0]) - 2.0 * log_p[0][1];
    close(joint[1][0], want);
    assert!(sinkhorn(&cost, 0.0, 5).is_err());
}

#[test]
fn gradients() {
    let check = |f: &dyn Fn(&[Tensor<f64>]) -> Tensor<f64>| {
        let inputs = [random(1, &[5, 3]), random(2, &[4, 3])];
        gradcheck(|x| Ok(f(x)), &inputs, GradCheck::default()).unwrap();
    };
    let fixed = Kernels::Fixed(vec![1.0, 4.0]);
    for form in [MmdForm::Biased, MmdForm::Unbiased, MmdForm::Linear] {
        check(&|x| mmd(&x[0], &x[1], &fixed, form).unwrap());
    }
    check(&|x| coral(&x[0], &x[1]).unwrap());
    check(&|x| central_moments(&x[0], &x[1], 4, 2.0).unwrap());
    check(&|x| {
        spectral_penalty(&x[0], 1).unwrap().add(&spectral_penalty(&x[1], 2).unwrap()).unwrap()
    });
    check(&|x| entropy(&x[0]).unwrap().add(&information_maximisation(&x[1]).unwrap()).unwrap());
    let (a, b) = (random(3, &[5, 3]), random(4, &[4, 3]));
    check(&|x| mdd_loss((&a, &x[0]), (&b, &x[1]), 4.0).unwrap());
}

#[test]
fn spectra_and_norms() {
    // Singular values 3 and 2.
    let x = Tensor::from_vec(vec![3.0_f64, 0.0, 0.0, 2.0, 0.0, 0.0], [3, 2]).unwrap();
    close(item(spectral_penalty(&x, 1).unwrap()), 9.0);
    close(item(spectral_penalty(&x, 2).unwrap()), 13.0);
    assert!(spectral_penalty(&x, 3).is_err());
    let x = random(1, &[4, 3]).requires_grad();
    let loss = feature_norm(&x, 1.0).unwrap();
    close(item(loss.clone()), 1.0);
    // The gradient lengthens every row: -2/n along it.
    let g = rows(loss.backward().unwrap().get(&x).unwrap());
    for (g, x) in g.iter().zip(rows(&x)) {
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        for (g, x) in g.iter().zip(x) {
            close(*g, -0.5 * x / norm);
        }
    }
}
