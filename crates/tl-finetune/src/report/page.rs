//! The report as one HTML page.

use super::{FineTuneReport, Measured};
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
padding:0 1rem;color:#222}table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}h1{font-size:1.5rem}\
h2{font-size:1.15rem;margin-top:2rem}svg text{font:12px system-ui,sans-serif}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number, or a dash where there is none.
fn number(x: f64, digits: usize) -> String {
    if x.is_finite() { format!("{x:.digits$}") } else { "–".to_owned() }
}

pub(super) fn html(report: &FineTuneReport) -> String {
    let title = escape(&report.trials.data);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1>Fine-tuning: {title}</h1>\n"
    );
    page += &bars(report);
    page += &ways(report);
    page += &classes(report);
    page + "</body></html>\n"
}

/// Mean accuracy of each way, with its 95% interval.
fn bars(report: &FineTuneReport) -> String {
    let (left, width, row) = (170.0, 480.0, 26.0);
    let height = row * report.trials.ways.len() as f64 + 24.0;
    let mut svg = format!(
        "<figure><svg viewBox=\"0 0 720 {height}\" role=\"img\" \
         aria-label=\"accuracy of each way with its 95% interval\">"
    );
    for (i, way) in report.trials.ways.iter().enumerate() {
        let Ok(summary) = report.trials.summary(&way.name) else { continue };
        let (y, interval) = (row * i as f64 + 4.0, summary.interval());
        let x = |value: f64| left + width * value.clamp(0.0, 1.0);
        let colour = if i == 0 { "#777" } else { "#0072b2" };
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{left}\" y=\"{y}\" width=\"{}\" height=\"16\" fill=\"{colour}\"/>",
            left - 8.0,
            y + 12.5,
            escape(&way.name),
            x(summary.mean) - left,
        );
        if summary.n > 1 {
            let _ = write!(
                svg,
                "<line x1=\"{}\" x2=\"{}\" y1=\"{m}\" y2=\"{m}\" stroke=\"#000\" \
                 stroke-width=\"2\"/>",
                x(interval.low),
                x(interval.high),
                m = y + 8.0,
            );
        }
        let at = x(summary.mean.max(interval.high)) + 6.0;
        let _ = write!(svg, "<text x=\"{at}\" y=\"{}\">{:.3}</text>", y + 12.5, summary.mean);
    }
    svg + "</svg></figure>\n"
}

fn ways(report: &FineTuneReport) -> String {
    let mut table = String::from(
        "<div class=\"wide\"><table><tr><th>way</th><th>accuracy, 95% interval</th>\
         <th>against the first</th><th>calibration error</th><th>trained</th><th>of</th>\
         <th>seconds a seed</th><th>peak memory</th></tr>\n",
    );
    for (i, measured) in report.ways.iter().enumerate() {
        let name = &measured.way;
        let accuracy = report.trials.summary(name).map_or("–".into(), |s| {
            if s.n > 1 { format!("{s:.4}") } else { format!("{:.4} (one seed)", s.mean) }
        });
        let against = match (i, report.trials.against_baseline(name), report.trials.verdict(name)) {
            (0, ..) => "baseline".to_owned(),
            (_, Ok(c), Ok(verdict)) => format!("{:+.4}, p {:.3}: {verdict}", c.difference, c.p),
            _ => "–".to_owned(),
        };
        let seconds = report
            .trials
            .way(name)
            .map_or(f64::NAN, |w| w.seconds.iter().sum::<f64>() / w.seconds.len().max(1) as f64);
        let Measured { calibration, trainable, parameters, peak, .. } = measured;
        let _ = writeln!(
            table,
            "<tr><td>{}</td><td>{accuracy}</td><td>{against}</td><td>{}</td><td>{trainable}</td>\
             <td>{parameters}</td><td>{}</td><td>{peak}</td></tr>",
            escape(name),
            number(*calibration, 3),
            number(seconds, 1),
        );
    }
    table + "</table></div>\n"
}

fn classes(report: &FineTuneReport) -> String {
    let Some(first) = report.ways.first() else { return String::new() };
    let mut table = String::from(
        "<h2>Recall (and F1) of each class</h2><div class=\"wide\"><table><tr><th>class</th>",
    );
    for way in &report.ways {
        let _ = write!(table, "<th>{}</th>", escape(&way.way));
    }
    table += "</tr>\n";
    for (i, class) in first.classes.iter().enumerate() {
        let _ = write!(table, "<tr><td>{}</td>", escape(&class.class));
        for way in &report.ways {
            let cell = way.classes.get(i).map_or("–".to_owned(), |c| {
                format!("{} ({})", number(c.recall, 3), number(c.f1, 3))
            });
            let _ = write!(table, "<td>{cell}</td>");
        }
        table += "</tr>\n";
    }
    table + "</table></div>\n"
}
