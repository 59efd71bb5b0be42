//! A checkpoint of a training run, which a run then goes on from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use tl_nn::{Adam, Error, Forward, Linear, Optimizer, Reduction, Tensor, Trainer, loss};

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.safetensors");
    std::fs::write(&path, bytes).expect("a file");
    let mut model = Linear::new(2, 1, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0));
    let (x, y) = (Tensor::ones([4, 2]), Tensor::ones([4, 1]));
    let _ = Trainer::new(Optimizer::new(Adam::new(1e-3)), 2).checkpoint(&path).resume().fit(
        &mut model,
        |_| [Ok::<_, Error>((x.clone(), y.clone()))],
        |model, (x, y), cx| Ok(loss::mse(&model.forward(x, cx)?, y, Reduction::Mean)?),
    );
});
