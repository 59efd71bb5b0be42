//! Two tasks on sentence vectors: how a text feels and how strongly, or the
//! kind of a news group and the group itself.

use crate::{
    Study,
    learn::{Budget, Net, few, train},
    shared::{
        Outcome,
        args::Args,
        bar,
        texts::{messages, rated},
    },
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, path::Path};
use transfer_learning::{
    models::SentenceEmbedder,
    multitask::{HardSharing, Labels, compare},
    nn::{Act, Ctx, Linear, Sequential, metric::accuracy},
    tensor::{Indices, Tensor},
};

/// Texts with the labels of two tasks, as vectors of MiniLM.
struct Texts {
    vectors: Tensor,
    first: (usize, Vec<Option<usize>>),
    second: Second,
    /// Samples for testing; the others are a pool for training.
    test: Vec<usize>,
}

enum Second {
    Classes(usize, Vec<Option<usize>>),
    Numbers(Vec<f32>),
}

impl Texts {
    /// The labels of some samples.
    fn labels(&self, rows: &[usize]) -> Outcome<Labels> {
        let of = |all: &[Option<usize>]| rows.iter().map(|&r| all[r]).collect::<Vec<_>>();
        let labels = Labels::new(rows.len()).classes("first", self.first.0, &of(&self.first.1))?;
        Ok(match &self.second {
            Second::Classes(count, all) => labels.classes("second", *count, &of(all))?,
            Second::Numbers(all) => {
                let own: Vec<f32> = rows.iter().map(|&r| all[r]).collect();
                labels.numbers("second", &own)?
            }
        })
    }
}

fn folder(args: &Args) -> Outcome<&Path> {
    let missing = "texts come with `--data DIR`, as `tools/fetch-data` writes it, and MiniLM from \
                   `tools/fetch-models`";
    args.data.as_deref().ok_or_else(|| missing.into())
}

fn embed(texts: &[String]) -> Outcome<Tensor> {
    let mut embedder = SentenceEmbedder::from_folder("target/models/all-MiniLM-L6-v2")?;
    embedder.max_tokens = embedder.max_tokens.min(128);
    // Vectors of length 1 in 384 dimensions: to a spread of about 1.
    Ok(embedder.embed(texts)?.mul_scalar(384.0_f32.sqrt()))
}

/// Snippets of reviews, rated -4 to 4 by people (Hutto and Gilbert 2014): whether
/// the mean is above 0.5 or below -0.5, and how far from 0 it is. Snippets of one
/// review are on one side of the split.
pub fn sentiment(args: &Args) -> Outcome<Study> {
    let (mut texts, mut polarity, mut intensity, mut test) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for snippet in rated(&folder(args)?.join("vader").join("amazon.tsv"))? {
        if snippet.for_testing() {
            test.push(texts.len());
        }
        polarity.push(snippet.polarity());
        intensity.push(snippet.rating.abs() as f32 - 1.3);
        texts.push(snippet.text);
    }
    let vectors = embed(&texts)?;
    let data = Texts { vectors, first: (2, polarity), second: Second::Numbers(intensity), test };
    let tasks = [
        ("reviews: polarity", "accuracy", true),
        ("reviews: intensity", "error (RMSE, points of 4)", false),
    ];
    run("Polarity and intensity of reviews", &tasks, args, &data, 600)
}

/// 20 Newsgroups: the seven kinds (comp, rec, sci, ..) and the groups.
pub fn newsgroups(args: &Args) -> Outcome<Study> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let (mut texts, mut kind, mut group, mut test) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let folder = folder(args)?.join("20newsgroups");
    for (part, every) in [("train.tsv", 4), ("test.tsv", 5)] {
        for message in messages(&folder.join(part))?.into_iter().step_by(every) {
            let root = message.group.split('.').next().unwrap_or_default().to_owned();
            let next = kinds.len();
            kind.push(Some(*kinds.entry(root).or_insert(next)));
            let next = names.len();
            group.push(Some(*names.entry(message.group).or_insert(next)));
            if part == "test.tsv" {
                test.push(texts.len());
            }
            texts.push(message.text);
        }
    }
    let vectors = embed(&texts)?;
    let second = Second::Classes(names.len(), group);
    let data = Texts { vectors, first: (kinds.len(), kind), second, test };
    let tasks = [("newsgroups: kind", "accuracy", true), ("newsgroups: group", "accuracy", true)];
    run("Kind and group of news messages", &tasks, args, &data, 1_000)
}

fn run(
    title: &'static str,
    tasks: &[(&str, &str, bool)],
    args: &Args,
    data: &Texts,
    size: usize,
) -> Outcome<Study> {
    let (ways, seeds) = (few(), args.seeds());
    let pool: Vec<usize> = (0..data.vectors.dims()[0]).filter(|i| !data.test.contains(i)).collect();
    let x_test = data.vectors.index_select(0, &data.test[..].into())?;
    let wanted = data.labels(&data.test)?;
    let bar = bar::over(seeds as usize * (ways.len() + 2));
    let report = compare(tasks, &ways, seeds, |task, balance, seed| -> Outcome<Vec<f64>> {
        bar.inc(1);
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let order = Indices::permutation(pool.len(), rng);
        let rows: Vec<usize> = order.as_slice().iter().take(size).map(|&i| pool[i]).collect();
        // Each task has half of its labels, drawn on its own.
        let labels = data.labels(&rows)?;
        let labels = labels.hide(0, |_| rng.random::<bool>())?.hide(1, |_| rng.random::<bool>())?;
        let chosen = task.map_or(vec![0, 1], |task| vec![task]);
        let labels = labels.only(&chosen)?;
        let trunk = Sequential::new().push(Linear::new(384, 64, rng)).push(Act::Relu);
        let mut net = HardSharing { trunk, heads: labels.heads(64, rng) };
        let epochs = if args.quick { 2 } else { 15 };
        let budget = Budget { epochs, batch: 32, lr: 1e-3, decay: 0.05, seed };
        let x = data.vectors.index_select(0, &rows[..].into())?;
        let _ = train(&mut net, &x, &labels, balance, &budget)?;
        judge(&net, data, &x_test, &wanted, &chosen)
    })?;
    bar.finish_and_clear();
    let about = format!(
        "{size} texts for training as vectors of MiniLM, of each task half of its labels; {} for \
         testing; a shared layer of 64.",
        data.test.len()
    );
    Ok(Study { title, about, report, notes: Vec::new() })
}

fn judge(
    net: &Net,
    data: &Texts,
    x: &Tensor,
    wanted: &Labels,
    tasks: &[usize],
) -> Outcome<Vec<f64>> {
    let outputs = net.forward_all(x, &mut Ctx::eval())?;
    let mut results = Vec::new();
    for (output, &task) in outputs.iter().zip(tasks) {
        let known = wanted.known(task);
        let output = output.index_select(0, &known[..].into())?;
        let classes = |all: &[Option<usize>]| -> Vec<usize> {
            known.iter().filter_map(|&k| all[data.test[k]]).collect()
        };
        results.push(match (task, &data.second) {
            (0, _) => accuracy(&output, &classes(&data.first.1).into())?,
            (_, Second::Classes(_, all)) => accuracy(&output, &classes(all).into())?,
            (_, Second::Numbers(all)) => {
                let values: Vec<f32> = known.iter().map(|&k| all[data.test[k]]).collect();
                let wanted = Tensor::from_slice(&values, [values.len(), 1])?;
                f64::from(output.sub(&wanted)?.square().mean_all().item()?.sqrt())
            }
        });
    }
    Ok(results)
}
