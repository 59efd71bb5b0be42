//! Every meta-gradient against finite differences in double precision, and the
//! learner's step in single precision against the same formulas.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Batch, Targets};
use tl_maml::{
    Adapt, Episodes, InnerLoop, LearnedRates, Maml, Order, Reptile, Task, TaskSource, descend,
    inner_gradients, matching_probabilities, mse, prototype_logits, relation_logits, ridge_logits,
    step_weights, svm_logits,
};
use tl_nn::{
    Act, Indices, Linear, ModuleExt, Optimizer, Reduction, Sequential, Sgd, Shape, Tensor, Trainer,
    loss,
};
use tl_tensor::{CrossEntropy, GradCheck, gradcheck};

fn random(seed: u64, dims: &[usize]) -> Tensor<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Tensor::randn(Shape::new(dims).unwrap(), &mut rng)
}

/// The network 1-4-1 with tanh, of weights `[w1, b1, w2, b2]`.
fn net(w: &[Tensor<f64>], x: &Tensor<f64>) -> tl_tensor::Result<Tensor<f64>> {
    x.linear(&w[0], Some(&w[1]))?.tanh().linear(&w[2], Some(&w[3]))
}

fn error(w: &[Tensor<f64>], (x, y): &(Tensor<f64>, Tensor<f64>)) -> tl_tensor::Result<Tensor<f64>> {
    loss::mse(&net(w, x)?, y, Reduction::Mean)
}

fn weights() -> Vec<Tensor<f64>> {
    vec![random(1, &[4, 1]), random(2, &[4]), random(3, &[1, 4]), random(4, &[1])]
}

fn samples(seed: u64) -> (Tensor<f64>, Tensor<f64>) {
    (random(seed, &[6, 1]), random(seed + 1, &[6, 1]))
}

/// Finite differences come with constants.
fn track(w: &[Tensor<f64>]) -> Vec<Tensor<f64>> {
    w.iter().map(|w| if w.is_tracked() { w.clone() } else { w.requires_grad() }).collect()
}

/// Two inner steps on all weights with these rates and matrices: the loop that
/// [`Maml`] runs.
fn adapted(
    w: &[Tensor<f64>],
    rates: &[Vec<Tensor<f64>>],
    factors: Option<&[Vec<Tensor<f64>>]>,
    order: Order,
    support: &(Tensor<f64>, Tensor<f64>),
) -> tl_tensor::Result<Vec<Tensor<f64>>> {
    let inner = InnerLoop { steps: 2, order, rates, curvature: factors.unwrap_or(&[]) };
    Ok(inner.run(track(w), |_, fast| Ok(error(fast, support)?)).unwrap())
}

fn same(rate: f64) -> Vec<Vec<Tensor<f64>>> {
    vec![vec![Tensor::scalar(rate); 4]]
}

fn check(f: impl Fn(&[Tensor<f64>]) -> tl_tensor::Result<Tensor<f64>>, inputs: &[Tensor<f64>]) {
    gradcheck(f, inputs, GradCheck { relative: 1e-5, ..GradCheck::default() }).unwrap();
}

#[test]
fn second_order() {
    let (support, query) = (samples(10), samples(20));
    check(|w| error(&adapted(w, &same(0.1), None, Order::Second, &support)?, &query), &weights());
}

#[test]
fn learned_rates() {
    let (support, query) = (samples(10), samples(20));
    // Meta-SGD: a rate for each number.
    let mut inputs = weights();
    inputs.extend(weights().iter().map(|w| w.mul_scalar(0.05).add_scalar(0.1)));
    check(
        |all| {
            let (w, rates) = all.split_at(4);
            error(&adapted(w, &[rates.to_vec()], None, Order::Second, &support)?, &query)
        },
        &inputs,
    );
    // MAML++: a rate for each weight and step.
    let mut inputs = weights();
    inputs.extend((0..8).map(|i| Tensor::scalar(0.05 + 0.02 * f64::from(i))));
    check(
        |all| {
            let (w, rates) = all.split_at(4);
            let rows: Vec<Vec<Tensor<f64>>> = rates.chunks(4).map(<[_]>::to_vec).collect();
            error(&adapted(w, &rows, None, Order::Second, &support)?, &query)
        },
        &inputs,
    );
}

