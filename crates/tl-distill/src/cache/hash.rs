//! Hashes of weights and samples: not against attackers, only against mistakes.

use tl_data::Dataset;
use tl_nn::{Forward, ModuleExt, Tensor};

/// FNV-1a over 64-bit words, with a shift that lets high bits reach low ones.
pub(super) struct Hash(pub(super) u64);

impl Hash {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    pub(super) fn numbers(&mut self, numbers: &[f32]) {
        numbers.iter().for_each(|v| self.word(u64::from(v.to_bits())));
    }

    pub(super) fn tensor(&mut self, x: &Tensor) {
        x.dims().iter().for_each(|&d| self.word(d as u64));
        self.numbers(&x.to_vec());
    }

    pub(super) fn name(&mut self, name: &str) {
        name.bytes().for_each(|b| self.word(u64::from(b)));
    }
}

pub(super) fn of_teachers(teachers: &[&impl Forward]) -> u64 {
    let mut hash = Hash::new();
    for teacher in teachers {
        for (path, param) in teacher.params() {
            hash.name(&path);
            hash.tensor(param.tensor());
        }
        for (path, buffer) in teacher.buffers() {
            hash.name(&path);
            hash.tensor(buffer.tensor());
        }
    }
    hash.0
}

/// A hash for each sample, of its features alone.
pub(super) fn of_samples(data: &Dataset) -> Vec<u64> {
    let all = data.features().to_vec();
    let size = data.sample_shape().iter().product::<usize>().max(1);
    let one = |row: &[f32]| {
        let mut hash = Hash::new();
        hash.numbers(row);
        hash.0
    };
    all.chunks(size).map(one).collect()
}
