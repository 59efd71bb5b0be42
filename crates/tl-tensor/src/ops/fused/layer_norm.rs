//! Normalisation of each sample: layer, group, instance and root mean square.

use crate::{
    Elem, Error, Op, Result, Shape, Tensor, Value, Vjp,
    kernel::{
        lanes,
        map::add_into,
        parallel::{self, CHUNK, simd},
    },
};

/// Parts in which the gradients of weight and bias are summed.
const PARTS: usize = 16;

/// Rows normalised to mean 0 and variance 1, then scaled and shifted:
/// `(x - mean) / √(var + eps) · weight + bias`.
struct NormalizeRows<E: Elem> {
    x: Value<E>,
    weight: Option<Value<E>>,
    bias: Option<Value<E>>,
    /// For each row the mean and `1 / √(var + eps)`.
    rows: Vec<[E; 2]>,
    eps: f64,
}

impl<E: Elem> NormalizeRows<E> {
    /// With `y` the normalised row and `h = g · weight`: writes
    /// `(h - mean(h) - y mean(h y)) / √(var + eps)` for each row, and returns
    /// the gradients of weight and bias, `Σ g y` and `Σ g`.
    fn gradients(&self, g: &Value<E>, out: &mut [E]) -> (Vec<E>, Vec<E>) {
        let width = self.x.shape()[1];
        let (x, g) = (self.x.contiguous(), g.contiguous());
        let (x, g) = (x.raw(), g.raw());
        let weight = match &self.weight {
            Some(weight) => weight.to_vec(),
            None => vec![E::ONE; width],
        };
        let per_part = self.rows.len().div_ceil(PARTS).max(1);
        let work = out.len() * 4;
        let parts = parallel::chunks_collect(out, per_part * width, work, |part, out| {
            let (mut gw, mut gb) = (vec![E::ZERO; width], vec![E::ZERO; width]);
            for (r, out) in out.chunks_exact_mut(width).enumerate() {
                let row = part * per_part + r;
                let at = row * width..(row + 1) * width;
                let (x, g) = (&x[at.clone()], &g[at]);
                simd(
                    #[inline(always)]
                    || row_gradient(self.rows[row], x, g, &weight, out, (&mut gw, &mut gb)),
                );
            }
            (gw, gb)
        });
        let (mut gw, mut gb) = (vec![E::ZERO; width], vec![E::ZERO; width]);
        for (w, b) in &parts {
            add_into(&mut gw, w);
            add_into(&mut gb, b);
        }
        (gw, gb)
    }
}

#[inline(always)]
fn row_gradient<E: Elem>(
    [mean, inverse]: [E; 2],
    x: &[E],
    g: &[E],
    weight: &[E],
    out: &mut [E],
    (gw, gb): (&mut [E], &mut [E]),
) {
    for ((gw, gb), (&x, &g)) in gw.iter_mut().zip(gb).zip(x.iter().zip(g)) {
        *gw += g * ((x - mean) * inverse);
        *gb += g;
    }
    for ((o, &g), &w) in out.iter_mut().zip(g).zip(weight) {
        *o = g * w;
    }
    let scale = E::ONE / E::from_f64(x.len() as f64);
    let level = lanes::sum(out, |h| h) * scale;
    let along = lanes::sum_pairs(out, x, |h, x| h * ((x - mean) * inverse)) * scale;
    for (o, &x) in out.iter_mut().zip(x) {
        *o = inverse * (*o - level - ((x - mean) * inverse) * along);
    }
}

impl<E: Elem> Op<E> for NormalizeRows<E> {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        if cx.create_graph() {
            let mut saved = vec![&self.x];
            saved.extend(&self.weight);
            saved.extend(&self.bias);
            return cx.composite(&saved, &g, |t| {
                let weight = self.weight.is_some().then(|| &t[1]);
                let bias = self.bias.is_some().then(|| &t[t.len() - 1]);
                affine(plain(&t[0], self.eps)?, weight, bias)
            });
        }
        let (mut gw, mut gb) = (Vec::new(), Vec::new());
        let gx = Value::build(*self.x.shape(), |out| (gw, gb) = self.gradients(&g.value, out));
        cx.give(0, || Ok(Tensor::constant(gx)))?;
        let weights = usize::from(self.weight.is_some());
        if weights == 1 {
            cx.give(1, || Tensor::from_slice(&gw, gw.len()))?;
        }
        if self.bias.is_some() {
            cx.give(1 + weights, || Tensor::from_slice(&gb, gb.len()))?;
        }
        Ok(())
    }
}

fn plain<E: Elem>(x: &Tensor<E>, eps: f64) -> Result<Tensor<E>> {
    let centred = x.sub(&x.mean(-1, true)?)?;
    let variance = centred.square().mean(-1, true)?;
    centred.mul(&variance.add_scalar(E::from_f64(eps)).rsqrt())
}

