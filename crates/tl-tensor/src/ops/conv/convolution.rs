//! Convolution and transposed convolution.
//!
//! The convolution, its input gradient and its weight gradient are three
//! bilinear maps of two tensors each. The derivatives of each are the other
//! two, so the family is closed: gradients of any order stay inside of it.

use crate::{
    Elem, Error, Op, Result, Shape, Tensor, Value, Vjp,
    kernel::conv::{self, Geometry},
    kernel::im2col::Windows,
};

/// Options of a convolution: stride, zero padding, dilation and groups.
///
/// The output of an axis of size `n` has
/// `⌊(n + 2 padding - dilation (kernel - 1) - 1) / stride⌋ + 1` entries.
///
/// ```
/// use tl_tensor::{Conv, Tensor};
/// # fn main() -> tl_tensor::Result<()> {
/// let image = Tensor::<f32>::ones([1, 3, 8, 8]);
/// let weight = Tensor::ones([4, 3, 3, 3]);
/// let y = Conv::new().stride(2).padding(1).conv2d(&image, &weight, None)?;
/// assert_eq!(y.dims(), [1, 4, 4, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
}

impl Default for Conv {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

impl Conv {
    /// Stride 1, no padding, no dilation, one group.
    pub fn new() -> Self {
        Self::default()
    }

    /// The stride on both axes. Default 1.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        self.strides([stride; 2])
    }

    /// The stride on each axis.
    #[must_use]
    pub fn strides(mut self, stride: [usize; 2]) -> Self {
        self.stride = stride;
        self
    }

