//! Digits by the segments that a display lights for them.

use crate::{
    Flags,
    results::Results,
    shared::{
        Outcome, bar,
        page::{Card, Page},
    },
};
use transfer_learning::{
    data::{Dataset, samples},
    zeroshot::{
        CadaVae, Conse, Dap, Direction, Eszsl, FClsWgan, FeatureVae, Iap, Method,
        PrototypeRegression, Ranking, RankingLoss, Report, Sae, Signatures, Split, ZeroShot,
        seven_segments,
    },
};

/// The unseen digits of every split.
const UNSEEN: usize = 3;

pub fn run(flags: &Flags, results: &mut Results) -> Outcome {
    let data = digits()?;
    let mut report = Report::new(&format!("UCI digits by segments, {UNSEEN} of 10 unseen"));
    let splits = flags.splits();
    let bar = bar::over(splits as usize);
    let mut shown = None;
    for seed in 0..splits {
        let split = Split::random(&data, &signed()?, UNSEEN, 0.2, seed)?;
        let plain = Split::random(&data, &seven_segments()?, UNSEEN, 0.2, seed)?;
        for (name, settings) in methods(flags.shared.quick) {
            // Attribute prediction reads 0 and 1.
            let split = if ["DAP", "IAP"].contains(&name) { &plain } else { &split };
            let settings: Vec<&dyn Method> = settings.iter().map(AsRef::as_ref).collect();
            let model = report.run(name, &settings, split, seed)?;
            if name == "ESZSL" && shown.is_none() {
                shown = Some((ZeroShot::new(model, split.unseen.classes.clone()), split.clone()));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    results.add_report(&report)?;
    if let Some((classifier, split)) = shown {
        draw(&mut results.page, &classifier, &split)?;
        at_run_time(classifier, &split)?;
    }
    Ok(())
}

fn digits() -> Outcome<Dataset> {
    let digits = samples::digits();
    Ok(digits.with_features(&digits.features().flatten(1, -1)?)?)
}

/// Segments as 1 and -1, at length 1: dark ones count too.
fn signed() -> Outcome<Signatures> {
    let lit = seven_segments()?;
    let table = lit.table().mul_scalar(2.0).add_scalar(-1.0);
    Ok(Signatures::new(lit.names().to_vec(), table)?
        .with_attributes(lit.attributes().to_vec())?
        .unit()?)
}

/// Every method with the settings to choose among.
fn methods(quick: bool) -> Vec<(&'static str, Vec<Box<dyn Method>>)> {
    fn boxed<M: Method + 'static>(all: impl IntoIterator<Item = M>) -> Vec<Box<dyn Method>> {
        all.into_iter().map(|m| Box::new(m) as Box<dyn Method>).collect()
    }
    let powers = [0.01, 0.1, 1.0, 10.0, 100.0];
    let epochs = if quick { 3 } else { 20 };
    let ranking = |r: Ranking| boxed([Ranking { epochs, ..r }]);
    let sae = |direction| boxed(powers.map(|lambda| Sae { lambda, direction }));
    vec![
        ("DAP", boxed([Dap::default()])),
        ("IAP", boxed([Iap::default()])),
        ("ConSE", boxed([Conse::default()])),
        ("ESZSL", boxed(Eszsl::grid())),
        ("SAE, to signatures", sae(Direction::FeatureToSemantic)),
        ("SAE, to features", sae(Direction::SemanticToFeature)),
        ("prototype regression", boxed(powers.map(|alpha| PrototypeRegression { alpha }))),
        ("DeViSE", ranking(Ranking::devise())),
        ("SJE", ranking(Ranking::sje())),
        ("ALE", ranking(Ranking::ale())),
        (
            "bilinear, cross entropy",
            ranking(Ranking::new(RankingLoss::CrossEntropy { scale: 10.0 })),
        ),
        ("LatEm", ranking(Ranking::latem(3))),
        ("feature VAE", boxed([FeatureVae { epochs, hidden: 64, lr: 3e-3, ..Default::default() }])),
        ("CADA-VAE", boxed([CadaVae { epochs, hidden: 64, lr: 1e-3, ..Default::default() }])),
        (
            "f-CLSWGAN",
            boxed([FClsWgan { steps: 15 * epochs, hidden: 64, lr: 1e-3, ..Default::default() }]),
        ),
    ]
}

/// Why one sample was called what it was, and a class that comes while the
/// classifier runs.
fn at_run_time(mut classifier: ZeroShot, split: &Split) -> Outcome {
    let test = &split.unseen;
    let x = test.features.select(0, 0)?;
    let said = classifier.classify(&x.unsqueeze(0)?)?.first().copied().unwrap_or("").to_owned();
    let why = classifier.explain(&x, &said)?;
    println!(
        "an unseen {} is called {said}, score {:.3}:",
        test.classes.names()[test.labels[0]],
        why.score
    );
    for (segment, part) in &why.parts {
        println!("  {part:+.3}  {segment}");
    }
    let seen = split.train.signatures();
    let before = classifier.classes().len();
    classifier.add(&seen.names()[0], &seen.table().select(0, 0)?.to_vec())?;
    println!(
        "`{}` added without training: {before} classes, now {}",
        seen.names()[0],
        classifier.classes().len()
    );
    Ok(())
}

/// Samples of unseen digits, what was said of them, and the attribute that
/// counted most.
fn draw(page: &mut Page, classifier: &ZeroShot, split: &Split) -> Outcome {
    page.heading("Unseen digits, what ESZSL says, and the segment that counted most");
    let test = &split.unseen;
    let mut cards = Vec::new();
    for i in (0..test.labels.len()).step_by((test.labels.len() / 24).max(1)) {
        let x = test.features.select(0, i)?;
        let said = classifier.classify(&x.unsqueeze(0)?)?.first().copied().unwrap_or("");
        let truth = &test.classes.names()[test.labels[i]];
        let why = classifier.explain(&x, said)?;
        let most = why.parts.first().map_or(String::new(), |(name, _)| name.clone());
        let lines = vec![(format!("{said} (is {truth})"), said == truth), (most, true)];
        cards.push(Card { pixels: x.to_vec(), width: 8, lines });
    }
    page.images(&cards);
    Ok(())
}