#[test]
fn meta_curvature() {
    let (support, query) = (samples(10), samples(20));
    let mut inputs = weights();
    let sizes: [&[usize]; 4] = [&[4, 1], &[4], &[1, 4], &[1]];
    let mut seed = 50;
    for n in sizes.concat() {
        seed += 1;
        inputs.push(random(seed, &[n, n]).mul_scalar(0.2).add(&Tensor::eye(n)).unwrap());
    }
    check(
        |all| {
            let (w, mut rest) = all.split_at(4);
            let mut factors = Vec::new();
            for dims in sizes {
                let (own, others) = rest.split_at(dims.len());
                factors.push(own.to_vec());
                rest = others;
            }
            error(&adapted(w, &same(0.1), Some(&factors), Order::Second, &support)?, &query)
        },
        &inputs,
    );
}

/// The query loss where the inner loop moves `part` of the weights only.
fn partly(
    w: &[Tensor<f64>],
    part: std::ops::Range<usize>,
    steps: usize,
    samples: [&(Tensor<f64>, Tensor<f64>); 2],
) -> tl_tensor::Result<Tensor<f64>> {
    let whole = |moving: &[Tensor<f64>]| {
        let mut all = w.to_vec();
        all.splice(part.clone(), moving.iter().cloned());
        all
    };
    let rates = [vec![Tensor::scalar(0.1); part.len()]];
    let inner = InnerLoop { steps, order: Order::Second, rates: &rates, curvature: &[] };
    let support = |_: usize, moving: &[Tensor<f64>]| Ok(error(&whole(moving), samples[0])?);
    let moved = inner.run(track(&w[part.clone()]), support).unwrap();
    error(&whole(&moved), samples[1])
}

/// ANIL moves the head, BOIL the body; both learn all weights.
#[test]
fn anil_and_boil() {
    let (support, query) = (samples(10), samples(20));
    check(|w| partly(w, 2..4, 3, [&support, &query]), &weights());
    check(|w| partly(w, 0..2, 3, [&support, &query]), &weights());
}

/// MAML++: the query losses after all steps, each with its weight, rates by step.
#[test]
fn multi_step_loss() {
    let (support, query) = (samples(10), samples(20));
    let mut inputs = weights();
    inputs.extend((0..12).map(|i| Tensor::scalar(0.04 + 0.01 * f64::from(i))));
    check(
        |all| {
            let (w, rates) = all.split_at(4);
            let rows: Vec<Vec<Tensor<f64>>> = rates.chunks(4).map(<[_]>::to_vec).collect();
            let parts = step_weights(3, 0.04, 0.1);
            let inner = InnerLoop { steps: 1, order: Order::Second, rates: &[], curvature: &[] };
            let (mut fast, mut total) = (track(w), Tensor::scalar(0.0));
            for (row, part) in rows.chunks(1).zip(parts) {
                let one = InnerLoop { rates: row, ..inner };
                fast = one.run(fast, |_, w| Ok(error(w, &support)?)).unwrap();
                total = total.add(&error(&fast, &query)?.mul_scalar(part))?;
            }
            Ok(total)
        },
        &inputs,
    );
}

/// First order is no derivative of anything in the initialisation, but it is that
/// of the query loss in the adapted weights.
#[test]
fn first_order_at_the_adapted_weights() {
    let (support, query) = (samples(10), samples(20));
    let end = adapted(&weights(), &same(0.1), None, Order::First, &support).unwrap();
    let end: Vec<_> = end.iter().map(Tensor::detach).collect();
    check(|w| error(w, &query), &end);
}

#[test]
fn first_order_is_the_query_gradient_at_the_adapted_weights() {
    let (support, query) = (samples(10), samples(20));
    let start: Vec<_> = weights().iter().map(Tensor::requires_grad).collect();
    let fast = adapted(&start, &same(0.1), None, Order::First, &support).unwrap();
    let outer = error(&fast, &query).unwrap().backward().unwrap();
    let there: Vec<_> = fast.iter().map(|w| w.detach().requires_grad()).collect();
    let at_end = error(&there, &query).unwrap().backward().unwrap();
    let exact = adapted(&start, &same(0.1), None, Order::Second, &support).unwrap();
    let exact = error(&exact, &query).unwrap().backward().unwrap();
    for (w, end) in start.iter().zip(&there) {
        assert_eq!(outer.get(w).unwrap().to_vec(), at_end.get(end).unwrap().to_vec());
        assert_ne!(outer.get(w).unwrap().to_vec(), exact.get(w).unwrap().to_vec());
    }
}

