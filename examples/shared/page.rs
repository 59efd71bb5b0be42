//! A page for the browser that needs nothing but itself.

use super::{Outcome, table::Table};
use std::{fmt::Write, path::Path};
use transfer_learning::data::Dataset;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#222;--paper:#fff;--line:#ccc;--soft:#f4f4f4;--bad:#b3261e}\
@media(prefers-color-scheme:dark){\
:root{--ink:#e6e6e6;--paper:#181818;--line:#555;--soft:#262626;--bad:#ff8a80}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;\
color:var(--ink);background:var(--paper)}h1,h2,h3{line-height:1.2}\
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid var(--line)}\
th{border-bottom-width:2px}figure{margin:1rem 0}figure svg{max-width:100%;height:auto;\
border-radius:.5rem}pre{overflow-x:auto;background:var(--soft);padding:.8rem;\
border-radius:.5rem;font-size:.85rem}.grid{display:flex;flex-wrap:wrap;gap:.7rem}\
.card{text-align:center;font-size:.85rem;width:5.6rem}\
.card svg{width:5.2rem;border:1px solid var(--line)}.wrong{color:var(--bad)}";

/// A grey image with lines of text below it.
pub struct Card {
    /// Rows from top to bottom, 0 to 1.
    pub pixels: Vec<f32>,
    /// How many pixels are in a row.
    pub width: usize,
    /// A text, and whether it is right.
    pub lines: Vec<(String, bool)>,
}

impl Card {
    /// A sample and the class that was said of it; if it is another, that too.
    pub fn named(
        pixels: Vec<f32>,
        width: usize,
        names: &[String],
        said: usize,
        truth: usize,
    ) -> Self {
        let name = |class: usize| names.get(class).cloned().unwrap_or_default();
        let mut lines = vec![(name(said), said == truth)];
        if said != truth {
            lines.push((format!("is {}", name(truth)), true));
        }
        Self { pixels, width, lines }
    }
}

/// Samples spread evenly over a test set of grey images, and what was said of
/// them.
pub fn cards(test: &Dataset, predicted: &[usize], count: usize) -> Outcome<Vec<Card>> {
    let (labels, names) = (test.labels()?, test.class_names());
    let (pixels, width) = (test.features().to_vec(), *test.sample_shape().last().unwrap_or(&1));
    let size: usize = test.sample_shape().iter().product();
    let places = (0..test.len()).step_by((test.len() / count).max(1)).take(count);
    let card = |i: usize| {
        let own = pixels[i * size..(i + 1) * size].to_vec();
        Card::named(own, width, names, predicted[i], labels[i])
    };
    Ok(places.map(card).collect())
}

/// A page under construction.
pub struct Page {
    html: String,
}

/// Text as it is, not as markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Page {
    /// An empty page with a title.
    pub fn new(title: &str) -> Self {
        let title = escape(title);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        );
        Self { html }
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.html += &format!("<h2>{}</h2>\n", escape(text));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.html += &format!("<p>{}</p>\n", escape(text));
    }

    /// A smaller heading.
    pub fn subheading(&mut self, text: &str) {
        self.html += &format!("<h3>{}</h3>\n", escape(text));
    }

    /// Lines of a program.
    pub fn code(&mut self, code: &str) {
        self.html += &format!("<pre><code>{}</code></pre>\n", escape(code));
    }

    /// A drawing, and its text for those who do not see it.
    pub fn svg(&mut self, svg: &str, text: &str) {
        let text = escape(text);
        self.html += &format!("<figure role=\"img\" aria-label=\"{text}\">{svg}</figure>\n");
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let line = |cells: &[String], tag: &str| {
            let cells = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c)));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let (header, rows) = table.cells();
        let body: String = rows.iter().map(|row| line(row, "td")).collect();
        self.html +=
            &format!("<div class=\"wide\"><table>\n{}{body}</table></div>\n", line(header, "th"));
    }

    /// Images with text; what is wrong is red.
    pub fn images(&mut self, cards: &[Card]) {
        self.html += "<div class=\"grid\">\n";
        for card in cards {
            let lines = card.lines.iter().map(|(text, right)| {
                let class = if *right { "" } else { " class=\"wrong\"" };
                format!("<div{class}>{}</div>", escape(text))
            });
            let lines: String = lines.collect();
            let svg = grey(&card.pixels, card.width);
            self.html += &format!("<div class=\"card\">{svg}{lines}</div>\n");
        }
        self.html += "</div>\n";
    }

    /// Writes the page.
    pub fn save(self, path: &Path) -> Outcome {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, self.html + "</body></html>\n")?)
    }
}

/// An image as squares of grey, dark on white.
fn grey(pixels: &[f32], width: usize) -> String {
    let height = pixels.len() / width.max(1);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" shape-rendering=\"crispEdges\" \
         role=\"img\" aria-label=\"a sample\">\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"
    );
    for (i, &pixel) in pixels.iter().enumerate().filter(|(_, p)| **p > 0.02) {
        let level = (255.0 * (1.0 - pixel.clamp(0.0, 1.0))) as u8;
        let (x, y) = (i % width, i / width);
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"1\" height=\"1\" fill=\"rgb({level},{level},{level})\"/>"
        );
    }
    svg + "</svg>"
}
