//! Losses between layers that are named by their paths.

use crate::{Error, Relation, Result, layers, relation::Bridge};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{Ctx, Forward, Module, Tensor, Visit, VisitMut};

/// A loss between layers of the student and of the teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// Pairs of layers, the student's first, from shallow to deep: names of
    /// [taps](Ctx::tap). An empty list stands for pairs found by
    /// [`map_layers`](crate::map_layers).
    #[serde(default)]
    pub layers: Vec<(String, String)>,
    /// The loss.
    pub relation: Relation,
    /// Its weight.
    pub weight: f64,
}

/// The student in training: its own paths, and the bridges under `distill`.
#[derive(Clone)]
pub(crate) struct Trainee<S> {
    pub(crate) student: S,
    pub(crate) bridges: Vec<Bridge>,
}

impl<S: Module> Module for Trainee<S> {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.student.visit(v);
        v.enter("distill");
        self.bridges.visit(v);
        v.leave();
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        self.student.visit_mut(v);
        v.enter("distill");
        self.bridges.visit_mut(v);
        v.leave();
    }
}

/// The hints with their layers found, and the bridges that fit two networks,
/// from a pass of some samples.
pub(crate) fn build(
    hints: &[Hint],
    student: &impl Forward,
    teacher: &impl Forward,
    [s, t]: [&Tensor; 2],
    rng: &mut dyn RngCore,
) -> Result<(Vec<Hint>, Vec<Bridge>)> {
    if hints.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (s, t) = (layers::taps(student, s)?, layers::taps(teacher, t)?);
    let (mut resolved, mut bridges) = (Vec::new(), Vec::new());
    for h in hints {
        let layers = if h.layers.is_empty() {
            let maps_only = h.relation.of_maps_only();
            layers::pair(&s, &t, None, maps_only)?
        } else {
            h.layers.clone()
        };
        let own = Hint { layers, ..h.clone() };
        bridges.push(Bridge::new(own.relation, &features(&own, &s, &t)?, rng)?);
        resolved.push(own);
    }
    Ok((resolved, bridges))
}

type Taps = [(String, Tensor)];

/// The features of a hint's layers, the student's first.
pub(crate) fn features<'a>(
    hint: &Hint,
    student: &'a Taps,
    teacher: &'a Taps,
) -> Result<Vec<[&'a Tensor; 2]>> {
    let pairs = hint.layers.iter();
    pairs.map(|(s, t)| Ok([find("student", student, s)?, find("teacher", teacher, t)?])).collect()
}

fn find<'a>(who: &'static str, taps: &'a Taps, path: &str) -> Result<&'a Tensor> {
    taps.iter().rev().find(|(name, _)| name == path).map(|(_, x)| x).ok_or_else(|| {
        let known: Vec<&str> = taps.iter().map(|(name, _)| name.as_str()).collect();
        Error::NoTap { who, path: path.to_owned(), known: known.join(", ") }
    })
}

/// A context that captures the layers of one side of all hints.
pub(crate) fn capture(mut cx: Ctx, hints: &[Hint], student: bool) -> Result<Ctx> {
    for (s, t) in hints.iter().flat_map(|h| &h.layers) {
        cx = cx.capture(if student { s } else { t })?;
    }
    Ok(cx)
}
