//! The toy conflict of Liu et al. (2021), drawn.

use crate::shared::{Outcome, chart::COLOURS};
use plotters::prelude::*;
use transfer_learning::{
    multitask::{GradientBalancer, GradientState, Gram, gradient_weights},
    tensor::{GradOptions, Tensor, grad},
};

type Numbers = Tensor<f64>;
type Path = Vec<(f64, f64)>;

const STARTS: [[f64; 2]; 3] = [[-8.5, 7.5], [-8.5, -5.0], [9.0, 9.0]];

/// The two losses at points `[n, 2]`, each `[n]`.
fn losses(x: &Numbers) -> Outcome<[Numbers; 2]> {
    let (a, b) = (x.select(-1, 0)?, x.select(-1, 1)?);
    let tanh = b.neg().tanh();
    let first = a.neg().add_scalar(-7.0).mul_scalar(0.5).sub(&tanh)?;
    let second = a.neg().add_scalar(3.0).mul_scalar(0.5).add(&tanh)?.add_scalar(2.0);
    let log = |y: Numbers| -> Outcome<Numbers> {
        Ok(y.abs().maximum(&Tensor::scalar(5e-6))?.log().add_scalar(6.0))
    };
    let bowl = |centre: f64| -> Outcome<Numbers> {
        let far = b.add_scalar(8.0).square().mul_scalar(0.1);
        Ok(a.add_scalar(centre).square().add(&far)?.mul_scalar(0.1).add_scalar(-20.0))
    };
    let (up, down) = (b.mul_scalar(0.5).tanh().relu(), b.mul_scalar(-0.5).tanh().relu());
    let loss =
        |a: Numbers, q: Numbers| -> Outcome<Numbers> { Ok(a.mul(&up)?.add(&q.mul(&down)?)?) };
    Ok([loss(log(first)?, bowl(-7.0)?)?, loss(log(second)?, bowl(7.0)?)?])
}

/// Where Adam goes with this balancer.
fn path(balancer: GradientBalancer, start: [f64; 2], steps: usize, lr: f64) -> Outcome<Path> {
    let (mut at, mut m, mut v) = (start, [0.0; 2], [0.0; 2]);
    let mut state = GradientState::default();
    let mut path = vec![(at[0], at[1])];
    for step in 1..=steps {
        let x = Tensor::from_slice(&at, 2)?.requires_grad();
        let mut rows = Vec::new();
        for loss in losses(&x)? {
            rows.push(grad(&loss, &[&x], GradOptions::new())?[0].to_vec());
        }
        let gram = Gram::from_rows(&rows)?;
        let w = gradient_weights(balancer, &gram, &[0, 1], 2, &mut state, step as u64)?;
        for (k, x) in at.iter_mut().enumerate() {
            let g = w[0] * rows[0][k] + w[1] * rows[1][k];
            m[k] = 0.9 * m[k] + 0.1 * g;
            v[k] = 0.999 * v[k] + 0.001 * g * g;
            let (m, v) = (
                m[k] / (1.0 - 0.9_f64.powi(step as i32)),
                v[k] / (1.0 - 0.999_f64.powi(step as i32)),
            );
            *x -= lr * m / (v.sqrt() + 1e-8);
        }
        // A point for each tenth of a unit: about what a pixel shows.
        let (x, y) = path[path.len() - 1];
        if (at[0] - x).hypot(at[1] - y) >= 0.1 || step == steps {
            path.push((at[0], at[1]));
        }
    }
    Ok(path)
}

/// The mean loss on a grid, as shades, with paths from three starts.
pub fn picture(quick: bool) -> Outcome<String> {
    let steps = if quick { 500 } else { 20_000 };
    let ways = [
        GradientBalancer::Mean,
        GradientBalancer::Mgda,
        GradientBalancer::CaGrad { c: 0.5 },
        GradientBalancer::UpGrad,
    ];
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (760, 760)).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, (balancer, colour)) in
            area.split_evenly((2, 2)).iter().zip(ways.into_iter().zip(COLOURS))
        {
            let mut paths = Vec::new();
            for start in STARTS {
                paths.push(path(balancer, start, steps, 1e-2)?);
            }
            draw(panel, balancer.name(), colour, &paths)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn draw(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    name: &str,
    colour: RGBColor,
    paths: &[Path],
) -> Outcome {
    const CELLS: usize = 60;
    const BANDS: f64 = 12.0;
    let mut chart = ChartBuilder::on(panel)
        .margin(10)
        .caption(name, ("sans-serif", 18))
        .x_label_area_size(24)
        .y_label_area_size(30)
        .build_cartesian_2d(-10.0..10.0, -10.0..10.0)?;
    let size = 20.0 / CELLS as f64;
    let corner = |i: usize| -10.0 + i as f64 * size;
    let points: Vec<f64> = (0..CELLS * CELLS)
        .flat_map(|i| [corner(i % CELLS) + size / 2.0, corner(i / CELLS) + size / 2.0])
        .collect();
    let [one, two] = losses(&Tensor::from_vec(points, [CELLS * CELLS, 2])?)?;
    let mean = one.add(&two)?.mul_scalar(0.5).to_vec();
    let (low, high) = mean.iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    // Bands of equal loss; neighbours of one shade are one rectangle.
    let band = |x: f64| ((x - low) / (high - low) * BANDS).floor().min(BANDS - 1.0);
    for (row, losses) in mean.chunks(CELLS).enumerate() {
        let mut from = 0;
        for run in losses.chunk_by(|&x, &y| band(x) == band(y)) {
            let shade = (165.0 + 85.0 * band(run[0]) / (BANDS - 1.0)) as u8;
            let cell = [(corner(from), corner(row)), (corner(from + run.len()), corner(row + 1))];
            let cell = Rectangle::new(cell, RGBColor(shade, shade, shade).filled());
            chart.draw_series(std::iter::once(cell))?;
            from += run.len();
        }
    }
    chart.configure_mesh().disable_mesh().label_style(("sans-serif", 12)).draw()?;
    let set = [(-7.0, -8.3552), (7.0, -8.3552)];
    chart.draw_series(LineSeries::new(set, RGBColor(213, 94, 0).stroke_width(4)))?;
    for path in paths {
        chart.draw_series(LineSeries::new(path.clone(), colour.stroke_width(2)))?;
        let ends = path.first().into_iter().map(|p| Circle::new(*p, 4, BLACK.filled()));
        chart.draw_series(ends)?;
        let last = path.last().into_iter().map(|p| Circle::new(*p, 6, RED.filled()));
        chart.draw_series(last)?;
    }
    Ok(())
}