    /// Zeros before and after both axes. Default 0.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        self.paddings([padding; 2])
    }

    /// Zeros before and after each axis.
    #[must_use]
    pub fn paddings(mut self, padding: [usize; 2]) -> Self {
        self.padding = padding;
        self
    }

    /// The distance between kernel elements on both axes. Default 1.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        self.dilations([dilation; 2])
    }

    /// The distance between kernel elements on each axis.
    #[must_use]
    pub fn dilations(mut self, dilation: [usize; 2]) -> Self {
        self.dilation = dilation;
        self
    }

    /// Channels in this many groups that do not mix. As many as input
    /// channels is a depth-wise convolution. Default 1.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Stride, padding and dilation on each axis, and the groups: for those who
    /// compute a convolution themselves.
    pub fn parts(&self) -> ([[usize; 2]; 3], usize) {
        ([self.stride, self.padding, self.dilation], self.groups)
    }

    fn check(&self, op: &'static str) -> Result<()> {
        let numbers =
            [self.stride[0], self.stride[1], self.dilation[0], self.dilation[1], self.groups];
        if numbers.contains(&0) {
            return Err(Error::argument(
                op,
                "options",
                format!("{self:?}"),
                "stride, dilation and groups of at least 1",
            ));
        }
        Ok(())
    }

    /// Entries of the output on axis `a`.
    pub(super) fn output_size(&self, a: usize, size: usize, kernel: usize) -> Option<usize> {
        let reach = self.dilation[a] * kernel.checked_sub(1)? + 1;
        Some((size + 2 * self.padding[a]).checked_sub(reach)? / self.stride[a] + 1)
    }

    /// Windows of an image `[.., channels, height, width]`.
    pub(super) fn windows(
        &self,
        op: &'static str,
        channels: usize,
        image: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<Windows> {
        self.check(op)?;
        let size = |a: usize| {
            self.output_size(a, image[a], kernel[a]).ok_or_else(|| {
                Error::argument(
                    op,
                    "kernel",
                    format!("{kernel:?} (dilation {:?})", self.dilation),
                    format!("one that fits in {image:?} with padding {:?}", self.padding),
                )
            })
        };
        Ok(Windows {
            channels,
            image,
            kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            out: [size(0)?, size(1)?],
            above: 0,
        })
    }

    fn geometry(&self, op: &'static str, x: &Shape, w: &Shape) -> Result<Geometry> {
        self.check(op)?;
        let fits = x.rank() == 4
            && w.rank() == 4
            && x[1] == w[1] * self.groups
            && w[0].is_multiple_of(self.groups);
        if !fits {
            return Err(Error::shapes(
                op,
                x,
                w,
                format!(
                    "an input [n, in, h, w] and a weight [out, in / groups, kh, kw] with {} groups",
                    self.groups
                ),
            ));
        }
        Ok(Geometry {
            images: x[0],
            groups: self.groups,
            out_channels: w[0] / self.groups,
            windows: self.windows(op, w[1], [x[2], x[3]], [w[2], w[3]])?,
        })
    }

    /// The cross-correlation of images `[n, in, h, w]` with a weight
    /// `[out, in / groups, kh, kw]`, plus a bias `[out]`: PyTorch's `conv2d`.
    ///
    /// # Errors
    /// Shapes that do not fit; a kernel that is larger than the padded image;
    /// a stride, dilation or number of groups of 0.
    pub fn conv2d<E: Elem>(
        &self,
        x: &Tensor<E>,
        weight: &Tensor<E>,
        bias: Option<&Tensor<E>>,
    ) -> Result<Tensor<E>> {
        let geometry = self.geometry("conv2d", x.shape(), weight.shape())?;
        if let Some(bias) = bias
            && bias.dims() != [weight.dims()[0]]
        {
            return Err(Error::shapes(
                "conv2d",
                weight.shape(),
                bias.shape(),
                "a weight [out, ..] and a bias [out]",
            ));
        }
        Ok(convolve(&geometry, x, weight, bias))
    }

    /// The transposed convolution of images `[n, in, h, w]` with a weight
    /// `[in, out / groups, kh, kw]`, plus a bias `[out]`: PyTorch's
    /// `conv_transpose2d`, the adjoint of [`conv2d`](Self::conv2d). An axis of
    /// size `n` becomes `(n - 1) stride - 2 padding + dilation (kernel - 1) +
    /// output_padding + 1`.
    ///
    /// # Errors
    /// As [`conv2d`](Self::conv2d); an output padding that is not below the
    /// stride or the dilation.
    pub fn conv_transpose2d<E: Elem>(
        &self,
        x: &Tensor<E>,
        weight: &Tensor<E>,
        bias: Option<&Tensor<E>>,
        output_padding: [usize; 2],
    ) -> Result<Tensor<E>> {
        let op = "conv_transpose2d";
        self.check(op)?;
        let (sx, sw) = (x.shape(), weight.shape());
        if sx.rank() != 4 || sw.rank() != 4 || sx[1] != sw[0] || sw[0] % self.groups != 0 {
            return Err(Error::shapes(
                op,
                sx,
                sw,
                format!(
                    "an input [n, in, h, w] and a weight [in, out / groups, kh, kw] with {} groups",
                    self.groups
                ),
            ));
        }
        let mut image = [0; 2];
        for a in 0..2 {
            let reach = self.dilation[a] * sw[2 + a].saturating_sub(1) + 1 + output_padding[a];
            let size = (sx[2 + a].max(1) - 1) * self.stride[a] + reach;
            let wrong = output_padding[a] >= self.stride[a].max(self.dilation[a]);
            match size.checked_sub(2 * self.padding[a]) {
                Some(size) if !wrong && sx[2 + a] > 0 => image[a] = size,
                _ => {
                    return Err(Error::argument(
                        op,
                        "output_padding",
                        format!("{output_padding:?} (padding {:?})", self.padding),
                        "less than the stride or dilation, and an output of at least 0",
                    ));
                }
            }
        }
        let geometry = Geometry {
            images: sx[0],
            groups: self.groups,
            out_channels: sw[0] / self.groups,
            windows: self.windows(op, sw[1], image, [sw[2], sw[3]])?,
        };
        let y = input_gradient(&geometry, x, weight);
        let Some(bias) = bias else { return Ok(y) };
        if bias.dims() != [sw[1] * self.groups] {
            return Err(Error::shapes(op, sw, bias.shape(), "a bias [out]"));
        }
        y.add(&bias.reshape([bias.numel(), 1, 1])?)
    }

    /// [`conv2d`](Self::conv2d) of one axis: `[n, in, l]` with
    /// `[out, in / groups, k]`. The options of the second axis count.
    ///
    /// # Errors
    /// As [`conv2d`](Self::conv2d).
    pub fn conv1d<E: Elem>(
        &self,
        x: &Tensor<E>,
        weight: &Tensor<E>,
        bias: Option<&Tensor<E>>,
    ) -> Result<Tensor<E>> {
        if x.rank() != 3 || weight.rank() != 3 {
            return Err(Error::shapes(
                "conv1d",
                x.shape(),
                weight.shape(),
                "an input [n, in, l] and a weight [out, in / groups, k]",
            ));
        }
        let mut flat = *self;
        (flat.stride[0], flat.padding[0], flat.dilation[0]) = (1, 0, 1);
        flat.conv2d(&x.unsqueeze(2)?, &weight.unsqueeze(2)?, bias)?.squeeze(2)
    }
}

