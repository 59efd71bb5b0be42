//! A whole network in 8-bit integers.

use super::{
    fold::fold_batch_norm,
    kernel::Weights,
    level::{Epilogue, Range, level, scale_of, to_bytes},
    plan::{self, Part},
    stage::{self, Affine, Sample},
};
use crate::{Error, Result};
use std::sync::Arc;
use tl_nn::{Ctx, Forward, Module, Sequential, Tensor, Visit, VisitMut};

#[derive(Debug)]
enum Stage {
    Affine(Affine),
    /// Bytes from this level to that one.
    Clip([u8; 2]),
    MaxPool([[usize; 2]; 3], Sample, Sample),
    Mean(Sample),
}

/// A network for inference in 8-bit integers from the first layer to the last:
/// activations stay bytes in between, with their channels last. A quarter of
/// the memory, and, on x86-64 with AVX-512 VNNI, several times as fast as
/// `f32`; with AVX2, and elsewhere from portable loops, the same numbers.
///
/// It is made of a [`Sequential`] of [`Linear`](tl_nn::Linear),
/// [`Conv2d`](tl_nn::Conv2d) (one group), batch normalisation after either
/// (which is folded in), ReLU, ReLU6, [`MaxPool2d`](tl_nn::MaxPool2d), the mean
/// over all places, [`Flatten`](tl_nn::Flatten) and dropout, and of nested ones.
/// Weights are symmetric with a scale for each output; the ranges of
/// activations come from inputs that are typical (post-training quantisation)
/// or from [`QatNetwork`](super::QatNetwork).
///
/// It has no parameters: it does not train, and a state dict does not hold it.
///
/// ```
/// use tl_distill::Int8Network;
/// use tl_nn::{Act, Conv2d, Ctx, Flatten, Forward, Linear, Sequential, Tensor};
/// # use rand::SeedableRng;
/// # fn main() -> tl_distill::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let net = Sequential::new()
///     .push(Conv2d::new(1, 8, 3, &mut rng))
///     .push(Act::Relu)
///     .push(Flatten)
///     .push(Linear::new(8 * 36, 10, &mut rng));
/// let typical = Tensor::uniform([64, 1, 8, 8], 0.0, 1.0, &mut rng);
/// let small = Int8Network::new(&net, &typical)?;
/// let cx = &mut Ctx::eval();
/// let off = small.forward(&typical, cx)?.sub(&net.forward(&typical, cx)?)?.abs();
/// assert!(off.max(.., false)?.item()? < 0.02);
/// assert!(small.bytes() * 3 < 4 * (8 * 9 + 8 + 8 * 36 * 10 + 10));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Int8Network {
    stages: Arc<[Stage]>,
    input: Range,
    from: Sample,
    rank: usize,
}

impl Int8Network {
    /// Quantises a trained network; the ranges of its activations are those of
    /// `typical` inputs, `[n, ..]`, of which some hundred training samples are
    /// enough.
    ///
    /// # Errors
    /// A layer of another kind, by name; inputs that are not finite; weights
    /// that are not.
    pub fn new(model: &Sequential, typical: &Tensor) -> Result<Self> {
        Self::with_outliers(model, typical, 0.0)
    }

    /// As [`new`](Self::new), with this part of the largest and of the smallest
    /// numbers left out of each range, such as 0.001.
    ///
    /// # Errors
    /// As [`new`](Self::new); a part that is not from 0 to below ½.
    pub fn with_outliers(model: &Sequential, typical: &Tensor, outliers: f64) -> Result<Self> {
        let model = fold_batch_norm(model)?;
        let points = plan::points(&plan::parts(&model)?);
        let results = plan::results(&model, typical, &points)?;
        let ranges = results.iter().map(|x| Range::of(x, outliers)).collect::<Result<Vec<_>>>()?;
        Self::with_ranges(&model, &typical.dims()[1..], Range::of(typical, 0.0)?, &ranges)
    }

    /// With the ranges of the inputs and of the result of each affine layer but
    /// the last, after its ReLU.
    pub(super) fn with_ranges(
        model: &Sequential,
        sample: &[usize],
        input: Range,
        ranges: &[Range],
    ) -> Result<Self> {
        let from = match *sample {
            [d] => [1, 1, d],
            [c, h, w] => [h, w, c],
            _ => {
                let got = format!("{sample:?}");
                return Err(Error::argument("int8", "sample", got, "[d] or [c, h, w]"));
            }
        };
        let parts = plan::parts(model)?;
        let mut build = Build { at: from, range: input, flat: None, stages: Vec::new() };
        let mut ranges = ranges.iter();
        for (i, (name, part)) in parts.iter().enumerate() {
            let relu = match parts.get(i + 1) {
                Some((_, Part::Relu(most))) => Some(*most),
                _ => None,
            };
            match part {
                Part::Affine { .. } => build.affine(name, part, ranges.next().copied(), relu)?,
                // Right after an affine layer it is a part of that layer.
                Part::Relu(_) if i > 0 && matches!(parts[i - 1].1, Part::Affine { .. }) => {}
                Part::Relu(most) => build.relu(*most),
                Part::MaxPool(windows) => build.max_pool(name, *windows)?,
                Part::GlobalMean => build.mean(),
                Part::Flatten => build.flat = Some(build.at),
            }
        }
        if !matches!(parts.last(), Some((_, Part::Affine { .. }))) {
            let got = "a function or pooling after the last affine layer";
            return Err(Error::argument("int8", "model", got, "outputs of an affine layer"));
        }
        Ok(Self { stages: build.stages.into(), input, from, rank: sample.len() })
    }

