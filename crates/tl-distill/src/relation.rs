//! What of a layer's output is passed on, and the bridges between layers of
//! different shape.

use crate::{
    Crd, Error, Result, Review, VID_START, attention, feature::one_size, flow, hint, nst, pkt, rkd,
    similarity_preserving, vid,
};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{Conv2d, Ctx, Forward, Linear, Param, Tensor, module};

/// What of a layer's output is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Relation {
    /// FitNets' [`hint`], through a regressor that is made to fit.
    Features,
    /// [`attention`] transfer.
    Attention,
    /// [`similarity_preserving`].
    Similarity,
    /// [`pkt`].
    Pkt,
    /// [`rkd`] with the paper's 25 and 50.
    Rkd,
    /// [`nst`].
    Nst,
    /// [`vid`], through a regressor, with a learned variance.
    Vid,
    /// [`flow`] between each layer and the next, the student's through a 1x1
    /// convolution where the channels differ. Needs at least two layers.
    Flow,
    /// [`Review`] of all layers.
    Review,
    /// [`Crd`], with a linear embedding for each network.
    Crd {
        /// Numbers of an embedding; 128 in the paper.
        dimension: usize,
        /// Negatives for each sample; 16,384 in the paper.
        negatives: usize,
    },
}

impl Relation {
    /// Whether it makes sense for maps `[n, c, h, w]` only.
    pub(crate) fn of_maps_only(self) -> bool {
        matches!(self, Self::Attention | Self::Nst | Self::Flow | Self::Review)
    }
}

/// From the student's features to the teacher's: a linear map of the channels,
/// and the variances of [`Relation::Vid`]. It trains with the student and is
/// dropped afterwards.
#[derive(Clone, Debug, Default)]
struct Regressor {
    linear: Option<Linear>,
    conv: Option<Conv2d>,
    variance: Option<Param>,
}
module!(Regressor { linear, conv, variance });

/// Everything that trains between student and teacher for one hint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bridge {
    regressors: Vec<Regressor>,
    review: Option<Review>,
    embeddings: Vec<Linear>,
}
module!(Bridge { regressors, review, embeddings });

/// Maps and sequences as vectors, if the other side has vectors.
fn common(s: &Tensor, t: &Tensor) -> Result<(Tensor, Tensor)> {
    let pooled = |x: &Tensor| match x.rank() {
        4 => x.mean([2, 3], false),
        3 => x.mean([1], false),
        _ => Ok(x.clone()),
    };
    if s.rank() == t.rank() { Ok((s.clone(), t.clone())) } else { Ok((pooled(s)?, pooled(t)?)) }
}

impl Regressor {
    fn new(s: &Tensor, t: &Tensor, with_variance: bool, rng: &mut dyn RngCore) -> Result<Self> {
        let mut own = Self::default();
        let (s, t) = common(s, t)?;
        match (s.dims(), t.dims()) {
            ([_, a, _, _], [_, b, _, _]) => own.conv = Some(Conv2d::new(*a, *b, 1, rng)),
            ([_, .., a], [_, .., b]) => own.linear = Some(Linear::new(*a, *b, rng)),
            _ => {
                let got = format!("{:?} in the student, {:?} in the teacher", s.dims(), t.dims());
                let expected = "[n, d], [n, l, d] or [n, c, h, w]";
                return Err(Error::argument("hint", "features", got, expected));
            }
        }
        if with_variance {
            let channels = if t.rank() == 4 { t.dims()[1] } else { t.dims()[t.rank() - 1] };
            own.variance = Some(Param::new(Tensor::full(channels, VID_START as f32)));
        }
        Ok(own)
    }

    /// The student's features in the teacher's shape, and the teacher's.
    fn regress(&self, s: &Tensor, t: &Tensor, cx: &mut Ctx) -> Result<(Tensor, Tensor)> {
        let (s, t) = common(s, t)?;
        let y = match (&self.conv, &self.linear) {
            (Some(conv), _) => conv.forward(&s, cx)?,
            (_, Some(linear)) => linear.forward(&s, cx)?,
            _ => s,
        };
        Ok(if y.rank() == 4 { one_size(&y, &t)? } else { (y, t) })
    }

    fn vid(&self, s: &Tensor, t: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let (s, t) = self.regress(s, t, cx)?;
        let Some(raw) = self.variance.as_ref().map(Param::tensor) else {
            return Err(Error::argument("vid", "variance", "missing", "one for each channel"));
        };
        if s.rank() == 3 {
            // Channels last: every place is a sample.
            return Ok(vid(&s.flatten(0, 1)?, &t.flatten(0, 1)?, raw)?);
        }
        Ok(vid(&s, &t, raw)?)
    }
}

