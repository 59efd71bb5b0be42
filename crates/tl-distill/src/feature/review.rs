//! Knowledge review: deep layers of the student meet shallow ones of the
//! teacher.

use crate::check::{c, same_shape};
use rand::RngCore;
use tl_nn::{
    BatchNorm, Conv2d, Ctx, Forward, Param,
    init::{self, Fan, Gain},
    loss, module,
};
use tl_tensor::{Conv, Elem, Error, Reduction, Result, Tensor};

/// The hierarchical context loss of "Distilling knowledge via knowledge review"
/// (Chen et al. 2021, section 3.3): the mean squared difference of two maps
/// `[n, c, h, w]` and of the same pooled to 4x4, 2x2 and 1x1, with weights
/// 1, ½, ¼ and ⅛, divided by their sum. Sizes that are not smaller than the
/// map's are left out.
///
/// # Errors
/// The shapes differ or are not those of maps.
pub fn hierarchical_context<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
) -> Result<Tensor<E>> {
    const OP: &str = "hierarchical_context";
    same_shape(OP, student, teacher)?;
    if student.rank() != 4 {
        return Err(Error::shape(OP, student.shape(), "[n, c, h, w]"));
    }
    let teacher = teacher.detach();
    let height = student.dims()[2];
    let mut sum = loss::mse(student, &teacher, Reduction::Mean)?;
    let (mut weight, mut total) = (1.0, 1.0);
    for size in [4, 2, 1] {
        if size >= height {
            continue;
        }
        weight /= 2.0;
        total += weight;
        let pooled = |f: &Tensor<E>| f.adaptive_avg_pool2d([size, size]);
        let part = loss::mse(&pooled(student)?, &pooled(&teacher)?, Reduction::Mean)?;
        sum = sum.add(&part.mul_scalar(c(weight)))?;
    }
    Ok(sum.mul_scalar(c(1.0 / total)))
}

/// Attention-based fusion (Chen et al. 2021, section 3.3, figure 3b): the
/// student's map, through a 1x1 convolution with batch normalisation, is mixed
/// with what came up from deeper layers by two maps of attention (a 1x1
/// convolution and a sigmoid); a 3x3 convolution with batch normalisation makes
/// the teacher's channels of it. The deepest layer has nothing to mix with.
#[derive(Clone, Debug)]
struct Fusion {
    reduce: Conv2d,
    reduce_norm: BatchNorm,
    attention: Option<Conv2d>,
    expand: Conv2d,
    expand_norm: BatchNorm,
}
module!(Fusion { reduce, reduce_norm, attention, expand, expand_norm });

impl Fusion {
    fn new(from: usize, middle: usize, to: usize, fuse: bool, rng: &mut dyn RngCore) -> Self {
        let conv = |from, to, size: usize, rng: &mut dyn RngCore| {
            let mut conv = Conv2d::new(from, to, size, rng).without_bias();
            let shape = *conv.weight.tensor().shape();
            conv.weight = Param::new(init::kaiming_uniform(shape, Gain::Linear, Fan::In, rng));
            conv.options(Conv::new().padding(size / 2))
        };
        Self {
            reduce: conv(from, middle, 1, rng),
            reduce_norm: BatchNorm::new(middle),
            attention: fuse.then(|| Conv2d::new(2 * middle, 2, 1, rng)),
            expand: conv(middle, to, 3, rng),
            expand_norm: BatchNorm::new(to),
        }
    }

    /// For the loss, `[n, to, ..size]`, and for the layer above.
    fn forward(
        &self,
        x: &Tensor,
        deeper: Option<&Tensor>,
        size: [usize; 2],
        cx: &mut Ctx,
    ) -> tl_nn::Result<[Tensor; 2]> {
        let mut x = self.reduce_norm.forward(&self.reduce.forward(x, cx)?, cx)?;
        if let (Some(attention), Some(deeper)) = (&self.attention, deeper) {
            let deeper = resized(deeper, [x.dims()[2], x.dims()[3]])?;
            let both = Tensor::cat(&[&x, &deeper], 1)?;
            let look = attention.forward(&both, cx)?.sigmoid();
            let (own, other) = (look.narrow(1, 0, 1)?, look.narrow(1, 1, 1)?);
            x = x.mul(&own)?.add(&deeper.mul(&other)?)?;
        }
        let x = resized(&x, size)?;
        let y = self.expand_norm.forward(&self.expand.forward(&x, cx)?, cx)?;
        Ok([y, x])
    }
}

fn resized(x: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    if x.dims()[2..] == size { Ok(x.clone()) } else { x.resize_nearest(size) }
}

/// Knowledge review (Chen et al. 2021, eq. 6 and 7): from the deepest layer up,
/// each of the student's maps is fused with those below it, and the result is
/// held to the teacher's map of that depth by [`hierarchical_context`]; the
/// loss is the sum over the layers. The fusions train with the student and are
/// dropped afterwards.
///
/// As in the authors' code: the middle width is that of the student's deepest
/// map, at most 512; maps are resized to the nearest pixel; weights begin
/// uniform in `±√(3 / fan in)`. They take weights 0.6 to 8 with a warm-up over
/// 20 epochs.
#[derive(Clone, Debug)]
pub struct Review {
    /// From shallow to deep.
    fusions: Vec<Fusion>,
}
module!(Review { fusions });

impl Review {
    /// For maps of these numbers of channels, from shallow to deep.
    ///
    /// # Errors
    /// No layer; lists of different lengths; no channels.
    pub fn new(student: &[usize], teacher: &[usize], rng: &mut dyn RngCore) -> Result<Self> {
        let fits = student.len() == teacher.len() && !student.is_empty();
        if !fits || student.iter().chain(teacher).any(|c| *c == 0) {
            let got = format!("{student:?} and {teacher:?}");
            let expected = "the channels of as many layers in both, at least one";
            return Err(Error::argument("review", "channels", got, expected));
        }
        let (last, middle) = (student.len() - 1, student[student.len() - 1].min(512));
        let pairs = student.iter().zip(teacher).enumerate();
        let fusions = pairs.map(|(i, (s, t))| Fusion::new(*s, middle, *t, i < last, rng));
        Ok(Self { fusions: fusions.collect() })
    }

    /// The loss for the maps of all layers, from shallow to deep. The context
    /// decides whether normalisation uses the batch.
    ///
    /// # Errors
    /// Not as many maps; no maps `[n, c, h, w]` of the channels given before.
    pub fn loss(
        &self,
        student: &[&Tensor],
        teacher: &[&Tensor],
        cx: &mut Ctx,
    ) -> tl_nn::Result<Tensor> {
        if student.len() != self.fusions.len() || teacher.len() != self.fusions.len() {
            let got = format!("{} and {}", student.len(), teacher.len());
            let expected = format!("{} of each", self.fusions.len());
            return Err(Error::argument("review", "maps", got, expected).into());
        }
        let mut deeper: Option<Tensor> = None;
        let mut sum = Tensor::scalar(0.0);
        for ((fusion, s), t) in self.fusions.iter().zip(student).zip(teacher).rev() {
            crate::check::maps("review", s, t)?;
            let size = [t.dims()[2], t.dims()[3]];
            let [y, up] = fusion.forward(s, deeper.as_ref(), size, cx)?;
            sum = sum.add(&hierarchical_context(&y, t)?)?;
            deeper = Some(up);
        }
        Ok(sum)
    }
}
