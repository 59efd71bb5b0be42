//! An affine layer that computes with 8-bit integers.

use super::{
    kernel::{Rows, Weights},
    level::{Epilogue, level, scale_of, to_bytes},
};
use crate::{Error, Result};
use std::sync::Arc;
use tl_nn::{Ctx, Forward, Linear, Module, ModuleExt, Param, Sequential, Tensor, Visit, VisitMut};

/// A [`Linear`] layer for inference in 8-bit integers: a quarter of the memory.
///
/// Weights: symmetric, a scale for each output, `q = round(w / s)`,
/// `s = max |w| / 127`. Inputs: symmetric too, with a scale for each row that is
/// found when it comes (dynamic quantisation), or one scale for all from a
/// calibration, beyond which inputs saturate. Sums are exact in 32 bits. On
/// x86-64 with AVX-512 VNNI 64 products take one instruction; AVX2 and, elsewhere,
/// a portable loop give the same bits. It pays for layers of some hundred
/// outputs; with a few dozen, turning the inputs into bytes costs more than the
/// products save.
///
/// It has no parameters: it does not train, and a state dict does not hold it.
/// ```
/// use tl_distill::Int8Linear;
/// use tl_nn::{Ctx, Forward, Linear, Tensor};
/// # use rand::SeedableRng;
/// # fn main() -> tl_distill::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let exact = Linear::new(256, 10, &mut rng);
/// let small = Int8Linear::new(&exact)?;
/// let x = Tensor::randn([4, 256], &mut rng);
/// let cx = &mut Ctx::eval();
/// let off = small.forward(&x, cx)?.sub(&exact.forward(&x, cx)?)?.abs();
/// assert!(off.max([0, 1], false)?.item()? < 0.05);
/// assert!(small.bytes() * 3 < 4 * (256 * 10 + 10));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Int8Linear {
    weights: Arc<Weights>,
    epilogue: Arc<Epilogue>,
    biased: bool,
    /// The scale of all inputs, or `None` for one for each row.
    input: Option<f32>,
}

impl Int8Linear {
    /// From a trained layer, with a scale for each row of inputs.
    ///
    /// # Errors
    /// A weight that is not finite, or no weights.
    pub fn new(layer: &Linear) -> Result<Self> {
        Self::from_weights(layer.weight.tensor(), layer.bias.as_ref().map(Param::tensor))
    }

    /// From a weight `[out, in]` and a bias `[out]`.
    ///
    /// # Errors
    /// Other shapes; numbers that are not finite; more than 65,536 inputs, whose
    /// sum might not fit into 32 bits.
    pub fn from_weights(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let wrong =
            |got: String, expected: &str| Err(Error::argument("int8", "weight", got, expected));
        let [outputs, inputs] = *weight.dims() else {
            return wrong(format!("{:?}", weight.dims()), "[out, in]");
        };
        if outputs == 0 || inputs == 0 || inputs > 1 << 16 {
            return wrong(format!("[{outputs}, {inputs}]"), "[out, in], in at most 65536");
        }
        if bias.is_some_and(|b| b.dims() != [outputs]) {
            return wrong(format!("[{outputs}, {inputs}]"), "as many outputs as the bias");
        }
        if !weight.is_finite() {
            return wrong("not finite".to_owned(), "finite numbers");
        }
        let numbers = weight.to_vec();
        let mut scales = Vec::with_capacity(outputs);
        let mut quantised = Vec::with_capacity(numbers.len());
        for row in numbers.chunks(inputs) {
            let scale = scale_of(row);
            quantised.extend(row.iter().map(|w| level(*w, 1.0 / scale)));
            scales.push(scale);
        }
        let weights = Weights::new(&quantised, inputs, 1);
        let added = bias.map_or_else(|| vec![0.0; outputs], Tensor::to_vec);
        // Inputs of 0 are 128.
        let shift = weights.row_sums().iter().map(|sum| 128 * sum);
        let each = shift.zip(scales).zip(added).map(|((shift, scale), b)| (shift, scale, b));
        let epilogue = Epilogue::new(each, [0.0, 255.0]);
        Ok(Self {
            weights: Arc::new(weights),
            epilogue: Arc::new(epilogue),
            biased: bias.is_some(),
            input: None,
        })
    }

