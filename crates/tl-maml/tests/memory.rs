//! Predicted and measured memory. One test: measuring needs the process for
//! itself.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_maml::{
    Episodes, FewShot, IMaml, Maml, Prototypes, TaskSource, Tasks, cross_entropy, peak_bytes,
};
use tl_nn::{Act, BatchNorm2d, Conv2d, Flatten, Linear, Optimizer, Sequential, Sgd, Trainer};

fn net() -> Sequential {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    Sequential::new()
        .push(Conv2d::new(1, 8, 3, &mut rng))
        .push(BatchNorm2d::new(8))
        .push(Act::Relu)
        .push(Flatten)
        .push(Linear::new(8 * 36, 5, &mut rng))
}

fn tasks() -> Tasks {
    Tasks::from_labels(&tl_data::samples::digits()).unwrap().way(5).shot(2).query(4)
}

fn trainer<'a>() -> Trainer<'a> {
    Trainer::new(Optimizer::new(Sgd::new(0.01)), 1)
}

fn on<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// The peak of one meta-step; a step before it has made what stays.
fn of_a_step(maml: &Maml, meta_batch: usize) -> usize {
    let tasks = tasks();
    let mut learner = maml.learner(net()).unwrap();
    let mut step = || {
        let episodes = Episodes::new(&tasks, meta_batch, 1);
        maml.fit(trainer(), &mut learner, episodes, cross_entropy).map(drop)
    };
    step().unwrap();
    // The tasks themselves are data, not what is forecast.
    let data = peak_bytes(|| Episodes::new(&tasks, meta_batch, 1).epoch(0).next()).1;
    let (result, bytes) = peak_bytes(step);
    result.unwrap();
    bytes - data
}

#[test]
fn memory_is_as_forecast_and_does_not_grow_with_the_meta_batch() {
    let forecast = |maml: &Maml, meta_batch: usize| {
        let learner = maml.learner(net()).unwrap();
        let task = tasks().task(0, 0).unwrap();
        maml.forecast_memory(&learner, &task, cross_entropy, meta_batch).unwrap()
    };
    let close = |measured: usize, predicted: usize| {
        let ratio = measured as f64 / predicted as f64;
        assert!((0.8..1.1).contains(&ratio), "{measured} bytes, predicted {predicted}");
    };
    for maml in [Maml::new(1, 0.1), Maml::new(5, 0.1), Maml::new(5, 0.1).first_order()] {
        on(1, || close(of_a_step(&maml, 3), forecast(&maml, 3).peak()));
    }
    let maml = Maml::new(4, 0.1);
    on(1, || {
        let (few, many) = (of_a_step(&maml, 2), of_a_step(&maml, 24));
        assert!(many < few + few / 10, "{few} bytes for 2 tasks, {many} for 24");
    });
    on(2, || {
        let forecast = forecast(&maml, 24);
        assert_eq!(forecast.at_once, 2);
        let measured = of_a_step(&maml, 24);
        assert!(measured <= forecast.peak() * 11 / 10, "{measured} bytes, {forecast}");
        assert!(measured > forecast.one_task, "{measured} bytes, {forecast}");
    });

    // The implicit gradient does not remember the way.
    let implicit = |steps: usize| {
        on(1, || {
            let tasks = tasks();
            let imaml = IMaml::new(steps, 0.05);
            let mut model = net();
            let mut step = || {
                let episodes = Episodes::new(&tasks, 2, 1);
                imaml.fit(trainer(), &mut model, episodes, cross_entropy).map(drop)
            };
            step().unwrap();
            let (result, bytes) = peak_bytes(step);
            result.unwrap();
            bytes
        })
    };
    let (short, long) = (implicit(2), implicit(20));
    assert!(long < short + short / 10, "{short} bytes for 2 steps, {long} for 20");

    // Metric methods accumulate too.
    let metric = |meta_batch: usize| {
        on(1, || {
            let tasks = tasks();
            let mut model = FewShot { encoder: net(), head: Prototypes };
            let mut step = || model.fit(trainer(), Episodes::new(&tasks, meta_batch, 1)).map(drop);
            step().unwrap();
            let data = peak_bytes(|| Episodes::new(&tasks, meta_batch, 1).epoch(0).next()).1;
            let (result, bytes) = peak_bytes(step);
            result.unwrap();
            bytes - data
        })
    };
    let (few, many) = (metric(2), metric(16));
    assert!(many < few + few / 10, "{few} bytes for 2 tasks, {many} for 16");
}