    /// The bytes of weights, scales and biases.
    pub fn bytes(&self) -> usize {
        self.affine().map(Affine::size).sum()
    }

    /// Multiply-adds for one sample.
    pub fn macs(&self) -> u64 {
        self.affine().map(Affine::macs).sum()
    }

    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        self.affine().map(|a| (a.weights.inputs() + 1) * a.weights.outputs()).sum()
    }

    fn affine(&self) -> impl Iterator<Item = &Affine> {
        self.stages.iter().filter_map(|s| if let Stage::Affine(a) = s { Some(a) } else { None })
    }

    /// The bytes of inputs, channels last.
    fn input(&self, x: &Tensor) -> Vec<u8> {
        let [h, w, c] = self.from;
        let numbers = x.to_vec();
        let mut bytes = vec![0; numbers.len()];
        to_bytes(
            &numbers,
            1.0 / self.input.scale(),
            [f32::from(self.input.zero()), 0.0],
            &mut bytes,
        );
        if c == 1 || h * w == 1 {
            return bytes;
        }
        let mut out = vec![0; bytes.len()];
        for (from, to) in bytes.chunks(h * w * c).zip(out.chunks_mut(h * w * c)) {
            for (channel, plane) in from.chunks(h * w).enumerate() {
                for (place, byte) in plane.iter().enumerate() {
                    to[place * c + channel] = *byte;
                }
            }
        }
        out
    }
}

/// A network under construction: the shape and range of what comes out so far.
struct Build {
    at: Sample,
    range: Range,
    /// The shape of images that were flattened, until a `Linear` layer has put
    /// its columns in order.
    flat: Option<Sample>,
    stages: Vec<Stage>,
}

impl Build {
    fn affine(
        &mut self,
        name: &str,
        part: &Part,
        range: Option<Range>,
        relu: Option<f32>,
    ) -> Result<()> {
        let Part::Affine { weight, bias, conv } = part else { return Ok(()) };
        let wrong = |got: String, expected: String| {
            Err(Error::argument("int8", "layer", format!("`{name}`, {got}"), expected))
        };
        if !weight.is_finite() || weight.numel() == 0 {
            return wrong("with weights that are not finite".into(), "finite numbers".into());
        }
        let [h, w, c] = self.at;
        let (kernel, windows) = match (conv, weight.dims()) {
            (Some(conv), &[_, i, kh, kw]) if i == c => ([kh, kw], conv.parts().0),
            (None, &[_, i]) if i == h * w * c => ([1, 1], [[1, 1], [0, 0], [1, 1]]),
            (_, dims) => {
                return wrong(format!("a weight {dims:?}"), format!("one for {:?}", self.at));
            }
        };
        // Channels last, as the images are.
        let rows = match (conv, self.flat.take()) {
            (Some(_), _) => weight.permute(&[0, 2, 3, 1])?,
            (None, Some([h, w, c])) => {
                weight.reshape([weight.dims()[0], c, h, w])?.permute(&[0, 2, 3, 1])?
            }
            (None, None) => weight.as_ref().clone(),
        };
        let from = if conv.is_some() { self.at } else { [1, 1, h * w * c] };
        let outputs = weight.dims()[0];
        let inputs = weight.numel() / outputs;
        if inputs > 1 << 16 {
            return wrong(format!("{inputs} inputs"), "at most 65536".into());
        }
        let [stride, padding, dilation] = windows;
        let size = |a: usize| {
            let reach = dilation[a] * (kernel[a].max(1) - 1) + 1;
            (from[a] + 2 * padding[a]).checked_sub(reach).map(|room| room / stride[a].max(1) + 1)
        };
        let (Some(oh), Some(ow)) = (size(0), size(1)) else {
            return wrong(format!("a kernel {kernel:?}"), format!("one that fits {from:?}"));
        };
        let numbers = rows.contiguous().to_vec();
        let scales: Vec<f32> = numbers.chunks(inputs).map(scale_of).collect();
        let rows = numbers.chunks(inputs).zip(&scales);
        let levels: Vec<i8> =
            rows.flat_map(|(row, s)| row.iter().map(move |w| level(*w, 1.0 / s))).collect();
        let places = stage::Places::new(from, kernel, windows, [oh, ow]);
        let weights = Weights::new(&levels, inputs, places.runs());
        let to = [oh, ow, outputs];
        let bias = bias.as_ref().map_or_else(|| vec![0.0; outputs], |b| b.to_vec());
        let epilogue = self.epilogue(&weights, &scales, bias, range, relu);
        let zero = self.range.zero();
        self.stages.push(Stage::Affine(Affine {
            weights,
            epilogue,
            places,
            zero,
            to,
            linear: conv.is_none(),
        }));
        (self.at, self.range) = (to, range.unwrap_or(self.range));
        Ok(())
    }

