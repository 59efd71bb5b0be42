//! What PyTorch computes: layers with its state dicts, losses, ten steps of
//! optimisers, schedules. The files come from `tools/fixtures/generate.py`,
//! which names the version.

mod layers;
mod losses;
mod optimisers;

use tl_nn::{StateDict, Tensor};

fn read(name: &str) -> StateDict {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    StateDict::open(format!("{folder}/{name}.safetensors")).unwrap()
}

/// Equal up to `part` of the tensor's largest number.
fn close(what: &str, ours: &Tensor, theirs: &Tensor, part: f32) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let theirs = theirs.to_vec();
    let scale = theirs.iter().fold(0.01_f32, |s, x| s.max(x.abs()));
    for (i, (a, b)) in ours.to_vec().into_iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= part * scale, "{what}[{i}]: {a}, PyTorch has {b}");
    }
}
