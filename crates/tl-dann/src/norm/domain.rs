//! Normalisation layers with a state for each domain.

use tl_nn::{BatchNorm, Ctx, Forward, Module, Tensor, module};

/// Domain-specific batch normalisation (Chang et al. 2019): statistics, scale
/// and shift of its own for every domain, chosen by
/// [`Ctx::domain`](tl_nn::Ctx::domain). Convolutions around it are shared.
#[derive(Clone, Debug)]
pub struct DomainBatchNorm {
    /// One layer for each domain.
    pub domains: Vec<BatchNorm>,
}
module!(DomainBatchNorm { domains });

impl DomainBatchNorm {
    /// For this many channels and domains.
    pub fn new(channels: usize, domains: usize) -> Self {
        Self { domains: (0..domains).map(|_| BatchNorm::new(channels)).collect() }
    }

    /// Every domain begins as a copy of a trained layer.
    pub fn from_trained(layer: &BatchNorm, domains: usize) -> Self {
        Self { domains: (0..domains).map(|_| layer.clone()).collect() }
    }
}

impl Forward for DomainBatchNorm {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let of = cx.domain();
        let Some(layer) = self.domains.get(of) else {
            let expected = format!("below {}, the domains of this layer", self.domains.len());
            return Err(tl_nn::Error::argument("DomainBatchNorm", "domain", of, expected));
        };
        layer.forward(x, cx)
    }
}

/// A model whose every pass is in one domain: for predicting with
/// [`DomainBatchNorm`] layers where nobody sets [`Ctx::set_domain`].
/// ```
/// use tl_dann::{DomainBatchNorm, InDomain};
/// use tl_nn::{Ctx, Forward, Tensor};
/// # fn main() -> tl_nn::Result<()> {
/// let model = DomainBatchNorm::new(3, 2);
/// let on_target = InDomain { model, domain: 1 };
/// let y = on_target.forward(&Tensor::ones([4, 3]), &mut Ctx::eval())?;
/// # assert_eq!(y.dims(), [4, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct InDomain<M> {
    /// The model.
    pub model: M,
    /// The domain of all samples: sources are 0, 1, .., the target is next.
    pub domain: usize,
}
module!(impl<M: Module> InDomain<M> { model; skip domain });

impl<M: Forward> Forward for InDomain<M> {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let before = cx.domain();
        cx.set_domain(self.domain);
        let y = self.model.forward(x, cx);
        cx.set_domain(before);
        y
    }
}
