//! The pre-trained network: EfficientNet-Lite0 if it was fetched, else a small
//! one that learns handwritten digits first.

use crate::shared::Outcome;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    data::{Batching, Dataset, read::image_folder::ImageFolder, samples},
    models::{Backbone, EfficientNetLite, EfficientNetLiteConfig, LeNet},
    nn::{AdamW, CrossEntropy, Error, Linear, Optimizer, Result, StateDict, Trainer},
    prelude::*,
};

/// Pictures are resized to this: a quarter of the work of ImageNet's 224.
const SIDE: usize = 112;

/// A network and what it expects of a picture.
pub enum Net {
    /// Knows photographs.
    Efficient(Box<EfficientNetLite>),
    /// Knows digits.
    Small(Box<LeNet>),
}

impl Net {
    /// With weights, if the file is there.
    pub fn pretrained(weights: &Path, quick: bool) -> Outcome<Self> {
        if weights.is_file() {
            let config = EfficientNetLiteConfig::lite0();
            return Ok(Self::Efficient(Box::new(EfficientNetLite::from_safetensors(
                &config, weights,
            )?)));
        }
        let mut net = LeNet::new(&10, &mut ChaCha8Rng::seed_from_u64(0))?;
        let (digits, _) = samples::mnist();
        let loader = digits.batches(Batching::new(32).shuffled(0))?;
        let epochs = if quick { 1 } else { 10 };
        Trainer::new(Optimizer::new(AdamW::new(2e-3)), epochs).fit(
            &mut net,
            |epoch| loader.epoch(epoch as u64),
            |net, batch, cx| {
                let labels = batch.labels().map_err(Error::other)?;
                Ok(CrossEntropy::new().loss(&net.forward(&batch.features, cx)?, labels)?)
            },
        )?;
        Ok(Self::Small(Box::new(net)))
    }

    /// What it is called, here and in its file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Efficient(_) => "EfficientNet-Lite0",
            Self::Small(_) => "LeNet",
        }
    }

    fn reader(&self) -> ImageFolder {
        match self {
            Self::Efficient(_) => ImageFolder::new(SIDE, SIDE),
            Self::Small(_) => ImageFolder::new(28, 28).grey(),
        }
    }

    /// All pictures of a folder, as the network wants them.
    pub fn pictures(&self, folder: &Path) -> Outcome<Dataset> {
        let data = self.reader().read(folder)?;
        Ok(data.with_features(&self.standardise(data.features())?)?)
    }

    /// One picture, `[1, c, h, w]`.
    pub fn picture(&self, file: &Path) -> Outcome<Tensor> {
        Ok(self.standardise(&self.reader().read_one(file)?)?)
    }

    fn standardise(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Efficient(net) => net.preprocess().standardise(x),
            Self::Small(net) => net.preprocess().standardise(x),
        }
    }

    /// What it sees in pictures, `[n, d]`.
    pub fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        match self {
            Self::Efficient(net) => net.features(x, cx),
            Self::Small(net) => net.features(x, cx),
        }
    }

    /// Logits of its head.
    pub fn logits(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        match self {
            Self::Efficient(net) => net.forward(x, cx),
            Self::Small(net) => net.forward(x, cx),
        }
    }

    /// Puts another head in place.
    pub fn set_head(&mut self, head: Linear) {
        match self {
            Self::Efficient(net) => *net.head_mut() = head,
            Self::Small(net) => *net.head_mut() = head,
        }
    }

    /// One safetensors file, with the names of the classes.
    pub fn save(&self, path: &Path, classes: &[String]) -> Outcome {
        let mut dict = match self {
            Self::Efficient(net) => net.state_dict(),
            Self::Small(net) => net.state_dict(),
        };
        dict.metadata_mut().insert("net".to_owned(), self.name().to_owned());
        dict.metadata_mut().insert("classes".to_owned(), serde_json::to_string(classes)?);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(dict.save(path)?)
    }

    /// What [`save`](Self::save) wrote, and the names of the classes.
    pub fn open(path: &Path) -> Outcome<(Self, Vec<String>)> {
        let dict = StateDict::open(path)?;
        let entry = |key: &str| {
            let problem = || format!("{}: no `{key}`; was it saved by this?", path.display());
            dict.metadata().get(key).ok_or_else(problem)
        };
        let classes = serde_json::from_str(entry("classes")?)?;
        let net = match entry("net")?.as_str() {
            "LeNet" => Self::Small(Box::new(LeNet::from_state_dict(&10, &dict)?)),
            _ => Self::Efficient(Box::new(EfficientNetLite::from_state_dict(
                &EfficientNetLiteConfig::lite0(),
                &dict,
            )?)),
        };
        Ok((net, classes))
    }
}
