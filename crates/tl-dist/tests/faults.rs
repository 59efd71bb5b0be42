//! What is wrong on one rank is an error on all, and no one waits for ever.

mod common;

use common::{DETERMINISTIC, network};
use tl_data::Batch;
use tl_dist::{
    Collective, DataParallel, Error, Plan, ShardedLoader, Threads, map_reduce, map_rows,
};
use tl_nn::{Ctx, ModuleExt, Optimizer, Sequential, Sgd, Tensor, Trainer};

fn run(
    world: &Threads,
    loss: impl FnMut(&Sequential, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
) -> Result<(), Error> {
    let mut model = network();
    let plan = Plan::new(world, DETERMINISTIC)?;
    let loader = ShardedLoader::new(&common::digits(), common::batching(), plan)?;
    let mut parallel = DataParallel::new(world, plan, loss);
    let trainer = Trainer::new(Optimizer::new(Sgd::new(0.1)), 1);
    trainer.run(&mut model, |e| loader.epoch(e as u64), &mut parallel)?;
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_on_one_rank_stops_all() {
    let errors = Threads::run::<_, Error>(2, |world| {
        let rank = world.rank();
        let result = run(world, |model, batch, cx| {
            let loss = common::objective(model, batch, cx)?;
            Ok(if rank == 1 { loss.mul_scalar(f32::NAN) } else { loss })
        });
        Ok(result.unwrap_err())
    });
    for error in errors.unwrap() {
        assert!(matches!(error, Error::Nn(tl_nn::Error::NonFiniteLoss { .. })), "{error}");
    }
}

#[test]
fn a_parameter_without_a_gradient_is_named_on_all() {
    let errors = Threads::run::<_, Error>(2, |world| {
        let result = run(world, |model, _, _| {
            let (_, first) = model.params().remove(0);
            Ok(first.tensor().square().mean_all())
        });
        Ok(result.unwrap_err().to_string())
    });
    for message in errors.unwrap() {
        assert!(message.contains("is trainable but got no gradient"), "{message}");
    }
}

/// A parameter that only some micro-shards reach gets the gradient of those.
#[test]
fn a_parameter_that_some_shards_use_is_trained() {
    let of = |ranks| {
        Threads::run::<_, Error>(ranks, |world| {
            let mut losses = 0.0;
            run(world, |model, batch, cx| {
                let loss = common::objective(model, batch, cx)?;
                if batch.indices[0].is_multiple_of(2) {
                    return Ok(loss);
                }
                let (_, first) = model.params().remove(0);
                losses += 1.0;
                Ok(first.tensor().square().mean_all())
            })?;
            Ok(losses)
        })
        .unwrap()
        .iter()
        .sum::<f64>()
    };
    let alone = of(1);
    assert!(alone > 0.0 && of(4) == alone);
}

#[test]
fn work_that_fails_on_one_rank_fails_on_all() {
    let errors = Threads::run::<_, Error>(3, |world| {
        let result = map_reduce(world, 7, |item| match item {
            6 => Err(Error::from(tl_nn::Error::other("item 6 is rotten"))),
            _ => Ok(vec![1.0]),
        });
        Ok(result.unwrap_err().to_string())
    });
    let errors = errors.unwrap();
    assert_eq!(errors[2], "item 6 is rotten");
    assert_eq!(errors[0], "rank 2 failed: item 6 is rotten");

    let uneven =
        Threads::run(2, |world| map_reduce(world, 4, |i| Ok::<_, Error>(vec![0.0; 1 + i / 2])));
    assert!(matches!(uneven, Err(Error::Length { op: "map_reduce", .. })));
    let rows = Threads::run(2, |world| {
        map_rows(world, 4, 2, |r| Ok::<_, Error>(Tensor::zeros([r.len(), 1 + r.start])))
    });
    assert!(matches!(rows, Err(Error::Length { op: "map_rows", .. })));
    let short =
        Threads::run(2, |world| map_rows(world, 4, 2, |_| Ok::<_, Error>(Tensor::zeros([1, 1]))));
    assert!(short.unwrap_err().to_string().contains("expected [2, ..]"));
}
