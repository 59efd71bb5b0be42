//! Training with the rounding of integers.

use super::{
    fold::fold_batch_norm,
    level::{Range, scale_of},
    network::Int8Network,
    plan,
};
use crate::Result;
use tl_nn::{Ctx, Forward, Module, ModuleExt, Sequential, Tensor, Visit, VisitMut};

/// A network in `f32` that computes with what 8-bit integers leave of weights
/// and activations (Jacob et al. 2018, section 3): a fine-tuning with it, such
/// as [`Distill::fit`](crate::Distill::fit), moves the weights to where rounding
/// does little harm. Gradients pass the rounding as if it were not there
/// (straight-through). [`finish`](Self::finish) gives the network of integers,
/// which computes the same.
///
/// Batch normalisation is folded before; ranges of activations stay those of
/// the calibration. Its parameters have the paths of the network's own.
///
/// ```
/// use tl_distill::{Distill, QatNetwork};
/// use tl_nn::{Act, Flatten, Linear, Sequential};
/// # use rand::SeedableRng;
/// # fn main() -> tl_distill::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let data = tl_data::samples::digits();
/// let net = Sequential::new().push(Flatten).push(Linear::new(64, 16, &mut rng));
/// let net = net.push(Act::Relu).push(Linear::new(16, 10, &mut rng));
/// let mut trained = QatNetwork::new(&net, data.features())?;
/// let recipe = Distill::kd(1.0).budget(2, 64).without_teacher();
/// recipe.fit(&net, &mut trained, &data)?;
/// let small = trained.finish()?;
/// assert_eq!(small.bytes(), 64 * 16 + 16 * 10 + 8 * 26);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct QatNetwork {
    net: Sequential,
    sample: Vec<usize>,
    input: Range,
    /// Layers whose results become bytes.
    points: Vec<(String, Range)>,
}

impl QatNetwork {
    /// Of a trained network, with ranges from typical inputs `[n, ..]`. The
    /// layers are those of [`Int8Network`], not nested.
    ///
    /// # Errors
    /// As [`Int8Network::new`].
    pub fn new(model: &Sequential, typical: &Tensor) -> Result<Self> {
        let net = flat(fold_batch_norm(model)?)?;
        let points = plan::points(&plan::parts(&net)?);
        let results = plan::results(&net, typical, &points)?;
        let ranges = results.iter().map(|x| Range::of(x, 0.0)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            net,
            sample: typical.dims()[1..].to_vec(),
            input: Range::of(typical, 0.0)?,
            points: points.into_iter().zip(ranges).collect(),
        })
    }

    /// The network in integers.
    ///
    /// # Errors
    /// Weights that are not finite.
    pub fn finish(&self) -> Result<Int8Network> {
        let ranges: Vec<Range> = self.points.iter().map(|(_, r)| *r).collect();
        Int8Network::with_ranges(&self.net, &self.sample, self.input, &ranges)
    }

    /// The network in `f32`, with its weights as they are.
    pub fn network(&self) -> &Sequential {
        &self.net
    }
}

/// Refuses nested networks, whose layers cannot be run one by one.
fn flat(net: Sequential) -> Result<Sequential> {
    let nested = net.layers().find(|(_, l)| l.as_any().is::<Sequential>());
    match nested.map(|(name, _)| name.to_owned()) {
        Some(name) => {
            let expected = "layers in a row, not nested";
            Err(crate::Error::argument("qat", "layer", format!("`{name}`, nested"), expected))
        }
        None => Ok(net),
    }
}

impl Module for QatNetwork {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.net.visit(v);
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        self.net.visit_mut(v);
    }
}

impl Forward for QatNetwork {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        // Frozen weights too are those of integers.
        let mut rounded = self.net.map_params(|_, w| rounded(w))?;
        let mut originals = self.net.params().into_iter();
        rounded.for_each_param(|_, p| {
            if let Some((_, own)) = originals.next().filter(|(_, own)| own.is_frozen()) {
                p.replace(self::rounded(&own.tensor().detach())?);
            }
            Ok(())
        })?;
        let mut x = self.input.fake(x)?;
        for (name, layer) in rounded.layers() {
            x = cx.within(name, |cx| layer.run(&x, cx))?;
            if let Some((_, range)) = self.points.iter().find(|(point, _)| point == name) {
                x = range.fake(&x)?;
            }
        }
        Ok(x)
    }
}

/// A weight of at least two axes as 8-bit integers have it, a scale for each
/// row, with the gradient of the weight itself.
fn rounded(w: &Tensor) -> tl_nn::Result<Tensor> {
    let Some(rows) = w.dims().first().filter(|_| w.rank() >= 2) else { return Ok(w.clone()) };
    let mut levels = w.detach().to_vec();
    for row in levels.chunks_mut((w.numel() / rows.max(&1)).max(1)) {
        let scale = scale_of(row);
        row.iter_mut().for_each(|x| *x = (*x / scale).round_ties_even() * scale);
    }
    let levels = Tensor::from_vec(levels, *w.shape())?;
    Ok(w.add(&levels.sub(&w.detach())?)?)
}
