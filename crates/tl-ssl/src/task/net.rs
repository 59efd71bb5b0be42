//! The encoder with the heads of pre-training.

use rand::RngCore;
use tl_nn::{Act, BatchNorm1d, Ctx, Forward, Linear, Module, Result, Sequential, Tensor, module};

/// Heads, of which a method has some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    pub(crate) projector: Option<Sequential>,
    pub(crate) predictor: Option<Sequential>,
    pub(crate) prototypes: Option<Linear>,
    pub(crate) decoder: Option<Sequential>,
}
module!(Heads { projector, predictor, prototypes, decoder });

impl Heads {
    pub(crate) fn projector(projector: Sequential) -> Self {
        Self { projector: Some(projector), ..Self::default() }
    }
}

/// The encoder with its heads.
#[derive(Clone, Debug)]
pub(crate) struct Net<M> {
    pub(crate) encoder: M,
    pub(crate) heads: Heads,
}
module!(impl<M: Module> Net<M> { encoder, heads });

impl<M: Forward> Net<M> {
    /// Features, one row a sample.
    pub(crate) fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        flat(&self.encoder.forward(x, cx)?)
    }

    /// The projection of features, or what a decoder makes of them.
    pub(crate) fn project(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        self.through(self.heads.projector.as_ref(), &features, cx)
    }

    pub(crate) fn predict(&self, z: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        self.through(self.heads.predictor.as_ref(), z, cx)
    }

    pub(crate) fn decode(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        self.through(self.heads.decoder.as_ref(), &features, cx)
    }

    /// Projections as scores of prototypes, compared as directions.
    pub(crate) fn scores(&self, z: &Tensor) -> Result<Tensor> {
        let Some(prototypes) = &self.heads.prototypes else { return Ok(z.clone()) };
        let w = crate::loss::unit(prototypes.weight.tensor())?.t()?;
        Ok(crate::loss::unit(z)?.matmul(&w)?)
    }

    fn through(&self, head: Option<&Sequential>, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        head.map_or_else(|| Ok(x.clone()), |head| head.forward(x, cx))
    }
}

/// The head of contrastive and non-contrastive methods: `layers` linear layers,
/// with batch normalisation and a rectifier between them; those that are
/// normalised have no bias. Two layers as in SimCLR v1 and BYOL, three as in
/// VICReg and Barlow Twins. For loops of your own; [`Pretrain`](crate::Pretrain)
/// makes its heads itself.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{Ctx, Forward, Tensor};
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let head = tl_ssl::projector(512, 256, 128, 2, &mut rng);
/// let z = head.forward(&Tensor::zeros([4, 512]), &mut Ctx::train(0))?;
/// assert_eq!(z.dims(), [4, 128]);
/// # Ok::<(), tl_nn::Error>(())
/// ```
pub fn projector(
    inputs: usize,
    hidden: usize,
    outputs: usize,
    layers: usize,
    rng: &mut dyn RngCore,
) -> Sequential {
    let mut head = Sequential::new();
    let mut width = inputs;
    for _ in 1..layers {
        head = head
            .push(Linear::without_bias(width, hidden, rng))
            .push(BatchNorm1d::new(hidden))
            .push(Act::Relu);
        width = hidden;
    }
    head.push(Linear::new(width, outputs, rng))
}

/// Two layers with batch normalisation between.
pub(crate) fn mlp(
    inputs: usize,
    hidden: usize,
    outputs: usize,
    rng: &mut dyn RngCore,
) -> Sequential {
    projector(inputs, hidden, outputs, 2, rng)
}

/// A row for each sample.
pub(crate) fn flat(features: &Tensor) -> Result<Tensor> {
    Ok(if features.rank() > 2 { features.flatten(1, -1)? } else { features.clone() })
}
