//! Compatibilities that are trained to rank: DeViSE, SJE, ALE, LatEm, and deeper
//! ones.

use super::{Compatibility, Method, scale::Scale};
use crate::{Error, Result, Seen, semantics::unit_rows, split::matrix};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batching, Dataset};
use tl_nn::{
    Activation, AdamW, CrossEntropy, Indices, Linear, Optimizer, Schedule, Tensor, Trainer, module,
};

/// How the right class is pushed above the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankingLoss {
    /// The sum of the hinges `[margin + f_c - f_y]₊` of all wrong classes (Frome
    /// et al. 2013, eq. 1).
    Devise {
        /// The margin; the paper has 0.1.
        margin: f32,
    },
    /// The largest hinge, that of the worst class (Akata et al. 2015, eq. 5).
    Sje {
        /// The margin; the paper has 1.
        margin: f32,
    },
    /// The sum of hinges, weighted by `Σ_{i≤r} 1/i / r` for `r` classes that
    /// violate the margin (Akata et al. 2016, eq. 10).
    Ale {
        /// The margin; the paper has 1.
        margin: f32,
    },
    /// Cross entropy of `scale · f`: the usual choice today.
    CrossEntropy {
        /// What scores are multiplied by; about 10 to 20 for cosines.
        scale: f32,
    },
}

impl RankingLoss {
    fn check(self) -> Result<()> {
        let (name, value, fits) = match self {
            Self::Devise { margin } | Self::Sje { margin } | Self::Ale { margin } => {
                ("margin", margin, margin >= 0.0)
            }
            Self::CrossEntropy { scale } => ("scale", scale, scale > 0.0),
        };
        if fits && value.is_finite() {
            return Ok(());
        }
        let expected = "a margin from 0, or a scale above 0";
        Err(Error::argument("ranking", name, value, expected))
    }
}

/// The ranking loss of scores `[n, classes]`, a mean over the samples.
///
/// # Errors
/// Shapes that do not fit; a label out of range.
pub fn ranking_loss(scores: &Tensor, labels: &Indices, loss: RankingLoss) -> tl_nn::Result<Tensor> {
    let hinges = |margin: f32| -> tl_nn::Result<Tensor> {
        let own = Tensor::one_hot(labels, scores.size(1)?)?;
        let right = scores.mul(&own)?.sum(-1, true)?;
        let others = own.neg().add_scalar(1.0);
        Ok(scores.sub(&right)?.add_scalar(margin).relu().mul(&others)?)
    };
    Ok(match loss {
        RankingLoss::Devise { margin } => hinges(margin)?.sum(-1, false)?.mean_all(),
        RankingLoss::Sje { margin } => hinges(margin)?.max(-1, false)?.mean_all(),
        RankingLoss::Ale { margin } => {
            let hinges = hinges(margin)?;
            let violations = hinges.detach().gt_scalar(0.0).sum(-1, true)?;
            let weights = violations.map_constant(|r| {
                let r = r as usize;
                (1..=r).map(|i| 1.0 / i as f32).sum::<f32>() / r.max(1) as f32
            });
            hinges.mul(&weights)?.sum(-1, false)?.mean_all()
        }
        RankingLoss::CrossEntropy { scale } => {
            CrossEntropy::new().loss(&scores.mul_scalar(scale), labels)?
        }
    })
}

/// A learned map from features to signatures, trained so that the right class
/// ranks first: linear for DeViSE, SJE and ALE, with a hidden layer for a deep
/// compatibility. Features are standardised by the seen classes, projections
/// and signatures compared by cosine, which keeps margins meaningful; the
/// papers' own models are unnormalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// The loss.
    pub loss: RankingLoss,
    /// Units of a hidden layer, 0 for none.
    pub hidden: usize,
    /// Latent maps; a class scores with the map that suits it best (LatEm).
    /// Default 1.
    pub maps: usize,
    /// Passes over the data. Default 30.
    pub epochs: usize,
    /// Samples of a step. Default 64.
    pub batch: usize,
    /// The rate of AdamW. Default 3e-3.
    pub lr: f32,
    /// Its weight decay. Default 1e-2.
    pub weight_decay: f32,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
}

impl Ranking {
    /// A linear map trained with this loss.
    pub fn new(loss: RankingLoss) -> Self {
        let (lr, weight_decay) = (3e-3, 1e-2);
        Self { loss, hidden: 0, maps: 1, epochs: 30, batch: 64, lr, weight_decay, seed: 0 }
    }

    /// DeViSE, with the paper's margin.
    pub fn devise() -> Self {
        Self::new(RankingLoss::Devise { margin: 0.1 })
    }

    /// SJE, with a margin that suits cosines.
    pub fn sje() -> Self {
        Self::new(RankingLoss::Sje { margin: 0.3 })
    }

    /// ALE, with a margin that suits cosines.
    pub fn ale() -> Self {
        Self::new(RankingLoss::Ale { margin: 0.3 })
    }

    /// LatEm (Xian et al. 2016, eq. 2): `max_i xᵀW_i s` over `maps` linear maps,
    /// with the sum of hinges of DeViSE; the paper has 2 to 16 maps.
    pub fn latem(maps: usize) -> Self {
        Self { maps, ..Self::new(RankingLoss::Devise { margin: 0.3 }) }
    }

