//! The tasks of a meta-batch on several ranks.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_dist::{Collective, Error, Solo, Threads, flatten, map_reduce, unflatten};
use tl_maml::{Curves, InnerLoop, Order, TaskSource};
use tl_nn::{
    Act, Adam, Ctx, Forward, Linear, ModuleExt, Optimizer, Reduction, Sequential, Tensor, loss,
};

const TASKS: usize = 6;

fn network() -> Sequential {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    Sequential::new()
        .push(Linear::new(1, 16, &mut rng))
        .push(Act::Relu)
        .push(Linear::new(16, 1, &mut rng))
}

fn mse(model: &Sequential, batch: &tl_data::Batch) -> tl_maml::Result<Tensor> {
    let y = model.forward(&batch.features, &mut Ctx::train(0))?;
    Ok(loss::mse(&y, batch.values()?, Reduction::Mean).map_err(tl_nn::Error::from)?)
}

/// The exact meta-gradient of one sinusoid (MAML with two inner steps), flat.
fn meta_gradient(model: &Sequential, number: u64) -> tl_maml::Result<Vec<f32>> {
    let task = Curves::sinusoid().task(9, number)?;
    let weights: Vec<Tensor> = model.trainable().into_iter().cloned().collect();
    let rates = [vec![Tensor::scalar(0.01); weights.len()]];
    let inner = InnerLoop { steps: 2, order: Order::Second, rates: &rates, curvature: &[] };
    let adapted = inner.run(weights, |_, w| mse(&model.with_params(w)?, &task.support))?;
    let query = mse(&model.with_params(&adapted)?, &task.query)?;
    let gradients = query.backward().map_err(tl_nn::Error::from)?;
    Ok(flatten(model, &gradients))
}

fn meta_train(world: &dyn Collective) -> Result<Vec<f32>, Error> {
    let mut model = network();
    let mut optimizer = Optimizer::new(Adam::new(1e-3));
    for step in 0..4 {
        let sum = map_reduce(world, TASKS, |task| {
            let number = (step * TASKS + task) as u64;
            meta_gradient(&model, number).map_err(|e| Error::Nn(tl_nn::Error::other(e)))
        })?;
        let mean: Vec<f32> = sum.iter().map(|g| g / TASKS as f32).collect();
        let gradients = unflatten(&model, &mean)?;
        optimizer.step(&mut model, &gradients)?;
    }
    Ok(model.params().iter().flat_map(|(_, p)| p.tensor().to_vec()).collect())
}

#[test]
fn meta_training_gives_the_bits_of_one_rank() {
    let one = meta_train(&Solo).unwrap();
    let before =
        network().params().iter().flat_map(|(_, p)| p.tensor().to_vec()).collect::<Vec<_>>();
    assert_ne!(one, before);
    for ranks in [2, 3, 4, 7] {
        for rank in Threads::run(ranks, |world| meta_train(world)).unwrap() {
            assert_eq!(rank, one, "{ranks} ranks");
        }
    }
}
