//! The masked autoencoder, for encoders that work on tokens.

use crate::{
    Error, Health, HidePatches, Pretrained, Result, Training, Views, health, mae_loss, patchify,
    training::training_setters,
};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batch, Dataset};
use tl_nn::{
    Act, Ctx, Forward, Indices, LayerNorm, Linear, Losses, Metrics, Module, ModuleExt, Objective,
    Param, Tensor, TokenEncoder, TransformerEncoderLayer, module,
};

/// The masked autoencoder (He et al. 2022): the encoder sees a quarter of the
/// patches, a small transformer finds the pixels of the others. The loss is the
/// mean squared error of a patch, a mean over the hidden ones.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_models::{Backbone, VisionTransformer, VitConfig};
/// use tl_ssl::{Mae, Same};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let config = VitConfig { image: 8, patch: 2, width: 16, depth: 1, heads: 2, hidden: 32, classes: 10 };
/// let mut vit = VisionTransformer::new(&config, &mut rng)?;
/// let grey = tl_data::samples::digits().without_targets();
/// let colour = grey.features().broadcast_to([grey.len(), 3, 8, 8])?;
/// let run = Mae::new(2).epochs(1).fit(&mut vit, &grey.with_features(&colour)?, &Same)?;
/// assert!(run.health.spread > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mae {
    /// The encoder's patches, and the part that is hidden. Default 0.75.
    pub hide: HidePatches,
    /// Width of the decoder. Default 64; the paper has 512 for its large models.
    pub width: usize,
    /// Layers of the decoder. Default 2; the paper has 8.
    pub depth: usize,
    /// Attention heads of the decoder. Default 4.
    pub heads: usize,
    /// Whether the pixels of a patch are standardised first (unbiased variance,
    /// plus 1e-6). Default no, as in the authors' code; the paper's best results
    /// have it.
    pub standardise: bool,
    /// Passes, batches, rates, the seed, a checkpoint.
    pub training: Training,
}

training_setters!(Mae);

impl Mae {
    /// For an encoder with patches of this side, with the defaults.
    pub fn new(patch: usize) -> Self {
        Self {
            hide: HidePatches { patch, part: 0.75 },
            width: 64,
            depth: 2,
            heads: 4,
            standardise: false,
            training: Training::default(),
        }
    }

    /// Standardises the pixels of a patch first.
    #[must_use]
    pub fn standardise(mut self, yes: bool) -> Self {
        self.standardise = yes;
        self
    }

    /// Trains `encoder` on pictures `[n, c, h, w]`; each is changed by `views`
    /// once before patches are hidden. What [`TokenEncoder::unused`] names, such
    /// as a classifier, is left alone. The decoder is thrown away.
    ///
    /// # Errors
    /// Settings out of range; pictures that patches do not fill; an encoder whose
    /// tokens are not those patches; those of encoder and views. The encoder is
    /// then as it was.
    pub fn fit<'a, M: TokenEncoder>(
        &self,
        encoder: &mut M,
        data: &Dataset,
        views: impl Into<Views<'a>>,
    ) -> Result<Pretrained> {
        let data = data.without_targets();
        let (loader, steps) = self.training.loader(&data)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(self.training.seed);
        let probe = data.features().narrow(0, 0, data.len().min(256))?;
        let mut inner = encoder.clone();
        if let Some(pattern) = inner.unused() {
            inner.freeze(pattern)?;
        }
        let decoder = self.decoder(&inner, &probe.narrow(0, 0, 1)?, rng)?;
        let mut net = Net { encoder: inner, decoder };
        let mut objective = Hidden { settings: self, views: views.into(), probe: &probe };
        let train = self.training.run(&mut net, &loader, steps, &mut objective)?;
        let health = features_health(&net.encoder, &probe)?;
        let was_frozen: Vec<bool> = encoder.params().iter().map(|(_, p)| p.is_frozen()).collect();
        let mut was_frozen = was_frozen.into_iter();
        net.encoder.for_each_param(|_, param| {
            param.set_frozen(was_frozen.next().unwrap_or(false));
            Ok(())
        })?;
        *encoder = net.encoder;
        Ok(Pretrained { train, health })
    }

    fn decoder<M: TokenEncoder>(
        &self,
        encoder: &M,
        one: &Tensor,
        rng: &mut dyn RngCore,
    ) -> Result<Decoder> {
        let patches = patchify(one, self.hide.patch)?;
        let tokens = encoder.tokens(one, &mut Ctx::eval())?;
        let (l, pixels) = (patches.dims()[1], patches.dims()[2]);
        if tokens.rank() != 3 || tokens.dims()[1] != l {
            let got = format!("tokens {:?} for {l} patches", tokens.dims());
            let expected = "a token for each patch; see `HidePatches::patch`";
            return Err(Error::argument("masked autoencoder", "encoder", got, expected));
        }
        self.hide.visible(l)?;
        if self.depth == 0 || !self.width.is_multiple_of(4) || self.width == 0 {
            let got = format!("{} layers of width {}", self.depth, self.width);
            let expected = "one layer or more, and a width that is a multiple of 4";
            return Err(Error::argument("masked autoencoder", "decoder", got, expected));
        }
        let columns = one.dims()[3] / self.hide.patch;
        let layer = |rng: &mut dyn RngCore| -> Result<TransformerEncoderLayer> {
            let layer = TransformerEncoderLayer::new(self.width, self.heads, 4 * self.width, rng)?;
            Ok(layer.norm_first().dropout(0.0).activation(Act::Gelu))
        };
        Ok(Decoder {
            embed: Linear::new(tokens.dims()[2], self.width, rng),
            mask_token: Param::new(Tensor::randn([1, 1, self.width], rng).mul_scalar(0.02)),
            blocks: (0..self.depth).map(|_| layer(rng)).collect::<Result<_>>()?,
            norm: LayerNorm::new(self.width),
            pixels: Linear::new(self.width, pixels, rng),
            positions: positions(l, columns, self.width)?,
        })
    }
}