    /// A hidden layer of 128 units and cross entropy.
    pub fn deep() -> Self {
        Self { hidden: 128, ..Self::new(RankingLoss::CrossEntropy { scale: 15.0 }) }
    }
}

/// One or two layers.
#[derive(Clone, Debug)]
struct Map {
    fc1: Linear,
    fc2: Option<Linear>,
}
module!(Map { fc1, fc2 });

impl Map {
    fn new(d: usize, hidden: usize, a: usize, rng: &mut ChaCha8Rng) -> Self {
        match hidden {
            0 => Self { fc1: Linear::new(d, a, rng), fc2: None },
            h => Self { fc1: Linear::new(d, h, rng), fc2: Some(Linear::new(h, a, rng)) },
        }
    }

    /// `[n, a]`, of length 1.
    fn project(&self, x: &Tensor) -> tl_nn::Result<Tensor> {
        let y = match &self.fc2 {
            None => self.fc1.forward_act(x, Activation::Identity)?,
            Some(fc2) => {
                fc2.forward_act(&self.fc1.forward_act(x, Activation::Relu)?, Activation::Identity)?
            }
        };
        unit_rows(&y)
    }
}

/// The maps among which each class has the best one.
#[derive(Clone, Debug)]
struct Net {
    maps: Vec<Map>,
}
module!(Net { maps });

impl Net {
    /// `max_i cos(map_i(x), s)` for unit signatures as columns, `[n, classes]`.
    fn scores(&self, x: &Tensor, classes: &Tensor) -> tl_nn::Result<Tensor> {
        let one = |map: &Map| Ok::<_, tl_nn::Error>(map.project(x)?.matmul(classes)?);
        let mut best = one(&self.maps[0])?;
        for map in &self.maps[1..] {
            best = best.maximum(&one(map)?)?;
        }
        Ok(best)
    }
}

#[derive(Clone, Debug)]
struct Trained {
    net: Net,
    scale: Scale,
}

impl Compatibility for Trained {
    fn scores(&self, x: &Tensor, signatures: &Tensor) -> Result<Tensor> {
        let classes = unit_rows(signatures)?.t()?;
        Ok(self.net.scores(&self.scale.apply(x)?, &classes)?.detach())
    }

    /// Of the map that scores best.
    fn contributions(&self, x: &Tensor, signature: &Tensor) -> Result<Option<Tensor>> {
        let (x, s) = (self.scale.apply(x)?, unit_rows(&signature.unsqueeze(0)?)?);
        let mut best: Option<(Tensor, Tensor)> = None;
        for map in &self.net.maps {
            let parts = map.project(&x)?.mul(&s)?.detach();
            let score = parts.sum(-1, true)?;
            best = Some(match best {
                None => (parts, score),
                Some((old, before)) => {
                    let better = score.gt(&before)?;
                    (Tensor::where_cond(&better, &parts, &old)?, score.maximum(&before)?)
                }
            });
        }
        Ok(best.map(|(parts, _)| parts))
    }
}

impl Method for Ranking {
    fn name(&self) -> &'static str {
        match (self.loss, self.hidden, self.maps) {
            (_, 0, 2..) => "LatEm",
            (RankingLoss::Devise { .. }, 0, _) => "DeViSE",
            (RankingLoss::Sje { .. }, 0, _) => "SJE",
            (RankingLoss::Ale { .. }, 0, _) => "ALE",
            (RankingLoss::CrossEntropy { .. }, 0, _) => "bilinear, cross entropy",
            _ => "deep compatibility",
        }
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        matrix("ranking", seen.features())?;
        if self.epochs == 0 {
            return Err(Error::argument("ranking", "epochs", 0, "at least 1"));
        }
        if self.maps == 0 {
            return Err(Error::argument("ranking", "maps", 0, "at least 1"));
        }
        self.loss.check()?;
        super::check_rate("ranking", self.lr)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(self.seed);
        let scale = Scale::of(seen.features())?;
        let x = scale.apply(seen.features())?;
        let (d, a) = (x.size(1)?, seen.signatures().attributes().len());
        let mut net =
            Net { maps: (0..self.maps).map(|_| Map::new(d, self.hidden, a, rng)).collect() };
        let names = seen.signatures().names().to_vec();
        let data = Dataset::classification(x, seen.labels().to_vec(), names)?;
        let loader = data.batches(Batching::new(self.batch).shuffled(self.seed))?;
        let classes = unit_rows(seen.signatures().table())?.t()?;
        let steps = (self.epochs * loader.len()) as u64;
        let rule = AdamW { weight_decay: self.weight_decay, ..AdamW::new(self.lr) };
        let optimizer = Optimizer::new(rule).schedule(Schedule::cosine(steps, 0.0));
        Trainer::new(optimizer, self.epochs).seed(self.seed).fit(
            &mut net,
            |epoch| loader.epoch(epoch as u64),
            |net, batch, _| {
                let scores = net.scores(&batch.features, &classes)?;
                let labels = batch.labels().map_err(tl_nn::Error::other)?;
                ranking_loss(&scores, labels, self.loss)
            },
        )?;
        Ok(Box::new(Trained { net, scale }))
    }
}
