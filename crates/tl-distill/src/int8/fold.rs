//! Batch normalisation inside of the layer before it.

use crate::Result;
use tl_nn::{BatchNorm, Conv2d, Linear, Param, Sequential, Tensor};

/// The same function without batch normalisation: where one follows a
/// [`Conv2d`] or [`Linear`] layer, its scale `g / √(var + eps)` goes into the
/// weights and its shift into the bias, by the running statistics (Jacob et al.
/// 2018, eq. 14). Layers keep their names; the normalisations are gone.
///
/// # Errors
/// None for layers of fitting sizes.
pub fn fold_batch_norm(model: &Sequential) -> Result<Sequential> {
    let layers: Vec<_> = model.layers().collect();
    let mut out = Sequential::new();
    let mut at = 0;
    while let Some((name, layer)) = layers.get(at) {
        let any = layer.as_any();
        let norm = layers.get(at + 1).and_then(|(_, l)| l.as_any().downcast_ref::<BatchNorm>());
        at += 1;
        out = match (any.downcast_ref::<Conv2d>(), any.downcast_ref::<Linear>(), norm) {
            (Some(conv), _, Some(norm)) => {
                at += 1;
                let (weight, bias) = folded(&conv.weight, conv.bias.as_ref(), norm)?;
                out.named(name, Conv2d { weight, bias: Some(bias), conv: conv.conv })
            }
            (_, Some(linear), Some(norm)) => {
                at += 1;
                let (weight, bias) = folded(&linear.weight, linear.bias.as_ref(), norm)?;
                out.named(name, Linear { weight, bias: Some(bias) })
            }
            _ => match any.downcast_ref::<Sequential>() {
                Some(inner) => out.named(name, fold_batch_norm(inner)?),
                None => out.boxed(name, layer.boxed()),
            },
        };
    }
    Ok(out)
}

fn folded(weight: &Param, bias: Option<&Param>, norm: &BatchNorm) -> Result<(Param, Param)> {
    let channels = weight.dims()[0];
    let data = |p: Option<&Param>, default: f32| {
        p.map_or_else(|| Tensor::full(channels, default), |p| p.tensor().detach())
    };
    let deviation = norm.running_var.tensor().add_scalar(norm.eps as f32).sqrt();
    let factor = data(norm.weight.as_ref(), 1.0).div(&deviation)?;
    let shape: Vec<usize> =
        std::iter::once(channels).chain(weight.dims()[1..].iter().map(|_| 1)).collect();
    let own = weight.tensor().detach().mul(&factor.reshape(tl_nn::Shape::new(&shape)?)?)?;
    let shift = data(bias, 0.0).sub(norm.running_mean.tensor())?.mul(&factor)?;
    Ok((Param::new(own), Param::new(shift.add(&data(norm.bias.as_ref(), 0.0))?)))
}
