//! NumPy's arrays and archives of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tl_data::read::{Limits, npy};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::bytes(1 << 24);
    let _ = npy::parse(bytes, limits);
    let _ = npy::parse_npz(bytes, limits);
});
