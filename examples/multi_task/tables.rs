//! Tables: classes and numbers, most labels missing.

use crate::{
    Study,
    learn::{Budget, Net, train, ways},
    shared::{Outcome, args::Args, bar},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{samples, split::stratified_split, transform::Standardise},
    multitask::{Balance, HardSharing, Labels, compare},
    nn::{Act, Ctx, Linear, Sequential, metric::accuracy},
    tensor::Tensor,
};

/// A table with its tasks, divided.
struct Split {
    train: (Tensor, Labels),
    test: (Tensor, Labels),
    /// Classes or numbers, of the test part, in units of the metric.
    wanted: Vec<Wanted>,
}

enum Wanted {
    Classes(Vec<usize>),
    /// Standardised numbers, and what a unit of them is.
    Numbers(Vec<f32>, f32),
}

/// The cultivar (three classes) and the alcohol of 178 wines from 12 other
/// measurements. Of 89 wines for training one in eight has its cultivar, one in
/// three its alcohol.
pub fn wine(args: &Args) -> Outcome<Study> {
    let data = samples::wine();
    let (columns, classes) = (data.feature_names().len(), data.labels()?.to_vec());
    let split = |seed: u64| -> Outcome<Split> {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let parts = stratified_split(&classes, 3, &[0.5, 0.5], rng)?;
        let scale = Standardise::fit(&data.select(&parts[0])?.features().clone())?;
        let all = scale.transform(data.features())?;
        let part = |rows: &[usize]| -> Outcome<(Tensor, Labels)> {
            let own = all.index_select(0, &rows.into())?;
            // Alcohol is the first column.
            let alcohol = own.narrow(1, 0, 1)?.to_vec();
            let known: Vec<_> = rows.iter().map(|&r| Some(classes[r])).collect();
            let labels = Labels::new(rows.len()).classes("cultivar", 3, &known)?;
            Ok((own.narrow(1, 1, columns - 1)?, labels.numbers("alcohol", &alcohol)?))
        };
        let (train, test) = (part(&parts[0])?, part(&parts[1])?);
        let labels = train.1.hide(0, |_| rng.random::<f64>() > 0.125)?;
        let labels = labels.hide(1, |_| rng.random::<f64>() > 0.33)?;
        let alcohol = all.index_select(0, &parts[1][..].into())?.narrow(1, 0, 1)?.to_vec();
        let wanted = vec![
            Wanted::Classes(parts[1].iter().map(|&r| classes[r]).collect()),
            Wanted::Numbers(alcohol, scale.std[0]),
        ];
        Ok(Split { train: (train.0, labels), test, wanted })
    };
    let tasks =
        [("wine: cultivar", "accuracy", true), ("wine: alcohol", "error (RMSE, % vol)", false)];
    run(
        "Wine: cultivar and alcohol, most labels missing",
        "178 wines, half for training; of these 1 in 8 has its cultivar, 1 in 3 its alcohol.",
        &tasks,
        args,
        split,
    )
}

