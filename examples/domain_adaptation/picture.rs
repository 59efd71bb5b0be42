//! Drawings of samples in a plane.

use crate::shared::Outcome;
use plotters::prelude::*;
use transfer_learning::dann::Embedding;

/// Ten colours that differ (Tableau 10).
const CLASSES: [RGBColor; 10] = [
    RGBColor(78, 121, 167),
    RGBColor(242, 142, 43),
    RGBColor(225, 87, 89),
    RGBColor(118, 183, 178),
    RGBColor(89, 161, 79),
    RGBColor(237, 201, 72),
    RGBColor(176, 122, 161),
    RGBColor(255, 157, 167),
    RGBColor(156, 117, 95),
    RGBColor(120, 120, 120),
];

/// The range of some numbers with a margin.
fn range(numbers: impl Iterator<Item = f32>) -> std::ops::Range<f32> {
    let (low, high) = numbers.fold((f32::MAX, f32::MIN), |(l, h), x| (l.min(x), h.max(x)));
    let margin = 0.04 * (high - low).max(1e-6);
    low - margin..high + margin
}

/// Two embeddings side by side: source as discs, target as crosses, coloured by
/// class (the target's by its predicted one).
pub fn side_by_side(both: [(&str, &Embedding); 2]) -> Outcome<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (960, 500)).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, (title, embedding)) in area.split_evenly((1, 2)).iter().zip(both) {
            let all = || embedding.source.iter().chain(&embedding.target);
            let (x, y) = (range(all().map(|(p, _)| p[0])), range(all().map(|(p, _)| p[1])));
            let mut chart = ChartBuilder::on(panel)
                .margin(12)
                .caption(title, ("sans-serif", 18))
                .build_cartesian_2d(x, y)?;
            chart.configure_mesh().disable_mesh().disable_axes().draw()?;
            chart.draw_series(embedding.source.iter().map(|(p, class)| {
                Circle::new((p[0], p[1]), 4, CLASSES[class % 10].mix(0.35).filled())
            }))?;
            chart.draw_series(embedding.target.iter().map(|(p, class)| {
                Cross::new((p[0], p[1]), 3, CLASSES[class % 10].stroke_width(1))
            }))?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// Points of a plane with their classes, over what a model says of each place:
/// `said(x, y)` is the probability of class 1.
pub struct Plane<'a> {
    pub title: String,
    pub source: Vec<([f32; 2], usize)>,
    pub target: Vec<([f32; 2], usize)>,
    pub grid: &'a [f32],
}

/// The number of places along a side of the grid over -2 to 2.
pub const GRID: usize = 60;

/// The centre of a place of the grid.
pub fn place(i: usize) -> f32 {
    -2.0 + 4.0 * (i as f32 + 0.5) / GRID as f32
}

/// Planes side by side.
pub fn planes(planes: &[Plane<'_>]) -> Outcome<String> {
    let mut svg = String::new();
    {
        let width = 320 * planes.len() as u32;
        let area = SVGBackend::with_string(&mut svg, (width, 350)).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, plane) in area.split_evenly((1, planes.len())).iter().zip(planes) {
            let mut chart = ChartBuilder::on(panel)
                .margin(8)
                .caption(&plane.title, ("sans-serif", 16))
                .build_cartesian_2d(-2.0_f32..2.0, -2.0_f32..2.0)?;
            chart.configure_mesh().disable_mesh().disable_axes().draw()?;
            let half = 2.0 / GRID as f32;
            chart.draw_series(plane.grid.iter().enumerate().map(|(k, p)| {
                let (x, y) = (place(k % GRID), place(k / GRID));
                let colour = if *p > 0.5 { CLASSES[1] } else { CLASSES[0] };
                let strength = 0.05 + 0.25 * f64::from((2.0 * p - 1.0).abs());
                Rectangle::new(
                    [(x - half, y - half), (x + half, y + half)],
                    colour.mix(strength).filled(),
                )
            }))?;
            let inside = |p: &&([f32; 2], usize)| p.0.iter().all(|v| v.abs() < 2.0);
            chart.draw_series(plane.source.iter().filter(inside).map(|(p, class)| {
                Circle::new((p[0], p[1]), 2, CLASSES[class % 10].mix(0.5).filled())
            }))?;
            chart.draw_series(
                plane
                    .target
                    .iter()
                    .filter(inside)
                    .map(|(p, _)| Cross::new((p[0], p[1]), 2, BLACK.stroke_width(1))),
            )?;
        }
        area.present()?;
    }
    Ok(svg)
}
