//! MATLAB's arrays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tl_data::read::{Limits, mat};

fuzz_target!(|bytes: &[u8]| {
    let Ok(variables) = mat::parse(bytes, Limits::bytes(1 << 24)) else { return };
    for variable in variables.values() {
        let _ = variable.texts();
        if let Ok(numbers) = variable.numbers() {
            let _ = numbers.to_tensor();
            let _ = numbers.to_labels();
        }
    }
});
