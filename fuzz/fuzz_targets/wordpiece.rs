//! Texts to tokens: any text, with a small vocabulary.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tl_models::WordPiece;

static TOKENIZER: LazyLock<WordPiece> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##a\nthe\n!\n").expect("a file");
    WordPiece::open(file.path(), true).expect("a vocabulary")
});

fuzz_target!(|text: &str| {
    let ids = TOKENIZER.encode(text, 64);
    assert!(ids.len() <= 64 && ids.iter().all(|&id| id < 8));
});
