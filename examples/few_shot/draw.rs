//! A task as a picture.

use crate::shared::{
    Outcome,
    page::{Card, Page},
};
use std::path::Path;
use transfer_learning::{
    data::{Batch, Targets},
    maml::Task,
};

/// The task that is drawn, and what a method said of its queries.
pub struct Shown {
    pub method: &'static str,
    pub task: Task,
    pub said: Vec<usize>,
}

fn names(batch: &Batch) -> Vec<String> {
    match &batch.targets {
        Targets::Classes { names, .. } => names.to_vec(),
        _ => Vec::new(),
    }
}

/// Support, query and predictions.
pub fn episode(page: &mut Page, shown: &Shown) -> Outcome {
    let Shown { method, task, said } = shown;
    let names = names(&task.support);
    let side = task.support.features.size(-1)?;
    page.heading("One task: what there is to learn from");
    let mut cards = Vec::new();
    for (i, &label) in task.support.labels()?.as_slice().iter().enumerate() {
        let pixels = task.support.features.select(0, i)?.to_vec();
        cards.push(Card::named(pixels, side, &names, label, label));
    }
    page.images(&cards);
    let truth = task.query.labels()?.as_slice();
    let right = said.iter().zip(truth).filter(|(a, b)| a == b).count();
    page.heading(&format!("and what {method} said of others: {right} of {} right", truth.len()));
    cards.clear();
    for (i, (&said, &truth)) in said.iter().zip(truth).enumerate() {
        let pixels = task.query.features.select(0, i)?.to_vec();
        cards.push(Card::named(pixels, side, &names, said, truth));
    }
    page.images(&cards);
    Ok(())
}

/// Writes the page and says where.
pub fn save(page: Page) -> Outcome {
    let path = Path::new("target/few_shot/index.html");
    page.save(path)?;
    println!("\nAs a page: {}", path.display());
    Ok(())
}
