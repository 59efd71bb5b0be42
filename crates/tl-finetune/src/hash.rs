//! Fingerprints of models and samples.

use tl_nn::{Module, ModuleExt};

/// FNV-1a over 64-bit words, mixed: not against attackers, only against mistakes.
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        text.bytes().for_each(|b| self.word(u64::from(b)));
    }

    pub(crate) fn numbers(&mut self, numbers: &[f32]) {
        self.word(numbers.len() as u64);
        numbers.iter().for_each(|x| self.word(u64::from(x.to_bits())));
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0
    }
}

/// Of all parameters (adapters too) and buffers of a model, by path.
pub(crate) fn of_model<M: Module>(model: &M) -> u64 {
    let mut hash = Hash::new();
    for (path, param) in model.params() {
        hash.text(&path);
        hash.numbers(&param.tensor().to_vec());
    }
    for (path, buffer) in model.buffers() {
        hash.text(&path);
        hash.numbers(&buffer.tensor().to_vec());
    }
    hash.finish()
}
