//! Gram matrices without gradients, against gradients.

mod common;

use common::{flowers, net, rng};
use tl_multitask::{Gram, HardSharing, TaskGradients};
use tl_nn::{
    Act, BatchNorm1d, Ctx, Forward, Gru, Linear, Module, ModuleExt, Sequential, Tensor, module,
};

/// Inner products from plain backward passes, in double precision.
fn plain<M: Module>(model: &M, losses: &[Option<Tensor>]) -> Gram {
    let shared: Vec<Vec<Option<Vec<f32>>>> = losses
        .iter()
        .flatten()
        .map(|loss| {
            let all = loss.backward().unwrap();
            model.trainable().iter().map(|p| all.get(p).map(Tensor::to_vec)).collect()
        })
        .collect();
    Gram::of(shared.len(), |i, j| {
        let pairs = shared[i].iter().zip(&shared[j]);
        let inner = |(a, b): (&Option<Vec<f32>>, &Option<Vec<f32>>)| match (a, b) {
            (Some(a), Some(b)) if i != j => {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            }
            _ => 0.0,
        };
        pairs.map(inner).sum()
    })
}

fn agree<M: Module>(model: &M, losses: &[Option<Tensor>], factored: usize) {
    let tasks = TaskGradients::of(model, losses).unwrap();
    let whole = TaskGradients::materialised(model, losses).unwrap();
    assert_eq!(tasks.factored(), factored);
    assert_eq!(whole.factored(), 0);
    let (a, b, c) = (tasks.gram(), whole.gram(), plain(model, losses));
    let t = a.tasks();
    for i in 0..t {
        for j in 0..t {
            let scale = a.norm(i) * a.norm(j);
            assert!((a.get(i, j) - b.get(i, j)).abs() < 1e-5 * scale);
            assert!(i == j || (a.get(i, j) - c.get(i, j)).abs() < 1e-5 * scale);
        }
    }
    // The parts are the whole, and the weighted sum is that of the gradients.
    let sum = tasks.by_parameter().map(|(_, g)| g.get(0, 1)).sum::<f64>();
    assert!((sum - a.get(0, 1)).abs() < 1e-9 * a.norm(0) * a.norm(1));
    let weights: Vec<f64> = (0..t).map(|i| 0.5 + i as f64).collect();
    let ours = tasks.combine(&weights, &weights).unwrap();
    let mut total = Tensor::scalar(0.0);
    for (loss, weight) in losses.iter().flatten().zip(&weights) {
        total = total.add(&loss.mul_scalar(*weight as f32)).unwrap();
    }
    let theirs = total.backward().unwrap();
    for (path, param) in model.params() {
        let (a, b) = (ours.get(param.tensor()).unwrap(), theirs.get(param.tensor()).unwrap());
        let scale = b.abs().to_vec().into_iter().fold(1e-2, f32::max);
        for (a, b) in a.to_vec().iter().zip(b.to_vec()) {
            assert!((a - b).abs() < 2e-5 * scale, "{path}: {a} {b}");
        }
    }
    assert!(tasks.combine(&weights[1..], &weights).is_err());
}

fn squares(outputs: &[Tensor]) -> Vec<Option<Tensor>> {
    let loss = |(i, y): (usize, &Tensor)| {
        let mark =
            Tensor::from_vec((0..y.numel()).map(|k| ((k + i) as f32).cos()).collect(), y.shape());
        y.sub(&mark.unwrap()).unwrap().square().mean_all()
    };
    outputs.iter().enumerate().map(|y| Some(loss(y))).collect()
}

#[test]
fn factors_and_whole_gradients_agree() {
    let rng = &mut rng();
    // 6 rows of wide layers with batch normalisation: both weights are factored.
    let trunk = Sequential::new()
        .push(Linear::new(20, 30, rng))
        .push(BatchNorm1d::new(30))
        .push(Act::Relu)
        .push(Linear::new(30, 24, rng))
        .push(Act::Gelu);
    let heads = (1..5).map(|n| Linear::new(24, n, rng)).collect();
    let wide = HardSharing { trunk, heads };
    let x = Tensor::randn([6, 20], rng);
    let losses = squares(&wide.forward_all(&x, &mut Ctx::train(0)).unwrap());
    agree(&wide, &losses, 2);
    // A task that is missing is not in it.
    let three = [losses[0].clone(), None, losses[2].clone(), losses[3].clone()];
    let tasks = TaskGradients::of(&wide, &three).unwrap();
    assert_eq!(tasks.present(), [0, 2, 3]);
    let unreached: Vec<&str> = tasks.unreached().map(|(path, _)| path).collect();
    assert_eq!(unreached, ["heads.1.weight", "heads.1.bias"]);
    assert!(TaskGradients::of(&wide, &[None, None]).is_err());

    // 150 rows of 3 numbers: whole gradients are cheaper.
    let flowers = flowers();
    let narrow = net(&[3, 1]);
    let losses = squares(&narrow.forward_all(&flowers.x, &mut Ctx::train(0)).unwrap());
    agree(&narrow, &losses, 0);
}

/// A recurrent trunk.
#[derive(Clone)]
struct Series {
    gru: Gru,
    heads: Vec<Linear>,
}
module!(Series { gru, heads });

#[test]
fn recurrent_layers_use_a_weight_many_times() {
    let rng = &mut rng();
    let heads = vec![Linear::new(40, 1, rng), Linear::new(40, 2, rng)];
    let net = Series { gru: Gru::new(30, 40, 1, false, rng).unwrap(), heads };
    let x = Tensor::randn([2, 5, 30], rng);
    let cx = &mut Ctx::train(0);
    let (features, _) = net.gru.forward(&x, cx).unwrap();
    let features = features.mean(1, false).unwrap();
    let out: Vec<_> = net.heads.iter().map(|h| h.forward(&features, cx).unwrap()).collect();
    let losses = squares(&out);
    // 10 rows at the inputs' weight, five times 2 at the state's.
    agree(&net, &losses, 2);
}

/// Tasks on batches of their own do not share inputs.
#[test]
fn other_inputs_are_not_mistaken_for_the_same() {
    let rng = &mut rng();
    let heads = vec![Linear::new(24, 1, rng), Linear::new(24, 1, rng)];
    let net = HardSharing { trunk: Linear::new(20, 24, rng), heads };
    let cx = &mut Ctx::train(0);
    let out: Vec<_> = (0..2)
        .map(|task| net.forward_task(task, &Tensor::randn([6, 20], rng), cx).unwrap())
        .collect();
    agree(&net, &squares(&out), 0);
}
