//! Augmented views and nearest neighbours, for the page.

use crate::shared::{
    Outcome,
    page::{Card, Page},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{Dataset, transform::Transform},
    nn::shallow::{Distance, KNearest},
    tensor::{Indices, Tensor},
};

/// One picture of some classes.
fn one_of_each(data: &Dataset, count: usize) -> Outcome<Vec<usize>> {
    let labels = data.labels()?;
    Ok((0..count).filter_map(|class| labels.iter().position(|y| *y == class)).collect())
}

fn pixels(x: &Tensor, i: usize) -> Outcome<Vec<f32>> {
    Ok(x.select(0, i)?.to_vec())
}

/// Pictures, each followed by views of it.
pub fn views(page: &mut Page, data: &Dataset, views: &dyn Transform) -> Outcome {
    const VIEWS: usize = 7;
    page.subheading("What pre-training sees: pictures, each with views of it");
    let few = data.select(&one_of_each(data, 5)?)?;
    let x = few.features();
    let width = x.size(-1)?;
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let made: Vec<Tensor> = (0..VIEWS).map(|_| views.apply(x, rng)).collect::<Result<_, _>>()?;
    let name = |i: usize| data.class_names()[few.labels().map_or(0, |y| y[i])].clone();
    for i in 0..few.len() {
        let card = |from: &Tensor, line: String| -> Outcome<Card> {
            Ok(Card { pixels: pixels(from, i)?, width, lines: vec![(line, true)] })
        };
        let mut cards = vec![card(x, name(i))?];
        for view in &made {
            cards.push(card(view, "a view".to_owned())?);
        }
        page.images(&cards);
    }
    Ok(())
}

/// Test pictures, each followed by the training pictures whose features are
/// nearest; red where the class is another.
pub fn neighbours(
    page: &mut Page,
    title: &str,
    train: &Dataset,
    test: &Dataset,
    features: &dyn Fn(&Tensor) -> Outcome<Tensor>,
) -> Outcome {
    const NEAREST: usize = 7;
    page.subheading(title);
    let queries = test.select(&one_of_each(test, 7)?)?;
    let bank = features(train.features())?;
    let (known, asked) = (train.labels()?, queries.labels()?);
    let search = KNearest::fit(&bank, known, train.classes(), NEAREST)?
        .distance(Distance::Cosine { temperature: 0.1 })?;
    let (_, found): (_, Indices) = search.neighbours(&features(queries.features())?)?;
    let names = train.class_names();
    let width = queries.features().size(-1)?;
    for (i, nearest) in found.as_slice().chunks(NEAREST).enumerate() {
        let own = pixels(queries.features(), i)?;
        let lines = vec![(format!("{}?", names[asked[i]]), true)];
        let mut cards = vec![Card { pixels: own, width, lines }];
        for &at in nearest {
            let lines = vec![(names[known[at]].clone(), known[at] == asked[i])];
            cards.push(Card { pixels: pixels(train.features(), at)?, width, lines });
        }
        page.images(&cards);
    }
    Ok(())
}
