//! Texts sorted by the names of their topics, beside a classifier with a few labels of
//! each class on the same vectors.

use crate::{
    Flags,
    corpus::{Corpus, fetched},
    results::Results,
    shared::{Outcome, bar},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{path::Path, time::Instant};
use transfer_learning::{
    data::Dataset,
    finetune::linear_probe,
    models::SentenceEmbedder,
    nn::{
        Ctx, Forward, Tensor,
        metric::{Trials, predictions},
    },
    zeroshot::{TextClassifier, per_class_accuracy},
};

/// Labels of each class that the classifiers beside get.
const SHOTS: [usize; 3] = [1, 3, 10];

/// What the groups are about, in words.
const TOPICS: [(&str, &str); 20] = [
    ("alt.atheism", "atheism"),
    ("comp.graphics", "computer graphics"),
    ("comp.os.ms-windows.misc", "the Microsoft Windows operating system"),
    ("comp.sys.ibm.pc.hardware", "IBM PC hardware"),
    ("comp.sys.mac.hardware", "Apple Macintosh hardware"),
    ("comp.windows.x", "the X Window System"),
    ("misc.forsale", "things for sale"),
    ("rec.autos", "cars"),
    ("rec.motorcycles", "motorcycles"),
    ("rec.sport.baseball", "baseball"),
    ("rec.sport.hockey", "ice hockey"),
    ("sci.crypt", "cryptography"),
    ("sci.electronics", "electronics"),
    ("sci.med", "medicine"),
    ("sci.space", "space flight and astronomy"),
    ("soc.religion.christian", "Christianity"),
    ("talk.politics.guns", "gun control"),
    ("talk.politics.mideast", "politics of the Middle East"),
    ("talk.politics.misc", "politics"),
    ("talk.religion.misc", "religion"),
];

/// Templates about a topic, and about an opinion.
const ABOUT: [&str; 5] = [
    "{}",
    "a text about {}",
    "this message is about {}",
    "a discussion of {}",
    "a question about {}",
];
const FEELS: [&str; 5] =
    ["{}", "a {} review", "this is {}", "the author feels {} about it", "an opinion that is {}"];

pub fn run(flags: &Flags, data: &Path, sentences: &Path, results: &mut Results) -> Outcome {
    let embedder = SentenceEmbedder::from_folder(sentences)?;
    let corpora = fetched(data)?;
    let bar = bar::over(corpora.len());
    for corpus in &corpora {
        let trials = compare(corpus, &embedder, flags.shared.seeds(), flags.shared.quick)?;
        bar.suspend(|| println!("{trials}"));
        results.add("zero-shot text", &trials)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// A seed draws half of the test texts and the labelled ones.
fn compare(
    corpus: &Corpus,
    embedder: &SentenceEmbedder,
    seeds: u64,
    quick: bool,
) -> Outcome<Trials> {
    let topics = corpus.classes.len() > 2;
    let words: Vec<&str> = corpus.classes.iter().map(|name| in_words(name)).collect();
    let raw: Vec<&str> = corpus.classes.iter().map(String::as_str).collect();
    let all = if topics { &ABOUT } else { &FEELS };
    let embed = |texts: &[&str]| embedder.embed(texts);
    let mut ways = vec![
        ("zero-shot, names in words", TextClassifier::new(embed, &words, &[])?),
        ("zero-shot, one template", TextClassifier::new(embed, &words, &all[1..2])?),
        ("zero-shot, five templates", TextClassifier::new(embed, &words, all)?),
    ];
    if topics {
        ways.insert(0, ("zero-shot, names as they are", TextClassifier::new(embed, &raw, &[])?));
    }
    let step = if quick { 8 } else { 1 };
    let test: Vec<&(String, usize)> = corpus.test.iter().step_by(step).collect();
    let vectors = embedder.embed(&test.iter().map(|(text, _)| text).collect::<Vec<_>>())?;

    let name = corpus.name.split(',').next().unwrap_or_default();
    let mut trials = Trials::new(name, "per-class accuracy");
    for seed in 0..seeds {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut rows: Vec<usize> = (0..test.len()).collect();
        rows.shuffle(rng);
        rows.truncate(test.len() / 2);
        let x = vectors.index_select(0, &rows[..].into())?;
        let truth: Vec<usize> = rows.iter().map(|&row| test[row].1).collect();

        trials.push("chance", 1.0 / words.len() as f64, 0.0);
        let always = vec![majority(corpus); truth.len()];
        trials.push("majority", per_class_accuracy(&always, &truth)?, 0.0);
        for (name, classifier) in &ways {
            let start = Instant::now();
            let scores = x.matmul(&classifier.classes().table().t()?)?;
            let accuracy = per_class_accuracy(&predictions(&scores)?, &truth)?;
            trials.push(name, accuracy, start.elapsed().as_secs_f64());
        }
        let few = labelled(corpus, embedder, rng)?;
        for shots in SHOTS {
            let start = Instant::now();
            let few = few.k_shot(shots, rng)?.0;
            let logits = linear_probe(&few, seed)?.forward(&x, &mut Ctx::eval())?;
            let accuracy = per_class_accuracy(&predictions(&logits)?, &truth)?;
            let way = format!("{shots} labels a class, logistic");
            trials.push(&way, accuracy, start.elapsed().as_secs_f64());
        }
    }
    Ok(trials)
}

fn in_words(class: &str) -> &str {
    TOPICS.iter().find(|(name, _)| *name == class).map_or(class, |(_, words)| words)
}

/// The most frequent class of training.
fn majority(corpus: &Corpus) -> usize {
    let count = |class: usize| corpus.train.iter().filter(|(_, c)| *c == class).count();
    (0..corpus.classes.len()).max_by_key(|&class| count(class)).unwrap_or(0)
}

/// Vectors of as many texts of each class as the largest number of labels.
fn labelled(
    corpus: &Corpus,
    embedder: &SentenceEmbedder,
    rng: &mut ChaCha8Rng,
) -> Outcome<Dataset> {
    let n = corpus.train.len();
    let labels: Vec<usize> = corpus.train.iter().map(|(_, class)| *class).collect();
    let places = Tensor::arange(0.0, n as f32, 1.0)?.reshape([n, 1])?;
    let all = Dataset::classification(places, labels, corpus.classes.clone())?;
    let drawn = all.k_shot(SHOTS[SHOTS.len() - 1], rng)?.0;
    let texts: Vec<&str> = drawn
        .features()
        .to_vec()
        .into_iter()
        .map(|place| corpus.train[place as usize].0.as_str())
        .collect();
    Ok(drawn.with_features(&embedder.embed(&texts)?)?)
}
