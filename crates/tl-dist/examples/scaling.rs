//! What more ranks bring, up to 1,000: a simulation with `tl_dist::scaling`, as a
//! table and as a picture.
//!
//! ```sh
//! cargo run -p tl-dist --example scaling -- docs/distributed.svg
//! ```

#![allow(clippy::print_stdout, reason = "what it is for")]

use plotters::prelude::*;
use std::error::Error;
use tl_dist::scaling::{Job, Link, Step, Way, simulate};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Steps of each simulated job.
const STEPS: usize = 100;
const RANKS: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000];
/// Colours that also differ for the colour-blind (Okabe and Ito 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 86, 86),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
];

/// Sequences of a global batch.
const BATCH: f64 = 4096.0;

/// An encoder of the size of MiniLM, 10.6 million numbers; a rank is two cores.
/// Measured there with 16 sequences of 64 tokens (docs/performance.md): 125 ms
/// forward, 367 ms the whole step. That AdamW is 14 ms of it is an assumption.
const STEP: Step = Step {
    forward: 0.125 / 16.0 * BATCH,
    backward: 0.228 / 16.0 * BATCH,
    update: 0.014,
    bytes: 42.6e6,
};

/// 10 Gbit/s Ethernet with TCP: 30 us, 1.1 GB/s. An assumption.
const ETHERNET: Link = Link { alpha: 30e-6, beta: 1.0 / 1.1e9 };
/// 100 Gbit/s with RDMA: 2 us, 11 GB/s. An assumption.
const FAST: Link = Link { alpha: 2e-6, beta: 1.0 / 11e9 };

const MIB: f64 = 1_048_576.0;

/// A line of the picture.
struct Line {
    name: &'static str,
    job: Job,
}

fn lines() -> [Line; 6] {
    let job = Job {
        step: STEP,
        link: ETHERNET,
        way: Way::HalvingDoubling,
        ranks: 1,
        bucket: 4.0 * MIB,
        overlap: true,
        jitter: 0.03,
        weak: false,
    };
    let fixed = Way::Fixed { shards: BATCH as usize };
    [
        Line { name: "fast, 100 Gbit/s", job: Job { link: FAST, ..job } },
        Line { name: "fast, 10 Gbit/s", job },
        Line { name: "fast, 10 Gbit/s, no overlap", job: Job { overlap: false, ..job } },
        Line { name: "ring, 10 Gbit/s", job: Job { way: Way::Ring, ..job } },
        Line { name: "same bits, 10 Gbit/s", job: Job { way: fixed, ..job } },
        Line {
            name: "same bits, 10 Gbit/s, one bucket",
            job: Job { way: fixed, bucket: f64::INFINITY, ..job },
        },
    ]
}

fn main() -> Outcome<()> {
    let lines = lines();
    println!("Efficiency: speed-up over one rank, divided by ranks; in brackets ms a step.\n");
    print!("| ranks |");
    for line in &lines {
        print!(" {} |", line.name);
    }
    println!(" 16 sequences a rank, 10 Gbit/s |\n|{}", "---|".repeat(lines.len() + 2));
    let mut points = vec![Vec::new(); lines.len()];
    for ranks in RANKS {
        print!("| {ranks} |");
        for (line, points) in lines.iter().zip(&mut points) {
            let times = simulate(&Job { ranks, ..line.job }, STEPS, 0);
            points.push((ranks as f64, times.efficiency));
            print!(" {:.0}% ({:.0}) |", 100.0 * times.efficiency, 1e3 * times.step);
        }
        let step = Step {
            forward: STEP.forward * 16.0 / BATCH,
            backward: STEP.backward * 16.0 / BATCH,
            ..STEP
        };
        let weak = Job { ranks, weak: true, step, ..lines[1].job };
        let times = simulate(&weak, STEPS, 0);
        println!(" {:.0}% ({:.0}) |", 100.0 * times.efficiency, 1e3 * times.step);
    }
    if let Some(path) = std::env::args().nth(1) {
        let named: Vec<(&str, Vec<(f64, f64)>)> =
            lines.iter().map(|line| line.name).zip(points).collect();
        std::fs::write(path, draw(&named)?)?;
    }
    Ok(())
}

/// Efficiency over ranks, as an SVG.
fn draw(lines: &[(&str, Vec<(f64, f64)>)]) -> Outcome<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (720, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(58)
            .build_cartesian_2d((1.0..1100.0).log_scale(), 0.0..1.02)?;
        chart
            .configure_mesh()
            .x_desc("ranks")
            .y_desc("efficiency")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{:.0}%", y * 100.0))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .axis_desc_style(("sans-serif", 15))
            .label_style(("sans-serif", 13))
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3))
                });
            chart.draw_series(points.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.9))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 14))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
