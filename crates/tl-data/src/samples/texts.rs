//! Texts.

use super::embedded;
use crate::{Error, Result};
use std::io::Read;

/// Short texts with their classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// The texts.
    pub texts: Vec<String>,
    /// The class of each text.
    pub labels: Vec<usize>,
    /// The name of each class.
    pub class_names: Vec<String>,
}

/// Definitions of nouns by the kind of thing they define, from WordNet 3.0: lower
/// case, 4 to 24 words, no two equal. 2,400 of eight kinds to learn from first (act,
/// attribute, body, cognition, group, location, plant, state); of eight others
/// (animal, artifact, communication, feeling, food, person, substance, time) 1,200
/// for training and 800 for testing.
///
/// ```
/// let [first, train, test] = tl_data::samples::definitions();
/// assert_eq!([first.texts.len(), train.texts.len(), test.texts.len()], [2400, 1200, 800]);
/// assert_eq!(train.class_names, test.class_names);
/// ```
pub fn definitions() -> [Texts; 3] {
    embedded(parse(include_bytes!("../../data/definitions.tsv.gz")))
}

fn parse(bytes: &[u8]) -> Result<[Texts; 3]> {
    let mut text = String::new();
    let wrong = || Error::argument("definitions", "line", "damaged", "split, kind, definition");
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).map_err(|_| wrong())?;
    let mut parts = <[Texts; 3]>::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(split), Some(kind), Some(definition)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong());
        };
        let at = ["source", "train", "test"].iter().position(|s| *s == split).ok_or_else(wrong)?;
        let part = &mut parts[at];
        let class = match part.class_names.iter().position(|name| name == kind) {
            Some(class) => class,
            None => {
                part.class_names.push(kind.to_owned());
                part.class_names.len() - 1
            }
        };
        part.labels.push(class);
        part.texts.push(definition.to_owned());
    }
    Ok(parts)
}
