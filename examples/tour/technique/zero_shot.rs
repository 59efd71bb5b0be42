//! Zero-shot learning: classes known by a description alone.

use super::{Section, snippet};
use crate::shared::{Outcome, page::Card};
use transfer_learning::{
    data::samples,
    zeroshot::{Method, PrototypeRegression, Report, Signatures, Split, ZeroShot, seven_segments},
};

const WAY: &str = "prototype regression";

pub fn run(seeds: u64, quick: bool) -> Outcome<Section> {
    let digits = samples::digits();
    let digits = digits.with_features(&digits.features().flatten(1, -1)?)?;
    // Segments as 1 and -1, at length 1: dark ones count too.
    let lit = seven_segments()?;
    let table = lit.table().mul_scalar(2.0).add_scalar(-1.0);
    let signatures = Signatures::new(lit.names().to_vec(), table)?
        .with_attributes(lit.attributes().to_vec())?
        .unit()?;
    let mut report = Report::new("UCI digits by segments, 3 of 10 unseen");
    let mut cards = Vec::new();
    // A split is cheap, and splits differ much.
    for seed in 0..seeds * if quick { 1 } else { 4 } {
        // The technique:
        let split = Split::random(&digits, &signatures, 3, 0.2, seed)?;
        let settings = [0.01, 0.1, 1.0, 10.0, 100.0].map(|alpha| PrototypeRegression { alpha });
        let settings: Vec<&dyn Method> = settings.iter().map(|s| s as &dyn Method).collect();
        let model = report.run(WAY, &settings, &split, seed)?;
        let classifier = ZeroShot::new(model, split.unseen.classes.clone());
        // Until here.
        if seed == 0 {
            let unseen = &split.unseen;
            for i in (0..unseen.labels.len()).step_by((unseen.labels.len() / 12).max(1)) {
                let x = unseen.features.select(0, i)?;
                let said = classifier.classify(&x.unsqueeze(0)?)?.first().copied().unwrap_or("");
                let truth = &unseen.classes.names()[unseen.labels[i]];
                let line = (format!("{said} (is {truth})"), said == truth);
                cards.push(Card { pixels: x.to_vec(), width: 8, lines: vec![line] });
            }
        }
    }
    Ok(Section {
        name: "zero-shot learning",
        story: "Seven digits with pictures, three that are known only by the segments that a \
                display lights for them. The baseline is chance; splits are drawn anew, settings \
                chosen on held-out classes among the seen ones.",
        trials: report.zero_shot,
        way: WAY,
        code: snippet(include_str!("zero_shot.rs")),
        cards,
    })
}