struct Convolution<E: Elem> {
    /// For the gradient of the weight, if it has one.
    x: Option<Value<E>>,
    weight: Value<E>,
    geometry: Geometry,
}

impl<E: Elem> Op<E> for Convolution<E> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let weight = cx.input(1, &self.weight);
        cx.give(0, || Ok(input_gradient(&self.geometry, &g, &weight)))?;
        if let Some(x) = &self.x {
            let x = cx.input(0, x);
            cx.give(1, || Ok(weight_gradient(&self.geometry, &x, &g)))?;
        }
        // Two sums of neighbouring axes: no copy in another order.
        cx.give(2, || g.sum([2, 3], false)?.sum(0, false))
    }
}

struct InputGradient<E: Elem> {
    g: Value<E>,
    weight: Value<E>,
    geometry: Geometry,
}

impl<E: Elem> Op<E> for InputGradient<E> {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, gg: Tensor<E>) -> Result<()> {
        let (g, weight) = (cx.input(0, &self.g), cx.input(1, &self.weight));
        cx.give(0, || Ok(convolve(&self.geometry, &gg, &weight, None)))?;
        cx.give(1, || Ok(weight_gradient(&self.geometry, &gg, &g)))
    }
}

struct WeightGradient<E: Elem> {
    x: Value<E>,
    g: Value<E>,
    geometry: Geometry,
}

impl<E: Elem> Op<E> for WeightGradient<E> {
    fn name(&self) -> &'static str {
        "conv2d_weight"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, gw: Tensor<E>) -> Result<()> {
        let (x, g) = (cx.input(0, &self.x), cx.input(1, &self.g));
        cx.give(0, || Ok(input_gradient(&self.geometry, &g, &gw)))?;
        cx.give(1, || Ok(convolve(&self.geometry, &x, &gw, None)))
    }
}

fn convolve<E: Elem>(
    geometry: &Geometry,
    x: &Tensor<E>,
    weight: &Tensor<E>,
    bias: Option<&Tensor<E>>,
) -> Tensor<E> {
    let [height, width] = geometry.windows.out;
    let shape = [geometry.images, geometry.groups * geometry.out_channels, height, width];
    let numbers = bias.map(Tensor::to_vec);
    let value = Value::build(shape.into(), |out| {
        conv::forward(geometry, &x.value, &weight.value, numbers.as_deref(), out);
    });
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Tensor::from_op(value, &inputs, || Convolution {
        x: weight.is_tracked().then(|| x.value.clone()),
        weight: weight.value.clone(),
        geometry: *geometry,
    })
}

fn input_gradient<E: Elem>(geometry: &Geometry, g: &Tensor<E>, weight: &Tensor<E>) -> Tensor<E> {
    let [height, width] = geometry.windows.image;
    let shape = [geometry.images, geometry.groups * geometry.windows.channels, height, width];
    let value = Value::build(shape.into(), |out| {
        conv::input_gradient(geometry, &g.value, &weight.value, out);
    });
    Tensor::from_op(value, &[g, weight], || InputGradient {
        g: g.value.clone(),
        weight: weight.value.clone(),
        geometry: *geometry,
    })
}

fn weight_gradient<E: Elem>(geometry: &Geometry, x: &Tensor<E>, g: &Tensor<E>) -> Tensor<E> {
    let [height, width] = geometry.windows.kernel;
    let shape = [geometry.groups * geometry.out_channels, geometry.windows.channels, height, width];
    let value = Value::build(shape.into(), |out| {
        conv::weight_gradient(geometry, &x.value, &g.value, out);
    });
    Tensor::from_op(value, &[x, g], || WeightGradient {
        x: x.value.clone(),
        g: g.value.clone(),
        geometry: *geometry,
    })
}

#[cfg(test)]
mod tests;