/// Normalises the rows of `[rows, width]`, scales and shifts them by vectors
/// `[width]`.
fn normalize_rows<E: Elem>(
    x: &Tensor<E>,
    weight: Option<&Tensor<E>>,
    bias: Option<&Tensor<E>>,
    eps: f64,
) -> Tensor<E> {
    let (count, width) = (x.dims()[0], x.dims()[1]);
    let data = x.value.contiguous();
    let data = &data.raw()[..count * width];
    let (scale, shift) = (weight.map(Tensor::to_vec), bias.map(Tensor::to_vec));
    let (scale, shift) = (scale.as_deref(), shift.as_deref());
    let mut rows = Vec::new();
    let y = Value::build(*x.shape(), |out| {
        if out.is_empty() {
            return;
        }
        let per_task = (CHUNK / 2 / width).max(1);
        let work = out.len() * 4;
        let parts = parallel::chunks_collect(out, per_task * width, work, |i, out| {
            let data = &data[i * per_task * width..];
            let lines = out.chunks_exact_mut(width).zip(data.chunks_exact(width));
            lines
                .map(|(out, x)| {
                    simd(
                        #[inline(always)]
                        || normalize_row(x, scale, shift, E::from_f64(eps), out),
                    )
                })
                .collect::<Vec<_>>()
        });
        rows = parts.concat();
    });
    let mut inputs = vec![x];
    inputs.extend(weight);
    inputs.extend(bias);
    Tensor::from_op(y, &inputs, || NormalizeRows {
        x: x.value.clone(),
        weight: weight.map(|w| w.value.clone()),
        bias: bias.map(|b| b.value.clone()),
        rows,
        eps,
    })
}

/// Writes a row and returns its mean and `1 / √(var + eps)`.
#[inline(always)]
fn normalize_row<E: Elem>(
    x: &[E],
    scale: Option<&[E]>,
    shift: Option<&[E]>,
    eps: E,
    out: &mut [E],
) -> [E; 2] {
    let part = E::ONE / E::from_f64(x.len() as f64);
    let mean = lanes::sum(x, |x| x) * part;
    let variance = lanes::sum(x, |x| (x - mean) * (x - mean)) * part;
    let inverse = E::ONE / (variance + eps).sqrt();
    match (scale, shift) {
        (Some(scale), Some(shift)) => {
            for ((o, &x), (&w, &b)) in out.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
                *o = (x - mean) * inverse * w + b;
            }
        }
        _ => {
            for (k, (o, &x)) in out.iter_mut().zip(x).enumerate() {
                let w = scale.map_or(E::ONE, |w| w[k]);
                *o = (x - mean) * inverse * w + shift.map_or(E::ZERO, |b| b[k]);
            }
        }
    }
    [mean, inverse]
}

fn affine<E: Elem>(
    y: Tensor<E>,
    weight: Option<&Tensor<E>>,
    bias: Option<&Tensor<E>>,
) -> Result<Tensor<E>> {
    let y = match weight {
        Some(weight) => y.mul(weight)?,
        None => y,
    };
    match bias {
        Some(bias) => y.add(bias),
        None => Ok(y),
    }
}

fn check_eps(op: &'static str, eps: f64) -> Result<()> {
    if eps >= 0.0 && eps.is_finite() {
        return Ok(());
    }
    Err(Error::argument(op, "eps", eps.to_string(), "a finite number of at least 0"))
}

fn check_affine<E: Elem>(
    op: &'static str,
    shape: &Shape,
    parts: [Option<&Tensor<E>>; 2],
    want: &[usize],
) -> Result<()> {
    for part in parts.into_iter().flatten() {
        if part.dims() != want {
            return Err(Error::shapes(
                op,
                shape,
                part.shape(),
                format!("weight and bias of shape {want:?}"),
            ));
        }
    }
    Ok(())
}

impl<E: Elem> Tensor<E> {
    /// Layer normalisation over the last axes:
    /// `(x - mean) / √(var + eps) · weight + bias`, with the biased variance.
    /// The last axes of the tensor are `normalized`, the shape of weight and
    /// bias. Ba, Kiros and Hinton 2016.
    ///
    /// # Errors
    /// Shapes that do not fit; `eps` negative or not finite.
    pub fn layer_norm(
        &self,
        normalized: &[usize],
        weight: Option<&Self>,
        bias: Option<&Self>,
        eps: f64,
    ) -> Result<Self> {
        let op = "layer_norm";
        check_eps(op, eps)?;
        if normalized.is_empty() || !self.dims().ends_with(normalized) {
            return Err(Error::shape(op, self.shape(), format!("last axes {normalized:?}")));
        }
        check_affine(op, self.shape(), [weight, bias], normalized)?;
        let width: usize = normalized.iter().product();
        let rows = self.numel().checked_div(width).unwrap_or(0);
        let flat = |t: Option<&Self>| t.map(|t| t.reshape(width)).transpose();
        let (weight, bias) = (flat(weight)?, flat(bias)?);
        let x = self.reshape([rows, width])?;
        normalize_rows(&x, weight.as_ref(), bias.as_ref(), eps).reshape(*self.shape())
    }

