//! Garments that are corrupted after training: methods that adapt while they
//! predict.

use crate::{
    compare::{BOUND, Way},
    data::Pair,
    net,
    shared::{Outcome, parallel},
};
use std::time::Instant;
use transfer_learning::{
    dann::{Classifier, Method, StreamNorm, Tent, TentSettings, adapt_batch_norm},
    data::Dataset,
    nn::{
        Sequential, Tensor,
        metric::{Trials, predictions},
    },
    prelude::*,
};

/// Samples that come at a time.
const BATCH: usize = 50;

/// The accuracy over a stream of test samples.
fn stream(test: &Dataset, mut predict: impl FnMut(&Tensor) -> Outcome<Tensor>) -> Outcome<f64> {
    let labels = test.labels()?;
    let mut right = 0;
    for from in (0..test.len()).step_by(BATCH) {
        let x = test.features().narrow(0, from, BATCH.min(test.len() - from))?;
        let said = predictions(&predict(&x)?)?;
        right += said.iter().zip(&labels[from..]).filter(|(a, b)| a == b).count();
    }
    Ok(right as f64 / test.len() as f64)
}

/// A model of clean garments for every seed.
pub fn source_models(
    pair: &Pair,
    epochs: usize,
    seeds: u64,
) -> Outcome<Vec<Classifier<Sequential>>> {
    let side = pair.source.sample_shape()[1];
    parallel::run(&(0..seeds).collect::<Vec<_>>(), |&seed| {
        let mut model = net::classifier(seed, 1, side);
        let way = Way::of(Method::SourceOnly, epochs).adaptation.seed(seed);
        way.fit(&mut model, &pair.source, &pair.source)?;
        Ok(model)
    })
}

/// All test-time methods on one corruption.
pub fn compare(pair: &Pair, models: &[Classifier<Sequential>], epochs: usize) -> Outcome<Trials> {
    let tent = |lr, episodic| TentSettings { lr, episodic, ..TentSettings::default() };
    let mut trials = Trials::new(&pair.name, "accuracy on the stream");
    let jobs: Vec<(usize, &Classifier<Sequential>)> = models.iter().enumerate().collect();
    let all = parallel::run(&jobs, |&(seed, model)| {
        let mut results: Vec<(&str, f64, f64)> = Vec::new();
        let mut add = |name, run: &mut dyn FnMut() -> Outcome<f64>| -> Outcome {
            let start = Instant::now();
            let accuracy = run()?;
            results.push((name, accuracy, start.elapsed().as_secs_f64()));
            Ok(())
        };
        // The stream comes in random order, the same for all.
        let test = shuffled(&pair.test, seed as u64)?;
        add("source only", &mut || stream(&test, |x| Ok(model.forward(x, &mut Ctx::eval())?)))?;
        add("AdaBN (target set in advance)", &mut || {
            let mut adapted = model.clone();
            adapt_batch_norm(&mut adapted, &pair.target, 64)?;
            stream(&test, |x| Ok(adapted.forward(x, &mut Ctx::eval())?))
        })?;
        add("statistics that follow the stream", &mut || {
            let mut following = StreamNorm::new(model.clone(), 0.3)?;
            stream(&test, |x| Ok(following.predict(x)?))
        })?;
        add("TENT, streaming", &mut || {
            let mut tent = Tent::new(model.clone(), tent(1e-3, false))?;
            stream(&test, |x| Ok(tent.predict(x)?))
        })?;
        add("TENT, streaming, reset every 4", &mut || {
            let settings = TentSettings { reset_every: Some(4), ..tent(1e-3, false) };
            let mut tent = Tent::new(model.clone(), settings)?;
            stream(&test, |x| Ok(tent.predict(x)?))
        })?;
        add("TENT, episodic", &mut || {
            let mut tent = Tent::new(model.clone(), tent(1e-3, true))?;
            stream(&test, |x| Ok(tent.predict(x)?))
        })?;
        add(BOUND, &mut || {
            let mut bound = net::classifier(seed as u64, 1, pair.source.sample_shape()[1]);
            let way = Way::of(Method::SourceOnly, epochs).adaptation.seed(seed as u64);
            way.fit(&mut bound, &pair.target, &pair.target)?;
            stream(&test, |x| Ok(bound.forward(x, &mut Ctx::eval())?))
        })?;
        Ok(results)
    })?;
    for (name, accuracy, seconds) in all.into_iter().flatten() {
        trials.push(name, accuracy, seconds);
    }
    Ok(trials)
}

fn shuffled(data: &Dataset, seed: u64) -> Outcome<Dataset> {
    use rand::{SeedableRng, seq::SliceRandom};
    let mut order: Vec<usize> = (0..data.len()).collect();
    order.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
    Ok(data.select(&order)?)
}
