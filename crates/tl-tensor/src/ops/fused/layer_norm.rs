//! Normalisation of each sample: layer, group, instance and root mean square.

use crate::{
    Elem, Error, Op, Result, Shape, Tensor, Value, Vjp,
    kernel::parallel::{self, CHUNK},
    kernel::reduce::sum_slice,
};

/// Rows normalised to mean 0 and variance 1: `(x - mean) / √(var + eps)`.
struct NormalizeRows<E: Elem> {
    x: Value<E>,
    y: Value<E>,
    /// `1 / √(var + eps)` for each row.
    inverse: Vec<E>,
    eps: f64,
}

impl<E: Elem> Op<E> for NormalizeRows<E> {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    /// `(g - mean(g) - y mean(g y)) / √(var + eps)`.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        if cx.create_graph() {
            return cx.composite(&[&self.x], &g, |t| plain(&t[0], self.eps));
        }
        let width = self.y.shape()[1];
        cx.give(0, || {
            let g = g.value.contiguous();
            let (y, g) = (self.y.raw(), g.raw());
            Ok(Tensor::constant(Value::build(*self.y.shape(), |out| {
                for_rows(out, width, |row, out| {
                    let at = row * width..(row + 1) * width;
                    let (y, g) = (&y[at.clone()], &g[at]);
                    let scale = E::ONE / E::from_f64(width as f64);
                    let mean = sum_slice(g) * scale;
                    for ((o, &y), &g) in out.iter_mut().zip(y).zip(g) {
                        *o = y * g;
                    }
                    let along = sum_slice(out) * scale;
                    let inverse = self.inverse[row];
                    for ((o, &y), &g) in out.iter_mut().zip(y).zip(g) {
                        *o = inverse * (g - mean - y * along);
                    }
                });
            })))
        })
    }
}

fn plain<E: Elem>(x: &Tensor<E>, eps: f64) -> Result<Tensor<E>> {
    let centred = x.sub(&x.mean(-1, true)?)?;
    let variance = centred.square().mean(-1, true)?;
    centred.mul(&variance.add_scalar(E::from_f64(eps)).rsqrt())
}

fn for_rows<E: Elem>(out: &mut [E], width: usize, f: impl Fn(usize, &mut [E]) + Sync + Send) {
    if out.is_empty() {
        return;
    }
    let rows = (CHUNK / 2 / width).max(1);
    let work = out.len() * 4;
    parallel::chunks(out, rows * width, work, |i, out| {
        for (r, out) in out.chunks_exact_mut(width).enumerate() {
            f(i * rows + r, out);
        }
    });
}

/// Normalises the rows of `[rows, width]`.
fn normalize_rows<E: Elem>(x: &Tensor<E>, eps: f64) -> Tensor<E> {
    let (rows, width) = (x.dims()[0], x.dims()[1]);
    let data = x.value.contiguous();
    let data = &data.raw()[..rows * width];
    let scale = E::ONE / E::from_f64(width as f64);
    let y = Value::build(*x.shape(), |out| {
        for_rows(out, width, |row, out| {
            let x = &data[row * width..(row + 1) * width];
            let mean = sum_slice(x) * scale;
            for (o, &x) in out.iter_mut().zip(x) {
                *o = (x - mean) * (x - mean);
            }
            let variance = sum_slice(out) * scale;
            let inverse = E::ONE / (variance + E::from_f64(eps)).sqrt();
            for (o, &x) in out.iter_mut().zip(x) {
                *o = (x - mean) * inverse;
            }
        });
    });
    Tensor::from_op(y.clone(), &[x], || {
        let inverse = data
            .chunks_exact(width.max(1))
            .map(|x| {
                let mean = sum_slice(x) * scale;
                let squares: Vec<E> = x.iter().map(|&x| (x - mean) * (x - mean)).collect();
                E::ONE / (sum_slice(&squares) * scale + E::from_f64(eps)).sqrt()
            })
            .collect();
        NormalizeRows { x: x.value.clone(), y, inverse, eps }
    })
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
        let y = normalize_rows(&self.reshape([rows, width])?, eps).reshape(*self.shape())?;
        affine(y, weight, bias)
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
        let y = normalize_rows(&self.reshape([n * groups, width])?, eps).reshape(*self.shape())?;
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
