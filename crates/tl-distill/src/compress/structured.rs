//! Whole neurons and channels that are taken out.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tl_nn::{Ctx, Forward, Glob, Indices, Module, ModuleExt, Tensor};

/// How much a neuron or channel matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Importance {
    /// The mean magnitude of the weights that make it (Li et al. 2017).
    #[default]
    L1,
    /// Their root mean square.
    L2,
    /// The magnitude of its scale in the batch normalisation after it (network
    /// slimming, Liu et al. 2017), which every layer then needs.
    NormScale,
}

/// What was taken out of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Its path.
    pub layer: String,
    /// Neurons or channels before.
    pub before: usize,
    /// Those that stay, by their place before.
    pub kept: Vec<usize>,
}

/// A layer whose outputs can be taken out, and who else has an entry for each.
struct Group {
    layer: String,
    outputs: usize,
    /// Parameters and buffers of as many entries on the first axis.
    own: Vec<String>,
    /// The scale of the normalisation after it.
    scale: Option<String>,
    /// The weight of the next layer, and its columns for each output.
    next: String,
    columns: usize,
}

/// Takes the `part` of least importance out of every hidden layer whose path a
/// [`Glob`] names, so that the network is smaller and faster with ordinary
/// kernels: rows of its weight and bias, entries of the batch normalisation
/// after it, and the next layer's columns are gone. Every layer keeps at least
/// one output; the last layer of the network keeps all. Fine-tune afterwards.
///
/// Layers have to be a chain, each feeding the next, with functions between
/// them for which 0 stays 0 (ReLU; not a sigmoid). That is tested, not believed:
/// what comes out for `x`, a few samples, must be the same as with these
/// outputs set to 0 in the old network; if not, the model stays as it was.
///
/// # Errors
/// A network that is no such chain (residual connections, convolutions in
/// groups); `part` is not from 0 to below 1; a pattern that names no hidden
/// layer; no normalisation for [`Importance::NormScale`].
pub fn prune_structured<M: Forward>(
    model: &mut M,
    pattern: &str,
    part: f64,
    importance: Importance,
    x: &Tensor,
) -> Result<Vec<Cut>> {
    const WHAT: &str = "prune_structured";
    if !(0.0..1.0).contains(&part) {
        return Err(Error::argument(WHAT, "part", part, "from 0 to below 1"));
    }
    let glob = Glob::new(pattern)?;
    let named = |g: &Group| glob.matches(&g.layer) || glob.matches(&format!("{}.weight", g.layer));
    let groups: Vec<Group> = chain(model)?.into_iter().filter(named).collect();
    if groups.is_empty() {
        let expected = "the path of a layer that another one follows, such as `**`";
        return Err(Error::argument(WHAT, "pattern", pattern, expected));
    }
    let mut cuts = Vec::new();
    for group in &groups {
        let scores = scores(model, group, importance)?;
        let mut order: Vec<usize> = (0..group.outputs).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let gone = (group.outputs as f64 * part).floor() as usize;
        order.truncate((group.outputs - gone).max(1));
        order.sort_unstable();
        cuts.push(Cut { layer: group.layer.clone(), before: group.outputs, kept: order });
    }
    let smaller = without(model, &groups, &cuts)?;
    let masked = masked(model, &groups, &cuts)?;
    let run = |m: &M| Ok::<_, Error>(m.frozen().forward(x, &mut Ctx::eval())?.detach());
    let same = match (run(&smaller), run(&masked)) {
        (Ok(a), Ok(b)) if a.dims() == b.dims() && a.is_finite() => {
            let off = a.sub(&b)?.abs().max(.., false)?.item()?;
            off <= 1e-4 * b.abs().max(.., false)?.item()?.max(1.0)
        }
        _ => false,
    };
    if !same {
        let got = "no chain, or a function between layers does not keep 0";
        let expected = "layers that only feed the next one, with ReLU between; name those that \
                        do by a pattern";
        return Err(Error::argument(WHAT, "model", got, expected));
    }
    *model = smaller;
    Ok(cuts)
}

