//! Texts by their words: what there is without a pre-trained encoder.

use crate::shared::Outcome;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use transfer_learning::{nn::StateDict, nn::Weight, prelude::*};

/// More words than this are not looked at: those in the most texts are kept.
const MOST: usize = 2048;

/// Words with their weights: `tf-idf` rows of length 1, where `tf` is the number
/// of times that a word is in a text and `idf = ln((1 + n) / (1 + m)) + 1` for a
/// word that is in `m` of `n` texts (scikit-learn's convention).
pub struct Words {
    words: Vec<String>,
    idf: Vec<f32>,
    place: HashMap<String, usize>,
}

impl Words {
    /// The words that are in at least two of these texts.
    pub fn fit(texts: &[&str]) -> Outcome<Self> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for text in texts {
            for word in words_of(text).collect::<BTreeSet<_>>() {
                *counts.entry(word).or_default() += 1;
            }
        }
        let mut known: Vec<(String, usize)> = counts.into_iter().filter(|(_, m)| *m > 1).collect();
        if known.is_empty() {
            return Err("no word is in two of the texts: there is nothing to learn from".into());
        }
        // The order among equals is that of the words: the same in every run.
        known.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        known.truncate(MOST);
        let n = texts.len() as f32;
        let idf = known.iter().map(|(_, m)| ((1.0 + n) / (1.0 + *m as f32)).ln() + 1.0).collect();
        Ok(Self::of(known.into_iter().map(|(word, _)| word).collect(), idf))
    }

    fn of(words: Vec<String>, idf: Vec<f32>) -> Self {
        let place = words.iter().cloned().enumerate().map(|(i, word)| (word, i)).collect();
        Self { words, idf, place }
    }

    /// `[n, words]`; a text without a known word is a row of zeros.
    pub fn features(&self, texts: &[&str]) -> Outcome<Tensor> {
        let width = self.words.len();
        let mut all = vec![0.0_f32; texts.len() * width];
        for (row, text) in all.chunks_exact_mut(width).zip(texts) {
            for place in words_of(text).filter_map(|word| self.place.get(&word)) {
                row[*place] += self.idf[*place];
            }
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|x| *x /= length);
            }
        }
        Ok(Tensor::from_vec(all, [texts.len(), width])?)
    }

    /// Adds what [`open`](Self::open) needs.
    pub fn save(&self, dict: &mut StateDict) -> Outcome {
        let idf = Tensor::from_slice(&self.idf, self.idf.len())?;
        dict.insert("words.idf", Weight::new(&idf));
        dict.metadata_mut().insert("words".to_owned(), serde_json::to_string(&self.words)?);
        Ok(())
    }

    /// What was saved.
    pub fn open(dict: &StateDict) -> Outcome<Self> {
        let words: Vec<String> =
            serde_json::from_str(dict.metadata().get("words").ok_or("the file has no words")?)?;
        let idf = dict.tensor("words.idf")?.to_vec();
        if idf.len() != words.len() {
            return Err(format!("{} words with {} weights", words.len(), idf.len()).into());
        }
        Ok(Self::of(words, idf))
    }
}

/// The words of a text, in lower case.
fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase)
}
