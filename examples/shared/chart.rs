//! Charts as SVG.

use super::Outcome;
use plotters::prelude::*;
use transfer_learning::nn::metric::Summary;

/// Colours that also differ for the colour-blind (Okabe and Ito 2008).
pub const COLOURS: [RGBColor; 4] =
    [RGBColor(86, 86, 86), RGBColor(230, 159, 0), RGBColor(0, 114, 178), RGBColor(0, 158, 115)];

/// A line with its 95% band: a result at each of several numbers.
pub struct Series<'a> {
    /// What it is.
    pub name: &'a str,
    /// Number and result.
    pub points: Vec<(f64, Summary)>,
}

/// Lines with bands over a logarithmic axis. Results are parts of 1.
pub fn lines(x_title: &str, y_title: &str, series: &[Series<'_>]) -> Outcome<String> {
    let mut svg = String::new();
    {
        let all = || series.iter().flat_map(|s| &s.points);
        let (left, right) = all().fold((f64::MAX, f64::MIN), |(l, r), p| (l.min(p.0), r.max(p.0)));
        let low = all().map(|(_, s)| s.interval().low).fold(1.0, f64::min).clamp(0.0, 0.9);
        let low = (low * 10.0).floor() / 10.0;
        let area = SVGBackend::with_string(&mut svg, (640, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(58)
            .build_cartesian_2d((left..right).log_scale(), low..1.0)?;
        chart
            .configure_mesh()
            .x_desc(x_title)
            .y_desc(y_title)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{:.0}%", y * 100.0))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .axis_desc_style(("sans-serif", 15))
            .label_style(("sans-serif", 13))
            .draw()?;
        for (series, colour) in series.iter().zip(COLOURS) {
            let edge = |end: fn(&Summary) -> f64| {
                series.points.iter().map(move |(x, s)| (*x, end(s).clamp(low, 1.0)))
            };
            let upper = edge(|s| s.interval().high);
            let lower: Vec<(f64, f64)> = edge(|s| s.interval().low).collect();
            let band: Vec<(f64, f64)> = upper.chain(lower.into_iter().rev()).collect();
            chart.draw_series(std::iter::once(Polygon::new(band, colour.mix(0.18))))?;
            let line: Vec<(f64, f64)> = edge(|s| s.mean).collect();
            chart
                .draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?
                .label(series.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3))
                });
            chart.draw_series(line.into_iter().map(|p| Circle::new(p, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.9))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 14))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

/// A technique beside its baseline.
pub struct Gain {
    /// What it is, and on what data.
    pub name: String,
    /// Without it, and with it.
    pub sides: [Summary; 2],
}

/// A pair of bars for each technique, with 95% intervals; results are parts of 1.
pub fn gains(gains: &[Gain]) -> Outcome<String> {
    const ROW: u32 = 62;
    let mut svg = String::new();
    {
        let height = 60 + ROW * gains.len() as u32;
        let area = SVGBackend::with_string(&mut svg, (640, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let rows = gains.len() as f64;
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .x_label_area_size(30)
            .build_cartesian_2d(0.0..1.0, rows..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_label_formatter(&|x| format!("{:.0}%", x * 100.0))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .label_style(("sans-serif", 13))
            .draw()?;
        for (row, gain) in gains.iter().enumerate() {
            let top = row as f64;
            let [before, after] = gain.sides;
            let text = format!("{}: {:.3} -> {:.3}", gain.name, before.mean, after.mean);
            chart.draw_series(std::iter::once(Text::new(
                text,
                (0.003, top + 0.08),
                ("sans-serif", 14).into_font(),
            )))?;
            for (i, (side, colour)) in
                [(before, COLOURS[0]), (after, COLOURS[2])].iter().enumerate()
            {
                let (from, to) = (top + 0.38 + 0.24 * i as f64, top + 0.58 + 0.24 * i as f64);
                let bar = Rectangle::new([(0.0, from), (side.mean, to)], colour.mix(0.85).filled());
                chart.draw_series(std::iter::once(bar))?;
                let middle = f64::midpoint(from, to);
                let interval = side.interval();
                let ends = [interval.low, interval.high].map(|x| (x.clamp(0.0, 1.0), middle));
                let line = PathElement::new(ends, BLACK.stroke_width(2));
                chart.draw_series(std::iter::once(line))?;
            }
        }
        area.present()?;
    }
    Ok(svg)
}
