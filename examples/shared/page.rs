//! A page for the browser that needs nothing but itself.

use super::{Outcome, table::Table};
use std::{fmt::Write, path::Path};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;\
padding:0 1rem;color:#222}h1,h2{line-height:1.2}table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ddd}\
th{border-bottom:2px solid #888}svg{max-width:100%;height:auto}\
.grid{display:flex;flex-wrap:wrap;gap:.7rem}.card{text-align:center;font-size:.85rem;\
width:5.6rem}.card svg{width:5.2rem;border:1px solid #ccc}.wrong{color:#b3261e}";

/// A grey image with lines of text below it.
pub struct Card {
    /// Rows from top to bottom, 0 to 1.
    pub pixels: Vec<f32>,
    /// How many pixels are in a row.
    pub width: usize,
    /// A text, and whether it is right.
    pub lines: Vec<(String, bool)>,
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

    /// A drawing.
    pub fn svg(&mut self, svg: &str) {
        self.html += &format!("<figure>{svg}</figure>\n");
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let line = |cells: &[String], tag: &str| {
            let cells = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c)));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let (header, rows) = table.cells();
        let body: String = rows.iter().map(|row| line(row, "td")).collect();
        self.html += &format!("<table>\n{}{body}</table>\n", line(header, "th"));
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
            self.html +=
                &format!("<div class=\"card\">{}{lines}</div>\n", grey(&card.pixels, card.width));
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
        "<svg viewBox=\"0 0 {width} {height}\" shape-rendering=\"crispEdges\">\
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