    /// To the bytes of `range`, or to numbers if there is none.
    fn epilogue(
        &self,
        weights: &Weights,
        scales: &[f32],
        bias: Vec<f32>,
        range: Option<Range>,
        relu: Option<f32>,
    ) -> Epilogue {
        let zero = i32::from(self.range.zero());
        let shift = weights.row_sums().iter().map(|s| s * zero);
        let (unit, add) = range.map_or((1.0, 0.0), |r| (1.0 / r.scale(), f32::from(r.zero())));
        let scale = scales.iter().map(|s| s * self.range.scale() * unit);
        let bias = bias.into_iter().map(|b| b * unit + add);
        let clip = match (range, relu) {
            (Some(range), Some(most)) => clip_of(range, most).map(f32::from),
            _ => [0.0, 255.0],
        };
        Epilogue::new(shift.zip(scale).zip(bias).map(|((s, k), b)| (s, k, b)), clip)
    }

    fn relu(&mut self, most: f32) {
        self.stages.push(Stage::Clip(clip_of(self.range, most)));
    }

    fn max_pool(&mut self, name: &str, windows: [[usize; 2]; 3]) -> Result<()> {
        let [h, w, c] = self.at;
        let [kernel, stride, padding] = windows;
        let size = |a: usize, size: usize| {
            (size + 2 * padding[a]).checked_sub(kernel[a]).map(|r| r / stride[a].max(1) + 1)
        };
        let (Some(oh), Some(ow)) = (size(0, h), size(1, w)) else {
            let got = format!("`{name}`, windows {kernel:?}");
            return Err(Error::argument(
                "int8",
                "layer",
                got,
                format!("some that fit {:?}", self.at),
            ));
        };
        let to = [oh, ow, c];
        self.stages.push(Stage::MaxPool(windows, self.at, to));
        self.at = to;
        Ok(())
    }

    fn mean(&mut self) {
        self.stages.push(Stage::Mean(self.at));
        self.at = [1, 1, self.at[2]];
    }
}

/// The levels of 0 and of the largest number of a ReLU.
fn clip_of(range: Range, most: f32) -> [u8; 2] {
    let zero = range.zero();
    let top = (most / range.scale()).round_ties_even() + f32::from(zero);
    [zero, top.min(255.0) as u8]
}

impl Module for Int8Network {
    fn visit<'a>(&'a self, _: &mut dyn Visit<'a>) {}
    fn visit_mut(&mut self, _: &mut dyn VisitMut) {}
}

impl Forward for Int8Network {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> tl_nn::Result<Tensor> {
        let [h, w, c] = self.from;
        let sample: &[usize] = if self.rank == 1 { &[c] } else { &[c, h, w] };
        if x.rank() == 0 || x.dims()[1..] != *sample {
            let expected = format!("[n, ..{sample:?}]");
            return Err(tl_tensor::Error::shape("int8", x.shape(), expected).into());
        }
        if x.is_tracked() {
            let expected = "a constant: integers have no gradient; train a `QatNetwork`";
            return Err(tl_nn::Error::argument("int8", "input", "tracked", expected));
        }
        super::check_finite(x)?;
        let n = x.dims()[0];
        let mut bytes = self.input(x);
        let last = self.stages.len() - 1;
        for (i, stage) in self.stages.iter().enumerate() {
            bytes = match stage {
                Stage::Affine(affine) if i == last => {
                    let [h, w, c] = affine.to;
                    let y = Tensor::from_vec(affine.numbers(&bytes, n), [n, h, w, c])?;
                    let y = y.permute(&[0, 3, 1, 2])?.contiguous();
                    return Ok(if affine.linear { y.reshape([n, c])? } else { y });
                }
                Stage::Affine(affine) => affine.bytes(&bytes, n),
                Stage::Clip([low, high]) => {
                    bytes.iter_mut().for_each(|b| *b = (*b).clamp(*low, *high));
                    bytes
                }
                Stage::MaxPool(windows, from, to) => stage::max_pool(&bytes, *windows, *from, *to),
                Stage::Mean(from) => stage::mean(&bytes, *from),
            };
        }
        Err(tl_nn::Error::argument("int8", "network", "empty", "an affine layer at the end"))
    }
}
