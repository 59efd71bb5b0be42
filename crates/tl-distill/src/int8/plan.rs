//! What a network is made of, as far as integers go.

use crate::{Error, Result};
use tl_nn::{
    Act, AdaptiveAvgPool2d, AvgPool2d, Conv2d, Ctx, Dropout, Dropout2d, Flatten, GlobalAvgPool,
    Layer, Linear, MaxPool2d, Param, Sequential, Tensor,
};
use tl_tensor::Conv;

/// A layer that integers can do.
pub(super) enum Part {
    /// An affine layer; a `Linear` one has no [`Conv`].
    Affine { weight: Box<Tensor>, bias: Option<Box<Tensor>>, conv: Option<Conv> },
    /// `max(x, 0)`, up to a limit.
    Relu(f32),
    /// The maximum of windows: kernel, stride and padding.
    MaxPool([[usize; 2]; 3]),
    /// The mean over all places.
    GlobalMean,
    /// Images to vectors.
    Flatten,
}

/// The layers of a network with their full names; those that do nothing in
/// evaluation are left out.
pub(super) fn parts(model: &Sequential) -> Result<Vec<(String, Part)>> {
    let mut all = Vec::new();
    collect(model, "", &mut all)?;
    if !all.iter().any(|(_, p)| matches!(p, Part::Affine { .. })) {
        let expected = "a network with a `Linear` or `Conv2d` layer";
        return Err(Error::argument("int8", "model", "without weights", expected));
    }
    Ok(all)
}

fn collect(model: &Sequential, prefix: &str, all: &mut Vec<(String, Part)>) -> Result<()> {
    for (name, layer) in model.layers() {
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        if let Some(inner) = layer.as_any().downcast_ref::<Sequential>() {
            collect(inner, &path, all)?;
        } else if let Some(part) = part(layer, &path)? {
            all.push((path, part));
        }
    }
    Ok(())
}

fn part(layer: &dyn Layer, path: &str) -> Result<Option<Part>> {
    let refuse = |what: &str| {
        let expected = "Linear, Conv2d in one group, ReLU, max pooling, the mean over all places, \
                        flattening, dropout; fold batch normalisation, and quantise the `Linear` \
                        layers of other networks one by one with `quantise_linear`";
        Err(Error::argument("int8", "layer", format!("`{path}`, {what}"), expected))
    };
    let any = layer.as_any();
    let data = |p: &Option<Param>| p.as_ref().map(|p| Box::new(p.tensor().detach()));
    if let Some(conv) = any.downcast_ref::<Conv2d>() {
        if conv.conv.parts().1 != 1 {
            return refuse("a convolution in groups");
        }
        let weight = Box::new(conv.weight.tensor().detach());
        let bias = data(&conv.bias);
        return Ok(Some(Part::Affine { weight, bias, conv: Some(conv.conv) }));
    }
    if let Some(linear) = any.downcast_ref::<Linear>() {
        let weight = Box::new(linear.weight.tensor().detach());
        return Ok(Some(Part::Affine { weight, bias: data(&linear.bias), conv: None }));
    }
    if let Some(act) = any.downcast_ref::<Act>() {
        return match act {
            Act::Identity => Ok(None),
            Act::Relu => Ok(Some(Part::Relu(f32::INFINITY))),
            Act::Relu6 => Ok(Some(Part::Relu(6.0))),
            other => refuse(&format!("{other:?}")),
        };
    }
    if let Some(pool) = any.downcast_ref::<MaxPool2d>() {
        let [kernel, stride, padding, dilation] = pool.pool.parts();
        if dilation != [1, 1] {
            return refuse("pooling with a dilation");
        }
        return Ok(Some(Part::MaxPool([kernel, stride, padding])));
    }
    let whole = any.downcast_ref::<AdaptiveAvgPool2d>().map(|p| p.size == [1, 1]);
    if any.is::<GlobalAvgPool>() || whole == Some(true) {
        return Ok(Some(Part::GlobalMean));
    }
    if any.is::<Flatten>() {
        return Ok(Some(Part::Flatten));
    }
    if any.is::<Dropout>() || any.is::<Dropout2d>() {
        return Ok(None);
    }
    refuse(if any.is::<AvgPool2d>() { "the mean of windows" } else { "of another kind" })
}

/// The names of the layers whose results become bytes: of each affine layer but
/// the last, or of the ReLU that follows it at once.
pub(super) fn points(parts: &[(String, Part)]) -> Vec<String> {
    let affine = |p: &Part| matches!(p, Part::Affine { .. });
    let last = parts.iter().rposition(|(_, p)| affine(p)).unwrap_or(0);
    let mut all = Vec::new();
    for (i, (name, _)) in parts.iter().enumerate().take(last).filter(|(_, (_, p))| affine(p)) {
        all.push(match parts.get(i + 1) {
            Some((next, Part::Relu(_))) => next.clone(),
            _ => name.clone(),
        });
    }
    all
}

/// The results of named layers, without history.
pub(super) fn results(model: &Sequential, x: &Tensor, names: &[String]) -> Result<Vec<Tensor>> {
    let mut cx = Ctx::eval();
    for name in names {
        cx = cx.capture(name)?;
    }
    tl_nn::Forward::forward(model, x, &mut cx)?;
    let missing = || Error::argument("int8", "layer", "missing", "a layer of the network");
    names.iter().map(|n| Ok(cx.tapped(n).ok_or_else(missing)?.detach())).collect()
}