/// The hidden layers, by the order of parameters and their sizes.
fn chain<M: Module>(model: &M) -> Result<Vec<Group>> {
    let params = model.params();
    let buffers: Vec<(String, usize)> = model
        .buffers()
        .into_iter()
        .map(|(p, b)| (p, if b.tensor().rank() == 1 { b.tensor().numel() } else { 0 }))
        .collect();
    let weights: Vec<usize> =
        (0..params.len()).filter(|&i| params[i].1.dims().len() >= 2).collect();
    let mut groups = Vec::new();
    for pair in weights.windows(2) {
        let ((path, weight), (next, after)) = (&params[pair[0]], &params[pair[1]]);
        let (outputs, inputs) = (weight.dims()[0], after.dims()[1]);
        if outputs == 0 || inputs % outputs != 0 {
            let got = format!("`{next}` of {:?} after {outputs} outputs", after.dims());
            return Err(Error::argument("prune_structured", "model", got, "a chain of layers"));
        }
        let between = &params[pair[0] + 1..pair[1]];
        let mut own = vec![path.clone()];
        own.extend(between.iter().filter(|(_, p)| p.dims() == [outputs]).map(|(n, _)| n.clone()));
        let layer = path.strip_suffix(".weight").unwrap_or(path).to_owned();
        let scale = between
            .iter()
            .map(|(n, _)| n)
            .find(|n| n.ends_with(".weight") && **n != format!("{layer}.weight"));
        let mut scale = scale.cloned();
        for (name, size) in &buffers {
            let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
            let beside =
                between.iter().any(|(n, _)| n.rsplit_once('.').is_some_and(|(s, _)| s == stem));
            if *size == outputs && beside {
                own.push(name.clone());
            }
        }
        scale = scale.filter(|s| own.contains(s));
        let next = next.clone();
        groups.push(Group { layer, outputs, own, scale, next, columns: inputs / outputs });
    }
    Ok(groups)
}

fn scores<M: Module>(model: &M, group: &Group, importance: Importance) -> Result<Vec<f64>> {
    let find = |path: &str| {
        let all = model.params().into_iter();
        all.filter(|(p, _)| p == path).map(|(_, p)| p.tensor().to_vec()).next().unwrap_or_default()
    };
    let weight = find(&group.own[0]);
    let rows = weight.chunks((weight.len() / group.outputs).max(1));
    Ok(match importance {
        Importance::L1 => rows.map(|r| r.iter().map(|w| f64::from(w.abs())).sum()).collect(),
        Importance::L2 => rows.map(|r| r.iter().map(|w| f64::from(w * w)).sum()).collect(),
        Importance::NormScale => {
            let Some(scale) = &group.scale else {
                let got = format!("none after `{}`", group.layer);
                let expected = "batch normalisation after each layer, or `Importance::L1`";
                return Err(Error::argument("prune_structured", "normalisation", got, expected));
            };
            find(scale).into_iter().map(|w| f64::from(w.abs())).collect()
        }
    })
}

/// What stays of every tensor that changes: rows, and columns.
type Kept<'a> = BTreeMap<&'a str, (Option<&'a [usize]>, Option<(&'a [usize], usize)>)>;

fn kept<'a>(groups: &'a [Group], cuts: &'a [Cut]) -> Kept<'a> {
    let mut all = Kept::new();
    for (group, cut) in groups.iter().zip(cuts) {
        for own in &group.own {
            all.entry(own).or_default().0 = Some(&cut.kept);
        }
        all.entry(&group.next).or_default().1 = Some((&cut.kept, group.columns));
    }
    all
}

/// The network without what is cut.
fn without<M: Module>(model: &M, groups: &[Group], cuts: &[Cut]) -> Result<M> {
    let all = kept(groups, cuts);
    let take = |path: &str, x: &Tensor| -> tl_nn::Result<Option<Tensor>> {
        let Some((rows, columns)) = all.get(path) else { return Ok(None) };
        let mut x = x.detach();
        if let Some(rows) = rows {
            x = x.index_select(0, &Indices::from(*rows))?;
        }
        if let Some((columns, each)) = columns {
            let places = columns.iter().flat_map(|c| c * each..(c + 1) * each);
            x = x.index_select(1, &Indices::from(places.collect::<Vec<_>>()))?;
        }
        Ok(Some(x.contiguous()))
    };
    let mut smaller = model.clone();
    smaller.for_each_param(|path, param| {
        if let Some(x) = take(path, param.tensor())? {
            let was = param.is_frozen();
            param.replace(if was { x } else { x.requires_grad() });
        }
        Ok(())
    })?;
    smaller.for_each_buffer(|path, buffer| {
        if let Some(x) = take(path, buffer.tensor())? {
            *buffer = tl_nn::Buffer::new(x);
        }
        Ok(())
    })?;
    Ok(smaller)
}

/// The network with what is cut set to 0.
fn masked<M: Module>(model: &M, groups: &[Group], cuts: &[Cut]) -> Result<M> {
    let all = kept(groups, cuts);
    let mut masked = model.clone();
    masked.for_each_param(|path, param| {
        if let Some((Some(rows), _)) = all.get(path) {
            let size = param.numel() / param.dims()[0].max(1);
            param.update(|data| {
                for (i, row) in data.chunks_mut(size.max(1)).enumerate() {
                    if rows.binary_search(&i).is_err() {
                        row.fill(0.0);
                    }
                }
            });
        }
        Ok(())
    })?;
    Ok(masked)
}
