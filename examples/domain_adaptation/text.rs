//! Sentiment of texts of several kinds, on vectors of a pre-trained encoder: shallow
//! methods, and networks on top.

use crate::{
    compare::BOUND,
    net,
    shared::{Outcome, parallel, texts::rated},
};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, fs, path::Path, time::Instant};
use transfer_learning::{
    dann::{
        Adaptation, Jdot, Method, align_coral, align_subspaces, geodesic_flow, joint_cost,
        kernel_mean_matching, logistic_ratio, sinkhorn, transfer_components, transport_map,
    },
    data::Dataset,
    models::SentenceEmbedder,
    nn::{
        StateDict, Tensor, Weight,
        metric::{Trials, accuracy},
        shallow::LogisticRegression,
    },
    prelude::*,
};

/// Where `tools/fetch-models` and `tools/fetch-data` leave things.
const MODEL: &str = "target/models/all-MiniLM-L6-v2";
const DATA: &str = "target/data";
/// Where vectors are kept: to make them takes longer than all the rest.
const CACHE: &str = "target/domain_adaptation";
const DOMAINS: [&str; 3] = ["amazon", "tweets", "movies"];
/// Texts of a domain to learn from, and to adapt to and be judged on.
const SIZES: [usize; 2] = [800, 400];
/// Source texts that a run learns from: half of what there is, so that seeds differ.
const DRAWN: usize = 400;

/// One domain: vectors and classes. The two parts share no document.
pub struct Set {
    pub name: &'static str,
    learn: Dataset,
    judge: Dataset,
}

/// All domains, or what is not there.
pub enum Found {
    Sets(Vec<Set>),
    Missing(String),
}

/// The vectors of all domains, from the cache or made anew.
pub fn sets(folder: Option<&Path>, quick: bool) -> Outcome<Found> {
    let folder = folder.unwrap_or_else(|| Path::new(DATA)).join("vader");
    let model = Path::new(MODEL);
    for (path, tool) in [(folder.clone(), "fetch-data"), (model.to_owned(), "fetch-models")] {
        if !path.is_dir() {
            return Ok(Found::Missing(format!("no {}, run tools/{tool}", path.display())));
        }
    }
    let sizes = if quick { [80, 40] } else { SIZES };
    let mut embedder = None;
    let mut part = |domain: &str, texts: &[(String, usize)], kind: &str| -> Outcome<Dataset> {
        let path = Path::new(CACHE).join(format!("{domain}-{kind}-{}.safetensors", texts.len()));
        let vectors = if path.is_file() {
            StateDict::open(&path)?.tensor("vectors")?
        } else {
            let embedder = match &mut embedder {
                Some(embedder) => embedder,
                none => none.insert(SentenceEmbedder::from_folder(model)?),
            };
            let texts: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
            let vectors = embedder.embed(&texts)?;
            let mut saved = StateDict::new();
            saved.insert("vectors", Weight::new(&vectors));
            fs::create_dir_all(CACHE)?;
            saved.save(&path)?;
            vectors
        };
        // Unit vectors to a mean square of 1, what the shallow methods' ridges are for.
        let scaled = vectors.mul_scalar((vectors.size(1)? as f32).sqrt());
        let labels = texts.iter().map(|(_, y)| *y).collect();
        Ok(Dataset::classification(scaled, labels, ["negative", "positive"])?)
    };
    let mut all = Vec::new();
    for name in DOMAINS {
        let [learn, judge] = snippets(&folder.join(format!("{name}.tsv")), sizes)?;
        let (learn, judge) = (part(name, &learn, "learn")?, part(name, &judge, "judge")?);
        all.push(Set { name, learn, judge });
    }
    Ok(Found::Sets(all))
}

type Labelled = Vec<(String, usize)>;

/// Snippets that are good or bad, at most so many in the two parts. Those of one
/// document are in one part.
fn snippets(path: &Path, sizes: [usize; 2]) -> Outcome<[Labelled; 2]> {
    let mut documents: BTreeMap<String, Labelled> = BTreeMap::new();
    for snippet in rated(path)? {
        if let Some(polarity) = snippet.polarity() {
            documents.entry(snippet.document).or_default().push((snippet.text, polarity));
        }
    }
    let mut documents: Vec<Labelled> = documents.into_values().collect();
    documents.shuffle(&mut ChaCha8Rng::seed_from_u64(2026));
    let mut parts = [Vec::new(), Vec::new()];
    for document in documents {
        let to = usize::from(parts[0].len() >= sizes[0]);
        parts[to].extend(document);
    }
    for (part, size) in parts.iter_mut().zip(sizes) {
        part.truncate(size);
    }
    Ok(parts)
}

/// What a way gets: labelled source, the target's vectors.
struct Task<'a> {
    source: &'a Dataset,
    target: &'a Dataset,
    seed: u64,
    epochs: usize,
}

impl Task<'_> {
    fn components(&self) -> usize {
        COMPONENTS.min(self.source.len().min(self.target.len()) / 2)
    }
}

