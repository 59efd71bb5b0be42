//! The result does not depend on the number of ranks.

mod common;

use common::{
    DETERMINISTIC, Setting, batching, bits, digits, network, objective, optimizer, train,
};
use tl_data::Batch;
use tl_dist::{
    Collective, DataParallel, Error, Plan, Reduction, Result, Shards, Solo, Threads, unflatten,
};
use tl_nn::{Ctx, Forward, Linear, ModuleExt, Objective, Optimizer, Sgd, Tensor, Trainer, grad};

#[test]
fn any_number_of_ranks_gives_the_bits_of_one() {
    let one = train(&Solo, &Setting::new(DETERMINISTIC)).unwrap();
    for ranks in [1, 2, 3, 4, 8] {
        let all = Threads::run(ranks, |world| train(world, &Setting::new(DETERMINISTIC))).unwrap();
        assert!(all.iter().all(|rank| *rank == one), "{ranks} ranks");
    }
}

#[test]
fn buckets_and_overlap_do_not_change_the_bits() {
    let expected = train(&Solo, &Setting::new(DETERMINISTIC)).unwrap();
    for (bucket_bytes, overlap) in [(1, true), (1 << 20, true), (500, false)] {
        let setting = Setting { bucket_bytes, overlap, ..Setting::new(DETERMINISTIC) };
        let all = Threads::run(2, |world| train(world, &setting)).unwrap();
        assert!(all.iter().all(|rank| *rank == expected), "{bucket_bytes} {overlap}");
    }
}

/// The training loop with the plain loader: what someone has before they read
/// of this crate.
#[test]
fn one_shard_on_one_rank_is_training_as_always() {
    let loader = digits().batches(batching()).unwrap();
    let mut plain = network();
    let trainer = || Trainer::new(optimizer(), 2).seed(3);
    trainer().fit(&mut plain, |e| loader.epoch(e as u64), objective).unwrap();

    let plan = Plan::new(&Solo, Reduction::Deterministic { shards: 1 }).unwrap();
    let sharded = tl_dist::ShardedLoader::new(&digits(), batching(), plan).unwrap();
    let mut own = network();
    let mut parallel = DataParallel::new(&Solo, plan, objective);
    trainer().run(&mut own, |e| sharded.epoch(e as u64), &mut parallel).unwrap();
    assert_eq!(bits(&own), bits(&plain));
}

#[test]
fn fast_replicas_agree_and_are_close_to_deterministic_ones() {
    let loss = |bits: u64| f64::from_bits(bits);
    let all = Threads::run(4, |world| train(world, &Setting::new(Reduction::Fast))).unwrap();
    assert!(all.iter().all(|rank| *rank == all[0]));
    let fixed = Reduction::Deterministic { shards: 4 };
    let fixed = train(&Solo, &Setting::new(fixed)).unwrap();
    // The same four parts, added in another order.
    let (fast, fixed) = (loss(all[0].1[1]), loss(fixed.1[1]));
    assert!((fast - fixed).abs() < 1e-3 * fixed, "{fast} {fixed}");
}

/// A linear model without batch statistics: the mean over micro-shards is that
/// of the whole batch, also if they are not equally large.
#[test]
fn gradients_are_those_of_the_whole_batch() {
    let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(1);
    let model = Linear::new(3, 2, &mut rng);
    let x = Tensor::randn([10, 3], &mut rng);
    let loss = |model: &Linear, x: &Tensor, cx: &mut Ctx| {
        Ok(model.forward(x, cx)?.square().sum(1, false)?.mean_all())
    };
    let whole = loss(&model, &x, &mut Ctx::eval()).unwrap();
    let whole = grad(&whole, &model.trainable(), Default::default()).unwrap();
    for reduction in [Reduction::Fast, Reduction::Deterministic { shards: 4 }] {
        let all = Threads::run::<_, Error>(3, |world| {
            let plan = Plan::new(world, reduction)?;
            let batch = Shards::cut(&plan, 10, |range| {
                Ok::<_, Error>(x.narrow(0, range.start, range.len())?.contiguous())
            })?;
            // Each rank has a copy of its own, with variables of its own.
            let model = model.clone();
            let mut parallel = DataParallel::new(world, plan, loss);
            let (_, gradients) = parallel.gradients(&model, &batch, &mut Ctx::train(0))?;
            let of = |t: &&Tensor| gradients.get(t).map(Tensor::to_vec).unwrap_or_default();
            Ok(model.trainable().iter().map(of).collect::<Vec<_>>())
        });
        for rank in all.unwrap() {
            for (got, want) in rank.iter().zip(&whole) {
                for (got, want) in got.iter().zip(want.to_vec()) {
                    approx::assert_relative_eq!(*got, want, max_relative = 1e-5);
                }
            }
        }
    }
}

