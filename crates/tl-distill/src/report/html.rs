//! A report as a page.

use super::{DistillReport, NO_TEACHER};
use std::fmt::Write;
use tl_nn::metric::Trials;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;\
margin:2rem auto;padding:0 1rem}.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #8888}\
th{border-bottom-width:2px}figure{margin:1rem 0}figure svg{max-width:100%;height:auto;\
border-radius:.5rem}";

/// Text as it is, not as markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(super) fn page(report: &DistillReport) -> String {
    let title = escape(&report.trials.data);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<h2>Size, speed, quality</h2>\n\
         <p>The teacher, and the networks of the last seed. Calibration is the expected \
         calibration error; p is McNemar's test on this test set against the student without a \
         teacher.</p>\n"
    );
    html += &networks(report);
    let _ = writeln!(html, "<figure>{}</figure>", report.to_svg());
    for trials in [&report.trials, &report.agreement] {
        let _ = writeln!(html, "<h2>Over seeds: {}</h2>", escape(&trials.metric));
        html += &quality(trials);
    }
    html + "</body></html>\n"
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String], tag: &str| {
        let cells = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let body: String = rows.map(|row| line(&row, "td")).collect();
    format!("<div class=\"wide\"><table>\n{}{body}</table></div>\n", line(&header, "th"))
}

fn networks(report: &DistillReport) -> String {
    let header = [
        "network",
        "parameters",
        "bytes",
        "MACs",
        "ms, 1",
        "ms, 32",
        "accuracy",
        "agreement",
        "calibration",
        "p",
    ];
    let rows = report.compression.networks.iter().map(|m| {
        vec![
            m.name.clone(),
            m.parameters.to_string(),
            m.bytes.to_string(),
            m.macs.map_or("unknown".to_owned(), |x| x.to_string()),
            format!("{:.3}", m.latency_1),
            format!("{:.3}", m.latency_32),
            format!("{:.4}", m.accuracy),
            format!("{:.4}", m.agreement),
            format!("{:.3}", m.calibration),
            m.p.map_or(String::new(), |p| format!("{p:.4}")),
        ]
    });
    table(&header, rows)
}

fn quality(trials: &Trials) -> String {
    let header = ["way", &trials.metric, "gain", "95% interval", "p", "verdict"];
    let rows = trials.ways.iter().map(|way| {
        let result = trials.summary(&way.name).map_or("–".to_owned(), |s| format!("{s:.4}"));
        let mut row = vec![way.name.clone(), result];
        match (way.name == NO_TEACHER, trials.against_baseline(&way.name)) {
            (false, Ok(c)) => row.extend([
                format!("{:+.4}", c.difference),
                format!("{:+.4} to {:+.4}", c.interval.low, c.interval.high),
                format!("{:.4}", c.p),
                trials.verdict(&way.name).map_or(String::new(), |v| v.to_string()),
            ]),
            _ => row.extend([(); 4].map(|()| String::new())),
        }
        row
    });
    table(&header, rows)
}