type Way = fn(&Task<'_>) -> Outcome<Tensor>;

/// The ways, each gives the logits of the target.
const WAYS: [(&str, Way); 13] = [
    ("source only", |t| logistic(t, t.source.features(), t.target.features())),
    ("CORAL", |t| {
        let moved = align_coral(t.source.features(), t.target.features(), 1.0)?;
        logistic(t, &moved, t.target.features())
    }),
    ("subspace alignment", |t| {
        let (s, x) = align_subspaces(t.source.features(), t.target.features(), t.components())?;
        logistic(t, &s, &x)
    }),
    ("TCA", |t| {
        let (s, x) = transfer_components(
            t.source.features(),
            t.target.features(),
            t.components(),
            1.0,
            None,
        )?;
        // Components are short: to a mean square of 1, as all else.
        let scale = s.square().mean_all().item()?.max(1e-12).sqrt().recip();
        logistic(t, &s.mul_scalar(scale), &x.mul_scalar(scale))
    }),
    ("GFK", |t| {
        let (s, x) = geodesic_flow(t.source.features(), t.target.features(), t.components())?;
        logistic(t, &s, &x)
    }),
    ("kernel mean matching", |t| {
        weighted(t, &kernel_mean_matching(t.source.features(), t.target.features(), 1000.0, 300)?)
    }),
    ("logistic ratio", |t| {
        weighted(t, &logistic_ratio(t.source.features(), t.target.features(), 0.01)?)
    }),
    ("optimal transport", |t| {
        let (s, x) = (t.source.features(), t.target.features());
        let none = Tensor::zeros([s.size(0)?, 1]);
        let cost = joint_cost((s, x), &none, &Tensor::zeros([x.size(0)?, 1]), (1.0, 0.0))?;
        let mean = f64::from(cost.mean_all().item()?);
        logistic(t, &transport_map(&sinkhorn(&cost, 0.05 * mean, 200)?, x)?, x)
    }),
    ("JDOT", |t| {
        let (s, x) = (t.source.features(), t.target.features());
        let head = Jdot::new().fit(s, t.source.labels()?, x, 2)?;
        Ok(head.forward(x, &mut Ctx::eval())?)
    }),
    ("network, source only", |t| network(t, Method::SourceOnly)),
    ("DANN", |t| network(t, Method::Dann)),
    ("MCC", |t| network(t, Method::Mcc { temperature: 2.5 })),
    ("SHOT", |t| network(t, Method::Shot)),
];

/// Directions that subspace methods keep, where there are texts enough.
const COMPONENTS: usize = 50;
/// Inverse strengths of the penalty, of which the source's cross-validation chooses.
const PENALTIES: [f64; 3] = [1e-3, 1e-2, 1e-1];

fn logistic(task: &Task<'_>, x: &Tensor, target: &Tensor) -> Outcome<Tensor> {
    let labels = task.source.labels()?;
    let rng = &mut ChaCha8Rng::seed_from_u64(task.seed);
    let fit = LogisticRegression::new().fit_cross_validated(x, labels, 2, &PENALTIES, 3, rng)?;
    Ok(fit.logits(target)?)
}

/// Logistic regression on source samples that come as often as their weights say:
/// four times as many as there are, by one random number and equal steps.
fn weighted(task: &Task<'_>, weights: &[f64]) -> Outcome<Tensor> {
    let rng = &mut ChaCha8Rng::seed_from_u64(task.seed);
    let step = weights.iter().sum::<f64>() / (4 * weights.len()) as f64;
    let (mut next, mut sum, mut drawn) = (step * rng.random::<f64>(), 0.0, Vec::new());
    for (i, weight) in weights.iter().enumerate() {
        sum += weight;
        while next < sum {
            drawn.push(i);
            next += step;
        }
    }
    let drawn = task.source.select(&drawn)?;
    // The penalty is the same for a quarter of `c` and four times the samples. Copies
    // would be on both sides of a cross-validation, so the middle one is taken.
    let fit = LogisticRegression::new().c(PENALTIES[1] / 4.0);
    let fit = fit.fit(drawn.features(), drawn.labels()?, 2)?;
    Ok(fit.logits(task.target.features())?)
}

fn network(task: &Task<'_>, method: Method) -> Outcome<Tensor> {
    let mut model = net::text(task.seed, task.source.sample_shape()[0]);
    let adaptation = Adaptation::new(method).epochs(task.epochs).seed(task.seed);
    adaptation.fit(&mut model, task.source, task.target)?;
    Ok(model.forward(task.target.features(), &mut Ctx::eval())?)
}

/// All ways from one domain to another: adapted to and judged on the same target
/// texts, whose labels no way sees. The bound learns from other target texts.
pub fn compare(source: &Set, target: &Set, epochs: usize, seeds: u64) -> Outcome<Trials> {
    let jobs: Vec<(u64, usize)> =
        (0..seeds).flat_map(|seed| (0..=WAYS.len()).map(move |way| (seed, way))).collect();
    let draw = |data: &Dataset, seed: u64| -> Outcome<Dataset> {
        let mut order: Vec<usize> = (0..data.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        order.truncate(DRAWN);
        Ok(data.select(&order)?)
    };
    let truth = target.judge.labels()?.into();
    let hidden = target.judge.without_targets();
    let done = parallel::run(&jobs, |&(seed, way)| {
        let start = Instant::now();
        let way = WAYS.get(way).map(|(_, way)| way);
        let from = if way.is_some() { source } else { target };
        let task = Task { source: &draw(&from.learn, seed)?, target: &hidden, seed, epochs };
        let logits = way.unwrap_or(&WAYS[0].1)(&task)?;
        Ok((accuracy(&logits, &truth)?, start.elapsed().as_secs_f64()))
    })?;
    let data = format!("sentiment, {} -> {}", source.name, target.name);
    let mut trials = Trials::new(&data, "target accuracy");
    for (&(_, way), (right, seconds)) in jobs.iter().zip(done) {
        trials.push(WAYS.get(way).map_or(BOUND, |(name, _)| name), right, seconds);
    }
    Ok(trials)
}
