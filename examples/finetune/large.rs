//! EfficientNet-Lite0, which knows ImageNet.

use super::shared::{Outcome, args::Args, bar};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    data::{
        Batching, Dataset, read, samples,
        transform::{Compose, RandomAffine, RandomFlip},
    },
    finetune::{
        Extract, FineTune, FineTuneReport, LoraConfig, Method, Statistics, linear_probe, peft,
    },
    models::{Backbone, EfficientNetLite, EfficientNetLiteConfig},
    nn::{
        Act, AdamW, BatchNorm2d, Conv2d, CrossEntropy, Flatten, Linear, MaxPool2d, Optimizer,
        Schedule, Sequential, Trainer, module,
    },
    prelude::*,
    tensor::{Conv, Pool},
};

/// Pictures of 28 are enlarged to this: a twelfth of the work of ImageNet's 224.
const SIDE: usize = 64;

/// The network with what it expects of a picture before it: grey pictures of any
/// size go in.
#[derive(Clone)]
struct OnGrey {
    net: EfficientNetLite,
}
module!(OnGrey { net });

impl Forward for OnGrey {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> transfer_learning::nn::Result<Tensor> {
        self.net.forward(&self.large(x)?, cx)
    }
}

impl OnGrey {
    fn large(&self, x: &Tensor) -> transfer_learning::nn::Result<Tensor> {
        self.net.preprocess().standardise(&x.resize_bilinear([SIDE, SIDE], false)?)
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> transfer_learning::nn::Result<Tensor> {
        self.net.features(&self.large(x)?, cx)
    }

    /// With this head; all but it frozen.
    fn with_head(&self, head: Linear) -> transfer_learning::nn::Result<Self> {
        let mut own = self.clone();
        *own.net.head_mut() = head;
        let _ = own.freeze("**")?;
        let _ = own.unfreeze("net._fc.**")?;
        Ok(own)
    }
}

pub fn run(
    weights: &Path,
    folder: Option<&Path>,
    args: &Args,
) -> Outcome<Vec<(String, FineTuneReport)>> {
    let net = EfficientNetLite::from_safetensors(&EfficientNetLiteConfig::lite0(), weights)?;
    let pretrained = OnGrey { net };
    let (train, test) = data(folder, args.quick)?;
    let shots: &[usize] = if args.quick { &[5] } else { &[10, 50] };
    let seeds = args.seeds();
    let bar = bar::over(shots.len() * seeds as usize + 1);
    bar.set_message("features");
    let cache = folder.map(|f| f.join("efficientnet-lite0-fashion.safetensors"));
    let extract = Extract { cache, ..Extract::new().preprocessing("bilinear 64, (x-127)/128") };
    let features = |data: &Dataset| {
        extract.run_with(&pretrained, data, |net: &OnGrey, x, cx| net.features(x, cx))
    };
    let test_features = features(&test)?;
    bar.inc(1);
    let mut all = Vec::new();
    for &k in shots {
        let mut report = FineTuneReport::new(&format!("garments, {k} labels a class"));
        for seed in 0..seeds {
            bar.set_message(format!("{k} labels a class"));
            let rng = || ChaCha8Rng::seed_from_u64(seed);
            let (few, _) = train.k_shot(k, &mut rng())?;
            report.run("from scratch", &test, || scratch(&few, seed, args.quick))?;

            let start = std::time::Instant::now();
            let head = linear_probe(&features(&few)?, seed)?;
            let seconds = start.elapsed().as_secs_f64();
            let logits = head.forward(test_features.features(), &mut Ctx::eval())?;
            let probe = pretrained.with_head(head.clone())?;
            let (trained, of) = probe.count_params();
            let peak = transfer_learning::finetune::Peak::Estimated(4 * (of + 3 * trained) as u64);
            report.add("linear probe", &logits, &test, seconds, [trained, of], peak)?;

            let epochs = if args.quick { 1 } else { 4 };
            let tune = |method| {
                let tune = FineTune::new(method, "net._fc.**").epochs(epochs).seed(seed);
                tune.lr(1e-3).statistics(Statistics::Keep)
            };
            report.run("LP-FT", &test, || {
                let mut model = pretrained.with_head(head.clone())?;
                // The lower blocks see edges and textures, as any network's do.
                let lower = format!("net._conv_stem.**|net._bn0.**|{}", blocks(0..9));
                tune(Method::Full { body_rate: 0.3 }).freeze(&lower).fit(&mut model, &few)?;
                let _ = model.freeze(&lower)?;
                Ok(model)
            })?;
            report.run("LoRA", &test, || {
                let mut model = pretrained.with_head(head.clone())?;
                let config = LoraConfig::new(["_expand_conv", "_project_conv"]).rank(4);
                let config = config.train(["_fc"]);
                peft::attach(&mut model, "garments", config, seed)?;
                tune(Method::AsIs).fit(&mut model, &few)?;
                Ok(model)
            })?;
            bar.inc(1);
        }
        all.push((format!("efficientnet-{k}"), report));
    }
    bar.finish_and_clear();
    Ok(all)
}

/// The pattern of some blocks.
fn blocks(range: std::ops::Range<usize>) -> String {
    range.map(|i| format!("net._blocks.{i}.**")).collect::<Vec<_>>().join("|")
}

fn data(folder: Option<&Path>, quick: bool) -> Outcome<(Dataset, Dataset)> {
    let (train, test) = match folder {
        None => samples::fashion_mnist(),
        Some(folder) => {
            let names = samples::fashion_mnist().0.class_names().to_vec();
            let part = |part: &str| -> Outcome<Dataset> {
                let file = |kind: &str| folder.join("fashion-mnist").join(format!("{part}-{kind}"));
                let images = file("images-idx3-ubyte.gz");
                let labels = file("labels-idx1-ubyte.gz");
                Ok(read::idx::labelled_images(images, labels, &names)?)
            };
            (part("train")?, part("t10k")?)
        }
    };
    if !quick {
        return Ok((train, test));
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(2026);
    Ok((train.k_shot(8, rng)?.0, test.k_shot(5, rng)?.0))
}

/// A small convolutional network on the labels alone, with distorted copies.
fn scratch(
    few: &Dataset,
    seed: u64,
    quick: bool,
) -> transfer_learning::finetune::Result<Sequential> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = Sequential::new();
    for (from, to) in [(1, 16), (16, 32), (32, 64)] {
        net = net
            .push(Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias())
            .push(BatchNorm2d::new(to))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    let mut net = net.push(Flatten).push(Linear::new(64 * 9, few.classes(), rng));
    let views = Compose::new()
        .then(RandomAffine::new().degrees(10.0).translate(0.1).scale(0.9, 1.1))
        .then(RandomFlip::horizontal());
    let loader = few.batches(Batching::new(32).shuffled(seed))?.transform(views);
    let steps = if quick { 20 } else { 400 };
    let optimizer = Optimizer::new(AdamW::new(3e-3)).schedule(Schedule::cosine(steps, 0.0));
    let epochs = (steps as usize).div_ceil(loader.len());
    Trainer::new(optimizer, epochs).seed(seed).fit(
        &mut net,
        |epoch| loader.epoch(epoch as u64),
        |net, batch, cx| {
            let labels = batch.labels().map_err(transfer_learning::nn::Error::other)?;
            Ok(CrossEntropy::new().loss(&net.forward(&batch.features, cx)?, labels)?)
        },
    )?;
    Ok(net)
}
