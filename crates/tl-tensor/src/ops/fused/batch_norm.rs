//! Normalisation of each channel over the batch.

use crate::{
    Elem, Error, Op, Result, Shape, Tensor, Value, Vjp,
    kernel::parallel::{self, simd},
    kernel::reduce::sum_slice,
};

/// The result of batch normalisation in training.
#[derive(Clone, Debug)]
pub struct BatchNorm<E: Elem = f32> {
    /// The normalised tensor.
    pub output: Tensor<E>,
    /// The mean of each channel over the batch, a constant.
    pub mean: Tensor<E>,
    /// The biased variance of each channel over the batch, a constant.
    pub variance: Tensor<E>,
}

/// `[n, c, ..]` as `n` samples of `c` channels of `inner` elements.
#[derive(Clone, Copy)]
struct Layout {
    n: usize,
    c: usize,
    inner: usize,
}

impl Layout {
    fn new(shape: &Shape) -> Self {
        Self { n: shape[0], c: shape[1], inner: shape[2..].iter().product() }
    }

    /// Elements of one channel.
    fn count(&self) -> usize {
        self.n * self.inner
    }

    /// For each channel the sums over its elements of the two numbers that
    /// `term(channel, x, y)` gives.
    fn sums<E: Elem>(
        &self,
        x: &[E],
        y: &[E],
        term: impl Fn(usize, E, E) -> [E; 2] + Sync + Send,
    ) -> Vec<[E; 2]> {
        let (c, inner) = (self.c, self.inner);
        if inner == 1 {
            // Rows of channels: one pass adds them up side by side.
            let mut sums = vec![[E::ZERO; 2]; c];
            for (x, y) in x.chunks_exact(c).zip(y.chunks_exact(c)) {
                for (channel, (sum, (&x, &y))) in sums.iter_mut().zip(x.iter().zip(y)).enumerate() {
                    let [a, b] = term(channel, x, y);
                    sum[0] += a;
                    sum[1] += b;
                }
            }
            return sums;
        }
        parallel::collect(c, self.count() * c, |channel| {
            let mut sums = Sums::new();
            simd(
                #[inline(always)]
                || {
                    for sample in 0..self.n {
                        let at = (sample * c + channel) * inner;
                        let (x, y) = (&x[at..at + inner], &y[at..at + inner]);
                        sums.add(
                            x,
                            y,
                            #[inline(always)]
                            |x, y| term(channel, x, y),
                        );
                    }
                },
            );
            sums.total()
        })
    }

    /// Writes every run: `f(channel, first element, output)`; the channel is
    /// that of the first element where a run goes over all channels.
    fn write<E: Elem>(&self, out: &mut [E], f: impl Fn(usize, usize, &mut [E]) + Sync + Send) {
        if out.is_empty() {
            return;
        }
        let work = out.len() * 2;
        let (c, inner) = (self.c, self.inner);
        let runs = (4096 / inner).max(1);
        parallel::chunks(out, runs * inner, work, |i, out| {
            for (r, out) in out.chunks_exact_mut(inner).enumerate() {
                let run = i * runs + r;
                f(run % c, run * inner, out);
            }
        });
    }
}

const LANES: usize = 16;
/// Elements after which lanes are added to the total, so that no partial sum
/// has many terms.
const BLOCK: usize = 4096;

/// Two sums in lanes.
struct Sums<E> {
    lanes: [[E; LANES]; 2],
    waiting: usize,
    total: [E; 2],
}

impl<E: Elem> Sums<E> {
    fn new() -> Self {
        Self { lanes: [[E::ZERO; LANES]; 2], waiting: 0, total: [E::ZERO; 2] }
    }

