//! Classes of ImageNet without a picture: from what a sentence encoder makes of a
//! name to the row of a classifier.
//!
//! EfficientNet-Lite0's classifier has a row of 1,280 numbers for each of 1,000
//! classes. A ridge regression learns to predict rows from sentence embeddings of
//! 800 classes; the rows of the other 200 are then looked for among the predicted
//! ones. It retrieves classifier rows, so it is classifier synthesis, not
//! recognition; two photographs at the end show the latter.

use crate::shared::Outcome;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use transfer_learning::{
    data::Dataset,
    models::{Backbone, EfficientNetLite, EfficientNetLiteConfig, SentenceEmbedder},
    nn::{StateDict, Tensor, metric::Trials},
    prelude::*,
    zeroshot::{
        Compatibility, Method, PrototypeRegression, Signatures, Split, TextClassifier, choose,
    },
};

/// Classes that are unseen in every split.
const UNSEEN: usize = 200;
const TEMPLATES: [&str; 3] = ["a photo of a {}", "a {}", "{}"];

/// What `tools/fetch-models` and `tools/fetch-data` bring.
pub struct Files {
    models: PathBuf,
    names: PathBuf,
}

impl Files {
    /// If all of it is there.
    pub fn find(models: &Path, data: &Path) -> Option<Self> {
        let names = data.join("imagenet-names/classes.tsv");
        let weights = models.join("efficientnet-lite0.safetensors");
        let text = models.join("all-MiniLM-L6-v2/model.safetensors");
        let all = [&names, &weights, &text].iter().all(|p| p.is_file());
        all.then(|| Self { models: models.to_owned(), names })
    }
}

/// Names, sentence vectors of names and of descriptions, and classifier rows.
struct Classes {
    net: EfficientNetLite,
    rows: Dataset,
    semantics: Vec<(&'static str, Signatures)>,
}

impl Classes {
    fn read(files: &Files) -> Outcome<Self> {
        let mut names: Vec<String> = Vec::new();
        let mut told: Vec<String> = Vec::new();
        for line in std::fs::read_to_string(&files.names)?.lines() {
            let mut parts = line.split('\t').skip(1);
            let name = parts.next().unwrap_or_default();
            // Two cranes, two maillots: the number tells them apart.
            let twice = names.iter().any(|n| n == name);
            names.push(if twice { format!("{name} {}", names.len()) } else { name.to_owned() });
            let description = parts.next().unwrap_or_default();
            told.push(if description.is_empty() {
                name.to_owned()
            } else {
                description.to_owned()
            });
        }
        let embedder = SentenceEmbedder::from_folder(files.models.join("all-MiniLM-L6-v2"))?;
        let embed = |texts: &[&str]| embedder.embed(texts);
        let short: Vec<&str> = names.iter().map(String::as_str).collect();
        let by_name = TextClassifier::new(embed, &short, &TEMPLATES)?.classes().clone();
        let by_description = Signatures::new(names.clone(), embedder.embed(&told)?)?;
        let both = by_name.mixed(&by_description.unit()?, 0.5)?;

        let config = EfficientNetLiteConfig::lite0();
        let path = files.models.join("efficientnet-lite0.safetensors");
        let mut net = EfficientNetLite::from_safetensors(&config, path)?;
        let rows = net.head_mut().weight.tensor().detach();
        // Directions, around their mean: that is what a class is told by.
        let rows = unit(&rows.sub(&rows.mean(0, true)?)?)?;
        let rows = Dataset::classification(rows, (0..names.len()).collect(), names)?;
        let semantics = vec![
            ("ridge on names", by_name),
            ("ridge on descriptions", by_description),
            ("ridge on both", both),
        ];
        Ok(Self { net, rows, semantics })
    }
}

fn unit(x: &Tensor) -> Outcome<Tensor> {
    Ok(x.div(&x.square().sum(-1, true)?.sqrt())?)
}

/// A ridge for each strength; one is chosen on held-out classes.
fn fit(split: &Split, seed: u64) -> Outcome<Box<dyn Compatibility>> {
    let grid = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0].map(|alpha| PrototypeRegression { alpha });
    let settings: Vec<&dyn Method> = grid.iter().map(|m| m as &dyn Method).collect();
    Ok(choose(&settings, &split.train, 4, seed)?.1)
}

/// Top-1 and top-5 over splits; the first way is chance.
pub fn compare(files: &Files, splits: u64) -> Outcome<[Trials; 2]> {
    let classes = Classes::read(files)?;
    let data = format!("ImageNet classifier rows, {UNSEEN} of 1,000 classes unseen");
    let mut trials = [1, 5].map(|k| Trials::new(&data, &format!("top-{k} accuracy")));
    for seed in 0..splits {
        for (trials, k) in trials.iter_mut().zip([1.0, 5.0]) {
            trials.push("chance", k / UNSEEN as f64, 0.0);
        }
        for (name, signatures) in &classes.semantics {
            let start = Instant::now();
            let split = Split::random(&classes.rows, signatures, UNSEEN, 0.0, seed)?;
            let model = fit(&split, seed)?;
            let test = &split.unseen;
            let scores = model.scores(&test.features, test.classes.table())?;
            let seconds = start.elapsed().as_secs_f64();
            for (trials, k) in trials.iter_mut().zip([1, 5]) {
                let labels = test.labels[..].into();
                let reached = transfer_learning::nn::metric::top_k_accuracy(&scores, &labels, k)?;
                trials.push(name, reached, seconds);
            }
        }
    }
    photographs(&classes)?;
    Ok(trials)
}

/// Two photographs of scikit-learn (CC BY 2.0: china.jpg by M. Denny, flower.jpg by
/// dany13), shrunk, whose classes are among the unseen ones.
fn photographs(classes: &Classes) -> Outcome {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tl-models/tests/fixtures/efficientnet_photos.safetensors"
    );
    if !Path::new(file).is_file() {
        return Ok(());
    }
    let pixels = StateDict::open(file)?.tensor("pixels")?.mul_scalar(1.0 / 255.0);
    let x = classes.net.preprocess().standardise(&pixels)?;
    let features = unit(&classes.net.features(&x, &mut Ctx::eval())?.detach())?;
    let (_, signatures) = &classes.semantics[0];
    let names = signatures.names();
    // Both classes and 198 others are taken out of training.
    let shown = [698, 985];
    let others = (0..names.len()).step_by(5).filter(|c| !shown.contains(c)).take(UNSEEN - 2);
    let unseen: Vec<&str> = shown.into_iter().chain(others).map(|c| names[c].as_str()).collect();
    let split = Split::new(&classes.rows, signatures, &unseen, 0.0, 0)?;
    let scores = fit(&split, 0)?.scores(&features, split.unseen.classes.table())?;
    for (photo, truth) in [(0, 698), (1, 985)] {
        let row = scores.select(0, photo)?.to_vec();
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        let said: Vec<&str> =
            order.iter().take(3).map(|&c| split.unseen.classes.names()[c].as_str()).collect();
        println!("a photo of a {}, never trained on: {}", names[truth], said.join(", "));
    }
    Ok(())
}
