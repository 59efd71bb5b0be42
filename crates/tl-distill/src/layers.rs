//! Which layer of the student belongs to which of the teacher.

use crate::{Error, Result};
use tl_nn::{Ctx, Forward, Tensor};

/// Everything that a network offers on the way.
pub(crate) fn taps(model: &impl Forward, x: &Tensor) -> Result<Vec<(String, Tensor)>> {
    let mut cx = Ctx::eval().capture("**")?;
    model.forward(x, &mut cx)?;
    Ok(cx.take_taps())
}

/// Pairs layers of two networks at the same relative depth: `count` pairs of
/// outermost [taps](Ctx::tap), without the last one of each network, which is
/// its output; only those of as many axes are paired. Layers that leave the
/// number of features as it was (functions, dropout) count with the layer
/// before them, of which they are the later, better view. `x` is one sample or
/// a few.
///
/// # Errors
/// Those of the networks; not so many layers to pair.
pub fn map_layers(
    student: &impl Forward,
    teacher: &impl Forward,
    x: &Tensor,
    count: usize,
) -> Result<Vec<(String, String)>> {
    pair(&taps(student, x)?, &taps(teacher, x)?, Some(count), false)
}

/// How many pairs there are at most if nobody says.
const USUAL: usize = 3;

pub(crate) fn pair(
    student: &[(String, Tensor)],
    teacher: &[(String, Tensor)],
    count: Option<usize>,
    maps_only: bool,
) -> Result<Vec<(String, String)>> {
    let (mut s, mut t) = (stages(student), stages(teacher));
    let both = |rank: &usize| [&s, &t].iter().all(|l| l.iter().any(|(_, r)| r == rank));
    let rank = (2..=4).filter(|r| !maps_only || *r == 4).filter(both).max();
    let Some(rank) = rank else {
        let got = format!("{} in the student, {} in the teacher", s.len(), t.len());
        let expected = if maps_only { "maps in both" } else { "some of as many axes in both" };
        return Err(Error::argument("map_layers", "layers", got, expected));
    };
    s.retain(|(_, r)| *r == rank);
    t.retain(|(_, r)| *r == rank);
    let most = s.len().min(t.len());
    let count = count.unwrap_or(most.min(USUAL));
    if count == 0 || count > most {
        let expected = format!("1 to {most}, the layers there are");
        return Err(Error::argument("map_layers", "count", count, expected));
    }
    let at = |list: &[(String, usize)], i: usize| list[(i + 1) * list.len() / count - 1].0.clone();
    Ok((0..count).map(|i| (at(&s, i), at(&t, i))).collect())
}

/// The outermost layers but the last, those of one shape in a row as one.
fn stages(taps: &[(String, Tensor)]) -> Vec<(String, usize)> {
    let outer: Vec<_> =
        taps.iter().filter(|(name, x)| !name.contains('.') && x.rank() >= 2).collect();
    let Some((_, rest)) = outer.split_last() else { return Vec::new() };
    let mut all: Vec<(String, &Tensor)> = Vec::new();
    for (name, x) in rest {
        match all.last_mut() {
            Some(last) if last.1.dims() == x.dims() => last.0.clone_from(name),
            _ => all.push((name.clone(), x)),
        }
    }
    all.into_iter().map(|(name, x)| (name, x.rank())).collect()
}