    #[inline(always)]
    fn add(&mut self, x: &[E], y: &[E], term: impl Fn(E, E) -> [E; 2]) {
        let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
        let [mut a, mut b] = self.lanes;
        for (x, y) in x.iter().zip(y) {
            for l in 0..LANES {
                let [first, second] = term(x[l], y[l]);
                a[l] += first;
                b[l] += second;
            }
        }
        for (l, (&x, &y)) in x_rest.iter().zip(y_rest).enumerate() {
            let [first, second] = term(x, y);
            a[l] += first;
            b[l] += second;
        }
        self.lanes = [a, b];
        self.waiting += x.len() * LANES + x_rest.len();
        if self.waiting >= BLOCK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for (total, lanes) in self.total.iter_mut().zip(&mut self.lanes) {
            *total += sum_slice(lanes);
            *lanes = [E::ZERO; LANES];
        }
        self.waiting = 0;
    }

    fn total(mut self) -> [E; 2] {
        self.flush();
        self.total
    }
}

/// `(x - mean_c) · inverse_c · weight_c + bias_c`.
struct Normalize<E: Elem> {
    x: Value<E>,
    weight: Option<Value<E>>,
    bias: Option<Value<E>>,
    mean: Vec<E>,
    inverse: Vec<E>,
    eps: f64,
}

impl<E: Elem> Op<E> for Normalize<E> {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    /// With `y` the normalised input, per channel over `m` elements:
    /// `gb = Σ g`, `gw = Σ g y`, `gx = w / √(var + eps) (g - gb/m - y gw/m)`.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        if cx.create_graph() {
            let mut saved = vec![&self.x];
            saved.extend(&self.weight);
            saved.extend(&self.bias);
            return cx.composite(&saved, &g, |t| {
                let weight = self.weight.is_some().then(|| &t[1]);
                let bias = self.bias.is_some().then(|| &t[t.len() - 1]);
                plain(&t[0], weight, bias, self.eps)
            });
        }
        let layout = Layout::new(self.x.shape());
        let (x, g) = (self.x.contiguous(), g.value.contiguous());
        let (x, g) = (x.raw(), g.raw());
        let sums = layout.sums(x, g, |c, x, g| [g, g * ((x - self.mean[c]) * self.inverse[c])]);
        let (gb, gw): (Vec<E>, Vec<E>) = sums.into_iter().map(|[b, w]| (b, w)).unzip();
        let scale = E::ONE / E::from_f64(layout.count() as f64);
        cx.give(0, || {
            let weight = self.weight.as_ref().map(Value::to_vec);
            Ok(Tensor::constant(Value::build(*self.x.shape(), |out| {
                layout.write(out, |c, at, out| {
                    let factor = self.inverse[c] * weight.as_ref().map_or(E::ONE, |w| w[c]);
                    let (shift, along) = (gb[c] * scale, gw[c] * scale * self.inverse[c]);
                    let mean = self.mean[c];
                    let (x, g) = (&x[at..at + out.len()], &g[at..at + out.len()]);
                    simd(
                        #[inline(always)]
                        || {
                            for ((o, &x), &g) in out.iter_mut().zip(x).zip(g) {
                                *o = factor * (g - shift - (x - mean) * along);
                            }
                        },
                    );
                });
            })))
        })?;
        let weights = usize::from(self.weight.is_some());
        if weights == 1 {
            cx.give(1, || Tensor::from_slice(&gw, layout.c))?;
        }
        if self.bias.is_some() {
            cx.give(1 + weights, || Tensor::from_slice(&gb, layout.c))?;
        }
        Ok(())
    }
}

/// One value for each channel, shaped to broadcast over `[n, c, ..]`.
fn per_channel<E: Elem>(x: &Tensor<E>, rank: usize) -> Result<Tensor<E>> {
    let mut dims = vec![1; rank - 1];
    dims[0] = x.numel();
    x.reshape(Shape::new(&dims)?)
}

fn plain<E: Elem>(
    x: &Tensor<E>,
    weight: Option<&Tensor<E>>,
    bias: Option<&Tensor<E>>,
    eps: f64,
) -> Result<Tensor<E>> {
    let axes: Vec<isize> = (0..x.rank() as isize).filter(|&a| a != 1).collect();
    let axes = axes.as_slice();
    let centred = x.sub(&x.mean(axes, true)?)?;
    let variance = centred.square().mean(axes, true)?;
    let mut y = centred.mul(&variance.add_scalar(E::from_f64(eps)).rsqrt())?;
    if let Some(weight) = weight {
        y = y.mul(&per_channel(weight, x.rank())?)?;
    }
    match bias {
        Some(bias) => y.add(&per_channel(bias, x.rank())?),
        None => Ok(y),
    }
}

