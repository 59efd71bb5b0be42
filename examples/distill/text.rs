//! A sentence encoder in a third of the layers, and in none at all.
//!
//! The teacher is all-MiniLM-L6-v2. Students: its own layers 1, 3 and 5, trained
//! to give its vectors for unlabelled sentences; and a table of a vector for
//! each token, made without any sentence. Beside each what it is without the
//! teacher: the same layers untrained, and the mean of the word vectors that
//! the encoder begins with. Measured: Spearman's correlation of the cosines of
//! pairs of unseen sentences with the teacher's, and the accuracy of a linear
//! probe for sentiment.

use crate::shared::{
    Outcome,
    texts::{Rated, rated},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{path::Path, time::Instant};
use transfer_learning::{
    data::Dataset,
    distill::{Distill, NO_TEACHER, Soft, StaticConfig, StaticEmbedding, Storage, outputs},
    models::{Bert, BertConfig, TextBatch, TextModel, WordPiece},
    nn::{
        Ctx, Forward, Indices, ModuleExt, Result, StateDict, Tensor, metric::Trials,
        metric::accuracy, module, shallow::LogisticRegression,
    },
};

const LONGEST: usize = 32;

/// Sentences as numbers `[n, LONGEST]`, padded with 0, to unit vectors.
#[derive(Clone, Debug)]
struct Encoder {
    bert: Bert,
}
module!(Encoder { bert });

impl Forward for Encoder {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let rows = x.to_vec();
        let text = |row: &[f32]| -> Vec<usize> {
            row.iter().take_while(|id| **id > 0.0).map(|id| *id as usize).collect()
        };
        let texts: Vec<Vec<usize>> = rows.chunks(x.dims()[1]).map(text).collect();
        let y = self.bert.features(&TextBatch::padded(&texts, 0)?, cx)?;
        Ok(y.div(&y.norm([1], true)?.add_scalar(1e-12))?)
    }
}

/// A snippet, and whether it is a good word.
struct Snippet {
    text: String,
    good: bool,
}

/// Those that are good or bad.
fn read(file: &Path) -> Outcome<Vec<Snippet>> {
    let good = |s: Rated| s.polarity().map(|p| Snippet { good: p == 1, text: s.text });
    Ok(rated(file)?.into_iter().filter_map(good).collect())
}

struct Task {
    tokenizer: WordPiece,
    /// Unlabelled sentences to learn from.
    train: Vec<String>,
    /// Sentences with sentiment: to fit a probe, and to test everything.
    probe: Vec<Snippet>,
    test: Vec<Snippet>,
    pairs: Vec<(usize, usize)>,
}

impl Task {
    fn ids(&self, texts: impl Iterator<Item = impl AsRef<str>>) -> Outcome<Tensor> {
        let mut all = Vec::new();
        for text in texts {
            let mut ids = self.tokenizer.encode(text.as_ref(), LONGEST);
            ids.resize(LONGEST, 0);
            all.extend(ids.into_iter().map(|id| id as f32));
        }
        let n = all.len() / LONGEST;
        Ok(Tensor::from_vec(all, [n, LONGEST])?)
    }

    fn cosines(&self, vectors: &Tensor) -> Outcome<Vec<f64>> {
        let (d, all) = (vectors.dims()[1], vectors.to_vec());
        let row = |i: usize| &all[i * d..(i + 1) * d];
        let dot = |(a, b): &(usize, usize)| {
            row(*a).iter().zip(row(*b)).map(|(x, y)| f64::from(x * y)).sum()
        };
        Ok(self.pairs.iter().map(dot).collect())
    }

    /// Agreement with the teacher's cosines, and accuracy of the probe.
    fn score(&self, probe: &Tensor, test: &Tensor, teacher: &Tensor) -> Outcome<[f64; 2]> {
        let similarity = spearman(&self.cosines(test)?, &self.cosines(teacher)?);
        let class = |s: &[Snippet]| s.iter().map(|s| usize::from(s.good)).collect::<Vec<_>>();
        let fit = LogisticRegression::new().c(10.0).fit(probe, &class(&self.probe), 2)?;
        let right = accuracy(&fit.logits(test)?, &Indices::from(class(&self.test)))?;
        Ok([similarity, right])
    }
}

/// Spearman's rank correlation of numbers without ties.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |x: &[f64]| {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
        let mut ranks = vec![0.0; x.len()];
        order.into_iter().enumerate().for_each(|(rank, i)| ranks[i] = rank as f64);
        ranks
    };
    let n = a.len() as f64;
    let squares: f64 = ranks(a).iter().zip(ranks(b)).map(|(x, y)| (x - y).powi(2)).sum();
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

/// The encoder with some of its layers only.
fn layers(folder: &Path, kept: &[usize]) -> Outcome<Encoder> {
    let config = BertConfig::open(folder.join("config.json"))?;
    let config = BertConfig { num_hidden_layers: kept.len(), ..config };
    let whole = StateDict::open(folder.join("model.safetensors"))?;
    let mut dict = StateDict::new();
    for (name, weight) in whole.iter() {
        match name.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.')) {
            Some((number, rest)) => {
                let number: usize = number.parse()?;
                if let Some(new) = kept.iter().position(|k| *k == number) {
                    dict.insert(format!("encoder.layer.{new}.{rest}"), weight.clone());
                }
            }
            None if name.starts_with("pooler") => {}
            None => dict.insert(name, weight.clone()),
        }
    }
    let mut bert = Bert::from_state_dict(&config, &dict)?;
    bert.freeze("embeddings.**")?;
    Ok(Encoder { bert })
}

