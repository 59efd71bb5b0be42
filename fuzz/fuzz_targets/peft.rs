//! Adapters of PEFT: a configuration and weights, the first line and the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use tl_finetune::peft;
use tl_nn::{Conv2d, LayerNorm, Linear, Sequential};

/// With the paths and shapes of the fixtures in crates/tl-finetune.
fn net() -> Sequential {
    let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
    Sequential::new()
        .named("conv", Conv2d::new(1, 4, 3, rng))
        .named("query", Linear::new(4, 6, rng))
        .named("value", Linear::new(6, 5, rng))
        .named("norm", LayerNorm::new(5))
        .named("classifier", Linear::new(5, 3, rng))
}

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (config, weights) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("adapter_config.json"), config).expect("a file");
    std::fs::write(folder.path().join("adapter_model.safetensors"), weights).expect("a file");
    let mut model = net();
    if peft::load(&mut model, "default", folder.path()).is_ok() {
        // What was read can be used and written.
        let _ = peft::into_merged(&model);
        peft::save(&model, "default", folder.path()).expect("what was read can be written");
    }
});