fn check<E: Elem>(x: &Tensor<E>, parts: &[Option<&Tensor<E>>]) -> Result<()> {
    if x.rank() < 2 {
        return Err(Error::shape("batch_norm", x.shape(), "[n, channels, ..]"));
    }
    for part in parts.iter().flatten() {
        if part.dims() != [x.dims()[1]] {
            return Err(Error::shapes(
                "batch_norm",
                x.shape(),
                part.shape(),
                format!("one value for each of the {} channels", x.dims()[1]),
            ));
        }
    }
    Ok(())
}

impl<E: Elem> Tensor<E> {
    /// Batch normalisation of `[n, c, ..]` with the statistics of the batch:
    /// `(x - mean_c) / √(var_c + eps) · weight_c + bias_c`, with the biased
    /// variance. Ioffe and Szegedy 2015.
    ///
    /// # Errors
    /// Shapes that do not fit; only one value for each channel, whose variance
    /// is nothing to divide by.
    pub fn batch_norm(
        &self,
        weight: Option<&Self>,
        bias: Option<&Self>,
        eps: f64,
    ) -> Result<BatchNorm<E>> {
        check(self, &[weight, bias])?;
        let layout = Layout::new(self.shape());
        if layout.count() < 2 {
            return Err(Error::shape(
                "batch_norm",
                self.shape(),
                "more than one value for each channel; use a larger batch, or running statistics",
            ));
        }
        let data = self.value.contiguous();
        let x = data.raw();
        let scale = E::ONE / E::from_f64(layout.count() as f64);
        let mean: Vec<E> =
            layout.sums(x, x, |_, x, _| [x, E::ZERO]).iter().map(|[sum, _]| *sum * scale).collect();
        let squares = layout.sums(x, x, |c, x, _| {
            let centred = x - mean[c];
            [centred * centred, E::ZERO]
        });
        let variance: Vec<E> = squares.iter().map(|[sum, _]| *sum * scale).collect();
        let inverse: Vec<E> =
            variance.iter().map(|&v| E::ONE / (v + E::from_f64(eps)).sqrt()).collect();
        let value = affine(self.shape(), x, &mean, &inverse, weight, bias);
        let mut inputs = vec![self];
        inputs.extend(weight);
        inputs.extend(bias);
        let result = (Self::from_slice(&mean, layout.c)?, Self::from_slice(&variance, layout.c)?);
        let output = Self::from_op(value, &inputs, || Normalize {
            x: self.value.clone(),
            weight: weight.map(|w| w.value.clone()),
            bias: bias.map(|b| b.value.clone()),
            mean,
            inverse,
            eps,
        });
        Ok(BatchNorm { output, mean: result.0, variance: result.1 })
    }

    /// Batch normalisation of `[n, c, ..]` with given statistics, as in
    /// evaluation. Gradients flow to all arguments.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn batch_norm_with(
        &self,
        mean: &Self,
        variance: &Self,
        weight: Option<&Self>,
        bias: Option<&Self>,
        eps: f64,
    ) -> Result<Self> {
        check(self, &[Some(mean), Some(variance), weight, bias])?;
        let mut scale = variance.add_scalar(E::from_f64(eps)).rsqrt();
        if let Some(weight) = weight {
            scale = scale.mul(weight)?;
        }
        let mut shift = mean.mul(&scale)?.neg();
        if let Some(bias) = bias {
            shift = shift.add(bias)?;
        }
        if !self.is_tracked() && !scale.is_tracked() && !shift.is_tracked() {
            return Ok(Self::constant(scaled(self, &scale.to_vec(), &shift.to_vec())));
        }
        self.mul(&per_channel(&scale, self.rank())?)?.add(&per_channel(&shift, self.rank())?)
    }
}

