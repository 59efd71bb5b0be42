//! The texts.

use super::shared::{
    Outcome,
    texts::{messages, rated},
};
use std::{collections::BTreeMap, path::Path};
use transfer_learning::data::samples;

/// Labelled texts, split for training and testing.
pub struct Corpus {
    pub name: String,
    pub classes: Vec<String>,
    /// Text and class.
    pub train: Vec<(String, usize)>,
    pub test: Vec<(String, usize)>,
    /// Labels of each class that are given.
    pub shots: usize,
}

impl Corpus {
    /// Embedded: kinds of nouns by their definition.
    pub fn definitions() -> Self {
        let [_, train, test] = samples::definitions();
        let pairs = |t: samples::Texts| t.texts.into_iter().zip(t.labels).collect();
        let classes = train.class_names.clone();
        let name = "definitions, 20 labels a kind".to_owned();
        Self { name, classes, train: pairs(train), test: pairs(test), shots: 20 }
    }
}

/// What `tools/fetch-data` has brought.
pub fn fetched(folder: &Path) -> Outcome<Vec<Corpus>> {
    let mut all = Vec::new();
    for domain in ["amazon", "movies", "nyt", "tweets"] {
        all.push(sentiment(folder, domain)?);
    }
    all.push(newsgroups(folder)?);
    Ok(all)
}

/// Snippets that are good or bad; those of one document are on one side of the split.
fn sentiment(folder: &Path, domain: &str) -> Outcome<Corpus> {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for snippet in rated(&folder.join("vader").join(format!("{domain}.tsv")))? {
        let Some(polarity) = snippet.polarity() else { continue };
        let to = if snippet.for_testing() { &mut test } else { &mut train };
        to.push((snippet.text, polarity));
    }
    let name = format!("sentiment of {domain}, 100 labels a class");
    let classes = vec!["negative".to_owned(), "positive".to_owned()];
    Ok(Corpus { name, classes, train, test, shots: 100 })
}

/// 20 Newsgroups.
fn newsgroups(folder: &Path) -> Outcome<Corpus> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut part = |file: &str| -> Outcome<Vec<(String, usize)>> {
        let mut all = Vec::new();
        for message in messages(&folder.join("20newsgroups").join(file))? {
            let next = names.len();
            all.push((message.text, *names.entry(message.group).or_insert(next)));
        }
        Ok(all)
    };
    let (train, test) = (part("train.tsv")?, part("test.tsv")?);
    let mut classes = vec![String::new(); names.len()];
    for (name, class) in names {
        classes[class] = name;
    }
    let name = "20 newsgroups, 20 labels a group".to_owned();
    Ok(Corpus { name, classes, train, test, shots: 20 })
}
