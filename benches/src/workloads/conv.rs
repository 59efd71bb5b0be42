//! Convolution layers, forward, and forward with backward.

use super::{Run, Workload};
use crate::{
    Outcome,
    fill::{numbers, set_weight},
};
use tl_nn::{GradOptions, Param, Tensor};
use tl_tensor::{Conv, vjp};

/// A layer and its batch.
#[derive(Clone, Copy)]
struct Layer {
    batch: usize,
    inputs: usize,
    outputs: usize,
    size: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Layer {
    /// 3x3 of stride 1, as many channels out as in.
    const fn square(batch: usize, channels: usize, size: usize) -> Self {
        let (inputs, outputs) = (channels, channels);
        Self { batch, inputs, outputs, size, kernel: 3, stride: 1, groups: 1 }
    }

    fn parts(self) -> Outcome<(Conv, Tensor, Param)> {
        let Self { batch, inputs, outputs, size, kernel, stride, groups } = self;
        let conv = Conv::new().stride(stride).padding(kernel / 2).groups(groups);
        let mut weight = Param::new(Tensor::zeros([outputs, inputs / groups, kernel, kernel]));
        set_weight(10, "weight", &mut weight)?;
        Ok((conv, numbers(1, [batch, inputs, size, size]), weight))
    }

    fn forward(self) -> Outcome<Run> {
        let (conv, x, weight) = self.parts()?;
        let weight = weight.tensor().detach();
        Ok(Box::new(move || Ok(conv.conv2d(&x, &weight, None)?)))
    }

    /// The gradients of input and weight for a fixed gradient of the output.
    fn train(self) -> Outcome<Run> {
        let (conv, x, weight) = self.parts()?;
        let x = x.requires_grad();
        let slope = numbers(2, *conv.conv2d(&x, weight.tensor(), None)?.shape());
        Ok(Box::new(move || {
            let y = conv.conv2d(&x, weight.tensor(), None)?;
            let inputs = [&x, weight.tensor()];
            let slopes = vjp(&y, &inputs, &slope, GradOptions::new())?;
            Ok(slopes[1].clone())
        }))
    }
}

const WIDE: Layer = Layer::square(8, 64, 56);

macro_rules! rows {
    ($($layer:expr, $forward:literal, $train:literal, $about:literal;)*) => {
        /// All layers, each forward and with its backward pass.
        pub(super) const ALL: &[Workload] = &[$(
            Workload {
                name: $forward,
                about: concat!($about, ", forward"),
                peers: &["torch", "candle", "burn"],
                setup: || ($layer).forward(),
                ..Workload::DEFAULT
            },
            Workload {
                name: $train,
                about: concat!($about, ", forward and both gradients"),
                peers: &["torch", "candle", "burn"],
                setup: || ($layer).train(),
                ..Workload::DEFAULT
            },
        )*];
    };
}

rows! {
    WIDE, "conv3_64_56_fwd", "conv3_64_56_train", "3x3, 64 channels, 8 of 56x56";
    Layer::square(8, 128, 28), "conv3_128_28_fwd", "conv3_128_28_train",
        "3x3, 128 channels, 8 of 28x28";
    Layer::square(8, 256, 14), "conv3_256_14_fwd", "conv3_256_14_train",
        "3x3, 256 channels, 8 of 14x14";
    Layer::square(8, 512, 7), "conv3_512_7_fwd", "conv3_512_7_train",
        "3x3, 512 channels, 8 of 7x7";
    Layer::square(80, 64, 14), "conv3_64_14_fwd", "conv3_64_14_train",
        "3x3, 64 channels, 80 of 14x14";
    Layer::square(80, 64, 7), "conv3_64_7_fwd", "conv3_64_7_train",
        "3x3, 64 channels, 80 of 7x7";
    Layer { groups: 128, ..Layer::square(8, 128, 28) }, "depthwise3_128_28_fwd",
        "depthwise3_128_28_train", "depth-wise 3x3, 128 channels, 8 of 28x28";
    Layer { kernel: 1, outputs: 256, ..WIDE }, "conv1_64_256_56_fwd", "conv1_64_256_56_train",
        "1x1, 64 to 256 channels, 8 of 56x56";
    Layer { kernel: 5, stride: 2, outputs: 128, ..WIDE }, "conv5_s2_64_56_fwd",
        "conv5_s2_64_56_train", "5x5 of stride 2, 64 to 128 channels, 8 of 56x56";
}
