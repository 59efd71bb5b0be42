//! Size, accuracy and latency in one picture.

use super::Measured;
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Left, top, right and bottom of the axes.
const FRAME: [f64; 4] = [64.0, 20.0, 690.0, 370.0];
/// Colours that also differ for the colour-blind (Okabe and Ito 2008).
const COLOURS: [&str; 7] =
    ["#565656", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];

/// Bytes from left to right (logarithmic), accuracy upwards, latency as area.
pub(super) fn svg(networks: &[Measured]) -> String {
    let [left, top, right, bottom] = FRAME;
    let bytes = |m: &Measured| (m.bytes.max(1) as f64).log10();
    let span = |values: &dyn Fn(&Measured) -> f64, least: f64| {
        let ends = networks
            .iter()
            .map(values)
            .fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        let margin = (0.15 * (ends.1 - ends.0)).max(least);
        (ends.0 - margin, ends.1 + margin)
    };
    let (x0, x1) = span(&bytes, 0.1);
    let (y0, y1) = span(&|m| m.accuracy, 0.005);
    let x = |v: f64| left + (v - x0) / (x1 - x0) * (right - left);
    let y = |v: f64| bottom - (v - y0) / (y1 - y0) * (bottom - top);
    let slowest = networks.iter().map(|m| m.latency_32).fold(1e-9, f64::max);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\" \
         aria-label=\"accuracy over bytes; the area of a circle is its latency\">\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"
    );
    for i in 0..5 {
        let part = f64::from(i) / 4.0;
        let (v, b) = (y0 + part * (y1 - y0), x0 + part * (x1 - x0));
        let (line, column) = (y(v), x(b));
        let _ = write!(
            svg,
            "<path d=\"M{left} {line:.1}H{right}M{column:.1} {top}V{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.1}%</text>\
             <text x=\"{column:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            left - 8.0,
            line + 4.0,
            100.0 * v,
            bottom + 20.0,
            size(10_f64.powf(b)),
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">bytes; area: ms for 32 samples\
         </text>",
        f64::midpoint(left, right),
        bottom + 40.0,
    );
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (i, m) in networks.iter().enumerate() {
        let (cx, cy) = (x(bytes(m)), y(m.accuracy));
        let r = 4.0 + 20.0 * (m.latency_32 / slowest).sqrt();
        let colour = COLOURS[i % COLOURS.len()];
        let mut line = cy - r - 4.0;
        // Labels of near networks go above each other.
        while taken.iter().any(|(a, b)| (a - cx).abs() < 170.0 && (b - line).abs() < 15.0) {
            line -= 15.0;
        }
        taken.push((cx, line));
        let anchor = if cx > f64::midpoint(left, right) { "end" } else { "start" };
        let _ = write!(
            svg,
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{r:.1}\" fill=\"{colour}\" \
             fill-opacity=\"0.65\"/><text x=\"{cx:.1}\" y=\"{line:.1}\" fill=\"{colour}\" \
             text-anchor=\"{anchor}\">{}: {:.3} ms</text>",
            super::html::escape(&m.name),
            m.latency_32,
        );
    }
    svg + "</svg>"
}

/// Bytes for a reader.
fn size(bytes: f64) -> String {
    match bytes {
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}
