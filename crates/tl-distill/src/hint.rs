//! Losses between layers that are named by their paths.

use crate::{Error, Result, VID_START, attention, hint, nst, pkt, rkd, similarity_preserving, vid};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{Conv2d, Ctx, Forward, Linear, Module, Param, Tensor, Visit, VisitMut, module};

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
    /// [`vid`], through a regressor, with a learned variance; of vectors and
    /// maps.
    Vid,
}

/// A loss between a layer of the student and one of the teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// The student's layer: the name of a [tap](Ctx::tap).
    pub student: String,
    /// The teacher's layer.
    pub teacher: String,
    /// The loss.
    pub relation: Relation,
    /// Its weight.
    pub weight: f64,
}

/// From the student's features to the teacher's: a linear map of the channels,
/// and the variances of [`Relation::Vid`]. It trains with the student and is
/// dropped afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Regressor {
    linear: Option<Linear>,
    conv: Option<Conv2d>,
    variance: Option<Param>,
}
module!(Regressor { linear, conv, variance });

impl Regressor {
    fn new(relation: Relation, s: &Tensor, t: &Tensor, rng: &mut dyn RngCore) -> Result<Self> {
        let mut own = Self::default();
        if !matches!(relation, Relation::Features | Relation::Vid) {
            return Ok(own);
        }
        match (s.dims(), t.dims()) {
            ([_, a, _, _], [_, b, _, _]) => own.conv = Some(Conv2d::new(*a, *b, 1, rng)),
            ([_, .., a], [_, .., b]) if s.rank() == t.rank() => {
                own.linear = Some(Linear::new(*a, *b, rng));
            }
            _ => {
                let got = format!("{:?} in the student, {:?} in the teacher", s.dims(), t.dims());
                let expected = "as many axes; choose layers of one kind, or `Relation::Similarity`";
                return Err(Error::argument("hint", "features", got, expected));
            }
        }
        if relation == Relation::Vid {
            if t.rank() == 3 {
                let got = format!("{:?}, a sequence", t.dims());
                let expected = "features [n, c] or maps [n, c, h, w]";
                return Err(Error::argument("vid", "features", got, expected));
            }
            own.variance = Some(Param::new(Tensor::full(t.dims()[1], VID_START as f32)));
        }
        Ok(own)
    }

    fn loss(&self, relation: Relation, s: &Tensor, t: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let regress = |cx: &mut Ctx| -> Result<(Tensor, Tensor)> {
            let y = match (&self.conv, &self.linear) {
                (Some(conv), _) => conv.forward(s, cx)?,
                (_, Some(linear)) => linear.forward(s, cx)?,
                _ => s.clone(),
            };
            Ok(if y.rank() == 4 { crate::feature::one_size(&y, t)? } else { (y, t.clone()) })
        };
        Ok(match relation {
            Relation::Features => {
                let (s, t) = regress(cx)?;
                hint(&s, &t)?
            }
            Relation::Vid => {
                let (s, t) = regress(cx)?;
                let raw = self.variance.as_ref().map(|p| p.tensor().clone());
                vid(&s, &t, &raw.unwrap_or_else(|| Tensor::full(t.dims()[1], VID_START as f32)))?
            }
            Relation::Attention => attention(s, t)?,
            Relation::Similarity => similarity_preserving(s, t)?,
            Relation::Pkt => pkt(s, t)?,
            Relation::Rkd => rkd(s, t, 25.0, 50.0)?,
            Relation::Nst => nst(s, t)?,
        })
    }
}

/// The student in training: its own paths, and the regressors under `distill`.
#[derive(Clone)]
pub(crate) struct Trainee<S> {
    pub(crate) student: S,
    pub(crate) regressors: Vec<Regressor>,
}

impl<S: Module> Module for Trainee<S> {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.student.visit(v);
        v.enter("distill");
        self.regressors.visit(v);
        v.leave();
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        self.student.visit_mut(v);
        v.enter("distill");
        self.regressors.visit_mut(v);
        v.leave();
    }
}