/// `x · scale_c + shift_c` in one pass.
fn scaled<E: Elem>(x: &Tensor<E>, scale: &[E], shift: &[E]) -> Value<E> {
    let data = x.value.contiguous();
    let data = data.raw();
    Value::build(*x.shape(), |out| {
        Layout::new(x.shape()).write(out, |c, at, out| {
            let (scale, shift) = (scale[c], shift[c]);
            let x = &data[at..at + out.len()];
            simd(
                #[inline(always)]
                || {
                    for (o, &x) in out.iter_mut().zip(x) {
                        *o = x * scale + shift;
                    }
                },
            );
        });
    })
}

fn affine<E: Elem>(
    shape: &Shape,
    x: &[E],
    mean: &[E],
    inverse: &[E],
    weight: Option<&Tensor<E>>,
    bias: Option<&Tensor<E>>,
) -> Value<E> {
    let (weight, bias) = (weight.map(Tensor::to_vec), bias.map(Tensor::to_vec));
    Value::build(*shape, |out| {
        Layout::new(shape).write(out, |c, at, out| {
            let factor = inverse[c] * weight.as_ref().map_or(E::ONE, |w| w[c]);
            let bias = bias.as_ref().map_or(E::ZERO, |b| b[c]);
            let mean = mean[c];
            let x = &x[at..at + out.len()];
            simd(
                #[inline(always)]
                || {
                    for (o, &x) in out.iter_mut().zip(x) {
                        *o = (x - mean) * factor + bias;
                    }
                },
            );
        });
    })
}

#[cfg(test)]
mod tests {
    use crate::{GradCheck, Tensor, gradcheck, gradgradcheck};

    #[test]
    fn derivatives_of_both_orders_for_vectors_and_images() {
        let x = Tensor::<f64>::linspace(-2.0, 3.0, 24).sin();
        let w = Tensor::linspace(0.5, 1.5, 3);
        let b = Tensor::linspace(-1.0, 1.0, 3);
        for x in [x.reshape([8, 3]).unwrap(), x.reshape([2, 3, 2, 2]).unwrap()] {
            let f = |t: &[Tensor<f64>]| Ok(t[0].batch_norm(Some(&t[1]), Some(&t[2]), 1e-3)?.output);
            let inputs = [x.clone(), w.clone(), b.clone()];
            gradcheck(f, &inputs, GradCheck::default()).unwrap();
            gradgradcheck(f, &inputs, GradCheck::default()).unwrap();
            let bare = |t: &[Tensor<f64>]| Ok(t[0].batch_norm(None, None, 1e-3)?.output);
            gradcheck(bare, &inputs[..1], GradCheck::default()).unwrap();
            let with = |t: &[Tensor<f64>]| {
                t[0].batch_norm_with(&t[2], &t[1], Some(&t[1]), Some(&t[2]), 1e-3)
            };
            gradgradcheck(with, &inputs, GradCheck::default()).unwrap();
        }
    }

    #[test]
    fn channels_get_mean_zero_and_variance_one() {
        let x = Tensor::<f32>::linspace(0.0, 9.0, 60).reshape([5, 3, 4]).unwrap();
        let result = x.batch_norm(None, None, 0.0).unwrap();
        let y = result.output.transpose(0, 1).unwrap().reshape([3, 20]).unwrap();
        for m in y.mean(1, false).unwrap().to_vec() {
            approx::assert_abs_diff_eq!(m, 0.0, epsilon = 1e-6);
        }
        for v in y.var(1, false, false).unwrap().to_vec() {
            approx::assert_abs_diff_eq!(v, 1.0, epsilon = 1e-5);
        }
        // The pass without a graph and the one with it are the same.
        let (mean, var) = (&result.mean, &result.variance);
        let plain = x.batch_norm_with(mean, var, None, Some(mean), 0.1).unwrap();
        let leaf = x.requires_grad();
        let graph = leaf.batch_norm_with(mean, var, None, Some(mean), 0.1).unwrap();
        assert_eq!(plain.to_vec(), graph.to_vec());
        assert!(Tensor::<f32>::ones([1, 3]).batch_norm(None, None, 1e-5).is_err());
    }
}
