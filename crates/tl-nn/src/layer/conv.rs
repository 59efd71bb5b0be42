//! Convolution layers.

use crate::{Ctx, Forward, Param, Result, init, module};
use rand::RngCore;
use tl_tensor::{Conv, Tensor};

/// A convolution of images: `[n, in, h, w]` becomes `[n, out, h', w']`; see
/// [`Conv::conv2d`].
///
/// `weight` is `[out, in / groups, kh, kw]`, `bias` `[out]`. Both begin uniform
/// in `±1/√(in / groups · kh · kw)`, PyTorch's default.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{Conv2d, Ctx, Forward};
/// use tl_tensor::{Conv, Tensor};
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let conv = Conv2d::new(3, 8, 3, &mut rng).options(Conv::new().stride(2).padding(1));
/// let y = conv.forward(&Tensor::zeros([1, 3, 32, 32]), &mut Ctx::eval())?;
/// assert_eq!(y.dims(), [1, 8, 16, 16]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kh, kw]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
    /// Stride, padding, dilation and groups.
    pub conv: Conv,
}
module!(Conv2d { weight, bias; skip conv });

impl Conv2d {
    /// A convolution with a square kernel, stride 1, no padding, and a bias.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, rng: &mut dyn RngCore) -> Self {
        Self::grouped(inputs, outputs, [kernel; 2], 1, rng)
    }

    /// A convolution in groups. `inputs` is that of all groups.
    pub fn grouped(
        inputs: usize,
        outputs: usize,
        kernel: [usize; 2],
        groups: usize,
        rng: &mut dyn RngCore,
    ) -> Self {
        let each = inputs / groups.max(1);
        let fan = each * kernel[0] * kernel[1];
        let weight = init::by_fan_in([outputs, each, kernel[0], kernel[1]].into(), fan, rng);
        let bias = init::by_fan_in(outputs.into(), fan, rng);
        Self {
            weight: Param::new(weight),
            bias: Some(Param::new(bias)),
            conv: Conv::new().groups(groups),
        }
    }

    /// Sets stride, padding, dilation and groups. The groups must be those of
    /// the weight.
    #[must_use]
    pub fn options(mut self, conv: Conv) -> Self {
        self.conv = conv;
        self
    }

    /// Removes the bias, as before batch normalisation.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }
}

impl Forward for Conv2d {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Param::adapted).transpose()?;
        let (weight, bias) = (self.weight.tensor(), bias.as_deref());
        match self.weight.adapter() {
            None => Ok(self.conv.conv2d(x, weight, bias)?),
            Some(adapter) => adapter.conv2d(&self.conv, x, weight, bias, cx),
        }
    }
}

/// A convolution along one axis: `[n, in, l]` becomes `[n, out, l']`; see
/// [`Conv::conv1d`].
#[derive(Clone, Debug)]
pub struct Conv1d {
    /// `[out, in / groups, k]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
    /// Stride, padding, dilation (those of the second axis) and groups.
    pub conv: Conv,
}
module!(Conv1d { weight, bias; skip conv });

impl Conv1d {
    /// A convolution of stride 1, without padding, with a bias.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, rng: &mut dyn RngCore) -> Self {
        let fan = inputs * kernel;
        let weight = init::by_fan_in([outputs, inputs, kernel].into(), fan, rng);
        let bias = init::by_fan_in(outputs.into(), fan, rng);
        Self { weight: Param::new(weight), bias: Some(Param::new(bias)), conv: Conv::new() }
    }

    /// Sets stride, padding, dilation and groups. The groups must be those of
    /// the weight.
    #[must_use]
    pub fn options(mut self, conv: Conv) -> Self {
        self.conv = conv;
        self
    }
}

impl Forward for Conv1d {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Param::adapted).transpose()?;
        Ok(self.conv.conv1d(x, self.weight.adapted()?.as_ref(), bias.as_deref())?)
    }
}

/// A transposed convolution of images; see [`Conv::conv_transpose2d`].
///
/// `weight` is `[in, out / groups, kh, kw]`; it begins uniform in
/// `±1/√(out / groups · kh · kw)`, PyTorch's default.
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    /// `[in, out / groups, kh, kw]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
    /// Stride, padding, dilation and groups.
    pub conv: Conv,
    /// Places added at the end of each axis of the output.
    pub output_padding: [usize; 2],
}
module!(ConvTranspose2d { weight, bias; skip conv, output_padding });

impl ConvTranspose2d {
    /// A transposed convolution with a square kernel and a bias.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, rng: &mut dyn RngCore) -> Self {
        let fan = outputs * kernel * kernel;
        let weight = init::by_fan_in([inputs, outputs, kernel, kernel].into(), fan, rng);
        let bias = init::by_fan_in(outputs.into(), fan, rng);
        Self {
            weight: Param::new(weight),
            bias: Some(Param::new(bias)),
            conv: Conv::new(),
            output_padding: [0, 0],
        }
    }

    /// Sets stride, padding, dilation and groups, and the output padding. The
    /// groups must be those of the weight.
    #[must_use]
    pub fn options(mut self, conv: Conv, output_padding: [usize; 2]) -> Self {
        (self.conv, self.output_padding) = (conv, output_padding);
        self
    }
}

impl Forward for ConvTranspose2d {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        let (weight, bias) =
            (self.weight.adapted()?, self.bias.as_ref().map(Param::adapted).transpose()?);
        Ok(self.conv.conv_transpose2d(x, &weight, bias.as_deref(), self.output_padding)?)
    }
}
