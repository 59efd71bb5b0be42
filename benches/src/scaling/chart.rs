//! Two panels side by side, both axes logarithmic: time and memory.

use crate::Outcome;
use plotters::prelude::*;

/// Colours that also differ for the colour-blind (Okabe and Ito 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 86, 86),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
];

/// A line of a panel.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Points, left to right.
    pub points: Vec<(f64, f64)>,
    /// Whether it was measured: with points on it.
    pub measured: bool,
}

/// Numbers that begin with 1, 2 or 5: on a logarithmic axis the others are too close.
fn label(x: &f64) -> String {
    let digit = (x / 10f64.powf(x.log10().floor() + 1e-9)).round();
    if ![1.0, 2.0, 5.0, 10.0].contains(&digit) {
        return String::new();
    }
    if *x >= 1.0 { format!("{x:.0}") } else { format!("{x}") }
}

/// An SVG of panels: the title of each vertical axis, and its lines.
///
/// # Errors
/// Nothing to draw.
pub fn draw(title: &str, axis: &str, panels: &[(&str, Vec<Line>)]) -> Outcome<String> {
    let mut svg = String::new();
    {
        let width = 480 * panels.len() as u32;
        let area = SVGBackend::with_string(&mut svg, (width, 380)).into_drawing_area();
        area.fill(&WHITE)?;
        let rest = area.titled(title, ("sans-serif", 17))?;
        for (part, (name, lines)) in rest.split_evenly((1, panels.len())).iter().zip(panels) {
            let all = || lines.iter().flat_map(|l| &l.points);
            let (left, right) =
                all().fold((f64::MAX, f64::MIN), |(l, r), p| (l.min(p.0), r.max(p.0)));
            let (low, high) =
                all().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.1), h.max(p.1)));
            if !(low > 0.0 && left > 0.0) {
                return Err(format!("`{name}` has no numbers above 0").into());
            }
            let mut chart = ChartBuilder::on(part)
                .margin(12)
                .x_label_area_size(42)
                .y_label_area_size(60)
                .build_cartesian_2d(
                    (left * 0.9..right * 1.1).log_scale(),
                    (low * 0.7..high * 1.5).log_scale(),
                )?;
            chart
                .configure_mesh()
                .x_desc(axis)
                .y_desc(*name)
                .x_label_formatter(&label)
                .y_label_formatter(&label)
                .light_line_style(TRANSPARENT)
                .bold_line_style(RGBColor(225, 225, 225))
                .axis_desc_style(("sans-serif", 14))
                .label_style(("sans-serif", 12))
                .draw()?;
            for (line, colour) in lines.iter().zip(COLOURS) {
                chart
                    .draw_series(LineSeries::new(line.points.clone(), colour.stroke_width(2)))?
                    .label(line.name.clone())
                    .legend(move |(x, y)| {
                        PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(3))
                    });
                if line.measured {
                    let dots = line.points.iter().map(|p| Circle::new(*p, 3, colour.filled()));
                    chart.draw_series(dots)?;
                }
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.9))
                .border_style(RGBColor(200, 200, 200))
                .label_font(("sans-serif", 13))
                .draw()?;
        }
        area.present()?;
    }
    Ok(svg)
}
