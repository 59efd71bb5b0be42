//! Texts sorted into classes that are known by their names.

use crate::{
    Error, Result, Signatures, ZeroShot, fill_templates,
    method::{Project, Similarity},
    template_ensemble,
};
use std::fmt;
use tl_nn::Tensor;

/// Turns texts into vectors `[n, d]`: a sentence encoder, or any function.
pub trait Embed {
    /// A row for each text.
    ///
    /// # Errors
    /// Those of the encoder.
    fn embed(&self, texts: &[&str]) -> tl_nn::Result<Tensor>;
}

impl<F: Fn(&[&str]) -> tl_nn::Result<Tensor>> Embed for F {
    fn embed(&self, texts: &[&str]) -> tl_nn::Result<Tensor> {
        self(texts)
    }
}

/// Cosines of samples with signatures of the same space, without training: what
/// sentence encoders and dual encoders are compared by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cosine;

impl Project for Cosine {
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }

    fn similarity(&self) -> Similarity {
        Similarity::Cosine
    }
}

/// Zero-shot classification of texts by sentence embeddings: the class whose
/// name, put into templates, is nearest by cosine.
///
/// The vector of a class is the mean of its templates' unit vectors, brought to
/// length 1 again (Radford et al. 2021, section 3.1.4), and is computed once:
/// thousands of classes cost a matrix product, not an encoder pass each. Classes
/// come and go as in [`ZeroShot`].
///
/// ```
/// use tl_nn::Tensor;
/// use tl_zeroshot::TextClassifier;
/// # fn main() -> tl_zeroshot::Result<()> {
/// // Stands for `tl_models::SentenceEmbedder::embed`: counts of two words.
/// let embed = |texts: &[&str]| {
///     let count = |t: &&str| ["ball", "vote"].map(|w| t.matches(w).count() as f32 + 0.01);
///     Ok(Tensor::from_vec(texts.iter().flat_map(count).collect(), [texts.len(), 2])?)
/// };
/// let mut topics = TextClassifier::new(embed, &["football"], &["a text about {}"])?;
/// topics.add_described("politics", &["people vote", "a vote in parliament"])?;
/// assert_eq!(topics.classify(&["the ball went in", "they vote today"])?, ["football", "politics"]);
/// # Ok(())
/// # }
/// ```
pub struct TextClassifier<E> {
    embed: E,
    templates: Vec<String>,
    classifier: ZeroShot,
}

impl<E: Embed> TextClassifier<E> {
    /// Classes by their names. A template holds `{}` where the name goes; without
    /// any, the name stands alone.
    ///
    /// # Errors
    /// No class; a name twice; a template without `{}`, which would be the same
    /// text for all classes; those of the encoder.
    pub fn new(embed: E, classes: &[&str], templates: &[&str]) -> Result<Self> {
        let wrong = |name, got, expected| Err(Error::argument("texts", name, got, expected));
        if classes.is_empty() {
            return wrong("classes", "none", "the name of one class or more");
        }
        if let Some(bad) = templates.iter().find(|t| !t.contains("{}")) {
            return wrong("template", *bad, "a text with `{}` where the name goes");
        }
        let templates = if templates.is_empty() { &["{}"] } else { templates };
        let vectors = class_vectors(&embed, classes, templates)?;
        let classes = Signatures::new(classes.iter().copied(), vectors)?;
        let templates = templates.iter().map(|&t| t.to_owned()).collect();
        Ok(Self { embed, templates, classifier: ZeroShot::new(Box::new(Cosine), classes) })
    }

    /// Adds a class by its name; only its own texts are encoded.
    ///
    /// # Errors
    /// A name that is there; those of the encoder.
    pub fn add(&mut self, name: &str) -> Result<()> {
        let templates: Vec<&str> = self.templates.iter().map(String::as_str).collect();
        let vector = class_vectors(&self.embed, &[name], &templates)?;
        self.classifier.add(name, &vector.to_vec())
    }

    /// Adds a class by texts that describe it, such as definitions or examples.
    ///
    /// # Errors
    /// A name that is there; no description; those of the encoder.
    pub fn add_described(&mut self, name: &str, descriptions: &[&str]) -> Result<()> {
        if descriptions.is_empty() {
            let expected = "one text or more that describes the class";
            return Err(Error::argument("texts", "descriptions", "none", expected));
        }
        let vectors = self.embed.embed(descriptions)?.unsqueeze(1)?;
        self.classifier.add(name, &template_ensemble(&vectors)?.to_vec())
    }

    /// The classes with their thresholds and handicaps, to look at and to change:
    /// [`ZeroShot::remove`], [`ZeroShot::rename`], [`ZeroShot::reject_unknown`].
    pub fn classes_mut(&mut self) -> &mut ZeroShot {
        &mut self.classifier
    }

    /// The classes there are now.
    pub fn classes(&self) -> &Signatures {
        self.classifier.classes()
    }

    /// The vectors of texts, `[n, d]`.
    ///
    /// # Errors
    /// No text; those of the encoder.
    pub fn vectors(&self, texts: &[&str]) -> Result<Tensor> {
        if texts.is_empty() {
            return Err(Error::argument("texts", "texts", "none", "one or more"));
        }
        Ok(self.embed.embed(texts)?)
    }

