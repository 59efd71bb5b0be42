//! The plain network.

use rand::RngCore;
use tl_nn::{Ctx, Error, Forward, Linear, Result, Tensor, Within, module};

/// Affine layers with ReLU between them, for features `[n, ..]` (flattened).
/// Its taps are `layers.0` .. and `features`, what the last hidden layer
/// gives; its head is `head`.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_models::Mlp;
/// use tl_nn::{Ctx, Forward, Tensor};
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let net = Mlp::new(&[64, 32, 10], &mut rng)?;
/// assert_eq!(net.forward(&Tensor::zeros([5, 1, 8, 8]), &mut Ctx::eval())?.dims(), [5, 10]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mlp {
    /// The hidden layers.
    pub layers: Vec<Linear>,
    /// The last layer.
    pub head: Linear,
}
module!(Mlp { layers, head });

impl Mlp {
    /// A network of these sizes: inputs, hidden units of each layer, outputs.
    ///
    /// # Errors
    /// Fewer than two sizes, or one that is 0.
    pub fn new(sizes: &[usize], rng: &mut dyn RngCore) -> Result<Self> {
        let [hidden @ .., last, outputs] = sizes else {
            return Err(Error::argument(
                "Mlp",
                "sizes",
                format!("{sizes:?}"),
                "inputs and outputs at least",
            ));
        };
        if sizes.contains(&0) {
            return Err(Error::argument("Mlp", "sizes", format!("{sizes:?}"), "numbers above 0"));
        }
        let all = &sizes[..=hidden.len()];
        let layers = all.windows(2).map(|w| Linear::new(w[0], w[1], rng)).collect();
        Ok(Self { layers, head: Linear::new(*last, *outputs, rng) })
    }

    /// What the head gets, `[n, feature_size]`.
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let mut x = if x.rank() > 2 { x.flatten(1, -1)? } else { x.clone() };
        for (i, layer) in self.layers.iter().enumerate() {
            x = cx.within(&format!("layers.{i}"), |cx| layer.forward(&x, cx))?.relu();
        }
        cx.tap("features", &x);
        Ok(x)
    }

    /// The size of the embedding.
    pub fn feature_size(&self) -> usize {
        self.head.weight.dims()[1]
    }
}

impl Forward for Mlp {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        self.head.forward(&features, cx).within("head")
    }
}
