//! IDX files, plain and gzipped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tl_data::read::{Limits, idx};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = idx::parse(bytes, Limits::bytes(1 << 24)) {
        let _ = array.to_tensor();
        let _ = array.to_labels();
    }
});
