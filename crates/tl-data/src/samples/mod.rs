//! Real data in the binary: small enough for tests, large enough to learn from.
//!
//! | function | samples | of | licence |
//! |---|---|---|---|
//! | [`digits`] | 1,797 | handwritten digits, 8x8 | UCI, BSD 3-clause |
//! | [`mnist`] | 2,000 + 1,000 | handwritten digits, 28x28 | CC BY-SA 3.0 |
//! | [`mnist_8x8`] | 2,000 + 1,000 | the same, made like [`digits`] | CC BY-SA 3.0 |
//! | [`fashion_mnist`] | 1,500 + 500 | garments, 28x28 | MIT |
//! | [`zoo`] | 101 | animals by attributes | UCI |
//! | [`definitions`] | 2,400 + 1,200 + 800 | definitions of nouns by kind | WordNet 3.0 |
//! | [`iris`], [`wine`], [`breast_cancer`] | 150, 178, 569 | tables | UCI, BSD 3-clause |
//!
//! Sources and terms in full are in the crate's `data/README.md`.

mod images;
mod tables;
mod texts;

pub use images::{digits, fashion_mnist, mnist, mnist_8x8};
pub use tables::{breast_cancer, iris, wine, zoo};
pub use texts::{Texts, definitions};

/// What is embedded is tested to be readable; so an error cannot happen.
fn embedded<T>(read: crate::Result<T>) -> T {
    match read {
        Ok(data) => data,
        Err(error) => unreachable!("the embedded data is damaged: {error}"),
    }
}
