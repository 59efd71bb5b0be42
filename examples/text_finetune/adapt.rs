//! The ways to adapt an encoder.

use super::{Flags, corpus::Corpus, shared::Outcome};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{collections::HashMap, path::Path};
use transfer_learning::{
    data::Dataset,
    finetune::{Extract, FineTune, FineTuneReport, LoraConfig, Method, Result, linear_probe, peft},
    models::{Bert, BertConfig, SentenceClassifier, SentenceEmbedder, TextBatch},
    nn::Linear,
    prelude::*,
};

/// Words to numbers.
pub enum Tokens {
    /// WordPiece, as MiniLM has it.
    Pieces(Box<SentenceEmbedder>),
    /// Whole words; the others are 1.
    Words(HashMap<String, usize>),
}

/// A pre-trained encoder and what makes one anew.
pub struct Encoder {
    pub bert: Bert,
    pub config: BertConfig,
    pub tokens: Tokens,
}

impl Encoder {
    pub fn mini_lm(folder: &Path) -> Outcome<Self> {
        let config = BertConfig::open(folder.join("config.json"))?;
        let embedder = SentenceEmbedder::from_folder(folder)?;
        let bert = embedder.model.clone();
        Ok(Self { bert, config, tokens: Tokens::Pieces(Box::new(embedder)) })
    }

    fn encode(&self, text: &str, most: usize) -> Vec<usize> {
        match &self.tokens {
            Tokens::Pieces(embedder) => embedder.tokenizer.encode(text, most),
            Tokens::Words(words) => {
                // A first token, so that no text is empty.
                let own = words_of(text).map(|w| words.get(&w).copied().unwrap_or(1));
                std::iter::once(2).chain(own).take(most).collect()
            }
        }
    }

    /// Texts as a data set of token ids.
    pub fn dataset(
        &self,
        texts: &[(String, usize)],
        classes: &[String],
        most: usize,
    ) -> Outcome<Dataset> {
        let ids: Vec<Vec<usize>> = texts.iter().map(|(t, _)| self.encode(t, most)).collect();
        let labels = texts.iter().map(|(_, y)| *y).collect();
        let features = TextBatch::to_tensor(&ids, self.config.pad_token_id)?;
        Ok(Dataset::classification(features, labels, classes.to_vec())?)
    }

    /// The encoder with a head.
    pub fn classifier(
        &self,
        bert: &Bert,
        classes: usize,
        rng: &mut ChaCha8Rng,
    ) -> SentenceClassifier {
        SentenceClassifier::new(bert.clone(), classes, self.config.pad_token_id, rng)
    }
}

/// The words of a text, in lower case.
pub fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase)
}

/// How much is done.
pub struct Plan {
    /// Longer texts are cut.
    most: usize,
    epochs: usize,
    scratch_epochs: usize,
    full_rate: f32,
    lora_rate: f32,
    lora_alpha: f32,
    shots: usize,
    tests: usize,
    /// Tests on labelled texts of the training part that were not drawn.
    validate: bool,
    /// LoRA and full fine-tuning alone.
    tuned: bool,
}

impl Plan {
    pub fn of(corpus: &Corpus, large: bool, flags: &Flags) -> Self {
        let quick = flags.shared.quick;
        let (shots, tests) = if quick { (4, 80) } else { (corpus.shots, 800) };
        let (epochs, scratch_epochs) = match (quick, large) {
            (true, _) => (1, 1),
            (_, true) => (4, 4),
            (_, false) => (20, 30),
        };
        // Those of the large encoder are chosen with `--validate`, on the four sentiments.
        let (full_rate, lora_rate, lora_alpha) =
            if large { (1e-4, 2e-3, 16.0) } else { (5e-4, 3e-3, 8.0) };
        Self {
            most: 64,
            epochs: flags.passes.unwrap_or(epochs),
            scratch_epochs: flags.passes.unwrap_or(scratch_epochs),
            full_rate: flags.full_rate.unwrap_or(full_rate),
            lora_rate: flags.lora_rate.unwrap_or(lora_rate),
            lora_alpha: flags.lora_alpha.unwrap_or(lora_alpha),
            shots,
            tests,
            validate: flags.validate,
            tuned: flags.tuned,
        }
    }
}

/// Every so many, so that no more than `most` are left.
fn thinned(data: &Dataset, most: usize) -> Outcome<Dataset> {
    let step = data.len().div_ceil(most).max(1);
    Ok(data.select(&(0..data.len()).step_by(step).collect::<Vec<_>>())?)
}

/// Which layers LoRA adapts.
pub const TARGETS: [&str; 4] = ["query", "key", "value", "dense"];

pub fn run(
    encoder: &Encoder,
    corpus: &Corpus,
    plan: &Plan,
    seeds: u64,
    bar: &ProgressBar,
) -> Outcome<FineTuneReport> {
    let classes = corpus.classes.len();
    let train = encoder.dataset(&corpus.train, &corpus.classes, plan.most)?;
    let test = encoder.dataset(&corpus.test, &corpus.classes, plan.most)?;
    let mut report = FineTuneReport::new(&corpus.name);
    for seed in 0..seeds {
        bar.set_message(corpus.name.clone());
        let rng = || ChaCha8Rng::seed_from_u64(seed);
        let (few, rest) = train.k_shot(plan.shots, &mut rng())?;
        let test = thinned(if plan.validate { &rest } else { &test }, plan.tests)?;
        let tune = |method, epochs| {
            FineTune::new(method, "classifier.**").epochs(epochs).batch(16).seed(seed)
        };
        let probe = || -> Result<Linear> {
            let model = encoder.classifier(&encoder.bert, classes, &mut rng());
            let features = Extract::new().batch(16).run_with(
                &model,
                &few,
                |m: &SentenceClassifier, x, cx| m.features(x, cx),
            )?;
            linear_probe(&features, seed)
        };
        let with_probe = || -> Result<SentenceClassifier> {
            let mut model = encoder.classifier(&encoder.bert, classes, &mut rng());
            model.classifier = probe()?;
            Ok(model)
        };
        if !plan.tuned {
            report.run("from scratch", &test, || {
                let fresh = Bert::new(&encoder.config, &mut rng())?;
                let mut model = encoder.classifier(&fresh, classes, &mut rng());
                let tune = tune(Method::Full { body_rate: 1.0 }, plan.scratch_epochs);
                tune.lr(plan.full_rate).fit(&mut model, &few)?;
                Ok(model)
            })?;
            report.run("linear probe", &test, || {
                let mut model = with_probe()?;
                let _ = model.freeze("**")?;
                let _ = model.unfreeze("classifier.**")?;
                Ok(model)
            })?;
        }
        report.run("LoRA, rank 8", &test, || {
            let mut model = with_probe()?;
            let config = LoraConfig::new(TARGETS).rank(8).alpha(plan.lora_alpha);
            let config = config.train(["classifier"]);
            peft::attach(&mut model, corpus.name.split(',').next().unwrap_or("new"), config, seed)?;
            tune(Method::AsIs, plan.epochs).lr(plan.lora_rate).fit(&mut model, &few)?;
            Ok(model)
        })?;
        report.run("full", &test, || {
            let mut model = with_probe()?;
            let tune = tune(Method::Full { body_rate: 1.0 }, plan.epochs);
            tune.lr(plan.full_rate).fit(&mut model, &few)?;
            Ok(model)
        })?;
        bar.inc(1);
    }
    Ok(report)
}
