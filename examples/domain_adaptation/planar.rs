//! Two moons that are turned: a picture of what methods do.

use crate::{
    compare::BOUND,
    data::moons,
    net,
    picture::{GRID, Plane, place, planes},
    shared::{Outcome, parallel},
};
use std::time::Instant;
use transfer_learning::{
    dann::{Adaptation, Method},
    data::Dataset,
    nn::{
        Tensor,
        metric::{Trials, accuracy},
    },
    prelude::*,
};

const METHODS: [Method; 5] = [
    Method::SourceOnly,
    Method::Dann,
    Method::DeepJdot,
    Method::Mcc { temperature: 2.5 },
    Method::Cbst { first: 0.2, last: 0.8 },
];

/// The accuracies at an angle, and a drawing of the first seed.
pub fn run(degrees: f32, epochs: usize, seeds: u64) -> Outcome<(Trials, String)> {
    let jobs: Vec<(u64, usize)> =
        (0..seeds).flat_map(|s| (0..=METHODS.len()).map(move |m| (s, m))).collect();
    let grid: Vec<f32> =
        (0..GRID * GRID).flat_map(|k| [place(k % GRID), place(k / GRID)]).collect();
    let grid = Tensor::from_vec(grid, [GRID * GRID, 2])?;
    let points = |angle: f32, seed: u64| moons(400, angle, seed);
    let done = parallel::run(&jobs, |&(seed, m)| {
        let (source, target) = (points(0.0, 3 * seed)?, points(degrees, 3 * seed + 1)?);
        let test = points(degrees, 3 * seed + 2)?;
        let start = Instant::now();
        let mut model = net::planar(seed);
        let method = METHODS.get(m).copied().unwrap_or(Method::SourceOnly);
        let settings = Adaptation::new(method).epochs(epochs).seed(seed).lr(5e-3);
        let learned = if m < METHODS.len() { &source } else { &target };
        settings.fit(&mut model, learned, &target)?;
        let seconds = start.elapsed().as_secs_f64();
        let logits = model.forward(test.features(), &mut Ctx::eval())?;
        let right = accuracy(&logits, &test.labels()?.into())?;
        let said = model.forward(&grid, &mut Ctx::eval())?.softmax(-1)?.select(1, 1)?.to_vec();
        Ok((right, seconds, said))
    })?;
    let data = format!("two moons, 0 -> {degrees} degrees");
    let mut trials = Trials::new(&data, "target accuracy");
    for (&(_, m), (right, seconds, _)) in jobs.iter().zip(&done) {
        trials.push(METHODS.get(m).map_or(BOUND, |m| m.name()), *right, *seconds);
    }
    let (source, target) = (points(0.0, 0)?, points(degrees, 1)?);
    let drawn: Vec<Plane<'_>> = METHODS[..3]
        .iter()
        .zip(&done)
        .map(|(method, (right, _, grid))| {
            let title = format!("{}, {degrees}\u{b0}: {:.0}%", method.name(), 100.0 * right);
            Ok(Plane { title, source: points_of(&source)?, target: points_of(&target)?, grid })
        })
        .collect::<Outcome<_>>()?;
    Ok((trials, planes(&drawn)?))
}

fn points_of(data: &Dataset) -> Outcome<Vec<([f32; 2], usize)>> {
    let x = data.features().to_vec();
    Ok(x.chunks_exact(2).map(|p| [p[0], p[1]]).zip(data.labels()?.iter().copied()).collect())
}