/// Sines and cosines of row and column, a quarter of the width each (the 2-D
/// form of Vaswani et al. 2017 that MAE uses), `[1, l, width]`.
fn positions(l: usize, columns: usize, width: usize) -> Result<Tensor> {
    let quarter = width / 4;
    let mut all = Vec::with_capacity(l * width);
    for i in 0..l {
        for place in [i % columns, i / columns] {
            let angles =
                (0..quarter).map(|k| place as f64 / 10_000_f64.powf(k as f64 / quarter as f64));
            let angles: Vec<f64> = angles.collect();
            all.extend(angles.iter().map(|a| a.sin() as f32));
            all.extend(angles.iter().map(|a| a.cos() as f32));
        }
    }
    Ok(Tensor::from_vec(all, [1, l, width])?)
}

/// From the encoded visible tokens to the pixels of all patches.
#[derive(Clone, Debug)]
struct Decoder {
    embed: Linear,
    mask_token: Param,
    blocks: Vec<TransformerEncoderLayer>,
    norm: LayerNorm,
    pixels: Linear,
    positions: Tensor,
}
module!(Decoder { embed, mask_token, blocks, norm, pixels; skip positions });

impl Decoder {
    /// `back` puts tokens, visible ones first, into the order of the patches.
    fn decode(&self, visible: &Tensor, back: &Indices, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let seen = self.embed.forward(visible, cx)?;
        let (l, width) = (self.positions.dims()[1], self.positions.dims()[2]);
        let (n, k) = (seen.dims()[0], seen.dims()[1]);
        let hidden = self.mask_token.tensor().broadcast_to([n, l - k, width])?;
        let all = Tensor::cat(&[&seen, &hidden], 1)?.reshape([n * l, width])?;
        let mut x = all.index_select(0, back)?.reshape([n, l, width])?.add(&self.positions)?;
        for block in &self.blocks {
            x = block.forward(&x, cx)?;
        }
        self.pixels.forward(&self.norm.forward(&x, cx)?, cx)
    }
}

#[derive(Clone, Debug)]
struct Net<M> {
    encoder: M,
    decoder: Decoder,
}
module!(impl<M: Module> Net<M> { encoder, decoder });

struct Hidden<'a> {
    settings: &'a Mae,
    views: Views<'a>,
    probe: &'a Tensor,
}

impl<M: TokenEncoder> Objective<Net<M>, Batch> for Hidden<'_> {
    fn loss(&mut self, net: &Net<M>, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let x = self.views.one(&batch.features, cx)?;
        let tokens = net.encoder.tokens(&x, cx)?;
        let &[n, l, d] = tokens.dims() else {
            let got = format!("{:?}", tokens.dims());
            return Err(tl_nn::Error::argument("masked autoencoder", "tokens", got, "[n, l, d]"));
        };
        let visible = self.settings.hide.visible(l)?;
        let order = self.settings.hide.order(n, l, &mut cx.fork_rng())?;
        let mut kept = Vec::with_capacity(n * visible);
        let (mut back, mut mask) = (vec![0; n * l], vec![1.0; n * l]);
        for (i, order) in order.as_slice().chunks(l).enumerate() {
            for (rank, patch) in order.iter().enumerate() {
                let place = i * l + patch;
                back[place] = i * l + rank;
                if rank < visible {
                    kept.push(place);
                    mask[place] = 0.0;
                }
            }
        }
        let rows = tokens.reshape([n * l, d])?;
        let seen = rows.index_select(0, &kept.into())?.reshape([n, visible, d])?;
        let encoded = net.encoder.encode(&seen, cx)?;
        let pixels = net.decoder.decode(&encoded, &back.into(), cx)?;
        let mask = Tensor::from_vec(mask, [n, l])?;
        let Mae { hide, standardise, .. } = self.settings;
        Ok(Losses::new(mae_loss(&pixels, &x, &mask, hide.patch, *standardise)?))
    }

    fn validate(&mut self, net: &Net<M>) -> tl_nn::Result<Option<Metrics>> {
        let now = features_health(&net.encoder, self.probe)?;
        let metrics = [("spread", now.spread), ("rank", now.rank), ("uniformity", now.uniformity)];
        Ok(Some(metrics.map(|(name, value)| (name.to_owned(), value)).into()))
    }
}

/// The health of the mean of all tokens.
fn features_health<M: TokenEncoder>(encoder: &M, x: &Tensor) -> Result<Health> {
    let cx = &mut Ctx::eval();
    let features = encoder.encode(&encoder.tokens(x, cx)?, cx)?.mean(1, false)?;
    health(&features)
}
