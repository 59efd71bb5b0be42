//! Your own pictures: from a folder to a saved model to a service.
//!
//! Reads `folder/<class>/<picture>`, takes what a pre-trained network sees in each
//! picture, puts a logistic head on it, says on a part that was held out how good
//! that is beside logistic regression on pixels, and saves network and head in one
//! file of PyTorch's names.
//!
//! ```sh
//! tools/fetch-models   # once: EfficientNet-Lite0
//! cargo run --release --example own_images -- --folder my_pictures
//! echo my_pictures/cat/1.jpg | cargo run --release --example own_images -- --serve
//! ```
//! Without `tools/fetch-models` it uses a small network that it pre-trains on
//! handwritten digits; without a folder it writes one of garments first.
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

mod garments;
mod net;

use clap::Parser;
use net::Net;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::{
    Outcome,
    args::Args,
    bar,
    rows::{self, Row},
    serve,
    table::Table,
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use transfer_learning::{
    data::Dataset,
    finetune::{extract, linear_probe},
    nn::{
        Pool,
        metric::{Trials, accuracy},
    },
    prelude::*,
};

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// A folder with a folder of pictures (.png, .jpg) for each class.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The pre-trained network, as `tools/fetch-models` leaves it.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/models/efficientnet-lite0.safetensors"
    )]
    weights: PathBuf,
    /// Where the model is.
    #[arg(long, value_name = "FILE", default_value = "target/own_images/model.safetensors")]
    model: PathBuf,
    /// Answers paths of pictures from standard input.
    #[arg(long)]
    serve: bool,
}

fn main() -> Outcome {
    let flags = Flags::parse();
    if flags.serve {
        let (net, classes) = Net::open(&flags.model)?;
        return serve::lines(|line| {
            let x = net.picture(Path::new(line.trim()))?;
            Ok(serve::verdict(&net.logits(&x, &mut Ctx::eval())?.to_vec(), &classes))
        });
    }
    let args = &flags.shared;
    let folder = match &flags.folder {
        Some(folder) => folder.clone(),
        None => garments::write(Path::new("target/own_images/garments"), args.quick)?,
    };
    let mut net = Net::pretrained(&flags.weights, args.quick)?;
    let pictures = net.pictures(&folder)?;
    println!(
        "{}: {} pictures of {} classes; features of {}",
        folder.display(),
        pictures.len(),
        pictures.classes(),
        net.name()
    );
    let features = extract(&pictures, 32, |x, cx| net.features(x, cx))?;
    let pixels = pictures.with_features(&thumbnails(pictures.features())?)?;

    let mut trials = Trials::new("own pictures", "accuracy");
    let bar = bar::over(2 * args.seeds() as usize);
    for seed in 0..args.seeds() {
        for (way, data) in [("logistic on pixels", &pixels), ("linear probe", &features)] {
            bar.set_message(way);
            let start = Instant::now();
            let reached = held_out(data, seed)?;
            trials.push(way, reached, start.elapsed().as_secs_f64());
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let mut table = Table::new(["way", "accuracy on a fifth held out"]);
    for way in &trials.ways {
        table.row([way.name.clone(), trials.summary(&way.name)?.to_string()]);
    }
    table.print();
    if let Ok(verdict) = trials.verdict("linear probe") {
        println!("linear probe: {verdict}");
    }

    net.set_head(linear_probe(&features, 0)?);
    net.save(&flags.model, pictures.class_names())?;
    println!("saved to {}; `--serve` answers with it", flags.model.display());
    if let Some(file) = &args.json {
        rows::write(file, &[Row::of("own pictures", &trials, "linear probe")?])?;
    }
    Ok(())
}

/// What a probe on pixels sees: pictures of about 16 by 16, as one row each.
fn thumbnails(pictures: &Tensor) -> Outcome<Tensor> {
    let side = pictures.size(2)? / 14;
    Ok(pictures.avg_pool2d(Pool::new(side.max(1)))?.flatten(1, -1)?)
}

/// The accuracy of a probe on a fifth of the samples that it did not see.
fn held_out(data: &Dataset, seed: u64) -> Outcome<f64> {
    let (train, test) = data.split(0.8, &mut ChaCha8Rng::seed_from_u64(seed))?;
    let head = linear_probe(&train, seed)?;
    let logits = head.forward(test.features(), &mut Ctx::eval())?;
    Ok(accuracy(&logits, &test.labels()?.into())?)
}