    /// With one scale for all inputs, from some that are typical, `[.., in]`:
    /// their largest magnitude.
    ///
    /// # Errors
    /// Inputs that are not finite or none.
    pub fn calibrated(mut self, x: &Tensor) -> Result<Self> {
        if x.numel() == 0 || !x.is_finite() {
            return Err(Error::argument("int8", "inputs", "none or not finite", "typical inputs"));
        }
        self.input = Some(scale_of(&x.to_vec()));
        Ok(self)
    }

    /// The bytes of weights, scales and bias.
    pub fn bytes(&self) -> usize {
        let outputs = self.weights.outputs();
        self.weights.inputs() * outputs + 4 * outputs * (1 + usize::from(self.biased))
    }
}

impl Module for Int8Linear {
    fn visit<'a>(&'a self, _: &mut dyn Visit<'a>) {}
    fn visit_mut(&mut self, _: &mut dyn VisitMut) {}
}

impl Forward for Int8Linear {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> tl_nn::Result<Tensor> {
        let (inputs, outputs) = (self.weights.inputs(), self.weights.outputs());
        if x.rank() == 0 || x.dims()[x.rank() - 1] != inputs {
            let expected = format!("[.., {inputs}]");
            return Err(tl_tensor::Error::shape("int8", x.shape(), expected).into());
        }
        if x.is_tracked() {
            let expected = "a constant: a layer of integers has no gradient; use it in evaluation";
            return Err(tl_nn::Error::argument("int8", "input", "tracked", expected));
        }
        super::check_finite(x)?;
        let mut shape = x.dims().to_vec();
        shape[x.rank() - 1] = outputs;
        let numbers = x.to_vec();
        let rows = numbers.len() / inputs;
        let (width, stride) = (self.weights.run(), self.weights.stride());
        // Few enough rows to share the work, enough to reuse weights.
        let task = |(numbers, y): (&[f32], &mut [f32])| {
            let rows = numbers.len() / inputs;
            let mut levels = vec![0_u8; rows * width];
            let mut sums = vec![0_i32; rows * stride];
            let scales = numbers.chunks(inputs).zip(levels.chunks_mut(width)).map(|(row, to)| {
                let scale = self.input.unwrap_or_else(|| scale_of(row));
                // 128 is 0: the instruction multiplies unsigned by signed bytes.
                to_bytes(row, 1.0 / scale, [128.0, 1.0], to);
                scale
            });
            let scales: Vec<f32> = scales.collect();
            let starts: Vec<usize> = (0..rows).map(|row| row * width).collect();
            let rows = Rows { bytes: &levels, starts: &starts, offsets: &[0] };
            self.weights.multiply(rows, &mut sums);
            self.epilogue.numbers(&sums, y, |row| scales[row]);
        };
        let mut y = vec![0.0; rows * outputs];
        super::share(rows * inputs * outputs, 8, (&numbers, inputs), (&mut y, outputs), task);
        Ok(Tensor::from_vec(y, tl_tensor::Shape::new(&shape)?)?)
    }
}

/// Puts an [`Int8Linear`] in the place of a [`Linear`] layer of a
/// [`Sequential`], and returns how many bytes it takes.
///
/// # Errors
/// No layer of this name has a weight of two axes; as [`Int8Linear::new`].
pub fn quantise_linear(model: &mut Sequential, name: &str) -> Result<usize> {
    let find = |part: &str| {
        let path = format!("{name}.{part}");
        let own = model.params().into_iter().find(|(p, _)| *p == path);
        own.map(|(_, p)| p.tensor().detach())
    };
    let Some(weight) = find("weight") else {
        let expected = "the name of a `Linear` layer";
        return Err(Error::argument("quantise_linear", "name", name, expected));
    };
    let layer = Int8Linear::from_weights(&weight, find("bias").as_ref())?;
    let bytes = layer.bytes();
    model.replace(name, layer);
    Ok(bytes)
}
