//! What a network for photographs knows, in a small network for garments.
//!
//! EfficientNet-Lite0 was trained on ImageNet. On its pooled features of 1,500
//! garments a linear classifier is fitted: the teacher. A small convolutional
//! student learns the same pictures from labels alone, from the teacher's
//! outputs, and from its features too, which are computed once and kept.

use crate::{nets, shared::Outcome};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    data::Dataset,
    distill::{Distill, DistillReport, Relation, Storage, compare, outputs},
    models::{Backbone, EfficientNetLite, EfficientNetLiteConfig, Preprocess},
    nn::{Ctx, Forward, Linear, Param, Result, Tensor, module, shallow::LogisticRegression},
};

/// Height and width of what the network sees.
const SIZE: usize = 96;

/// Grey pictures of 28x28, enlarged, through EfficientNet and a classifier.
#[derive(Clone, Debug)]
struct Pretrained {
    net: EfficientNetLite,
    head: Option<Linear>,
    preprocess: Preprocess,
}
module!(Pretrained { net, head; skip preprocess });

impl Forward for Pretrained {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let mut parts = Vec::new();
        // A few at a time, for the sake of memory.
        for start in (0..x.dims()[0]).step_by(64) {
            let part = x.narrow(0, start, 64.min(x.dims()[0] - start))?;
            let large = part.resize_bilinear([SIZE, SIZE], false)?;
            let y = self.preprocess.standardise(&large)?;
            parts.push(self.net.features(&y, &mut Ctx::eval())?);
        }
        let y = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?;
        cx.tap("embedding", &y);
        match &self.head {
            Some(head) => cx.within("head", |cx| head.forward(&y, cx)),
            None => Ok(y),
        }
    }
}

/// The student's ways beside the one without a teacher.
pub fn run(
    models: &Path,
    [train, test]: [&Dataset; 2],
    epochs: usize,
    quick: bool,
    seeds: u64,
) -> Outcome<DistillReport> {
    let few = |data: &Dataset, n: usize| data.select(&(0..n.min(data.len())).collect::<Vec<_>>());
    let (train, test) =
        if quick { (few(train, 100)?, few(test, 60)?) } else { (train.clone(), test.clone()) };
    let config = EfficientNetLiteConfig::lite0();
    let net =
        EfficientNetLite::from_safetensors(&config, models.join("efficientnet-lite0.safetensors"))?;
    let preprocess = net.preprocess();
    let mut teacher = Pretrained { net, head: None, preprocess };
    let features = outputs(&teacher, train.features())?;
    let fit = LogisticRegression::new().c(0.1).fit(&features, train.labels()?, 10)?;
    teacher.head = Some(linear(&fit, features.dims()[1])?);
    // Asked once, for all ways and seeds; of another run nothing is taken.
    let cache = "target/distill/efficientnet.safetensors";
    if Path::new(cache).exists() {
        std::fs::remove_file(cache)?;
    }
    std::fs::create_dir_all("target/distill")?;
    let kd = Distill::kd(4.0).budget(epochs, 64).cache(cache, Storage::F16);
    let hint =
        |relation, weight| kd.clone().hint("hidden", "embedding", relation, weight).cache_hints();
    let ways = [
        ("KD + features", hint(Relation::Features, 1.0)),
        ("KD + similarities", hint(Relation::Similarity, 100.0)),
        ("KD", kd.clone()),
    ];
    let name = "garments, EfficientNet-Lite0 to small CNN";
    Ok(compare(name, &ways, &teacher, nets::small, [&train, &test], seeds)?)
}

/// The fitted classifier as a layer.
fn linear(fit: &transfer_learning::nn::shallow::LogisticFit, inputs: usize) -> Outcome<Linear> {
    // Its logits are affine: what it gives for 0 and for each direction.
    let bias = fit.logits(&Tensor::zeros([1, inputs]))?;
    let weight = fit.logits(&Tensor::eye(inputs))?.sub(&bias)?.t()?.contiguous();
    let mut layer = Linear::new(inputs, 10, &mut ChaCha8Rng::seed_from_u64(0));
    layer.weight = Param::new(weight);
    layer.bias = Some(Param::new(bias.reshape(10)?));
    Ok(layer)
}