#[test]
fn heads() {
    let labels = Indices::from(vec![0, 1, 2, 0, 1, 2]);
    let answers = Indices::from(vec![2, 0, 1, 1]);
    let inputs = [random(1, &[6, 4]), random(2, &[4, 4])];
    let entropy = |logits: &Tensor<f64>| CrossEntropy::new().loss(logits, &answers);
    check(|x| entropy(&prototype_logits(&x[0], &labels, 3, &x[1]).unwrap()), &inputs);
    check(
        |x| {
            let p = matching_probabilities(&x[0], &labels, 3, &x[1], 3.0).unwrap();
            loss::nll(&p.log(), &answers, None, Reduction::Mean)
        },
        &inputs,
    );
    let targets = Tensor::<f64>::one_hot(&labels, 3).unwrap();
    let mut with_lambda = inputs.to_vec();
    with_lambda.push(Tensor::scalar(0.8));
    check(|x| entropy(&ridge_logits(&x[0], &targets, &x[2], &x[1]).unwrap()), &with_lambda);
    // The support vector machine: few and many numbers at their bounds.
    for c in [0.02, 0.1, 1.0, 10.0] {
        check(|x| entropy(&svm_logits(&x[0], &labels, 3, c, &x[1]).unwrap()), &inputs);
    }
    // The relation network: features and both layers.
    let mut with_layers = inputs.to_vec();
    with_layers.extend([random(5, &[3, 8]), random(6, &[3]), random(7, &[1, 3]), random(8, &[1])]);
    check(
        |x| {
            let layers = [(&x[2], &x[3]), (&x[4], &x[5])];
            entropy(&relation_logits(&x[0], &labels, 3, &x[1], layers).unwrap())
        },
        &with_layers,
    );
}

/// Two fixed tasks in turn.
struct Fixed;

impl TaskSource for Fixed {
    fn task(&self, _: u64, number: u64) -> tl_maml::Result<Task> {
        let batch = |seed| -> tl_maml::Result<Batch> {
            let (x, y) = samples(seed + 100 * (number % 2));
            let values = y.cast::<f32>();
            let indices = (0..6).collect();
            Ok(Batch { features: x.cast::<f32>(), targets: Targets::Values(values), indices })
        };
        Ok(Task { support: batch(10)?, query: batch(20)? })
    }
}

fn model() -> Sequential {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut net = Sequential::new()
        .push(Linear::new(1, 4, &mut rng))
        .push(Act::Tanh)
        .push(Linear::new(4, 1, &mut rng));
    let numbers = weights();
    let mut next = numbers.iter();
    net.for_each_param(|_, p| p.set_data(&next.next().unwrap().cast::<f32>()).map_err(Into::into))
        .unwrap();
    net
}

/// What one step of gradient descent with rate 1 changes: the meta-gradient.
fn step_of(maml: &Maml) -> Vec<Vec<f32>> {
    let mut learner = maml.learner(model()).unwrap();
    let before: Vec<Tensor> = learner.trainable().into_iter().cloned().collect();
    let trainer = Trainer::new(Optimizer::new(Sgd::new(1.0)), 1);
    maml.fit(trainer, &mut learner, Episodes::new(&Fixed, 2, 1), mse).unwrap();
    let after = learner.trainable();
    before.iter().zip(after).map(|(b, a)| b.sub(a).unwrap().to_vec()).collect()
}

/// The mean over the two tasks of a loss of the weights and more inputs.
fn expected(
    inputs: &[Tensor<f64>],
    of_task: impl Fn(&[Tensor<f64>], u64) -> tl_tensor::Result<Tensor<f64>>,
) -> Vec<Vec<f64>> {
    let inputs: Vec<_> = inputs.iter().map(Tensor::requires_grad).collect();
    let sum = of_task(&inputs, 0).unwrap().add(&of_task(&inputs, 100).unwrap()).unwrap();
    let gradients = sum.mul_scalar(0.5).backward().unwrap();
    inputs.iter().map(|w| gradients.get(w).unwrap().to_vec()).collect()
}

