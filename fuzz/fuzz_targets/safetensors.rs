//! Weights: both readers, and what is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tl_nn::StateDict;

fuzz_target!(|bytes: &[u8]| {
    let _ = tl_data::read::safetensors::parse(bytes);
    let Ok(dict) = StateDict::from_bytes(bytes.to_vec()) else { return };
    for (_, weight) in dict.iter() {
        let _ = weight.to_tensor();
    }
    let again =
        dict.to_bytes().and_then(StateDict::from_bytes).expect("what was read can be written");
    assert_eq!(dict.len(), again.len());
});