    /// Group normalisation of `[n, c, ..]`: each sample's channels in `groups`
    /// groups, each normalised to mean 0 and variance 1, then scaled and
    /// shifted per channel. Wu and He 2018. With as many groups as channels it
    /// is instance normalisation (Ulyanov et al. 2016).
    ///
    /// # Errors
    /// Channels that do not divide into the groups, shapes that do not fit,
    /// `eps` negative or not finite.
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Self>,
        bias: Option<&Self>,
        eps: f64,
    ) -> Result<Self> {
        let op = "group_norm";
        check_eps(op, eps)?;
        if self.rank() < 2 {
            return Err(Error::shape(op, self.shape(), "[n, channels, ..]"));
        }
        let (n, channels) = (self.dims()[0], self.dims()[1]);
        if groups == 0 || channels % groups != 0 {
            return Err(Error::argument(
                op,
                "groups",
                groups.to_string(),
                format!("a divisor of the {channels} channels"),
            ));
        }
        check_affine(op, self.shape(), [weight, bias], &[channels])?;
        let width = self.numel().checked_div(n * groups).unwrap_or(0);
        let x = self.reshape([n * groups, width])?;
        let y = normalize_rows(&x, None, None, eps).reshape(*self.shape())?;
        let mut per_channel = vec![1; self.rank() - 1];
        per_channel[0] = channels;
        let shape = Shape::new(&per_channel)?;
        let weight = weight.map(|w| w.reshape(shape)).transpose()?;
        let bias = bias.map(|b| b.reshape(shape)).transpose()?;
        affine(y, weight.as_ref(), bias.as_ref())
    }

    /// Root-mean-square normalisation over the last axis:
    /// `x / √(mean(x²) + eps) · weight`. Zhang and Sennrich 2019.
    ///
    /// # Errors
    /// Shapes that do not fit; `eps` negative or not finite; a scalar.
    pub fn rms_norm(&self, weight: Option<&Self>, eps: f64) -> Result<Self> {
        check_eps("rms_norm", eps)?;
        let width = self.size(-1)?;
        check_affine("rms_norm", self.shape(), [weight, None], &[width])?;
        let scale = self.square().mean(-1, true)?.add_scalar(E::from_f64(eps)).rsqrt();
        affine(self.mul(&scale)?, weight, None)
    }
}

#[cfg(test)]
mod tests {
    use crate::{GradCheck, Tensor, gradcheck, gradgradcheck};

    #[test]
    fn derivatives_of_both_orders() {
        let x = Tensor::linspace(-2.0, 3.0, 24).sin().reshape([2, 4, 3]).unwrap();
        let w = Tensor::linspace(0.5, 1.5, 12).reshape([4, 3]).unwrap();
        let b = Tensor::linspace(-1.0, 1.0, 12).reshape([4, 3]).unwrap();
        let layer = |t: &[Tensor<f64>]| t[0].layer_norm(&[4, 3], Some(&t[1]), Some(&t[2]), 1e-3);
        gradcheck(layer, &[x.clone(), w.clone(), b.clone()], GradCheck::default()).unwrap();
        gradgradcheck(layer, &[x.clone(), w, b], GradCheck::default()).unwrap();
        let c = Tensor::linspace(0.5, 1.5, 4);
        let group = |t: &[Tensor<f64>]| t[0].group_norm(2, Some(&t[1]), Some(&t[1]), 1e-3);
        gradcheck(group, &[x.clone(), c.clone()], GradCheck::default()).unwrap();
        gradgradcheck(group, &[x.clone(), c], GradCheck::default()).unwrap();
        let rms = |t: &[Tensor<f64>]| t[0].rms_norm(None, 1e-3);
        gradgradcheck(rms, &[x], GradCheck::default()).unwrap();
    }

    #[test]
    fn rows_get_mean_zero_and_variance_one() {
        let x = Tensor::<f64>::linspace(5.0, 50.0, 40).reshape([4, 10]).unwrap();
        let y = x.layer_norm(&[10], None, None, 0.0).unwrap();
        for row in y.to_vec().chunks(10) {
            approx::assert_abs_diff_eq!(row.iter().sum::<f64>(), 0.0, epsilon = 1e-12);
            let squares: f64 = row.iter().map(|x| x * x).sum();
            approx::assert_abs_diff_eq!(squares, 10.0, epsilon = 1e-10);
        }
        assert!(x.layer_norm(&[4], None, None, 1e-5).is_err());
        assert!(x.group_norm(3, None, None, 1e-5).is_err());
        assert_eq!(
            Tensor::<f32>::zeros([0, 4]).layer_norm(&[4], None, None, 1e-5).unwrap().dims(),
            [0, 4]
        );
    }
}
