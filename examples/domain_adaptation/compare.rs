//! Several ways on one pair of domains, over several seeds.

use crate::{
    data::Pair,
    net,
    shared::{Outcome, page::Page, parallel, rows::Row, table::Table},
};
use std::time::Instant;
use transfer_learning::{
    dann::{Adaptation, Classifier, InDomain, Method, Report, Validator, choose},
    data::Dataset,
    nn::{Sequential, metric::accuracy, metric::predictions},
    prelude::*,
};

/// The last row: a model that has the target's labels.
pub const BOUND: &str = "with target labels (bound)";
/// The baseline with as many steps as methods of two stages.
pub const TWICE: &str = "source only, twice as long";

/// One way of learning.
#[derive(Clone)]
pub struct Way {
    pub name: &'static str,
    pub adaptation: Adaptation,
}

impl Way {
    /// A method with the builder's defaults: the papers' settings. Nothing is tuned
    /// on the target.
    pub fn of(method: Method, epochs: usize) -> Self {
        Self { name: method.name(), adaptation: Adaptation::new(method).epochs(epochs) }
    }

    /// A method, and then as many epochs on the target alone.
    pub fn refined(method: Method, name: &'static str, epochs: usize) -> Self {
        Self { name, adaptation: Self::of(method, epochs).adaptation.refined() }
    }

    /// The baseline, the methods, and what the baseline's budget is compared with.
    pub fn all(methods: &[Method], epochs: usize) -> Vec<Self> {
        let mut ways = vec![Self::of(Method::SourceOnly, epochs)];
        ways.extend(methods.iter().map(|m| Self::of(*m, epochs)));
        ways
    }
}

/// What `--choose` multiplies the weight of each method with.
const WEIGHTS: [f32; 3] = [0.3, 1.0, 3.0];

/// A finished run.
struct Done {
    way: usize,
    seed: u64,
    accuracy: f64,
    seconds: f64,
    run: transfer_learning::dann::Adapted,
    said: Vec<usize>,
    model: Classifier<Sequential>,
}

/// All results on a pair, and the models of the first seed.
pub struct Compared {
    pub report: Report,
    models: Vec<(&'static str, Classifier<Sequential>, Vec<usize>)>,
}

impl Compared {
    /// The first seed's model of a way, and what it says of the test set.
    pub fn model(&self, name: &str) -> Outcome<(&Classifier<Sequential>, &[usize])> {
        let found = self.models.iter().find(|(n, _, _)| *n == name);
        let (_, model, said) = found.ok_or_else(|| format!("no way is called {name}"))?;
        Ok((model, said))
    }

    /// The rows of the contract.
    pub fn rows(&self) -> Outcome<Vec<Row>> {
        let ways = self.report.trials.ways.iter().skip(1);
        ways.map(|way| {
            Row::of(&format!("domain adaptation: {}", way.name), &self.report.trials, &way.name)
        })
        .collect()
    }

    /// The table of results, and what validators would have chosen.
    pub fn write(&self, page: &mut Page) -> Outcome {
        let trials = &self.report.trials;
        let mut table = Table::new([
            "method",
            "target accuracy",
            "gap closed",
            "against source only",
            "s a run",
        ]);
        for (i, way) in trials.ways.iter().enumerate() {
            let verdict =
                if i == 0 { "-".to_owned() } else { trials.verdict(&way.name)?.to_string() };
            let gap = if i == 0 {
                "-".to_owned()
            } else {
                format!("{:.0}%", 100.0 * self.report.gap_closed(&way.name, BOUND)?)
            };
            let seconds = way.seconds.iter().sum::<f64>() / way.seconds.len() as f64;
            let summary = trials.summary(&way.name)?;
            let summary = format!("{:.3} \u{b1} {:.3}", summary.mean, summary.ci95);
            table.row([way.name.clone(), summary, gap, verdict, format!("{seconds:.1}")]);
        }
        page.table(&table);
        let mut table =
            Table::new(["validator", "accuracy of its choice", "of the best", "it chose"]);
        for validator in Validator::ALL {
            let choices = self.report.choices(validator)?;
            let (chosen, oracle) = self.report.chosen(validator)?;
            let mut names: Vec<&str> = choices.iter().map(|c| c.chosen.0.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            let name = format!("{validator:?}");
            table.row([name, format!("{chosen:.3}"), format!("{oracle:.3}"), names.join(", ")]);
        }
        page.table(&table);
        Ok(())
    }
}

/// The network of a way: with normalisation by domain if the method needs it.
fn network(method: Method, data: &Dataset, seed: u64) -> Outcome<Classifier<Sequential>> {
    let &[channels, side, _] = data.sample_shape() else {
        return Err("images are [c, h, w]".into());
    };
    Ok(match method {
        Method::Dsbn => net::by_domain(seed, channels, side),
        _ => net::classifier(seed, channels, side),
    })
}

/// Runs every way with every seed, and the bound.
pub fn compare(pair: &Pair, ways: &[Way], seeds: u64) -> Outcome<Compared> {
    let mut ways = ways.to_vec();
    let mut bound = Way::of(Method::SourceOnly, ways[0].adaptation.epochs);
    bound.name = BOUND;
    ways.push(bound);
    let jobs: Vec<(usize, u64)> =
        (0..seeds).flat_map(|seed| (0..ways.len()).map(move |way| (way, seed))).collect();
    let done = parallel::run(&jobs, |&(way, seed)| {
        let start = Instant::now();
        let adaptation = ways[way].adaptation.seed(seed);
        let mut model = network(adaptation.method, &pair.source, seed)?;
        let learned = if ways[way].name == BOUND { &pair.target } else { &pair.source };
        let run = adaptation.fit_domains(&mut model, &pair.domains(learned))?;
        let seconds = start.elapsed().as_secs_f64();
        let on_target = InDomain { model: model.clone(), domain: 1 };
        let logits = on_target.forward(pair.test.features(), &mut Ctx::eval())?;
        let accuracy = accuracy(&logits, &pair.test.labels()?.into())?;
        Ok(Done { way, seed, accuracy, seconds, run, said: predictions(&logits)?, model })
    })?;
    let mut report = Report::new(&pair.name);
    let mut models = Vec::new();
    for run in done {
        let name = ways[run.way].name;
        if name == BOUND {
            report.trials.push(name, run.accuracy, run.seconds);
        } else {
            report.add(run.seed, name, &run.run, run.accuracy, run.seconds);
        }
        if run.seed == 0 {
            models.push((name, run.model, run.said));
        }
    }
    Ok(Compared { report, models })
}

/// Tries weights for every method with a seed that no experiment uses and prints
/// what information maximisation says of each: no target label is looked at.
pub fn choose_weights(pair: &Pair, methods: &[Method], epochs: usize) -> Outcome {
    let lines = parallel::run(methods, |method| {
        let base = Adaptation::new(*method).epochs(epochs).seed(100);
        let candidates = WEIGHTS.map(|w| base.weight(w * base.weight));
        let domains = pair.domains(&pair.source);
        let chosen = choose(&candidates, Validator::default(), &domains, || {
            let side = pair.source.sample_shape()[1];
            net::classifier(100, pair.source.sample_shape()[0], side)
        })?;
        let weight = candidates[chosen.index].weight;
        Ok(format!("{:14} weight {weight} of {:?}", method.name(), chosen.scores))
    })?;
    for line in lines {
        println!("{line}");
    }
    Ok(())
}
