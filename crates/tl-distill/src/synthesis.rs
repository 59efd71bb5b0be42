//! Transfer sets without any data.

use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::Dataset;
use tl_nn::{
    Adam, CrossEntropy, Ctx, Forward, Indices, ModuleExt, Optimizer, Param, Shape, Tensor, Trainer,
    module,
};

/// Inputs that a teacher takes for members of its classes, made from noise by
/// gradient steps: a transfer set where the training data may not leave the
/// house (DeepInversion, Yin et al. 2020, eq. 2 to 4).
///
/// The loss is cross entropy with a class that is chosen for each sample, plus
/// `statistics · Σ_layers mean_c [m_c² + (v_c - 1)²]`, plus `smoothness · mean
/// (difference of neighbouring pixels)²`, plus `energy · mean x²`. `m` and `v`
/// are mean and variance over the batch of what each batch normalisation puts
/// out, before its scale and shift: 0 and 1 on the data that it was trained
/// with. (The paper has the distance of means and variances before
/// normalisation; here every layer counts alike.) A teacher without batch
/// normalisation says much less about its data.
///
/// Numbers stay inside of `range` by a sigmoid.
///
/// ```
/// use tl_distill::Synthesis;
/// use tl_nn::{Act, BatchNorm, Conv2d, Flatten, Linear, Sequential};
/// # use rand::SeedableRng;
/// # fn main() -> tl_distill::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let teacher = Sequential::new()
///     .push(Conv2d::new(1, 4, 3, &mut rng))
///     .push(BatchNorm::new(4))
///     .push(Act::Relu)
///     .push(Flatten)
///     .push(Linear::new(4 * 36, 10, &mut rng));
/// let transfer = Synthesis::new(20).steps(5).run(&teacher, &[1, 8, 8], 10)?;
/// assert_eq!((transfer.len(), transfer.sample_shape()), (20, [1, 8, 8].as_slice()));
/// // And then: Distill::kd(4.0).hard(0.0).fit(&teacher, &mut student, &transfer)
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthesis {
    /// How many samples.
    pub samples: usize,
    /// Samples that are made together, whose statistics count. Default 250.
    pub batch: usize,
    /// Gradient steps for each batch. Default 200.
    pub steps: usize,
    /// Adam's learning rate. Default 0.1.
    pub lr: f32,
    /// The weight of the statistics. Default 1.
    pub statistics: f64,
    /// The weight of the smoothness of images. Default 0.1.
    pub smoothness: f64,
    /// The weight of the energy. Default 0.
    pub energy: f64,
    /// The smallest and the largest number. Default 0 and 1.
    pub range: [f32; 2],
    /// Of the noise.
    pub seed: u64,
}

/// The inputs as a model, to be trained.
#[derive(Clone, Debug)]
struct Inputs {
    x: Param,
}
module!(Inputs { x });

impl Synthesis {
    /// With the defaults.
    pub fn new(samples: usize) -> Self {
        Self {
            samples,
            batch: 250,
            steps: 200,
            lr: 0.1,
            statistics: 1.0,
            smoothness: 0.1,
            energy: 0.0,
            range: [0.0, 1.0],
            seed: 0,
        }
    }

    /// Gradient steps for each batch.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// The smallest and the largest number.
    #[must_use]
    pub fn range(mut self, low: f32, high: f32) -> Self {
        self.range = [low, high];
        self
    }

