//! The texts.

use super::shared::Outcome;
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

/// Snippets rated above 0.5 or below -0.5 of -4 to 4. Those of one document, which
/// share the part of the identifier before `_`, are on one side of the split.
fn sentiment(folder: &Path, domain: &str) -> Outcome<Corpus> {
    let path = folder.join("vader").join(format!("{domain}.tsv"));
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let mut fields = line.splitn(3, '\t');
        let (Some(id), Some(score), Some(snippet)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let score: f64 = score.trim().parse().map_err(|e| format!("line {at}: {e}"))?;
        if score.abs() <= 0.5 {
            continue;
        }
        let document = id.split('_').next().unwrap_or(id);
        // One document in four is for testing.
        let number = document.bytes().fold(7_u64, |h, b| h.wrapping_mul(31) + u64::from(b));
        let to = if number % 4 == 0 { &mut test } else { &mut train };
        to.push((snippet.trim().to_owned(), usize::from(score > 0.0)));
    }
    let name = format!("sentiment of {domain}, 100 labels a class");
    let classes = vec!["negative".to_owned(), "positive".to_owned()];
    Ok(Corpus { name, classes, train, test: capped(test, 800), shots: 100 })
}

/// Words that carriers and mail programs leave: they tell who wrote, not what.
const TRACES: [&str; 14] = [
    "edu", "com", "org", "net", "gov", "uk", "ca", "cs", "writes", "article", "wrote", "subject",
    "email", "mail",
];

/// 20 Newsgroups. The package has no lines any more, so the subject cannot be told
/// from the text: the first twelve words, where it stands, are cut off, and with them
/// most of it. Words of mail addresses are cut out; quotations and signatures stay, so
/// some of the label still leaks.
fn newsgroups(folder: &Path) -> Outcome<Corpus> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut part = |file: &str| -> Outcome<Vec<(String, usize)>> {
        let path = folder.join("20newsgroups").join(file);
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut all = Vec::new();
        for line in text.lines() {
            let Some((label, message)) = line.split_once('\t') else { continue };
            let next = names.len();
            let class = *names.entry(label.to_owned()).or_insert(next);
            let words: Vec<&str> = message
                .split_whitespace()
                .skip(12)
                .filter(|w| !TRACES.contains(w))
                .take(80)
                .collect();
            if words.len() >= 10 {
                all.push((words.join(" "), class));
            }
        }
        Ok(all)
    };
    let (train, test) = (part("train.tsv")?, part("test.tsv")?);
    let mut classes = vec![String::new(); names.len()];
    for (name, class) in names {
        classes[class] = name;
    }
    let name = "20 newsgroups, 20 labels a group".to_owned();
    Ok(Corpus { name, classes, train, test: capped(test, 800), shots: 20 })
}

/// Every so many, so that no more than `most` are left.
fn capped(all: Vec<(String, usize)>, most: usize) -> Vec<(String, usize)> {
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step).collect()
}
