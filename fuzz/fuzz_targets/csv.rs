//! Tables, and data sets of each of their columns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tl_data::read::{
    Limits,
    csv::{Csv, Missing},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(table) = Csv::new().limits(Limits::bytes(1 << 20)).parse(bytes) else { return };
    for column in table.columns() {
        let _ = table.dataset(&column.name, Missing::Mean);
        let _ = table.dataset(&column.name, Missing::Error);
    }
});