    /// Cosines of texts and classes, `[n, classes]`.
    ///
    /// # Errors
    /// No text; those of the encoder.
    pub fn scores(&self, texts: &[&str]) -> Result<Tensor> {
        self.classifier.scores(&self.vectors(texts)?)
    }

    /// The class of every text, "unknown" where [`ZeroShot::reject_unknown`] was
    /// set and says so.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn classify(&self, texts: &[&str]) -> Result<Vec<&str>> {
        self.classifier.classify(&self.vectors(texts)?)
    }

    /// `softmax(scale · cosine)`, `[n, classes]`. CLIP's scale is 100; it does not
    /// change which class is first, only how sure it seems. Fit it on labelled
    /// texts before you call the numbers probabilities.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn probabilities(&self, texts: &[&str], scale: f32) -> Result<Tensor> {
        Ok(self.scores(texts)?.mul_scalar(scale).softmax(-1)?)
    }

    /// Every class whose cosine reaches `threshold`, for texts that may belong to
    /// several or none, the best first.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn multi_label(&self, texts: &[&str], threshold: f32) -> Result<Vec<Vec<(&str, f32)>>> {
        let (scores, names) = (self.scores(texts)?.to_vec(), self.classes().names());
        let reached = |row: &[f32]| {
            let mut all: Vec<(&str, f32)> = names
                .iter()
                .map(String::as_str)
                .zip(row.iter().copied())
                .filter(|(_, score)| *score >= threshold)
                .collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all
        };
        Ok(scores.chunks_exact(names.len()).map(reached).collect())
    }
}

impl<E> fmt::Debug for TextClassifier<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextClassifier")
            .field("templates", &self.templates)
            .field("classifier", &self.classifier)
            .finish_non_exhaustive()
    }
}

/// A unit vector for each class, `[classes, d]`.
fn class_vectors(embed: &impl Embed, classes: &[&str], templates: &[&str]) -> Result<Tensor> {
    let texts = fill_templates(templates, classes);
    let vectors = embed.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
    let width = vectors.size(-1)?;
    template_ensemble(&vectors.reshape([templates.len(), classes.len(), width])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters counted: a text's own vector, without any training.
    fn letters(texts: &[&str]) -> tl_nn::Result<Tensor> {
        let count = |t: &&str| {
            ('a'..='z').map(|l| t.chars().filter(|c| *c == l).count() as f32).collect::<Vec<_>>()
        };
        Ok(Tensor::from_vec(texts.iter().flat_map(count).collect(), [texts.len(), 26])?)
    }

    #[test]
    fn added_classes_equal_a_rebuild_and_templates_are_averaged() {
        let templates = ["a {}", "many {}s"];
        let all = TextClassifier::new(letters, &["cat", "dog", "bird"], &templates).unwrap();
        let mut grown = TextClassifier::new(letters, &["cat"], &templates).unwrap();
        grown.add("dog").unwrap();
        grown.add("bird").unwrap();
        let texts = ["act", "god", "drib"];
        assert_eq!(all.scores(&texts).unwrap().to_vec(), grown.scores(&texts).unwrap().to_vec());
        assert_eq!(all.classify(&texts).unwrap(), ["cat", "dog", "bird"]);

        // By hand: the mean of two unit vectors, at length 1.
        let unit = |t: &str| {
            let v = letters(&[t]).unwrap().to_vec();
            let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            v.into_iter().map(|x| x / length).collect::<Vec<_>>()
        };
        let mean: Vec<f32> =
            unit("a cat").iter().zip(unit("many cats")).map(|(a, b)| a + b).collect();
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        for (got, want) in all.classes().table().to_vec().iter().zip(mean) {
            assert!((got - want / length).abs() < 1e-6);
        }
        assert!(grown.add("dog").is_err());
    }

    #[test]
    fn several_labels_or_none() {
        let topics = TextClassifier::new(letters, &["ab", "cd", "xy"], &[]).unwrap();
        let found = topics.multi_label(&["abcd", "q"], 0.5).unwrap();
        let names: Vec<&str> = found[0].iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["ab", "cd"]);
        assert!(found[1].is_empty());
        let p = topics.probabilities(&["ab"], 100.0).unwrap().to_vec();
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5 && p[0] > 0.99);
        assert!(TextClassifier::new(letters, &["ab", "ab"], &[]).is_err());
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let refused = |classes: &[&str], templates: &[&str]| {
            TextClassifier::new(letters, classes, templates).unwrap_err().to_string()
        };
        assert!(refused(&[], &[]).contains("one class or more"));
        assert!(refused(&["ab"], &["a {}", "a photo"]).contains("template is a photo"));
        let mut topics = TextClassifier::new(letters, &["ab"], &[]).unwrap();
        assert!(topics.add_described("cd", &[]).unwrap_err().to_string().contains("describes"));
        assert!(topics.classify(&[]).unwrap_err().to_string().contains("one or more"));
    }
}
