//! LeNet.

use crate::{Backbone, Preprocess};
use rand::RngCore;
use tl_nn::{Conv, Conv2d, Ctx, Forward, Linear, Pool, Result, Tensor, Within, module};

/// A network after LeNet-5 (LeCun et al. 1998) for images `[n, 1, 28, 28]`:
/// 5×5 convolutions to 6 (padded by 2) and 16 channels, each with ReLU and
/// max-pooling by 2, then 120, 84 and the classes. It is configured by the
/// number of classes. Its taps are `conv1`, `conv2` and `features`; its head
/// is `fc3`.
#[derive(Clone, Debug)]
pub struct LeNet {
    /// 1 to 6 channels.
    pub conv1: Conv2d,
    /// 6 to 16 channels.
    pub conv2: Conv2d,
    /// 400 to 120.
    pub fc1: Linear,
    /// 120 to 84.
    pub fc2: Linear,
    /// The classifier.
    pub fc3: Linear,
}
module!(LeNet { conv1, conv2, fc1, fc2, fc3 });

impl Backbone for LeNet {
    type Config = usize;

    fn new(classes: &usize, rng: &mut dyn RngCore) -> Result<Self> {
        Ok(Self {
            conv1: Conv2d::new(1, 6, 5, rng).options(Conv::new().padding(2)),
            conv2: Conv2d::new(6, 16, 5, rng),
            fc1: Linear::new(400, 120, rng),
            fc2: Linear::new(120, 84, rng),
            fc3: Linear::new(84, *classes, rng),
        })
    }

    fn with_classes(_: &usize, classes: usize) -> usize {
        classes
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let x = cx.within("conv1", |cx| self.conv1.forward(x, cx))?;
        let x = x.relu().max_pool2d(Pool::new(2))?;
        let x = cx.within("conv2", |cx| self.conv2.forward(&x, cx))?;
        let x = x.relu().max_pool2d(Pool::new(2))?.flatten(1, -1)?;
        let x = self.fc1.forward(&x, cx).within("fc1")?.relu();
        let x = self.fc2.forward(&x, cx).within("fc2")?.relu();
        cx.tap("features", &x);
        Ok(x)
    }

    fn feature_size(&self) -> usize {
        self.fc3.weight.dims()[1]
    }

    fn head(&self) -> &'static str {
        "fc3"
    }

    fn head_mut(&mut self) -> &mut Linear {
        &mut self.fc3
    }

    fn preprocess(&self) -> Preprocess {
        Preprocess::plain(28, 1, 0.0, 1.0)
    }
}

impl Forward for LeNet {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        cx.within("fc3", |cx| self.fc3.forward(&features, cx))
    }
}