#[test]
fn running_statistics_are_the_mean_over_micro_shards() {
    let all = Threads::run::<_, Error>(2, |world| {
        let mut norm = tl_nn::BatchNorm::new(1);
        let plan = Plan::new(world, Reduction::Deterministic { shards: 4 })?;
        // The numbers 0 to 7.
        let batch = Shards::cut(&plan, 8, |r| {
            let numbers: Vec<f32> = r.map(|i| i as f32).collect();
            Ok::<_, Error>(Tensor::from_slice(&numbers, [numbers.len(), 1])?)
        })?;
        let mut parallel =
            DataParallel::new(world, plan, |norm: &tl_nn::BatchNorm, x: &Tensor, cx: &mut Ctx| {
                Ok(norm.forward(x, cx)?.square().mean_all())
            });
        let mut cx = Ctx::train(0);
        let _ = parallel.gradients(&norm, &batch, &mut cx)?;
        norm.apply(cx.take_updates())?;
        Ok([&norm.running_mean, &norm.running_var, &norm.num_batches_tracked]
            .map(|b| b.tensor().to_vec()[0]))
    });
    // Four pairs of neighbours: means 0.5, 2.5, 4.5, 6.5; unbiased variance 0.5.
    for [mean, variance, count] in all.unwrap() {
        approx::assert_relative_eq!(mean, 0.1 * 3.5, max_relative = 1e-6);
        approx::assert_relative_eq!(variance, 0.9 + 0.1 * 0.5, max_relative = 1e-6);
        assert_eq!(count, 1.0);
    }
}

/// An objective with gradients of its own.
struct Doubled;

impl Objective<Linear, Tensor> for Doubled {
    fn loss(&mut self, m: &Linear, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<tl_nn::Losses> {
        Ok(m.forward(x, cx)?.sum(1, false)?.mean_all().into())
    }

    fn gradients(
        &mut self,
        model: &Linear,
        x: &Tensor,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(tl_nn::Losses, tl_nn::Gradients)> {
        let losses = self.loss(model, x, cx)?;
        let gradients = losses.total().mul_scalar(2.0).backward()?;
        Ok((losses, gradients))
    }
}

#[test]
fn an_objective_keeps_its_own_gradients() {
    let all = Threads::run::<_, Error>(2, |world: &Threads| {
        let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(1);
        let model = Linear::new(2, 1, &mut rng);
        let plan = Plan::new(world, Reduction::Fast)?;
        let batch = Shards::cut(&plan, 4, |r| Ok::<_, Error>(Tensor::ones([r.len(), 2])))?;
        let mut parallel = DataParallel::of(world, plan, Doubled);
        let (_, gradients) = parallel.gradients(&model, &batch, &mut Ctx::train(0))?;
        Ok(tl_dist::flatten(&model, &gradients))
    });
    assert_eq!(all.unwrap(), vec![vec![2.0; 3]; 2]);
}

#[test]
fn flat_gradients_make_the_step_of_the_ones_they_were_made_of() {
    let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(1);
    let mut a = Linear::new(3, 2, &mut rng);
    let mut b = a.clone();
    let x = Tensor::randn([5, 3], &mut rng);
    let gradients =
        a.forward(&x, &mut Ctx::eval()).unwrap().square().mean_all().backward().unwrap();
    let flat = tl_dist::flatten(&a, &gradients);
    Optimizer::new(Sgd::new(0.1)).step(&mut a, &gradients).unwrap();
    let again = unflatten(&b, &flat).unwrap();
    Optimizer::new(Sgd::new(0.1)).step(&mut b, &again).unwrap();
    assert_eq!(a.weight.tensor().to_vec(), b.weight.tensor().to_vec());
    assert!(unflatten(&b, &flat[1..]).is_err());
}

#[test]
fn a_batch_of_another_plan_is_refused() {
    let plan = |shards| Plan::new(&Solo, Reduction::Deterministic { shards }).unwrap();
    let model = network();
    let batch =
        Shards::cut(&plan(4), 8, |r| Batch::gather(&digits(), r.collect()).map_err(Error::from));
    let mut parallel = DataParallel::new(&Solo, plan(2), objective);
    let error =
        parallel.gradients(&model, &batch.unwrap(), &mut Ctx::train(0)).map(drop).unwrap_err();
    assert!(error.to_string().contains("micro-shards is 4; expected 2"), "{error}");
}

#[test]
fn replicas_that_differ_are_found() -> Result<()> {
    Threads::run(2, |world| {
        let mut model = network();
        if world.rank() == 1 {
            model.for_each_param(|path, p| {
                if path.ends_with("5.bias") {
                    p.update(|x| x[3] += 1.0);
                }
                Ok(())
            })?;
        }
        let error = tl_dist::check_replicas(world, &model).unwrap_err();
        assert!(matches!(&error, Error::Replicas { path, rank: 1 } if path == "5.bias"), "{error}");
        tl_dist::broadcast_model(world, &mut model)?;
        tl_dist::check_replicas(world, &model)
    })
    .map(drop)
}