/// The regressors that fit two networks, from a pass of some samples.
pub(crate) fn regressors(
    hints: &[Hint],
    student: &impl Forward,
    teacher: &impl Forward,
    x: &Tensor,
    rng: &mut dyn RngCore,
) -> Result<Vec<Regressor>> {
    if hints.is_empty() {
        return Ok(Vec::new());
    }
    let (s, t) = (taps(student, x)?, taps(teacher, x)?);
    hints
        .iter()
        .map(|h| {
            let (s, t) = (find("student", &s, &h.student)?, find("teacher", &t, &h.teacher)?);
            Regressor::new(h.relation, s, t, rng)
        })
        .collect()
}

/// The sum of the weighted losses of all hints.
pub(crate) fn loss(
    hints: &[Hint],
    regressors: &[Regressor],
    student: &[(String, Tensor)],
    teacher: &[(String, Tensor)],
    cx: &mut Ctx,
) -> Result<Tensor> {
    let mut sum = Tensor::scalar(0.0);
    for (h, regressor) in hints.iter().zip(regressors) {
        let s = find("student", student, &h.student)?;
        let t = find("teacher", teacher, &h.teacher)?.detach();
        let part = regressor.loss(h.relation, s, &t, cx)?;
        sum = sum.add(&part.mul_scalar(h.weight as f32))?;
    }
    Ok(sum)
}

fn find<'a>(who: &'static str, taps: &'a [(String, Tensor)], path: &str) -> Result<&'a Tensor> {
    taps.iter().rev().find(|(name, _)| name == path).map(|(_, x)| x).ok_or_else(|| {
        let known: Vec<&str> = taps.iter().map(|(name, _)| name.as_str()).collect();
        Error::NoTap { who, path: path.to_owned(), known: known.join(", ") }
    })
}

fn taps(model: &impl Forward, x: &Tensor) -> Result<Vec<(String, Tensor)>> {
    let mut cx = Ctx::eval().capture("**")?;
    model.forward(x, &mut cx)?;
    Ok(cx.take_taps())
}

/// Pairs layers of two networks at the same relative depth: `count` pairs of
/// outermost [taps](Ctx::tap), without the last one of each network, which is
/// its output; only those of as many axes are paired. `x` is one sample or a
/// few.
///
/// # Errors
/// Those of the networks; not so many layers to pair.
pub fn map_layers(
    student: &impl Forward,
    teacher: &impl Forward,
    x: &Tensor,
    count: usize,
) -> Result<Vec<(String, String)>> {
    let outer = |taps: Vec<(String, Tensor)>| -> Vec<(String, usize)> {
        let mut all: Vec<_> = taps
            .into_iter()
            .filter(|(name, x)| !name.contains('.') && x.rank() >= 2)
            .map(|(name, x)| (name, x.rank()))
            .collect();
        all.pop();
        all
    };
    let (mut s, mut t) = (outer(taps(student, x)?), outer(taps(teacher, x)?));
    let rank = s
        .iter()
        .chain(&t)
        .map(|(_, r)| *r)
        .filter(|r| s.iter().any(|(_, a)| a == r) && t.iter().any(|(_, b)| b == r));
    let Some(rank) = rank.max() else {
        let got = format!("{} in the student, {} in the teacher", s.len(), t.len());
        return Err(Error::argument("map_layers", "layers", got, "some of as many axes in both"));
    };
    s.retain(|(_, r)| *r == rank);
    t.retain(|(_, r)| *r == rank);
    if count == 0 || count > s.len() || count > t.len() {
        let expected = format!("1 to {}, the layers there are", s.len().min(t.len()));
        return Err(Error::argument("map_layers", "count", count, expected));
    }
    let at = |list: &[(String, usize)], i: usize| list[(i + 1) * list.len() / count - 1].0.clone();
    Ok((0..count).map(|i| (at(&s, i), at(&t, i))).collect())
}