fn assert_close(got: &[Vec<f32>], want: &[Vec<f64>]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
        approx::assert_relative_eq!(f64::from(*got), *want, max_relative = 2e-3, epsilon = 2e-5);
    }
}

#[test]
fn the_learner_takes_these_gradients() {
    let plain = |order| {
        expected(&weights(), |w, task| {
            let fast = adapted(w, &same(0.1), None, order, &samples(10 + task))?;
            error(&fast, &samples(20 + task))
        })
    };
    assert_close(&step_of(&Maml::new(2, 0.1)), &plain(Order::Second));
    assert_close(&step_of(&Maml::new(2, 0.1).first_order()), &plain(Order::First));
    let annealed = Maml { first_order_until: 1.0, ..Maml::new(2, 0.1) };
    assert_close(&step_of(&annealed), &plain(Order::First));

    let mut inputs = weights();
    inputs.extend(weights().iter().map(|w| Tensor::full(*w.shape(), 0.1)));
    let meta_sgd = expected(&inputs, |all, task| {
        let (w, rates) = all.split_at(4);
        let fast = adapted(w, &[rates.to_vec()], None, Order::Second, &samples(10 + task))?;
        error(&fast, &samples(20 + task))
    });
    assert_close(&step_of(&Maml::new(2, 0.1).learned_rates(LearnedRates::PerNumber)), &meta_sgd);
}

#[test]
fn anil_and_boil_move_their_part() {
    let halves = |head: bool| {
        let part = if head { 2..4 } else { 0..2 };
        expected(&weights(), |w, task| {
            partly(w, part.clone(), 1, [&samples(10 + task), &samples(20 + task)])
        })
    };
    let maml = Maml::new(1, 0.1);
    assert_close(&step_of(&maml.clone().adapt(Adapt::Only("2.**".into()))), &halves(true));
    assert_close(&step_of(&maml.adapt(Adapt::Except("2.**".into()))), &halves(false));
}

#[test]
fn multi_step_losses_are_weighted_as_stated() {
    let maml = Maml { multi_step: 0.5, ..Maml::new(2, 0.1) };
    // At the beginning of a run both steps count half.
    let want = expected(&weights(), |w, task| {
        let (support, query) = (samples(10 + task), samples(20 + task));
        let mut fast = w.to_vec();
        let mut total = Tensor::scalar(0.0);
        for _ in 0..2 {
            let g = inner_gradients(&error(&fast, &support)?, &fast, Order::Second).unwrap();
            fast = descend(&fast, &g, &same(0.1)[0]).unwrap();
            total = total.add(&error(&fast, &query)?.mul_scalar(0.5))?;
        }
        Ok(total)
    });
    assert_close(&step_of(&maml), &want);
}

#[test]
fn reptile_goes_towards_the_trained_weights() {
    let reptile =
        Reptile { inner: Optimizer::new(Sgd::new(0.05)), steps: 3, batch: 12, ..Reptile::new() };
    let start = model();
    let mut moved = start.clone();
    // Half a step of the outer rate.
    let trainer = Trainer::new(Optimizer::new(Sgd::new(0.5)), 1);
    reptile.fit(trainer, &mut moved, Episodes::new(&Fixed, 1, 1), mse).unwrap();
    // By hand: three full-batch steps on support and query together.
    let (support, query) = (samples(10), samples(20));
    let both = |a: &Tensor<f64>, b: &Tensor<f64>| Tensor::cat(&[a, b], 0).unwrap();
    let all = (both(&support.0, &query.0), both(&support.1, &query.1));
    let mut w: Vec<_> = weights();
    for _ in 0..3 {
        let leaf: Vec<_> = w.iter().map(|w| w.detach().requires_grad()).collect();
        let g = inner_gradients(&error(&leaf, &all).unwrap(), &leaf, Order::First).unwrap();
        w = descend(&leaf, &g, &same(0.05)[0]).unwrap();
    }
    for ((from, to), got) in weights().iter().zip(&w).zip(moved.trainable()) {
        let want = from.add(to).unwrap().mul_scalar(0.5).to_vec();
        for (got, want) in got.to_vec().iter().zip(want) {
            approx::assert_relative_eq!(f64::from(*got), want, max_relative = 1e-4, epsilon = 1e-5);
        }
    }
}