    /// The seed of the noise.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the samples, with the classes that they were made for.
    ///
    /// # Errors
    /// Settings that make no sense; those of the teacher.
    pub fn run(&self, teacher: &impl Forward, sample: &[usize], classes: usize) -> Result<Dataset> {
        const WHAT: &str = "synthesis";
        for (name, number) in
            [("samples", self.samples), ("batch", self.batch), ("steps", self.steps)]
        {
            if number == 0 {
                return Err(Error::argument(WHAT, name, number, "at least 1"));
            }
        }
        let [low, high] = self.range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            let got = format!("{low} to {high}");
            return Err(Error::argument(WHAT, "range", got, "two finite numbers in order"));
        }
        for (name, weight) in [
            ("statistics", self.statistics),
            ("smoothness", self.smoothness),
            ("energy", self.energy),
        ] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::argument(WHAT, name, weight, "a finite number from 0 on"));
            }
        }
        if classes < 2 {
            return Err(Error::argument(WHAT, "classes", classes, "at least 2"));
        }
        let teacher = teacher.frozen();
        let norms = norms(&teacher);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let (mut parts, mut labels) = (Vec::new(), Vec::new());
        while labels.len() < self.samples {
            let size = self.batch.min(self.samples - labels.len());
            let own: Vec<usize> = (0..size).map(|i| (labels.len() + i) % classes).collect();
            let dims = Shape::new(&[&[size], sample].concat())?;
            let mut inputs = Inputs { x: Param::new(Tensor::randn(dims, &mut rng)) };
            let optimizer = Optimizer::new(Adam::new(self.lr));
            let target = Indices::from(own.as_slice());
            Trainer::new(optimizer, 1).seed(self.seed).fit(
                &mut inputs,
                |_| (0..self.steps).map(Ok::<_, tl_nn::Error>),
                |model: &Inputs, _, _| Ok(self.loss(&teacher, &norms, model, &target)?),
            )?;
            parts.push(self.bounded(inputs.x.tensor()).detach());
            labels.extend(own);
        }
        let all = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?;
        Ok(Dataset::classification(all, labels, (0..classes).map(|c| c.to_string()))?)
    }

    fn bounded(&self, raw: &Tensor) -> Tensor {
        let [low, high] = self.range;
        raw.sigmoid().affine(high - low, low)
    }

    fn loss(
        &self,
        teacher: &impl Forward,
        norms: &[Norm],
        inputs: &Inputs,
        target: &Indices,
    ) -> Result<Tensor> {
        let x = self.bounded(inputs.x.tensor());
        let mut cx = Ctx::eval();
        for norm in norms {
            cx = cx.capture(&norm.path)?;
        }
        let logits = teacher.forward(&x, &mut cx)?;
        let mut loss = CrossEntropy::new().loss(&logits, target)?;
        for norm in norms {
            if let Some(y) = cx.tapped(&norm.path) {
                loss = loss.add(&norm.distance(y)?.mul_scalar(self.statistics as f32))?;
            }
        }
        if x.rank() == 4 && self.smoothness > 0.0 {
            for axis in [2, 3] {
                let n = x.dims()[axis];
                if n < 2 {
                    continue;
                }
                let axis = axis as isize;
                let step = x.narrow(axis, 1, n - 1)?.sub(&x.narrow(axis, 0, n - 1)?)?;
                loss = loss.add(&step.square().mean_all().mul_scalar(self.smoothness as f32))?;
            }
        }
        if self.energy > 0.0 {
            loss = loss.add(&x.square().mean_all().mul_scalar(self.energy as f32))?;
        }
        Ok(loss)
    }
}

/// A batch normalisation of the teacher: the name of its result, its scale and
/// its shift.
struct Norm {
    path: String,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

fn norms(teacher: &impl Forward) -> Vec<Norm> {
    let params = teacher.params();
    let find = |path: String, default: f32, n: usize| {
        let own = params.iter().find(|(p, _)| *p == path).map(|(_, p)| p.tensor().to_vec());
        own.unwrap_or_else(|| vec![default; n])
    };
    let buffers = teacher.buffers().into_iter();
    buffers
        .filter_map(|(path, b)| {
            let path = path.strip_suffix(".running_mean")?.to_owned();
            let n = b.tensor().numel();
            let scale = find(format!("{path}.weight"), 1.0, n);
            let shift = find(format!("{path}.bias"), 0.0, n);
            Some(Norm { path, scale, shift })
        })
        .collect()
}

impl Norm {
    /// How far mean and variance of each channel are from 0 and 1.
    fn distance(&self, y: &Tensor) -> Result<Tensor> {
        let n = self.scale.len();
        let axes: Vec<isize> = (0..y.rank() as isize).filter(|a| *a != 1).collect();
        let mean = y.mean(axes.as_slice(), false)?;
        let variance = y.var(axes.as_slice(), false, false)?;
        // Channels that are switched off say nothing.
        let unit: Vec<f32> =
            self.scale.iter().map(|s| if s.abs() > 1e-3 { 1.0 / s } else { 0.0 }).collect();
        let on = unit.iter().map(|u| f32::from(u8::from(*u != 0.0))).collect();
        let (unit, on) = (Tensor::from_vec(unit, [n])?, Tensor::from_vec(on, [n])?);
        let shift = Tensor::from_slice(&self.shift, [n])?;
        let m = mean.sub(&shift)?.mul(&unit)?;
        let v = variance.mul(&unit.square())?.sub(&on)?;
        Ok(m.square().add(&v.square())?.mean_all())
    }
}
