//! Dividing samples: into parts, into folds, into a few and the rest.
//!
//! The functions work on labels and give lists of indices, each in ascending
//! order; methods of [`Dataset`](crate::Dataset) of the same names give data
//! sets. The same seed of the generator gives the same division.

mod few_shot;
mod fold;
mod holdout;

pub use few_shot::k_shot;
pub use fold::{Fold, k_fold, stratified_k_fold};
pub use holdout::{random_split, stratified_split};

use crate::{Error, Result};

/// The samples of each class, in ascending order.
///
/// # Errors
/// A label that is not less than `classes`.
pub fn by_class(labels: &[usize], classes: usize) -> Result<Vec<Vec<usize>>> {
    let mut members = vec![Vec::new(); classes];
    for (sample, &label) in labels.iter().enumerate() {
        let class: &mut Vec<usize> =
            members.get_mut(label).ok_or(Error::Label { sample, label, classes })?;
        class.push(sample);
    }
    Ok(members)
}

/// The error of a class that has too few samples, if `have` is less than `need`.
fn enough(class: usize, have: usize, need: usize) -> Result<()> {
    if have < need {
        return Err(Error::TooFew { class, name: class.to_string(), have, need });
    }
    Ok(())
}

/// Gives a class its name in an error about too few samples.
fn name_class(error: Error, names: &[String]) -> Error {
    match error {
        Error::TooFew { class, have, need, name } => {
            let name = names.get(class).cloned().unwrap_or(name);
            Error::TooFew { class, name, have, need }
        }
        other => other,
    }
}