/// The type (seven classes) of 101 animals and whether they are aquatic,
/// predators and as large as a cat, from the other attributes. Half of the
/// labels are missing.
pub fn zoo(args: &Args) -> Outcome<Study> {
    const ASKED: [&str; 3] = ["aquatic", "predator", "catsize"];
    let (data, _) = samples::zoo();
    let classes = data.labels()?.to_vec();
    let place = |name: &&str| data.feature_names().iter().position(|n| n == name);
    let asked: Vec<usize> = ASKED.iter().filter_map(place).collect();
    let kept: Vec<usize> = (0..data.feature_names().len()).filter(|c| !asked.contains(c)).collect();
    let inputs = data.features().index_select(1, &kept.into())?;
    let attributes: Vec<Vec<usize>> = asked
        .iter()
        .map(|&c| Ok(data.features().select(1, c)?.to_vec().iter().map(|x| *x as usize).collect()))
        .collect::<Outcome<_>>()?;
    let split = |seed: u64| -> Outcome<Split> {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let parts = stratified_split(&classes, 7, &[0.5, 0.5], rng)?;
        let scale = Standardise::fit(&inputs.index_select(0, &parts[0][..].into())?)?;
        let all = scale.transform(&inputs)?;
        let part = |rows: &[usize]| -> Outcome<(Tensor, Labels)> {
            let of = |column: &[usize]| rows.iter().map(|&r| Some(column[r])).collect::<Vec<_>>();
            let mut labels = Labels::new(rows.len()).classes("type", 7, &of(&classes))?;
            for (name, column) in ASKED.iter().zip(&attributes) {
                labels = labels.classes(name, 2, &of(column))?;
            }
            Ok((all.index_select(0, &rows.into())?, labels))
        };
        let (train, test) = (part(&parts[0])?, part(&parts[1])?);
        let mut labels = train.1;
        for task in 0..4 {
            labels = labels.hide(task, |_| rng.random::<bool>())?;
        }
        let columns = [&classes].into_iter().chain(&attributes);
        let of =
            |column: &Vec<usize>| Wanted::Classes(parts[1].iter().map(|&r| column[r]).collect());
        Ok(Split { train: (train.0, labels), test, wanted: columns.map(of).collect() })
    };
    let tasks = [
        ("zoo: type", "accuracy", true),
        ("zoo: aquatic", "accuracy", true),
        ("zoo: predator", "accuracy", true),
        ("zoo: cat-sized", "accuracy", true),
    ];
    run(
        "Zoo: type and attributes, half of the labels missing",
        "101 animals, half for training; of each task half of their labels.",
        &tasks,
        args,
        split,
    )
}

fn run(
    title: &'static str,
    about: &str,
    tasks: &[(&str, &str, bool)],
    args: &Args,
    split: impl Fn(u64) -> Outcome<Split>,
) -> Outcome<Study> {
    // Splits differ from seed to seed, so a few more seeds are needed, and cheap.
    let seeds = if args.quick { 2 } else { args.seeds.unwrap_or(10) };
    let ways = ways(Balance::all());
    let bar = bar::over(seeds as usize * (ways.len() + tasks.len()));
    let report = compare(tasks, &ways, seeds, |task, balance, seed| -> Outcome<Vec<f64>> {
        bar.inc(1);
        let split = split(seed)?;
        let chosen: Vec<usize> = match task {
            Some(task) => vec![task],
            None => (0..tasks.len()).collect(),
        };
        let labels = split.train.1.only(&chosen)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let inputs = split.train.0.dims()[1];
        let trunk = Sequential::new()
            .push(Linear::new(inputs, 32, rng))
            .push(Act::Relu)
            .push(Linear::new(32, 32, rng))
            .push(Act::Relu);
        let mut net = HardSharing { trunk, heads: labels.heads(32, rng) };
        let epochs = if args.quick { 5 } else { 60 };
        let budget = Budget { epochs, batch: 32, lr: 5e-3, decay: 0.01, seed };
        let _ = train(&mut net, &split.train.0, &labels, balance, &budget)?;
        judge(&net, &split, &chosen)
    })?;
    bar.finish_and_clear();
    let about = format!("{about} All methods at the settings of their papers, {seeds} splits.");
    Ok(Study { title, about, report, notes: Vec::new() })
}

fn judge(net: &Net, split: &Split, tasks: &[usize]) -> Outcome<Vec<f64>> {
    let outputs = net.forward_all(&split.test.0, &mut Ctx::eval())?;
    let mut results = Vec::new();
    for (output, &task) in outputs.iter().zip(tasks) {
        results.push(match &split.wanted[task] {
            Wanted::Classes(classes) => accuracy(output, &classes[..].into())?,
            Wanted::Numbers(values, unit) => {
                let wanted = Tensor::from_slice(values, [values.len(), 1])?;
                let square = output.sub(&wanted)?.square().mean_all().item()?;
                f64::from(square.sqrt() * unit)
            }
        });
    }
    Ok(results)
}
