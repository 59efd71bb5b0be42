//! Losses against formulas written out, their gradients, and what is measured of
//! features.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::Tensor as T32;
use tl_ssl::{
    VicReg, VicRegConvention, alignment, barlow_twins, byol_decay, dino, health, info_nce,
    negative_cosine, nt_xent, nt_xent_views, sinkhorn_assign, sup_con, swav, vicreg,
};
use tl_tensor::{GradCheck, Shape, Tensor, gradcheck};

fn random(seed: u64, dims: &[usize]) -> Tensor<f64> {
    Tensor::randn(Shape::new(dims).unwrap(), &mut ChaCha8Rng::seed_from_u64(seed))
}

fn item(x: Tensor<f64>) -> f64 {
    x.item().unwrap()
}

fn close(a: f64, b: f64) {
    approx::assert_relative_eq!(a, b, max_relative = 1e-6, epsilon = 1e-9);
}

fn rows(x: &Tensor<f64>) -> Vec<Vec<f64>> {
    x.to_vec().chunks(x.dims()[1]).map(<[f64]>::to_vec).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn contrastive_losses() {
    let (a, b) = (random(1, &[4, 3]), random(2, &[4, 3]));
    let all: Vec<Vec<f64>> = [rows(&a), rows(&b)].concat();
    let want: f64 = (0..8)
        .map(|i| {
            let e = |j: usize| (cosine(&all[i], &all[j]) / 0.3).exp();
            -(e((i + 4) % 8) / (0..8).filter(|&k| k != i).map(e).sum::<f64>()).ln()
        })
        .sum::<f64>()
        / 8.0;
    close(item(nt_xent(&a, &b, 0.3).unwrap()), want);
    // With the sample as its class it is the supervised loss.
    let z = Tensor::cat(&[&a, &b], 0).unwrap();
    close(item(sup_con(&z, &[0, 1, 2, 3, 0, 1, 2, 3], 0.3).unwrap()), want);
    close(item(nt_xent_views(&[a.clone(), b.clone()], 0.3).unwrap()), want);
    // Three views: every view has two positives.
    let three = [a.clone(), b.clone(), random(9, &[4, 3])];
    let all3: Vec<Vec<f64>> = three.iter().flat_map(rows).collect();
    let mut want3 = 0.0;
    for i in 0..12 {
        let e = |j: usize| (cosine(&all3[i], &all3[j]) / 0.3).exp();
        let sum: f64 = (0..12).filter(|&k| k != i).map(e).sum();
        want3 -= [4, 8].iter().map(|s| (e((i + s) % 12) / sum).ln()).sum::<f64>() / 2.0 / 12.0;
    }
    close(item(nt_xent_views(&three, 0.3).unwrap()), want3);
    assert!(nt_xent_views(&three[..1], 0.3).is_err());
    // Three of a class, one alone: the lonely one is no anchor.
    let z = random(3, &[4, 3]);
    let r = rows(&z);
    let labels = [0, 0, 0, 1];
    let mut want = 0.0;
    for i in 0..3 {
        let e = |j: usize| (cosine(&r[i], &r[j]) / 0.5).exp();
        let all: f64 = (0..4).filter(|&k| k != i).map(e).sum();
        want -= (0..3).filter(|&j| j != i).map(|j| (e(j) / all).ln()).sum::<f64>() / 2.0;
    }
    close(item(sup_con(&z, &labels, 0.5).unwrap()), want / 3.0);

    let queue = random(4, &[5, 3]);
    let (q, k, m) = (rows(&a), rows(&b), rows(&queue));
    let want = (0..4)
        .map(|i| {
            let own = (cosine(&q[i], &k[i]) / 0.2).exp();
            let others: f64 = m.iter().map(|m| (cosine(&q[i], m) / 0.2).exp()).sum();
            -(own / (own + others)).ln()
        })
        .sum::<f64>()
        / 4.0;
    close(item(info_nce(&a, &b, &queue, 0.2).unwrap()), want);
    let want = (0..4).map(|i| 2.0 - 2.0 * cosine(&q[i], &k[i])).sum::<f64>() / 4.0;
    close(item(negative_cosine(&a, &b).unwrap()), want);

    assert!(nt_xent(&a, &random(1, &[3, 3]), 0.3).is_err());
    assert!(nt_xent(&a, &b, 0.0).unwrap_err().to_string().contains("above 0"));
    assert!(sup_con(&z, &[0, 1, 2, 3], 0.5).unwrap_err().to_string().contains("no pair"));
}

#[test]
fn redundancy_losses() {
    let (a, b) = (random(1, &[6, 3]), random(2, &[6, 3]));
    let column = |x: &Tensor<f64>, j: usize| -> Vec<f64> { rows(x).iter().map(|r| r[j]).collect() };
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let centred = |x: &[f64]| -> Vec<f64> {
        let m = mean(x);
        x.iter().map(|x| x - m).collect()
    };
    let moment = |x: &[f64], y: &[f64], n: f64| {
        centred(x).iter().zip(centred(y)).map(|(a, b)| a * b).sum::<f64>() / n
    };
    let mut want = 0.0;
    for i in 0..3 {
        for j in 0..3 {
            let (x, y) = (column(&a, i), column(&b, j));
            let scale = (moment(&x, &x, 6.0) + 1e-5).sqrt() * (moment(&y, &y, 6.0) + 1e-5).sqrt();
            let c = moment(&x, &y, 6.0) / scale;
            want += if i == j { (1.0 - c).powi(2) } else { 0.01 * c * c };
        }
    }
    close(item(barlow_twins(&a, &b, 0.01).unwrap()), want);

    let invariance = a.sub(&b).unwrap().square().mean_all().item().unwrap();
    let (mut variance, mut covariance) = (0.0, 0.0);
    for x in [&a, &b] {
        for i in 0..3 {
            let xi = column(x, i);
            variance += (1.0 - (moment(&xi, &xi, 5.0) + 1e-4).sqrt()).max(0.0) / 3.0;
            for j in (0..3).filter(|&j| j != i) {
                covariance += moment(&xi, &column(x, j), 5.0).powi(2) / 3.0;
            }
        }
    }
    let halved = VicReg::default();
    close(item(vicreg(&a, &b, &halved).unwrap()), 25.0 * invariance + 12.5 * variance + covariance);
    let summed = VicReg { convention: VicRegConvention::Summed, ..halved };
    close(item(vicreg(&a, &b, &summed).unwrap()), 25.0 * invariance + 25.0 * variance + covariance);
}

#[test]
fn cluster_losses() {
    let scores = random(1, &[8, 4]).mul_scalar(0.1);
    let q = sinkhorn_assign(&scores, 0.05, 200).unwrap();
    for row in q.sum(1, false).unwrap().to_vec() {
        close(row, 1.0);
    }
    for column in q.sum(0, false).unwrap().to_vec() {
        approx::assert_relative_eq!(column, 2.0, max_relative = 1e-4);
    }
    let other = random(2, &[8, 4]).mul_scalar(0.1);
    let entropy = |scores: &Tensor<f64>, target: &Tensor<f64>| {
        let q = rows(&sinkhorn_assign(target, 0.05, 3).unwrap());
        let p = rows(&scores.mul_scalar(10.0).softmax(-1).unwrap());
        let each =
            q.iter().zip(&p).map(|(q, p)| -q.iter().zip(p).map(|(q, p)| q * p.ln()).sum::<f64>());
        each.sum::<f64>() / 8.0
    };
    let want = (entropy(&scores, &other) + entropy(&other, &scores)) / 2.0;
    close(item(swav(&scores, &other, 0.1, 0.05).unwrap()), want);
    let centre = random(3, &[1, 4]).mul_scalar(0.1);
    let p = rows(&other.sub(&centre).unwrap().mul_scalar(25.0).softmax(-1).unwrap());
    let s = rows(&scores.mul_scalar(10.0).softmax(-1).unwrap());
    let want = p
        .iter()
        .zip(&s)
        .map(|(p, s)| -p.iter().zip(s).map(|(p, s)| p * s.ln()).sum::<f64>())
        .sum::<f64>()
        / 8.0;
    close(item(dino(&scores, &other, &centre, 0.1, 0.04).unwrap()), want);
}

#[test]
fn gradients() {
    let inputs = [random(1, &[5, 3]), random(2, &[5, 3])];
    let check = |f: &dyn Fn(&[Tensor<f64>]) -> Tensor<f64>| {
        gradcheck(|x| Ok(f(x)), &inputs, GradCheck::default()).unwrap();
    };
    check(&|x| nt_xent(&x[0], &x[1], 0.5).unwrap());
    check(&|x| {
        sup_con(&Tensor::cat(&[&x[0], &x[1]], 0).unwrap(), &[0, 1, 0, 1, 2, 2, 0, 1, 1, 0], 0.5)
            .unwrap()
    });
    check(&|x| barlow_twins(&x[0], &x[1], 0.05).unwrap());
    check(&|x| vicreg(&x[0], &x[1], &VicReg::default()).unwrap());
    // The target side is a constant.
    let z = inputs[1].requires_grad();
    let p = inputs[0].requires_grad();
    let g = negative_cosine(&p, &z).unwrap().backward().unwrap();
    assert!(g.get(&p).is_some() && g.get(&z).is_none());
}

#[test]
fn health_knows_collapse() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let free = T32::randn([400, 16], &mut rng);
    let good = health(&free).unwrap();
    assert!((good.spread - 1.0).abs() < 0.05 && good.rank > 14.0, "{good:?}");
    let same = T32::ones([400, 16]).add(&free.mul_scalar(1e-3)).unwrap();
    let bad = health(&same).unwrap();
    assert!(bad.spread < 0.01 && bad.rank < 1.2, "{bad:?}");
    assert!(good.uniformity < -2.0 && bad.uniformity > -0.01);
    let flat = free.narrow(1, 0, 1).unwrap().matmul(&T32::ones([1, 16])).unwrap();
    assert!((health(&flat).unwrap().rank - 1.0).abs() < 1e-3);
    assert_eq!(alignment(&free, &free).unwrap(), 0.0);
    assert!(health(&free.narrow(0, 0, 1).unwrap()).is_err());
}

#[test]
fn decay_rises_to_one() {
    close(byol_decay(0.99, 0.0), 0.99);
    close(byol_decay(0.99, 0.5), 0.995);
    close(byol_decay(0.99, 1.0), 1.0);
}
