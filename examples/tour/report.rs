//! What came out, in the terminal, as a page and as rows.

use crate::{
    experiment::{Domains, Run, WAYS},
    shared::{
        Outcome,
        chart::{self, Gain, Series},
        page::{Card, Page},
        rows::{Row, Side},
        table::Table,
    },
};
use transfer_learning::nn::metric::{Comparison, Summary, paired_t_test};

/// The techniques that the ways stand for; the first is the baseline.
const TECHNIQUES: [&str; 3] = ["", "feature extraction", "fine-tuning"];

/// One number of labels: each way over the seeds.
struct Line {
    shots: usize,
    ways: [Summary; 3],
    seconds: [f64; 3],
    /// Against learning from scratch.
    against: [Option<Comparison>; 3],
}

struct Part<'a> {
    domains: &'a Domains,
    lines: Vec<Line>,
    /// The last seed at the middle number of labels.
    shown: (usize, &'a [Run; 3]),
}

/// The results of all domains.
pub struct Report<'a> {
    parts: Vec<Part<'a>>,
}

impl<'a> Report<'a> {
    /// Of `[seed][shots][way]` for each pair of domains.
    pub fn new(all: &'a [(&'a Domains, Vec<Vec<[Run; 3]>>)], shots: &[usize]) -> Outcome<Self> {
        let mut parts = Vec::new();
        for (domains, runs) in all {
            let mut lines = Vec::new();
            for (i, &shots) in shots.iter().enumerate() {
                let results =
                    |way: usize| -> Vec<f64> { runs.iter().map(|r| r[i][way].accuracy).collect() };
                let summary = |way: usize| Summary::of(&results(way));
                let seconds = |way: usize| runs.iter().map(|r| r[i][way].seconds).sum();
                let compare = |way| paired_t_test(&results(0), &results(way)).map(Some);
                lines.push(Line {
                    shots,
                    ways: [summary(0)?, summary(1)?, summary(2)?],
                    seconds: [0, 1, 2].map(seconds),
                    against: [None, compare(1)?, compare(2)?],
                });
            }
            let middle = shots.len() / 2;
            if let Some(last) = runs.last() {
                parts.push(Part { domains, lines, shown: (shots[middle], &last[middle]) });
            }
        }
        Ok(Self { parts })
    }

    /// Tables in the terminal.
    pub fn print(&self) {
        for part in &self.parts {
            println!(
                "\n{}: accuracy on {} test images",
                part.domains.name,
                part.domains.test.len()
            );
            part.table().print();
        }
        println!(
            "\nMean and 95% interval over seeds; gain over training from scratch, paired t-test."
        );
    }

    /// Curves, tables and samples.
    pub fn draw(&self, page: &mut Page) -> Outcome {
        page.heading("Feature extraction and fine-tuning");
        page.text(
            "A small convolutional network learns handwritten digits of one origin. Then it meets \
             digits of another origin, with only a few labels. Lines are means over seeds, bands \
             their 95% intervals; all ways of learning take the same number of steps.",
        );
        for part in &self.parts {
            let name = &part.domains.name;
            page.subheading(name);
            page.svg(&part.chart()?, &format!("accuracy against labels per class, {name}"));
            page.table(&part.table());
            page.text(&format!(
                "Test images and what the models of one seed see in them after {} labels a class: {}.",
                part.shown.0,
                WAYS.join(" / "),
            ));
            page.images(&part.samples()?);
        }
        Ok(())
    }

    /// What the two techniques gain with the fewest labels, where both were
    /// pre-trained on more.
    pub fn gains(&self) -> Vec<Gain> {
        let Some(part) = self.parts.last() else { return Vec::new() };
        let Some(line) = part.lines.first() else { return Vec::new() };
        let name = |way: usize| {
            format!("{}, {}, {} a class", TECHNIQUES[way], part.domains.name, line.shots)
        };
        let gain = |way| Gain { name: name(way), sides: [line.ways[0], line.ways[way]] };
        [1, 2].map(gain).into()
    }

    /// A row for each technique and number of labels.
    pub fn rows(&self, seeds: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        for part in &self.parts {
            for line in &part.lines {
                for way in 1..WAYS.len() {
                    rows.push(Row {
                        technique: TECHNIQUES[way].to_owned(),
                        data: format!("{}, {} labels per class", part.domains.name, line.shots),
                        metric: "accuracy".to_owned(),
                        baseline: Side::new(WAYS[0], line.ways[0]),
                        result: Side::new(WAYS[way], line.ways[way]),
                        seeds,
                        seconds: line.seconds[way],
                    });
                }
            }
        }
        rows
    }
}

impl Part<'_> {
    fn table(&self) -> Table {
        let mut table =
            Table::new(["labels/class", "way", "accuracy", "gain", "p", "seconds/seed"]);
        for line in &self.lines {
            for (way, name) in WAYS.iter().enumerate() {
                let (gain, p) = line.against[way].map_or_else(
                    || (String::new(), String::new()),
                    |c| (format!("{:+.3}", c.difference), format!("{:.4}", c.p)),
                );
                table.row([
                    if way == 0 { line.shots.to_string() } else { String::new() },
                    (*name).to_owned(),
                    line.ways[way].to_string(),
                    gain,
                    p,
                    format!("{:.2}", line.seconds[way] / line.ways[way].n as f64),
                ]);
            }
        }
        table
    }

    fn chart(&self) -> Outcome<String> {
        let series: Vec<Series<'_>> = WAYS
            .iter()
            .enumerate()
            .map(|(way, name)| Series {
                name,
                points: self.lines.iter().map(|l| (l.shots as f64, l.ways[way])).collect(),
            })
            .collect();
        chart::lines("labels per class", "accuracy on the test set", &series)
    }

    /// Twenty test images, spread evenly, with the predictions of each way.
    fn samples(&self) -> Outcome<Vec<Card>> {
        let test = &self.domains.test;
        let (labels, names) = (test.labels()?, test.class_names());
        let (pixels, width) = (test.features().to_vec(), test.sample_shape()[2]);
        let size: usize = test.sample_shape().iter().product();
        let step = (test.len() / 20).max(1);
        let card = |i: usize| {
            let seen = |run: &Run| {
                let class = run.predicted[i];
                (names[class].clone(), class == labels[i])
            };
            let [a, b, c] = self.shown.1;
            let all = [seen(a), seen(b), seen(c)];
            let right = all.iter().all(|(_, right)| *right);
            let text = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" / ");
            let truth = (format!("is {}", names[labels[i]]), true);
            let pixels = pixels[i * size..(i + 1) * size].to_vec();
            Card { pixels, width, lines: vec![truth, (text, right)] }
        };
        Ok((0..test.len()).step_by(step).take(20).map(card).collect())
    }
}