impl Bridge {
    /// For the features of some samples, pair by pair.
    pub(crate) fn new(
        relation: Relation,
        pairs: &[[&Tensor; 2]],
        rng: &mut dyn RngCore,
    ) -> Result<Self> {
        let mut own = Self::default();
        let channels = |side: usize| pairs.iter().map(|p| p[side].dims()[1]).collect::<Vec<_>>();
        if relation.of_maps_only()
            && let Some([s, t]) = pairs.iter().find(|p| p.iter().any(|x| x.rank() != 4))
        {
            let got = format!("{:?} in the student, {:?} in the teacher", s.dims(), t.dims());
            return Err(Error::argument("hint", "features", got, "maps [n, c, h, w]"));
        }
        match relation {
            Relation::Features | Relation::Vid => {
                for [s, t] in pairs {
                    own.regressors.push(Regressor::new(s, t, relation == Relation::Vid, rng)?);
                }
            }
            Relation::Flow => {
                if pairs.len() < 2 {
                    let expected = "at least 2: a flow is between layers";
                    return Err(Error::argument("flow", "layers", pairs.len(), expected));
                }
                for [s, t] in pairs {
                    let same = s.dims()[1] == t.dims()[1];
                    let own_one =
                        if same { Regressor::default() } else { Regressor::new(s, t, false, rng)? };
                    own.regressors.push(own_one);
                }
            }
            Relation::Review => {
                own.review = Some(Review::new(&channels(0), &channels(1), rng)?);
            }
            Relation::Crd { dimension, .. } => {
                let [[s, t]] = pairs else {
                    let expected = "1, such as the last before the outputs";
                    return Err(Error::argument("crd", "layers", pairs.len(), expected));
                };
                let size = |x: &Tensor| x.numel() / x.dims()[0].max(1);
                own.embeddings = vec![
                    Linear::new(size(s), dimension, rng),
                    Linear::new(size(t), dimension, rng),
                ];
            }
            _ => {}
        }
        Ok(own)
    }

    /// The loss of a batch of the samples at these positions.
    pub(crate) fn loss(
        &self,
        relation: Relation,
        pairs: &[[&Tensor; 2]],
        memory: Option<&mut Crd>,
        samples: &[usize],
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let each = |f: fn(&Tensor, &Tensor) -> tl_tensor::Result<Tensor>| -> Result<Tensor> {
            let mut sum = Tensor::scalar(0.0);
            for [s, t] in pairs {
                sum = sum.add(&f(s, t)?)?;
            }
            Ok(sum)
        };
        match relation {
            Relation::Attention => each(attention),
            Relation::Similarity => each(similarity_preserving),
            Relation::Pkt => each(pkt),
            Relation::Rkd => each(|s, t| rkd(s, t, 25.0, 50.0)),
            Relation::Nst => each(nst),
            Relation::Features | Relation::Vid => {
                let mut sum = Tensor::scalar(0.0);
                for (regressor, [s, t]) in self.regressors.iter().zip(pairs) {
                    let part = if relation == Relation::Vid {
                        regressor.vid(s, t, cx)?
                    } else {
                        let (s, t) = regressor.regress(s, t, cx)?;
                        hint(&s, &t)?
                    };
                    sum = sum.add(&part)?;
                }
                Ok(sum)
            }
            Relation::Flow => self.flow(pairs, cx),
            Relation::Review => match &self.review {
                Some(review) => {
                    let side = |i: usize| pairs.iter().map(|p| p[i]).collect::<Vec<_>>();
                    Ok(review.loss(&side(0), &side(1), cx)?)
                }
                None => Err(Error::argument("review", "fusions", "missing", "those of the layers")),
            },
            Relation::Crd { .. } => match (memory, self.embeddings.as_slice(), pairs) {
                (Some(memory), [s_embed, t_embed], [[s, t]]) => {
                    let s = s_embed.forward(&s.flatten(1, -1)?, cx)?;
                    let t = t_embed.forward(&t.flatten(1, -1)?, cx)?;
                    Ok(memory.loss(&s, &t, samples, cx.rng())?)
                }
                _ => Err(Error::argument("crd", "memory", "missing", "one for the data")),
            },
        }
    }

    fn flow(&self, pairs: &[[&Tensor; 2]], cx: &mut Ctx) -> Result<Tensor> {
        let mut own = Vec::new();
        for (regressor, [s, _]) in self.regressors.iter().zip(pairs) {
            own.push(match &regressor.conv {
                Some(conv) => conv.forward(s, cx)?,
                None => (*s).clone(),
            });
        }
        let mut sum = Tensor::scalar(0.0);
        for (s, t) in own.windows(2).zip(pairs.windows(2)) {
            sum = sum.add(&flow([&s[0], &s[1]], [t[0][1], t[1][1]])?)?;
        }
        Ok(sum)
    }
}