/// The table of a vector for each token, and its file's size.
fn table(folder: &Path, teacher: &Encoder) -> Outcome<StaticEmbedding> {
    let vocabulary = std::fs::read_to_string(folder.join("vocab.txt"))?;
    let pieces: Vec<&str> = vocabulary.lines().collect();
    let unused = pieces.iter().enumerate().filter(|(_, p)| p.starts_with('[') && p.len() > 1);
    let left_out: Vec<usize> = unused.map(|(i, _)| i).collect();
    let place = |piece: &str| pieces.iter().position(|p| *p == piece).unwrap_or(0) as f32;
    let (first, last) = (place("[CLS]"), place("[SEP]"));
    let encode = |tokens: &[usize]| {
        let rows = tokens.iter().flat_map(|&t| [first, t as f32, last]);
        let x = Tensor::from_vec(rows.collect(), [tokens.len(), 3])?;
        outputs(teacher, &x)
    };
    let config = StaticConfig::default();
    Ok(StaticEmbedding::distil(pieces.len(), &left_out, encode, &config)?)
}

/// The mean of the word vectors that the encoder begins with.
fn words(teacher: &Encoder) -> Outcome<StaticEmbedding> {
    let mut dict = StateDict::new();
    let all = teacher.state_dict();
    let name = "bert.embeddings.word_embeddings.weight";
    let Some(weight) = all.get(name) else { return Err(format!("no `{name}`").into()) };
    dict.insert("embeddings", weight.clone());
    Ok(StaticEmbedding::from_state_dict(&dict)?)
}

/// What the encoder's students keep of its similarities and of sentiment.
pub fn run(
    models: &Path,
    file: &Path,
    epochs: usize,
    quick: bool,
    seeds: u64,
) -> Outcome<[Trials; 4]> {
    let folder = models.join("all-MiniLM-L6-v2");
    let mut all = read(file)?;
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    let (test, probe) = if quick { (100, 200) } else { (600, 1200) };
    if all.len() < test + probe + 100 {
        return Err(format!("{}: {} snippets are too few", file.display(), all.len()).into());
    }
    let learn = if quick { 100 } else { 2000 };
    let train: Vec<String> =
        all[test + probe..].iter().take(learn).map(|s| s.text.clone()).collect();
    all.truncate(test + probe);
    let rest = all.split_off(test);
    // Each sentence with two others.
    let pairs = (0..test).flat_map(|i| [(i, (i + 1) % test), (i, (i + 7) % test)]).collect();
    let tokenizer = WordPiece::open(folder.join("vocab.txt"), true)?;
    let task = Task { tokenizer, train, probe: rest, test: all, pairs };
    let teacher = layers(&folder, &[0, 1, 2, 3, 4, 5])?;
    let x = task.ids(task.train.iter())?;
    let (probe, test) = (
        task.ids(task.probe.iter().map(|s| &s.text))?,
        task.ids(task.test.iter().map(|s| &s.text))?,
    );
    let said = outputs(&teacher, &test)?;
    let [_, best] = task.score(&outputs(&teacher, &probe)?, &said, &said)?;
    let name = format!("MiniLM (sentiment {best:.3}) to");
    let new = |what: &str, metric: &str| Trials::new(&format!("{name} {what}"), metric);
    let metrics = ["similarity with the teacher's", "sentiment, linear probe"];
    let mut deep = metrics.map(|m| new("3 of its layers", m));
    let mut flat = metrics.map(|m| new("a table of tokens", m));

    let data = Dataset::unlabelled(x)?;
    let cache = Path::new("target/distill/minilm.safetensors");
    std::fs::create_dir_all("target/distill")?;
    if cache.exists() {
        std::fs::remove_file(cache)?;
    }
    let recipe = Distill::new(Soft::EmbeddingCosine).hard(0.0).budget(epochs, 32).lr(3e-4);
    let recipe = recipe.cache(cache, Storage::F32);
    for seed in 0..seeds {
        for taught in [false, true] {
            let (mut student, start) = (layers(&folder, &[1, 3, 5])?, Instant::now());
            if taught {
                recipe.clone().seed(seed).fit(&teacher, &mut student, &data)?;
            }
            let seconds = start.elapsed().as_secs_f64();
            let way = if taught { "distilled" } else { NO_TEACHER };
            let own = [outputs(&student, &probe)?, outputs(&student, &test)?];
            let scores = task.score(&own[0], &own[1], &said)?;
            deep.iter_mut().zip(scores).for_each(|(t, s)| t.push(way, s, seconds));
        }
    }
    let start = Instant::now();
    let small = table(&folder, &teacher)?;
    let seconds = start.elapsed().as_secs_f64();
    for (way, table) in [(NO_TEACHER, &words(&teacher)?), ("static embeddings", &small)] {
        // Without the tokens around a text, of which the table knows nothing.
        let ids = |s: &[Snippet]| -> Vec<Vec<usize>> {
            let encode = |s: &Snippet| task.tokenizer.encode(&s.text, LONGEST);
            s.iter().map(encode).map(|t| t[1..t.len() - 1].to_vec()).collect()
        };
        let own = [table.embed(&ids(&task.probe))?, table.embed(&ids(&task.test))?];
        let scores = task.score(&own[0], &own[1], &said)?;
        flat.iter_mut().zip(scores).for_each(|(t, s)| t.push(way, s, seconds));
    }
    let [a, b] = deep;
    let [c, d] = flat;
    Ok([a, b, c, d])
}
